//! Where the files of a stream are and what they are called.

use std::path::{Path, PathBuf};
use std::{fs, io};

/// The end of a finished part's name.
pub(crate) const PART_END: &str = ".parquet";
/// The end of the name of a part that is being written.
pub(crate) const UNFINISHED_END: &str = ".unfinished";

/// Held by the one who records the stream.
pub(crate) const LOCK: &str = "recorder.lock";

/// The folder of all pipelines.
pub(crate) fn streams(data: &Path) -> PathBuf {
    data.join("streams")
}

/// The folder of what entered, by pipeline.
pub(crate) fn inputs(data: &Path) -> PathBuf {
    data.join("inputs")
}

pub(crate) fn stream(data: &Path, pipeline: &str, stream: &str) -> PathBuf {
    streams(data).join(pipeline).join(stream)
}

/// The name of a part with the rows of `lower <= time < upper`. Names sort by time.
pub(crate) fn part(lower: u64, upper: u64) -> String {
    format!("part-{lower:020}-{upper:020}{PART_END}")
}

/// Before which time the rows of a finished part are.
pub(crate) fn upper(part: &Path) -> Option<u64> {
    part.file_name()?.to_str()?.strip_suffix(PART_END)?.rsplit('-').next()?.parse().ok()
}

/// The finished parts of a stream, in order of time; none if there is no such folder.
pub(crate) fn parts(folder: &Path) -> io::Result<Vec<PathBuf>> {
    files(folder, PART_END)
}

/// What a process that was killed left behind.
pub(crate) fn unfinished(folder: &Path) -> io::Result<Vec<PathBuf>> {
    files(folder, UNFINISHED_END)
}

fn files(folder: &Path, end: &str) -> io::Result<Vec<PathBuf>> {
    let mut files: Vec<PathBuf> = entries(folder)?
        .into_iter()
        .filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().ends_with(end)))
        .collect();
    files.sort();
    Ok(files)
}

/// The names of the folders in a folder, sorted; none if it is not there.
pub(crate) fn folders(folder: &Path) -> io::Result<Vec<String>> {
    let mut names: Vec<String> = entries(folder)?
        .into_iter()
        .filter(|path| path.is_dir())
        .filter_map(|path| path.file_name().and_then(|name| name.to_str()).map(str::to_owned))
        .collect();
    names.sort();
    Ok(names)
}

fn entries(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    entries.map(|entry| entry.map(|e| e.path())).collect()
}
