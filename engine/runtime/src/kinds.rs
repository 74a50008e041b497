//! What a kind of source, operator or sink must say about itself: its name, its options, how to plan and how to run.
//!
//! A kind is one file. `plan` may fail with diagnostics; what it returns may only run. Kinds are handed to the
//! engine in an explicit [`Kinds`] list: no link-time magic.

use crate::arrival::{Arrival, Decoded, Note};
use crate::asking::Asker;
use crate::closed::ClosedBatch;
use arrow::datatypes::{Field, SchemaRef};
use arrow::record_batch::RecordBatch;
use futures::future::BoxFuture;
use jarvis_plan::{Machine, Picked};
use jarvis_spec::{Diagnostics, Node, Operator};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

/// The stream that a source feeds or a sink reads.
#[derive(Clone, Debug)]
pub struct StreamSpec {
    /// `pipeline.stream`.
    pub name: String,
    /// The declared columns (for a source, without `_diff`, `_deleted`).
    pub schema: SchemaRef,
    /// Columns of the upsert key; empty = a multiset.
    pub key: Vec<usize>,
    /// The event-time column.
    pub time: Option<usize>,
    /// How far behind the clock a row's event time may be.
    pub lateness: Option<Duration>,
}

/// What planning may look at.
#[derive(Clone, Debug)]
pub struct PlanContext {
    /// The folder of the YAML file: relative paths start here.
    pub folder: PathBuf,
    /// The facility's tables and settings (`config/`), if given.
    pub config: Option<PathBuf>,
    /// Where the lineage lives, if the run keeps one.
    pub data: Option<PathBuf>,
}

impl PlanContext {
    /// A path as written in the YAML, from the YAML's folder.
    pub fn resolve(&self, path: &Path) -> PathBuf {
        self.folder.join(path)
    }
}

/// A kind of source.
pub trait SourceKind: Send + Sync {
    /// The key in the YAML: `mqtt`.
    fn name(&self) -> &'static str;
    /// JSON schema of its options, from the doc comments of the options struct.
    fn options(&self) -> schemars::Schema;
    /// The schema, where the kind itself knows it (a Parquet file) and the YAML leaves it out.
    fn infer_schema(&self, _options: &Node, _context: &PlanContext) -> Option<Result<SchemaRef, Diagnostics>> {
        None
    }
    /// Reads the options; may look at files but starts nothing.
    fn plan(&self, stream: &StreamSpec, options: &Node, context: &PlanContext) -> Result<SourcePlan, Diagnostics>;
}

/// A source ready to run.
pub enum SourcePlan {
    /// It ends. The workers read it in parallel.
    Bounded(Arc<dyn BoundedSource>),
    /// A task that speaks a protocol until it is told to stop.
    Live(Box<dyn LiveSource>),
}

/// A finite input that can be read in chunks on many threads.
pub trait BoundedSource: Send + Sync {
    /// Takes the next chunk, in order; `None` at the end. Cheap: it finds borders, it decodes nothing.
    /// A chunk holds a few thousand rows.
    fn next_chunk(&self) -> Option<Chunk>;
    /// Whether no row takes another one back (`_diff: -1`). Known only to who can look at the whole input.
    fn append_only(&self) -> bool {
        false
    }
    /// Decodes a chunk; rows that fail become errors in the result.
    fn decode(&self, chunk: &Chunk) -> Decoded;
}

/// Part of a bounded source: a range of bytes or a row group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// 0, 1, 2, ... in the order of the input.
    pub index: u64,
    pub start: u64,
    pub end: u64,
}

/// A source that goes on.
pub trait LiveSource: Send {
    /// Runs until `feed` is closed. Reconnecting is its own business; an `Err` stops the process with its message.
    fn run(self: Box<Self>, feed: Feed) -> BoxFuture<'static, anyhow::Result<()>>;
    /// Whether it tells all that it has when it starts, and from then on what changes. After a restart it must tell the
    /// difference to [`Restored::rows`].
    fn is_whole(&self) -> bool {
        false
    }
    /// What must be equal beside its options for a reload to keep it: what a file says that they name.
    fn marks(&self) -> String {
        String::new()
    }
}

/// The way into the graph: a bounded channel, so a full graph makes a source wait.
#[derive(Clone)]
pub struct Feed {
    pub stream: StreamSpec,
    pub(crate) sender: tokio::sync::mpsc::Sender<(usize, Arrival)>,
    pub(crate) index: usize,
    pub restored: Arc<Restored>,
}

/// What the log knows of a stream from the time before a restart.
#[derive(Clone, Debug, Default)]
pub struct Restored {
    /// What the source had handed over and not confirmed, in order.
    pub notes: Vec<Note>,
    /// The rows that count; for a source that is read whole at the start.
    pub rows: Option<RecordBatch>,
    /// How many rows it has had.
    pub place: u64,
}

/// The graph is gone: a source returns.
#[derive(Debug, thiserror::Error)]
#[error("the graph has stopped")]
pub struct Closed;

impl Feed {
    /// A feed and its other end, for whoever runs a source outside of a graph, such as its tests.
    pub fn channel(stream: StreamSpec, capacity: usize) -> (Self, tokio::sync::mpsc::Receiver<(usize, Arrival)>) {
        let (sender, receiver) = tokio::sync::mpsc::channel(capacity);
        (Self { stream, sender, index: 0, restored: Arc::default() }, receiver)
    }
    /// Hands rows over; waits while the graph is full.
    pub async fn send(&self, arrival: Arrival) -> Result<(), Closed> {
        self.sender.send((self.index, arrival)).await.map_err(|_| Closed)
    }
    /// Waits for a place in the graph, and keeps it; what does not fill it gives it back.
    pub(crate) async fn place(&self) -> Result<Place<'_>, Closed> {
        let permit = self.sender.reserve().await.map_err(|_| Closed)?;
        Ok(Place { permit, index: self.index })
    }
    /// Resolves when the graph has stopped.
    pub async fn closed(&self) {
        self.sender.closed().await
    }
}

