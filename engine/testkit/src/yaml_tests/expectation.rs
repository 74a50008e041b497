//! What a test expects, and whether a run was so.

use super::literal::{self, shown_row};
use super::pattern::Pattern;
use super::report::{Failure, Variant};
use super::run::Trace;
use super::told::{Told, WORDS};
use super::{Bench, full_name};
use crate::history::BASE;
use crate::value::{Row, Value, same_rows};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use jarvis_runtime::publish::Publish;
use jarvis_spec::{Expect, Node, Span, Test};
use std::collections::BTreeMap;
use std::time::Duration;

/// A view at a time.
pub(super) struct View {
    pub at: u64,
    pub output: usize,
    name: String,
    span: Span,
    pub schema: SchemaRef,
    /// Columns that the rows name; all of them if there are no rows.
    pub columns: Vec<usize>,
    rows: Vec<Row>,
}

/// What a sink was told until a time.
pub(super) struct Heard {
    pub until: u64,
    pub output: usize,
    name: String,
    span: Span,
    pub rows: Vec<(Vec<(String, Value)>, Span)>,
}

/// What must never be.
pub(super) struct Never {
    pub output: usize,
    pub pattern: Pattern,
    name: String,
}

/// Everything that a test expects.
pub(super) struct Wanted {
    pub views: Vec<View>,
    pub heard: Vec<Heard>,
    pub never: Vec<Never>,
    /// Output → how its sink tells.
    pub sinks: BTreeMap<usize, Publish>,
}

type Result<T> = std::result::Result<T, Box<Failure>>;

fn fail(span: &Span, message: impl Into<String>) -> Box<Failure> {
    Box::new(Failure::new(Variant::OneWorker, span, message))
}

fn micros(after: Duration) -> u64 {
    BASE + after.as_micros() as u64
}

fn after(micros: u64) -> Duration {
    Duration::from_micros(micros.saturating_sub(BASE))
}

impl Wanted {
    pub fn read(bench: &Bench<'_>, test: &Test) -> Result<Self> {
        let mut wanted = Wanted { views: vec![], heard: vec![], never: vec![], sinks: BTreeMap::new() };
        for expect in &test.expect {
            match expect {
                Expect::View { at, stream, rows } => {
                    let name = full_name(bench.pipeline, stream);
                    let output = bench.streams.get(&name).copied();
                    let output = output.ok_or_else(|| fail(&stream.span, format!("there is no stream {name}")))?;
                    let schema = bench.graph.schema(bench.graph.outputs[output].node).clone();
                    let columns = named(rows, &schema)?;
                    let rows = rows.iter().map(|r| cells(r, &columns, &schema)).collect::<Result<_>>()?;
                    wanted.views.push(View {
                        at: micros(*at),
                        output,
                        name: stream.value.clone(),
                        span: stream.span.clone(),
                        schema,
                        columns,
                        rows,
                    });
                }
                Expect::Sink { until, sink, rows } => wanted.sink(bench, sink, micros(*until), rows)?,
            }
        }
        for (stream, pattern) in &test.never {
            let name = full_name(bench.pipeline, stream);
            let output = bench.streams.get(&name).copied();
            let output = output.ok_or_else(|| fail(&stream.span, format!("there is no stream {name}")))?;
            let schema = bench.graph.schema(bench.graph.outputs[output].node);
            wanted.never.push(Never { output, pattern: Pattern::read(pattern, schema)?, name: stream.value.clone() });
        }
        Ok(wanted)
    }

    fn sink(
        &mut self,
        bench: &Bench<'_>,
        sink: &jarvis_spec::Spanned<String>,
        until: u64,
        rows: &[Node],
    ) -> Result<()> {
        let name = full_name(bench.pipeline, sink);
        let planned = bench.sink(&name);
        let (Some(planned), Some(output)) = (planned, bench.sinks.get(&name).copied()) else {
            return Err(fail(&sink.span, format!("there is no sink {name}")));
        };
        self.sinks.entry(output).or_insert_with(|| planned.plan.publish.clone());
        let schema = bench.graph.schema(bench.graph.outputs[output].node);
        let rows = rows.iter().map(|r| Ok((told_cells(r, schema)?, r.span().clone()))).collect::<Result<_>>()?;
        self.heard.push(Heard { until, output, name: sink.value.clone(), span: sink.span.clone(), rows });
        Ok(())
    }

