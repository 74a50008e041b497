//! W2: jobs on printers and the spools in them, changed at random. One event per microsecond over both files.

use super::{START, Size, file, finish};
use crate::random::Random;
use anyhow::Result;
use std::io::Write;
use std::path::Path;

pub(super) const JOBS: u64 = 200_000;
pub(super) const PRINTERS: u64 = 2_000;
pub(super) const STATUSES: [&str; 5] = ["queued", "printing", "done", "failed", "cancelled"];
pub(super) const MATERIALS: [&str; 5] = ["PLA", "PETG", "ABS", "ASA", "TPU"];

pub(super) fn write(folder: &Path, size: Size) -> Result<()> {
    let (mut jobs, mut spools) = (file(folder, "jobs.jsonl")?, file(folder, "spools.jsonl")?);
    for event in 0..size.events {
        let random = &mut Random::of_event(size.seed, event);
        let at = START * 1_000_000 + event;
        // Every printer gets a spool before the jobs begin.
        if event < PRINTERS.min(size.events / 10) || random.once_in(20) {
            let printer = if event < PRINTERS { event } else { random.below(PRINTERS) };
            spool(&mut spools, random, printer, at)?;
        } else {
            job(&mut jobs, random, at)?;
        }
    }
    finish(jobs)?;
    finish(spools)
}

/// One in twenty takes the spool out; the others leave it with fewer grams or put another in.
fn spool(out: &mut impl Write, random: &mut Random, printer: u64, at: u64) -> Result<()> {
    if random.once_in(20) {
        writeln!(out, "{{\"printer\":\"p{printer:04}\",\"_deleted\":true,\"at\":{at}}}")?;
        return Ok(());
    }
    let (material, grams) = (random.one_of(&MATERIALS), random.below(1_000) + 1);
    writeln!(out, "{{\"printer\":\"p{printer:04}\",\"material\":\"{material}\",\"grams\":{grams},\"at\":{at}}}")?;
    Ok(())
}

/// One in ten removes the job; the others give it a status, and one in ten of those another printer.
fn job(out: &mut impl Write, random: &mut Random, at: u64) -> Result<()> {
    let id = random.below(JOBS);
    if random.once_in(10) {
        writeln!(out, "{{\"job_id\":{id},\"_deleted\":true,\"at\":{at}}}")?;
        return Ok(());
    }
    let printer = if random.once_in(10) { random.below(PRINTERS) } else { home(id) };
    let status = random.one_of(&STATUSES);
    writeln!(out, "{{\"job_id\":{id},\"printer\":\"p{printer:04}\",\"status\":\"{status}\",\"at\":{at}}}")?;
    Ok(())
}

/// The printer that a job usually is on.
pub(super) fn home(job: u64) -> u64 {
    Random::new(job).below(PRINTERS)
}
