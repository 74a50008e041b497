//! An MQTT broker inside jarvis, for a workshop that has none.
//!
//! It is `rumqttd`: sessions and retained messages live in memory and are gone with the process. A workshop that cannot
//! lose messages over a restart of jarvis runs a broker of its own, such as Mosquitto.

use rumqttd::{Broker, Config, ConnectionSettings, RouterConfig, ServerSettings};
use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Connections at a time.
const CONNECTIONS: usize = 10_000;
/// The longest packet, bytes. Longer ones end the connection of whoever sends them.
const LONGEST_PACKET: usize = 4 << 20;
/// Messages that may wait for the acknowledgement of one client.
const IN_FLIGHT: usize = 1000;
/// Per subscription, bytes in memory: so many segments of that size. Clients that fall further behind lose the oldest.
const SEGMENT: usize = 1 << 20;
const SEGMENTS: usize = 16;
/// How long it may take until connections are accepted.
const START: Duration = Duration::from_secs(5);

/// Why there is no broker.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    #[error("{address} is taken: is another broker, or another jarvis, running? Stop it, or choose another port")]
    Taken { address: SocketAddr },
    #[error("cannot listen on {address}: {error}")]
    Listen { address: SocketAddr, error: io::Error },
    #[error("the embedded broker did not start on {address}; its own log says why")]
    NotStarted { address: SocketAddr },
}

/// A broker that runs until the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EmbeddedBroker {
    address: SocketAddr,
}

impl EmbeddedBroker {
    /// Where it listens; with the port that was free if port 0 was asked for.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// Starts a broker for MQTT 3.1.1 without authentication, and returns when it accepts connections. Listening on other
/// than a loopback address lets everybody in the network read and publish everything.
///
/// # Errors
/// The port is taken, or the address is not one of this machine.
pub fn start_embedded_broker(listen: SocketAddr) -> Result<EmbeddedBroker, BrokerError> {
    // rumqttd only logs that it cannot listen, so whether it can is found out before.
    let probe = TcpListener::bind(listen).map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => BrokerError::Taken { address: listen },
        _ => BrokerError::Listen { address: listen, error },
    })?;
    let address = probe.local_addr().map_err(|error| BrokerError::Listen { address: listen, error })?;
    drop(probe);
    let server = thread::Builder::new()
        .name("mqtt-broker".to_owned())
        .spawn(move || {
            if let Err(error) = Broker::new(config(address)).start() {
                tracing::error!(%address, %error, "the embedded broker has stopped");
            }
        })
        .map_err(|error| BrokerError::Listen { address, error })?;
    wait_for(address, &server)?;
    tracing::info!(%address, "the embedded MQTT broker is listening");
    Ok(EmbeddedBroker { address })
}

fn wait_for(address: SocketAddr, server: &JoinHandle<()>) -> Result<(), BrokerError> {
    let until = Instant::now() + START;
    let reachable = match address {
        SocketAddr::V4(v4) if v4.ip().is_unspecified() => SocketAddr::from((Ipv4Addr::LOCALHOST, v4.port())),
        SocketAddr::V6(v6) if v6.ip().is_unspecified() => SocketAddr::from((Ipv6Addr::LOCALHOST, v6.port())),
        other => other,
    };
    while Instant::now() < until && !server.is_finished() {
        if greet(reachable).is_ok() {
            return Ok(());
        }
        thread::sleep(Duration::from_millis(2));
    }
    Err(BrokerError::NotStarted { address })
}

/// Connects as an MQTT client does. A connection without a greeting would stand as an error in the broker's log.
fn greet(address: SocketAddr) -> io::Result<()> {
    // CONNECT, MQTT 3.1.1, clean session, keep-alive of 10 s, client id `probe` (section 3.1 of the standard).
    const CONNECT: &[u8] = b"\x10\x11\0\x04MQTT\x04\x02\0\x0a\0\x05probe";
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_millis(100))?;
    stream.set_read_timeout(Some(Duration::from_secs(1)))?;
    stream.write_all(CONNECT)?;
    stream.read_exact(&mut [0; 4])
}

fn config(listen: SocketAddr) -> Config {
    let server = ServerSettings {
        name: "mqtt".to_owned(),
        listen,
        tls: None,
        next_connection_delay_ms: 0,
        connections: ConnectionSettings {
            connection_timeout_ms: 5_000,
            max_payload_size: LONGEST_PACKET,
            max_inflight_count: IN_FLIGHT,
            auth: None,
            external_auth: None,
            // Streams come and go while it runs.
            dynamic_filters: true,
        },
    };
    Config {
        id: 0,
        router: RouterConfig {
            max_connections: CONNECTIONS,
            max_outgoing_packet_count: 200,
            max_segment_size: SEGMENT,
            max_segment_count: SEGMENTS,
            ..RouterConfig::default()
        },
        v4: Some(HashMap::from([("mqtt".to_owned(), server)])),
        ..Config::default()
    }
}
