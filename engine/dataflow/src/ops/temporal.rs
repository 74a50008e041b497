//! Temporal filters: a row counts from one time until another, both computed from the row. `WHERE at > now() - 30s`
//! is "until at + 30s"; the retention of a stream is one, too.
//!
//! `now()` is the time of the tick. What falls due between two ticks changes at the later one, so a result is exact
//! at every tick. The clock is an input like any other: no capability is held for the future, and a graph that stops
//! leaves what is not due yet alone.

use super::clocked::Due;
use super::map::{evaluate, report};
use super::pending::Pending;
use super::{Clock, DeltaBuilder, Deltas, Shared};
use crate::columns::Codec;
use crate::delta::Delta;
use crate::row::Row;
use arrow::array::{Array, Int64Array};
use arrow::datatypes::SchemaRef;
use datafusion::common::DataFusionError;
use jarvis_plan::{Expression, Node};
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::operator::Operator;

/// The bounds, and the columns that go on.
pub struct Temporal {
    pub from: Vec<Expression>,
    pub until: Vec<Expression>,
    pub keep: usize,
    pub schema: SchemaRef,
    pub owner: String,
    pub on_error: jarvis_spec::OnError,
}

impl Temporal {
    pub fn new(node: &Node, from: &[Expression], until: &[Expression], keep: usize) -> Self {
        Temporal {
            from: from.to_vec(),
            until: until.to_vec(),
            keep,
            schema: node.schema.clone(),
            owner: node.owner.clone(),
            on_error: node.on_error,
        }
    }
    /// [from, until) of each row in µs; an empty interval for a row whose bound is null.
    fn bounds(&self, delta: &Delta) -> Result<Vec<(i64, i64)>, DataFusionError> {
        let mut out = vec![(i64::MIN, i64::MAX); delta.len()];
        for column in evaluate(&delta.rows, &self.from)? {
            let column = micros(&column)?;
            for (b, v) in out.iter_mut().zip(column.iter()) {
                b.0 = b.0.max(v.unwrap_or(i64::MAX));
            }
        }
        for column in evaluate(&delta.rows, &self.until)? {
            let column = micros(&column)?;
            for (b, v) in out.iter_mut().zip(column.iter()) {
                b.1 = b.1.min(v.unwrap_or(i64::MIN));
            }
        }
        Ok(out)
    }
    /// The rows that count at their own time go out; what comes due later is scheduled.
    fn admit(&self, delta: &Delta, codec: &Codec, due: &mut Due, shared: &Shared) -> Option<Delta> {
        let bounds = match self.bounds(delta) {
            Ok(b) => b,
            Err(_) if delta.len() > 1 => {
                let half = delta.len() / 2;
                let parts: Vec<Delta> = [delta.slice(0, half), delta.slice(half, delta.len() - half)]
                    .iter()
                    .filter_map(|d| self.admit(d, codec, due, shared))
                    .collect();
                return (!parts.is_empty())
                    .then(|| Delta::concat(&self.schema, &parts).expect("both halves have the step's schema"));
            }
            Err(error) => {
                report(&self.owner, self.on_error, delta, &error, shared);
                return None;
            }
        };
        let columns = &delta.rows.columns()[..self.keep];
        let rows = codec.encode(columns, delta.len()).expect("planning refuses columns that cannot be encoded");
        let mut now = vec![];
        for (i, ((from, until), row)) in bounds.into_iter().zip(rows).enumerate() {
            let (time, diff) = (delta.times[i] as i64, delta.diffs[i]);
            let start = from.max(time);
            if until <= start {
                continue;
            }
            if until != i64::MAX {
                due.push(until as u64, row.clone(), -diff);
            }
            if from <= time {
                now.push(i);
            } else if from != i64::MAX {
                due.push(from as u64, row, diff);
            }
        }
        if now.is_empty() {
            return None;
        }
        let kept =
            delta.with_columns(self.schema.clone(), columns.to_vec()).expect("the schema is that of the kept columns");
        Some(if now.len() == delta.len() { kept } else { kept.take(&now).expect("positions lie within the batch") })
    }
    /// What falls due at `now`, as changes at that time.
    fn release(&self, now: u64, codec: &Codec, due: &mut Due) -> Option<Delta> {
        let rows: Vec<(Row, i64)> = due.take(now);
        if rows.is_empty() {
            return None;
        }
        let batch = codec
            .decode_batch(rows.iter().map(|(r, _)| r.bytes()), rows.len())
            .expect("rows were encoded by this codec");
        let n = rows.len();
        Some(Delta::new(batch, vec![now; n], rows.into_iter().map(|(_, d)| d).collect()))
    }
}

fn micros(column: &dyn Array) -> Result<&Int64Array, DataFusionError> {
    datafusion::common::cast::as_int64_array(column)
}

/// Renders a temporal filter.
pub fn temporal<'s>(input: Deltas<'s>, clock: Clock<'s>, name: &str, temporal: Temporal, shared: Shared) -> Deltas<'s> {
    let codec = Codec::new(temporal.schema.clone()).expect("planning refuses columns that cannot be encoded");
    let gauge = shared.gauge(format!("{}/{name}", temporal.owner));
    input.binary_frontier::<_, DeltaBuilder, _, _, _, _>(clock, Pipeline, Pipeline, name, move |_, _| {
        let mut due = Due::new(shared.wake());
        let mut ticks: Pending<()> = Pending::default();
        move |(input, input_frontier), (clock, clock_frontier), output| {
            input.for_each_stamp(|capability, data| {
                let mut session = output.session(&capability);
                for delta in data.flat_map(|d| d.drain(..)) {
                    if let Some(out) = temporal.admit(&delta, &codec, &mut due, &shared) {
                        session.give(out);
                    }
                }
            });
            clock.for_each_stamp(|capability, data| {
                ticks.retain(&capability, output.output_index());
                for tick in data.flat_map(|d| d.drain(..)) {
                    ticks.push(tick, ());
                }
            });
            if let Some((capability, closed)) = ticks.closed(&[input_frontier, clock_frontier]) {
                let mut session = output.session(&capability);
                for now in closed.into_keys() {
                    if let Some(out) = temporal.release(now, &codec, &mut due) {
                        session.give(out);
                    }
                }
            }
            due.publish();
            gauge.rows.set(due.rows());
            gauge.bytes.set(due.bytes());
        }
    })
}
