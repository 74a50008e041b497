//! Where a camera is, and what must not be said about it.
//!
//! The address of a camera holds secrets in many places: a name and a password before the host, a token in the path
//! (UniFi Protect's `rtsps://host:7441/TOKEN`), a password in the query (`/snap.cgi?user=admin&pwd=...`). So an address
//! is shown as scheme, host and port, and an ellipsis in place of the rest; and [`Address::scrub`] takes the rest out
//! of what a library says.

use std::fmt;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use url::Url;

/// The address of a camera, or of recorded pictures.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Address {
    kind: Kind,
}

/// The ways to read a camera.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    Rtsp(Place),
    Http(Place),
    /// A device of Video4Linux 2.
    Device(PathBuf),
    /// A video file or a folder of pictures: the file system says which when it is opened.
    Recording(PathBuf),
}

/// A place in the network.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct Place {
    /// Without user name and password.
    pub url: Url,
    pub user: Option<User>,
}

/// Who asks.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct User {
    pub name: String,
    pub password: String,
}

/// Not the address of a camera. It does not repeat the address, which may hold a password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadAddress {
    #[error("the address of the camera is empty")]
    Empty,
    #[error("the camera's address is not a URL: {0}")]
    Url(url::ParseError),
    #[error("the camera's address names no host")]
    Host,
    #[error("cameras are not read by {0}: use rtsp, rtsps, http, https, file, /dev/videoN or a path")]
    Scheme(String),
    #[error("a file:// address must be a path on this machine")]
    File,
    #[error("the user name or password in the camera's address is not UTF-8 in percent-encoding")]
    User,
}

impl Address {
    /// Reads an address: a URL, a device, or a path.
    ///
    /// # Errors
    /// See [`BadAddress`].
    pub fn parse(text: &str) -> Result<Self, BadAddress> {
        let text = text.trim();
        if text.is_empty() {
            return Err(BadAddress::Empty);
        }
        let Some((scheme, _)) = text.split_once("://") else { return Ok(Self::of_path(Path::new(text))) };
        let kind = match scheme.to_ascii_lowercase().as_str() {
            "rtsp" | "rtsps" => Kind::Rtsp(Place::parse(text)?),
            "http" | "https" => Kind::Http(Place::parse(text)?),
            "file" => {
                let url = Url::parse(text).map_err(BadAddress::Url)?;
                return Ok(Self::of_path(&url.to_file_path().map_err(|()| BadAddress::File)?));
            }
            // What stands there may be anything, a password too, unless it looks like a scheme.
            other if other.len() <= 12 && other.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b)) => {
                return Err(BadAddress::Scheme(format!("{other}://")));
            }
            _ => return Err(BadAddress::Scheme("this scheme".to_owned())),
        };
        Ok(Self { kind })
    }

    fn of_path(path: &Path) -> Self {
        let is_device = path.to_str().is_some_and(|path| path.starts_with("/dev/video"));
        let kind = if is_device { Kind::Device(path.to_owned()) } else { Kind::Recording(path.to_owned()) };
        Self { kind }
    }

    /// Tells it from other addresses, secrets included, and gives none of them away.
    pub fn mark(&self) -> u64 {
        BuildHasherDefault::<DefaultHasher>::default().hash_one(self)
    }

    /// Whether it is a file or a folder, which has an end and may repeat itself.
    pub fn is_recording(&self) -> bool {
        matches!(self.kind, Kind::Recording(_))
    }

    pub(crate) fn kind(&self) -> &Kind {
        &self.kind
    }

    /// Takes the parts that may be secret out of a text.
    pub(crate) fn scrub(&self, text: &str) -> String {
        let (Kind::Rtsp(place) | Kind::Http(place)) = &self.kind else { return text.to_owned() };
        let mut secrets = vec![place.url.as_str().to_owned()];
        if let Some(user) = &place.user {
            secrets.extend([user.password.clone(), user.name.clone()]);
            secrets.extend(place.encoded_user());
        }
        secrets.extend(place.url.query().map(str::to_owned));
        secrets.push(place.url.path().trim_start_matches('/').to_owned());
        // A short one is part of too many words; it is secret to nobody who knows that the text was scrubbed.
        secrets.retain(|secret| secret.len() >= 3);
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        secrets.iter().fold(text.to_owned(), |text, secret| text.replace(secret.as_str(), "…"))
    }
}

impl Place {
    fn parse(text: &str) -> Result<Self, BadAddress> {
        let mut url = Url::parse(text).map_err(BadAddress::Url)?;
        if url.host_str().is_none_or(str::is_empty) {
            return Err(BadAddress::Host);
        }
        let user = User { name: decoded(url.username())?, password: decoded(url.password().unwrap_or_default())? };
        // Only addresses without a host refuse.
        url.set_username("").and_then(|()| url.set_password(None)).map_err(|()| BadAddress::Host)?;
        let is_empty = user.name.is_empty() && user.password.is_empty();
        Ok(Self { url, user: (!is_empty).then_some(user) })
    }

