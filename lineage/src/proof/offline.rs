//! Proofs that are checked without the history: that a block is in it, and that an older checkpoint is about its beginning.
//!
//! The first has the form of C2SP tlog-proof, with the block's leaf as its extra data; the second that of a request to a
//! C2SP witness.

use super::notary::{lines, read_leaf};
use super::note::{Checkpoint, NoteError, VerifierKey};
use super::tree::{self, Hash, consistency, inclusion, is_consistent, root_of_inclusion};
use super::{folder, leaves};
use anyhow::Context;
use base64::prelude::{BASE64_STANDARD, Engine as _};
use std::fmt::Write;
use std::fs;
use std::path::Path;

const INCLUSION: &str = "c2sp.org/tlog-proof@v1";

/// Why a proof proves nothing.
#[derive(Debug, thiserror::Error)]
pub enum ProofError {
    #[error("it is no proof: {0}")]
    Form(&'static str),
    #[error("its checkpoint does not count: {0}")]
    Checkpoint(#[from] NoteError),
    #[error("the block is not in the history that was signed")]
    Inclusion,
    #[error("the history that was signed does not begin with that of the older checkpoint")]
    Consistency,
    #[error("it needs the older checkpoint: name its file with --old")]
    Old,
}

/// A proof against a signed checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    about: About,
    path: Vec<Hash>,
    checkpoint: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum About {
    Block { index: u64, leaf: Vec<u8> },
    Beginning { size: u64 },
}

impl Proof {
    /// That the block with a tick is in the history, as it was last signed.
    ///
    /// # Errors
    /// The tick has not been signed, or the leaves cannot be read.
    pub fn of_time(data: &Path, time: u64) -> anyhow::Result<Self> {
        let (all, checkpoint, size) = newest(data)?;
        let mut found = None;
        for (index, line) in all[..size].iter().enumerate() {
            let leaf = read_leaf(line, data)?;
            if leaf.after < time && time <= leaf.until {
                found = Some((index, line));
            }
        }
        let (index, line) = found.context("no signed block is about that time: blocks are signed every minute")?;
        let hashes = hashes(&all[..size]);
        let about = About::Block { index: index as u64, leaf: line.as_bytes().to_vec() };
        Ok(Proof { about, path: inclusion(index, &hashes), checkpoint })
    }

    /// That the history begins with the first `old` blocks that an older checkpoint was about.
    ///
    /// # Errors
    /// The history is shorter than that, or the leaves cannot be read.
    pub fn since(data: &Path, old: u64) -> anyhow::Result<Self> {
        let (all, checkpoint, size) = newest(data)?;
        anyhow::ensure!(
            old <= size as u64,
            "the older checkpoint is about {old} blocks, the history has {size}: it was cut"
        );
        let path = consistency(usize::try_from(old)?, &hashes(&all[..size]));
        Ok(Proof { about: About::Beginning { size: old }, path, checkpoint })
    }

    /// Checks a proof, and says what it proves.
    ///
    /// # Errors
    /// It proves nothing.
    pub fn check(&self, key: &VerifierKey, old: Option<&str>) -> Result<String, ProofError> {
        let checkpoint = Checkpoint::open(&self.checkpoint, key)?;
        match &self.about {
            About::Block { index, leaf } => {
                let root = root_of_inclusion(*index, checkpoint.size, tree::leaf(leaf), &self.path);
                if root != Some(checkpoint.root) {
                    return Err(ProofError::Inclusion);
                }
                let text = String::from_utf8_lossy(leaf);
                Ok(format!("block {index} of {} that {} has signed reads {text}", checkpoint.size, key.name()))
            }
            About::Beginning { size } => {
                let old = Checkpoint::open(old.ok_or(ProofError::Old)?, key)?;
                let is_it = old.size == *size
                    && is_consistent((old.size, old.root), (checkpoint.size, checkpoint.root), &self.path);
                if !is_it {
                    return Err(ProofError::Consistency);
                }
                let Checkpoint { size: now, .. } = checkpoint;
                Ok(format!(
                    "the {now} blocks that {} has signed begin with the {size} of the older checkpoint",
                    key.name()
                ))
            }
        }
    }
}

/// All leaves, the newest checkpoint, and how many of the leaves it is about.
fn newest(data: &Path) -> anyhow::Result<(Vec<String>, String, usize)> {
    let path = folder(data).join("checkpoint");
    let checkpoint = fs::read_to_string(&path)
        .with_context(|| format!("nothing was signed yet: {} cannot be read", path.display()))?;
    let size = checkpoint.lines().nth(1).and_then(|size| size.parse().ok());
    let all = lines(&leaves(data))?;
    let size: usize = size
        .filter(|size| *size <= all.len())
        .with_context(|| format!("{} is about more blocks than {} has", path.display(), leaves(data).display()))?;
    Ok((all, checkpoint, size))
}

fn hashes(lines: &[String]) -> Vec<Hash> {
    lines.iter().map(|line| tree::leaf(line.as_bytes())).collect()
}

impl std::fmt::Display for Proof {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.about {
            About::Block { index, leaf } => {
                writeln!(f, "{INCLUSION}\nextra {}\nindex {index}", BASE64_STANDARD.encode(leaf))?;
            }
            About::Beginning { size } => writeln!(f, "old {size}")?,
        }
        self.path.iter().try_for_each(|hash| writeln!(f, "{}", BASE64_STANDARD.encode(hash)))?;
        f.write_char('\n')?;
        f.write_str(&self.checkpoint)
    }
}

impl std::str::FromStr for Proof {
    type Err = ProofError;

    fn from_str(text: &str) -> Result<Self, ProofError> {
        let (head, checkpoint) = text.split_once("\n\n").ok_or(ProofError::Form("there is no checkpoint in it"))?;
        let mut lines = head.lines();
        let number = |text: &str| text.parse().map_err(|_| ProofError::Form("a number is missing"));
        let about = match lines.next() {
            Some(INCLUSION) => {
                let extra = lines.next().and_then(|line| line.strip_prefix("extra "));
                let leaf = extra.and_then(|leaf| BASE64_STANDARD.decode(leaf).ok());
                let leaf = leaf.ok_or(ProofError::Form("it does not say what the block is about"))?;
                let index = lines.next().and_then(|line| line.strip_prefix("index "));
                About::Block { index: number(index.unwrap_or_default())?, leaf }
            }
            Some(line) => {
                let size = line.strip_prefix("old ").ok_or(ProofError::Form("its first line is unknown"))?;
                About::Beginning { size: number(size)? }
            }
            None => return Err(ProofError::Form("it is empty")),
        };
        let hash = |line: &str| BASE64_STANDARD.decode(line).ok().and_then(|hash| hash.try_into().ok());
        let path = lines.map(hash).collect::<Option<Vec<Hash>>>();
        let path = path.ok_or(ProofError::Form("a line is no SHA-256"))?;
        Ok(Proof { about, path, checkpoint: checkpoint.to_owned() })
    }
}
