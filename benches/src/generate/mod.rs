//! Data sets, the same for the same seed on every machine, as JSON lines.

mod jobs;
mod nexmark;
mod scores;
mod state;
mod telemetry;

use anyhow::{Context, Result};
use clap::ValueEnum;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;

/// 2026-01-01T00:00:00Z in seconds since the epoch: where every data set begins. A multiple of 10.
pub const START: u64 = 1_767_225_600;

/// The seed of the data that figures are taken from.
pub const SEED: u64 = 20_261_122;

/// What can be generated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, ValueEnum)]
pub enum Dataset {
    /// Telemetry of printers (`telemetry.jsonl`) and their limits (`limits.jsonl`).
    W1,
    /// Upserts and deletes of jobs (`jobs.jsonl`) and spools (`spools.jsonl`).
    W2,
    /// Upserts of scores (`scores.jsonl`).
    W3,
    /// Persons, auctions, bids and a side input of Nexmark.
    Nexmark,
    /// The same persons and auctions, without the bids' file: for queries that do not read it.
    NexmarkWithoutBids,
    /// W2's files: `events` jobs at once, then changes one per tick.
    State,
}

impl Dataset {
    /// The folder's name.
    pub fn name(self) -> &'static str {
        match self {
            Dataset::W1 => "w1",
            Dataset::W2 => "w2",
            Dataset::W3 => "w3",
            Dataset::Nexmark => "nexmark",
            Dataset::NexmarkWithoutBids => "nexmark-without-bids",
            Dataset::State => "state",
        }
    }
}

/// How much data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Events of the main streams; for [`Dataset::State`] the rows of state.
    pub events: u64,
    /// For [`Dataset::State`]: the changes after the rows.
    pub changes: u64,
    pub seed: u64,
}

/// Writes a data set into a folder that does not exist yet. It appears there whole or not at all.
pub fn generate(dataset: Dataset, folder: &Path, size: Size) -> Result<()> {
    let name = folder.file_name().context("the folder needs a name")?.to_string_lossy();
    let partial = folder.with_file_name(format!("{name}.partial-{}", std::process::id()));
    let write = || -> Result<()> {
        fs::create_dir_all(&partial)?;
        match dataset {
            Dataset::W1 => telemetry::write(&partial, size)?,
            Dataset::W2 => jobs::write(&partial, size)?,
            Dataset::W3 => scores::write(&partial, size)?,
            Dataset::Nexmark => nexmark::write(&partial, size, true)?,
            Dataset::NexmarkWithoutBids => nexmark::write(&partial, size, false)?,
            Dataset::State => state::write(&partial, size)?,
        }
        fs::rename(&partial, folder)?;
        Ok(())
    };
    let result = write().with_context(|| format!("generating {}", folder.display()));
    if result.is_err() {
        // What is left of a failed attempt is of no use; that it may stay hides nothing.
        let _ = fs::remove_dir_all(&partial);
    }
    result
}

/// A file of lines being written.
fn file(folder: &Path, name: &str) -> Result<BufWriter<File>> {
    let path = folder.join(name);
    let file = File::create(&path).with_context(|| format!("writing {}", path.display()))?;
    Ok(BufWriter::with_capacity(1 << 20, file))
}

/// Writes what is still in memory.
fn finish(mut file: BufWriter<File>) -> Result<()> {
    file.flush()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn files(dataset: Dataset, events: u64, seed: u64) -> BTreeMap<String, String> {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("data");
        generate(dataset, &target, Size { events, changes: 10, seed }).unwrap();
        let read = |entry: std::io::Result<fs::DirEntry>| {
            let path = entry.unwrap().path();
            (path.file_name().unwrap().to_string_lossy().into_owned(), fs::read_to_string(path).unwrap())
        };
        fs::read_dir(&target).unwrap().map(read).collect()
    }

    fn rows(text: &str) -> Vec<serde_json::Value> {
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn a_seed_fixes_the_bytes() {
        for dataset in Dataset::value_variants() {
            assert_eq!(files(*dataset, 500, 1), files(*dataset, 500, 1), "{dataset:?}");
            assert_ne!(files(*dataset, 500, 1), files(*dataset, 500, 2), "{dataset:?}");
        }
    }

    #[test]
    fn telemetry_is_out_of_order_by_less_than_two_seconds() {
        let files = files(Dataset::W1, 20_000, 1);
        let times: Vec<u64> = rows(&files["telemetry.jsonl"]).iter().map(|row| row["at"].as_u64().unwrap()).collect();
        assert_eq!(times.len(), 20_000);
        let (mut latest, mut late) = (0, 0);
        for at in times {
            assert!(at + 2_000 > latest, "{at} after {latest}");
            late += u32::from(at < latest);
            latest = latest.max(at);
        }
        assert!((600..1_400).contains(&late), "about 5% are late, not {late}");
        assert_eq!(rows(&files["limits.jsonl"]).len(), 200);
    }

    #[test]
    fn jobs_and_spools_share_a_clock_that_rises_by_one_microsecond() {
        let files = files(Dataset::W2, 5_000, 1);
        let mut times: Vec<u64> = ["jobs.jsonl", "spools.jsonl"]
            .iter()
            .flat_map(|name| rows(&files[*name]))
            .map(|row| row["at"].as_u64().unwrap())
            .collect();
        times.sort_unstable();
        assert!(times.iter().copied().eq((0..5_000).map(|i| START * 1_000_000 + i)));
        assert!(files["jobs.jsonl"].contains("\"_deleted\":true"));
    }

    #[test]
    fn nexmark_has_one_person_and_three_auctions_to_46_bids() {
        let files = files(Dataset::Nexmark, 5_000, 1);
        let count = |name: &str| rows(&files[name]).len();
        assert_eq!((count("persons.jsonl"), count("auctions.jsonl"), count("bids.jsonl")), (100, 300, 4_600));
        let ids: Vec<u64> = rows(&files["auctions.jsonl"]).iter().map(|row| row["id"].as_u64().unwrap()).collect();
        assert!(ids.iter().copied().eq(1_000..1_300));
        let bids = rows(&files["bids.jsonl"]);
        assert!(bids.iter().all(|bid| (1_000..1_320).contains(&bid["auction"].as_u64().unwrap())));
        let without = super::tests::files(Dataset::NexmarkWithoutBids, 5_000, 1);
        assert_eq!(without["auctions.jsonl"], files["auctions.jsonl"]);
        assert!(!without.contains_key("bids.jsonl"));
    }
}
