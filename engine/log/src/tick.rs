//! What is logged.

use arrow::record_batch::RecordBatch;
use std::collections::BTreeMap;

/// What entered the graph at one time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tick {
    /// µs since the epoch.
    pub time: u64,
    /// The tick before: windows that were over by then take no more rows.
    pub previous: u64,
    pub batches: Vec<Batch>,
    pub marks: Vec<Mark>,
    /// By sink: everything before this time has been delivered.
    pub delivered: BTreeMap<String, u64>,
}

/// Rows of one stream; a batch without rows is not kept.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// `pipeline.stream`
    pub stream: String,
    /// How many rows the stream had before.
    pub place: u64,
    pub rows: RecordBatch,
    /// One weight per row.
    pub diffs: Vec<i64>,
}

/// What a source must know after a restart about things it has handed over and not yet confirmed to the outside.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mark {
    /// `pipeline.stream`
    pub stream: String,
    /// The number of the first of these things; a source numbers all that it receives.
    pub first: u64,
    pub count: u64,
    /// All things with a lower number have been confirmed.
    pub done: u64,
    /// The source's own words about them.
    pub note: Vec<u8>,
}

/// What a checkpoint says besides ticks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// The last tick that the checkpoint contains.
    pub time: u64,
    pub blobs: Vec<Blob>,
}

/// Bytes with a name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Blob {
    pub name: String,
    pub bytes: Vec<u8>,
}
