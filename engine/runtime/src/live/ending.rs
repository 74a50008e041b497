//! The end of a live run: whoever asked for it, and whatever does not keep up, it comes.

use super::bridges::SinkTask;
use super::conductor::Conductor;
use crate::closed::ClosedBatch;
use crate::control::Control;
use anyhow::{anyhow, bail};
use futures::future::join_all;
use jarvis_dataflow::Delta;
use jarvis_log::LogError;
use std::collections::{HashMap, VecDeque};
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until, timeout};

/// How long the sinks may take for what has come before the end was asked for; and then to finish what they were given.
const LAST_WRITES: Duration = Duration::from_secs(10);
/// How long sources may take to acknowledge what is safe and to say goodbye.
const GOODBYES: Duration = Duration::from_secs(2);

/// Since when the end is asked for; `None`: it is not.
pub(super) type Stopping = watch::Receiver<Option<Instant>>;

/// Passes requests on, and shows at once that the end was asked for: a conductor that waits for a sink does not look at
/// its requests. They are read all the same, so that the end is never behind others that nobody takes.
pub(super) fn announced(mut requests: mpsc::Receiver<Control>) -> (mpsc::Receiver<Control>, Stopping) {
    let (sender, passed) = mpsc::channel(1);
    let (tell, stopping) = watch::channel(None);
    tokio::spawn(async move {
        let mut waiting = VecDeque::new();
        while !matches!(waiting.back(), Some(Control::Stop)) {
            tokio::select! {
                request = requests.recv() => {
                    waiting.retain(is_awaited);
                    waiting.push_back(request.unwrap_or(Control::Stop));
                }
                place = sender.reserve(), if !waiting.is_empty() => match (place, waiting.pop_front()) {
                    (Ok(place), Some(next)) => place.send(next),
                    // A conductor that is gone has stopped.
                    _ => return,
                },
            }
        }
        tell.send_replace(Some(Instant::now()));
        // Whoever asks from now on learns at once that it is too late.
        drop(requests);
        for request in waiting.into_iter().filter(is_awaited) {
            if sender.send(request).await.is_err() {
                return;
            }
        }
    });
    (passed, stopping)
}

/// Whether it still matters: an answer does not once the asker has gone.
fn is_awaited(request: &Control) -> bool {
    match request {
        Control::Stop | Control::Reload { .. } => true,
        Control::Tap { reply, .. } => !reply.is_closed(),
        Control::Views { reply } => !reply.is_closed(),
        Control::Streams { reply } => !reply.is_closed(),
        Control::Sizes { reply } => !reply.is_closed(),
    }
}

/// Changes on their way to a sink.
pub(super) enum Handing {
    /// To be told.
    New(ClosedBatch),
    /// Delivered before a restart: to be taken note of.
    Known(ClosedBatch),
}

impl Handing {
    /// `delivered`: up to when the sink is known to have delivered.
    pub fn of(delta: &Delta, delivered: Option<&u64>) -> Self {
        let changes = ClosedBatch::of(delta);
        if delivered.is_some_and(|until| changes.upper <= *until) {
            Handing::Known(changes)
        } else {
            Handing::New(changes)
        }
    }
}

/// Hands changes to a sink. Waits while it takes none, but not for ever once the run is to end.
///
/// # Errors
/// The sink took nothing to the end, or something else has ended the run meanwhile.
pub(super) async fn hand(
    sinks: &HashMap<String, (String, SinkTask)>,
    name: &str,
    changes: Handing,
    stopping: &Stopping,
    failures: &mut mpsc::UnboundedReceiver<anyhow::Error>,
) -> anyhow::Result<()> {
    let Some((_, sink)) = sinks.get(name) else { return Ok(()) };
    let taken = async {
        match changes {
            Handing::New(batch) => sink.send(batch).await,
            Handing::Known(batch) => sink.recall(batch).await,
        }
    };
    tokio::select! {
        biased;
        // False: the sink has failed, and its error is on the way.
        _ = taken => Ok(()),
        Some(error) = failures.recv() => Err(error),
        () = out_of_patience(stopping.clone()) => bail!(unfinished(name)),
    }
}

