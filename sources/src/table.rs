//! `table`: a small table, from a file or from the facility's description.

mod facility;

use crate::decode::DEFAULT_MAX_PAYLOAD;
use crate::file::{FileFormat, FileOfRows};
use crate::watched::{Table, Watched};
use arrow::datatypes::SchemaRef;
use facility::Section;
use jarvis_runtime::arrival::{Decoded, RowError};
use jarvis_runtime::kinds::{BoundedSource, Chunk, PlanContext, SourceKind, SourcePlan, StreamSpec};
use jarvis_spec::{Diagnostic, Diagnostics, Node, Spanned};
use serde::Deserialize;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The kind `table`.
#[derive(Clone, Copy, Debug, Default)]
pub struct TableSource;

/// A small table that is read whole at the start: a file, or a section of the facility's description.
#[derive(Clone, Debug, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct Options {
    /// A CSV, JSON lines or Parquet file; a relative path starts at the folder of the YAML file.
    #[serde(default)]
    path: Option<Spanned<PathBuf>>,
    /// A section of `facility.yaml` in the configuration folder: `zones`, `devices`, `people`, ... Its rows are a list of
    /// mappings from columns to values; without a `schema`, the types are those of the values.
    #[serde(default)]
    facility: Option<Spanned<String>>,
    /// How the file at `path` is written, where its ending does not say so.
    #[serde(default)]
    format: Option<FileFormat>,
    /// Read the table again whenever its file changes and take over the difference.
    #[serde(default)]
    watch: bool,
}

/// Where the rows of a table stand.
enum Place {
    File(FileOfRows),
    Facility(Section),
}

impl Options {
    fn place(&self, node: &Node, context: &PlanContext) -> Result<Place, Diagnostic> {
        match (&self.path, &self.facility) {
            (Some(path), None) => FileOfRows::new(path, self.format, DEFAULT_MAX_PAYLOAD, context).map(Place::File),
            (None, Some(section)) => Section::new(section, context).map(Place::Facility),
            _ => Err(Diagnostic::error(
                "table_place",
                "a table is read from `path` or from `facility`: exactly one of them",
            )
            .at(node.span())
            .help("write `table: { path: limits.csv }` or `table: { facility: zones }`")),
        }
    }
}

impl SourceKind for TableSource {
    fn name(&self) -> &'static str {
        "table"
    }

    fn options(&self) -> schemars::Schema {
        schemars::schema_for!(Options)
    }

    fn infer_schema(&self, options: &Node, context: &PlanContext) -> Option<Result<SchemaRef, Diagnostics>> {
        match options.parse::<Options>().and_then(|read| read.place(options, context)) {
            Ok(Place::File(file)) => file.infer(),
            Ok(Place::Facility(section)) => Some(section.infer().map_err(Diagnostics::from)),
            Err(diagnostic) => Some(Err(diagnostic.into())),
        }
    }

    fn plan(&self, stream: &StreamSpec, options: &Node, context: &PlanContext) -> Result<SourcePlan, Diagnostics> {
        let read: Options = options.parse()?;
        match read.place(options, context)? {
            Place::File(file) => file.plan(stream, read.watch),
            Place::Facility(section) => {
                let table = Arc::new(section.table(stream)?);
                match read.watch {
                    true => Ok(SourcePlan::Live(Box::new(Watched(table)))),
                    false => Ok(SourcePlan::Bounded(Arc::new(Whole {
                        table,
                        taken: AtomicBool::new(false),
                        schema: stream.schema.clone(),
                    }))),
                }
            }
        }
    }
}

/// A table as a bounded source of one chunk.
struct Whole {
    table: Arc<dyn Table>,
    taken: AtomicBool,
    schema: SchemaRef,
}

impl BoundedSource for Whole {
    fn next_chunk(&self) -> Option<Chunk> {
        (!self.taken.swap(true, Ordering::Relaxed)).then_some(Chunk { index: 0, start: 0, end: 1 })
    }

    fn decode(&self, _: &Chunk) -> Decoded {
        let nothing = || Decoded {
            rows: arrow::array::RecordBatch::new_empty(self.schema.clone()),
            weights: None,
            errors: Vec::new(),
            bytes: 0,
        };
        match self.table.read() {
            // A table is read as one batch.
            Ok(mut batches) => batches.pop().unwrap_or_else(nothing),
            Err(message) => {
                let errors = vec![RowError { code: "file", message, input: String::new() }];
                Decoded { errors, ..nothing() }
            }
        }
    }
}

#[cfg(test)]
mod tests;
