//! The rows that a test gives, decoded as a run would decode them.

use super::full_name;
use super::literal::{rfc3339, time};
use super::report::{Failure, Variant};
use crate::history::BASE;
use arrow::array::{RecordBatch, StringArray};
use arrow::datatypes::{DataType, Schema, SchemaRef};
use jarvis_plan::Graph;
use jarvis_plan::compile::{ERRORS, errors_schema};
use jarvis_runtime::arrival::RowError;
use jarvis_runtime::kinds::StreamSpec;
use jarvis_runtime::project::Project;
use jarvis_sources::decode::{DEFAULT_MAX_PAYLOAD, Decoder, Format};
use jarvis_spec::{GivenRow, Pipeline, Span, Test};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Rows of one input that enter at one time, in the order written.
#[derive(Clone, Debug)]
pub(super) struct Rows {
    /// Position in the graph's inputs.
    pub input: usize,
    pub rows: RecordBatch,
    pub diffs: Vec<i64>,
}

/// What a test gives, by time (µs since the epoch).
#[derive(Clone, Debug, Default)]
pub(super) struct Given {
    pub at: BTreeMap<u64, Vec<Rows>>,
}

type Result<T> = std::result::Result<T, Box<Failure>>;

impl Given {
    /// # Errors
    /// Rows for a stream that takes none.
    pub fn read(project: &Project, pipeline: &Pipeline, graph: &Graph, test: &Test) -> Result<Self> {
        let mut given = Given::default();
        for (stream, rows) in &test.given {
            let name = full_name(pipeline, stream);
            let spec = project.sources.iter().map(|s| &s.spec).find(|s| s.name == name);
            let input = graph.inputs.iter().position(|i| i.name == name);
            let (Some(spec), Some(input)) = (spec, input) else {
                return Err(fail(&stream.span, format!("{name} is no source: only sources can be given rows")));
            };
            given.stream(spec, input, rows, &stream.span)?;
        }
        Ok(given)
    }

    /// All times at which rows enter.
    pub fn times(&self) -> Vec<u64> {
        self.at.keys().copied().collect()
    }

    fn stream(&mut self, spec: &StreamSpec, input: usize, rows: &[GivenRow], span: &Span) -> Result<()> {
        let schema = if spec.name.starts_with("facility.") { all_nullable(&spec.schema) } else { spec.schema.clone() };
        let mut by_time: BTreeMap<u64, Vec<&GivenRow>> = BTreeMap::new();
        for row in rows {
            by_time.entry(BASE + row.at.as_micros() as u64).or_default().push(row);
        }
        for (time, rows) in by_time {
            let decoder = Decoder::new(schema.clone(), &spec.key, Format::Json, &[], DEFAULT_MAX_PAYLOAD);
            let mut decoder = decoder.map_err(|e| fail(span, e.to_string()))?;
            for row in rows {
                decoder.push(json(row, spec, time)?.as_bytes(), &[]);
            }
            let decoded = decoder.finish();
            let at = self.at.entry(time).or_default();
            if !decoded.errors.is_empty() {
                at.push(error_rows(&spec.name, &decoded.errors));
            }
            let n = decoded.rows.num_rows();
            if n > 0 {
                at.push(Rows { input, rows: decoded.rows, diffs: decoded.weights.unwrap_or_else(|| vec![1; n]) });
            }
        }
        Ok(())
    }
}

fn fail(span: &Span, message: impl Into<String>) -> Box<Failure> {
    Box::new(Failure::new(Variant::OneWorker, span, message))
}

/// The row as a source would receive it.
fn json(row: &GivenRow, spec: &StreamSpec, at: u64) -> Result<String> {
    let time_column = spec.time.map(|t| spec.schema.field(t).name().as_str());
    let mut out = serde_json::Map::new();
    for entry in row.row.entries() {
        let name = entry.key.value.as_str();
        let field = spec.schema.field_with_name(name).ok();
        let is_time = field.is_some_and(|f| matches!(f.data_type(), DataType::Timestamp(..)));
        if name == "at" {
            // When the row arrives; where the stream has a column of that name, it says so, too.
            if is_time {
                out.insert(name.into(), rfc3339(at as i64).into());
            }
            continue;
        }
        if field.is_none() && name != "_diff" && name != "_deleted" {
            return Err(fail(&entry.key.span, format!("{} has no column {name}", spec.name)));
        }
        let value = match entry.value.as_scalar().filter(|_| is_time).and_then(|s| time(&s.text)) {
            Some(micros) => rfc3339(micros).into(),
            None => entry.value.to_json(),
        };
        out.insert(name.into(), value);
    }
    if let Some(column) = time_column
        && !out.contains_key(column)
    {
        out.insert(column.into(), rfc3339(at as i64).into());
    }
    Ok(serde_json::Value::from(out).to_string())
}

fn all_nullable(schema: &SchemaRef) -> SchemaRef {
    Arc::new(Schema::new(schema.fields().iter().map(|f| f.as_ref().clone().with_nullable(true)).collect::<Vec<_>>()))
}

fn error_rows(stream: &str, errors: &[RowError]) -> Rows {
    let rows: Vec<[&str; 4]> = errors.iter().map(|e| [stream, e.code, e.message.as_str(), e.input.as_str()]).collect();
    errors_batch(&rows, vec![1; errors.len()])
}

/// Rows for [`ERRORS`], which is always input 0: stream, code, message, input.
pub(super) fn errors_batch(rows: &[[&str; 4]], diffs: Vec<i64>) -> Rows {
    debug_assert!(ERRORS.starts_with("system."));
    let column = |c: usize| Arc::new(rows.iter().map(|r| Some(r[c])).collect::<StringArray>()) as _;
    let batch = RecordBatch::try_new(errors_schema(), (0..4).map(column).collect());
    Rows { input: 0, rows: batch.expect("four columns of text are what errors are made of"), diffs }
}
