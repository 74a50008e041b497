//! Sinks of a batch: one thread that writes what the workers hand over, through bounded channels.

use crate::closed::ClosedBatch;
use crate::project::PlannedSink;
use anyhow::Context;
use futures::future::BoxFuture;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use tokio::runtime::Runtime;

enum Message {
    Batch(usize, ClosedBatch),
    /// All is written: finish, or leave things as they are after a failure.
    End(bool),
}

/// The thread that writes.
pub(super) struct SinkThread {
    sender: SyncSender<Message>,
    workers: usize,
    rows: Arc<AtomicU64>,
    error: Arc<Mutex<Option<anyhow::Error>>>,
    thread: JoinHandle<()>,
}

/// A worker's end.
#[derive(Clone)]
pub(super) struct Sender(SyncSender<Message>);

impl Sender {
    pub fn send(&self, output: usize, batch: ClosedBatch) -> anyhow::Result<()> {
        self.0.send(Message::Batch(output, batch)).map_err(|_| anyhow::anyhow!("a sink has failed"))
    }
}

impl SinkThread {
    pub fn start(sinks: Vec<PlannedSink>, workers: usize) -> anyhow::Result<Self> {
        let (sender, receiver) = sync_channel(64);
        let (rows, error) = (Arc::new(AtomicU64::new(0)), Arc::new(Mutex::new(None)));
        let (counted, failed) = (rows.clone(), error.clone());
        let thread = std::thread::Builder::new().name("sinks".into()).spawn(move || {
            if let Err(e) = write_all(sinks, &receiver, &counted)
                && let Ok(mut error) = failed.lock()
            {
                *error = Some(e);
            }
        })?;
        Ok(SinkThread { sender, workers, rows, error, thread })
    }
    pub fn senders(&self) -> Vec<Sender> {
        vec![Sender(self.sender.clone()); self.workers]
    }
    /// Waits until all is written; returns the number of rows.
    pub fn finish(self, complete: bool) -> anyhow::Result<u64> {
        // A thread that has failed no longer listens; its error comes below.
        let _ = self.sender.send(Message::End(complete));
        drop(self.sender);
        if let Err(panic) = self.thread.join() {
            anyhow::bail!("the sinks failed: {}", crate::panics::message(panic));
        }
        match self.error.lock().map_err(|_| anyhow::anyhow!("a sink failed"))?.take() {
            Some(error) => Err(error),
            None => Ok(self.rows.load(Ordering::Relaxed)),
        }
    }
}

fn write_all(mut sinks: Vec<PlannedSink>, receiver: &Receiver<Message>, rows: &AtomicU64) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    for sink in &mut sinks {
        run(&runtime, &sink.name, || sink.plan.driver.open())?;
    }
    while let Ok(message) = receiver.recv() {
        match message {
            Message::Batch(output, batch) => {
                let sink = &mut sinks[output];
                rows.fetch_add(batch.diffs.len() as u64, Ordering::Relaxed);
                run(&runtime, &sink.name, || sink.plan.driver.write(&batch))?;
            }
            Message::End(false) => return Ok(()),
            Message::End(true) => break,
        }
    }
    for sink in &mut sinks {
        run(&runtime, &sink.name, || sink.plan.driver.finish())?;
    }
    Ok(())
}

/// One step of a sink; its error, or panic, under its name.
fn run<'d>(
    runtime: &Runtime,
    sink: &str,
    step: impl FnOnce() -> BoxFuture<'d, anyhow::Result<()>>,
) -> anyhow::Result<()> {
    let done = catch_unwind(AssertUnwindSafe(|| runtime.block_on(step())));
    let done = done.unwrap_or_else(|panic| Err(anyhow::anyhow!("it panicked: {}", crate::panics::message(panic))));
    done.with_context(|| format!("the sink {sink}"))
}
