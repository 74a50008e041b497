//! The log of a live run: what enters is durable before its consequences leave, and only then acknowledged.

use super::bridges::Fatal;
use crate::arrival::Note;
use jarvis_log::{Batch, Folder, Locked, LogError, Mark, Options, State, Tick, Witness, Writer};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use tokio::sync::watch;

/// The last tick that is durable; `None`: nothing is kept, and nothing waits.
pub type Durable = Option<watch::Receiver<u64>>;
/// By tick, what waits for it.
type Waiting = VecDeque<(u64, Vec<OnSafe>)>;
/// What is called when a tick is durable.
pub type OnSafe = Box<dyn FnOnce() + Send>;

/// What a log says of the time before this run.
#[derive(Default)]
pub struct Before {
    /// The last tick, µs.
    pub last: u64,
    pub marks: Marks,
    /// By sink, up to when it has delivered, µs.
    pub delivered: HashMap<String, u64>,
}

/// What sources must know after a restart, by stream: marks of things that are not confirmed yet, in order.
#[derive(Clone, Default)]
pub struct Marks(BTreeMap<String, VecDeque<Mark>>);

impl Marks {
    /// Adds a mark; those of which all is confirmed now are forgotten.
    pub fn add(&mut self, mark: Mark) {
        let marks = self.0.entry(mark.stream.clone()).or_default();
        marks.retain(|m| m.first + m.count > mark.done);
        marks.push_back(mark);
    }
    pub fn all(&self) -> impl Iterator<Item = &Mark> {
        self.0.values().flatten()
    }
    /// What the source of a stream is told.
    pub fn notes(&self, stream: &str) -> Vec<Note> {
        let marks = self.0.get(stream).into_iter().flatten();
        let note = |m: &Mark| Note { first: m.first, count: m.count, done: m.done, words: m.note.clone() };
        marks.map(note).collect()
    }
}

/// The log as the conductor uses it.
pub struct Journal {
    writer: Writer,
    /// What waits for ticks to become durable, in their order.
    waiting: Arc<Mutex<Waiting>>,
    durable: watch::Receiver<u64>,
    previous: u64,
    /// What the log already says about the sinks.
    delivered: HashMap<String, u64>,
    marks: Marks,
}

/// What enters at a tick, while it is gathered.
#[derive(Default)]
pub struct Entering {
    pub batches: Vec<Batch>,
    pub notes: Vec<(String, Note)>,
    pub safe: Vec<OnSafe>,
}

impl Journal {
    /// Goes on after what was before.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn start(
        folder: Folder,
        lock: Locked,
        before: Before,
        options: Options,
        fatal: Fatal,
        witness: Option<Box<dyn Witness>>,
    ) -> Result<Self, LogError> {
        let Before { last, marks, delivered } = before;
        let waiting: Arc<Mutex<Waiting>> = Arc::default();
        let (tell, durable) = watch::channel(last);
        let shared = waiting.clone();
        let on_durable = move |time| {
            tell.send_replace(time);
            let mut waiting = shared.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            let safe = waiting.partition_point(|(t, _)| *t <= time);
            let safe: Vec<OnSafe> = waiting.drain(..safe).flat_map(|(_, callbacks)| callbacks).collect();
            drop(waiting);
            safe.into_iter().for_each(|callback| callback());
        };
        // Nobody listens only when the run is over.
        let on_failure = move |error: LogError| drop(fatal.send(error.into()));
        let writer = Writer::start(folder, lock, last, options, Box::new(on_durable), Box::new(on_failure), witness)?;
        Ok(Journal { writer, waiting, durable, previous: last, delivered, marks })
    }
    pub fn durable(&self) -> watch::Receiver<u64> {
        self.durable.clone()
    }
    /// Logs a tick. `delivered` says up to when each sink has delivered.
    pub fn append(
        &mut self,
        time: u64,
        entering: Entering,
        delivered: impl Iterator<Item = (String, u64)>,
    ) -> Result<(), LogError> {
        let Entering { batches, notes, safe } = entering;
        let marks: Vec<Mark> = notes.into_iter().map(|(stream, note)| mark(stream, note)).collect();
        marks.iter().cloned().for_each(|m| self.marks.add(m));
        let delivered: BTreeMap<String, u64> =
            delivered.filter(|(sink, until)| *until > self.delivered(sink)).collect();
        self.delivered.extend(delivered.iter().map(|(sink, until)| (sink.clone(), *until)));
        if !safe.is_empty() {
            let mut waiting = self.waiting.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            waiting.push_back((time, safe));
        }
        let previous = std::mem::replace(&mut self.previous, time);
        self.writer.append(Tick { time, previous, batches, marks, delivered })
    }
    /// Up to when the log says that a sink has delivered.
    pub fn delivered(&self, sink: &str) -> u64 {
        self.delivered.get(sink).copied().unwrap_or(0)
    }
    pub fn append_state(&self, state: State) -> Result<(), LogError> {
        self.writer.append_state(state)
    }
    pub fn writer(&self) -> &Writer {
        &self.writer
    }
    /// Up to when each sink has delivered.
    pub fn all_delivered(&self) -> BTreeMap<String, u64> {
        self.delivered.iter().map(|(sink, until)| (sink.clone(), *until)).collect()
    }
    /// The marks that still matter.
    pub fn marks(&self) -> &Marks {
        &self.marks
    }
}

fn mark(stream: String, note: Note) -> Mark {
    let Note { first, count, done, words } = note;
    Mark { stream, first, count, done, note: words }
}
