//! What can be asked of a graph that runs.

use crate::closed::ClosedBatch;
use crate::cluster::StateSizes;
use crate::project::Project;
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use tokio::sync::{mpsc, oneshot};

/// A request to the conductor; answers come over the channels in it. A receiver that is gone is no error.
pub enum Control {
    /// End gracefully: what has arrived is worked off, sinks finish.
    Stop,
    /// Put another project in place of the running one.
    Reload {
        project: Box<Project>,
        reply: oneshot::Sender<anyhow::Result<()>>,
    },
    /// The content of a stream now (if the engine holds it), then its changes as they happen.
    Tap {
        stream: String,
        reply: oneshot::Sender<Option<Tap>>,
    },
    /// The content of all views that the engine holds: (name, rows).
    Views {
        reply: oneshot::Sender<Vec<(String, RecordBatch)>>,
    },
    /// Every stream there is.
    Streams {
        reply: oneshot::Sender<Vec<StreamStatus>>,
    },
    Sizes {
        reply: oneshot::Sender<StateSizes>,
    },
}

/// A stream that is being listened to.
pub struct Tap {
    pub schema: SchemaRef,
    /// Rows that are there now; `None` for a source, of which the engine holds no copy.
    pub now: Option<RecordBatch>,
    /// Changes from now on. The engine does not wait for a slow listener: what it missed is counted in `missed`.
    pub changes: mpsc::Receiver<ClosedBatch>,
    pub missed: std::sync::Arc<std::sync::atomic::AtomicU64>,
}

/// One stream, as `jarvis top` and the web show it.
#[derive(Clone, Debug, serde::Serialize)]
pub struct StreamStatus {
    pub name: String,
    /// `source`, `view` or `sink`.
    pub role: &'static str,
    /// The kind of a source or sink; `sql` for a view.
    pub kind: String,
    /// `column: type` of each column.
    pub columns: Vec<String>,
    pub rows_in: u64,
    pub rows_out: u64,
    pub errors: u64,
    /// For a source: µs between the event time of its newest row and now; `None` without event time or rows.
    pub lag_us: Option<i64>,
    /// Batches waiting for a sink.
    pub queued: u64,
}
