//! Saying who one is over HTTP: Basic (RFC 7617) and Digest (RFC 7616, RFC 2617), whichever the camera asks for.
//!
//! Most cameras ask for Digest with MD5, which is no protection against anyone who cares; it is what they speak.

use crate::address::User;
use gstreamer::glib::{Checksum, ChecksumType};
use std::hash::{BuildHasher, RandomState};

/// What a server asks for.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Challenge {
    Basic,
    Digest(Digest),
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Digest {
    realm: String,
    nonce: String,
    opaque: Option<String>,
    /// As it was written.
    algorithm: Option<String>,
    is_sha256: bool,
    is_session: bool,
    /// Whether the server knows `qop=auth`.
    has_qop: bool,
    requests: u32,
}

impl Challenge {
    /// The strongest challenge in the values of `WWW-Authenticate` headers that can be answered here.
    pub fn parse<'a>(headers: impl Iterator<Item = &'a str>) -> Option<Self> {
        let mut best = None;
        for header in headers {
            let (scheme, parameters) = header.trim().split_once(' ').unwrap_or((header.trim(), ""));
            let challenge = match scheme.to_ascii_lowercase().as_str() {
                "basic" => Some(Self::Basic),
                "digest" => Digest::parse(parameters).map(Self::Digest),
                _ => None,
            };
            let strength = |challenge: &Option<Self>| match challenge {
                None => 0,
                Some(Self::Basic) => 1,
                Some(Self::Digest(digest)) => 2 + u8::from(digest.is_sha256),
            };
            if strength(&challenge) > strength(&best) {
                best = challenge;
            }
        }
        best
    }

    /// The value of `Authorization` for the next request with Digest, of a path with its query; `None` for Basic.
    pub fn digest_answer(&mut self, user: &User, method: &str, uri: &str) -> Option<String> {
        let Self::Digest(digest) = self else { return None };
        let random = RandomState::new();
        let client_nonce = format!("{:016x}{:016x}", random.hash_one(0), random.hash_one(1));
        digest.answer(user, method, uri, &client_nonce)
    }
}

impl Digest {
    fn parse(parameters: &str) -> Option<Self> {
        let parameters = pairs(parameters);
        let get = |name: &str| parameters.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
        let algorithm = get("algorithm");
        let upper = algorithm.clone().unwrap_or_default().to_ascii_uppercase();
        let (is_sha256, is_session) = match upper.as_str() {
            "" | "MD5" => (false, false),
            "MD5-SESS" => (false, true),
            "SHA-256" => (true, false),
            "SHA-256-SESS" => (true, true),
            _ => return None,
        };
        let qop = get("qop");
        let has_qop = qop.as_ref().is_some_and(|qop| qop.split(',').any(|q| q.trim().eq_ignore_ascii_case("auth")));
        if qop.is_some() && !has_qop {
            return None;
        }
        let (realm, nonce, opaque) = (get("realm")?, get("nonce")?, get("opaque"));
        Some(Self { realm, nonce, opaque, algorithm, is_sha256, is_session, has_qop, requests: 0 })
    }

    fn answer(&mut self, user: &User, method: &str, uri: &str, client_nonce: &str) -> Option<String> {
        self.requests += 1;
        let (Self { realm, nonce, .. }, User { name, password }) = (&*self, user);
        let count = format!("{:08x}", self.requests);
        let mut secret = self.hash(&format!("{name}:{realm}:{password}"))?;
        if self.is_session {
            secret = self.hash(&format!("{secret}:{nonce}:{client_nonce}"))?;
        }
        let request = self.hash(&format!("{method}:{uri}"))?;
        let response = if self.has_qop {
            self.hash(&format!("{secret}:{nonce}:{count}:{client_nonce}:auth:{request}"))?
        } else {
            self.hash(&format!("{secret}:{nonce}:{request}"))?
        };
        let quoted = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"");
        let (name, realm, nonce) = (quoted(name), quoted(realm), quoted(nonce));
        let mut header = format!(
            "Digest username=\"{name}\", realm=\"{realm}\", nonce=\"{nonce}\", uri=\"{uri}\", response=\"{response}\""
        );
        if let Some(algorithm) = &self.algorithm {
            header += &format!(", algorithm={algorithm}");
        }
        if let Some(opaque) = &self.opaque {
            header += &format!(", opaque=\"{}\"", quoted(opaque));
        }
        if self.has_qop {
            header += &format!(", qop=auth, nc={count}, cnonce=\"{client_nonce}\"");
        }
        Some(header)
    }

    fn hash(&self, text: &str) -> Option<String> {
        let mut sum = Checksum::new(if self.is_sha256 { ChecksumType::Sha256 } else { ChecksumType::Md5 })?;
        sum.update(text.as_bytes());
        sum.string()
    }
}

