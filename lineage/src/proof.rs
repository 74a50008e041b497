//! Proof that history was neither altered nor cut.
//!
//! ```text
//! DATA/proof/key                 the Ed25519 private key, unless another file is named
//! DATA/proof/key.pub             its public half, as a verifier key of C2SP signed notes; after others, if the key was changed
//! DATA/proof/leaves.jsonl        what entered, block by block: a digest per stream
//! DATA/proof/checkpoints.jsonl   signed tree heads over the leaves
//! DATA/proof/checkpoint          the newest of them
//! ```
//!
//! While the log is written, a [`Notary`] digests the rows of every stream. Once a minute, and at the end of a run, it
//! writes a leaf about the ticks since the last one, and signs the root of the Merkle tree over all leaves (RFC 6962). The
//! signed root is a checkpoint (C2SP tlog-checkpoint in a C2SP signed note): whoever has kept one can show later that
//! history was rewritten or shortened. Digests are about rows and not about files, so that what moves from the log to
//! Parquet, or from small parts to large ones, stays provable.

mod digest;
mod notary;
mod note;
mod offline;
mod tree;
mod verify;

pub use notary::Notary;
pub use note::{Checkpoint, Key, NoteError, VerifierKey};
pub use offline::{Proof, ProofError};
pub use verify::{Finding, Verified, verify};

pub(crate) use notary::lines;

use anyhow::Context;
use digest::StreamDigest;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The ticks of a block: everything after one tick, up to and with another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Leaf {
    /// µs since the epoch.
    pub after: u64,
    pub until: u64,
    pub ticks: u64,
    pub streams: BTreeMap<String, StreamLeaf>,
}

/// The rows of a stream in a block.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StreamLeaf {
    pub rows: u64,
    pub sha256: String,
}

/// The digests of a block that is not finished.
#[derive(Default)]
pub(crate) struct Block {
    pub until: u64,
    pub ticks: u64,
    streams: BTreeMap<String, StreamDigest>,
}

impl Block {
    pub fn tick(&mut self, tick: &jarvis_log::Tick) {
        self.until = tick.time;
        self.ticks += 1;
        let ticks = self.streams.entry(crate::archive::TICKS.to_owned()).or_default();
        ticks.number(tick.time, tick.previous);
        for batch in tick.batches.iter().filter(|b| b.rows.num_rows() > 0) {
            self.streams.entry(batch.stream.clone()).or_default().rows(tick.time, &batch.rows, &batch.diffs);
        }
    }
    pub fn leaf(&self, after: u64) -> Leaf {
        let streams = self.streams.iter().map(|(name, digest)| (name.clone(), digest.leaf())).collect();
        Leaf { after, until: self.until, ticks: self.ticks, streams }
    }
}

pub(crate) fn folder(data: &Path) -> PathBuf {
    data.join("proof")
}

pub(crate) fn leaves(data: &Path) -> PathBuf {
    folder(data).join("leaves.jsonl")
}

pub(crate) fn checkpoints(data: &Path) -> PathBuf {
    folder(data).join("checkpoints.jsonl")
}

/// A line of the file of checkpoints.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Signed {
    /// The last tick that is signed, µs since the epoch.
    pub time: u64,
    /// How many leaves there are.
    pub size: u64,
    /// The note.
    pub checkpoint: String,
}

/// The checkpoints that were signed below a data folder, in order, from the n-th on. A line that is not whole yet is left
/// out.
///
/// # Errors
/// The file cannot be read, or is damaged.
pub fn signed(data: &Path, from: usize) -> anyhow::Result<Vec<Signed>> {
    let path = checkpoints(data);
    let lines = lines(&path)?;
    let read = |line: &String| {
        serde_json::from_str(line).map_err(|error| anyhow::anyhow!("{} is damaged: {error}", path.display()))
    };
    lines.iter().skip(from).map(read).collect()
}

/// How many bytes the file of checkpoints has: as long as they are the same, there are no new ones.
pub fn signed_bytes(data: &Path) -> u64 {
    std::fs::metadata(checkpoints(data)).map_or(0, |file| file.len())
}

/// The keys that have signed below a data folder.
///
/// # Errors
/// Nothing was signed, or the file is damaged.
pub fn keys(data: &Path) -> anyhow::Result<Vec<VerifierKey>> {
    let path = folder(data).join("key.pub");
    let text = std::fs::read_to_string(&path)
        .with_context(|| format!("nothing was signed in {}: {} cannot be read", data.display(), path.display()))?;
    text.lines().map(|line| Ok(line.parse()?)).collect()
}
