//! Where the files of a stream are and what they are called.

use anyhow::Context;
use std::path::{Path, PathBuf};
use std::{fs, io};

const PART_BEGIN: &str = "part-";
/// The end of a finished part's name.
pub(crate) const PART_END: &str = ".parquet";
/// What follows the name of a part that is in the store.
pub(crate) const COLD_END: &str = ".cold";
/// The end of the name of a part that is being written.
pub(crate) const UNFINISHED_END: &str = ".unfinished";

/// Held by the one who records the stream.
pub(crate) const LOCK: &str = "recorder.lock";

/// Held by the one who makes parts of the archive or takes them away.
const ARCHIVE_LOCK: &str = "archive.lock";

/// Waits until nobody else makes or removes parts below a data folder.
pub(crate) fn lock(data: &Path) -> anyhow::Result<fs::File> {
    let path = data.join(ARCHIVE_LOCK);
    let locked = fs::File::create(&path).and_then(|file| file.lock().map(|()| file));
    locked.with_context(|| format!("{} cannot be locked", path.display()))
}

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
    format!("{PART_BEGIN}{lower:020}-{upper:020}{PART_END}")
}

/// Not before which time the rows of a part are.
pub(crate) fn lower(part: &Path) -> Option<u64> {
    part.file_name()?.to_str()?.strip_prefix(PART_BEGIN)?.split(['-', '.']).next()?.parse().ok()
}

/// Before which time the rows of a finished part are.
pub(crate) fn upper(part: &Path) -> Option<u64> {
    let name = part.file_name()?.to_str()?;
    name.strip_suffix(COLD_END).unwrap_or(name).strip_suffix(PART_END)?.rsplit('-').next()?.parse().ok()
}

/// The finished parts of a stream, in order of time; none if there is no such folder. Small parts are made one large
/// one now and then: a part within the time of another has been, and no longer counts.
pub(crate) fn parts(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let here = files(folder, PART_END)?.into_iter();
    let cold = files(folder, &format!("{PART_END}{COLD_END}"))?;
    let mut parts: Vec<(u64, u64, PathBuf)> =
        here.chain(cold).filter_map(|path| Some((lower(&path)?, upper(&path)?, path))).collect();
    // Of a part that is both here and in the store, the one that is here.
    parts.sort_by(|a, b| (a.0, b.1, &a.2).cmp(&(b.0, a.1, &b.2)));
    let mut until = 0;
    parts.retain(|(_, upper, _)| {
        let is_within = *upper <= until;
        until = until.max(*upper);
        !is_within
    });
    Ok(parts.into_iter().map(|(_, _, path)| path).collect())
}

/// What a process that was killed left behind.
pub(crate) fn unfinished(folder: &Path) -> io::Result<Vec<PathBuf>> {
    files(folder, UNFINISHED_END)
}

/// The files in a folder whose names end so, sorted; none if it is not there.
pub(crate) fn files(folder: &Path, end: &str) -> io::Result<Vec<PathBuf>> {
    let mut files: Vec<PathBuf> = entries(folder)?
        .into_iter()
        .filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().ends_with(end)))
        .collect();
    files.sort();
    Ok(files)
}

/// Copies a file; it has its name when it is whole and on disk.
pub(crate) fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let mut unfinished = to.as_os_str().to_owned();
    unfinished.push(UNFINISHED_END);
    fs::copy(from, &unfinished)?;
    fs::File::open(&unfinished)?.sync_all()?;
    fs::rename(&unfinished, to)
}

/// Writes a small file; it has its name when it is whole and on disk.
pub(crate) fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push(UNFINISHED_END);
    let mut file = fs::File::create(&unfinished)?;
    io::Write::write_all(&mut file, content)?;
    file.sync_all()?;
    fs::rename(&unfinished, path)?;
    path.parent().map_or(Ok(()), sync_folder)
}

/// Names are on disk only when their folder is.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    #[cfg(unix)]
    fs::File::open(folder)?.sync_all()?;
    Ok(())
}

/// The folders of all streams, of what entered and of views.
pub(crate) fn all_folders(data: &Path) -> io::Result<Vec<PathBuf>> {
    let mut all = vec![];
    for root in [inputs(data), streams(data)] {
        for pipeline in folders(&root)? {
            let here = root.join(&pipeline);
            all.extend(folders(&here)?.iter().map(|stream| here.join(stream)));
        }
    }
    Ok(all)
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
