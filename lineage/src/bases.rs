//! Where the past can be begun: what still counted at some moments.
//!
//! ```text
//! DATA/bases/base-<time>.jlog     a checkpoint of the log, kept: the inputs that still counted at that tick
//! ```
//!
//! Whoever runs the past again starts at the newest base before the time in question, and not at the beginning. A base is
//! kept when the archive has grown by more than the base takes, so that all of them are never larger than the archive.

use crate::archive::InputArchive;
use crate::{cold, layout};
use jarvis_log::Folder;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

const BEGIN: &str = "base-";
const END: &str = ".jlog";

/// A kept checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Base {
    /// The last tick that it stands for, µs.
    pub time: u64,
    pub path: PathBuf,
}

/// The bases below a data folder, in order.
pub(crate) fn bases(data: &Path) -> io::Result<Vec<Base>> {
    let time = |path: &Path| path.file_name()?.to_str()?.strip_prefix(BEGIN)?.strip_suffix(END)?.parse().ok();
    let files = layout::files(&folder(data), END)?;
    Ok(files.into_iter().filter_map(|path| Some(Base { time: time(&path)?, path })).collect())
}

/// The name of the base at a time.
pub(crate) fn path(data: &Path, time: u64) -> PathBuf {
    folder(data).join(format!("{BEGIN}{time:020}{END}"))
}

fn folder(data: &Path) -> PathBuf {
    data.join("bases")
}

impl InputArchive {
    /// Keeps the log's newest checkpoint as a base, if it is time for one.
    pub(crate) fn keep_base(&self, log: &Folder) -> anyhow::Result<()> {
        let Some((time, checkpoint)) = log.newest_checkpoint()? else { return Ok(()) };
        let last = bases(self.data())?.last().map_or(0, |base| base.time);
        if time <= last || self.size_since(last)? < fs::metadata(&checkpoint)?.len() {
            return Ok(());
        }
        let base = path(self.data(), time);
        fs::create_dir_all(folder(self.data()))?;
        // The log removes its own name of the file, and never writes to it again.
        if fs::hard_link(&checkpoint, &base).is_err() {
            layout::copy(&checkpoint, &base)?;
        }
        Ok(layout::sync_folder(&folder(self.data()))?)
    }

    /// Bytes of the archive that are about what came after a time.
    fn size_since(&self, time: u64) -> anyhow::Result<u64> {
        let mut size = 0;
        for stream in self.all_streams()? {
            for part in layout::parts(&self.folder(&stream))? {
                if layout::upper(&part).is_some_and(|upper| upper > time + 1) {
                    size += cold::size(&part)?;
                }
            }
        }
        Ok(size)
    }
}
