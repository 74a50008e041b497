//! Which models there are: `catalog.yaml`, with each one's licence, origin, checksums and shapes.

use crate::convert::Conversion;
use crate::vision::Detection;
use anyhow::Context;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt;

const TEXT: &str = include_str!("../catalog.yaml");

/// All models, and the libraries that run them.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Catalog {
    pub models: BTreeMap<String, Entry>,
}

/// A model, or a library that runs models.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    pub about: String,
    /// SPDX.
    pub licence: String,
    pub origin: Origin,
    #[serde(default = "none")]
    pub conversion: Conversion,
    /// Its name in the store.
    pub file: String,
    /// Of the file in the store, hexadecimal; by platform (`linux-x86_64`) or `any`. Where a platform is not named, the
    /// file is compared with what it was when it was fetched.
    pub sha256: BTreeMap<String, String>,
    /// By name, such as `float32[n,3,224,224]`.
    #[serde(default)]
    pub inputs: BTreeMap<String, String>,
    #[serde(default)]
    pub outputs: BTreeMap<String, String>,
    /// What is done to the data before.
    #[serde(default)]
    pub preprocessing: Option<String>,
    /// Of a detector of boxes: what it is shown and how its answer is read. Its `model` is the file in the store.
    #[serde(default)]
    pub detection: Option<Detection>,
}

fn none() -> Conversion {
    Conversion::None
}

/// Where a file comes from.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "Said")]
pub struct Origin {
    pub package: Package,
    /// The path of the file in the package; `*` stands for what differs between versions and platforms.
    pub file: String,
    /// Which bytes of that file are meant, from the first to before the last. `None`: all.
    pub bytes: Option<[u64; 2]>,
    /// Of what is meant, hexadecimal.
    pub sha256: Option<String>,
}

/// A package in one version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Package {
    /// `name==version`
    Pypi(String),
    /// `name@version`
    Npm(String),
}

/// An origin as the catalog writes it: with exactly one of the packages.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Said {
    pypi: Option<String>,
    npm: Option<String>,
    file: String,
    bytes: Option<[u64; 2]>,
    sha256: Option<String>,
}

impl TryFrom<Said> for Origin {
    type Error = String;

    fn try_from(Said { pypi, npm, file, bytes, sha256 }: Said) -> Result<Self, String> {
        // Clients of registries take what begins with a dash for an option.
        let is_one = |package: &str, between: &str| {
            let version = package.rsplit_once(between).map(|(name, version)| !name.is_empty() && !version.is_empty());
            version == Some(true) && !package.starts_with('-') && !package.contains(char::is_whitespace)
        };
        let package = match (pypi, npm) {
            (Some(package), None) if is_one(&package, "==") => Package::Pypi(package),
            (None, Some(package)) if is_one(&package, "@") => Package::Npm(package),
            (Some(package), None) => return Err(format!("`{package}` is no package of PyPI: name==version")),
            (None, Some(package)) => return Err(format!("`{package}` is no package of npm: name@version")),
            _ => return Err("an origin has either `pypi` or `npm`".to_owned()),
        };
        if let Some([from, to]) = bytes.filter(|[from, to]| from >= to) {
            return Err(format!("the bytes {from} to {to} are none"));
        }
        Ok(Origin { package, file, bytes, sha256 })
    }
}

/// For people: registry, name, version.
impl fmt::Display for Package {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Package::Pypi(package) => write!(f, "PyPI {package}"),
            Package::Npm(package) => write!(f, "npm {package}"),
        }
    }
}

impl Origin {
    /// For people: what is meant of the package.
    pub fn place(&self) -> String {
        match self.bytes {
            None => self.file.clone(),
            Some([from, to]) => format!("{}, bytes {from} to {to}", self.file),
        }
    }
}

impl Catalog {
    /// The catalog that jarvis comes with.
    ///
    /// # Errors
    /// Never: it is tested.
    pub fn shipped() -> anyhow::Result<Self> {
        serde_saphyr::from_str(TEXT).context("the catalog of models cannot be read")
    }

    /// # Errors
    /// There is none of that name.
    pub fn get(&self, name: &str) -> anyhow::Result<&Entry> {
        self.models.get(name).with_context(|| {
            let names: Vec<&str> = self.models.keys().map(String::as_str).collect();
            format!("there is no model called {name}; there are {}", names.join(", "))
        })
    }
}

impl Entry {
    /// What the file in the store must hash to on this machine, if that is on record.
    pub fn checksum(&self) -> Option<&str> {
        let here = platform();
        self.sha256.get("any").or_else(|| self.sha256.get(&here)).map(String::as_str)
    }
}

/// The operating system and processor, as `linux-x86_64`.
pub fn platform() -> String {
    format!("{}-{}", std::env::consts::OS, std::env::consts::ARCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_model_says_where_it_comes_from_and_what_it_is() {
        let catalog = Catalog::shipped().unwrap();
        for (name, entry) in &catalog.models {
            assert!(!entry.licence.is_empty() && !entry.about.is_empty(), "{name}");
            for sum in entry.sha256.values().chain(&entry.origin.sha256) {
                assert!(sum.len() == 64 && sum.bytes().all(|b| b.is_ascii_hexdigit()), "{name}: {sum}");
            }
            assert!(!entry.sha256.is_empty(), "{name} has no checksum");
            if let Some(detection) = &entry.detection {
                detection.check().unwrap();
                assert_eq!(detection.model.to_str(), Some(entry.file.as_str()), "{name}");
            }
        }
        assert!(catalog.get("nothing").unwrap_err().to_string().contains("efficientnet-lite0"));
    }

    #[test]
    fn an_origin_is_one_package_in_one_version() {
        let origin = |said: &str| serde_saphyr::from_str::<Origin>(&format!("{{file: a, {said}}}"));
        assert_eq!(origin("pypi: a==1").unwrap().package, Package::Pypi("a==1".to_owned()));
        let part = origin("npm: '@a/b@1.2', bytes: [3, 5]").unwrap();
        assert_eq!((part.package.to_string(), part.place()), ("npm @a/b@1.2".to_owned(), "a, bytes 3 to 5".to_owned()));
        let refused = |said: &str| origin(said).unwrap_err().to_string();
        assert!(refused("pypi: a==1, npm: a@1").contains("either `pypi` or `npm`"));
        assert!(refused("sha256: a").contains("either `pypi` or `npm`"));
        assert!(refused("pypi: a").contains("`a` is no package of PyPI"));
        for package in ["a", "'@a/b'", "'@1'", "a@", "--a@1", "'a b@1'"] {
            assert!(refused(&format!("npm: {package}")).contains("is no package of npm: name@version"), "{package}");
        }
        assert!(refused("npm: a@1, bytes: [5, 5]").contains("the bytes 5 to 5 are none"));
        assert!(refused("npm: a@1, path: a").contains("path"));
    }
}