    /// Times at which the clock must strike, whatever happens.
    pub fn times(&self) -> impl Iterator<Item = u64> {
        self.views.iter().map(|v| v.at).chain(self.heard.iter().map(|h| h.until))
    }

    /// Outputs whose content matters at a time: views that are expected then, and the views of sinks.
    pub fn viewed_at(&self, time: u64) -> Vec<usize> {
        let views = self.views.iter().filter(|v| v.at == time).map(|v| v.output);
        let heard = self.heard.iter().filter(|h| h.until == time).map(|h| h.output);
        views.chain(heard).collect()
    }

    /// Holds a run against what is expected.
    pub fn compare(&self, variant: Variant, trace: &Trace) -> Vec<Failure> {
        let mut failures: Vec<Failure> = self.views.iter().filter_map(|v| v.compare(variant, trace)).collect();
        if variant != Variant::OneRowPerTick {
            failures.extend(self.heard.iter().filter_map(|h| h.compare(variant, trace)));
        }
        if let Some((time, index, row)) = trace.forbidden.first() {
            let never = &self.never[*index];
            let row = row.iter().map(literal::shown).collect::<Vec<_>>().join(", ");
            let message = format!("a row of {} is what must never be: [{row}]", never.name);
            failures.push(Failure::new(variant, &never.pattern.span, message).at(after(*time)));
        }
        failures
    }

    /// Holds a variant against the first run of the same test.
    pub fn agree(&self, variant: Variant, test: &Test, first: &Trace, trace: &Trace) -> Option<Failure> {
        for ((time, output), rows) in &first.views {
            let now = trace.views.get(&(*time, *output)).map_or(&[][..], Vec::as_slice);
            if !same_rows(rows, now) {
                let name = self.name_of(*output);
                let list = |rows: &[Row]| {
                    rows.iter()
                        .map(|r| format!("[{}]", r.iter().map(literal::shown).collect::<Vec<_>>().join(", ")))
                        .collect()
                };
                let failure =
                    Failure::new(variant, &test.name.span, format!("{name} is not what it is with one worker"));
                return Some(failure.rows(list(rows), list(now), vec![]).at(after(*time)));
            }
        }
        if variant == Variant::OneRowPerTick {
            return None;
        }
        for (output, told) in &first.told {
            let now = trace.told.get(output).map_or(&[][..], Vec::as_slice);
            if told != now {
                let name = self.name_of(*output);
                let list = |told: &[Told]| {
                    told.iter()
                        .map(|t| format!("{} {}", literal::relative(t.time as i64), shown_row(&t.cells)))
                        .collect()
                };
                let failure = Failure::new(
                    variant,
                    &test.name.span,
                    format!("{name} was not told what it is told with one worker"),
                );
                return Some(failure.rows(list(told), list(now), vec![]));
            }
        }
        None
    }

    fn name_of(&self, output: usize) -> &str {
        let views = self.views.iter().map(|v| (v.output, v.name.as_str()));
        let heard = self.heard.iter().map(|h| (h.output, h.name.as_str()));
        views.chain(heard).find(|(o, _)| *o == output).map_or("a stream", |(_, n)| n)
    }
}

impl View {
    /// The rows that the view had then, cut to the columns that are compared.
    pub fn actual(&self, trace: &Trace) -> Vec<Row> {
        let rows = trace.views.get(&(self.at, self.output)).map_or(&[][..], Vec::as_slice);
        rows.iter().map(|r| self.columns.iter().map(|c| r[*c].clone()).collect()).collect()
    }
    pub fn holds(&self, trace: &Trace) -> bool {
        self.compare(Variant::OneWorker, trace).is_none()
    }
    fn compare(&self, variant: Variant, trace: &Trace) -> Option<Failure> {
        let actual = self.actual(trace);
        if same_rows(&self.rows, &actual) {
            return None;
        }
        let (mut missing, mut unexpected, mut right) = (vec![], actual, vec![]);
        for row in &self.rows {
            let close = |other: &Row| row.iter().zip(other).all(|(a, b)| a.is_close(b));
            match unexpected.iter().position(close) {
                Some(i) => right.push(unexpected.remove(i)),
                None => missing.push(row.clone()),
            }
        }
        let list = |rows: Vec<Row>| {
            let mut list: Vec<String> = rows.into_iter().map(|r| shown_row(&self.named_cells(r))).collect();
            list.sort();
            list
        };
        let failure = Failure::new(variant, &self.span, format!("{} is not what is expected", self.name));
        Some(failure.rows(list(missing), list(unexpected), list(right)).at(after(self.at)))
    }
    /// A cut row with the names of its columns.
    pub fn named_cells(&self, row: Row) -> Vec<(String, Value)> {
        self.columns.iter().map(|c| self.schema.field(*c).name().clone()).zip(row).collect()
    }
}

