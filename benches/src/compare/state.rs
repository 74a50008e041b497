//! The cost of one change, and the memory of a row, against the amount of state.
//!
//! W2 runs over a number of jobs that are loaded at once, without and with changes that come one per tick. The
//! difference of the two runs' processor time is the changes'; the difference of the peak to that of an almost empty
//! run is the rows' memory.

use super::program::{Measured, Programs, measure, tick_argument};
use crate::figures::{median, percentile};
use crate::generate::{Dataset, SEED, Size, generate};
use crate::workload::Workload;
use anyhow::Result;
use std::fs;
use std::path::{Path, PathBuf};

/// What to run.
#[derive(Clone, Debug)]
pub struct Plan {
    pub programs: Programs,
    pub data: PathBuf,
    pub out: PathBuf,
    pub runs: usize,
    /// Amounts of state, in jobs.
    pub rows: Vec<u64>,
    pub changes: u64,
}

/// Runs both programs and prints a table: medians, and for the cost of a change the least and the greatest of all pairs
/// of runs. Where those are far apart, the changes were too few to stand out from the loading.
pub fn run(plan: &Plan) -> Result<()> {
    fs::create_dir_all(&plan.out)?;
    println!("| program | jobs held | load s | cpu µs a change | least–greatest | peak MB | bytes a job |");
    println!("|---|---|---|---|---|---|---|");
    let empty = folder(plan, 1, 0)?;
    for program in ["twin", "jarvis"].into_iter().filter(|name| *name == "twin" || plan.programs.jarvis.is_some()) {
        let base = run_once(plan, program, &empty)?.usage.peak_mb;
        for rows in &plan.rows {
            println!("{}", line(plan, program, *rows, base)?);
        }
    }
    Ok(())
}

fn line(plan: &Plan, program: &str, rows: u64, base_mb: f64) -> Result<String> {
    let (loading, changing) = (folder(plan, rows, 0)?, folder(plan, rows, plan.changes)?);
    let (mut load, mut peak, mut change) = (vec![], vec![], vec![]);
    for _ in 0..plan.runs.max(1) {
        let loaded = run_once(plan, program, &loading)?;
        let changed = run_once(plan, program, &changing)?;
        load.push(loaded.wall.as_secs_f64());
        peak.push(loaded.usage.peak_mb);
        // Processor time: on a busy machine the difference of two long waits says nothing about a short one.
        let difference = changed.usage.cpu.as_secs_f64() - loaded.usage.cpu.as_secs_f64();
        change.push(difference / plan.changes as f64 * 1e6);
    }
    change.sort_by(f64::total_cmp);
    Ok(format!(
        "| {program} | {rows} | {:.3} | {:.1} | {:.1}–{:.1} | {:.0} | {:.0} |",
        median(&load),
        median(&change),
        percentile(&change, 0.0),
        percentile(&change, 1.0),
        median(&peak),
        (median(&peak) - base_mb) * 1e6 / rows as f64,
    ))
}

fn folder(plan: &Plan, events: u64, changes: u64) -> Result<PathBuf> {
    let folder = plan.data.join(format!("state-{events}-{changes}"));
    if !folder.exists() {
        eprintln!("generating {}", folder.display());
        generate(Dataset::State, &folder, Size { events, changes, seed: SEED })?;
    }
    Ok(folder.canonicalize()?)
}

fn run_once(plan: &Plan, program: &str, data: &Path) -> Result<Measured> {
    let out = plan.out.canonicalize()?;
    let command = match plan.programs.jarvis("w2", 1, data, &out) {
        Some(mut command) if program == "jarvis" => {
            command.args(["--tick", &tick_argument(Workload::W2.tick())]);
            command
        }
        _ => plan.programs.twin("w2", 1, data, &out.join("state.twin.jsonl")),
    };
    measure(command, &out.join(format!("state.{program}.log")))
}
