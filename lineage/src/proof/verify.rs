//! Whether what is there is what was signed.

use super::notary::{lines, read_leaf};
use super::note::{Checkpoint, NoteError, VerifierKey};
use super::tree::{Growing, Hash, leaf};
use super::{Block, Leaf, Signed, StreamLeaf, leaves, signed};
use crate::archive::{InputArchive, TICKS};
use crate::bases::bases;
use crate::cold::Unreachable;
use crate::layout;
use crate::past::Past;
use crate::retention::Removed;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

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
    /// Blocks that a killed run has not signed any more; the next one will.
    pub unsigned_blocks: u64,
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
    // A run that goes on adds leaves first, then their signature: those that are read here have theirs.
    let signed = signed(data, 0)?;
    let lines = lines(&leaves(data))?;
    let all: Vec<Leaf> = lines.iter().map(|line| read_leaf(line, data)).collect::<Result<_, _>>()?;
    verified.blocks = all.len() as u64;
    verified.until = all.last().map_or(0, |leaf| leaf.until);
    for pair in all.windows(2).filter(|pair| pair[0].until != pair[1].after) {
        verified.find(Some(&pair[1]), "it does not follow the block before it".to_owned());
    }
    signatures(signed, &lines, keys, kept, &mut verified);
    rows(data, all, &mut verified)?;
    Ok(verified)
}

impl Verified {
    fn find(&mut self, leaf: Option<&Leaf>, what: String) {
        self.findings.push(Finding { block: leaf.map(|leaf| (leaf.after, leaf.until)), what });
    }
}

/// Checks the checkpoints against the leaves.
fn signatures(own: Vec<Signed>, lines: &[String], keys: &[VerifierKey], kept: &[String], verified: &mut Verified) {
    let mut tree = Growing::default();
    let mut roots: Vec<Hash> = vec![tree.root()];
    for line in lines {
        tree.push(leaf(line.as_bytes()));
        roots.push(tree.root());
    }
    verified.unsigned_blocks = (lines.len() as u64).saturating_sub(own.last().map_or(0, |s| s.size));
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
    // Nothing is believed that cannot be: rows go up to a base, and then they are gone.
    let archive = InputArchive::new(data);
    let newest = bases(data)?.last().map_or(0, |base| base.time);
    for (stream, before) in removed.streams() {
        let parts = layout::parts(&archive.folder(stream))?;
        let is_there = |part: &PathBuf| layout::upper(part).is_some_and(|upper| upper <= before + 1);
        if before > newest || (stream != TICKS && parts.iter().any(is_there)) {
            verified.find(None, format!("removed.json says that rows of {stream} were removed that were not"));
        }
    }
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
                    verified.find(Some(&leaf), readable(error)?);
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
                verified.find(None, readable(error)?);
                break;
            }
        }
        next = past.next();
    }
    Ok(())
}

/// What is wrong with what could be read; what could not be reached says nothing about it.
fn readable(error: anyhow::Error) -> anyhow::Result<String> {
    let is_away = |cause: &(dyn std::error::Error + 'static)| cause.is::<std::io::Error>() || cause.is::<Unreachable>();
    if error.chain().any(is_away) { Err(error) } else { Ok(format!("{error:#}")) }
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