    pub fn is_encrypted(&self) -> bool {
        matches!(self.url.scheme(), "rtsps" | "https")
    }

    /// User name and password as a URL writes them.
    fn encoded_user(&self) -> Vec<String> {
        let (mut url, Some(user)) = (self.url.clone(), &self.user) else { return vec![] };
        // It had both before.
        if url.set_username(&user.name).is_err() || url.set_password(Some(&user.password)).is_err() {
            return vec![];
        }
        [Some(url.username()), url.password()].into_iter().flatten().map(str::to_owned).collect()
    }
}

/// Percent-decoded.
fn decoded(text: &str) -> Result<String, BadAddress> {
    let mut bytes = vec![];
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let digits = after.get(..2).filter(|pair| pair.iter().all(u8::is_ascii_hexdigit));
        let code = digits.and_then(|pair| std::str::from_utf8(pair).ok()).and_then(|s| u8::from_str_radix(s, 16).ok());
        match code.filter(|_| first == b'%') {
            Some(code) => (bytes.push(code), rest = &after[2..]),
            None => (bytes.push(first), rest = after),
        };
    }
    String::from_utf8(bytes).map_err(|_| BadAddress::User)
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::Rtsp(place) | Kind::Http(place) => fmt::Display::fmt(place, f),
            Kind::Device(path) | Kind::Recording(path) => write!(f, "{}", path.display()),
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({self})")
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = self.url.host_str().unwrap_or_default();
        let is_bare_six = host.parse::<IpAddr>().is_ok_and(|ip| ip.is_ipv6());
        let (open, close) = if is_bare_six { ("[", "]") } else { ("", "") };
        write!(f, "{}://{open}{host}{close}", self.url.scheme())?;
        self.url.port().map_or(Ok(()), |port| write!(f, ":{port}"))?;
        let is_root = self.url.path().trim_matches('/').is_empty() && self.url.query().is_none();
        if is_root { Ok(()) } else { f.write_str("/…") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        Address::parse(text).unwrap().to_string()
    }

    #[test]
    fn kinds_are_told_apart() {
        let kind = |text: &str| match Address::parse(text).unwrap().kind {
            Kind::Rtsp(_) => "rtsp",
            Kind::Http(_) => "http",
            Kind::Device(_) => "device",
            Kind::Recording(_) => "recording",
        };
        for (text, expected) in [
            ("rtsp://10.0.0.5/stream1", "rtsp"),
            ("RTSPS://protect:7441/token?enableSrtp", "rtsp"),
            ("http://printer/webcam/?action=stream", "http"),
            ("https://printer/snapshot.jpg", "http"),
            ("/dev/video0", "device"),
            ("file:///dev/video2", "device"),
            ("/var/prints/one.mp4", "recording"),
            ("pictures", "recording"),
            ("file:///var/with%20space/one.mp4", "recording"),
        ] {
            assert_eq!(kind(text), expected, "{text}");
        }
    }

    #[test]
    fn only_scheme_host_and_port_are_shown() {
        assert_eq!(shown("rtsp://admin:hunter2@10.0.0.5:8554/h264/ch1?pwd=hunter2"), "rtsp://10.0.0.5:8554/…");
        assert_eq!(shown("rtsps://protect.local:7441/x8Hs62jAhs?enableSrtp"), "rtsps://protect.local:7441/…");
        assert_eq!(shown("http://cam/"), "http://cam");
        assert_eq!(shown("http://[fe80::1]:80/a"), "http://[fe80::1]/…");
        assert_eq!(format!("{:?}", Address::parse("http://u:p@cam/").unwrap()), "Address(http://cam)");
    }

    #[test]
    fn user_names_and_passwords_are_decoded() {
        let address = Address::parse("rtsp://a%40b:p%3Ass%25w@cam/").unwrap();
        let Kind::Rtsp(Place { url, user: Some(user) }) = address.kind() else { panic!("{address:?}") };
        assert_eq!((user.name.as_str(), user.password.as_str()), ("a@b", "p:ss%w"));
        assert_eq!(url.as_str(), "rtsp://cam/");
    }

    #[test]
    fn errors_do_not_repeat_what_may_be_secret() {
        for text in [
            "",
            "ftp://u:hunter2@cam/",
            "hunter2 and more hunter2://x",
            "http://u:hunter2@/",
            "rtsp://u:hunter2@",
            "http://u:hunter2@a b/",
            "file://u:hunter2@host/x",
            "http://u:%ffhunter2@cam/",
        ] {
            let error = Address::parse(text).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
        }
    }

    #[test]
    fn secrets_are_taken_out_of_what_a_library_says() {
        let address = Address::parse("http://admin:p%23ssword@cam:81/live/token?key=abc123").unwrap();
        for text in [
            "cannot open http://cam:81/live/token?key=abc123",
            "login admin/p#ssword refused",
            "p%23ssword",
            "GET /live/token?key=abc123 404",
        ] {
            let scrubbed = address.scrub(text);
            for secret in ["admin", "ssword", "token", "abc123"] {
                assert!(!scrubbed.contains(secret), "{scrubbed}");
            }
        }
    }
}
