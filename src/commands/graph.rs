//! `jarvis graph`: the dataflow as a picture.

use crate::picture::{dot, json, mermaid, of_pipelines, of_plan, svg};
use crate::project_arguments::ProjectArguments;
use crate::{kinds, log, terminal};
use std::process::ExitCode;

#[derive(clap::Args)]
pub struct Graph {
    #[command(flatten)]
    project: ProjectArguments,
    #[arg(long, value_enum, default_value_t = Format::Mermaid)]
    format: Format,
    /// Every step that the engine takes, not just sources, views and sinks
    #[arg(long)]
    plan: bool,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Format {
    /// For Markdown pages
    Mermaid,
    /// For Graphviz
    Dot,
    /// For browsers
    Svg,
    /// For programs
    Json,
}

impl Graph {
    pub fn execute(self) -> anyhow::Result<ExitCode> {
        log::quiet();
        let project = self.project.load(&kinds::all(), None)?;
        let picture = if self.plan { of_plan(&project) } else { of_pipelines(&project) };
        terminal::print(&match self.format {
            Format::Mermaid => mermaid(&picture),
            Format::Dot => dot(&picture),
            Format::Svg => svg(&picture),
            Format::Json => json(&picture),
        })?;
        Ok(ExitCode::SUCCESS)
    }
}
