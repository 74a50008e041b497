//! Runs a hand-written twin: `twin w2 DATA WORKERS OUT [--tick MICROSECONDS]`, or `twin w4 BROKER`.

use anyhow::Result;
use clap::{Parser, Subcommand};
use jarvis_benches::drive::Settings;
use jarvis_benches::twins;
use jarvis_benches::workload::Workload;
use std::path::PathBuf;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Parser)]
#[command(about = "Hand-written programs that the pipelines are measured against")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    W1(Batch),
    W2(Batch),
    W3(Batch),
    Q3(Batch),
    Q4(Batch),
    Q5(Batch),
    Q8(Batch),
    /// Alerts over MQTT, until it is ended.
    W4 {
        /// `mqtt://host:port`
        broker: String,
    },
}

#[derive(Parser)]
struct Batch {
    /// The folder of the data set.
    data: PathBuf,
    workers: usize,
    /// The file of the results.
    out: PathBuf,
    /// Event time per commit, µs; default as the workload is measured.
    #[arg(long)]
    tick: Option<u64>,
}

fn main() -> Result<()> {
    let (workload, batch) = match Arguments::parse().command {
        Command::W1(batch) => (Workload::W1, batch),
        Command::W2(batch) => (Workload::W2, batch),
        Command::W3(batch) => (Workload::W3, batch),
        Command::Q3(batch) => (Workload::Q3, batch),
        Command::Q4(batch) => (Workload::Q4, batch),
        Command::Q5(batch) => (Workload::Q5, batch),
        Command::Q8(batch) => (Workload::Q8, batch),
        Command::W4 { broker } => return twins::w4::run(&broker),
    };
    let Batch { data, workers, out, tick } = batch;
    let settings = Settings { data, out, workers: workers.max(1), tick: tick.unwrap_or(workload.tick()) };
    let figures = twins::run(workload, &settings)?;
    println!("{}", serde_json::to_string(&figures)?);
    Ok(())
}
