//! Pipelines over bounded files against their twins.

use super::program::{Measured, Programs, measure, tick_argument};
use crate::figures::{Figures, median};
use crate::generate::{SEED, Size, generate};
use crate::workload::Workload;
use anyhow::{Context, Result, ensure};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What to run.
#[derive(Clone, Debug)]
pub struct Plan {
    pub programs: Programs,
    /// Where data sets are, or are put.
    pub data: PathBuf,
    /// Where results and logs go.
    pub out: PathBuf,
    /// Runs of each program per workload and number of workers.
    pub runs: usize,
    pub workers: Vec<usize>,
    /// Instead of the workload's own number.
    pub events: Option<u64>,
}

/// The runs of one workload on one number of workers, pair by pair.
#[derive(Debug)]
struct Pairs {
    workload: Workload,
    workers: usize,
    /// What the twin said of each of its runs.
    figures: Vec<Figures>,
    twin: Vec<Measured>,
    jarvis: Vec<Measured>,
}

/// Heads of the table that [`run`] prints.
const HEAD: &str = "\
| workload | workers | events | twin s | jarvis s | ratio | twin cpu s | jarvis cpu s | ratio | twin MB | jarvis MB | ratio | twin events/s | commit p50/p99 ms |
|---|---|---|---|---|---|---|---|---|---|---|---|---|---|";

/// Runs the workloads and prints a line of the table for each; medians of the runs, ratios of each pair of runs.
pub fn run(plan: &Plan, workloads: &[Workload]) -> Result<()> {
    fs::create_dir_all(&plan.out)?;
    println!("{HEAD}");
    for workload in workloads {
        let data = dataset(plan, *workload)?;
        for workers in &plan.workers {
            println!("{}", line(&pairs(plan, *workload, *workers, &data)?));
        }
    }
    Ok(())
}

/// The folder of a workload's data, generated if it is missing.
fn dataset(plan: &Plan, workload: Workload) -> Result<PathBuf> {
    let events = plan.events.unwrap_or(workload.events());
    let folder = plan.data.join(format!("{}-{events}", workload.dataset().name()));
    if !folder.exists() {
        eprintln!("generating {}", folder.display());
        generate(workload.dataset(), &folder, Size { events, changes: 0, seed: SEED })?;
    }
    // The pipelines take paths from where their files are.
    folder.canonicalize().with_context(|| format!("finding {}", folder.display()))
}

fn pairs(plan: &Plan, workload: Workload, workers: usize, data: &Path) -> Result<Pairs> {
    let name = workload.name();
    let out = plan.out.canonicalize()?;
    let twin_log = out.join(format!("{name}.twin.log"));
    let (twin_results, jarvis_results) = (out.join(format!("{name}.twin.jsonl")), out.join(format!("{name}.jsonl")));
    let (mut figures, mut twin, mut jarvis) = (vec![], vec![], vec![]);
    let run_twin = || measure(plan.programs.twin(name, workers, data, &twin_results), &twin_log);
    let run_jarvis = || -> Result<Option<Measured>> {
        let Some(mut command) = plan.programs.jarvis(name, workers, data, &out) else { return Ok(None) };
        command.args(["--tick", &tick_argument(workload.tick())]);
        measure(command, &out.join(format!("{name}.jarvis.log"))).map(Some)
    };
    for run in 0..plan.runs.max(1) {
        // The first of a pair follows the check of the pair before it, the second its partner: so they change places.
        let early = if run % 2 == 1 { run_jarvis()? } else { None };
        twin.push(run_twin()?);
        figures.push(said(&twin_log)?);
        if let Some(measured) = early.map_or_else(run_jarvis, |measured| Ok(Some(measured)))? {
            jarvis.push(measured);
            check(workload, &twin_results, &jarvis_results)?;
        }
    }
    Ok(Pairs { workload, workers, figures, twin, jarvis })
}

/// The figures that a twin has printed.
fn said(log: &Path) -> Result<Figures> {
    let printed = fs::read_to_string(log)?;
    Ok(serde_json::from_str(printed.lines().last().context("the twin printed no figures")?)?)
}

/// Compares two files of results in a process of its own: the memory of this one must stay small, because a program
/// that it starts inherits its high-water mark.
fn check(workload: Workload, left: &Path, right: &Path) -> Result<()> {
    let program = std::env::current_exe()?;
    let status = Command::new(program).arg("agree").arg(workload.name()).arg(left).arg(right).status()?;
    ensure!(status.success(), "{workload}: the results differ");
    Ok(())
}

fn line(pairs: &Pairs) -> String {
    let wall = |runs: &[Measured]| runs.iter().map(|run| run.wall.as_secs_f64()).collect::<Vec<_>>();
    let cpu = |runs: &[Measured]| runs.iter().map(|run| run.usage.cpu.as_secs_f64()).collect::<Vec<_>>();
    let peak = |runs: &[Measured]| runs.iter().map(|run| run.usage.peak_mb).collect::<Vec<_>>();
    let cells = |values: &dyn Fn(&[Measured]) -> Vec<f64>, digits: usize| {
        let (twin, jarvis) = (values(&pairs.twin), values(&pairs.jarvis));
        let ratios: Vec<f64> = twin.iter().zip(&jarvis).map(|(twin, jarvis)| jarvis / twin).collect();
        format!(
            "{} | {} | {}",
            number(median(&twin), digits),
            number(median(&jarvis), digits),
            number(median(&ratios), 2)
        )
    };
    let of_twin = |figure: fn(&Figures) -> f64| median(&pairs.figures.iter().map(figure).collect::<Vec<_>>());
    format!(
        "| {} | {} | {:.0} | {} | {} | {} | {:.0} | {:.3}/{:.3} |",
        pairs.workload,
        pairs.workers,
        of_twin(|figures| figures.events as f64),
        cells(&wall, 3),
        cells(&cpu, 3),
        cells(&peak, 0),
        of_twin(|figures| figures.events_per_second),
        of_twin(|figures| figures.p50_ms),
        of_twin(|figures| figures.p99_ms),
    )
}

/// A figure, or a dash where there is none.
fn number(value: f64, digits: usize) -> String {
    if value.is_nan() { "–".to_owned() } else { format!("{value:.digits$}") }
}
