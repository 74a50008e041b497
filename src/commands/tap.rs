//! `jarvis tap`: the rows of a stream, and how they come and go.

use crate::client::InstanceArgument;
use crate::terminal;
use anyhow::{Context, bail};
use serde_json::{Map, Value};
use std::process::ExitCode;

#[derive(clap::Args)]
pub struct Tap {
    /// The stream: PIPELINE.STREAM
    #[arg(value_name = "STREAM")]
    stream: String,
    /// Only the rows that are there now
    #[arg(long)]
    once: bool,
    /// JSON lines with `_diff` and, for changes, `_time`
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    instance: InstanceArgument,
}

impl Tap {
    pub fn execute(self) -> anyhow::Result<ExitCode> {
        if !self.stream.contains('.') || !self.stream.bytes().all(|b| b.is_ascii_alphanumeric() || b"._".contains(&b)) {
            bail!("{} is not the name of a stream: write PIPELINE.STREAM, such as print_heat.hot", self.stream);
        }
        let client = self.instance.client()?;
        let columns = self.columns(&client)?;
        let answer = client.get(&format!("/tap/{}?once={}", self.stream, self.once))?;
        let mut shown = Shown::new(columns, self.once);
        if !self.json && !self.once {
            terminal::print(&shown.heading())?;
        }
        let mut rows = vec![];
        for line in answer.lines()? {
            let line = line.with_context(|| format!("jarvis at {} went away", client.address()))?;
            if self.json {
                terminal::print(&line)?;
                continue;
            }
            let row: Map<String, Value> = serde_json::from_str(&line).context("this row cannot be read")?;
            if self.once { rows.push(shown.cells(&row)) } else { terminal::print(&shown.line(&row))? }
        }
        if !self.once {
            bail!("{} ended: jarvis has stopped, or its pipelines were reloaded", self.stream);
        }
        if !self.json {
            let count = terminal::counted(rows.len() as u64, "row");
            rows.insert(0, shown.columns);
            terminal::print(&format!("{}{count}", terminal::columns(&rows)))?;
        }
        Ok(ExitCode::SUCCESS)
    }

    /// The names of the stream's columns.
    fn columns(&self, client: &crate::client::Client) -> anyhow::Result<Vec<String>> {
        let streams: Vec<super::top::Stream> = client.json("/streams")?;
        let Some(stream) = streams.iter().find(|s| s.name == self.stream) else {
            let near = jarvis_spec::nearest(&self.stream, streams.iter().map(|s| s.name.as_str()));
            let help = near
                .map_or_else(|| "`jarvis top --once` lists them".to_owned(), |near| format!("did you mean {near}?"));
            bail!("there is no stream {}: {help}", self.stream);
        };
        let name = |column: &String| column.split_once(": ").map_or(column.clone(), |(name, _)| name.to_owned());
        Ok(stream.columns.iter().map(name).collect())
    }
}

/// A table that grows at its end: columns become wider as they must.
struct Shown {
    columns: Vec<String>,
    widths: Vec<usize>,
}

impl Shown {
    fn new(mut columns: Vec<String>, once: bool) -> Self {
        if !once {
            columns.splice(0..0, ["time".to_owned(), "change".to_owned()]);
        }
        let widths = columns.iter().map(|c| c.chars().count()).collect();
        Self { columns, widths }
    }

    fn heading(&mut self) -> String {
        let heading = self.columns.clone();
        self.padded(&heading)
    }

    fn line(&mut self, row: &Map<String, Value>) -> String {
        if let Some(missed) = row.get("_missed") {
            return format!("... {missed} batches of changes were too fast to be shown");
        }
        let cells = self.cells(row);
        self.padded(&cells)
    }

    fn cells(&self, row: &Map<String, Value>) -> Vec<String> {
        let cell = |column: &String| match column.as_str() {
            "time" if !row.contains_key("time") => row.get("_time").map_or_else(|| "now".to_owned(), text),
            "change" if !row.contains_key("change") => row.get("_diff").map_or_else(String::new, signed),
            column => row.get(column).map_or_else(String::new, text),
        };
        self.columns.iter().map(cell).collect()
    }

    fn padded(&mut self, cells: &[String]) -> String {
        let mut line = String::new();
        for (cell, width) in cells.iter().zip(&mut self.widths) {
            let length = cell.chars().count();
            *width = length.max(*width);
            line.push_str(cell);
            line.push_str(&" ".repeat(*width - length + 2));
        }
        line.trim_end().to_owned()
    }
}

fn signed(diff: &Value) -> String {
    diff.as_i64().map_or_else(String::new, |diff| format!("{diff:+}"))
}

/// A value without the quotes of a string.
pub(super) fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "-".to_owned(),
        other => other.to_string(),
    }
}
