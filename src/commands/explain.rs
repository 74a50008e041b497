//! `jarvis explain`: why a decision was taken.

use super::replay::{former, moment_text as time, texts};
use crate::project_arguments::ProjectArguments;
use crate::{kinds, log, terminal};
use anyhow::{Context, bail};
use jarvis_lineage::{beginnings, floors_at, past_for};
use jarvis_runtime::explain::{Reason, explain};
use jarvis_runtime::rerun::{Texts, Ticks, project, ran_at};
use jarvis_runtime::versions::version;
use jarvis_runtime::{Decision, Kinds, Rerun};
use serde_json::json;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

#[derive(clap::Args)]
pub struct Explain {
    /// The id of an event, as the sink told it
    #[arg(value_name = "ID")]
    id: String,
    /// The folder that the run has kept its inputs in
    #[arg(long, value_name = "DIR", default_value = "data")]
    data: PathBuf,
    /// tree, json, or mermaid: a picture for Markdown
    #[arg(long, default_value = "tree", value_parser = ["tree", "json", "mermaid"])]
    format: String,
    #[command(flatten)]
    project: ProjectArguments,
}

impl Explain {
    pub fn execute(self) -> anyhow::Result<ExitCode> {
        log::quiet();
        let kinds = Arc::new(kinds::all());
        let texts = texts(&self.data, &self.project, &kinds)?;
        let Some(decision) = self.decision(&kinds, &texts)? else {
            bail!("no decision with the id {} comes of what was kept in {}", self.id, self.data.display())
        };
        // What an edit has changed is told just before the tick that logs the texts; what it takes back rests on what ran
        // before.
        let moment = if decision.goes() { decision.time } else { decision.time + 1 };
        let versions = ran_at(&texts, moment);
        let project = project(&former(&self.project, &kinds)?, versions)?;
        let reasons =
            explain(&project, &decision, past_for(&self.data, decision.time)?, &floors_at(&self.data, moment)?)?;
        let name = decision.sink.split('.').next().unwrap_or_default();
        let ran = versions.iter().find(|v| v.pipeline == name).map(|v| &v.version);
        // Where today's files are wrong, or not there, there is nothing to compare with.
        let today = self.project.load(&kinds, None).ok();
        let now = today.iter().flat_map(|today| &today.pipelines).find(|p| p.name.value == name).map(version);
        if let (Some(ran), Some(now)) = (ran, now)
            && *ran != now
        {
            terminal::say(&format!("note: {name} has been edited since; these are the reasons as it ran then"));
        }
        let text = match self.format.as_str() {
            "json" => format!("{:#}\n", json!({ "decision": about(&decision, ran), "because": reasons })),
            "mermaid" => mermaid(&decision, &reasons),
            _ => tree(&decision, &reasons),
        };
        std::io::stdout().write_all(text.as_bytes()).context("the standard output takes no more")?;
        Ok(ExitCode::SUCCESS)
    }

    /// The decision; most are asked for soon after they were taken, so that the newest history is run first.
    fn decision(&self, kinds: &Arc<Kinds>, texts: &Texts) -> anyhow::Result<Option<Decision>> {
        let former = former(&self.project, kinds)?;
        let mut until = u64::MAX;
        for begin in beginnings(&self.data)?.into_iter().rev() {
            let past = past_for(&self.data, begin + 1)?;
            let again = || -> anyhow::Result<Ticks> { Ok(Box::new(past_for(&self.data, begin + 1)?)) };
            let mut replay = Rerun::start(&former, texts, begin, 1, again)?;
            past.base().into_iter().try_for_each(|state| replay.go_on_from(state))?;
            for tick in past {
                let tick = tick?;
                if tick.time > until {
                    break;
                }
                let time = tick.time;
                let mut decided = replay.tick(&tick)?.into_iter();
                let found = decided.find(|d| d.id.as_deref() == Some(&self.id)).filter(|_| time > begin);
                if found.is_some() {
                    return Ok(found);
                }
            }
            until = begin;
        }
        Ok(None)
    }
}

fn about(d: &Decision, version: Option<&String>) -> serde_json::Value {
    let row = serde_json::from_str::<serde_json::Value>(&d.row).unwrap_or_default();
    json!({ "id": d.id, "sink": d.sink, "what": d.what, "time": time(d.time), "version": version, "row": row })
}

/// The reasons as a tree of lines.
fn tree(d: &Decision, reasons: &[Reason]) -> String {
    let mut text = format!("{} {} at {}: {}\n", d.sink, d.what, time(d.time), d.row);
    branches(reasons, 0, "", &mut text);
    text
}

fn branches(reasons: &[Reason], more: usize, indent: &str, text: &mut String) {
    for (i, reason) in reasons.iter().enumerate() {
        let is_last = i + 1 == reasons.len() && more == 0;
        let (branch, below) = if is_last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
        let entered = reason.entered.map(|t| format!(", entered {}", time(t))).unwrap_or_default();
        // Writing to a text does not fail.
        let _ = writeln!(text, "{indent}{branch}{} ({}{entered}) {}", reason.stream, reason.step, reason.row);
        branches(&reason.because, reason.more, &format!("{indent}{below}"), text);
    }
    if more > 0 {
        let _ = writeln!(text, "{indent}└─ and {more} more rows");
    }
}

/// The reasons as a flowchart.
fn mermaid(d: &Decision, reasons: &[Reason]) -> String {
    let mut text = format!("flowchart BT\n  n0{}\n", boxed(&format!("{} {}", d.sink, d.what), &d.row));
    let mut next = 1;
    arrows(reasons, 0, 0, &mut next, &mut text);
    text
}

fn arrows(reasons: &[Reason], more: usize, to: usize, next: &mut usize, text: &mut String) {
    for reason in reasons {
        let own = *next;
        *next += 1;
        let title = format!("{} · {}", reason.stream, reason.step);
        // Writing to a text does not fail.
        let _ = writeln!(text, "  n{own}{} --> n{to}", boxed(&title, reason.row.get()));
        arrows(&reason.because, reason.more, own, next, text);
    }
    if more > 0 {
        let _ = writeln!(text, "  n{next}[\"and {more} more rows\"] --> n{to}");
        *next += 1;
    }
}

/// A box of a flowchart; quotes and brackets would end it.
fn boxed(title: &str, row: &str) -> String {
    let plain =
        |text: &str| text.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;").replace('>', "&gt;");
    format!("[\"{}<br/>{}\"]", plain(title), plain(row))
}
