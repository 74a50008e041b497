//! `jarvis explain`: why a decision was taken.

use crate::project_arguments::ProjectArguments;
use crate::{kinds, log, terminal};
use anyhow::{Context, bail};
use jarvis_lineage::past;
use jarvis_runtime::explain::{Reason, explain};
use jarvis_runtime::versions::{begun, version};
use jarvis_runtime::{Decision, Replay};
use serde_json::json;
use std::collections::HashMap;
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
        let (found, ran) = self.decision(Replay::start(self.project.load(&kinds, None)?, 1)?)?;
        let Some(decision) = found else {
            bail!(
                "no decision with the id {} comes of what was kept in {}: was it taken by these pipelines, as they are now?",
                self.id,
                self.data.display()
            )
        };
        let project = self.project.load(&kinds, None)?;
        let reasons = explain(&project, &decision, past(&self.data)?)?;
        let name = decision.sink.split('.').next().unwrap_or_default();
        let now = project.pipelines.iter().find(|p| p.name.value == name).map(version);
        let ran = ran.get(name).cloned();
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

    /// The decision, and the versions of the pipelines that ran then.
    fn decision(&self, mut replay: Replay) -> anyhow::Result<(Option<Decision>, HashMap<String, String>)> {
        let mut versions = HashMap::new();
        for tick in past(&self.data)? {
            let tick = tick?;
            versions.extend(begun(&tick));
            let found = replay.tick(&tick)?.into_iter().find(|d| d.id.as_deref() == Some(&self.id));
            if found.is_some() {
                return Ok((found, versions));
            }
        }
        Ok((None, versions))
    }
}

fn time(micros: u64) -> String {
    jiff::Timestamp::from_microsecond(micros as i64).map_or_else(|_| micros.to_string(), |t| t.to_string())
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
