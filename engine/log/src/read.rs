//! What a log holds.

use crate::codec::{Content, Decoder, TICK, durable_before};
use crate::frame::{self, Frames, Next};
use crate::{Folder, LogError, State, Tick, file_error};
use std::collections::VecDeque;
use std::fs::OpenOptions;
use std::path::{Path, PathBuf};

/// What a log says, in order.
#[derive(Clone, Debug, PartialEq)]
pub enum Entry {
    Tick(Tick),
    State(State),
}

/// Reads a log from its newest checkpoint on: first the ticks of which something counted then, then the ticks since.
/// `repair` cuts off what a killed process has left half-written; only the one who has locked the folder may do that.
///
/// # Errors
/// A folder cannot be read.
pub fn read(folder: &Folder, repair: bool) -> Result<Entries, LogError> {
    if repair {
        folder.clean()?;
    }
    let newest = folder.checkpoints()?.pop();
    let since = newest.as_ref().map_or(0, |(time, _)| *time);
    let segments = folder.segments()?;
    // A segment may begin before the checkpoint and go on after it.
    let first = segments.partition_point(|(begin, _)| *begin <= since).saturating_sub(1);
    let segments = segments.into_iter().skip(first).map(|(_, path)| Source { path, since, is_checkpoint: false });
    let checkpoint = newest.map(|(_, path)| Source { path, since: 0, is_checkpoint: true });
    let files = checkpoint.into_iter().chain(segments).collect();
    Ok(Entries { files, repair, open: None, ticks: 0, last: 0 })
}

/// Reads the ticks after `since` as they came, as far as segments still hold them.
///
/// # Errors
/// The folder cannot be read.
pub fn ticks(folder: &Folder, since: u64) -> Result<impl Iterator<Item = Result<Tick, LogError>> + use<>, LogError> {
    let segments = folder.segments()?;
    let first = segments.partition_point(|(begin, _)| *begin <= since + 1).saturating_sub(1);
    let files =
        segments.into_iter().skip(first).map(|(_, path)| Source { path, since, is_checkpoint: false }).collect();
    let entries = Entries { files, repair: false, open: None, ticks: 0, last: 0 };
    Ok(entries.filter_map(|entry| match entry {
        Ok(Entry::Tick(tick)) => Some(Ok(tick)),
        Ok(Entry::State(_)) => None,
        Err(error) => Some(Err(error)),
    }))
}

/// Reads a checkpoint that was kept.
pub fn read_checkpoint(path: &Path) -> Entries {
    let files = [Source { path: path.to_owned(), since: 0, is_checkpoint: true }].into();
    Entries { files, repair: false, open: None, ticks: 0, last: 0 }
}

/// A file, and the time after which its ticks are wanted.
struct Source {
    path: PathBuf,
    since: u64,
    /// It is whole, or damaged: it got its name when it was finished.
    is_checkpoint: bool,
}

/// The entries of some files, in order.
pub struct Entries {
    files: VecDeque<Source>,
    repair: bool,
    open: Option<Open>,
    /// How many ticks were read, and the time of the last one.
    ticks: u64,
    last: u64,
}

struct Open {
    frames: Frames,
    decoder: Decoder,
    since: u64,
    /// It must still say how many ticks it has.
    is_open_ended: bool,
}

impl Entries {
    /// The next entry; `None` at the end.
    ///
    /// # Errors
    /// A file cannot be read, or is damaged other than by a crash.
    pub fn next_entry(&mut self) -> Result<Option<Entry>, LogError> {
        loop {
            let Some(Open { frames, decoder, since, is_open_ended }) = &mut self.open else {
                let Some(Source { path, since, is_checkpoint }) = self.files.pop_front() else { return Ok(None) };
                match Frames::open(&path)? {
                    Some(frames) => {
                        let decoder = Decoder::default();
                        self.open = Some(Open { frames, decoder, since, is_open_ended: is_checkpoint });
                    }
                    None if is_checkpoint => {
                        return Err(LogError::Damaged { path, at: 0, reason: "it is empty".into() });
                    }
                    // The process was killed before it had written anything.
                    None if self.files.is_empty() => self.cut(&path, 0)?,
                    None => {
                        return Err(LogError::Damaged { path, at: 0, reason: "it is empty, and others follow".into() });
                    }
                }
                continue;
            };
            match frames.next()? {
                Next::End if *is_open_ended => return Err(frames.damaged("the checkpoint is cut off")),
                Next::End => self.open = None,
                Next::Torn(reason) if self.files.is_empty() && !*is_open_ended => {
                    let (path, at) = (frames.path().to_owned(), frames.at());
                    // One who writes goes on meanwhile: for this reader the log ends here.
                    let is_growing = !self.repair && frames.has_grown()?;
                    if !is_growing && was_durable(&path, at, self.last)? {
                        return Err(frames.damaged(reason));
                    }
                    self.open = None;
                    self.cut(&path, at)?;
                }
                Next::Torn(reason) => return Err(frames.damaged(reason)),
                Next::Frame(frame) => match decoder.read(&frame).map_err(|reason| frames.damaged(reason))? {
                    Content::Tick(tick) => {
                        self.ticks += 1;
                        self.last = tick.time;
                        if tick.time > *since {
                            return Ok(Some(Entry::Tick(tick)));
                        }
                    }
                    Content::State(state) => return Ok(Some(Entry::State(state))),
                    Content::End { ticks } if ticks == self.ticks => *is_open_ended = false,
                    Content::End { .. } => return Err(frames.damaged("ticks of the checkpoint are missing")),
                },
            }
        }
    }
    /// Shortens the newest file to what is whole: what comes after was never durable.
    fn cut(&self, path: &Path, at: u64) -> Result<(), LogError> {
        if !self.repair {
            return Ok(());
        }
        let file = OpenOptions::new().write(true).open(path).map_err(file_error(path))?;
        let length = file.metadata().map_err(file_error(path))?.len();
        tracing::info!(file = %path.display(), bytes = length - at, "removing what was never whole at the end of the log");
        if at == 0 {
            return std::fs::remove_file(path).map_err(file_error(path));
        }
        file.set_len(at).and_then(|()| file.sync_all()).map_err(file_error(path))
    }
}

/// Whether something after `last` was durable that a file no longer has at `at`: a later frame knows of it. What a
/// crash leaves unwritten was never durable.
fn was_durable(path: &Path, at: u64, last: u64) -> Result<bool, LogError> {
    let bytes = std::fs::read(path).map_err(file_error(path))?;
    let rest = bytes.get(at as usize..).unwrap_or_default();
    let places = rest.windows(TICK.len()).enumerate().filter(|(_, w)| *w == TICK).map(|(place, _)| place);
    let mut frames = places.filter_map(|place| frame::whole(&rest[place.checked_sub(12)?..]));
    Ok(frames.any(|frame| durable_before(&frame).is_some_and(|durable| durable > last)))
}

impl Iterator for Entries {
    type Item = Result<Entry, LogError>;
    fn next(&mut self) -> Option<Self::Item> {
        self.next_entry().transpose()
    }
}
