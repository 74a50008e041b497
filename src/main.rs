//! The `jarvis` command: `commands/` has one file per command, `http/` what a running instance answers, `picture/`
//! how a dataflow is drawn.

mod client;
mod commands;
mod environment;
mod housekeeping;
mod http;
mod kinds;
mod live;
mod log;
mod memory;
mod picture;
mod postgres;
mod project_arguments;
mod signals;
mod terminal;
mod views;
mod watch;

use clap::Parser;
use commands::Command;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Runs a maker facility as one dataflow: pipelines of YAML and SQL over printers, cameras, doors, people and chat
#[derive(Parser)]
#[command(name = "jarvis", version)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

fn main() -> ExitCode {
    memory::take_ordinary_pages();
    match Cli::parse().command.execute() {
        Ok(code) => code,
        Err(error) => terminal::complain(&error),
    }
}
