//! The URL of a broker.

use jarvis_spec::Secret;

/// Its parts.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct BrokerUrl {
    pub tls: bool,
    pub username: Option<Secret>,
    pub password: Option<Secret>,
    /// An IPv6 address keeps its brackets.
    pub host: String,
    pub port: u16,
}

impl BrokerUrl {
    /// Reads `mqtt://[user[:password]@]host[:port][/]`, with `mqtts` for TLS. The error says what is wrong without
    /// showing the text, which may hold a password.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let (scheme, rest) = text.trim().split_once("://").ok_or("it does not begin with mqtt:// or mqtts://")?;
        let tls = match scheme {
            "mqtt" | "tcp" => false,
            "mqtts" | "ssl" => true,
            _ => return Err("it does not begin with mqtt:// or mqtts://"),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (credentials, address) = match rest.rsplit_once('@') {
            Some((credentials, address)) => (Some(credentials), address),
            None => (None, rest),
        };
        if address.contains(['/', '?', '#']) {
            return Err("nothing may stand after the host and port");
        }
        let after_host =
            if address.starts_with('[') { address.find(']').ok_or("a `]` is missing after the address")? } else { 0 };
        let (host, port) = match address[after_host..].find(':') {
            Some(colon) => {
                let (host, port) = address.split_at(after_host + colon);
                (
                    host,
                    port[1..]
                        .parse()
                        .ok()
                        .filter(|port| *port > 0)
                        .ok_or("the port is not a number from 1 to 65535")?,
                )
            }
            None => (address, if tls { 8883 } else { 1883 }),
        };
        if host.is_empty() || host.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return Err("the host is missing");
        }
        let (username, password) = match credentials.map(|c| c.split_once(':').map_or((c, None), |(u, p)| (u, Some(p))))
        {
            Some((username, password)) => (Some(decoded(username)?), password.map(decoded).transpose()?),
            None => (None, None),
        };
        Ok(Self { tls, username, password, host: host.to_owned(), port })
    }
}

/// Undoes percent encoding (RFC 3986, section 2.1).
fn decoded(text: &str) -> Result<Secret, &'static str> {
    const WRONG: &str =
        "a `%` in the user name or password is not followed by two hex digits of UTF-8 (write %25 for `%`)";
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let digits = rest.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        let digits = digits.filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit())).ok_or(WRONG)?;
        bytes.push(u8::from_str_radix(digits, 16).map_err(|_| WRONG)?);
        rest = &rest[2..];
    }
    String::from_utf8(bytes).map(Secret::new).map_err(|_| WRONG)
}
