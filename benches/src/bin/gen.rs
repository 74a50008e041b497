//! Writes a data set: `gen w2 --out benches/data/w2 [--events N]`.

use anyhow::{Result, ensure};
use clap::Parser;
use jarvis_benches::generate::{Dataset, SEED, Size, generate};
use std::path::PathBuf;

#[derive(Parser)]
#[command(about = "Writes a data set as JSON lines, the same for the same seed")]
struct Arguments {
    dataset: Dataset,
    /// The folder to make.
    #[arg(long)]
    out: PathBuf,
    /// Events of all streams together; for `state` the rows of state.
    #[arg(long, default_value_t = 1_000_000)]
    events: u64,
    /// For `state`: changes after the rows, one per millisecond of event time.
    #[arg(long, default_value_t = 0)]
    changes: u64,
    #[arg(long, default_value_t = SEED)]
    seed: u64,
}

fn main() -> Result<()> {
    let Arguments { dataset, out, events, changes, seed } = Arguments::parse();
    ensure!(!out.exists(), "{} exists already; remove it first", out.display());
    ensure!(dataset != Dataset::State || events > 0, "changes need at least one row of state: --events 1");
    generate(dataset, &out, Size { events, changes, seed })
}