/// Hands new changes to a sink.
///
/// # Errors
/// As [`hand`].
pub(super) async fn give(
    sinks: &HashMap<String, (String, SinkTask)>,
    name: &str,
    delta: &Delta,
    stopping: &Stopping,
    failures: &mut mpsc::UnboundedReceiver<anyhow::Error>,
) -> anyhow::Result<()> {
    hand(sinks, name, Handing::of(delta, None), stopping, failures).await
}

/// One patience for all that is still to be given, however many batches that is.
async fn out_of_patience(mut stopping: Stopping) {
    // Whoever could say so is there until it has been said.
    let asked = stopping.wait_for(Option::is_some).await.ok().and_then(|asked| *asked);
    sleep_until(asked.unwrap_or_else(Instant::now) + LAST_WRITES).await;
}

fn unfinished(sink: &str) -> String {
    format!("the sink {sink} did not finish within {LAST_WRITES:?}: what it had not written is lost")
}

impl Conductor {
    /// Works off what has arrived, and lets the sources and sinks finish.
    pub(super) async fn stop(mut self, failure: Option<anyhow::Error>) -> anyhow::Result<()> {
        let failure = match failure {
            None => self.work_off().await.err(),
            failure => failure,
        };
        let failure = match failure {
            // Known after the restart, so that a pipeline that was changed meanwhile tells only the difference.
            None => self.last_state(self.patience()).await.err(),
            failure => failure,
        };
        // Nothing new comes in, and sources see it.
        self.arrivals.close();
        let sources = std::mem::take(&mut self.sources).into_values().map(|source| source.task.ended());
        let sinks = std::mem::take(&mut self.sinks).into_iter().map(|(name, (_, sink))| async move {
            let finished = timeout(LAST_WRITES, sink.finish()).await;
            finished.err().map(|_| anyhow!(unfinished(&name)))
        });
        let (_, stuck) = tokio::join!(timeout(GOODBYES, join_all(sources)), join_all(sinks));
        let told: Vec<_> = std::iter::from_fn(|| self.failures.try_recv().ok()).collect();
        // Whoever finds that the log has ended knows no reason.
        let is_reason = |e: &anyhow::Error| told.is_empty() || !matches!(e.downcast_ref(), Some(LogError::Ended));
        let failure = failure.filter(is_reason);
        let mut all = failure.into_iter().chain(told).chain(stuck.into_iter().flatten());
        let first = all.next();
        all.for_each(|error| tracing::error!("{error:#}"));
        first.map_or(Ok(()), Err)
    }

    /// What is left of the time for what has come before the end was asked for.
    fn patience(&self) -> Duration {
        let asked = *self.stopping.borrow();
        asked.map_or(LAST_WRITES, |asked| LAST_WRITES.saturating_sub(asked.elapsed()))
    }

    /// What has arrived goes through the graph, and so does what failed there, as an error row.
    async fn work_off(&mut self) -> anyhow::Result<()> {
        let mut arrived = vec![];
        self.drain(&mut arrived);
        self.tick(arrived).await?;
        if self.errors.is_empty() { Ok(()) } else { self.tick(vec![]).await }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::oneshot;

    #[tokio::test]
    async fn requests_that_nobody_takes_hold_up_neither_the_end_nor_others() {
        let (control, requests) = mpsc::channel(1);
        let (mut passed, mut stopping) = announced(requests);
        let tell = async |request| assert!(control.send(request).await.is_ok(), "requests are read");
        for _ in 0..100 {
            // Asked, and gone at once.
            let (reply, _) = oneshot::channel();
            tell(Control::Streams { reply }).await;
        }
        let (reply, _waits) = oneshot::channel();
        tell(Control::Streams { reply }).await;
        tell(Control::Stop).await;
        stopping.wait_for(Option::is_some).await.expect("the end is announced");

        let mut awaited = 0;
        while let Some(request) = passed.recv().await {
            match request {
                Control::Streams { reply } => awaited += usize::from(reply.send(vec![]).is_ok()),
                Control::Stop => break,
                _ => panic!("nobody asked for that"),
            }
        }
        assert_eq!(awaited, 1);
        assert!(passed.recv().await.is_none(), "nothing comes after the end");
    }
}
