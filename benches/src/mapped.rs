//! A file of lines, mapped into memory and read by several workers at once.
//!
//! A worker takes every n-th block of a few KiB and in it every line that starts there, so all workers stay at about
//! the same place of the file and none looks at another's bytes.
//!
//! `unsafe` stands here twice. Mapping a file is sound while nobody truncates it; the data sets are written once and
//! renamed into place. Telling the kernel to forget pages of a shared, read-only mapping loses nothing: the next
//! access reads them from the file again. It is done so that the peak memory of a run is that of the program and not
//! the size of its input.

use anyhow::{Context, Result};
use memmap2::Mmap;
use std::fs::File;
use std::path::{Path, PathBuf};

/// Bytes per block: a small part of a commit, so that the workers share each commit evenly.
const BLOCK: usize = 4 << 10;
/// Read bytes are given back to the kernel in steps of this many.
const FORGET: usize = 1 << 20;

/// A file of lines in memory.
pub struct Mapped {
    path: PathBuf,
    /// `None` for an empty file, which cannot be mapped everywhere.
    map: Option<Mmap>,
}

impl Mapped {
    /// Maps a file.
    pub fn open(path: &Path) -> Result<Self> {
        let open = || -> std::io::Result<Option<Mmap>> {
            let file = File::open(path)?;
            if file.metadata()?.len() == 0 {
                return Ok(None);
            }
            // SAFETY: see the head of the file.
            unsafe { Mmap::map(&file) }.map(Some)
        };
        let map = open().with_context(|| format!("reading {}", path.display()))?;
        Ok(Mapped { path: path.to_owned(), map })
    }

    /// The bytes of the file.
    pub fn bytes(&self) -> &[u8] {
        self.map.as_deref().unwrap_or_default()
    }

    /// The lines of worker `index` among `peers`, in order, without the blank ones.
    pub fn lines(&self, index: usize, peers: usize) -> Lines<'_> {
        Lines { file: self, block: index, peers: peers.max(1), rest: "", forgotten: 0 }
    }

    /// Where the block that `at` begins really begins: after the line that runs into it.
    fn border(&self, at: usize) -> usize {
        let bytes = self.bytes();
        match at {
            0 => 0,
            at if at >= bytes.len() => bytes.len(),
            at => memchr::memchr(b'\n', &bytes[at - 1..]).map_or(bytes.len(), |newline| at + newline),
        }
    }

    fn forget(&self, from: usize, to: usize) {
        #[cfg(unix)]
        if let Some(map) = &self.map {
            // SAFETY: see the head of the file. A refusal only means that the pages stay.
            let _ = unsafe { map.unchecked_advise_range(memmap2::UncheckedAdvice::DontNeed, from, to - from) };
        }
    }
}

/// The lines of one worker.
pub struct Lines<'a> {
    file: &'a Mapped,
    block: usize,
    peers: usize,
    rest: &'a str,
    forgotten: usize,
}

impl<'a> Lines<'a> {
    /// The next block's lines; `None` at the end of the file.
    fn load(&mut self) -> Option<Result<&'a str>> {
        let bytes = self.file.bytes();
        let start = self.block.checked_mul(BLOCK).filter(|start| *start < bytes.len())?;
        let (from, to) = (self.file.border(start), self.file.border(start + BLOCK));
        self.block += self.peers;
        if from >= self.forgotten + 2 * FORGET {
            self.file.forget(self.forgotten, self.forgotten + FORGET);
            self.forgotten += FORGET;
        }
        let text = std::str::from_utf8(&bytes[from..to.max(from)]);
        Some(text.with_context(|| format!("{} at byte {from}", self.file.path.display())))
    }
}

impl<'a> Iterator for Lines<'a> {
    type Item = Result<&'a str>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if self.rest.is_empty() {
                match self.load()? {
                    Ok(text) => self.rest = text,
                    Err(error) => return Some(Err(error)),
                }
                continue;
            }
            let end = memchr::memchr(b'\n', self.rest.as_bytes()).unwrap_or(self.rest.len());
            let line = &self.rest[..end];
            self.rest = self.rest.get(end + 1..).unwrap_or_default();
            if !line.is_empty() {
                return Some(Ok(line));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn the_workers_share_the_lines_among_them(
            lengths in prop::collection::vec(0usize..6000, 0..40), peers in 1usize..4, ends_with_newline: bool,
        ) {
            let lines: Vec<String> = lengths.iter().enumerate().map(|(i, n)| format!("{i}{}", "é".repeat(*n))).collect();
            let mut text = lines.join("\n");
            if ends_with_newline {
                text.push('\n');
            }
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("lines");
            std::fs::write(&path, text).unwrap();
            let file = Mapped::open(&path).unwrap();
            let mut seen: Vec<String> = vec![];
            for index in 0..peers {
                let mine: Vec<&str> = file.lines(index, peers).map(|line| line.unwrap()).collect();
                let numbers: Vec<usize> = mine.iter().map(|line| line.trim_end_matches('é').parse().unwrap()).collect();
                prop_assert!(numbers.is_sorted(), "a worker keeps the order");
                seen.extend(mine.into_iter().map(str::to_owned));
            }
            seen.sort();
            let mut expected = lines;
            expected.sort();
            prop_assert_eq!(seen, expected);
        }
    }
}
