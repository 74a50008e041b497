//! A connection that delivers messages in order, again and again until the broker has them.
//!
//! A task owns the connection. While the broker is there, and fewer than a window of messages is on its way, it takes
//! more: a batch does not wait for the acknowledgement of the one before. A broker that is a long way off, or that holds
//! back small packets until the last one is confirmed (RFC 896), would otherwise set the pace of the graph. A lost
//! connection is replaced by one that knows nothing of it, and everything is sent again from the first unacknowledged
//! message on. Later ones that were acknowledged are repeated too, so that the last message to arrive on a topic is the
//! last one.

use super::connect::Broker;
use anyhow::anyhow;
use bytes::Bytes;
use futures::FutureExt;
use rumqttc::{AsyncClient, ConnectionError, Event, EventLoop, Incoming, Outgoing, QoS};
use std::collections::{HashMap, VecDeque};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

/// Messages that may be unacknowledged.
const WINDOW: u16 = 1_000;
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// For saying goodbye.
const GOODBYE: Duration = Duration::from_secs(1);
/// So often a broker may end the connection at one message before the log says so.
const SUSPICIOUS: u32 = 5;

/// What is published.
#[derive(Clone, Debug)]
pub(super) struct Message {
    pub topic: String,
    pub payload: Bytes,
    pub retain: bool,
    /// Not worth sending after.
    pub expires: Option<Instant>,
}

/// The way to the task.
pub(super) struct Link {
    jobs: mpsc::Sender<Job>,
    task: JoinHandle<()>,
}

enum Job {
    /// The messages of everything before a time; answer when they are taken.
    Publish(Vec<Message>, u64, oneshot::Sender<()>),
    /// Answer when the broker has everything.
    Flush(oneshot::Sender<()>),
}

impl Link {
    /// Begins to connect.
    /// `delivered` follows what the broker has.
    pub fn new(broker: Broker, qos: u8, stream: &str, delivered: Arc<AtomicU64>) -> Self {
        let (jobs, inbox) = mpsc::channel(1);
        let qos = if qos == 0 { QoS::AtMostOnce } else { QoS::AtLeastOnce };
        let task = Task {
            broker,
            qos,
            stream: stream.to_owned(),
            jobs: inbox,
            is_over: false,
            outbox: Outbox { delivered, ..Outbox::default() },
            flushes: vec![],
            weather: Weather::default(),
        };
        Self { jobs, task: tokio::spawn(task.run()) }
    }

    /// Returns when the messages of everything before `upper` are on their way: it waits while the broker is away, or a
    /// window of others is on its way.
    pub async fn deliver(&mut self, messages: Vec<Message>, upper: u64) -> anyhow::Result<()> {
        if messages.is_empty() {
            return Ok(());
        }
        self.ask(|answer| Job::Publish(messages, upper, answer)).await
    }

    /// Returns when the broker has all messages.
    pub async fn flush(&mut self) -> anyhow::Result<()> {
        self.ask(Job::Flush).await
    }

    async fn ask(&mut self, job: impl FnOnce(oneshot::Sender<()>) -> Job) -> anyhow::Result<()> {
        let gone = || anyhow!("the MQTT connection's task has ended");
        let (answer, answered) = oneshot::channel();
        self.jobs.send(job(answer)).await.map_err(|_| gone())?;
        answered.await.map_err(|_| gone())
    }

