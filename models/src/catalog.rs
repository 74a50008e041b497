//! Which models there are: `catalog.yaml`, with each one's licence, origin, checksums and shapes.

use crate::convert::Conversion;
use anyhow::Context;
use serde::Deserialize;
use std::collections::BTreeMap;

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
}

fn none() -> Conversion {
    Conversion::None
}

/// Where a file comes from.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Origin {
    /// A package of PyPI, `name==version`.
    pub pypi: String,
    /// The path of the file in the package; `*` stands for what differs between versions and platforms.
    pub file: String,
    /// Of that file, hexadecimal.
    #[serde(default)]
    pub sha256: Option<String>,
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
            assert!(entry.origin.pypi.contains("=="), "{name} names no version");
            for sum in entry.sha256.values().chain(&entry.origin.sha256) {
                assert!(sum.len() == 64 && sum.bytes().all(|b| b.is_ascii_hexdigit()), "{name}: {sum}");
            }
            assert!(!entry.sha256.is_empty(), "{name} has no checksum");
        }
        assert!(catalog.get("nothing").unwrap_err().to_string().contains("efficientnet-lite0"));
    }
}
