//! Pictures in a folder.

use super::ring::Ring;
use crate::hash::Hash;
use bytes::Bytes;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

const RING: &str = "ring";
const KEPT: &str = "kept";
/// Files that are being written begin so.
const UNFINISHED: &str = ".unfinished-";

/// The folder's ring and what is kept in it.
pub(super) struct Disk {
    folder: PathBuf,
    /// The files of the ring. It is locked while one of them is written or deleted, so that the ring and its files
    /// agree; reading needs no lock.
    files: Mutex<Ring<()>>,
    has_warned: AtomicBool,
}

impl Disk {
    pub fn open(folder: &Path, limit: u64) -> Self {
        let disk =
            Self { folder: folder.to_owned(), files: Mutex::new(Ring::new(limit)), has_warned: AtomicBool::new(false) };
        if let Err(error) = disk.find() {
            disk.warn(&error);
        }
        disk
    }

    /// Finds the files that are there, the oldest first. A single file that cannot be read is passed over.
    fn find(&self) -> io::Result<()> {
        fs::create_dir_all(self.folder.join(RING))?;
        for file in self.all_in(KEPT).into_iter().flatten().chain(self.all_in(RING)?) {
            if is_unfinished(&file.path()) {
                // What a process that has crashed was about to write.
                let _ = fs::remove_file(file.path());
            }
        }
        let mut found: Vec<(SystemTime, Hash, u64)> = vec![];
        for file in self.all_in(RING)? {
            let Some(hash) = hash_of(&file.path()) else { continue };
            if let Ok(about) = file.metadata() {
                found.push((about.modified().unwrap_or(SystemTime::UNIX_EPOCH), hash, about.len()));
            }
        }
        found.sort_unstable();
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        for (_, hash, length) in found {
            self.delete(files.add(hash, (), length));
        }
        Ok(())
    }

    /// The files of a place, in the folders that are in it.
    fn all_in(&self, place: &str) -> io::Result<impl Iterator<Item = fs::DirEntry>> {
        let folders = fs::read_dir(self.folder.join(place))?.flatten();
        Ok(folders.filter_map(|folder| fs::read_dir(folder.path()).ok()).flatten().flatten())
    }

    /// Somebody may have tidied up before; what cannot be deleted is found at the next start.
    fn delete(&self, files: Vec<(Hash, ())>) {
        for (hash, ()) in files {
            let _ = fs::remove_file(self.path(RING, &hash));
        }
    }

    /// Adds a file to the ring. The ring may lose its newest files with the power: they are not waited for.
    pub fn put(&self, hash: &Hash, jpeg: &[u8]) {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        if files.contains(hash) {
            return;
        }
        match self.write(RING, hash, jpeg, false) {
            Ok(_) => {
                self.delete(files.add(*hash, (), jpeg.len() as u64));
                if self.has_warned.swap(false, Ordering::Relaxed) {
                    tracing::info!(folder = %self.folder.display(), "pictures can be written again");
                }
            }
            Err(error) => self.warn(&error),
        }
    }

    pub fn get(&self, hash: &Hash) -> Option<Bytes> {
        [RING, KEPT].into_iter().find_map(|place| {
            let bytes: Bytes = fs::read(self.path(place, hash)).ok()?.into();
            (Hash::of(&bytes) == *hash).then_some(bytes)
        })
    }

    /// Where a picture is kept, if it is, and is whole.
    pub fn kept(&self, hash: &Hash) -> Option<PathBuf> {
        let path = self.path(KEPT, hash);
        let bytes = fs::read(&path).ok()?;
        (Hash::of(&bytes) == *hash).then_some(path)
    }

    pub fn keep(&self, hash: &Hash, jpeg: &[u8]) -> io::Result<PathBuf> {
        self.write(KEPT, hash, jpeg, true)
    }

    /// Writes a file that is either whole or not there; a durable one is on the disk, and so is its name, when this
    /// returns.
    fn write(&self, place: &str, hash: &Hash, jpeg: &[u8], is_durable: bool) -> io::Result<PathBuf> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let path = self.path(place, hash);
        let folder = path.parent().unwrap_or(&self.folder).to_owned();
        let said = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
        fs::create_dir_all(&folder).map_err(said)?;
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let unfinished = folder.join(format!("{UNFINISHED}{}-{number}", std::process::id()));
        let written = (|| {
            let mut file = File::create(&unfinished)?;
            file.write_all(jpeg)?;
            if is_durable {
                file.sync_all()?;
            }
            fs::rename(&unfinished, &path)
        })();
        if written.is_err() {
            // If it cannot be deleted either, the next start does.
            let _ = fs::remove_file(&unfinished);
        }
        written.map_err(said)?;
        if is_durable {
            // The names of the file and of the folders that were made for it.
            for folder in [folder.as_path(), &self.folder.join(place), &self.folder] {
                File::open(folder).and_then(|folder| folder.sync_all()).map_err(said)?;
            }
        }
        Ok(path)
    }

    fn path(&self, place: &str, hash: &Hash) -> PathBuf {
        let name = hash.to_string();
        self.folder.join(place).join(&name[..2]).join(format!("{name}.jpg"))
    }

    /// Says once that pictures cannot be written.
    fn warn(&self, error: &io::Error) {
        if !self.has_warned.swap(true, Ordering::Relaxed) {
            let folder = self.folder.display();
            tracing::warn!(%folder, %error, "pictures cannot be written: only the newest are there, in memory");
        }
    }
}

fn hash_of(path: &Path) -> Option<Hash> {
    path.file_name()?.to_str()?.strip_suffix(".jpg")?.parse().ok()
}

fn is_unfinished(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(UNFINISHED))
}
