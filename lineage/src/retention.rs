//! How long history is kept, and what is left of it when the rest is removed.
//!
//! Rows of a stream are removed part by part, never beyond a [base](crate::bases): what still counted then is in the base,
//! so that whatever comes after it can be run again and explained. `DATA/removed.json` says up to when rows of which
//! streams are gone.

use crate::archive::{InputArchive, TICKS};
use crate::bases::bases;
use crate::{cold, layout};
use anyhow::Context;
use jarvis_runtime::floors::COUNTING;
use jarvis_runtime::versions::PIPELINES;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where it is written down what was removed.
pub(crate) const FILE: &str = "removed.json";

/// How long rows are kept after they entered or were recorded.
#[derive(Clone, Debug, Default)]
pub struct Keeping {
    /// Of all streams that are not named; `None`: for ever.
    pub others: Option<Duration>,
    /// By stream, `pipeline.stream`.
    pub streams: BTreeMap<String, Duration>,
}

impl Keeping {
    fn of(&self, stream: &str) -> Option<Duration> {
        self.streams.get(stream).copied().or(self.others)
    }
    /// Before which time rows of a stream need not be kept, µs.
    fn end(&self, stream: &str, now: u64) -> u64 {
        self.of(stream).map_or(0, |keep| now.saturating_sub(u64::try_from(keep.as_micros()).unwrap_or(u64::MAX)))
    }
}

/// By stream, the tick up to which rows may have been removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Removed(BTreeMap<String, u64>);

impl Removed {
    pub fn read(data: &Path) -> anyhow::Result<Self> {
        let path = data.join(FILE);
        let text = match fs::read(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Removed::default()),
            text => text.with_context(|| format!("{} cannot be read", path.display()))?,
        };
        let read = serde_json::from_slice(&text).with_context(|| format!("{} is damaged", path.display()))?;
        Ok(Removed(read))
    }
    /// The tick up to which something is missing.
    pub fn before(&self) -> u64 {
        self.0.values().copied().max().unwrap_or(0)
    }
    pub fn of(&self, stream: &str) -> u64 {
        self.0.get(stream).copied().unwrap_or(0)
    }
    pub fn streams(&self) -> impl Iterator<Item = (&str, u64)> {
        self.0.iter().map(|(stream, before)| (stream.as_str(), *before))
    }
    fn write(&self, data: &Path) -> anyhow::Result<()> {
        let text = serde_json::to_vec_pretty(&self.0)?;
        let path = data.join(FILE);
        layout::write(&path, &text).with_context(|| format!("{} cannot be written", path.display()))
    }
}

/// What was removed, or would be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Retained {
    pub files: usize,
    pub bytes: u64,
    /// The past can be run again from this tick on, µs.
    pub begins: u64,
    /// By stream, the tick up to which rows go.
    pub streams: BTreeMap<String, u64>,
}

/// Removes what need not be kept any longer at `now`, µs; `dry`: only says what that would be.
///
/// # Errors
/// A file cannot be listed or removed. What was removed until then is known to be.
pub fn retain(data: &Path, keeping: &Keeping, now: u64, dry: bool) -> anyhow::Result<Retained> {
    let _lock = layout::lock(data)?;
    let archive = InputArchive::new(data);
    let bases = bases(data)?;
    // The newest base that is old enough.
    let cut = |stream: &str| {
        let end = keeping.end(stream, now);
        bases.iter().rfind(|base| base.time < end).map_or(0, |base| base.time)
    };
    let mut removed = Removed::read(data)?;
    let mut report = Retained::default();
    let mut files: Vec<PathBuf> = vec![];
    let inputs: Vec<String> = archive.all_streams()?.into_iter().filter(|s| s != PIPELINES && s != COUNTING).collect();
    let all = inputs.iter().filter(|s| !s.starts_with("system.")).map(|s| cut(s)).min();
    for stream in &inputs {
        // Ticks belong to all streams.
        let upto = if stream == TICKS { all.unwrap_or_else(|| cut(TICKS)) } else { cut(stream) };
        let mut old = parts_before(&archive.folder(stream), upto + 1)?;
        if stream == TICKS {
            // The newest says up to when parts count.
            let all = layout::parts(&archive.folder(TICKS))?;
            old.retain(|part| all.last() != Some(part));
        }
        if !old.is_empty() {
            report.streams.insert(stream.clone(), upto);
            let known = removed.0.entry(stream.clone()).or_default();
            *known = upto.max(*known);
        }
        files.extend(old);
    }
    for pipeline in layout::folders(&layout::streams(data))? {
        for stream in layout::folders(&layout::streams(data).join(&pipeline))? {
            let name = format!("{pipeline}.{stream}");
            let end = keeping.end(&name, now);
            let old = parts_before(&layout::stream(data, &pipeline, &stream), end)?;
            if !old.is_empty() {
                report.streams.insert(name, end);
            }
            files.extend(old);
        }
    }
    report.begins = removed.before();
    files.extend(bases.into_iter().filter(|base| base.time < report.begins).map(|base| base.path));
    for file in &files {
        report.bytes += cold::size(file)?;
    }
    report.files = files.len();
    if !dry && !files.is_empty() {
        removed.write(data)?;
        for file in files {
            cold::remove(data, &file)?;
        }
    }
    Ok(report)
}

/// The parts of a folder that have no row at `end` or later.
fn parts_before(folder: &Path, end: u64) -> std::io::Result<Vec<PathBuf>> {
    let parts = layout::parts(folder)?;
    Ok(parts.into_iter().filter(|part| layout::upper(part).is_some_and(|upper| upper <= end)).collect())
}
