//! What has arrived and still counts: kept so that a changed graph can be filled again.

use arrow::array::AsArray;
use arrow::datatypes::{SchemaRef, TimestampMicrosecondType};
use arrow::record_batch::RecordBatch;
use jarvis_dataflow::Delta;
use jarvis_dataflow::columns::Codec;
use jarvis_dataflow::row::Row;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

/// What makes the rows of an input count, and for how long.
#[derive(Clone, Debug)]
pub struct Keep {
    pub schema: SchemaRef,
    pub key: Vec<usize>,
    pub time: Option<usize>,
    /// After its event or its arrival, whichever is later; `None`: for ever.
    pub retain: Option<Duration>,
}

impl Keep {
    /// Rows of `system.errors`.
    pub fn errors(retain: Duration) -> Self {
        Keep { schema: jarvis_plan::compile::errors_schema(), key: vec![], time: None, retain: Some(retain) }
    }
    pub fn history(&self) -> History {
        History::new(&self.schema, &self.key, self.time, self.retain)
    }
}

/// The arrivals of one input that still count.
pub enum History {
    /// Batches in the order of arrival, each with the time from which none of its rows counts (`u64::MAX`: for ever).
    Rows { batches: VecDeque<(u64, Delta)>, retain: Option<Duration>, time: Option<usize> },
    /// The newest row of each key, by the tick and place of its arrival.
    Newest { key: Vec<usize>, keys: Codec, rows: Codec, newest: HashMap<Row, (u64, u64, Row)> },
}

impl History {
    pub fn new(schema: &SchemaRef, key: &[usize], time: Option<usize>, retain: Option<Duration>) -> Self {
        if key.is_empty() {
            return History::Rows { batches: VecDeque::new(), retain, time };
        }
        let keys = Codec::of(schema, key).expect("planning refuses keys that cannot be encoded");
        let rows = Codec::new(schema.clone()).expect("planning refuses columns that cannot be encoded");
        History::Newest { key: key.to_vec(), keys, rows, newest: HashMap::new() }
    }
    /// From now on rows count so long.
    pub fn keep_for(&mut self, longer: Option<Duration>) {
        if let History::Rows { retain, .. } = self {
            *retain = longer;
        }
    }
    pub fn add(&mut self, delta: &Delta, place: u64) {
        match self {
            History::Rows { batches, retain, time } => {
                let until = retain.map_or(u64::MAX, |r| last_event(delta, *time).saturating_add(r.as_micros() as u64));
                batches.push_back((until, delta.clone()));
            }
            History::Newest { key, keys, rows, newest } => {
                let columns = delta.columns(key);
                let keys = keys.encode(&columns, delta.len()).expect("keys have the stream's schema");
                let rows = rows.encode(delta.rows.columns(), delta.len()).expect("rows have the stream's schema");
                for (i, (k, r)) in keys.into_iter().zip(rows).enumerate() {
                    if delta.diffs[i] > 0 {
                        newest.insert(k, (delta.times[i], place + i as u64, r));
                    } else {
                        newest.remove(&k);
                    }
                }
            }
        }
    }
    /// All rows that count, in no order.
    pub fn content(&self, schema: &SchemaRef) -> RecordBatch {
        let mut view = super::views::View::new(schema.clone());
        for (delta, _) in self.replay().into_values().flatten() {
            view.apply(&delta.rows, &delta.diffs);
        }
        view.content()
    }
    /// Forgets what no longer counts at `now`.
    pub fn forget(&mut self, now: u64) {
        if let History::Rows { batches, .. } = self {
            while batches.front().is_some_and(|(until, _)| *until <= now) {
                batches.pop_front();
            }
        }
    }
    /// All that counts, by the tick of its arrival, with the place of the first row.
    pub fn replay(&self) -> BTreeMap<u64, Vec<(Delta, u64)>> {
        let mut out: BTreeMap<u64, Vec<(Delta, u64)>> = BTreeMap::new();
        match self {
            History::Rows { batches, .. } => {
                for (_, delta) in batches.iter().filter(|(_, d)| !d.is_empty()) {
                    out.entry(delta.times[0]).or_default().push((delta.clone(), 0));
                }
            }
            History::Newest { rows, newest, .. } => {
                let mut by_time: BTreeMap<u64, Vec<(&Row, u64)>> = BTreeMap::new();
                for (time, place, row) in newest.values() {
                    by_time.entry(*time).or_default().push((row, *place));
                }
                for (time, mut list) in by_time {
                    list.sort_by_key(|(_, place)| *place);
                    let n = list.len();
                    let batch = rows
                        .decode_batch(list.iter().map(|(r, _)| r.bytes()), n)
                        .expect("rows were encoded by this codec");
                    out.entry(time).or_default().push((Delta::inserts(batch, time), list[0].1));
                }
            }
        }
        out
    }
}

fn last_event(delta: &Delta, time: Option<usize>) -> u64 {
    let arrived = delta.times.iter().max().copied().unwrap_or(0);
    let Some(column) = time else { return arrived };
    let at = delta.rows.column(column).as_primitive::<TimestampMicrosecondType>();
    at.iter().flatten().max().map_or(arrived, |t| arrived.max(t.max(0) as u64))
}