    /// Waits until the broker has everything, and says goodbye to it.
    pub async fn close(mut self) -> anyhow::Result<()> {
        self.flush().await?;
        let (never, _) = mpsc::channel(1);
        drop(std::mem::replace(&mut self.jobs, never));
        // A broker that does not listen is not worth waiting for: it has everything.
        let _ = tokio::time::timeout(GOODBYE, &mut self.task).await;
        Ok(())
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Task {
    broker: Broker,
    qos: QoS,
    stream: String,
    jobs: mpsc::Receiver<Job>,
    /// Nothing more will be given.
    is_over: bool,
    outbox: Outbox,
    flushes: Vec<oneshot::Sender<()>>,
    weather: Weather,
}

/// Why a connection is over.
enum End {
    /// There is nothing more to send.
    Closed,
    Lost(ConnectionError),
}

impl Task {
    async fn run(mut self) {
        while let End::Lost(error) = self.connection().await {
            if self.is_over && self.outbox.is_empty() {
                return;
            }
            let pause = self.weather.lost(&self.broker, &self.stream, &error, self.outbox.first());
            tokio::time::sleep(pause).await;
        }
    }

    /// One connection, from its beginning to its end.
    async fn connection(&mut self) -> End {
        let (client, mut events) = self.broker.connection(WINDOW);
        let mut flight = Flight::new(self.qos);
        self.outbox.rewind();
        let mut up = false;
        loop {
            if up {
                flight.hand_over(&client, &mut self.outbox, &self.stream);
                self.answer_flushes();
            }
            let event = match self.next(&client, &mut events, &mut flight, up).await {
                Some(Ok(event)) => event,
                Some(Err(error)) => return End::Lost(error),
                None => return End::Closed,
            };
            match event {
                Event::Incoming(Incoming::ConnAck(_)) => {
                    up = true;
                    self.weather.found(&self.broker, &self.stream);
                }
                Event::Outgoing(Outgoing::Disconnect) => return End::Closed,
                event => {
                    if flight.progress(&event, &mut self.outbox) {
                        self.weather.progress();
                    }
                    self.answer_flushes();
                }
            }
        }
    }

    /// What the connection does next; in between new jobs may come, or the end of all. `None`: there is nothing more to
    /// do. The connection's step is never cut short, for a packet could be lost half way.
    async fn next(
        &mut self,
        client: &AsyncClient,
        events: &mut EventLoop,
        flight: &mut Flight,
        up: bool,
    ) -> Option<Result<Event, ConnectionError>> {
        let mut step = pin!(events.poll());
        let mut has_said_goodbye = false;
        loop {
            if self.is_over && self.outbox.is_empty() && !has_said_goodbye {
                // There is room: everything is acknowledged. Its sending ends the connection.
                client.try_disconnect().ok()?;
                has_said_goodbye = true;
            }
            tokio::select! {
                event = &mut step => return Some(event),
                job = self.jobs.recv(), if up && !self.is_over && self.outbox.has_room() => match job {
                    Some(Job::Publish(messages, upper, taken)) => {
                        self.outbox.add(messages, upper);
                        flight.hand_over(client, &mut self.outbox, &self.stream);
                        // Nobody listens if the sink was dropped; so it is with flushes.
                        let _ = taken.send(());
                    }
                    Some(Job::Flush(answer)) => {
                        self.flushes.push(answer);
                        self.answer_flushes();
                    }
                    None => self.is_over = true,
                },
            }
        }
    }

    fn answer_flushes(&mut self) {
        if self.outbox.is_empty() {
            for answer in self.flushes.drain(..) {
                let _ = answer.send(());
            }
        }
    }
}

/// Messages on their way, in order.
#[derive(Default)]
struct Outbox {
    messages: VecDeque<Message>,
    /// By message.
    done: VecDeque<bool>,
    /// The number of the first of them.
    first: u64,
    /// The number of the next one to hand to the client.
    next: u64,
    /// (number, time): everything before the time is delivered when all messages with a lower number are.
    borders: VecDeque<(u64, u64)>,
    delivered: Arc<AtomicU64>,
}

impl Outbox {
    fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Whether more may be taken; one batch is taken whole, however long it is.
    fn has_room(&self) -> bool {
        self.messages.len() < usize::from(WINDOW)
    }

    fn first(&self) -> Option<&Message> {
        self.messages.front()
    }

    fn add(&mut self, messages: Vec<Message>, upper: u64) {
        self.done.extend(messages.iter().map(|_| false));
        self.messages.extend(messages);
        self.borders.push_back((self.first + self.messages.len() as u64, upper));
    }

    /// The next message to hand to the client.
    fn take_next(&mut self) -> Option<(u64, &Message)> {
        let number = self.next;
        let message = self.messages.get((number - self.first) as usize)?;
        self.next += 1;
        Some((number, message))
    }

    /// Back to the first message that is not done.
    fn rewind(&mut self) {
        self.next = self.first;
        self.done.iter_mut().for_each(|done| *done = false);
    }

    fn finish(&mut self, number: u64) {
        if let Some(done) = number.checked_sub(self.first).and_then(|i| self.done.get_mut(i as usize)) {
            *done = true;
        }
        while self.done.front() == Some(&true) {
            self.done.pop_front();
            self.messages.pop_front();
            self.first += 1;
        }
        self.next = self.next.max(self.first);
        while let Some((number, upper)) = self.borders.front()
            && *number <= self.first
        {
            self.delivered.fetch_max(*upper, Ordering::Release);
            self.borders.pop_front();
        }
    }
}

/// Messages that one connection has taken, by their numbers.
struct Flight {
    qos: QoS,
    /// Handed to the client, not yet sent; in order.
    handed: VecDeque<u64>,
    /// Sent, not yet acknowledged; by packet id.
    sent: HashMap<u16, u64>,
}

impl Flight {
    fn new(qos: QoS) -> Self {
        Self { qos, handed: VecDeque::new(), sent: HashMap::new() }
    }

    /// Hands messages to the client as long as the window has room.
    fn hand_over(&mut self, client: &AsyncClient, outbox: &mut Outbox, stream: &str) {
        let mut expired = 0_u64;
        while self.handed.len() + self.sent.len() < usize::from(WINDOW) {
            let Some((number, message)) = outbox.take_next() else { break };
            if message.expires.is_some_and(|expires| expires < Instant::now()) {
                expired += 1;
                outbox.finish(number);
                continue;
            }
            let publish =
                client.publish_bytes(message.topic.as_str(), self.qos, message.retain, message.payload.clone());
            // The client's queue is as long as the window, so this takes no time; and it fails only after the
            // connection's end, which the next step tells.
            if publish.now_or_never().is_some_and(|sent| sent.is_ok()) {
                self.handed.push_back(number);
            }
        }
        if expired > 0 {
            metrics::counter!("jarvis_sink_expired_total", "stream" => stream.to_owned()).increment(expired);
            tracing::warn!(stream, events = expired, "events were not published in time (`ttl`) and are dropped");
        }
    }

    /// Takes note of what was sent and acknowledged; whether a message is done.
    fn progress(&mut self, event: &Event, outbox: &mut Outbox) -> bool {
        let done = match event {
            Event::Outgoing(Outgoing::Publish(packet)) => match (self.handed.pop_front(), self.qos) {
                (sent, QoS::AtMostOnce) => sent,
                (Some(message), _) => {
                    self.sent.insert(*packet, message);
                    None
                }
                (None, _) => None,
            },
            Event::Incoming(Incoming::PubAck(ack)) => self.sent.remove(&ack.pkid),
            _ => None,
        };
        if let Some(number) = done {
            outbox.finish(number);
        }
        done.is_some()
    }
}

/// How the connection fares; says each change once.
#[derive(Default)]
struct Weather {
    /// When the connection was lost and why.
    lost: Option<(Instant, String)>,
    /// Since when the connection stands.
    found: Option<Instant>,
    pause: Duration,
    /// Connections since a message was last done.
    fruitless: u32,
}

impl Weather {
    /// Takes note of a lost connection; how long to wait before the next one.
    fn lost(&mut self, broker: &Broker, stream: &str, error: &ConnectionError, first: Option<&Message>) -> Duration {
        let reason = error.to_string();
        if self.lost.as_ref().is_none_or(|(_, before)| *before != reason) {
            tracing::warn!(stream, %broker, reason, "the MQTT broker is away: what is to be published waits");
        }
        let since = self.lost.take().map_or_else(Instant::now, |(since, _)| since);
        self.lost = Some((since, reason));
        if self.fruitless == SUSPICIOUS
            && let Some(message) = first
        {
            let bytes = message.payload.len();
            tracing::error!(
                stream, %broker, topic = message.topic, bytes,
                "the broker ends the connection whenever this message is sent: does it allow its size, and this topic?"
            );
        }
        // One that stood for long was a good one.
        if self.found.take().is_some_and(|found| found.elapsed() > LONGEST_PAUSE) {
            self.pause = Duration::ZERO;
        }
        self.pause = (self.pause * 2).clamp(FIRST_PAUSE, LONGEST_PAUSE);
        self.pause
    }

    fn found(&mut self, broker: &Broker, stream: &str) {
        self.fruitless += 1;
        self.found = Some(Instant::now());
        if let Some((since, _)) = self.lost.take() {
            tracing::info!(stream, %broker, away = ?since.elapsed(), "the MQTT broker is back");
        }
    }

    fn progress(&mut self) {
        self.fruitless = 0;
        self.pause = Duration::ZERO;
    }
}
