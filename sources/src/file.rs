//! `file`: rows from a file, once or as it is edited.
//!
//! Without `watch` the file is a bounded source: it is read once, in chunks, by all workers. With `watch` it is a
//! small table that is read whole, and again whenever it changes.

mod border;
mod conform;
mod parquet_file;
mod read_at;
mod text_file;

use crate::decode::DEFAULT_MAX_PAYLOAD;
use crate::watched::{Table, Watched};
use arrow::datatypes::SchemaRef;
use jarvis_runtime::arrival::Decoded;
use jarvis_runtime::kinds::{BoundedSource, PlanContext, SourceKind, SourcePlan, StreamSpec};
use jarvis_spec::{Diagnostic, Diagnostics, Node, Spanned};
use parquet_file::ParquetFile;
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use text_file::{Layout, OpenError, TextFile};

/// The kind `file`.
#[derive(Clone, Copy, Debug, Default)]
pub struct FileSource;

/// Rows from a file: JSON lines, CSV with a header line, or Parquet.
#[derive(Clone, Debug, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct Options {
    /// The file; a relative path starts at the folder of the YAML file.
    path: Spanned<PathBuf>,
    /// How it is written. Left out, the ending of the path says it: `.jsonl`, `.ndjson` and `.json` (one object per
    /// line), `.csv`, `.parquet`.
    #[serde(default)]
    format: Option<FileFormat>,
    /// Read the file again whenever it changes and take over the difference. For tables that fit in memory.
    #[serde(default)]
    watch: bool,
    /// The longest row of text, bytes (64 KiB unless set); a longer one becomes an error row.
    #[serde(default = "default_max_payload")]
    max_payload: usize,
}

fn default_max_payload() -> usize {
    DEFAULT_MAX_PAYLOAD
}

/// How a file of rows is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum FileFormat {
    /// One JSON object per line.
    Json,
    /// Comma separated, with a header line that names the columns.
    Csv,
    Parquet,
}

impl FileFormat {
    fn of_ending(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "jsonl" | "ndjson" | "json" => Some(Self::Json),
            "csv" => Some(Self::Csv),
            "parquet" => Some(Self::Parquet),
            _ => None,
        }
    }
}

impl SourceKind for FileSource {
    fn name(&self) -> &'static str {
        "file"
    }

    fn options(&self) -> schemars::Schema {
        schemars::schema_for!(Options)
    }

    fn infer_schema(&self, options: &Node, context: &PlanContext) -> Option<Result<SchemaRef, Diagnostics>> {
        let options: Options = match options.parse() {
            Ok(options) => options,
            Err(diagnostic) => return Some(Err(diagnostic.into())),
        };
        FileOfRows::new(&options.path, options.format, options.max_payload, context)
            .map_or_else(|d| Some(Err(d.into())), |f| f.infer())
    }

    fn plan(&self, stream: &StreamSpec, options: &Node, context: &PlanContext) -> Result<SourcePlan, Diagnostics> {
        let options: Options = options.parse()?;
        let file = FileOfRows::new(&options.path, options.format, options.max_payload, context)?;
        file.plan(stream, options.watch)
    }
}

/// A file as the options name it; for the kinds `file` and `table`.
#[derive(Clone, Debug)]
pub(crate) struct FileOfRows {
    path: PathBuf,
    written: Spanned<PathBuf>,
    format: FileFormat,
    limit: usize,
}

impl FileOfRows {
    pub fn new(
        written: &Spanned<PathBuf>,
        format: Option<FileFormat>,
        limit: usize,
        context: &PlanContext,
    ) -> Result<Self, Diagnostic> {
        let format = format.or_else(|| FileFormat::of_ending(written)).ok_or_else(|| {
            Diagnostic::error(
                "file_format",
                format!("the ending of {} does not say how the file is written", written.display()),
            )
            .at(&written.span)
            .help("add `format: json`, `format: csv` or `format: parquet`")
        })?;
        Ok(Self { path: context.resolve(written), written: written.clone(), format, limit })
    }

    /// The schema that the file itself knows; `None` for text formats.
    pub fn infer(&self) -> Option<Result<SchemaRef, Diagnostics>> {
        let FileFormat::Parquet = self.format else { return None };
        Some(parquet_file::infer_schema(&self.path).map_err(|error| self.diagnostic(&error).into()))
    }

    /// A bounded source, or one that follows the file.
    pub fn plan(self, stream: &StreamSpec, watch: bool) -> Result<SourcePlan, Diagnostics> {
        let layout = Layout { schema: stream.schema.clone(), key: stream.key.clone(), limit: self.limit };
        let source = self.open(&layout).map_err(|error| self.diagnostic(&error))?;
        if watch {
            return Ok(SourcePlan::Live(Box::new(Watched(Arc::new(WholeFile { file: self, layout })))));
        }
        Ok(SourcePlan::Bounded(source))
    }

    fn open(&self, layout: &Layout) -> Result<Arc<dyn BoundedSource>, OpenError> {
        Ok(match self.format {
            FileFormat::Json => Arc::new(TextFile::json(&self.path, layout.clone())?),
            FileFormat::Csv => Arc::new(TextFile::csv(&self.path, layout.clone())?),
            FileFormat::Parquet => Arc::new(ParquetFile::open(&self.path, layout)?),
        })
    }

    fn diagnostic(&self, error: &OpenError) -> Diagnostic {
        let (code, help) = match error {
            OpenError::Io { error, .. } if error.kind() == std::io::ErrorKind::NotFound => {
                ("file_not_found", "create the file, or correct the path: it starts at the folder of this YAML file")
            }
            OpenError::Io { .. } => ("file", "make sure that jarvis may read the file"),
            OpenError::Header { .. } => {
                ("file_header", "the first line must name the columns of the schema, separated by commas")
            }
            OpenError::Parquet { .. } => ("file_parquet", "compare the file's columns with the schema"),
            OpenError::Decoder(_) => ("unsupported_type", "change the type of the column"),
        };
        Diagnostic::error(code, error.to_string()).at(&self.written.span).help(help)
    }
}

/// The whole file as a small table.
struct WholeFile {
    file: FileOfRows,
    layout: Layout,
}

impl Table for WholeFile {
    fn path(&self) -> &Path {
        &self.file.path
    }

    fn read(&self) -> Result<Vec<Decoded>, String> {
        let source = self.file.open(&self.layout).map_err(|error| error.to_string())?;
        Ok(std::iter::from_fn(|| source.next_chunk()).map(|chunk| source.decode(&chunk)).collect())
    }
}

#[cfg(test)]
mod tests;
