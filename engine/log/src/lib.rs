//! The log: what entered the graph, tick by tick, on disk before its consequences leave.
//!
//! ```text
//! DATA/log/LOCK                        held by the process that writes
//! DATA/log/segment-<first>.jlog        ticks in order; a new file for every 64 MiB and after every checkpoint
//! DATA/log/checkpoint-<time>.jlog      what still counted at a time, and what sinks had been told by then
//! ```
//!
//! All files consist of frames: a length, a checksum, a header in JSON, and Arrow IPC messages. A tick is one
//! frame. [`Writer`] appends ticks on a thread of its own and syncs all that wait at once (group commit);
//! [`read`] gives back a checkpoint and the ticks after it. What a killed process left half-written at the end of the
//! newest segment was never durable, and is cut off; damage anywhere else is an error that says where.

mod codec;
mod files;
mod frame;
mod read;
mod tick;
mod writer;

pub use files::{Folder, Locked};
pub use read::{Entries, Entry, read, read_checkpoint, ticks};
pub use tick::{Batch, Blob, Mark, State, Tick};
pub use writer::{Checkpointing, Options, Witness, Writer};

use arrow::error::ArrowError;
use std::io;
use std::path::{Path, PathBuf};

/// Why the log could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    #[error("the log cannot be kept in {}: {source}", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("the log {} is damaged at byte {at}: {reason}; what comes before can be read", path.display())]
    Damaged { path: PathBuf, at: u64, reason: String },
    #[error("the log {} is of another version of jarvis: it begins with {found:?}", path.display())]
    Version { path: PathBuf, found: Vec<u8> },
    #[error("the data folder {} is in use by another jarvis", .0.display())]
    Busy(PathBuf),
    #[error("rows cannot be written to the log: {0}")]
    Rows(#[from] ArrowError),
    #[error("the log's writer has ended")]
    Ended,
}

pub(crate) fn file_error(path: &Path) -> impl FnOnce(io::Error) -> LogError {
    let path = path.to_owned();
    |source| LogError::File { path, source }
}
