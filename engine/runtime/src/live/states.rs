//! What sinks have been told, written down now and then, so that a restart need not run everything again.

use super::compaction;
use super::conductor::Conductor;
use arrow::error::ArrowError;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use arrow::record_batch::RecordBatch;
use jarvis_log::{Blob, State};
use std::collections::{BTreeMap, HashMap};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// When a sink is too far behind to be asked, all are asked again after this time.
const RETRY: Duration = Duration::from_secs(1);

/// What a sink had been told by some tick.
#[derive(Clone, Debug, Default)]
pub(crate) struct SinkState {
    pub fingerprint: String,
    pub snapshot: Vec<u8>,
    /// Its view, as an Arrow IPC stream; `None` for a record of changes.
    told: Option<Vec<u8>>,
}

impl SinkState {
    /// In the columns that the view had.
    pub fn told(&self) -> Option<Result<RecordBatch, ArrowError>> {
        let read = |told: &Vec<u8>| {
            let reader = StreamReader::try_new(told.as_slice(), None)?;
            let schema = reader.schema();
            arrow::compute::concat_batches(&schema, &reader.collect::<Result<Vec<_>, _>>()?)
        };
        self.told.as_ref().map(read)
    }
}

/// What all sinks had been told by a tick.
pub(crate) struct Sinks {
    pub time: u64,
    /// The fingerprint of the graph.
    pub graph: String,
    pub sinks: BTreeMap<String, SinkState>,
}

const GRAPH: &str = "graph";
const FINGERPRINT: &str = "fingerprint ";
const SNAPSHOT: &str = "snapshot ";
const TOLD: &str = "told ";

impl Sinks {
    pub fn of(state: State) -> anyhow::Result<Self> {
        let mut sinks: BTreeMap<String, SinkState> = BTreeMap::new();
        let mut graph = String::new();
        for Blob { name, bytes } in state.blobs {
            if name == GRAPH {
                graph = String::from_utf8(bytes)?;
            } else if let Some(sink) = name.strip_prefix(FINGERPRINT) {
                sinks.entry(sink.into()).or_default().fingerprint = String::from_utf8(bytes)?;
            } else if let Some(sink) = name.strip_prefix(SNAPSHOT) {
                sinks.entry(sink.into()).or_default().snapshot = bytes;
            } else if let Some(sink) = name.strip_prefix(TOLD) {
                sinks.entry(sink.into()).or_default().told = Some(bytes);
            }
        }
        Ok(Sinks { time: state.time, graph, sinks })
    }
    fn state(self) -> State {
        let blob = |kind: &str, sink: &str, bytes| Blob { name: format!("{kind}{sink}"), bytes };
        let blobs = self.sinks.into_iter().flat_map(|(name, s)| {
            let told = s.told.map(|told| blob(TOLD, &name, told));
            [blob(FINGERPRINT, &name, s.fingerprint.into_bytes()), blob(SNAPSHOT, &name, s.snapshot)]
                .into_iter()
                .chain(told)
        });
        let graph = Blob { name: GRAPH.to_owned(), bytes: self.graph.into_bytes() };
        State { time: self.time, blobs: std::iter::once(graph).chain(blobs).collect() }
    }
}

/// A state that waits for the sinks' words, and what goes on behind.
#[derive(Default)]
pub(super) struct StateUnderWay {
    waiting: Option<Waiting>,
    /// When the next one is to be begun; `None`: now.
    due: Option<Instant>,
    compaction: Option<JoinHandle<u64>>,
    /// The size of the last checkpoint.
    size: u64,
}

impl StateUnderWay {
    /// Sinks have been asked, and not all have answered.
    pub fn is_asking(&self) -> bool {
        self.waiting.is_some()
    }

    /// Leaves the one that is under way.
    pub fn forget(&mut self) {
        self.waiting = None;
    }
    pub fn wait_for_compaction(&mut self) {
        if let Some(compaction) = self.compaction.take() {
            // A panic there has been told by its hook.
            self.size = compaction.join().unwrap_or(0);
        }
    }
}

struct Waiting {
    sinks: Sinks,
    asked: HashMap<String, oneshot::Receiver<Vec<u8>>>,
}

