//! Compares `jarvis run` with the hand-written twins: `compare batch --jarvis target/release/jarvis --twin target/release/twin`.

use anyhow::Result;
use clap::{Args, Parser, Subcommand};
use jarvis_benches::compare::program::Programs;
use jarvis_benches::compare::{alerts, batch, state};
use jarvis_benches::outcome::Outcome;
use jarvis_benches::workload::Workload;
use std::path::PathBuf;

#[derive(Parser)]
#[command(about = "Runs the pipelines of the benchmarks and their hand-written twins in turns")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Workloads over bounded files: time, processor time and memory of both, and that the results are the same.
    Batch(Batch),
    /// Alerts over MQTT: latency from publication to alert.
    W4(Alerts),
    /// The cost of one change and the memory of one row against the amount of state.
    State(State),
    /// Whether two files of results come to the same in the end.
    Agree { workload: Workload, left: PathBuf, right: PathBuf },
}

#[derive(Args)]
struct Paths {
    /// The jarvis binary; without it only the twin runs.
    #[arg(long)]
    jarvis: Option<PathBuf>,
    /// The twin binary.
    #[arg(long)]
    twin: PathBuf,
    /// The folder of the pipelines.
    #[arg(long, default_value = "benches/pipelines")]
    pipelines: PathBuf,
    /// Where data sets are kept.
    #[arg(long, default_value = "benches/data")]
    data: PathBuf,
    /// Where results and logs go.
    #[arg(long, default_value = "benches/out")]
    out: PathBuf,
}

#[derive(Args)]
struct Batch {
    #[command(flatten)]
    paths: Paths,
    /// Which; all if none is named.
    workloads: Vec<Workload>,
    #[arg(long, default_value_t = 5)]
    runs: usize,
    #[arg(long, value_delimiter = ',', default_values_t = [1, 2])]
    workers: Vec<usize>,
    /// Events of each workload; default its own number.
    #[arg(long)]
    events: Option<u64>,
}

#[derive(Args)]
struct Alerts {
    #[command(flatten)]
    paths: Paths,
    /// `mqtt://host:port`; without it a Mosquitto is started.
    #[arg(long)]
    broker: Option<String>,
    /// Messages per second.
    #[arg(long, default_value_t = 2_000)]
    rate: u32,
    #[arg(long, default_value_t = 20)]
    seconds: u32,
    #[arg(long, default_value_t = 1)]
    workers: usize,
}

#[derive(Args)]
struct State {
    #[command(flatten)]
    paths: Paths,
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// Jobs held.
    #[arg(long, value_delimiter = ',', default_values_t = [10_000, 10_000_000])]
    rows: Vec<u64>,
    /// Changes, one per tick.
    #[arg(long, default_value_t = 200_000)]
    changes: u64,
}

impl Paths {
    fn programs(&self) -> Programs {
        Programs { jarvis: self.jarvis.clone(), twin: self.twin.clone(), pipelines: self.pipelines.clone() }
    }
}

fn main() -> Result<()> {
    match Arguments::parse().command {
        Command::Batch(Batch { paths, workloads, runs, workers, events }) => {
            let workloads = if workloads.is_empty() { Workload::ALL.to_vec() } else { workloads };
            let programs = paths.programs();
            batch::run(&batch::Plan { programs, data: paths.data, out: paths.out, runs, workers, events }, &workloads)
        }
        Command::W4(Alerts { paths, broker, rate, seconds, workers }) => {
            let programs = paths.programs();
            alerts::run(&alerts::Plan { programs, out: paths.out, broker, rate, seconds, workers })
        }
        Command::State(State { paths, runs, rows, changes }) => {
            let programs = paths.programs();
            state::run(&state::Plan { programs, data: paths.data, out: paths.out, runs, rows, changes })
        }
        Command::Agree { workload, left, right } => {
            let read = |path| Outcome::read(path, workload.moments());
            read(&left)?.agree(&read(&right)?)
        }
    }
}
