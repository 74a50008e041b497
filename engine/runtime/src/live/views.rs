//! The content of streams, held for those who ask: taps, live SQL, and a reload that must tell sinks only what differs.

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use jarvis_dataflow::Delta;
use jarvis_dataflow::columns::Codec;
use jarvis_dataflow::row::Row;
use std::collections::BTreeMap;

/// A stream's rows as a multiset.
pub struct View {
    codec: Codec,
    rows: BTreeMap<Row, i64>,
}

impl View {
    pub fn new(schema: SchemaRef) -> Self {
        View {
            codec: Codec::new(schema).expect("planning refuses columns that cannot be encoded"),
            rows: BTreeMap::new(),
        }
    }
    pub fn schema(&self) -> &SchemaRef {
        self.codec.schema()
    }
    pub fn apply(&mut self, rows: &RecordBatch, diffs: &[i64]) {
        let encoded = self.codec.encode(rows.columns(), rows.num_rows()).expect("rows have the stream's schema");
        for (row, diff) in encoded.into_iter().zip(diffs) {
            use std::collections::btree_map::Entry;
            match self.rows.entry(row) {
                Entry::Vacant(e) => {
                    e.insert(*diff);
                }
                Entry::Occupied(mut e) => {
                    *e.get_mut() += diff;
                    if *e.get() == 0 {
                        e.remove();
                    }
                }
            }
        }
    }
    /// All rows, n copies n times.
    pub fn content(&self) -> RecordBatch {
        let rows: Vec<&[u8]> = self
            .rows
            .iter()
            .filter(|(_, n)| **n > 0)
            .flat_map(|(r, n)| std::iter::repeat_n(r.bytes(), *n as usize))
            .collect();
        let n = rows.len();
        self.codec.decode_batch(rows.into_iter(), n).expect("rows were encoded by this codec")
    }
    /// The changes that turn `self` into `new`, at `time`; retractions first. `None` if there are none.
    pub fn changes_to(&self, new: &View, time: u64) -> Option<Delta> {
        let mut changes: Vec<(Row, i64)> = self
            .rows
            .iter()
            .map(|(r, n)| (r.clone(), -n))
            .chain(new.rows.iter().map(|(r, n)| (r.clone(), *n)))
            .collect();
        changes.sort_unstable();
        let mut merged: Vec<(Row, i64)> = vec![];
        for (row, n) in changes {
            match merged.last_mut() {
                Some((last, sum)) if *last == row => *sum += n,
                _ => merged.push((row, n)),
            }
        }
        merged.retain(|(_, n)| *n != 0);
        merged.sort_by_key(|(_, n)| *n > 0);
        if merged.is_empty() {
            return None;
        }
        let n = merged.len();
        let rows =
            self.codec.decode_batch(merged.iter().map(|(r, _)| r.bytes()), n).expect("rows were encoded by this codec");
        Some(Delta::new(rows, vec![time; n], merged.into_iter().map(|(_, d)| d).collect()))
    }
}
