//! Copies of a history: to keep elsewhere, to hand on, to go on from.
//!
//! A copy is a data folder itself. It is of one moment, though a run may go on in the folder that it is made of: the log as
//! it is then, the archive before it, and the proof up to the last signature. Copying again adds what has come since.

use crate::archive::{InputArchive, TICKS};
use crate::proof::{self, Signed};
use crate::{bases, cold, layout};
use anyhow::{Context, bail};
use jarvis_log::Folder;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// How often is tried to copy a log that is being made smaller.
const TRIES: usize = 100;

/// What was copied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Copied {
    pub files: usize,
    pub bytes: u64,
}

/// Copies the history in one data folder to another, which must have none, or the beginning of this one. `with_key`: the
/// private key too, so that the copy can go on signing as the same.
///
/// # Errors
/// There is no history, the other folder has another one or is in use, or a file cannot be read or written.
pub fn copy(from: &Path, to: &Path, with_key: bool) -> anyhow::Result<Copied> {
    if !Folder::below(from).path().is_dir() {
        bail!("there is no history in {}: it has no folder log", from.display());
    }
    fs::create_dir_all(to).with_context(|| format!("{} cannot be made", to.display()))?;
    if fs::canonicalize(from)? == fs::canonicalize(to)? {
        bail!("{} cannot be copied to itself", from.display());
    }
    let _writer = Folder::below(to).lock()?;
    let (_reading, _writing) = (layout::lock(from)?, layout::lock(to)?);
    let history = Proved::read(from)?;
    history.check(to)?;
    let mut copied = Copied::default();
    history.write(to, &mut copied)?;
    if with_key {
        copied.file(&proof::folder(from).join("key"), &proof::folder(to).join("key"))?;
    }
    copied.log(from, to)?;
    // Nobody makes or removes parts meanwhile.
    let archive = InputArchive::new(from);
    let until = archive.until()?;
    // The ticks come last: they make the others count.
    let streams = archive.all_streams()?.into_iter().filter(|stream| stream != TICKS);
    for stream in streams.chain([TICKS.to_owned()]) {
        copied.parts(from, &archive.parts(&stream, until)?, &InputArchive::new(to).folder(&stream))?;
    }
    for pipeline in layout::folders(&layout::streams(from))? {
        for stream in layout::folders(&layout::streams(from).join(&pipeline))? {
            let parts = layout::parts(&layout::stream(from, &pipeline, &stream))?;
            copied.parts(from, &parts, &layout::stream(to, &pipeline, &stream))?;
        }
    }
    for base in bases::bases(from)? {
        copied.once(&base.path, &bases::path(to, base.time))?;
    }
    let removed = from.join(crate::retention::FILE);
    if removed.exists() {
        copied.file(&removed, &to.join(crate::retention::FILE))?;
    }
    Ok(copied)
}

impl Copied {
    /// Copies parts that are not there yet, also those that are in a store; what has a name does not change.
    fn parts(&mut self, data: &Path, parts: &[PathBuf], to: &Path) -> anyhow::Result<()> {
        for part in parts {
            let Some(name) = part.file_name().and_then(|name| name.to_str()) else { continue };
            let there = to.join(name.trim_end_matches(layout::COLD_END));
            let size = cold::size(part)?;
            if fs::metadata(&there).is_ok_and(|there| there.len() == size) {
                continue;
            }
            let failed = || format!("{} cannot be copied to {}", part.display(), there.display());
            fs::create_dir_all(to).with_context(failed)?;
            cold::copy(data, part, &there).with_context(failed)?;
            self.files += 1;
            self.bytes += size;
        }
        Ok(())
    }

    fn once(&mut self, from: &Path, to: &Path) -> anyhow::Result<()> {
        let is_there =
            fs::metadata(to).is_ok_and(|there| fs::metadata(from).is_ok_and(|here| here.len() == there.len()));
        if is_there { Ok(()) } else { self.file(from, to) }
    }

    fn file(&mut self, from: &Path, to: &Path) -> anyhow::Result<()> {
        let copy = || {
            to.parent().map_or(Ok(()), fs::create_dir_all)?;
            layout::copy(from, to)?;
            fs::metadata(to)
        };
        let there = copy().with_context(|| format!("{} cannot be copied to {}", from.display(), to.display()))?;
        self.files += 1;
        self.bytes += there.len();
        Ok(())
    }

    /// Copies the log as it is at one moment.
    fn log(&mut self, from: &Path, to: &Path) -> anyhow::Result<()> {
        let (from, to) = (Folder::below(from), Folder::below(to));
        for _ in 0..TRIES {
            let mut files = vec![];
            let mut is_whole = true;
            for file in from.all_files()? {
                let Some(name) = file.file_name() else { continue };
                let there = to.path().join(name);
                match layout::copy(&file, &there) {
                    // A checkpoint has taken its place.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => is_whole = false,
                    copied => {
                        copied.with_context(|| format!("{} cannot be copied to {}", file.display(), there.display()))?
                    }
                }
                files.push(there);
            }
            if !is_whole {
                continue;
            }
            for old in to.all_files()?.into_iter().filter(|file| !files.contains(file)) {
                fs::remove_file(&old).with_context(|| format!("{} cannot be removed", old.display()))?;
            }
            for file in &files {
                self.files += 1;
                self.bytes += fs::metadata(file)?.len();
            }
            return Ok(());
        }
        bail!("the log in {} is made smaller all the time: try again", from.path().display())
    }
}

/// What was signed, as far as it was.
struct Proved {
    keys: Option<String>,
    leaves: Vec<String>,
    signed: Vec<Signed>,
}

impl Proved {
    fn read(data: &Path) -> anyhow::Result<Self> {
        let keys = proof::folder(data).join("key.pub");
        let keys = keys.exists().then(|| fs::read_to_string(&keys)).transpose()?;
        let signed = proof::signed(data, 0)?;
        let mut leaves = proof::lines(&proof::leaves(data))?;
        leaves.truncate(signed.last().map_or(0, |s| usize::try_from(s.size).unwrap_or(usize::MAX)));
        Ok(Proved { keys, leaves, signed })
    }

    /// Another folder may have the beginning of this history.
    fn check(&self, to: &Path) -> anyhow::Result<()> {
        let there = proof::lines(&proof::leaves(to))?;
        if !self.leaves.starts_with(&there) {
            bail!("{} has another history: copy to a folder of its own", to.display());
        }
        if there.is_empty() && !Folder::below(to).all_files()?.is_empty() {
            bail!("{} has a history that was never signed: copy to a folder of its own", to.display());
        }
        Ok(())
    }

    fn write(&self, to: &Path, copied: &mut Copied) -> anyhow::Result<()> {
        let Some(keys) = &self.keys else { return Ok(()) };
        let folder = proof::folder(to);
        fs::create_dir_all(&folder).with_context(|| format!("{} cannot be made", folder.display()))?;
        let text = |lines: &[String]| lines.iter().map(|line| format!("{line}\n")).collect::<String>();
        let signed: Vec<String> = self.signed.iter().map(serde_json::to_string).collect::<Result<_, _>>()?;
        let newest = self.signed.last().map_or(String::new(), |s| s.checkpoint.clone());
        let files = [
            (folder.join("key.pub"), keys.clone()),
            (proof::leaves(to), text(&self.leaves)),
            (proof::checkpoints(to), text(&signed)),
            (folder.join("checkpoint"), newest),
        ];
        for (path, text) in files {
            layout::write(&path, text.as_bytes()).with_context(|| format!("{} cannot be written", path.display()))?;
            copied.files += 1;
            copied.bytes += text.len() as u64;
        }
        Ok(())
    }
}
