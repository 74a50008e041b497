//! Speaks MQTT: subscribes, decodes what arrives, and acknowledges what is safe.
//!
//! One task does it all. It keeps answering the broker while the graph makes it wait; only when a whole batch waits
//! behind the one that is being handed over does it stop reading, so that the pressure reaches the broker.

use super::acks::{self, Acks, Received};
use super::link::Link;
use crate::decode::{Decoder, Format};
use foldhash::fast::FixedState;
use futures::future::BoxFuture;
use jarvis_runtime::arrival::{Arrival, Note};
use jarvis_runtime::kinds::{Closed, Feed, LiveSource};
use jarvis_runtime::mqtt_settings::{BrokerSettings, Security};
use jarvis_runtime::topic::TopicPattern;
use rumqttc::{
    AsyncClient, ConnectionError, Event, EventLoop, MqttOptions, NetworkOptions, Packet, Publish, QoS, SubAck,
    SubscribeFilter, SubscribeReasonCode, TlsConfiguration, Transport,
};
use std::hash::BuildHasher;
use std::ops::Range;
use std::pin::pin;
use std::time::Duration;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{sleep, timeout};

/// A batch is handed over at the latest with so many rows, and so many bytes.
const FULL_ROWS: usize = 4096;
const FULL_BYTES: u64 = 8 << 20;
/// The longest packet that MQTT has. A shorter limit here would break the connection, and the broker would send the
/// same packet again and again; what is longer than `max_payload` becomes an error row instead.
const LONGEST_PACKET: usize = 268_435_455;
/// Acknowledgements that wait for rumqttc: more than there are packet ids, so there is always room.
const REQUESTS: usize = 1 << 17;
/// How long a farewell to the broker may take.
const FAREWELL: Duration = Duration::from_secs(1);

/// A stream of messages, ready to run.
pub(super) struct Subscription {
    pub settings: BrokerSettings,
    pub patterns: Vec<TopicPattern>,
    pub qos: QoS,
    pub format: Format,
    pub retained: bool,
    pub decoder: Decoder,
}

impl LiveSource for Subscription {
    fn run(self: Box<Self>, feed: Feed) -> BoxFuture<'static, anyhow::Result<()>> {
        Box::pin(async move {
            let (client, mut events) = AsyncClient::new(options(&self.settings), REQUESTS);
            let mut network = NetworkOptions::new();
            // Acknowledgements are small and must not wait for each other.
            network.set_tcp_nodelay(true);
            events.set_network_options(network);
            let mut inbox = Inbox::new(*self, feed, client);
            // The feed is closed: the graph has stopped, as it may at any time.
            let _: Result<(), Closed> = inbox.follow(&mut events).await;
            let _ = timeout(FAREWELL, inbox.farewell(&mut events)).await;
            Ok(())
        })
    }
}

fn options(settings: &BrokerSettings) -> MqttOptions {
    let mut options = MqttOptions::new(&settings.client_id, &settings.host, settings.port);
    options
        .set_clean_session(settings.clean_session)
        .set_keep_alive(settings.keep_alive)
        .set_manual_acks(true)
        .set_max_packet_size(LONGEST_PACKET, LONGEST_PACKET);
    if let Some(username) = &settings.username {
        options.set_credentials(username.expose(), settings.password.as_ref().map_or("", |password| password.expose()));
    }
    if let Security::Tls(config) = &settings.security {
        options.set_transport(Transport::tls_with_config(TlsConfiguration::Rustls(config.clone())));
    }
    options
}

struct Inbox {
    subscription: Subscription,
    feed: Feed,
    client: AsyncClient,
    acks: Acks,
    link: Link,
    /// Numbers of messages whose tick is safe.
    safe: UnboundedReceiver<Range<u64>>,
    tell_safe: UnboundedSender<Range<u64>>,
    /// The batch that the graph is taking.
    sending: Option<BoxFuture<'static, Result<(), Closed>>>,
    /// The first message of QoS 1 in the batch that is being filled.
    batch_start: u64,
    /// What must be known after a restart of the messages in it.
    noted: Vec<u8>,
    /// What retained messages mean depends on whether they can be news.
    connections: Connections,
    unmatched_told: bool,
    extra_fields: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Connections {
    /// This is the first one, or the broker has forgotten the earlier ones.
    Fresh,
    /// The session goes on.
    Resumed,
}

impl Inbox {
    fn new(subscription: Subscription, feed: Feed, client: AsyncClient) -> Self {
        let (tell_safe, safe) = unbounded_channel();
        let link = Link::new(&feed.stream.name, &subscription.settings);
        let acks = Acks::restored(&feed.restored.notes);
        Self {
            subscription,
            feed,
            client,
            batch_start: acks.next(),
            acks,
            link,
            safe,
            tell_safe,
            sending: None,
            noted: vec![],
            connections: Connections::Fresh,
            unmatched_told: false,
            extra_fields: 0,
        }
    }

