//! The cost of one change, and the memory of a row, against the amount of state.
//!
//! W2 runs over a number of jobs that are loaded at once, without and with changes that come one per tick. The
//! difference of the two runs is the changes' time; the difference of the peak to that of an almost empty run is the
//! rows' memory.

use super::program::{Measured, Programs, measure, tick_argument};
use crate::figures::median;
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

/// Runs both programs and prints a table.
pub fn run(plan: &Plan) -> Result<()> {
    fs::create_dir_all(&plan.out)?;
    println!("| program | jobs held | load s | µs a change | peak MB | bytes a job |\n|---|---|---|---|---|---|");
    let empty = folder(plan, 1, 0)?;
    for program in ["twin", "jarvis"].into_iter().filter(|name| *name == "twin" || plan.programs.jarvis.is_some()) {
        let base = run_all(plan, program, &empty)?;
        for rows in &plan.rows {
            let loaded = run_all(plan, program, &folder(plan, *rows, 0)?)?;
            let changed = run_all(plan, program, &folder(plan, *rows, plan.changes)?)?;
            let wall = |runs: &[Measured]| median(&runs.iter().map(|run| run.wall.as_secs_f64()).collect::<Vec<_>>());
            let peak = |runs: &[Measured]| median(&runs.iter().map(|run| run.usage.peak_mb).collect::<Vec<_>>());
            println!(
                "| {program} | {rows} | {:.3} | {:.1} | {:.0} | {:.0} |",
                wall(&loaded),
                (wall(&changed) - wall(&loaded)) / plan.changes as f64 * 1e6,
                peak(&loaded),
                (peak(&loaded) - peak(&base)) * 1e6 / *rows as f64,
            );
        }
    }
    Ok(())
}

fn folder(plan: &Plan, events: u64, changes: u64) -> Result<PathBuf> {
    let folder = plan.data.join(format!("state-{events}-{changes}"));
    if !folder.exists() {
        eprintln!("generating {}", folder.display());
        generate(Dataset::State, &folder, Size { events, changes, seed: SEED })?;
    }
    Ok(folder.canonicalize()?)
}

fn run_all(plan: &Plan, program: &str, data: &Path) -> Result<Vec<Measured>> {
    let out = plan.out.canonicalize()?;
    (0..plan.runs.max(1))
        .map(|_| {
            let log = out.join(format!("state.{program}.log"));
            let twin = || plan.programs.twin("w2", 1, data, &out.join("state.twin.jsonl"));
            let command = match program {
                "twin" => twin(),
                _ => plan.programs.jarvis("w2", 1, data, &out).map_or_else(twin, |mut command| {
                    command.args(["--tick", &tick_argument(Workload::W2.tick())]);
                    command
                }),
            };
            measure(command, &log)
        })
        .collect()
}
