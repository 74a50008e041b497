//! Printers as people write them down: `mini-1: { octoprint: http://octopi.local, key: "..." }`.
//!
//! Whoever names a printer in the same words shares it: what it has seen of a print tells that print from the next one,
//! and a command must mean the print that a report was about.

use crate::{Bambu, BambuSettings, Login, Moonraker, OctoPrint, Printer, PrusaLink, Secret, WebSettings};
use jarvis_spec::node::Entry;
use jarvis_spec::{Diagnostic, Diagnostics, Node};
use serde::Deserialize;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use url::Url;

/// What a printer speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    OctoPrint,
    Moonraker,
    PrusaLink,
    Bambu,
}

impl Protocol {
    pub const ALL: [Self; 4] = [Self::OctoPrint, Self::Moonraker, Self::PrusaLink, Self::Bambu];

    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Self::OctoPrint => "octoprint",
            Self::Moonraker => "moonraker",
            Self::PrusaLink => "prusalink",
            Self::Bambu => "bambu",
        }
    }
}

/// A printer with its name.
#[derive(Clone, Debug)]
pub struct Named {
    pub name: String,
    pub printer: Arc<Printer>,
    /// Another one where it is described in other words, secrets included.
    pub mark: u64,
}

/// The keys of a printer: the first is its protocol's, with its address.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default)]
    octoprint: Option<String>,
    #[serde(default)]
    moonraker: Option<String>,
    #[serde(default)]
    prusalink: Option<String>,
    #[serde(default)]
    bambu: Option<String>,
    /// OctoPrint, Moonraker, PrusaLink: the API key.
    #[serde(default)]
    key: Option<jarvis_spec::Secret>,
    /// PrusaLink, instead of a key: its user, `maker` unless set, and password.
    #[serde(default)]
    user: Option<String>,
    #[serde(default)]
    password: Option<jarvis_spec::Secret>,
    /// Bambu: the serial number, and the access code that its display shows.
    #[serde(default)]
    serial: Option<String>,
    #[serde(default)]
    code: Option<jarvis_spec::Secret>,
}

impl Written {
    fn address(&self) -> Vec<(Protocol, &str)> {
        let all = [&self.octoprint, &self.moonraker, &self.prusalink, &self.bambu];
        Protocol::ALL
            .into_iter()
            .zip(all)
            .filter_map(|(protocol, address)| Some((protocol, address.as_deref()?)))
            .collect()
    }
}

/// The printers of a list that speak a protocol, or all of them.
///
/// # Errors
/// One is described wrongly: which, and how.
pub fn printers(written: &[Entry], protocol: Option<Protocol>) -> Result<Vec<Named>, Diagnostics> {
    let (mut found, mut named) = (Diagnostics::default(), vec![]);
    for entry in written {
        match printer(&entry.value) {
            Ok((speaks, printer, mark)) => {
                if protocol.is_none_or(|wanted| wanted == speaks) {
                    named.push(Named { name: entry.key.value.clone(), printer, mark });
                }
            }
            Err(finding) => found.push(finding),
        }
    }
    if found.has_errors() { Err(found) } else { Ok(named) }
}