    /// Runs until the feed is closed.
    async fn follow(&mut self, events: &mut EventLoop) -> Result<(), Closed> {
        let mut first = true;
        let mut wait = Duration::ZERO;
        loop {
            let event = self.next_event(events, std::mem::take(&mut wait)).await?;
            match event {
                Ok(Event::Incoming(Packet::ConnAck(ack))) => {
                    self.connected(ack.session_present, std::mem::take(&mut first));
                }
                Ok(event) => self.receive(event),
                Err(error) => {
                    // What was read before the error belongs to the lost connection.
                    std::mem::take(&mut events.state.events).into_iter().for_each(|event| self.receive(event));
                    events.pending.clear();
                    self.acks.disconnected();
                    wait = self.disconnected(&error);
                }
            }
            if events.state.events.is_empty() || self.is_full() {
                self.send();
            }
        }
    }

    /// What the broker says next. Meanwhile batches are handed over and messages acknowledged.
    async fn next_event(
        &mut self,
        events: &mut EventLoop,
        wait: Duration,
    ) -> Result<Result<Event, ConnectionError>, Closed> {
        // Made once and kept: dropped half way, it could lose part of a packet.
        let mut event = pin!(async move {
            if !wait.is_zero() {
                sleep(wait).await;
            }
            events.poll().await
        });
        loop {
            let may_read = self.sending.is_none() || !self.is_full();
            tokio::select! {
                biased;
                () = self.feed.closed() => return Err(Closed),
                Some(numbers) = self.safe.recv() => self.make_safe(numbers),
                sent = sent(&mut self.sending) => {
                    self.sending = None;
                    sent?;
                    self.send();
                }
                event = &mut event, if may_read => return Ok(event),
            }
        }
    }

    fn is_full(&self) -> bool {
        let decoder = &self.subscription.decoder;
        decoder.rows() + decoder.errors() >= FULL_ROWS || decoder.bytes() >= FULL_BYTES
    }

    /// Begins to hand over what has arrived, unless a batch is on its way already.
    fn send(&mut self) {
        let decoder = &mut self.subscription.decoder;
        if self.sending.is_some() || decoder.rows() + decoder.errors() == 0 {
            return;
        }
        let extra = decoder.extra_fields();
        if extra > self.extra_fields {
            let counter =
                metrics::counter!("jarvis_source_extra_fields_total", "stream" => self.feed.stream.name.clone());
            counter.increment(extra - self.extra_fields);
            self.extra_fields = extra;
        }
        let decoded = decoder.finish();
        let numbers = self.batch_start..self.acks.next();
        self.batch_start = numbers.end;
        let (first, count) = (numbers.start, numbers.end - numbers.start);
        let words = std::mem::take(&mut self.noted);
        let note = (count > 0).then(|| Note { first, count, done: self.acks.done(), words });
        let tell_safe = self.tell_safe.clone();
        let on_safe: Option<Box<dyn FnOnce() + Send>> = (!numbers.is_empty()).then(|| {
            // The task may have ended meanwhile; the broker then sends the messages again.
            let on_safe: Box<dyn FnOnce() + Send> = Box::new(move || drop(tell_safe.send(numbers)));
            on_safe
        });
        let feed = self.feed.clone();
        self.sending = Some(Box::pin(async move { feed.send(Arrival { decoded, note, on_safe }).await }));
    }

    fn make_safe(&mut self, numbers: Range<u64>) {
        self.acks.safe(numbers);
        self.acknowledge();
    }

    fn acknowledge(&mut self) {
        while let Some(packet_id) = self.acks.due() {
            let mut message = Publish::new("", QoS::AtLeastOnce, Vec::new());
            message.pkid = packet_id;
            if let Err(error) = self.client.try_ack(&message) {
                // There is room for every packet id. Should it fail all the same, the broker sends the message again.
                tracing::warn!(stream = self.feed.stream.name, %error, "a message could not be acknowledged");
            }
        }
    }

