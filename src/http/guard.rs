//! Keeps web pages of strangers out.
//!
//! A browser on this machine runs their scripts, and can be made to send requests here: under a name of theirs that
//! suddenly leads to this address (DNS rebinding), or straight across origins. The `Host` and `Origin` of such requests
//! tell; programs send an address.

use super::Refusal;
use axum::extract::Request;
use axum::http::header::{HOST, ORIGIN};
use axum::http::{HeaderMap, HeaderName, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::net::{IpAddr, SocketAddr};

/// The hosts under which an instance may be addressed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hosts {
    listening: IpAddr,
}

impl Hosts {
    pub(super) fn of(listening: SocketAddr) -> Self {
        Self { listening: listening.ip() }
    }

    /// `authority` is a host with or without a port.
    fn allow(self, authority: &str) -> bool {
        let host = match authority.rsplit_once(':') {
            Some((host, port)) if !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) => host,
            _ => authority,
        };
        if host.eq_ignore_ascii_case("localhost") {
            return true;
        }
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        match bare.parse::<IpAddr>() {
            // Whoever listens everywhere cannot know its addresses; what matters is that it is no name.
            Ok(address) => address.is_loopback() || address == self.listening || self.listening.is_unspecified(),
            Err(_) => false,
        }
    }

    fn refuses(self, headers: &HeaderMap) -> bool {
        let authority = |name: HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
        let host = authority(HOST).is_some_and(|host| !self.allow(host));
        let origin = authority(ORIGIN)
            .is_some_and(|origin| !origin.split_once("://").is_some_and(|(_, authority)| self.allow(authority)));
        host || origin
    }
}

/// Refuses requests that a web page of somebody else may have caused.
pub(super) async fn only(hosts: Hosts, request: Request, next: Next) -> Response {
    if hosts.refuses(request.headers()) {
        let message = "this Host or Origin is not served: address jarvis by its IP address or as localhost";
        return Refusal(StatusCode::FORBIDDEN, message.to_owned()).into_response();
    }
    next.run(request).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refuses(listening: &str, name: HeaderName, value: &str) -> bool {
        let headers = HeaderMap::from_iter([(name, value.parse().unwrap())]);
        Hosts::of(listening.parse().unwrap()).refuses(&headers)
    }

    #[test]
    fn addresses_are_served() {
        for host in
            ["127.0.0.1:7470", "127.0.0.1", "localhost:7470", "LOCALHOST", "[::1]:7470", "[::1]", "10.0.0.7:7470"]
        {
            assert!(!refuses("10.0.0.7:7470", HOST, host), "{host}");
        }
        assert!(!refuses("0.0.0.0:7470", HOST, "192.168.1.5:7470"));
        assert!(!Hosts::of(([127, 0, 0, 1], 1).into()).refuses(&HeaderMap::new()));
    }

    #[test]
    fn names_and_other_addresses_are_not() {
        for host in
            ["evil.example:7470", "localhost.evil.example", "127.0.0.1.evil.example", "10.0.0.8", "", ":7470", "[::1"]
        {
            assert!(refuses("10.0.0.7:7470", HOST, host), "{host}");
        }
        assert!(refuses("0.0.0.0:7470", HOST, "evil.example"));
    }

    #[test]
    fn other_origins_are_not() {
        assert!(refuses("127.0.0.1:7470", ORIGIN, "https://evil.example"));
        assert!(refuses("127.0.0.1:7470", ORIGIN, "null"));
        assert!(!refuses("127.0.0.1:7470", ORIGIN, "http://127.0.0.1:7470"));
    }
}
