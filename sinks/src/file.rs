//! `file`: writes a view to a file as JSON lines, CSV or Parquet.

mod changes;
mod events;
mod place;
mod table;

use crate::telling::Telling;
use crate::worker::OnThread;
use jarvis_lineage::encode::{Format, check};
use jarvis_runtime::kinds::{PlanContext, SinkKind, SinkPlan, StreamSpec};
use jarvis_runtime::publish::{As, Publisher};
use jarvis_spec::{Diagnostic, Diagnostics, Node, Spanned};
use place::Place;
use schemars::{JsonSchema, Schema, schema_for};
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// Writes a view to a file as JSON lines, CSV or Parquet.
///
/// * `as: state`: the view as a table, a line per copy of a row, sorted. It takes the place of the file in one step, at
///   the end and, in a run that goes on, at most once a second.
/// * `as: changes`: every change with its `_time` and its `_diff`. The file starts anew with each run.
/// * `as: events`: each event with its `event` (`raised`, `cleared`), `id` and `time`, appended to what is there.
///
/// A Parquet file of changes or events can be read once the run has ended.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileOptions {
    /// Where; a relative path starts at the folder of the YAML file. The folder must be there.
    pub path: Spanned<PathBuf>,
    /// How the view is told.
    #[serde(default, rename = "as")]
    pub mode: Option<Spanned<As>>,
    /// By the path's ending if left out: `.jsonl`, `.ndjson`, `.json`, `.csv`, `.parquet`.
    #[serde(default)]
    pub format: Option<FileFormat>,
    /// Events: say also that one has cleared.
    #[serde(default)]
    pub clear: bool,
    /// Events: the columns that say which event a row is about; all of them if left out.
    #[serde(default)]
    pub key: Option<Vec<Spanned<String>>>,
}

/// How rows are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FileFormat {
    /// One JSON object per line.
    #[serde(alias = "jsonl")]
    Json,
    Csv,
    Parquet,
}

impl From<FileFormat> for Format {
    fn from(format: FileFormat) -> Self {
        match format {
            FileFormat::Json => Self::JsonLines,
            FileFormat::Csv => Self::Csv,
            FileFormat::Parquet => Self::Parquet,
        }
    }
}

pub(crate) struct File;

impl SinkKind for File {
    fn name(&self) -> &'static str {
        "file"
    }

    fn options(&self) -> Schema {
        schema_for!(FileOptions)
    }

    fn plan(&self, stream: &StreamSpec, options: &Node, context: &PlanContext) -> Result<SinkPlan, Diagnostics> {
        let read: FileOptions = options.parse()?;
        let telling = Telling {
            stream,
            options,
            mode: read.mode.as_ref(),
            default: None,
            clear: read.clear,
            key: read.key.as_deref(),
            ttl: None,
            destination: format!("file:{}", read.path.display()),
        };
        let mut findings = Diagnostics::default();
        let format = findings.keep(format(&read));
        let publish = telling.publish().map_err(|more| findings.extend(more)).ok();
        let state_key = read.key.as_ref().filter(|_| publish.as_ref().is_some_and(|p| p.mode == As::State));
        if let Some(first) = state_key.and_then(|key| key.first()) {
            let message = "`key` means nothing for the state of a file: it is the whole table";
            findings.push(Diagnostic::error("wrong_value", message).at(&first.span).help("leave `key` out"));
        }
        let unsupported = |error: arrow::error::ArrowError| {
            Diagnostic::error("unsupported_type", error.to_string()).at(read.path_span())
        };
        let (Some(format), Some(publish), true) = (format, publish, findings.is_empty()) else { return Err(findings) };
        check(format, &stream.schema).map_err(unsupported)?;
        let publisher = Publisher::new(publish.clone(), &stream.schema).map_err(unsupported)?;
        let place = Place::new(context.resolve(&read.path), format);
        let schema = stream.schema.clone();
        let driver = OnThread::new(move || {
            Ok(match publisher.publish().mode {
                As::Changes => Box::new(changes::Changes::open(&place, &schema)?) as _,
                As::Events => Box::new(events::Events::open(place, &schema, publisher)?) as _,
                As::State => Box::new(table::Table::open(place, &schema)?) as _,
            })
        });
        // Events are appended; changes and states are files of one run.
        let driver = if publish.mode == As::Events { driver } else { driver.forgetful() };
        Ok(SinkPlan { publish, driver: Box::new(driver) })
    }
}

impl FileOptions {
    fn path_span(&self) -> &jarvis_spec::Span {
        &self.path.span
    }
}

fn format(options: &FileOptions) -> Result<Format, Diagnostic> {
    if let Some(format) = options.format {
        return Ok(format.into());
    }
    match ending(&options.path).as_deref() {
        Some("jsonl" | "ndjson" | "json") => Ok(Format::JsonLines),
        Some("csv") => Ok(Format::Csv),
        Some("parquet") => Ok(Format::Parquet),
        _ => {
            let message = format!("the ending of `{}` does not say in which format to write", options.path.display());
            let help = "end the path with .jsonl, .csv or .parquet, or add `format: json`, `csv` or `parquet`";
            Err(Diagnostic::error("unknown_format", message).at(options.path_span()).help(help))
        }
    }
}

fn ending(path: &Path) -> Option<String> {
    path.extension().map(|ending| ending.to_string_lossy().to_ascii_lowercase())
}
