//! Which files a log has.

use crate::{LogError, file_error};
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

const END: &str = ".jlog";
const SEGMENT: &str = "segment-";
const CHECKPOINT: &str = "checkpoint-";
const UNFINISHED_END: &str = ".unfinished";

/// The folder of a log.
#[derive(Clone, Debug)]
pub struct Folder(PathBuf);

/// The one who may write to a folder.
#[derive(Debug)]
pub struct Locked {
    _lock: File,
}

impl Folder {
    /// The log below a data folder; it need not be there.
    pub fn below(data: &Path) -> Self {
        Folder(data.join("log"))
    }
    pub fn path(&self) -> &Path {
        &self.0
    }
    /// Makes the folder, and keeps others from writing to it.
    ///
    /// # Errors
    /// The folder cannot be made, or somebody else writes to it.
    pub fn lock(&self) -> Result<Locked, LogError> {
        fs::create_dir_all(&self.0).map_err(file_error(&self.0))?;
        let path = self.0.join("LOCK");
        let file = File::create(&path).map_err(file_error(&path))?;
        match file.try_lock() {
            Ok(()) => Ok(Locked { _lock: file }),
            Err(TryLockError::WouldBlock) => Err(LogError::Busy(self.0.clone())),
            Err(TryLockError::Error(source)) => Err(LogError::File { path, source }),
        }
    }
    /// The newest checkpoint, and the last tick that it stands for.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn newest_checkpoint(&self) -> Result<Option<(u64, PathBuf)>, LogError> {
        Ok(self.checkpoints()?.pop())
    }
    /// All files that ticks are in, as they are now.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn all_files(&self) -> Result<Vec<PathBuf>, LogError> {
        Ok(self.checkpoints()?.into_iter().chain(self.segments()?).map(|(_, path)| path).collect())
    }
    pub(crate) fn segment(&self, first: u64) -> PathBuf {
        self.0.join(format!("{SEGMENT}{first:020}{END}"))
    }
    pub(crate) fn checkpoint(&self, time: u64) -> PathBuf {
        self.0.join(format!("{CHECKPOINT}{time:020}{END}"))
    }
    pub(crate) fn unfinished(path: &Path) -> PathBuf {
        let mut name = path.as_os_str().to_owned();
        name.push(UNFINISHED_END);
        name.into()
    }
    /// Segments in order, each with the time that its ticks are not before.
    pub(crate) fn segments(&self) -> Result<Vec<(u64, PathBuf)>, LogError> {
        self.files(SEGMENT)
    }
    /// Checkpoints in order.
    pub(crate) fn checkpoints(&self) -> Result<Vec<(u64, PathBuf)>, LogError> {
        self.files(CHECKPOINT)
    }
    /// Removes what a killed process had begun and not finished.
    pub(crate) fn clean(&self) -> Result<(), LogError> {
        for path in self.entries()? {
            if path.to_string_lossy().ends_with(UNFINISHED_END) {
                fs::remove_file(&path).map_err(file_error(&path))?;
            }
        }
        Ok(())
    }
    /// Names are on disk only when the folder is.
    pub(crate) fn sync(&self) -> Result<(), LogError> {
        #[cfg(unix)]
        File::open(&self.0).and_then(|f| f.sync_all()).map_err(file_error(&self.0))?;
        Ok(())
    }
    fn files(&self, kind: &str) -> Result<Vec<(u64, PathBuf)>, LogError> {
        let named = |path: PathBuf| {
            let name = path.file_name()?.to_str()?.strip_prefix(kind)?.strip_suffix(END)?;
            Some((name.parse().ok()?, path))
        };
        let mut files: Vec<(u64, PathBuf)> = self.entries()?.into_iter().filter_map(named).collect();
        files.sort();
        Ok(files)
    }
    fn entries(&self) -> Result<Vec<PathBuf>, LogError> {
        let entries = match fs::read_dir(&self.0) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(vec![]),
            entries => entries.map_err(file_error(&self.0))?,
        };
        entries.map(|e| e.map(|e| e.path()).map_err(file_error(&self.0))).collect()
    }
}
