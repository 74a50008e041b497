//! Messages on their way to a receiver, in order, one at a time, again and again until it has answered each.
//!
//! A task owns the queue. It takes a batch whole while fewer than a window of messages wait; else the batch waits, and
//! with it the graph. Only the first message is on its way: the next one goes when the receiver has taken or refused it,
//! or when it is not worth telling any more. So a receiver sees the order of events, a repeat only of the last message
//! before a fault.
//!
//! At the end the queue is worked off as long as something goes through. What is left then is said; a run that goes on
//! from a log tells it again, for `delivered` has not passed it.

use super::receiver::{Answer, Message, Receiver};
use super::retry::{BackOff, FIRST_PAUSE};
use anyhow::{anyhow, bail};
use std::collections::VecDeque;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout_at};

/// Messages that may wait when another batch comes.
const WINDOW: usize = 1_000;
/// At the end: for the next message to go through. The run gives a sink a little longer.
const PATIENCE: Duration = Duration::from_secs(8);

/// The way to the task.
pub(super) struct Queue {
    jobs: mpsc::Sender<Job>,
    /// Since when the sink is closing.
    closing: watch::Sender<Option<Instant>>,
    task: JoinHandle<anyhow::Result<()>>,
}

enum Job {
    /// The messages of everything before a time; answer when they are taken.
    Post(Vec<Message>, u64, oneshot::Sender<()>),
    /// Answer when every message is answered.
    Flush(oneshot::Sender<()>),
}

impl Queue {
    /// `delivered` follows what the receiver has answered.
    pub fn new(receiver: Receiver, stream: &str, delivered: Arc<AtomicU64>) -> Self {
        let (jobs, inbox) = mpsc::channel(1);
        let (closing, closes) = watch::channel(None);
        let task = Task {
            receiver: Arc::new(receiver),
            stream: stream.to_owned(),
            jobs: inbox,
            is_over: false,
            closing: closes,
            outbox: Outbox { delivered, ..Outbox::default() },
            flushes: vec![],
            weather: Weather::default(),
            back_off: BackOff::default(),
            progress: Instant::now(),
        };
        Self { jobs, closing, task: tokio::spawn(task.run()) }
    }

    /// Returns when the messages of everything before `upper` are in the queue: it waits while a window of others is.
    pub async fn post(&mut self, messages: Vec<Message>, upper: u64) -> anyhow::Result<()> {
        self.ask(|answer| Job::Post(messages, upper, answer)).await
    }

    /// Returns when every message is answered.
    pub async fn flush(&mut self) -> anyhow::Result<()> {
        self.ask(Job::Flush).await
    }

    async fn ask(&mut self, job: impl FnOnce(oneshot::Sender<()>) -> Job) -> anyhow::Result<()> {
        let gone = || anyhow!("the webhook's task has ended");
        let (answer, answered) = oneshot::channel();
        self.jobs.send(job(answer)).await.map_err(|_| gone())?;
        answered.await.map_err(|_| gone())
    }