/// `name=value` and `name="value"`, separated by commas; names in lower case.
fn pairs(text: &str) -> Vec<(String, String)> {
    let (mut pairs, mut rest) = (vec![], text);
    while let Some((name, after)) = rest.split_once('=') {
        let name = name.trim_matches(|c: char| c == ',' || c.is_whitespace()).to_ascii_lowercase();
        let after = after.trim_start();
        let (value, length) = match after.strip_prefix('"') {
            Some(quoted) => {
                let (value, length) = unquoted(quoted);
                (value, length + 1)
            }
            None => {
                let length = after.find(',').unwrap_or(after.len());
                (after[..length].trim().to_owned(), length)
            }
        };
        pairs.push((name, value));
        rest = &after[length..];
    }
    pairs
}

/// A quoted string without its first quote, and its length with the last one.
fn unquoted(text: &str) -> (String, usize) {
    let (mut value, mut is_escaped) = (String::new(), false);
    for (at, c) in text.char_indices() {
        match c {
            '"' if !is_escaped => return (value, at + 1),
            '\\' if !is_escaped => is_escaped = true,
            _ => {
                value.push(c);
                is_escaped = false;
            }
        }
    }
    (value, text.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NONCE: &str = "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v";
    const CLIENT_NONCE: &str = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ";

    fn user() -> User {
        User { name: "Mufasa".to_owned(), password: "Circle of Life".to_owned() }
    }

    fn challenge(algorithm: &str) -> String {
        format!(
            "Digest realm=\"http-auth@example.org\", qop=\"auth, auth-int\", algorithm={algorithm}, nonce=\"{NONCE}\""
        )
    }

    #[test]
    fn answers_as_the_examples_of_rfc_7616() {
        for (algorithm, response) in [
            ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
            ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
        ] {
            let Some(Challenge::Digest(mut digest)) = Challenge::parse([challenge(algorithm).as_str()].into_iter())
            else {
                panic!("{algorithm}")
            };
            let answer = digest.answer(&user(), "GET", "/dir/index.html", CLIENT_NONCE).unwrap();
            assert!(answer.contains(&format!("response=\"{response}\"")), "{answer}");
            assert!(answer.contains("nc=00000001") && !answer.contains("Circle"), "{answer}");
        }
    }

    #[test]
    fn the_strongest_challenge_is_taken() {
        let (md5, sha) = (challenge("MD5"), challenge("SHA-256"));
        let of = |headers: &[&str]| Challenge::parse(headers.iter().copied());
        assert_eq!(of(&["Basic realm=\"x\""]), Some(Challenge::Basic));
        assert!(matches!(of(&["Basic realm=\"x\"", &md5]), Some(Challenge::Digest(_))));
        assert!(matches!(of(&[&sha, &md5]), Some(Challenge::Digest(Digest { is_sha256: true, .. }))));
        assert_eq!(of(&["Negotiate"]), None);
    }

    proptest! {
        #[test]
        fn any_header_is_survived(header in ".*") {
            let _ = Challenge::parse([header.as_str(), &format!("Digest {header}")].into_iter());
        }
    }
}