fn printer(node: &Node) -> Result<(Protocol, Arc<Printer>, u64), Diagnostic> {
    let written: Written = node.parse()?;
    let [(protocol, address)] = written.address()[..] else {
        return Err(Diagnostic::error("printer", "a printer has one address, by the protocol that it speaks")
            .at(node.span())
            .help("write one of `octoprint: URL`, `moonraker: URL`, `prusalink: URL`, `bambu: HOST`"));
    };
    let at = |key: &str| node.get(key).map_or_else(|| node.span(), Node::span);
    let secret = |secret: &Option<jarvis_spec::Secret>| secret.as_ref().map(|secret| Secret::new(secret.expose()));
    let (key, code) = (secret(&written.key), secret(&written.code));
    let secrets = [&written.key, &written.password, &written.code].map(exposed);
    let words = format!("{protocol:?} {address} {:?} {:?} {secrets:?}", written.serial, written.user);
    let wrong = |message: String| Diagnostic::error("printer", message).at(at(protocol.name()));
    if let Some(given) = ["user", "password"].into_iter().find(|key| node.get(key).is_some()) {
        let is_wrong = match protocol {
            Protocol::PrusaLink if written.password.is_none() => Some("a user logs in with a `password`"),
            Protocol::PrusaLink if key.is_some() => Some("a printer is given its `key` or a `password`, not both"),
            Protocol::PrusaLink => None,
            _ => Some("only PrusaLink has a user and a password"),
        };
        if let Some(message) = is_wrong {
            return Err(Diagnostic::error("printer", message)
                .at(at(given))
                .help("the others take a `key`, Bambu a `code`"));
        }
    }
    let make = || -> Result<Printer, Diagnostic> {
        if protocol == Protocol::Bambu {
            let (Some(serial), Some(code)) = (written.serial.clone(), code.clone()) else {
                return Err(wrong("a Bambu printer needs its serial number and access code".to_owned())
                    .help("add `serial:` and `code:`, which its display shows; LAN mode must be on"));
            };
            let settings = BambuSettings::new(address, serial, code);
            return Bambu::new(&settings).map(Printer::Bambu).map_err(|error| wrong(error.to_string()));
        }
        let url = Url::parse(address).map_err(|error| {
            wrong(format!("the address is not a URL: {error}")).help("write `http://` and the name of the host")
        })?;
        let mut settings = WebSettings::new(url, key.clone());
        settings.login = secret(&written.password).map(|password| {
            let user = written.user.clone().unwrap_or_else(|| "maker".to_owned());
            Login { user, password }
        });
        let made = match protocol {
            Protocol::OctoPrint => OctoPrint::new(&settings).map(Printer::OctoPrint),
            Protocol::Moonraker => Moonraker::new(&settings).map(Printer::Moonraker),
            _ => PrusaLink::new(&settings).map(Printer::PrusaLink),
        };
        made.map_err(|error| wrong(error.to_string()))
    };
    let mark = BuildHasherDefault::<DefaultHasher>::default().hash_one(&words);
    Ok((protocol, shared(words, make)?, mark))
}

fn exposed(secret: &Option<jarvis_spec::Secret>) -> Option<&str> {
    secret.as_ref().map(jarvis_spec::Secret::expose)
}

/// All printers of this process, by the words that describe them.
static KNOWN: Mutex<Vec<(String, Weak<Printer>)>> = Mutex::new(vec![]);

fn shared(words: String, make: impl FnOnce() -> Result<Printer, Diagnostic>) -> Result<Arc<Printer>, Diagnostic> {
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    known.retain(|(_, printer)| printer.strong_count() > 0);
    if let Some(found) = known.iter().find(|(other, _)| *other == words).and_then(|(_, printer)| printer.upgrade()) {
        return Ok(found);
    }
    let made = Arc::new(make()?);
    known.push((words, Arc::downgrade(&made)));
    Ok(made)
}

#[cfg(test)]
mod tests {
    use super::*;
    use jarvis_spec::SourceText;

    /// The name of a printer, or what is wrong with it.
    fn described(yaml: &str) -> String {
        let root = Node::read(&SourceText::new("printers.yaml", yaml), &|_| None).unwrap();
        match printers(root.entries(), None) {
            Ok(named) => named.into_iter().map(|named| named.name).collect::<Vec<_>>().join(" "),
            Err(found) => found.to_string(),
        }
    }

    #[test]
    fn printers_have_an_address_and_what_opens_it() {
        for fine in [
            "a: { octoprint: http://octopi.local, key: k }",
            "a: { moonraker: http://voron.local:7125 }",
            "a: { prusalink: http://mk4.local, key: k }",
            "a: { prusalink: http://mk4.local, password: p }",
            "a: { prusalink: http://mk4.local, user: max, password: p }",
            "a: { bambu: 192.168.1.20, serial: s, code: c }",
        ] {
            assert_eq!(described(fine), "a", "{fine}");
        }
        for (wrong, said) in [
            ("a: { key: k }", "a printer has one address"),
            ("a: { octoprint: http://a, moonraker: http://b }", "a printer has one address"),
            ("a: { octoprint: octopi.local }", "the address is not a URL"),
            ("a: { octoprint: http://max:p@octopi.local }", "has a user in it"),
            ("a: { prusalink: http://mk4.local, user: max }", "a user logs in with a `password`"),
            ("a: { prusalink: http://mk4.local, key: k, password: p }", "its `key` or a `password`, not both"),
            ("a: { octoprint: http://octopi.local, password: p }", "only PrusaLink has a user and a password"),
            ("a: { bambu: 192.168.1.20 }", "needs its serial number and access code"),
            ("a: { bambu: 192.168.1.20, serial: s, code: c, user: u }", "only PrusaLink has a user"),
        ] {
            let found = described(wrong);
            assert!(found.contains(said), "{wrong}: {found}");
        }
    }
}
