//! Whether what is there is what was signed.

use super::notary::{lines, read_leaf};
use super::note::{Checkpoint, NoteError, VerifierKey};
use super::tree::{Growing, Hash, leaf};
use super::{Block, Leaf, StreamLeaf, leaves, signed};
use crate::archive::TICKS;
use crate::past::Past;
use crate::retention::Removed;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::Path;

/// Something that is not as it was signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The block's first and last moment, µs; `None`: it is about the whole.
    pub block: Option<(u64, u64)>,
    /// In words.
    pub what: String,
}

/// The result of a verification.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Verified {
    pub blocks: u64,
    pub checkpoints: u64,
    pub ticks: u64,
    pub rows: u64,
    /// The last tick that is signed, µs.
    pub until: u64,
    /// Ticks that have come since.
    pub unsigned: u64,
    /// By stream, the tick up to which rows were removed, as the data folder says.
    pub removed: BTreeMap<String, u64>,
    pub findings: Vec<Finding>,
}

/// Compares all history below a data folder with what was signed: the rows with the digests, the digests with the tree,
/// the tree with all checkpoints. `keys`: whose signatures count, if not those of the folder; `kept`: checkpoints that
/// somebody has kept elsewhere.
///
/// # Errors
/// There is nothing that was signed, or it cannot be read.
pub fn verify(data: &Path, keys: &[VerifierKey], kept: &[String]) -> anyhow::Result<Verified> {
    let own = super::keys(data)?;
    let keys = if keys.is_empty() { own.as_slice() } else { keys };
    let mut verified = Verified::default();
    let lines = lines(&leaves(data))?;
    let all: Vec<Leaf> = lines.iter().map(|line| read_leaf(line, data)).collect::<Result<_, _>>()?;
    verified.blocks = all.len() as u64;
    verified.until = all.last().map_or(0, |leaf| leaf.until);
    for pair in all.windows(2).filter(|pair| pair[0].until != pair[1].after) {
        verified.find(Some(&pair[1]), "it does not follow the block before it".to_owned());
    }
    signatures(data, &lines, keys, kept, &mut verified)?;
    rows(data, all, &mut verified)?;
    Ok(verified)
}

impl Verified {
    fn find(&mut self, leaf: Option<&Leaf>, what: String) {
        self.findings.push(Finding { block: leaf.map(|leaf| (leaf.after, leaf.until)), what });
    }
}

/// Checks the checkpoints against the leaves.
fn signatures(
    data: &Path,
    lines: &[String],
    keys: &[VerifierKey],
    kept: &[String],
    verified: &mut Verified,
) -> anyhow::Result<()> {
    let mut tree = Growing::default();
    let mut roots: Vec<Hash> = vec![tree.root()];
    for line in lines {
        tree.push(leaf(line.as_bytes()));
        roots.push(tree.root());
    }
    let own = signed(data, 0)?;
    if own.last().map_or(0, |s| s.size) < lines.len() as u64 {
        verified.find(None, "the newest blocks are not signed".to_owned());
    }
    let own = own.into_iter().map(|s| ("a checkpoint of the folder", s.checkpoint));
    let kept = kept.iter().map(|note| ("the checkpoint that was kept", note.clone()));
    for (which, note) in own.chain(kept) {
        verified.checkpoints += 1;
        let what = match open(&note, keys) {
            Err(error) => format!("{which} does not count: {error}"),
            Ok(checkpoint) => match usize::try_from(checkpoint.size).ok().and_then(|size| roots.get(size)) {
                None => {
                    format!("{which} is about {} blocks, there are {}: history was cut", checkpoint.size, lines.len())
                }
                Some(root) if *root == checkpoint.root => continue,
                Some(_) => {
                    format!("the first {} blocks are not those of {which}: history was rewritten", checkpoint.size)
                }
            },
        };
        verified.find(None, what);
    }
    Ok(())
}

/// The checkpoint, if one of the keys has signed it.
fn open(note: &str, keys: &[VerifierKey]) -> Result<Checkpoint, NoteError> {
    let mut why = NoteError::Form;
    for key in keys {
        match Checkpoint::open(note, key) {
            Ok(checkpoint) => return Ok(checkpoint),
            // One that is of this key and wrong says more than one that is of another.
            Err(error) if !matches!(error, NoteError::Unsigned(_)) || matches!(why, NoteError::Form) => why = error,
            Err(_) => {}
        }
    }
    Err(why)
}

/// Checks the leaves against the rows.
fn rows(data: &Path, leaves: Vec<Leaf>, verified: &mut Verified) -> anyhow::Result<()> {
    let removed = Removed::read(data)?;
    verified.removed = removed.streams().map(|(stream, before)| (stream.to_owned(), before)).collect();
    // Where even the ticks are gone, nothing is left to be compared.
    let begins = removed.of(TICKS);
    let mut past = Past::after(data, begins)?;
    let mut next = past.next();
    for leaf in leaves.into_iter().filter(|leaf| leaf.until > begins) {
        let mut block = Block::default();
        loop {
            match next {
                Some(Ok(tick)) if tick.time <= leaf.until => {
                    verified.ticks += 1;
                    verified.rows += tick.batches.iter().map(|b| b.rows.num_rows() as u64).sum::<u64>();
                    block.tick(&tick);
                    next = past.next();
                }
                Some(Err(error)) => {
                    verified.find(Some(&leaf), format!("{error:#}"));
                    return Ok(());
                }
                _ => break,
            }
        }
        let found = block.leaf(leaf.after).streams;
        compare(&leaf, &found, &removed, verified);
    }
    while let Some(tick) = next {
        match tick {
            Ok(_) => verified.unsigned += 1,
            Err(error) => {
                verified.find(None, format!("{error:#}"));
                break;
            }
        }
        next = past.next();
    }
    Ok(())
}

fn compare(leaf: &Leaf, found: &BTreeMap<String, StreamLeaf>, removed: &Removed, verified: &mut Verified) {
    let names = leaf.streams.keys().chain(found.keys().filter(|name| !leaf.streams.contains_key(*name)));
    for name in names {
        // Rows were removed by parts, which may end within a block.
        if removed.of(name).max(removed.of(TICKS)) > leaf.after {
            continue;
        }
        let rows = |of: Option<&StreamLeaf>| of.map_or(0, |leaf| leaf.rows);
        let (was, is) = (leaf.streams.get(name), found.get(name));
        let what = match (rows(was), rows(is)) {
            _ if was == is => continue,
            (before, 0) => format!("the {before} rows of {name} are gone"),
            (before, now) if before == now => format!("rows of {name} were altered"),
            (before, now) => format!("{name} had {before} rows, and has {now}"),
        };
        verified.find(Some(leaf), what);
    }
}
