//! Rows on their way in.

use arrow::record_batch::RecordBatch;

/// Rows that a source decoded, and the ones that it could not.
#[derive(Clone, Debug)]
pub struct Decoded {
    /// Columns as declared in the YAML, in that order.
    pub rows: RecordBatch,
    /// One weight per row; `None` = every row is +1. In a stream with a key, +1 is an upsert and −1 removes the
    /// key (the other columns are then not read and may hold any placeholder).
    pub weights: Option<Vec<i64>>,
    pub errors: Vec<RowError>,
    /// Bytes read from the outside, for the metrics.
    pub bytes: u64,
}

/// A row that could not be decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowError {
    /// A stable name: `json_syntax`, `wrong_type`, `missing_field`, `invalid_utf8`, `too_large`, `not_finite`, `out_of_range`, ...
    pub code: &'static str,
    /// What happened to which field, and what was expected.
    pub message: String,
    /// The input as it came, at most 1 KiB of it, lossily as text.
    pub input: String,
}

/// What a live source hands over at once.
pub struct Arrival {
    pub decoded: Decoded,
    /// Called once the tick that holds these rows is safe: the moment to acknowledge.
    pub on_safe: Option<Box<dyn FnOnce() + Send>>,
}
