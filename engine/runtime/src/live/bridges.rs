//! Tasks between the conductor and the outside.

use crate::arrival::Arrival;
use crate::closed::ClosedBatch;
use crate::kinds::{Feed, LiveSource, SinkDriver, StreamSpec};
use anyhow::Context;
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
        let task = tokio::spawn(async move {
            if let Err(error) = source.run(feed).await.with_context(|| format!("the source {name}")) {
                // Nobody listens only when the run is over.
                let _ = fatal.send(error);
            }
        });
        SourceTask { number, fingerprint, task: Some(task) }
    }
    /// A source that has been read to its end.
    pub fn read(number: usize, fingerprint: String) -> Self {
        SourceTask { number, fingerprint, task: None }
    }
}

impl Drop for SourceTask {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
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
        let task = tokio::spawn(async move {
            let work = async {
                driver.open().await?;
                while let Some(batch) = batches.recv().await {
                    driver.write(&batch).await?;
                    count.fetch_add(batch.diffs.len() as u64, Ordering::Relaxed);
                }
                driver.finish().await
            };
            if let Err(error) = work.await.with_context(|| format!("the sink {name}")) {
                // Nobody listens only when the run is over.
                let _ = fatal.send(error);
            }
        });
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
        // A sink that panicked has nothing left to finish.
        let _ = self.task.await;
    }
}
