//! The commands: one file each.

mod check;
mod demo;
mod docs;
mod explain;
mod graph;
mod lineage;
mod models;
mod replay;
mod run;
mod schema;
mod sql;
mod tap;
mod test;
mod top;
mod vision;

use std::process::ExitCode;

#[derive(clap::Subcommand)]
pub enum Command {
    /// Run pipelines: with only bounded files to their end, else until Ctrl-C or SIGTERM
    Run(run::Run),
    /// Say what is wrong with pipelines, with file, line and what to do; exit status 0 fine, 1 findings
    Check(check::Check),
    /// Run the tests inside pipelines; exit status 0 or 1, the last line counts
    Test(test::Test),
    /// Draw the dataflow
    Graph(graph::Graph),
    /// Show the rows of a stream of a running instance, and how they change
    Tap(tap::Tap),
    /// Show rates, lags, state sizes and errors of a running instance
    Top(top::Top),
    /// Ask the lineage, and the live views of a running instance
    Sql(sql::Sql),
    /// Say why a decision was taken, down to the rows that it rests on
    Explain(explain::Explain),
    /// Run what entered in the past once more, through the same or other pipelines
    Replay(replay::Replay),
    /// Verify, prove, shorten and copy what was kept of the past
    Lineage(lineage::Lineage),
    /// Fetch, check and list the models that run on this machine
    Models(models::Models),
    /// Tell good prints from failed ones, learnt from a few pictures
    Vision(vision::Vision),
    /// Run a broker, a simulated facility and pipelines, and show the alerts
    Demo(demo::Demo),
    /// Print the JSON schema of pipeline files, for editors
    Schema(schema::Schema),
    /// Write the reference pages of all kinds and commands
    Docs(docs::Docs),
}

impl Command {
    /// Runs the command and gives its exit status.
    ///
    /// # Errors
    /// What a person has to know; the exit status is then 1.
    pub fn execute(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::Run(command) => command.execute(),
            Self::Check(command) => command.execute(),
            Self::Test(command) => command.execute(),
            Self::Graph(command) => command.execute(),
            Self::Tap(command) => command.execute(),
            Self::Top(command) => command.execute(),
            Self::Sql(command) => command.execute(),
            Self::Explain(command) => command.execute(),
            Self::Replay(command) => command.execute(),
            Self::Lineage(command) => command.execute(),
            Self::Models(command) => command.execute(),
            Self::Vision(command) => command.execute(),
            Self::Demo(command) => command.execute(),
            Self::Schema(command) => command.execute(),
            Self::Docs(command) => command.execute(),
        }
    }
}

/// The exit status that says whether all is well.
fn status(fine: bool) -> ExitCode {
    if fine { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
