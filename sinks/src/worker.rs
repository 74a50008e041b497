//! Runs a writer that blocks (on a disk) on a thread of its own, behind a short queue.

use anyhow::{Context, anyhow};
use futures::future::BoxFuture;
use jarvis_runtime::closed::ClosedBatch;
use jarvis_runtime::kinds::SinkDriver;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinHandle, spawn_blocking};

/// Batches that wait for the disk; more make the graph wait.
const QUEUE: usize = 4;
/// A clock this near to now is the real one, not that of a file that is being replayed. µs.
const NEAR: u64 = 60_000_000;

/// Writes batches, in order, and may take its time.
pub(crate) trait BatchWriter: Send {
    fn write(&mut self, batch: &ClosedBatch) -> anyhow::Result<()>;
    /// When [`BatchWriter::on_deadline`] should be called, whether or not a batch comes before.
    fn deadline(&self) -> Option<Instant> {
        None
    }
    fn on_deadline(&mut self) -> anyhow::Result<()> {
        Ok(())
    }
    /// As [`SinkDriver::recall`].
    fn recall(&mut self, _batch: &ClosedBatch) -> anyhow::Result<()> {
        Ok(())
    }
    /// Makes everything written last.
    fn flush(&mut self) -> anyhow::Result<()> {
        Ok(())
    }
    /// As [`SinkDriver::snapshot`].
    fn snapshot(&mut self) -> anyhow::Result<Vec<u8>> {
        Ok(vec![])
    }
    /// As [`SinkDriver::restore`].
    fn restore(&mut self, _snapshot: Vec<u8>) -> anyhow::Result<()> {
        Ok(())
    }
    /// Everything before this time would be there if the process ended now; `None`: what is written is.
    fn lasting(&self) -> Option<u64> {
        None
    }
    /// After the last batch.
    fn finish(self: Box<Self>) -> anyhow::Result<()>;
}

type Open = Box<dyn FnOnce() -> anyhow::Result<Box<dyn BatchWriter>> + Send>;

/// A driver that hands batches to a writer. `write` returns when the batch is queued; what goes wrong with it is told
/// by `failed`, a later `write` or `finish`. If it is dropped without `finish`, the writer is dropped after the queued batches.
pub(crate) struct OnThread {
    open: Option<Open>,
    running: Option<Running>,
    delivered: Arc<AtomicU64>,
    is_lasting: bool,
    is_record: bool,
}

struct Running {
    queue: mpsc::Sender<Job>,
    thread: JoinHandle<anyhow::Result<()>>,
}

enum Job {
    Write(ClosedBatch),
    Recall(ClosedBatch),
    Restore(Vec<u8>),
    Flush(oneshot::Sender<()>),
    Snapshot(oneshot::Sender<Vec<u8>>),
    Finish,
}

impl OnThread {
    pub fn new(open: impl FnOnce() -> anyhow::Result<Box<dyn BatchWriter>> + Send + 'static) -> Self {
        Self {
            open: Some(Box::new(open)),
            running: None,
            delivered: Arc::default(),
            is_lasting: true,
            is_record: false,
        }
    }

    /// What it writes is of one run: the next one begins anew.
    pub fn forgetful(self) -> Self {
        Self { is_lasting: false, ..self }
    }

    /// As [`SinkDriver::is_record`].
    pub fn record(self) -> Self {
        Self { is_record: true, ..self }
    }

    /// Has something done and waits for the answer.
    async fn ask<T>(&mut self, job: impl FnOnce(oneshot::Sender<T>) -> Job) -> anyhow::Result<T> {
        let (answer, answered) = oneshot::channel();
        self.hand_over(job(answer)).await?;
        match answered.await {
            Ok(answer) => Ok(answer),
            Err(_) => {
                self.join().await?;
                Err(anyhow!("the sink's writer has ended"))
            }
        }
    }

    async fn hand_over(&mut self, job: Job) -> anyhow::Result<()> {
        let running = self.running.as_mut().ok_or_else(|| anyhow!("the sink is not open"))?;
        if running.queue.send(job).await.is_ok() {
            return Ok(());
        }
        self.join().await?;
        Err(anyhow!("the sink's writer has ended"))
    }

    async fn join(&mut self) -> anyhow::Result<()> {
        let Some(running) = self.running.take() else { return Ok(()) };
        drop(running.queue);
        running.thread.await.context("the sink's writer panicked")?
    }
}

