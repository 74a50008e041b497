//! Streams on their way out: all changes of a view at one worker, consolidated, and only for times that are closed.

use crate::columns::Codec;
use crate::delta::Delta;
use crate::ops::parcel::{Dealer, Owner, Run, exchange, parcels};
use crate::ops::pending::Pending;
use crate::ops::{DeltaBuilder, Deltas};
use crate::row::Row;
use arrow::datatypes::SchemaRef;
use differential_dataflow::consolidation::consolidate;
use std::cell::RefCell;
use std::rc::Rc;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::operator::Operator;

/// Closed changes of one output, in the order of time; at one time retractions come first.
#[derive(Clone, Debug)]
pub struct Closed {
    /// Position in `Graph::outputs`.
    pub output: usize,
    pub delta: Delta,
}

/// Where outputs leave their changes for the worker's loop.
pub type Outbox = Rc<RefCell<Vec<Closed>>>;

/// Renders an output; the stream that comes back carries no data, only progress.
pub fn output<'s>(input: Deltas<'s>, index: usize, name: &str, schema: SchemaRef, outbox: Outbox) -> Deltas<'s> {
    if input.scope().peers() == 1 {
        local(input, index, name, schema, outbox)
    } else {
        gathered(input, index, name, schema, outbox)
    }
}

/// On one worker nothing travels, and pure insertions need no consolidation.
fn local<'s>(input: Deltas<'s>, index: usize, name: &str, schema: SchemaRef, outbox: Outbox) -> Deltas<'s> {
    let codec = Codec::new(schema.clone()).expect("planning refuses columns that cannot be encoded");
    input.unary_frontier::<DeltaBuilder, _, _, _>(Pipeline, name, move |_, _| {
        let mut pending: Pending<Delta> = Pending::default();
        move |(input, frontier), output| {
            input.for_each_stamp(|capability, data| {
                pending.retain(&capability, output.output_index());
                for delta in data.flat_map(|d| d.drain(..)) {
                    by_time(delta, |time, part| pending.push(time, part));
                }
            });
            let Some((_, closed)) = pending.closed(&[frontier]) else { return };
            let mut ready = vec![];
            for (time, parts) in closed {
                if parts.iter().all(|p| p.diffs.iter().all(|d| *d > 0)) {
                    ready.extend(parts);
                    continue;
                }
                let mut rows = vec![];
                for part in &parts {
                    let encoded = codec.encode(part.rows.columns(), part.len()).expect("rows have the stream's schema");
                    rows.extend(encoded.into_iter().zip(part.diffs.iter().copied()));
                }
                ready.extend(consolidated(rows, time, &codec));
            }
            emit(ready, index, &schema, &outbox);
        }
    })
}

/// On many workers the rows travel to one of them.
fn gathered<'s>(input: Deltas<'s>, index: usize, name: &str, schema: SchemaRef, outbox: Outbox) -> Deltas<'s> {
    let encoder = Codec::new(schema.clone()).expect("planning refuses columns that cannot be encoded");
    let codec = Codec::new(schema.clone()).expect("planning refuses columns that cannot be encoded");
    let columns = (0..schema.fields().len()).collect();
    let dealer = Dealer::new(encoder, columns, Owner::Worker(index), input.scope().peers());
    parcels(input, name, dealer).unary_frontier::<DeltaBuilder, _, _, _>(exchange(), name, move |_, _| {
        let mut pending: Pending<Run> = Pending::default();
        move |(input, frontier), output| {
            input.for_each_stamp(|capability, data| {
                pending.retain(&capability, output.output_index());
                data.flat_map(|d| d.drain(..)).for_each(|parcel| pending.push_parcel(parcel));
            });
            let Some((_, closed)) = pending.closed(&[frontier]) else { return };
            let rows = |runs: Vec<Run>| runs.iter().flat_map(Run::rows).map(|(r, d)| (Row::new(r), d)).collect();
            let ready = closed.into_iter().filter_map(|(time, runs)| consolidated(rows(runs), time, &codec)).collect();
            emit(ready, index, &schema, &outbox);
        }
    })
}

/// Calls `give` with the rows of each time.
fn by_time(delta: Delta, mut give: impl FnMut(u64, Delta)) {
    let Some(first) = delta.times.first().copied() else { return };
    if delta.times.iter().all(|t| *t == first) {
        return give(first, delta);
    }
    let mut order: Vec<usize> = (0..delta.len()).collect();
    order.sort_by_key(|i| delta.times[*i]);
    for run in order.chunk_by(|a, b| delta.times[*a] == delta.times[*b]) {
        give(delta.times[run[0]], delta.take(run).expect("positions lie within the batch"));
    }
}

fn consolidated(mut rows: Vec<(Row, i64)>, time: u64, codec: &Codec) -> Option<Delta> {
    consolidate(&mut rows);
    if rows.is_empty() {
        return None;
    }
    rows.sort_by_key(|(_, d)| *d > 0);
    let batch =
        codec.decode_batch(rows.iter().map(|(r, _)| r.bytes()), rows.len()).expect("rows were encoded by this codec");
    Some(Delta::new(batch, vec![time; rows.len()], rows.into_iter().map(|(_, d)| d).collect()))
}

fn emit(ready: Vec<Delta>, output: usize, schema: &SchemaRef, outbox: &Outbox) {
    if ready.is_empty() {
        return;
    }
    let delta = Delta::concat(schema, &ready).expect("all changes have the stream's schema");
    outbox.borrow_mut().push(Closed { output, delta });
}
