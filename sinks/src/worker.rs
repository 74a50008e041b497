//! Runs a writer that blocks (on a disk) on a thread of its own, behind a short queue.

use anyhow::{Context, anyhow};
use futures::future::BoxFuture;
use jarvis_runtime::closed::ClosedBatch;
use jarvis_runtime::kinds::SinkDriver;
use std::time::{Instant, SystemTime, UNIX_EPOCH};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
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
    /// After the last batch.
    fn finish(self: Box<Self>) -> anyhow::Result<()>;
}

type Open = Box<dyn FnOnce() -> anyhow::Result<Box<dyn BatchWriter>> + Send>;

/// A driver that hands batches to a writer. `write` returns when the batch is queued; what goes wrong with it is told
/// by `failed`, a later `write` or `finish`. If it is dropped without `finish`, the writer is dropped after the queued batches.
pub(crate) struct OnThread {
    open: Option<Open>,
    running: Option<Running>,
}

struct Running {
    queue: mpsc::Sender<Job>,
    thread: JoinHandle<anyhow::Result<()>>,
}

enum Job {
    Write(ClosedBatch),
    Finish,
}

impl OnThread {
    pub fn new(open: impl FnOnce() -> anyhow::Result<Box<dyn BatchWriter>> + Send + 'static) -> Self {
        Self { open: Some(Box::new(open)), running: None }
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
            let runtime = Handle::current();
            let thread = spawn_blocking(move || run(writer, jobs, &runtime));
            self.running = Some(Running { queue, thread });
            Ok(())
        })
    }

    fn write<'a>(&'a mut self, batch: &'a ClosedBatch) -> BoxFuture<'a, anyhow::Result<()>> {
        Box::pin(self.hand_over(Job::Write(batch.clone())))
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

fn run(mut writer: Box<dyn BatchWriter>, mut jobs: mpsc::Receiver<Job>, runtime: &Handle) -> anyhow::Result<()> {
    loop {
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
            Some(Job::Write(batch)) => writer.write(&batch)?,
            Some(Job::Finish) => return writer.finish(),
            None => return Ok(()),
        }
    }
}

/// Whether a batch is of about now: somebody may be watching, so what is written should be seen soon. In a run over a
/// file only the end matters.
pub(crate) fn is_live(batch: &ClosedBatch) -> bool {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_micros());
    u64::try_from(now).unwrap_or(u64::MAX).abs_diff(batch.upper) < NEAR
}
