//! Digests what goes to the log, and signs for it now and then.

use super::note::{Checkpoint, Key};
use super::tree::{Growing, leaf};
use super::{Block, Leaf, Signed, checkpoints, folder, leaves};
use crate::layout;
use crate::past::Past;
use anyhow::Context;
use jarvis_log::{Tick, Witness};
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Where the private key is, if not in the data folder.
pub const KEY_FILE: &str = "JARVIS_SIGNING_KEY";

/// Sees all ticks on their way to the disk.
pub struct Notary {
    data: PathBuf,
    /// How long a block lasts.
    lasts: Duration,
    key: Key,
    tree: Growing,
    /// The last tick of the last leaf, µs.
    after: u64,
    block: Block,
    /// When the block is to be finished; `None`: nothing has come since the last one.
    due: Option<Instant>,
    /// What has come since the last leaf could not be read: nothing can be signed.
    is_lost: bool,
}

impl Notary {
    /// Goes on after the last leaf, with the ticks that have come since; a block `lasts` so long.
    ///
    /// # Errors
    /// The key or the leaves cannot be read.
    pub fn start(data: &Path, lasts: Duration) -> anyhow::Result<Self> {
        fs::create_dir_all(folder(data)).with_context(|| format!("{} cannot be made", folder(data).display()))?;
        let key = Key::at(&std::env::var_os(KEY_FILE).map_or_else(|| folder(data).join("key"), PathBuf::from))?;
        introduce(data, &key)?;
        repair(&leaves(data))?;
        repair(&checkpoints(data))?;
        let (mut tree, mut after) = (Growing::default(), 0);
        for line in lines(&leaves(data))? {
            let read: Leaf = read_leaf(&line, data)?;
            after = read.until;
            tree.push(leaf(line.as_bytes()));
        }
        let mut notary = Notary {
            data: data.to_owned(),
            lasts,
            key,
            tree,
            after,
            block: Block::default(),
            due: None,
            is_lost: false,
        };
        for tick in Past::after(data, after)? {
            match tick {
                Ok(tick) => notary.tick(&tick),
                // The run goes on; `jarvis lineage verify` will find the place.
                Err(error) => {
                    tracing::error!("nothing is signed: the history since the last signature is not whole: {error:#}");
                    notary.is_lost = true;
                    break;
                }
            }
        }
        notary.durable();
        Ok(notary)
    }

    /// Writes the leaf and the signature. If that fails, the block goes on, and all is as it was.
    fn seal(&mut self) -> anyhow::Result<()> {
        let line = serde_json::to_string(&self.block.leaf(self.after))?;
        let mut tree = self.tree.clone();
        tree.push(leaf(line.as_bytes()));
        let checkpoint = Checkpoint { origin: self.key.name().to_owned(), size: tree.size(), root: tree.root() };
        let note = self.key.sign(&checkpoint.text());
        let signed = Signed { time: self.block.until, size: checkpoint.size, checkpoint: note.clone() };
        let (leaves, checkpoints) = (leaves(&self.data), checkpoints(&self.data));
        let length = fs::metadata(&leaves).map_or(0, |file| file.len());
        append(&leaves, &line)?;
        if let Err(error) = append(&checkpoints, &serde_json::to_string(&signed)?) {
            cut(&leaves, length)?;
            return Err(error);
        }
        self.after = self.block.until;
        self.block = Block::default();
        self.tree = tree;
        let newest = folder(&self.data).join("checkpoint");
        layout::write(&newest, note.as_bytes()).with_context(|| format!("{} cannot be written", newest.display()))
    }

    /// Finishes the block; what cannot be written is told, and tried again later.
    fn finish(&mut self) {
        self.due = None;
        if self.block.ticks == 0 || self.is_lost {
            return;
        }
        if let Err(error) = self.seal() {
            tracing::error!("history could not be signed: {error:#}");
            self.due = Some(Instant::now() + self.lasts);
        }
    }
}

impl Witness for Notary {
    fn tick(&mut self, tick: &Tick) {
        if !self.is_lost {
            self.block.tick(tick);
        }
    }
    fn durable(&mut self) -> Option<Instant> {
        if self.block.ticks == 0 || self.is_lost {
            return None;
        }
        let due = *self.due.get_or_insert_with(|| Instant::now() + self.lasts);
        if due <= Instant::now() {
            self.finish();
        }
        self.due
    }
    fn end(&mut self) {
        self.finish();
    }
}

/// Adds a key to those that have signed, if it is new.
fn introduce(data: &Path, key: &Key) -> anyhow::Result<()> {
    let path = folder(data).join("key.pub");
    let mut keys = if path.exists() { lines(&path)? } else { vec![] };
    let own = key.verifier().to_string();
    if keys.last() == Some(&own) {
        return Ok(());
    }
    keys.retain(|key| *key != own);
    keys.push(own);
    let text: String = keys.iter().map(|key| format!("{key}\n")).collect();
    layout::write(&path, text.as_bytes()).with_context(|| format!("{} cannot be written", path.display()))
}

/// The whole lines of a file; none if it is not there.
pub(crate) fn lines(path: &Path) -> anyhow::Result<Vec<String>> {
    let text = match fs::read_to_string(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(vec![]),
        text => text.with_context(|| format!("{} cannot be read", path.display()))?,
    };
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    Ok(whole.lines().map(str::to_owned).collect())
}

pub(super) fn read_leaf(line: &str, data: &Path) -> anyhow::Result<Leaf> {
    serde_json::from_str(line).with_context(|| format!("{} is damaged", leaves(data).display()))
}

/// Cuts off a line that a killed process has not finished.
fn repair(path: &Path) -> anyhow::Result<()> {
    let text = match fs::read(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        text => text.with_context(|| format!("{} cannot be read", path.display()))?,
    };
    let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    if whole < text.len() {
        cut(path, whole as u64)?;
    }
    Ok(())
}

/// Appends a line, or leaves the file as it was.
fn append(path: &Path, line: &str) -> anyhow::Result<()> {
    let length = fs::metadata(path).map_or(0, |file| file.len());
    let write = || {
        let mut file = OpenOptions::new().append(true).create(true).open(path)?;
        file.write_all(format!("{line}\n").as_bytes())?;
        file.sync_data()
    };
    let written = write().with_context(|| format!("{} cannot be written", path.display()));
    if written.is_err() {
        cut(path, length)?;
    }
    written
}

/// Shortens a file to what it was.
fn cut(path: &Path, length: u64) -> anyhow::Result<()> {
    let cut = || OpenOptions::new().write(true).open(path).and_then(|file| file.set_len(length));
    cut().with_context(|| format!("{} cannot be repaired", path.display()))
}
