//! Tasks between the conductor and the outside.

use crate::arrival::Arrival;
use crate::closed::ClosedBatch;
use crate::kinds::{Feed, LiveSource, SinkDriver, StreamSpec};
use anyhow::{Context, anyhow};
use futures::FutureExt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// Arrivals of all sources, each with its source's number.
pub type Arrivals = mpsc::Receiver<(usize, Arrival)>;
/// What ends a run: the message of the task that failed.
pub type Fatal = mpsc::UnboundedSender<anyhow::Error>;

/// A source's task.
pub struct SourceTask {
    pub number: usize,
    /// Says whether a reload may keep the task.
    pub fingerprint: String,
    task: Option<JoinHandle<()>>,
}

impl SourceTask {
    pub fn live(
        source: Box<dyn LiveSource>,
        spec: StreamSpec,
        number: usize,
        fingerprint: String,
        sender: mpsc::Sender<(usize, Arrival)>,
        fatal: Fatal,
    ) -> Self {
        let name = spec.name.clone();
        let feed = Feed { stream: spec, sender, index: number };
        let task = supervised(format!("the source {name}"), async move { source.run(feed).await }, fatal);
        SourceTask { number, fingerprint, task: Some(task) }
    }
    /// A source that has been read to its end.
    pub fn read(number: usize, fingerprint: String) -> Self {
        SourceTask { number, fingerprint, task: None }
    }
    /// Waits until a source that has seen its feed close has ended.
    pub async fn ended(mut self) {
        if let Some(task) = &mut self.task {
            // What went wrong has been told to the run.
            let _ = task.await;
        }
    }
}

impl Drop for SourceTask {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

/// Starts a task of a source or a sink; its error ends the run, and so does a panic.
fn supervised(
    what: String,
    work: impl Future<Output = anyhow::Result<()>> + Send + 'static,
    fatal: Fatal,
) -> JoinHandle<()> {
    tokio::spawn(async move {
        let ended = AssertUnwindSafe(work).catch_unwind().await;
        let ended = ended.unwrap_or_else(|panic| Err(anyhow!("it panicked: {}", crate::panics::message(panic))));
        if let Err(error) = ended.with_context(|| what) {
            // Nobody listens only when the run is over.
            let _ = fatal.send(error);
        }
    })
}

/// Batches that may wait for a sink before the conductor waits.
const QUEUE: usize = 256;

/// A sink's task.
pub struct SinkTask {
    pub fingerprint: String,
    sender: mpsc::Sender<ClosedBatch>,
    task: JoinHandle<()>,
    pub written: Arc<AtomicU64>,
}

impl SinkTask {
    pub fn start(name: String, mut driver: Box<dyn SinkDriver>, fingerprint: String, fatal: Fatal) -> Self {
        let (sender, mut batches) = mpsc::channel::<ClosedBatch>(QUEUE);
        let written = Arc::new(AtomicU64::new(0));
        let count = written.clone();
        let work = async move {
            driver.open().await?;
            loop {
                let next = tokio::select! {
                    next = batches.recv() => next,
                    error = driver.failed() => return Err(error),
                };
                let Some(batch) = next else { return driver.finish().await };
                driver.write(&batch).await?;
                count.fetch_add(batch.diffs.len() as u64, Ordering::Relaxed);
            }
        };
        let task = supervised(format!("the sink {name}"), work, fatal);
        SinkTask { fingerprint, sender, task, written }
    }
    /// Hands a batch over; waits while the queue is full. False when the sink has failed.
    pub async fn send(&self, batch: ClosedBatch) -> bool {
        self.sender.send(batch).await.is_ok()
    }
    pub fn queued(&self) -> u64 {
        (QUEUE - self.sender.capacity()) as u64
    }
    /// Lets the sink write what it has, and waits for it.
    pub async fn finish(self) {
        drop(self.sender);
        // What went wrong has been told to the run.
        let _ = self.task.await;
    }
}