/// A place for one arrival.
pub(crate) struct Place<'a> {
    permit: tokio::sync::mpsc::Permit<'a, (usize, Arrival)>,
    index: usize,
}

impl Place<'_> {
    pub fn fill(self, arrival: Arrival) {
        self.permit.send((self.index, arrival));
    }
}

/// A kind of operator other than `sql`.
pub trait OperatorKind: Send + Sync {
    /// The key in the YAML: `infer`.
    fn name(&self) -> &'static str;
    fn options(&self) -> schemars::Schema;
    /// Whether it may also stand under `sinks:`, as one that asks for something to be done. It is the same operator there: what
    /// came of it is a stream of the sink's name.
    fn is_sink(&self) -> bool {
        false
    }
    /// Reads the options of an operator over the streams of its `from`, in that order; starts nothing.
    fn plan(
        &self,
        operator: &Operator,
        from: &[StreamSpec],
        context: &PlanContext,
    ) -> Result<OperatorPlan, Diagnostics>;
}

/// What an operator does.
pub enum OperatorPlan {
    /// It follows events inside the graph; of each stream it reads these columns.
    Machine { machine: Arc<dyn Machine>, reads: Vec<Picked> },
    /// It asks something outside about each row that appears; an answer has the columns of its question, and these.
    Asks { adds: Vec<Field>, asker: Box<dyn Asker> },
}

/// A kind of sink.
pub trait SinkKind: Send + Sync {
    fn name(&self) -> &'static str;
    fn options(&self) -> schemars::Schema;
    fn plan(&self, stream: &StreamSpec, options: &Node, context: &PlanContext) -> Result<SinkPlan, Diagnostics>;
}

/// A sink ready to run, and how it wants the view told.
pub struct SinkPlan {
    pub publish: crate::publish::Publish,
    pub driver: Box<dyn SinkDriver>,
}

/// Writes what a view tells.
pub trait SinkDriver: Send {
    /// Called once before the first batch.
    fn open(&mut self) -> BoxFuture<'_, anyhow::Result<()>> {
        Box::pin(async { Ok(()) })
    }
    /// Writes one closed batch; returns when it is delivered (or safely queued in order). Waiting here is the backpressure.
    fn write<'a>(&'a mut self, batch: &'a ClosedBatch) -> BoxFuture<'a, anyhow::Result<()>>;
    /// Takes note of a batch that was delivered before a restart: it has the same effect on what is told later as if it
    /// were written, and tells nothing.
    fn recall<'a>(&'a mut self, _batch: &'a ClosedBatch) -> BoxFuture<'a, anyhow::Result<()>> {
        Box::pin(async { Ok(()) })
    }
    /// Returns when everything written is delivered.
    fn flush(&mut self) -> BoxFuture<'_, anyhow::Result<()>> {
        Box::pin(async { Ok(()) })
    }
    /// What was told so far, to go on after a restart.
    fn snapshot(&mut self) -> BoxFuture<'_, anyhow::Result<Vec<u8>>> {
        Box::pin(async { Ok(vec![]) })
    }
    /// Goes on from a snapshot of an earlier run with the same options. Called first without one, empty, in every run
    /// that goes on from a log.
    fn restore(&mut self, _snapshot: Vec<u8>) -> BoxFuture<'_, anyhow::Result<()>> {
        Box::pin(async { Ok(()) })
    }
    /// Everything before this time (µs) has been delivered. `None`: what is written is delivered.
    fn delivered(&self) -> Option<Arc<AtomicU64>> {
        None
    }
    /// Whether what was told is still there after a restart. If not, the whole view is told again.
    fn is_lasting(&self) -> bool {
        true
    }
    /// Of the end that questions leave by: what it shares with the one that answers.
    fn between(&self) -> Option<Arc<crate::asking::Between>> {
        None
    }
    /// Whether it only takes down the changes of ticks: the log does not keep what it was told, and a restart tells it no
    /// difference.
    fn is_record(&self) -> bool {
        false
    }
    /// Resolves when a driver that works on after `write` has returned, such as on a thread of its own, has failed.
    /// Until then it may be dropped and called again.
    fn failed(&mut self) -> BoxFuture<'_, anyhow::Error> {
        Box::pin(std::future::pending())
    }
    /// Called once at the end (batch mode: after the last batch; live: at a graceful stop).
    fn finish(&mut self) -> BoxFuture<'_, anyhow::Result<()>> {
        Box::pin(async { Ok(()) })
    }
}

/// All kinds that a program knows.
#[derive(Default)]
pub struct Kinds {
    pub sources: Vec<Box<dyn SourceKind>>,
    pub operators: Vec<Box<dyn OperatorKind>>,
    pub sinks: Vec<Box<dyn SinkKind>>,
}

impl Kinds {
    pub fn source(&self, name: &str) -> Option<&dyn SourceKind> {
        self.sources.iter().find(|k| k.name() == name).map(|k| &**k)
    }
    pub fn operator(&self, name: &str) -> Option<&dyn OperatorKind> {
        self.operators.iter().find(|k| k.name() == name).map(|k| &**k)
    }
    pub fn sink(&self, name: &str) -> Option<&dyn SinkKind> {
        self.sinks.iter().find(|k| k.name() == name).map(|k| &**k)
    }
    /// The kinds of operators that may stand under `sinks:`.
    pub fn answering(&self) -> impl Iterator<Item = &dyn OperatorKind> {
        self.operators.iter().map(|k| &**k).filter(|k| k.is_sink())
    }
}