impl Heard {
    pub fn actual<'t>(&self, trace: &'t Trace) -> Vec<&'t Told> {
        trace.told.get(&self.output).into_iter().flatten().filter(|t| t.time <= self.until).collect()
    }
    pub fn holds(&self, trace: &Trace) -> bool {
        self.compare(Variant::OneWorker, trace).is_none()
    }
    fn compare(&self, variant: Variant, trace: &Trace) -> Option<Failure> {
        let actual = self.actual(trace);
        let meets = |(row, _): &(Vec<(String, Value)>, Span), told: &&Told| {
            row.iter()
                .all(|(name, value)| told.cells.iter().find(|(n, _)| n == name).is_some_and(|(_, v)| v.is_close(value)))
        };
        let first_wrong =
            (0..self.rows.len().max(actual.len())).find(|i| match (self.rows.get(*i), actual.get(*i)) {
                (Some(row), Some(told)) => !meets(row, told),
                _ => true,
            })?;
        let span = self.rows.get(first_wrong).map_or(&self.span, |(_, span)| span);
        let message = match (self.rows.get(first_wrong), actual.get(first_wrong)) {
            (Some(_), None) => {
                format!("{} was told {} rows, and {} are expected", self.name, actual.len(), self.rows.len())
            }
            (None, _) => format!("{} was told more than the {} rows that are expected", self.name, self.rows.len()),
            _ => format!("{} was told something else as number {}", self.name, first_wrong + 1),
        };
        let missing = self.rows[first_wrong.min(self.rows.len())..].iter().map(|(r, _)| shown_row(r)).collect();
        let timed = |t: &&Told| format!("{}  # at {}", shown_row(&t.cells), literal::relative(t.time as i64));
        let unexpected = actual[first_wrong.min(actual.len())..].iter().map(timed).collect();
        let right = actual[..first_wrong.min(actual.len())].iter().map(timed).collect();
        Some(Failure::new(variant, span, message).rows(missing, unexpected, right).at(after(self.until)))
    }
}

/// The columns that the expected rows name, the same ones in each.
fn named(rows: &[Node], schema: &Schema) -> Result<Vec<usize>> {
    let Some(first) = rows.first() else { return Ok((0..schema.fields().len()).collect()) };
    let columns = |row: &Node| -> Result<Vec<usize>> {
        let mut columns = row
            .entries()
            .iter()
            .map(|e| {
                schema.index_of(&e.key).map_err(|_| fail(&e.key.span, format!("there is no column {}", e.key.value)))
            })
            .collect::<Result<Vec<usize>>>()?;
        columns.sort_unstable();
        Ok(columns)
    };
    let wanted = columns(first)?;
    for row in rows {
        if columns(row)? != wanted {
            return Err(fail(
                row.span(),
                "this row names other columns than the first one: leave a column out of all rows, or of none",
            ));
        }
    }
    Ok(wanted)
}

fn cells(row: &Node, columns: &[usize], schema: &Schema) -> Result<Row> {
    let cell = |c: &usize| {
        let field = schema.field(*c);
        let node =
            row.get(field.name()).ok_or_else(|| fail(row.span(), format!("the column {} is missing", field.name())))?;
        literal::value(node, field).map_err(|e| fail(node.span(), e))
    };
    columns.iter().map(cell).collect()
}

/// An expected telling: its own words and columns of the view.
fn told_cells(row: &Node, schema: &Schema) -> Result<Vec<(String, Value)>> {
    row.entries()
        .iter()
        .map(|entry| {
            let name = entry.key.value.clone();
            let word = |of: DataType| Field::new(&name, of, true);
            let field = match schema.field_with_name(&name) {
                Ok(field) => field.clone(),
                Err(_) if !WORDS.contains(&name.as_str()) => {
                    return Err(fail(&entry.key.span, format!("there is no column {name}")));
                }
                Err(_) if name == "event" => word(DataType::Utf8),
                Err(_) if name == "_diff" => word(DataType::Int64),
                Err(_) => word(DataType::Boolean),
            };
            let value = literal::value(&entry.value, &field).map_err(|e| fail(entry.value.span(), e))?;
            Ok((name, value))
        })
        .collect()
}
