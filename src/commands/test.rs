//! `jarvis test`: the tests that stand inside pipelines.

use crate::project_arguments::ProjectArguments;
use crate::{kinds, log, terminal};
use anyhow::Context;
use jarvis_runtime::Project;
use jarvis_spec::Diagnostics;
use jarvis_testkit::{Failure, TestResult, bless, run_tests};
use std::process::ExitCode;

#[derive(clap::Args)]
pub struct Test {
    #[command(flatten)]
    project: ProjectArguments,
    /// Rewrite what the tests expect to what comes out, then run them
    #[arg(long)]
    bless: bool,
    /// Only tests with this text in `PIPELINE: NAME`
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,
}

impl Test {
    pub fn execute(self) -> anyhow::Result<ExitCode> {
        log::quiet();
        let kinds = kinds::all();
        let mut project = self.project.load(&kinds, None)?;
        if self.bless {
            self.rewrite(&project)?;
            project = self.project.load(&kinds, None)?;
        }
        let report = run_tests(&project, self.filter.as_deref());
        let mut text: String = report.results.iter().map(line).collect();
        let failures = report.results.iter().flat_map(|result| &result.failures);
        show(failures);
        text += &format!("{} passed, {} failed", report.passed(), report.failed());
        terminal::print(&text)?;
        Ok(super::status(report.failed() == 0))
    }

    fn rewrite(&self, project: &Project) -> anyhow::Result<()> {
        let blessed = bless(project, self.filter.as_deref()).context("the expectations cannot be rewritten")?;
        show(&blessed.failures);
        for (file, count) in &blessed.files {
            terminal::say(&format!(
                "{}: {} rewritten",
                file.display(),
                terminal::counted(*count as u64, "expectation")
            ));
        }
        Ok(())
    }
}

fn line(result: &TestResult) -> String {
    let verdict = if result.passed() { "passed" } else { "FAILED" };
    format!("{verdict}  {}: {} ({:.1} s)\n", result.pipeline, result.name, result.elapsed.as_secs_f64())
}

fn show<'a>(failures: impl IntoIterator<Item = &'a Failure>) {
    let found: Diagnostics = failures.into_iter().map(Failure::diagnostic).collect();
    if !found.is_empty() {
        terminal::show_findings(&found);
        terminal::say("");
    }
}
