//! What an edit no longer sees: rows that had ceased to count for the pipelines before it.
//!
//! The log holds rows longer than they count, and how much longer depends on when it was made smaller. So that an edit sees
//! the same rows live, after a restart and in a replay, it logs for each stream from which tick on its rows counted, as
//! the stream `system.counting`: those that arrived within the retention that held before.

use crate::live::Keep;
use arrow::array::{ArrayRef, AsArray, Int64Array, StringArray};
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use arrow::record_batch::RecordBatch;
use jarvis_log::{Batch, Tick};
use std::collections::HashMap;
use std::sync::Arc;

/// The stream of what counted at edits.
pub const COUNTING: &str = "system.counting";

/// By stream, the tick from which on rows count, as far as edits are concerned.
#[derive(Clone, Debug, Default)]
pub struct Floors {
    named: HashMap<String, u64>,
    /// Of streams that the last edit found no source for.
    others: u64,
}

impl Floors {
    /// Whether rows of a stream that entered at a time count.
    pub fn admit(&self, stream: &str, time: u64) -> bool {
        stream.starts_with("system.") || time >= self.of(stream)
    }
    fn of(&self, stream: &str) -> u64 {
        self.named.get(stream).copied().unwrap_or(self.others)
    }
    /// Follows an edit, if a tick logs one.
    pub fn follow(&mut self, tick: &Tick) {
        let mut batches = tick.batches.iter().filter(|batch| batch.stream == COUNTING).peekable();
        if batches.peek().is_some() {
            let since = batches.flat_map(|batch| read(&batch.rows)).collect();
            self.rise(&since, tick.time);
        }
    }
    /// An edit at a time; `since` says for each stream of the pipelines before from when on its rows counted.
    pub fn rise(&mut self, since: &HashMap<String, u64>, time: u64) {
        let named = since.iter().map(|(stream, since)| (stream.clone(), self.of(stream).max(*since))).collect();
        *self = Floors { named, others: time };
    }
    /// Takes out of a tick what no longer counts.
    pub fn sieve(&self, tick: &mut Tick) {
        let time = tick.time;
        tick.batches.retain(|batch| self.admit(&batch.stream, time));
    }
}

/// By stream, from when on what has arrived counts at a time.
pub(crate) fn counting(keeps: &HashMap<String, Keep>, at: u64) -> HashMap<String, u64> {
    let since = |keep: &Keep| keep.retain.map_or(0, |retain| at.saturating_sub(retain.as_micros() as u64));
    keeps.iter().map(|(stream, keep)| (stream.clone(), since(keep))).collect()
}

/// As what enters the tick of an edit.
pub(crate) fn logged(since: &HashMap<String, u64>) -> Batch {
    let mut all: Vec<(&String, &u64)> = since.iter().collect();
    all.sort();
    let streams: ArrayRef = Arc::new(StringArray::from_iter_values(all.iter().map(|(stream, _)| stream)));
    let times: ArrayRef = Arc::new(Int64Array::from_iter_values(all.iter().map(|(_, since)| **since as i64)));
    let fields = [Field::new("stream", DataType::Utf8, false), Field::new("since", DataType::Int64, false)];
    let rows = RecordBatch::try_new(Arc::new(Schema::new(fields.to_vec())), vec![streams, times]);
    let rows = rows.expect("a column of texts and one of numbers");
    let diffs = vec![1; rows.num_rows()];
    Batch { stream: COUNTING.to_owned(), place: 0, rows, diffs }
}

/// Rows of [`COUNTING`].
fn read(rows: &RecordBatch) -> Vec<(String, u64)> {
    let (Some(streams), Some(times)) =
        (rows.column(0).as_string_opt::<i32>(), rows.column(1).as_primitive_opt::<Int64Type>())
    else {
        return vec![];
    };
    (0..rows.num_rows()).map(|row| (streams.value(row).to_owned(), times.value(row) as u64)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_edit_has_left_behind_stays_behind() {
        let of = |list: &[(&str, u64)]| list.iter().map(|(s, t)| ((*s).to_owned(), *t)).collect::<HashMap<_, _>>();
        let mut floors = Floors::default();
        assert!(floors.admit("a.b", 0));
        floors.rise(&of(&[("a.b", 70), ("a.c", 0)]), 100);
        assert!(!floors.admit("a.b", 69) && floors.admit("a.b", 70) && floors.admit("a.c", 0));
        assert!(!floors.admit("gone.x", 99) && floors.admit("system.errors", 1));
        // Longer now, and one that had no source.
        floors.rise(&of(&[("a.b", 10), ("gone.x", 0)]), 200);
        assert!(!floors.admit("a.b", 69) && !floors.admit("gone.x", 99) && floors.admit("gone.x", 100));
        assert!(!floors.admit("a.c", 199));
        // As it is logged.
        let since = of(&[("a.b", 3), ("a.c", 4)]);
        assert_eq!(read(&logged(&since).rows).into_iter().collect::<HashMap<_, _>>(), since);
    }
}
