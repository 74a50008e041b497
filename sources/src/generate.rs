//! `generate`: made-up rows, the same for the same seed.
//!
//! With `count` and no `rate` it is a bounded source that the workers read in parallel; with a `rate` it goes on as
//! fast as that.

mod field;

use crate::decode::{DEFAULT_MAX_PAYLOAD, Decoder, DecoderError, Format};
use field::{Field, Generator};
use futures::future::BoxFuture;
use jarvis_runtime::arrival::{Arrival, Decoded};
use jarvis_runtime::kinds::{BoundedSource, Chunk, Feed, LiveSource, PlanContext, SourceKind, SourcePlan, StreamSpec};
use jarvis_spec::{Diagnostic, Diagnostics, Node, Spanned};
use serde::Deserialize;
use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// The kind `generate`.
#[derive(Clone, Copy, Debug, Default)]
pub struct GenerateSource;

/// Made-up rows, the same for the same seed.
#[derive(Clone, Debug, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct Options {
    /// Rows per second; left out: all rows at once.
    #[serde(default)]
    rate: Option<f64>,
    /// How many rows; left out: without end.
    #[serde(default)]
    count: Option<u64>,
    /// Another seed makes other rows.
    #[serde(default)]
    seed: u64,
    /// For each column how its values are made.
    fields: BTreeMap<String, Spanned<Generator>>,
}

/// Rows of a chunk, and of an arrival at most.
const CHUNK: u64 = 4096;
/// The highest rate, rows per second.
const HIGHEST_RATE: f64 = 1e7;
/// Rows that fall due within this time are sent together.
const TOGETHER: Duration = Duration::from_millis(1);

impl SourceKind for GenerateSource {
    fn name(&self) -> &'static str {
        "generate"
    }

    fn options(&self) -> schemars::Schema {
        schemars::schema_for!(Options)
    }

    fn plan(&self, stream: &StreamSpec, options: &Node, _: &PlanContext) -> Result<SourcePlan, Diagnostics> {
        let read: Options = options.parse()?;
        let mut findings = Diagnostics::default();
        let refuse =
            |message: &str, help: &str| Diagnostic::error("wrong_value", message).at(options.span()).help(help);
        match (read.rate, read.count) {
            (None, None) => findings
                .push(refuse("neither `rate` nor `count` is set", "add how many rows per second, or how many rows")),
            (Some(rate), _) if !(rate > 0.0 && rate <= HIGHEST_RATE) => {
                findings.push(refuse(
                    "`rate` must be above 0 and at most 10,000,000 rows per second",
                    "choose another rate",
                ));
            }
            _ => {}
        }
        let rows = Rows::new(stream, &read, options, &mut findings);
        if !findings.is_empty() {
            return Err(findings);
        }
        rows.decoder().map_err(|error| Diagnostic::error("unsupported_type", error.to_string()).at(options.span()))?;
        Ok(match (read.rate, read.count) {
            (None, count) => SourcePlan::Bounded(Arc::new(Bounded::new(rows, count.unwrap_or(0)))),
            (Some(rate), count) => SourcePlan::Live(Box::new(Live { rows, rate, count: count.unwrap_or(u64::MAX) })),
        })
    }
}

/// What the rows are.
struct Rows {
    stream: StreamSpec,
    fields: Vec<Field>,
}

impl Rows {
    fn new(stream: &StreamSpec, options: &Options, node: &Node, findings: &mut Diagnostics) -> Self {
        let mut fields = Vec::new();
        for column in stream.schema.fields() {
            match options.fields.get(column.name()) {
                Some(generator) => {
                    let whole = column.data_type().is_integer();
                    match Field::new(column.name(), generator.value.clone(), whole, options.seed) {
                        Ok(field) => fields.push(field),
                        Err(message) => findings.push(
                            Diagnostic::error("wrong_value", message)
                                .at(&generator.span)
                                .help("change the values of this generator"),
                        ),
                    }
                }
                None if column.is_nullable() => {}
                None => findings.push(
                    Diagnostic::error(
                        "missing_key",
                        format!("`fields` says nothing about the column `{}`", column.name()),
                    )
                    .at(node.span())
                    .help("add how its values are made, or let it be null with a `?` after its type"),
                ),
            }
        }
        let columns = || stream.schema.fields().iter().map(|field| field.name().as_str());
        for (name, generator) in &options.fields {
            if !columns().any(|column| column == name) {
                let message = format!("the stream has no column `{name}`");
                findings.push(Diagnostic::error("unknown_column", message).at(&generator.span).suggest(
                    name,
                    columns(),
                    "add it to the `schema`",
                ));
            }
        }
        Self { stream: stream.clone(), fields }
    }

