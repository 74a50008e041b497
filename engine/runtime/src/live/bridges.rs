//! Tasks between the conductor and the outside.

use super::journal::Durable;
use crate::arrival::Arrival;
use crate::asking::Between;
use crate::closed::ClosedBatch;
use crate::kinds::{Closed, Feed, LiveSource, Restored, SinkDriver, StreamSpec};
use anyhow::anyhow;
use futures::FutureExt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::{mpsc, oneshot};
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
        restored: Restored,
        sender: mpsc::Sender<(usize, Arrival)>,
        fatal: Fatal,
    ) -> Self {
        let name = spec.name.clone();
        let feed = Feed { stream: spec, sender, index: number, restored: Arc::new(restored) };
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

/// Starts a task of a source or a sink; its error ends the run, and so does a panic. That the graph has stopped is no
/// error: whoever had something for it, such as a late answer, could not know.
fn supervised(
    what: String,
    work: impl Future<Output = anyhow::Result<()>> + Send + 'static,
    fatal: Fatal,
) -> JoinHandle<()> {
    tokio::spawn(async move {
        let ended = AssertUnwindSafe(work).catch_unwind().await;
        let ended = ended.unwrap_or_else(|panic| Err(anyhow!("it panicked: {}", crate::panics::message(panic))));
        match ended {
            Ok(()) => {}
            Err(error) if error.is::<Closed>() => {
                tracing::info!("{what} had something when all was over, which is left out")
            }
            Err(error) => {
                // Nobody listens only when the run is over.
                let _ = fatal.send(error.context(what));
            }
        }
    })
}

/// Batches that may wait for a sink before the conductor waits.
const QUEUE: usize = 256;

/// What a sink is asked to do, in order.
enum Order {
    Write(ClosedBatch),
    Recall(ClosedBatch),
    Restore(Vec<u8>),
    Snapshot(oneshot::Sender<Vec<u8>>),
}

/// A sink's task.
pub struct SinkTask {
    pub fingerprint: String,
    orders: mpsc::Sender<Order>,
    task: JoinHandle<()>,
    pub written: Arc<AtomicU64>,
    delivered: Arc<AtomicU64>,
    /// It was given everything before this time.
    given: AtomicU64,
    /// Whether what was told is still there after a restart.
    pub is_lasting: bool,
    /// Whether it only takes down the changes of ticks.
    pub is_record: bool,
    /// Of an operator that asks.
    pub between: Option<Arc<Between>>,
}

impl SinkTask {
    /// Starts a sink that writes nothing that is not durable as input.
    pub fn start(
        name: String,
        driver: Box<dyn SinkDriver>,
        fingerprint: String,
        durable: Durable,
        fatal: Fatal,
    ) -> Self {
        let (orders, inbox) = mpsc::channel(QUEUE);
        let written = Arc::new(AtomicU64::new(0));
        let own = driver.delivered();
        let says_itself = own.is_some();
        let delivered = own.unwrap_or_default();
        let (is_lasting, is_record, between) = (driver.is_lasting(), driver.is_record(), driver.between());
        let following =
            Following { driver, inbox, durable, written: written.clone(), delivered: delivered.clone(), says_itself };
        let task = supervised(format!("the sink {name}"), following.run(), fatal);
        SinkTask {
            fingerprint,
            orders,
            task,
            written,
            delivered,
            given: AtomicU64::new(0),
            is_lasting,
            is_record,
            between,
        }
    }
    /// Hands a batch over; waits while the queue is full. False when the sink has failed.
    pub async fn send(&self, batch: ClosedBatch) -> bool {
        self.given.fetch_max(batch.upper, Ordering::Relaxed);
        self.orders.send(Order::Write(batch)).await.is_ok()
    }
    /// Tells of a batch that was delivered before a restart.
    pub async fn recall(&self, batch: ClosedBatch) -> bool {
        self.orders.send(Order::Recall(batch)).await.is_ok()
    }
    pub async fn restore(&self, snapshot: Vec<u8>) -> bool {
        self.orders.send(Order::Restore(snapshot)).await.is_ok()
    }
    /// Asks what was told so far; the answer comes when all of it is delivered. `None`: the queue is full.
    pub fn snapshot(&self) -> Option<oneshot::Receiver<Vec<u8>>> {
        let (answer, answered) = oneshot::channel();
        self.orders.try_send(Order::Snapshot(answer)).ok()?;
        Some(answered)
    }
    /// It was given everything before this time.
    pub fn given(&self) -> u64 {
        self.given.load(Ordering::Relaxed)
    }
    /// Everything before this time has been delivered.
    pub fn delivered(&self) -> u64 {
        self.delivered.load(Ordering::Acquire)
    }
    pub fn queued(&self) -> u64 {
        (QUEUE - self.orders.capacity()) as u64
    }
    /// Lets the sink write what it has, and waits for it.
    pub async fn finish(self) {
        drop(self.orders);
        // What went wrong has been told to the run.
        let _ = self.task.await;
    }
}

/// A sink at work.
struct Following {
    driver: Box<dyn SinkDriver>,
    inbox: mpsc::Receiver<Order>,
    durable: Durable,
    written: Arc<AtomicU64>,
    delivered: Arc<AtomicU64>,
    /// The driver says how far it has delivered; another one has delivered what it has written.
    says_itself: bool,
}

impl Following {
    async fn run(mut self) -> anyhow::Result<()> {
        self.driver.open().await?;
        loop {
            let next = tokio::select! {
                next = self.inbox.recv() => next,
                error = self.driver.failed() => return Err(error),
            };
            match next {
                Some(Order::Write(batch)) => {
                    if !self.is_durable(batch.upper.saturating_sub(1)).await {
                        return Ok(());
                    }
                    self.driver.write(&batch).await?;
                    self.written.fetch_add(batch.diffs.len() as u64, Ordering::Relaxed);
                    if !self.says_itself {
                        self.advance(batch.upper);
                    }
                }
                Some(Order::Recall(batch)) => {
                    self.driver.recall(&batch).await?;
                    self.advance(batch.upper);
                }
                Some(Order::Restore(snapshot)) => self.driver.restore(snapshot).await?,
                Some(Order::Snapshot(answer)) => {
                    self.driver.flush().await?;
                    // Who asked may have gone.
                    let _ = answer.send(self.driver.snapshot().await?);
                }
                None => return self.driver.finish().await,
            }
        }
    }
    /// Waits until what entered at a time is durable. False: it never will be. The log has told why, and ends the run.
    async fn is_durable(&mut self, time: u64) -> bool {
        match &mut self.durable {
            None => true,
            Some(durable) => durable.wait_for(|d| *d >= time).await.is_ok(),
        }
    }
    fn advance(&self, upper: u64) {
        self.delivered.fetch_max(upper, Ordering::Release);
    }
}
