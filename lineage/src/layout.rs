//! Where the files of a stream are and what they are called.

use anyhow::{Context, bail};
use std::path::{Path, PathBuf};
use std::{fs, io};

const PART_BEGIN: &str = "part-";
/// The end of a finished part's name.
pub(crate) const PART_END: &str = ".parquet";
/// What follows the name of a merged part in that of the note about the parts that it stands for.
pub(crate) const REPLACES_END: &str = ".replaces";
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

/// As [`lock`], but waits for nobody: a run goes on.
pub(crate) fn try_lock(data: &Path) -> anyhow::Result<fs::File> {
    let path = data.join(ARCHIVE_LOCK);
    let file = fs::File::create(&path).with_context(|| format!("{} cannot be locked", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => bail!("the history is being copied or tidied; later"),
        Err(fs::TryLockError::Error(error)) => {
            Err(error).with_context(|| format!("{} cannot be locked", path.display()))
        }
    }
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

/// The finished parts of a stream, in order of time; none if there is no such folder.
pub(crate) fn parts(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let here = files(folder, PART_END)?;
    let mut parts: Vec<(u64, u64, PathBuf)> =
        here.iter().cloned().filter_map(|path| Some((lower(&path)?, upper(&path)?, path))).collect();
    for cold in files(folder, &format!("{PART_END}{COLD_END}"))? {
        // A part that is both here and in the store was about to go there.
        let is_here = here.iter().any(|part| cold.to_str().and_then(|c| c.strip_suffix(COLD_END)) == part.to_str());
        let times = lower(&cold).zip(upper(&cold)).filter(|_| !is_here);
        parts.extend(times.map(|(lower, upper)| (lower, upper, cold)));
    }
    for merged in files(folder, REPLACES_END)? {
        let replaced = replaced(&merged)?;
        parts.retain(|(_, _, path)| !replaced.contains(path));
    }
    parts.sort();
    Ok(parts.into_iter().map(|(_, _, path)| path).collect())
}

/// The parts that a merged one stands for, as the note about it says, while they are still there; none before it is
/// finished.
pub(crate) fn replaced(note: &Path) -> io::Result<Vec<PathBuf>> {
    let merged = note.to_str().and_then(|name| name.strip_suffix(REPLACES_END)).map(PathBuf::from);
    if !merged.is_some_and(|merged| merged.exists()) {
        return Ok(vec![]);
    }
    let names = match fs::read_to_string(note) {
        // All are gone, and so is the note.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(vec![]),
        names => names?,
    };
    let folder = note.parent().unwrap_or(Path::new("."));
    Ok(names.lines().map(|name| folder.join(name)).collect())
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
