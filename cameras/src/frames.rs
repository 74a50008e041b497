//! The pixels: a bounded ring in memory and on disk, and those that are kept for good.
//!
//! Events carry a picture's hash; whoever needs the pixels asks here. New pictures push the oldest out, of memory first
//! and then of the disk. A picture that is evidence (of a failed print, of a door that was opened) is [kept]: copied to
//! where the ring never drops it, with the guarantee that it survives a loss of power.
//!
//! ```text
//! FOLDER/ring/ab/ab12….jpg    the ring; found again after a restart, in order of age
//! FOLDER/kept/ab/ab12….jpg    for good
//! ```
//!
//! The name of a file is the hash of its content, and is checked whenever it is read: a file that a crash has cut off,
//! or somebody has changed, is no picture.
//!
//! A disk that is full or cannot be written is said once in the log, and the ring goes on in memory.
//!
//! All functions may wait for the disk: call them from a thread that may block (`tokio::task::spawn_blocking`), not
//! from an asynchronous task. They may be called from any number of threads; memory is not locked while the disk is
//! waited for.
//!
//! [kept]: Frames::keep

mod disk;
mod ring;

use crate::hash::Hash;
use bytes::Bytes;
use disk::Disk;
use ring::Ring;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

/// How much the ring may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// In memory; pictures that are kept without a folder may take as much again.
    pub memory_bytes: u64,
    /// On disk; what is kept is not counted.
    pub disk_bytes: u64,
}

impl Default for Limits {
    /// 64 MiB and 2 GiB: some 300 and 10,000 pictures of 200 kB.
    fn default() -> Self {
        Self { memory_bytes: 64 << 20, disk_bytes: 2 << 30 }
    }
}

/// The pictures of all cameras, by their hashes.
pub struct Frames {
    disk: Option<Disk>,
    memory: Mutex<Memory>,
}

struct Memory {
    ring: Ring<Bytes>,
    /// Kept, yet not on disk.
    pinned: Ring<Bytes>,
}

type Shared = BTreeMap<Option<PathBuf>, Weak<Frames>>;

impl Frames {
    /// Opens the pictures of a folder, which is made if it is not there; without a folder they are in memory only.
    /// One that cannot be used is said in the log.
    pub fn open(folder: Option<&Path>, limits: Limits) -> Self {
        let disk = folder.map(|folder| Disk::open(folder, limits.disk_bytes));
        let memory = Memory { ring: Ring::new(limits.memory_bytes), pinned: Ring::new(limits.memory_bytes) };
        Self { disk, memory: Mutex::new(memory) }
    }

    /// The pictures of a folder as everybody in this process has them, with the default limits. They are closed when
    /// nobody has them any more.
    pub fn shared(folder: Option<&Path>) -> Arc<Self> {
        static SHARED: OnceLock<Mutex<Shared>> = OnceLock::new();
        let path = folder.map(|folder| {
            // Two ways to write a path are one folder. One that cannot be made is said when it is opened.
            let _ = std::fs::create_dir_all(folder);
            folder.canonicalize().or_else(|_| std::path::absolute(folder)).unwrap_or_else(|_| folder.to_owned())
        });
        let mut shared = SHARED.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(frames) = shared.get(&path).and_then(Weak::upgrade) {
            return frames;
        }
        shared.retain(|_, frames| frames.strong_count() > 0);
        let frames = Arc::new(Self::open(path.as_deref(), Limits::default()));
        shared.insert(path, Arc::downgrade(&frames));
        frames
    }

    /// Adds a picture. One that is there already is not added again, and keeps its age.
    pub fn put(&self, hash: &Hash, jpeg: Bytes) {
        let length = jpeg.len() as u64;
        let is_new = {
            let mut memory = self.memory();
            let is_new = !memory.ring.contains(hash);
            drop(memory.ring.add(*hash, jpeg.clone(), length));
            is_new
        };
        if let Some(disk) = self.disk.as_ref().filter(|_| is_new) {
            disk.put(hash, &jpeg);
        }
    }

    /// A picture, if it is still there.
    pub fn get(&self, hash: &Hash) -> Option<Bytes> {
        let found = {
            let memory = self.memory();
            memory.ring.get(hash).or_else(|| memory.pinned.get(hash)).cloned()
        };
        found.or_else(|| self.disk.as_ref()?.get(hash))
    }

    /// Keeps a picture for good; where it is kept. When this returns it is on the disk. Keeping it again does nothing.
    ///
    /// Where that cannot be, it is kept in memory, within the limit, and an error says so.
    ///
    /// # Errors
    /// `NotFound`: the ring has dropped the picture. `Unsupported`: there is no folder. Others: the disk cannot be
    /// written.
    pub fn keep(&self, hash: &Hash) -> io::Result<PathBuf> {
        if let Some(path) = self.disk.as_ref().and_then(|disk| disk.kept(hash)) {
            return Ok(path);
        }
        let Some(jpeg) = self.get(hash) else {
            let text = format!("the picture {hash} is no longer there to be kept");
            return Err(io::Error::new(io::ErrorKind::NotFound, text));
        };
        let result = match &self.disk {
            Some(disk) => disk.keep(hash, &jpeg),
            None => Err(io::Error::new(
                io::ErrorKind::Unsupported,
                format!("there is no folder to keep pictures in: {hash} is kept in memory only"),
            )),
        };
        let length = jpeg.len() as u64;
        let mut memory = self.memory();
        match &result {
            Ok(_) => drop(memory.pinned.remove(hash)),
            Err(_) => drop(memory.pinned.add(*hash, jpeg, length)),
        }
        result
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        // Nothing under this lock panics half way.
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
