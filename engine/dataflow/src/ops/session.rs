//! Session windows: rows of one key that lie less than a gap apart share a window. A row that joins two sessions
//! merges them, and taking it back splits them again; only the sessions around a change are told anew.

use super::parcel::{Dealer, Owner, Run, exchange, parcels};
use super::pending::Pending;
use super::{DeltaBuilder, Deltas, Shared};
use crate::columns::{Codec, read_i64};
use crate::delta::Delta;
use crate::row::Row;
use arrow::array::{RecordBatch, TimestampMicrosecondArray};
use arrow::datatypes::SchemaRef;
use hashbrown::HashMap;
use jarvis_plan::{Node, Session};
use std::collections::{BTreeMap, BTreeSet};
use timely::dataflow::operators::generic::operator::Operator;

/// (key, event time µs, row, weight)
type Change = (Row, i64, Row, i64);
/// The rows of a key by event time.
type Line = BTreeMap<i64, BTreeMap<Row, i64>>;

/// Renders session windows.
pub fn session<'s>(
    input: Deltas<'s>,
    name: &str,
    node: &Node,
    session: &Session,
    schema: &SchemaRef,
    shared: Shared,
) -> Deltas<'s> {
    let key = session.keys.len();
    let columns: Vec<usize> = session.keys.iter().copied().chain(0..schema.fields().len()).collect();
    let whole = Codec::of(schema, &columns).expect("planning refuses columns that cannot be encoded");
    let layout = whole.layout();
    let dealer = Dealer::new(whole, columns, Owner::Key(key), input.scope().peers());
    // A row without a time is in no session.
    let time = key + session.time;
    let change = move |row: &[u8], diff: i64| -> Option<Change> {
        let (own, rest) = row.split_at(layout.start(row, key));
        Some((Row::new(own), read_i64(row, &layout, time)?, Row::new(rest), diff))
    };
    let gauge = shared.gauge(format!("{}/{name}", node.owner));
    let codec = Codec::new(schema.clone()).expect("planning refuses columns that cannot be encoded");
    let (gap, out_schema) = (session.gap as i64, node.schema.clone());
    parcels(input, name, dealer).unary_frontier::<DeltaBuilder, _, _, _>(exchange(), name, move |_, _| {
        let mut lines: HashMap<Row, Line, foldhash::fast::FixedState> = HashMap::default();
        let mut pending: Pending<Run> = Pending::default();
        let mut held = 0i64;
        move |(input, frontier), output| {
            input.for_each_stamp(|capability, data| {
                pending.retain(&capability, output.output_index());
                data.flat_map(|d| d.drain(..)).for_each(|parcel| pending.push_parcel(parcel));
            });
            let Some((capability, closed)) = pending.closed(&[frontier]) else { return };
            let mut told = Told::default();
            for (time, runs) in closed {
                let changes: Vec<Change> =
                    runs.iter().flat_map(Run::rows).filter_map(|(row, diff)| change(row, diff)).collect();
                held += changes.iter().map(|c| c.3).sum::<i64>();
                advance(&mut lines, changes, gap, time, &mut told);
            }
            if let Some(delta) = told.into_delta(&codec, &out_schema) {
                output.session(&capability).give(delta);
            }
            gauge.rows.set(held.max(0) as u64);
            gauge.bytes.set(held.max(0) as u64 * 96);
        }
    })
}

fn advance(
    lines: &mut HashMap<Row, Line, foldhash::fast::FixedState>,
    mut changes: Vec<Change>,
    gap: i64,
    time: u64,
    told: &mut Told,
) {
    changes.sort_unstable();
    let mut changes = changes.into_iter().peekable();
    while let Some(first) = changes.next() {
        let key = first.0.clone();
        let mut mine = vec![first];
        while let Some(next) = changes.next_if(|c| c.0 == key) {
            mine.push(next);
        }
        let line = lines.entry(key.clone()).or_default();
        let times: BTreeSet<i64> = mine.iter().map(|c| c.1).collect();
        let before = around(line, times.iter().copied(), gap);
        let mut windows: BTreeMap<(Row, i64, i64), i64> = BTreeMap::new();
        show(line, &before, gap, -1, &mut windows);
        for (_, at, row, diff) in mine {
            add(line, at, row, diff);
        }
        let touched: BTreeSet<i64> =
            before.iter().flat_map(|(low, high)| line.range(low..=high).map(|(t, _)| *t)).chain(times).collect();
        let after = around(line, touched.into_iter(), gap);
        show(line, &after, gap, 1, &mut windows);
        for ((row, start, end), diff) in windows.into_iter().filter(|(_, d)| *d != 0) {
            told.push(row, start, end, time, diff);
        }
        if line.is_empty() {
            lines.remove(&key);
        }
    }
}

fn add(line: &mut Line, at: i64, row: Row, diff: i64) {
    let rows = line.entry(at).or_default();
    let count = rows.entry(row.clone()).or_default();
    *count += diff;
    if *count == 0 {
        rows.remove(&row);
        if rows.is_empty() {
            line.remove(&at);
        }
    }
}

/// The sessions (first and last time) that lie within a gap of any of `times`.
fn around(line: &Line, times: impl Iterator<Item = i64>, gap: i64) -> BTreeSet<(i64, i64)> {
    let mut found: BTreeSet<(i64, i64)> = BTreeSet::new();
    for at in times {
        let near: Vec<i64> =
            line.range(at.saturating_sub(gap - 1)..=at.saturating_add(gap - 1)).map(|(t, _)| *t).collect();
        for t in near {
            if found.range(..=(t, i64::MAX)).next_back().is_none_or(|(_, high)| *high < t) {
                found.insert(span(line, t, gap));
            }
        }
    }
    found
}

/// The session that the row at `at` is in.
fn span(line: &Line, at: i64, gap: i64) -> (i64, i64) {
    let (mut low, mut high) = (at, at);
    for (t, _) in line.range(..at).rev() {
        if low - t >= gap {
            break;
        }
        low = *t;
    }
    for (t, _) in line.range(at..) {
        if t - high >= gap {
            break;
        }
        high = *t;
    }
    (low, high)
}

fn show(line: &Line, sessions: &BTreeSet<(i64, i64)>, gap: i64, sign: i64, out: &mut BTreeMap<(Row, i64, i64), i64>) {
    for (low, high) in sessions {
        for (row, count) in line.range(low..=high).flat_map(|(_, rows)| rows) {
            *out.entry((row.clone(), *low, high + gap)).or_default() += sign * count;
        }
    }
}

#[derive(Default)]
struct Told {
    rows: Vec<Row>,
    starts: Vec<i64>,
    ends: Vec<i64>,
    times: Vec<u64>,
    diffs: Vec<i64>,
}

impl Told {
    fn push(&mut self, row: Row, start: i64, end: i64, time: u64, diff: i64) {
        self.rows.push(row);
        self.starts.push(start);
        self.ends.push(end);
        self.times.push(time);
        self.diffs.push(diff);
    }
    fn into_delta(self, codec: &Codec, schema: &SchemaRef) -> Option<Delta> {
        if self.rows.is_empty() {
            return None;
        }
        let mut columns = codec.decode(self.rows.iter().map(Row::bytes)).expect("rows were encoded by this codec");
        columns.push(std::sync::Arc::new(TimestampMicrosecondArray::from(self.starts)));
        columns.push(std::sync::Arc::new(TimestampMicrosecondArray::from(self.ends)));
        let batch = RecordBatch::try_new(schema.clone(), columns).expect("results have the step's schema");
        Some(Delta::new(batch, self.times, self.diffs))
    }
}