impl SinkDriver for OnThread {
    fn open(&mut self) -> BoxFuture<'_, anyhow::Result<()>> {
        Box::pin(async {
            let open = self.open.take().ok_or_else(|| anyhow!("the sink is open already"))?;
            let writer = spawn_blocking(open).await.context("the sink's writer panicked")??;
            let (queue, jobs) = mpsc::channel(QUEUE);
            let (runtime, delivered) = (Handle::current(), self.delivered.clone());
            let thread = spawn_blocking(move || run(writer, jobs, &runtime, &delivered));
            self.running = Some(Running { queue, thread });
            Ok(())
        })
    }

    fn write<'a>(&'a mut self, batch: &'a ClosedBatch) -> BoxFuture<'a, anyhow::Result<()>> {
        Box::pin(self.hand_over(Job::Write(batch.clone())))
    }

    fn recall<'a>(&'a mut self, batch: &'a ClosedBatch) -> BoxFuture<'a, anyhow::Result<()>> {
        Box::pin(self.hand_over(Job::Recall(batch.clone())))
    }

    fn restore(&mut self, snapshot: Vec<u8>) -> BoxFuture<'_, anyhow::Result<()>> {
        Box::pin(self.hand_over(Job::Restore(snapshot)))
    }

    fn flush(&mut self) -> BoxFuture<'_, anyhow::Result<()>> {
        Box::pin(self.ask(Job::Flush))
    }

    fn snapshot(&mut self) -> BoxFuture<'_, anyhow::Result<Vec<u8>>> {
        Box::pin(self.ask(Job::Snapshot))
    }

    fn delivered(&self) -> Option<Arc<AtomicU64>> {
        Some(self.delivered.clone())
    }

    fn is_lasting(&self) -> bool {
        self.is_lasting
    }

    fn is_record(&self) -> bool {
        self.is_record
    }

    fn failed(&mut self) -> BoxFuture<'_, anyhow::Error> {
        Box::pin(async {
            let Some(running) = &mut self.running else { return std::future::pending().await };
            let ended = (&mut running.thread).await;
            self.running = None;
            match ended.context("the sink's writer panicked") {
                Ok(Ok(())) => anyhow!("the sink's writer has ended"),
                Ok(Err(error)) | Err(error) => error,
            }
        })
    }

    fn finish(&mut self) -> BoxFuture<'_, anyhow::Result<()>> {
        Box::pin(async {
            self.hand_over(Job::Finish).await?;
            self.join().await
        })
    }
}

fn run(
    mut writer: Box<dyn BatchWriter>,
    mut jobs: mpsc::Receiver<Job>,
    runtime: &Handle,
    delivered: &AtomicU64,
) -> anyhow::Result<()> {
    let mut written = 0;
    loop {
        delivered.fetch_max(writer.lasting().unwrap_or(written), Ordering::Release);
        let job = match writer.deadline() {
            None => jobs.blocking_recv(),
            Some(deadline) if deadline <= Instant::now() => {
                writer.on_deadline()?;
                continue;
            }
            Some(deadline) => {
                match runtime.block_on(async { tokio::time::timeout_at(deadline.into(), jobs.recv()).await }) {
                    Ok(job) => job,
                    Err(_) => continue,
                }
            }
        };
        match job {
            Some(Job::Write(batch)) => {
                writer.write(&batch)?;
                written = batch.upper;
            }
            Some(Job::Recall(batch)) => writer.recall(&batch)?,
            Some(Job::Restore(snapshot)) => writer.restore(snapshot)?,
            // Who asked may have gone; and so it is with snapshots.
            Some(Job::Flush(answer)) => {
                writer.flush()?;
                let _ = answer.send(());
            }
            Some(Job::Snapshot(answer)) => {
                let _ = answer.send(writer.snapshot()?);
            }
            Some(Job::Finish) => return writer.finish(),
            None => return Ok(()),
        }
    }
}

/// Whether a batch is of about now: somebody may be watching, so what is written should be seen soon. In a run over a
/// file only the end matters.
pub(crate) fn is_live(batch: &ClosedBatch) -> bool {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_micros());
    // Time may be ahead of the clock of this machine.
    u64::try_from(now).unwrap_or(u64::MAX).saturating_sub(batch.upper) < NEAR
}