    fn decoder(&self) -> Result<Decoder, DecoderError> {
        Decoder::new(self.stream.schema.clone(), &self.stream.key, Format::Json, &[], DEFAULT_MAX_PAYLOAD)
    }

    fn first_states(&self) -> Vec<f64> {
        self.fields.iter().map(Field::first_state).collect()
    }

    fn advance(&self, rows: Range<u64>, states: &mut [f64]) {
        for (field, state) in self.fields.iter().zip(states) {
            for row in rows.clone() {
                *state = field.next_state(row, *state);
            }
        }
    }

    /// Makes rows and leaves in `states` what the next ones need.
    fn push(&self, rows: Range<u64>, states: &mut [f64], decoder: &mut Decoder) {
        let mut line = String::new();
        for row in rows {
            line.clear();
            line.push('{');
            for (index, (field, state)) in self.fields.iter().zip(&mut *states).enumerate() {
                line.push_str(if index == 0 { "" } else { "," });
                field.write(row, *state, &mut line);
                *state = field.next_state(row, *state);
            }
            line.push('}');
            decoder.push(line.as_bytes(), &[]);
        }
    }
}

/// All rows, in chunks.
struct Bounded {
    rows: Rows,
    count: u64,
    cursor: Mutex<Cursor>,
    /// Decoders that no thread uses right now.
    idle: Mutex<Vec<Decoder>>,
}

/// Where the next chunk begins. Chunks are taken in order, so that walks go on from one to the next.
struct Cursor {
    row: u64,
    index: u64,
    states: Vec<f64>,
    /// The states at the start of chunks that are taken but not made yet.
    taken: HashMap<u64, Vec<f64>>,
}

impl Bounded {
    fn new(rows: Rows, count: u64) -> Self {
        let cursor = Cursor { row: 0, index: 0, states: rows.first_states(), taken: HashMap::new() };
        Self { rows, count, cursor: Mutex::new(cursor), idle: Mutex::new(Vec::new()) }
    }
}

/// The state stays usable even if a thread panicked while it held it.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl BoundedSource for Bounded {
    fn next_chunk(&self) -> Option<Chunk> {
        let mut cursor = lock(&self.cursor);
        if cursor.row >= self.count {
            return None;
        }
        let end = self.count.min(cursor.row + CHUNK);
        let chunk = Chunk { index: cursor.index, start: cursor.row, end };
        let mut states = cursor.states.clone();
        cursor.taken.insert(chunk.index, states.clone());
        self.rows.advance(chunk.start..chunk.end, &mut states);
        (cursor.row, cursor.index, cursor.states) = (end, chunk.index + 1, states);
        Some(chunk)
    }

    fn decode(&self, chunk: &Chunk) -> Decoded {
        let taken = lock(&self.cursor).taken.remove(&chunk.index);
        let mut states = taken.unwrap_or_else(|| {
            let mut states = self.rows.first_states();
            self.rows.advance(0..chunk.start, &mut states);
            states
        });
        let idle = lock(&self.idle).pop();
        // Planning has made one from the same parts.
        let mut decoder = idle.unwrap_or_else(|| self.rows.decoder().expect("a decoder could be made before"));
        self.rows.push(chunk.start..chunk.end, &mut states, &mut decoder);
        let decoded = decoder.finish();
        lock(&self.idle).push(decoder);
        decoded
    }
}

/// Rows at a rate.
struct Live {
    rows: Rows,
    /// Per second.
    rate: f64,
    count: u64,
}

impl LiveSource for Live {
    fn run(self: Box<Self>, feed: Feed) -> BoxFuture<'static, anyhow::Result<()>> {
        Box::pin(async move {
            let mut decoder = self.rows.decoder()?;
            let mut states = self.rows.first_states();
            let start = Instant::now();
            let mut made = 0;
            while made < self.count {
                // Row n falls due n / rate seconds after the start.
                let due = start + Duration::from_secs_f64(made as f64 / self.rate);
                tokio::select! {
                    () = feed.closed() => return Ok(()),
                    () = sleep(due.saturating_duration_since(Instant::now()).max(TOGETHER)) => {}
                }
                let fallen_due = (start.elapsed().as_secs_f64() * self.rate) as u64 + 1;
                let end = fallen_due.min(self.count).min(made + CHUNK);
                self.rows.push(made..end, &mut states, &mut decoder);
                made = end.max(made);
                if feed.send(Arrival::new(decoder.finish())).await.is_err() {
                    return Ok(());
                }
            }
            feed.closed().await;
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests;
