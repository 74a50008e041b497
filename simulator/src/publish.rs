//! Plays a world over MQTT 3.1.1.
//!
//! Every message goes out with QoS 1. While the broker is away devices talk into the void, as real ones do: what they
//! say then is counted, not kept. When it is back, the states that brokers retain are told again.

use crate::broker_url::BrokerUrl;
use crate::message::Message;
use crate::world::World;
use rumqttc::{AsyncClient, ConnectionError, Event, EventLoop, MqttOptions, Outgoing, Packet, QoS};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

/// How often the world moves.
const STEP: Duration = Duration::from_millis(100);
/// Messages that may wait for the broker's acknowledgement or the network.
const QUEUE: usize = 4096;
const FIRST_RETRY: Duration = Duration::from_millis(250);
const LONGEST_RETRY: Duration = Duration::from_secs(5);
/// How long a goodbye may take.
const FAREWELL: Duration = Duration::from_secs(1);

/// How a world is played.
#[derive(Clone, Debug)]
pub struct Stage {
    pub broker: BrokerUrl,
    /// The MQTT client id; two clients with the same one throw each other out.
    pub client_id: String,
    /// Seconds of the world per second.
    pub speed: f64,
}

/// What became of the messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Handed to the connection.
    pub published: u64,
    /// Said while the broker was away or too slow.
    pub lost: u64,
}

/// Whether there is a connection, and which one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Link {
    Down,
    Up { connection: u64 },
}

/// Plays `world` until `stop` resolves. Connects again for as long as it takes.
pub async fn play(mut world: World, stage: &Stage, stop: impl Future<Output = ()>) -> Tally {
    let (client, event_loop) = AsyncClient::new(mqtt_options(stage), QUEUE);
    let (link_told, mut link) = watch::channel(Link::Down);
    let line = tokio::spawn(hold_the_line(event_loop, link_told, stage.broker.clone()));
    let mut outlet = Outlet { client, tally: Tally::default(), warned: false };
    let mut steps = tokio::time::interval(STEP);
    steps.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut last = Instant::now();
    tokio::pin!(stop);
    loop {
        tokio::select! {
            () = &mut stop => break,
            changed = link.changed() => {
                if changed.is_err() {
                    break;
                }
                if let Link::Up { .. } = *link.borrow_and_update() {
                    outlet.warned = false;
                    outlet.publish(world.states(), true);
                }
            }
            _ = steps.tick() => {
                let now = Instant::now();
                let seconds = now.duration_since(std::mem::replace(&mut last, now)).as_secs_f64();
                let moment = world.advance(seconds * stage.speed, now_ms());
                moment.actions.iter().for_each(|action| tracing::info!("{action}"));
                let up = *link.borrow() != Link::Down;
                outlet.publish(moment.messages, up);
            }
        }
    }
    outlet.farewell(line).await
}

/// Milliseconds since the Unix epoch; 0 on a machine whose clock stands before it.
pub fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

fn mqtt_options(stage: &Stage) -> MqttOptions {
    let mut options = MqttOptions::new(&stage.client_id, &stage.broker.host, stage.broker.port);
    options.set_keep_alive(Duration::from_secs(10));
    // With a clean session rumqttc 0.25 can stop publishing for good after a lost connection.
    options.set_clean_session(false);
    if let Some((user, password)) = &stage.broker.credentials {
        options.set_credentials(user, password);
    }
    options
}

/// Keeps the connection going and tells when it comes and goes; returns once the client has said goodbye.
async fn hold_the_line(mut event_loop: EventLoop, link: watch::Sender<Link>, broker: BrokerUrl) {
    let mut connection = 0;
    let mut retry = FIRST_RETRY;
    let mut complained = false;
    loop {
        match event_loop.poll().await {
            Ok(Event::Incoming(Packet::ConnAck(_))) => {
                connection += 1;
                retry = FIRST_RETRY;
                complained = false;
                tracing::info!("connected to {broker:?}");
                link.send_replace(Link::Up { connection });
            }
            Ok(Event::Outgoing(Outgoing::Disconnect)) | Err(ConnectionError::RequestsDone) => return,
            Ok(_) => {}
            Err(error) => {
                link.send_replace(Link::Down);
                if !complained {
                    tracing::warn!("no connection to {broker:?} ({error}); trying again until there is one");
                    complained = true;
                }
                tokio::time::sleep(retry).await;
                retry = (retry * 2).min(LONGEST_RETRY);
            }
        }
    }
}

/// The way out, and what became of what went there.
struct Outlet {
    client: AsyncClient,
    tally: Tally,
    /// A full queue is worth one line per connection, not one per message.
    warned: bool,
}

impl Outlet {
    fn publish(&mut self, messages: Vec<Message>, up: bool) {
        for message in messages {
            if up && self.client.try_publish(message.topic, QoS::AtLeastOnce, message.retain, message.payload).is_ok() {
                self.tally.published += 1;
                continue;
            }
            self.tally.lost += 1;
            if up && !std::mem::replace(&mut self.warned, true) {
                tracing::warn!("the broker is slower than the devices: messages are lost");
            }
        }
    }

    /// Lets what is under way out and closes the connection.
    async fn farewell(self, line: tokio::task::JoinHandle<()>) -> Tally {
        let abort = line.abort_handle();
        // A queue that is full or a line that is gone leaves nothing to say goodbye to.
        let goodbye = async {
            if self.client.disconnect().await.is_ok() {
                line.await.ok();
            }
        };
        if tokio::time::timeout(FAREWELL, goodbye).await.is_err() {
            abort.abort();
        }
        self.tally
    }
}
