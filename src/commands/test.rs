//! `jarvis test`: the tests that stand inside pipelines.

use crate::project_arguments::ProjectArguments;
use crate::{kinds, log, terminal};
use std::process::ExitCode;

#[derive(clap::Args)]
pub struct Test {
    #[command(flatten)]
    project: ProjectArguments,
    /// Rewrite what the tests expect to what came out
    #[arg(long)]
    bless: bool,
    /// Only tests with this text in their name (PIPELINE: NAME)
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,
}

impl Test {
    pub fn execute(self) -> anyhow::Result<ExitCode> {
        log::quiet();
        let _project = self.project.load(&kinds::all(), None)?;
        terminal::print(&format!("{} {:?}", self.bless, self.filter))?;
        Ok(ExitCode::SUCCESS)
    }
}
