//! The first rows of each partition, by an order.

pub mod ranked;

use super::pending::Pending;
use super::{DeltaBuilder, Deltas, Gauge, Shared};
use crate::columns::Codec;
use crate::delta::Delta;
use crate::row::{Row, hash};
use arrow::array::{ArrayRef, Int64Array, RecordBatch, RecordBatchOptions};
use arrow::compute::cast;
use arrow::datatypes::{Schema, SchemaRef};
use hashbrown::HashMap;
use jarvis_plan::{Node, TopK};
use ranked::Ranked;
use std::collections::BTreeMap;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::{Exchange, Pipeline};
use timely::dataflow::operators::generic::operator::Operator;

/// ((partition, ranked row), time, weight)
type Entry = ((Row, Row), u64, i64);

/// The order of a partition: the sort keys, then every other column, so that no two different rows are equal. Each
/// column is there once: a short row stays within the bytes that a [`Row`] holds without an allocation.
fn rank_codec(top: &TopK, input: &SchemaRef) -> Codec {
    let columns = rank_columns(top, input);
    let order: Vec<(bool, bool)> = columns
        .iter()
        .map(|c| top.order.iter().find(|o| o.column == *c).map_or((false, true), |o| (o.descending, o.nulls_first)))
        .collect();
    let fields: Vec<_> = columns.iter().map(|c| input.field(*c).clone()).collect();
    Codec::ordered(Schema::new(fields).into(), &order).expect("planning refuses columns that cannot be encoded")
}

fn rank_columns(top: &TopK, input: &SchemaRef) -> Vec<usize> {
    let mut columns: Vec<usize> = vec![];
    for column in top.order.iter().map(|o| o.column).chain(0..input.fields().len()) {
        if !columns.contains(&column) {
            columns.push(column);
        }
    }
    columns
}

/// For each column, its position in `ranked`.
fn places(ranked: &[usize]) -> Vec<usize> {
    let mut places = vec![0; ranked.len()];
    for (position, column) in ranked.iter().enumerate() {
        places[*column] = position;
    }
    places
}

/// One partition and what was last told of it.
#[derive(Default)]
struct Partition {
    rows: Ranked,
    told: Vec<(Row, i64)>,
}

impl Partition {
    /// Changes within the told rows, or ahead of the last of them, or any change while the list is not full.
    fn concerns(&self, changes: &[(Row, i64)], wanted: usize) -> bool {
        let full = self.told.iter().map(|(_, n)| *n as usize).sum::<usize>() >= wanted;
        match self.told.last() {
            Some((last, _)) if full => changes.iter().any(|(row, _)| row <= last),
            _ => true,
        }
    }
}

/// Renders a top-k.
pub fn topk<'s>(
    input: Deltas<'s>,
    name: &str,
    node: &Node,
    top: &TopK,
    schema: &SchemaRef,
    shared: Shared,
) -> Deltas<'s> {
    let partitions = Codec::of(schema, &top.partition).expect("planning refuses keys that cannot be encoded");
    let ranks = rank_codec(top, schema);
    let (partition, columns) = (top.partition.clone(), rank_columns(top, schema));
    let entries = input.unary::<CapacityContainerBuilder<Vec<Entry>>, _, _, _>(
        Pipeline,
        &format!("{name}: encode"),
        move |_, _| {
            move |input, output| {
                input.for_each_stamp(|capability, data| {
                    let mut session = output.session(&capability);
                    for delta in data.flat_map(|d| d.drain(..)) {
                        let keys = partitions
                            .encode(&delta.columns(&partition), delta.len())
                            .expect("keys have the step's schema");
                        let rows =
                            ranks.encode(&delta.columns(&columns), delta.len()).expect("rows have the step's schema");
                        for (i, pair) in keys.into_iter().zip(rows).enumerate() {
                            session.give((pair, delta.times[i], delta.diffs[i]));
                        }
                    }
                });
            }
        },
    );
    let gauge = shared.gauge(format!("{}/{name}", node.owner));
    let mut results = Results::new(top, schema, node.schema.clone());
    let wanted = top.fetch.map_or(usize::MAX, |f| f.saturating_add(top.skip));
    let exchange = Exchange::new(|e: &Entry| hash(e.0.0.bytes()));
    entries.unary_frontier::<DeltaBuilder, _, _, _>(exchange, name, move |_, _| {
        let mut state: HashMap<Row, Partition, foldhash::fast::FixedState> = HashMap::default();
        let mut pending: Pending<((Row, Row), i64)> = Pending::default();
        move |(input, frontier), output| {
            input.for_each_stamp(|capability, data| {
                pending.retain(&capability, output.output_index());
                for (entry, time, diff) in data.flat_map(|d| d.drain(..)) {
                    pending.push(time, (entry, diff));
                }
            });
            let Some((capability, closed)) = pending.closed(&[frontier]) else { return };
            for (time, mut changes) in closed {
                differential_dataflow::consolidation::consolidate(&mut changes);
                advance(&mut state, changes, time, wanted, &mut results, &gauge);
            }
            if let Some(delta) = results.take() {
                output.session(&capability).give(delta);
            }
        }
    })
}

