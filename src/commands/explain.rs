//! `jarvis explain`: why a decision was taken.

use super::replay::moment_text as time;
use crate::project_arguments::ProjectArguments;
use crate::{kinds, log, terminal};
use anyhow::{Context, bail};
use jarvis_lineage::{beginnings, past_for, rows_of};
use jarvis_runtime::explain::{Reason, explain};
use jarvis_runtime::versions::{PIPELINES, begun, version};
use jarvis_runtime::{Decision, Kinds, Replay};
use serde_json::json;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

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
        let kinds = kinds::all();
        let Some(decision) = self.decision(&kinds)? else {
            bail!(
                "no decision with the id {} comes of what was kept in {}: was it taken by these pipelines, as they are now?",
                self.id,
                self.data.display()
            )
        };
        let project = self.project.load(&kinds, None)?;
        let reasons = explain(&project, &decision, past_for(&self.data, decision.time)?)?;
        let name = decision.sink.split('.').next().unwrap_or_default();
        let now = project.pipelines.iter().find(|p| p.name.value == name).map(version);
        let texts = rows_of(&self.data, PIPELINES, decision.time)?;
        let ran = texts.iter().flat_map(|(_, rows)| begun(rows)).filter(|(n, _)| n == name).map(|(_, v)| v).next_back();
        if let (Some(ran), Some(now)) = (&ran, &now)
            && ran != now
        {
            let data = self.data.display();
            terminal::say(&format!(
                "note: {name} has been edited since (it was version {ran}, and is {now}): \
                 jarvis sql \"SELECT text FROM lineage.system.pipelines WHERE version = '{ran}'\" --data {data}"
            ));
        }
        let text = match self.format.as_str() {
            "json" => format!("{:#}\n", json!({ "decision": about(&decision, ran.as_deref()), "because": reasons })),
            "mermaid" => mermaid(&decision, &reasons),
            _ => tree(&decision, &reasons),
        };
        std::io::stdout().write_all(text.as_bytes()).context("the standard output takes no more")?;
        Ok(ExitCode::SUCCESS)
    }

    /// The decision; most are asked for soon after they were taken, so that the newest history is run first.
    fn decision(&self, kinds: &Kinds) -> anyhow::Result<Option<Decision>> {
        let mut until = u64::MAX;
        for begin in beginnings(&self.data)?.into_iter().rev() {
            let past = past_for(&self.data, begin + 1)?;
            let mut replay = Replay::start(self.project.load(kinds, None)?, 1)?;
            past.base().into_iter().try_for_each(|state| replay.go_on_from(state))?;
            for tick in past {
                let tick = tick?;
                if tick.time > until {
                    break;
                }
                let mut decided = replay.tick(&tick)?.into_iter();
                let found = decided.find(|d| d.id.as_deref() == Some(&self.id)).filter(|_| tick.time > begin);
                if found.is_some() {
                    return Ok(found);
                }
            }
            until = begin;
        }
        Ok(None)
    }
}

fn about(d: &Decision, version: Option<&str>) -> serde_json::Value {
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
