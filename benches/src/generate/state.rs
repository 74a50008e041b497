//! The cost of one change: W2's files with a given number of jobs, then changes one millisecond apart.

use super::jobs::{MATERIALS, PRINTERS, STATUSES, home};
use super::{START, Size, file, finish};
use crate::random::Random;
use anyhow::Result;
use std::io::Write;
use std::path::Path;

/// Jobs that are loaded per millisecond.
const LOADED: u64 = 50_000;

pub(super) fn write(folder: &Path, size: Size) -> Result<()> {
    let (mut jobs, mut spools) = (file(folder, "jobs.jsonl")?, file(folder, "spools.jsonl")?);
    let mut random = Random::new(size.seed);
    let start = START * 1000;
    for printer in 0..PRINTERS {
        let (material, at) = (random.one_of(&MATERIALS), start * 1000);
        writeln!(spools, "{{\"printer\":\"p{printer:04}\",\"material\":\"{material}\",\"grams\":1000,\"at\":{at}}}")?;
    }
    let mut job = |id: u64, at: u64, random: &mut Random| {
        let (printer, status, at) = (home(id), random.one_of(&STATUSES), at * 1000);
        writeln!(jobs, "{{\"job_id\":{id},\"printer\":\"p{printer:04}\",\"status\":\"{status}\",\"at\":{at}}}")
    };
    for id in 0..size.events {
        job(id, start + id / LOADED, &mut random)?;
    }
    let loaded = start + size.events.div_ceil(LOADED);
    for change in 0..size.changes {
        job(random.below(size.events), loaded + change, &mut random)?;
    }
    finish(jobs)?;
    finish(spools)
}
