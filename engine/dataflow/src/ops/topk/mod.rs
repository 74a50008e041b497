//! The first rows of each partition, by an order.

pub mod ranked;

use super::parcel::{Dealer, Owner, Run, exchange, parcels};
use super::pending::Pending;
use super::{DeltaBuilder, Deltas, Gauge, Shared};
use crate::columns::Codec;
use crate::delta::Delta;
use crate::row::Row;
use arrow::array::{ArrayRef, Int64Array, RecordBatch, RecordBatchOptions};
use arrow::compute::cast;
use arrow::datatypes::{Schema, SchemaRef};
use hashbrown::HashMap;
use jarvis_plan::{Node, TopK};
use ranked::Ranked;
use std::collections::BTreeMap;
use timely::dataflow::operators::generic::operator::Operator;

/// The order of a partition, (column, descending, nulls first): the sort keys, then every other column, so that no two
/// different rows are equal. Each column is there once: a short row stays within the bytes that a [`Row`] holds without
/// an allocation.
pub fn rank_order(top: &TopK, columns: usize) -> Vec<(usize, bool, bool)> {
    let mut order: Vec<(usize, bool, bool)> = vec![];
    let keys = top.order.iter().map(|o| (o.column, o.descending, o.nulls_first));
    for one in keys.chain((0..columns).map(|c| (c, false, true))) {
        if order.iter().all(|o| o.0 != one.0) {
            order.push(one);
        }
    }
    order
}

/// Encodes columns in this order.
fn ordered_codec(order: &[(usize, bool, bool)], input: &SchemaRef) -> Codec {
    let fields: Vec<_> = order.iter().map(|o| input.field(o.0).clone()).collect();
    let options: Vec<_> = order.iter().map(|o| (o.1, o.2)).collect();
    Codec::ordered(Schema::new(fields).into(), &options).expect("planning refuses columns that cannot be encoded")
}

/// For each column, its position in the order.
fn places(order: &[(usize, bool, bool)]) -> Vec<usize> {
    let mut places = vec![0; order.len()];
    for (position, (column, ..)) in order.iter().enumerate() {
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
    let partition = top.partition.len();
    let order: Vec<(usize, bool, bool)> =
        top.partition.iter().map(|c| (*c, false, true)).chain(rank_order(top, schema.fields().len())).collect();
    let codec = ordered_codec(&order, schema);
    let layout = codec.layout();
    let workers = input.scope().peers();
    let dealer = Dealer::new(codec, order.into_iter().map(|o| o.0).collect(), Owner::Key(partition), workers);
    let gauge = shared.gauge(format!("{}/{name}", node.owner));
    let mut results = Results::new(top, schema, node.schema.clone());
    let wanted = top.fetch.map_or(usize::MAX, |f| f.saturating_add(top.skip));
    let entries = parcels(input, name, dealer);
    entries.unary_frontier::<DeltaBuilder, _, _, _>(exchange(), name, move |_, _| {
        let mut state: HashMap<Row, Partition, foldhash::fast::FixedState> = HashMap::default();
        let mut pending: Pending<Run> = Pending::default();
        move |(input, frontier), output| {
            input.for_each_stamp(|capability, data| {
                pending.retain(&capability, output.output_index());
                data.flat_map(|d| d.drain(..)).for_each(|parcel| pending.push_parcel(parcel));
            });
            let Some((capability, closed)) = pending.closed(&[frontier]) else { return };
            for (time, runs) in closed {
                let split = |row: &[u8]| {
                    let (key, rank) = row.split_at(layout.start(row, partition));
                    (Row::new(key), Row::new(rank))
                };
                let mut changes: Vec<((Row, Row), i64)> =
                    runs.iter().flat_map(Run::rows).map(|(row, diff)| (split(row), diff)).collect();
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
        let order = rank_order(top, input.fields().len());
        Results {
            codec: ordered_codec(&order, input),
            places: places(&order),
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