/// Applies the changes of one time, sorted by partition.
fn advance(
    state: &mut HashMap<Row, Partition, foldhash::fast::FixedState>,
    changes: Vec<((Row, Row), i64)>,
    time: u64,
    wanted: usize,
    results: &mut Results,
    gauge: &Gauge,
) {
    let mut changes = changes.into_iter().peekable();
    while let Some(((key, row), diff)) = changes.next() {
        let mut mine = vec![(row, diff)];
        while let Some(((_, row), diff)) = changes.next_if(|((k, _), _)| *k == key) {
            mine.push((row, diff));
        }
        let partition = state.entry(key.clone()).or_default();
        let concerns = partition.concerns(&mine, wanted);
        let before = (partition.rows.entries() as u64, partition.rows.bytes() as u64);
        for (row, diff) in mine {
            partition.rows.add(row, diff);
        }
        if concerns {
            let now = partition.rows.first(wanted);
            results.tell(&partition.told, &now, time);
            partition.told = now;
        }
        gauge.rows.set(gauge.rows.get() + partition.rows.entries() as u64 - before.0);
        gauge.bytes.set(gauge.bytes.get() + partition.rows.bytes() as u64 - before.1);
        if partition.rows.is_empty() {
            gauge.bytes.set(gauge.bytes.get() - partition.rows.bytes() as u64);
            state.remove(&key);
        }
    }
}

/// Gathers changes of the first rows.
struct Results {
    codec: Codec,
    /// Where each column of the input stands in a ranked row.
    places: Vec<usize>,
    skip: usize,
    fetch: Option<usize>,
    number: Option<arrow::datatypes::DataType>,
    schema: SchemaRef,
    rows: Vec<(Row, i64)>,
    times: Vec<u64>,
    diffs: Vec<i64>,
}

impl Results {
    fn new(top: &TopK, input: &SchemaRef, schema: SchemaRef) -> Self {
        Results {
            codec: rank_codec(top, input),
            places: places(&rank_columns(top, input)),
            skip: top.skip,
            fetch: top.fetch,
            number: top.number.clone(),
            schema,
            rows: vec![],
            times: vec![],
            diffs: vec![],
        }
    }
    /// What the list shows: (row, rank) with a count; the rank is 0 where it is not asked for.
    fn shown(&self, list: &[(Row, i64)], sign: i64, out: &mut BTreeMap<(Row, i64), i64>) {
        let end = self.fetch.map_or(i64::MAX, |f| (self.skip.saturating_add(f)) as i64);
        let mut rank = 0;
        for (row, count) in list {
            let (low, high) = (rank.max(self.skip as i64), (rank + count).min(end));
            rank += count;
            if low >= high {
                continue;
            }
            if self.number.is_some() {
                for r in low..high {
                    *out.entry((row.clone(), r + 1)).or_default() += sign;
                }
            } else {
                *out.entry((row.clone(), 0)).or_default() += sign * (high - low);
            }
        }
    }
    fn tell(&mut self, old: &[(Row, i64)], new: &[(Row, i64)], time: u64) {
        let mut changes = BTreeMap::new();
        self.shown(old, -1, &mut changes);
        self.shown(new, 1, &mut changes);
        for (row, diff) in changes.into_iter().filter(|(_, d)| *d != 0) {
            self.rows.push(row);
            self.times.push(time);
            self.diffs.push(diff);
        }
    }
    fn take(&mut self) -> Option<Delta> {
        if self.rows.is_empty() {
            return None;
        }
        let n = self.rows.len();
        let decoded =
            self.codec.decode(self.rows.iter().map(|(r, _)| r.bytes())).expect("rows were encoded by this codec");
        let mut columns: Vec<ArrayRef> = self.places.iter().map(|p| decoded[*p].clone()).collect();
        if let Some(number) = &self.number {
            let ranks: ArrayRef = std::sync::Arc::new(self.rows.iter().map(|(_, r)| Some(*r)).collect::<Int64Array>());
            columns.push(cast(&ranks, number).expect("a rank is an integer"));
        }
        self.rows.clear();
        let options = RecordBatchOptions::new().with_row_count(Some(n));
        let batch = RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)
            .expect("results have the step's schema");
        Some(Delta::new(batch, std::mem::take(&mut self.times), std::mem::take(&mut self.diffs)))
    }
}
