//! Rows on their way out.

use arrow::record_batch::RecordBatch;
use jarvis_dataflow::Delta;

/// Consolidated changes of one view for times that are closed: `lower <= time < upper`.
/// Ordered by time; at one time retractions come first.
#[derive(Clone, Debug)]
pub struct ClosedBatch {
    /// Microseconds since the Unix epoch.
    pub lower: u64,
    pub upper: u64,
    /// The view's columns.
    pub rows: RecordBatch,
    /// The time of each row, µs.
    pub times: Vec<u64>,
    /// +n: n copies appeared; −n: n copies went.
    pub diffs: Vec<i64>,
}

impl ClosedBatch {
    /// Consolidated changes, in the order of time.
    pub fn of(delta: &Delta) -> Self {
        let lower = delta.times.first().copied().unwrap_or(0);
        let upper = delta.times.last().copied().unwrap_or(0) + 1;
        ClosedBatch { lower, upper, rows: delta.rows.clone(), times: delta.times.clone(), diffs: delta.diffs.clone() }
    }
}