impl Conductor {
    /// Asks all sinks what they have been told; their answers come when everything is delivered.
    pub(super) fn begin_state(&mut self) {
        if self.journal.is_none() || self.states.waiting.is_some() {
            return;
        }
        self.states.due = Some(Instant::now() + RETRY.min(self.options.checkpoint));
        let sinks = Sinks { time: self.last, graph: self.fingerprint.clone(), sinks: BTreeMap::new() };
        let mut waiting = Waiting { sinks, asked: HashMap::new() };
        for outlet in &self.outlets {
            for name in &outlet.sinks {
                let Some((_, task)) = self.sinks.get(name).filter(|(_, t)| t.is_lasting) else { continue };
                // A sink that is far behind is asked another time, and so are then all: they must speak of one tick.
                let told = (!task.is_record).then(|| ipc(&outlet.view.content())).transpose();
                let (Some(answer), Ok(told)) = (task.snapshot(), told) else { return };
                let fingerprint = task.fingerprint.clone();
                waiting.sinks.sinks.insert(name.clone(), SinkState { fingerprint, told, snapshot: vec![] });
                waiting.asked.insert(name.clone(), answer);
            }
        }
        self.states.due = Some(Instant::now() + self.options.checkpoint);
        self.states.waiting = Some(waiting);
    }

    /// Takes the answers that have come, and begins anew when it is time.
    pub(super) fn follow_states(&mut self) -> anyhow::Result<()> {
        if self.journal.is_none() {
            return Ok(());
        }
        if self.states.compaction.as_ref().is_some_and(JoinHandle::is_finished) {
            self.states.wait_for_compaction();
        }
        match &mut self.states.waiting {
            None if self.states.due.is_none_or(|due| due <= Instant::now()) => self.begin_state(),
            None => {}
            Some(waiting) => {
                let Waiting { sinks, asked } = waiting;
                let mut gone = false;
                asked.retain(|name, answer| match answer.try_recv() {
                    Ok(snapshot) => {
                        sinks.sinks.entry(name.clone()).or_default().snapshot = snapshot;
                        false
                    }
                    Err(oneshot::error::TryRecvError::Empty) => true,
                    // A sink that a reload has removed.
                    Err(oneshot::error::TryRecvError::Closed) => {
                        gone = true;
                        false
                    }
                });
                if gone {
                    self.states.waiting = None;
                } else if asked.is_empty() {
                    self.write_state()?;
                }
            }
        }
        Ok(())
    }

    /// At the end: waits for the sinks' words about the last tick. Whatever a sink has not delivered when the patience
    /// ends, it is given again after the restart.
    pub(super) async fn last_state(&mut self, patience: Duration) -> anyhow::Result<()> {
        if self.journal.is_none() {
            return Ok(());
        }
        let until = Instant::now() + patience;
        let left = || until.saturating_duration_since(Instant::now());
        // One that is under way may speak of an earlier tick.
        self.states.waiting = None;
        self.begin_state();
        while self.states.waiting.is_none() && !left().is_zero() {
            tokio::time::sleep(Duration::from_millis(5)).await;
            self.begin_state();
        }
        let Some(mut waiting) = self.states.waiting.take() else { return Ok(()) };
        for (name, answer) in waiting.asked.drain() {
            let Ok(Ok(snapshot)) = tokio::time::timeout(left(), answer).await else { return Ok(()) };
            waiting.sinks.sinks.entry(name).or_default().snapshot = snapshot;
        }
        self.states.waiting = Some(waiting);
        self.write_state()
    }

    fn write_state(&mut self) -> anyhow::Result<()> {
        let (Some(waiting), Some(journal)) = (self.states.waiting.take(), &self.journal) else { return Ok(()) };
        journal.append_state(waiting.sinks.state())?;
        let grown = journal.writer().written();
        if self.states.compaction.is_none() && grown >= self.options.compact.max(self.states.size) {
            journal.writer().begin_checkpoint(self.last)?;
            let (folder, last, marks) =
                (journal.writer().folder().clone(), self.last, journal.marks().all().cloned().collect());
            let keeps = self.sources.values().map(|e| (e.name.clone(), e.keep.clone())).collect();
            let delivered = journal.all_delivered();
            let (archive, floors) = (self.options.archive.clone(), self.floors.clone());
            let work =
                move || compaction::compact(&folder, last, &keeps, &floors, marks, delivered, archive.as_deref());
            self.states.compaction = Some(std::thread::Builder::new().name("compaction".into()).spawn(work)?);
        }
        Ok(())
    }
}

fn ipc(rows: &RecordBatch) -> Result<Vec<u8>, ArrowError> {
    let mut writer = StreamWriter::try_new(vec![], &rows.schema())?;
    if rows.num_rows() > 0 {
        writer.write(rows)?;
    }
    writer.finish()?;
    writer.into_inner()
}
