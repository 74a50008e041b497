//! Where the broker is.

use std::str::FromStr;

/// `mqtt://[user[:password]@]host[:port]`; the port is 1883 unless written.
#[derive(Clone, PartialEq, Eq)]
pub struct BrokerUrl {
    pub host: String,
    pub port: u16,
    /// User and password.
    pub credentials: Option<(String, String)>,
}

/// What is wrong with a broker's address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BrokerUrlError {
    #[error("a broker is written mqtt://HOST[:PORT]; the simulator speaks plain MQTT only")]
    Scheme,
    #[error("the broker's address names no host: write mqtt://HOST[:PORT]")]
    Host,
    #[error("`{0}` is not a port: write a number from 1 to 65535")]
    Port(String),
}

impl FromStr for BrokerUrl {
    type Err = BrokerUrlError;

    fn from_str(text: &str) -> Result<Self, BrokerUrlError> {
        let rest =
            text.strip_prefix("mqtt://").or_else(|| text.strip_prefix("tcp://")).ok_or(BrokerUrlError::Scheme)?;
        let rest = rest.trim_end_matches('/');
        let (credentials, address) = match rest.rsplit_once('@') {
            Some((login, address)) => {
                let (user, password) = login.split_once(':').unwrap_or((login, ""));
                (Some((user.to_owned(), password.to_owned())), address)
            }
            None => (None, rest),
        };
        let (host, port) = split_port(address)?;
        if host.is_empty() {
            return Err(BrokerUrlError::Host);
        }
        Ok(Self { host: host.to_owned(), port, credentials })
    }
}

/// Splits `host:port`; an IPv6 address stands in brackets.
fn split_port(address: &str) -> Result<(&str, u16), BrokerUrlError> {
    let (host, port) = match address.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, "")) => (host, None),
        Some((host, rest)) => {
            (host, Some(rest.strip_prefix(':').ok_or_else(|| BrokerUrlError::Port(rest.to_owned()))?))
        }
        None => match address.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (address, None),
        },
    };
    match port {
        None => Ok((host, 1883)),
        Some(text) => match text.parse() {
            Ok(port) if port > 0 => Ok((host, port)),
            _ => Err(BrokerUrlError::Port(text.to_owned())),
        },
    }
}

impl std::fmt::Debug for BrokerUrl {
    /// Without the password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "mqtt://{}:{}", self.host, self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_hosts_ports_and_logins() {
        let url = |host: &str, port, login: Option<(&str, &str)>| {
            Ok(BrokerUrl { host: host.into(), port, credentials: login.map(|(u, p)| (u.into(), p.into())) })
        };
        assert_eq!("mqtt://127.0.0.1:1884".parse(), url("127.0.0.1", 1884, None));
        assert_eq!("mqtt://broker.example/".parse(), url("broker.example", 1883, None));
        assert_eq!("tcp://me:s@cret@broker:1".parse(), url("broker", 1, Some(("me", "s@cret"))));
        assert_eq!("mqtt://[::1]:1885".parse(), url("::1", 1885, None));
        assert_eq!("mqtt://[::1]".parse(), url("::1", 1883, None));
    }

    #[test]
    fn says_what_is_wrong() {
        let error = |text: &str| text.parse::<BrokerUrl>().unwrap_err();
        assert_eq!(error("mqtts://broker"), BrokerUrlError::Scheme);
        assert_eq!(error("broker:1883"), BrokerUrlError::Scheme);
        assert_eq!(error("mqtt://:1883"), BrokerUrlError::Host);
        assert_eq!(error("mqtt://broker:0"), BrokerUrlError::Port("0".into()));
        assert_eq!(error("mqtt://broker:99999"), BrokerUrlError::Port("99999".into()));
    }

    #[test]
    fn a_password_is_not_printed() {
        let url: BrokerUrl = "mqtt://me:secret@broker".parse().unwrap();
        assert_eq!(format!("{url:?}"), "mqtt://broker:1883");
    }
}