    /// Waits until every message is answered, or nothing has gone through for a while.
    ///
    /// # Errors
    /// Messages are left.
    pub async fn close(mut self) -> anyhow::Result<()> {
        self.closing.send_replace(Some(Instant::now()));
        let (never, _) = mpsc::channel(1);
        drop(std::mem::replace(&mut self.jobs, never));
        (&mut self.task).await.map_err(|_| anyhow!("the webhook's task has ended"))?
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Task {
    receiver: Arc<Receiver>,
    stream: String,
    jobs: mpsc::Receiver<Job>,
    /// Nothing more will be given.
    is_over: bool,
    closing: watch::Receiver<Option<Instant>>,
    outbox: Outbox,
    flushes: Vec<oneshot::Sender<()>>,
    weather: Weather,
    back_off: BackOff,
    /// When something last went through.
    progress: Instant,
}

impl Task {
    async fn run(mut self) -> anyhow::Result<()> {
        loop {
            self.drop_expired();
            self.answer_flushes();
            let Some(message) = self.outbox.messages.front().cloned() else {
                match self.jobs.recv().await {
                    Some(job) => self.take(job),
                    None => return Ok(()),
                }
                continue;
            };
            let receiver = self.receiver.clone();
            let Some(answer) = self.meanwhile(receiver.post(&message)).await else { return self.give_up() };
            if let Some(pause) = self.settle(answer)
                && self.pause(pause, message.expires).await.is_none()
            {
                return self.give_up();
            }
        }
    }

    /// Takes note of an answer; how long to wait if the message is to be sent again.
    fn settle(&mut self, answer: Answer) -> Option<Duration> {
        match answer {
            Answer::Later { reason, after } => {
                self.weather.bad(&self.receiver, &self.stream, reason);
                return Some(self.back_off.next(after));
            }
            Answer::Taken => {}
            Answer::Refused(reason) => {
                metrics::counter!("jarvis_sink_unsendable_total", "stream" => self.stream.clone()).increment(1);
                let (stream, receiver) = (&self.stream, self.receiver.name());
                tracing::error!(stream, receiver, "a message is refused and left out: {reason}");
            }
        }
        self.weather.good(&self.receiver, &self.stream);
        self.back_off.reset();
        self.progress = Instant::now();
        self.outbox.finish_first();
        None
    }

    /// Waits before the next attempt, though not longer than the message is worth telling, nor long at the end.
    async fn pause(&mut self, pause: Duration, expires: Option<Instant>) -> Option<()> {
        let now = Instant::now();
        let until = now.checked_add(pause).unwrap_or(now);
        let until = expires.map_or(until, |expires| until.min(expires));
        let mut closing = self.closing.clone();
        let waiting = async move {
            let ends = timeout_at(until, closing.wait_for(Option::is_some)).await.is_ok();
            if ends {
                sleep_until(until.min(Instant::now() + FIRST_PAUSE)).await;
            }
        };
        self.meanwhile(waiting).await
    }

    /// Takes jobs while something goes on. `None`: it is the end, and nothing has gone through for too long.
    async fn meanwhile<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        let (mut closing, progress) = (self.closing.clone(), self.progress);
        let patience = async move {
            let asked = closing.wait_for(Option::is_some).await.ok().and_then(|asked| *asked);
            sleep_until(asked.unwrap_or(progress).max(progress) + PATIENCE).await;
        };
        let (mut work, mut patience) = (pin!(work), pin!(patience));
        loop {
            tokio::select! {
                done = &mut work => return Some(done),
                () = &mut patience => return None,
                job = self.jobs.recv(), if !self.is_over && self.outbox.has_room() => match job {
                    Some(job) => self.take(job),
                    None => self.is_over = true,
                },
            }
        }
    }

    fn take(&mut self, job: Job) {
        match job {
            Job::Post(messages, upper, taken) => {
                self.outbox.add(messages, upper);
                // Nobody listens if the sink was dropped; so it is with flushes.
                let _ = taken.send(());
            }
            Job::Flush(answer) => self.flushes.push(answer),
        }
    }

    fn drop_expired(&mut self) {
        let now = Instant::now();
        let mut expired = 0_u64;
        while self.outbox.messages.front().is_some_and(|first| first.expires.is_some_and(|expires| expires <= now)) {
            self.outbox.finish_first();
            expired += 1;
        }
        if expired > 0 {
            metrics::counter!("jarvis_sink_expired_total", "stream" => self.stream.clone()).increment(expired);
            tracing::warn!(
                stream = self.stream,
                receiver = self.receiver.name(),
                events = expired,
                "events were not sent in time (`ttl`) and are dropped"
            );
        }
    }

    fn answer_flushes(&mut self) {
        if self.outbox.messages.is_empty() {
            for answer in self.flushes.drain(..) {
                let _ = answer.send(());
            }
        }
    }

    fn give_up(&self) -> anyhow::Result<()> {
        let left = self.outbox.messages.len();
        let why = self.weather.reason().unwrap_or("it did not answer in time");
        bail!("{left} messages were not sent to {}: {why}", self.receiver.name())
    }
}

/// Messages that wait, in order.
#[derive(Default)]
struct Outbox {
    messages: VecDeque<Message>,
    /// The number of the first of them.
    first: u64,
    /// (number, time): everything before the time is delivered when all messages with a lower number are.
    borders: VecDeque<(u64, u64)>,
    delivered: Arc<AtomicU64>,
}

impl Outbox {
    /// Whether more may be taken; one batch is taken whole, however long it is.
    fn has_room(&self) -> bool {
        self.messages.len() < WINDOW
    }

    fn add(&mut self, messages: Vec<Message>, upper: u64) {
        self.messages.extend(messages);
        let number = self.first + self.messages.len() as u64;
        match self.borders.back_mut() {
            // Nothing was told since: a quiet view leaves no trace, however long the receiver is away.
            Some((last, time)) if *last == number => *time = upper,
            _ => self.borders.push_back((number, upper)),
        }
        self.pass_borders();
    }

    fn finish_first(&mut self) {
        if self.messages.pop_front().is_some() {
            self.first += 1;
        }
        self.pass_borders();
    }

    fn pass_borders(&mut self) {
        while let Some((number, upper)) = self.borders.front()
            && *number <= self.first
        {
            self.delivered.fetch_max(*upper, Ordering::Release);
            self.borders.pop_front();
        }
    }
}

/// How the receiver fares; says each change once.
#[derive(Default)]
struct Weather {
    /// Since when nothing gets through, and why.
    bad: Option<(Instant, String)>,
}

impl Weather {
    fn bad(&mut self, receiver: &Receiver, stream: &str, reason: String) {
        if self.reason() != Some(&reason) {
            tracing::warn!(
                stream,
                receiver = receiver.name(),
                reason,
                "the webhook does not get through and is tried again"
            );
        }
        let since = self.bad.take().map_or_else(Instant::now, |(since, _)| since);
        self.bad = Some((since, reason));
    }

    fn good(&mut self, receiver: &Receiver, stream: &str) {
        if let Some((since, _)) = self.bad.take() {
            tracing::info!(stream, receiver = receiver.name(), after = ?since.elapsed(), "the webhook gets through again");
        }
    }

    fn reason(&self) -> Option<&str> {
        self.bad.as_ref().map(|(_, reason)| reason.as_str())
    }
}
