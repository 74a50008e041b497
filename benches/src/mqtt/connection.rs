//! A connection to a broker, set up the way that all parties of a measurement are.

use anyhow::{Context, Result};
use rumqttc::{Client, Connection, MqttOptions, NetworkOptions};
use std::time::Duration;

/// Host and port of a broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    pub host: String,
    pub port: u16,
}

impl Address {
    /// Reads `mqtt://host[:port]`, also without the scheme; the port is 1883 unless said.
    pub fn parse(url: &str) -> Result<Self> {
        let rest = url.strip_prefix("mqtt://").unwrap_or(url).trim_end_matches('/');
        let (host, port) = match rest.rsplit_once(':') {
            Some((host, port)) => (host, port.parse().with_context(|| format!("the port in {url:?}"))?),
            None => (rest, 1883),
        };
        anyhow::ensure!(!host.is_empty(), "{url:?} names no host");
        Ok(Address { host: host.to_owned(), port })
    }
}

/// A client and the connection that moves its messages, which must be iterated over in a thread of its own.
pub fn connect(address: &Address, id: &str) -> (Client, Connection) {
    let mut options = MqttOptions::new(format!("{id}-{}", std::process::id()), address.host.clone(), address.port);
    options.set_keep_alive(Duration::from_secs(30));
    let (client, mut connection) = Client::new(options, 1024);
    let mut network = NetworkOptions::new();
    // Without it a small packet waits for the acknowledgement of the one before it.
    network.set_tcp_nodelay(true);
    connection.eventloop.set_network_options(network);
    (client, connection)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_a_default_port() {
        let address = |host: &str, port| Address { host: host.to_owned(), port };
        assert_eq!(Address::parse("mqtt://broker:1884").unwrap(), address("broker", 1884));
        assert_eq!(Address::parse("broker").unwrap(), address("broker", 1883));
        assert!(Address::parse("mqtt://:1").is_err());
        assert!(Address::parse("mqtt://broker:x").is_err());
    }
}
