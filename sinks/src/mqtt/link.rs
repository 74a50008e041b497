//! A connection that delivers messages in order, again and again until the broker has them.
//!
//! A task owns the connection. It is given one batch of messages at a time and answers when the broker has all of
//! them: with QoS 1 when each is acknowledged, with QoS 0 when each is sent. A lost connection is replaced by one that
//! knows nothing of it, and the batch is sent again from its first unacknowledged message on. Later ones that were
//! acknowledged are repeated too, so that the last message to arrive on a topic is the last one of the batch.

use super::connect::Broker;
use anyhow::anyhow;
use bytes::Bytes;
use futures::FutureExt;
use rumqttc::{AsyncClient, ConnectionError, Event, EventLoop, Incoming, Outgoing, QoS};
use std::collections::{HashMap, VecDeque};
use std::pin::pin;
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
    batches: mpsc::Sender<Batch>,
    task: JoinHandle<()>,
}

/// Messages on their way.
struct Batch {
    messages: Vec<Message>,
    /// By message.
    done: Vec<bool>,
    /// Messages before this one are done.
    first: usize,
    /// The next one to hand to the client.
    next: usize,
    answer: oneshot::Sender<()>,
}

impl Link {
    /// Begins to connect.
    pub fn new(broker: Broker, qos: u8, stream: &str) -> Self {
        let (batches, jobs) = mpsc::channel(1);
        let qos = if qos == 0 { QoS::AtMostOnce } else { QoS::AtLeastOnce };
        let task = Task { broker, qos, stream: stream.to_owned(), jobs, batch: None, weather: Weather::default() };
        Self { batches, task: tokio::spawn(task.run()) }
    }

    /// Returns when the broker has all messages.
    pub async fn deliver(&mut self, messages: Vec<Message>) -> anyhow::Result<()> {
        if messages.is_empty() {
            return Ok(());
        }
        let (answer, done) = oneshot::channel();
        let batch = Batch { done: vec![false; messages.len()], messages, first: 0, next: 0, answer };
        let gone = || anyhow!("the MQTT connection's task has ended");
        self.batches.send(batch).await.map_err(|_| gone())?;
        done.await.map_err(|_| gone())
    }

    /// Says goodbye to the broker, if it is there.
    pub async fn close(mut self) -> anyhow::Result<()> {
        let (never, _) = mpsc::channel(1);
        drop(std::mem::replace(&mut self.batches, never));
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
    jobs: mpsc::Receiver<Batch>,
    batch: Option<Batch>,
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
            if self.jobs.is_closed() && self.batch.is_none() {
                return;
            }
            let pause = self.weather.lost(&self.broker, &self.stream, &error, self.batch.as_ref());
            tokio::time::sleep(pause).await;
        }
    }

    /// One connection, from its beginning to its end.
    async fn connection(&mut self) -> End {
        let (client, mut events) = self.broker.connection(WINDOW);
        let mut flight = Flight::new(self.qos);
        if let Some(batch) = &mut self.batch {
            batch.rewind();
        }
        let mut up = false;
        loop {
            if up && let Some(batch) = &mut self.batch {
                flight.hand_over(&client, batch, &self.stream);
                self.answer_if_done();
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
                    if let Some(batch) = &mut self.batch
                        && flight.progress(&event, batch)
                    {
                        self.weather.progress();
                    }
                    self.answer_if_done();
                }
            }
        }
    }

    /// What the connection does next; in between a new batch may come, or the end of all: `None`. The connection's
    /// step is never cut short, for a packet could be lost half way.
    async fn next(
        &mut self,
        client: &AsyncClient,
        events: &mut EventLoop,
        flight: &mut Flight,
        up: bool,
    ) -> Option<Result<Event, ConnectionError>> {
        let mut step = pin!(events.poll());
        let mut open = true;
        loop {
            tokio::select! {
                event = &mut step => return Some(event),
                job = self.jobs.recv(), if self.batch.is_none() && open => match job {
                    Some(batch) => {
                        let batch = self.batch.insert(batch);
                        if up {
                            flight.hand_over(client, batch, &self.stream);
                            self.answer_if_done();
                        }
                    }
                    None if up => {
                        open = false;
                        // There is room: everything is acknowledged. Its sending ends the connection.
                        client.try_disconnect().ok()?;
                    }
                    None => return None,
                },
            }
        }
    }

    fn answer_if_done(&mut self) {
        if let Some(batch) = self.batch.take_if(|batch| batch.first == batch.messages.len()) {
            // Nobody listens if the sink was dropped.
            let _ = batch.answer.send(());
        }
    }
}

impl Batch {
    /// Back to the first message that is not done.
    fn rewind(&mut self) {
        self.next = self.first;
        self.done[self.first..].fill(false);
    }

    fn finish(&mut self, message: usize) {
        self.done[message] = true;
        self.first += self.done[self.first..].iter().take_while(|done| **done).count();
    }
}

/// Messages of a batch that one connection has taken.
struct Flight {
    qos: QoS,
    /// Handed to the client, not yet sent; in order.
    handed: VecDeque<usize>,
    /// Sent, not yet acknowledged; by packet id.
    sent: HashMap<u16, usize>,
}

impl Flight {
    fn new(qos: QoS) -> Self {
        Self { qos, handed: VecDeque::new(), sent: HashMap::new() }
    }

    /// Hands messages to the client as long as the window has room.
    fn hand_over(&mut self, client: &AsyncClient, batch: &mut Batch, stream: &str) {
        let mut expired = 0_u64;
        while batch.next < batch.messages.len() && self.handed.len() + self.sent.len() < usize::from(WINDOW) {
            let (index, message) = (batch.next, &batch.messages[batch.next]);
            batch.next += 1;
            if message.expires.is_some_and(|expires| expires < Instant::now()) {
                expired += 1;
                batch.finish(index);
                continue;
            }
            let publish =
                client.publish_bytes(message.topic.as_str(), self.qos, message.retain, message.payload.clone());
            // The client's queue is as long as the window, so this takes no time; and it fails only after the
            // connection's end, which the next step tells.
            if publish.now_or_never().is_some_and(|sent| sent.is_ok()) {
                self.handed.push_back(index);
            }
        }
        if expired > 0 {
            metrics::counter!("jarvis_sink_expired_total", "stream" => stream.to_owned()).increment(expired);
            tracing::warn!(stream, events = expired, "events were not published in time (`ttl`) and are dropped");
        }
    }

    /// Takes note of what was sent and acknowledged; whether a message is done.
    fn progress(&mut self, event: &Event, batch: &mut Batch) -> bool {
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
        if let Some(message) = done {
            batch.finish(message);
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
    fn lost(&mut self, broker: &Broker, stream: &str, error: &ConnectionError, batch: Option<&Batch>) -> Duration {
        let reason = error.to_string();
        if self.lost.as_ref().is_none_or(|(_, before)| *before != reason) {
            tracing::warn!(stream, %broker, reason, "the MQTT broker is away: what is to be published waits");
        }
        let since = self.lost.take().map_or_else(Instant::now, |(since, _)| since);
        self.lost = Some((since, reason));
        if self.fruitless == SUSPICIOUS
            && let Some(message) = batch.and_then(|batch| batch.messages.get(batch.first))
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