    fn connected(&mut self, resumed: bool, first: bool) {
        self.link.up(resumed);
        self.acks.connected(resumed);
        self.connections = if resumed && !first { Connections::Resumed } else { Connections::Fresh };
        self.unmatched_told = false;
        let qos = self.subscription.qos;
        // Also in a session that goes on: the topics may have changed since.
        let filters =
            self.subscription.patterns.iter().map(|pattern| SubscribeFilter::new(pattern.filter().to_owned(), qos));
        if let Err(error) = self.client.try_subscribe_many(filters) {
            tracing::error!(stream = self.feed.stream.name, %error, "cannot subscribe");
        }
    }

    /// Returns how long to wait before the next try.
    fn disconnected(&mut self, error: &ConnectionError) -> Duration {
        let (wait, problem) = self.link.down(error);
        if let Some(problem) = problem {
            self.subscription.decoder.push_error(problem.code, problem.message, &[]);
        }
        wait
    }

    fn receive(&mut self, event: Event) {
        match event {
            Event::Incoming(Packet::Publish(message)) => self.message(&message),
            Event::Incoming(Packet::SubAck(ack)) => self.subscribed(&ack),
            _ => {}
        }
    }

    fn subscribed(&mut self, ack: &SubAck) {
        for (pattern, code) in self.subscription.patterns.iter().zip(&ack.return_codes) {
            if matches!(code, SubscribeReasonCode::Failure) {
                let broker = &self.subscription.settings;
                let message = format!(
                    "the broker {broker} refuses the subscription to `{}`: check its access rules",
                    pattern.filter()
                );
                tracing::error!(stream = self.feed.stream.name, "{message}");
                self.subscription.decoder.push_error("subscription_refused", message, pattern.filter().as_bytes());
            }
        }
    }

    fn message(&mut self, message: &Publish) {
        if message.qos != QoS::AtMostOnce {
            let content = FixedState::default().hash_one((&message.topic, &message.payload));
            if self.acks.received(message.pkid, message.dup, content) == Received::Again {
                self.acknowledge();
                return;
            }
            acks::note(&mut self.noted, message.pkid, content);
        }
        if message.retain && !self.takes_retained() {
            self.skip();
            return;
        }
        let Subscription { patterns, decoder, format, .. } = &mut self.subscription;
        let Some(captures) = patterns.iter().find_map(|pattern| pattern.captures(&message.topic)) else {
            self.unmatched(&message.topic);
            self.skip();
            return;
        };
        let removes = message.payload.is_empty() && (decoder.is_keyed() || *format != Format::Raw);
        match removes {
            true => decoder.push_removal(&captures),
            false => decoder.push(&message.payload, &captures),
        }
    }

    /// The broker sends retained messages at every subscription. In a stream without a key a second copy would be a
    /// second row, and while a session goes on nothing new can be among them: it came as an ordinary message.
    fn takes_retained(&self) -> bool {
        self.subscription.retained && (self.subscription.decoder.is_keyed() || self.connections == Connections::Fresh)
    }

    /// A message that yields no row is safe as soon as those before it are.
    fn skip(&mut self) {
        if self.subscription.decoder.rows() + self.subscription.decoder.errors() == 0 {
            let numbers = self.batch_start..self.acks.next();
            self.batch_start = numbers.end;
            self.noted.clear();
            self.make_safe(numbers);
        }
    }

    /// A session that was made with other topics still has those subscriptions.
    fn unmatched(&mut self, topic: &str) {
        metrics::counter!("jarvis_mqtt_unmatched_total", "stream" => self.feed.stream.name.clone()).increment(1);
        if !std::mem::replace(&mut self.unmatched_told, true) {
            tracing::warn!(
                stream = self.feed.stream.name,
                topic,
                "the broker still sends topics of an earlier subscription; they are ignored (another `client_id` starts a new session)"
            );
        }
    }

    /// Acknowledges what has become safe at the end and says goodbye.
    async fn farewell(&mut self, events: &mut EventLoop) {
        while let Ok(numbers) = self.safe.try_recv() {
            self.make_safe(numbers);
        }
        let unacknowledged = self.acks.unacknowledged();
        tracing::debug!(stream = self.feed.stream.name, unacknowledged, "leaving the broker");
        if events.network.is_none() || self.client.try_disconnect().is_err() {
            return;
        }
        // Until the broker has closed the connection: who closes it while the broker still sends has it reset, and the
        // broker may then never read the last acknowledgements.
        while events.poll().await.is_ok() {}
    }
}

/// Resolves when the graph has taken the batch; never if none is on its way.
async fn sent(sending: &mut Option<BoxFuture<'static, Result<(), Closed>>>) -> Result<(), Closed> {
    match sending {
        Some(sending) => sending.await,
        None => std::future::pending().await,
    }
}
