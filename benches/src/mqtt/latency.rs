//! From a message's publication to the arrival of the message that answers it.

use super::connection::{Address, connect};
use crate::figures::percentile;
use anyhow::{Context, Result, ensure};
use rumqttc::{Client, Connection, Event, Packet, QoS};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Messages at a steady rate.
#[derive(Clone, Debug)]
pub struct Load {
    /// Messages per second.
    pub rate: u32,
    pub seconds: u32,
    /// The topic to publish to; `{tool}` is replaced.
    pub topic: &'static str,
    /// The topics of the answers. An answer is JSON and carries the `seq` of what it answers; a retraction (`_diff`
    /// below 0) is no answer.
    pub answers: &'static str,
}

/// Tools that report in turns, so that no two messages of one tool come close together.
const TOOLS: u64 = 100;
/// Not measured: while caches and connections warm up.
const WARM_UP: Duration = Duration::from_secs(2);
/// How long a program may take until it answers at all.
const PATIENCE: Duration = Duration::from_secs(30);

/// What was measured.
#[derive(Clone, Debug)]
pub struct Latencies {
    /// Sorted, ms.
    pub answered: Vec<f64>,
    pub unanswered: usize,
}

impl Latencies {
    /// The latency that a share of the answers does not exceed, ms.
    pub fn percentile(&self, share: f64) -> f64 {
        percentile(&self.answered, share)
    }
}

/// Publishes the load and matches the answers. Whoever answers may still be starting: the load begins with the first
/// answer.
pub fn measure(address: &Address, load: &Load) -> Result<Latencies> {
    let (subscriber, incoming) = connect(address, "bench-subscriber");
    let (publisher, outgoing) = connect(address, "bench-publisher");
    let done = Arc::new(AtomicBool::new(false));
    let answers = listen(subscriber.clone(), incoming, load.answers, done.clone());
    let pump = run(outgoing, done.clone(), |_, _| {});
    let result = exchange(&publisher, &answers, load);
    done.store(true, Ordering::Relaxed);
    // A disconnect wakes the threads; they may have ended already.
    let _ = (publisher.disconnect(), subscriber.disconnect());
    let _ = pump.join();
    result
}

/// Moves a connection's messages in a thread of its own until `done`.
fn run(
    mut connection: Connection,
    done: Arc<AtomicBool>,
    mut on_packet: impl FnMut(Packet, Instant) + Send + 'static,
) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        for event in connection.iter() {
            let now = Instant::now();
            match event {
                Ok(Event::Incoming(packet)) => on_packet(packet, now),
                Ok(Event::Outgoing(_)) => {}
                // The connection is tried again at once otherwise.
                Err(_) => thread::sleep(Duration::from_millis(100)),
            }
            if done.load(Ordering::Relaxed) {
                return;
            }
        }
    })
}

fn listen(
    client: Client,
    connection: Connection,
    topics: &'static str,
    done: Arc<AtomicBool>,
) -> Receiver<(u64, Instant)> {
    let (sender, receiver) = channel();
    run(connection, done, move |packet, now| match packet {
        // Sessions are clean, so a new connection needs a new subscription.
        Packet::ConnAck(_) => {
            let _ = client.try_subscribe(topics, QoS::AtLeastOnce);
        }
        Packet::Publish(publish) => answer(&sender, &publish.payload, now),
        _ => {}
    });
    receiver
}

fn answer(sender: &Sender<(u64, Instant)>, payload: &[u8], now: Instant) {
    #[derive(serde::Deserialize)]
    struct Answer {
        seq: u64,
        #[serde(default, rename = "_diff")]
        diff: Option<i64>,
    }
    if let Ok(answer) = sonic_rs::from_slice::<Answer>(payload)
        && answer.diff.is_none_or(|diff| diff > 0)
    {
        // The receiver is gone once the measurement is over.
        let _ = sender.send((answer.seq, now));
    }
}

/// µs since the epoch.
fn now() -> Result<u64> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock is before 1970")?;
    Ok(u64::try_from(since.as_micros())?)
}

fn publish(publisher: &Client, load: &Load, seq: u64) -> Result<Instant> {
    let at = now()?;
    // A sawtooth, so that the maximum over the last seconds changes now and then.
    let actual = 200.0 + (seq * 37 % 1_000) as f64 / 20.0;
    let payload = format!("{{\"seq\":{seq},\"actual\":{actual:.2},\"at\":{at}}}");
    let topic = load.topic.replace("{tool}", &format!("tool{}", seq % TOOLS));
    let now = Instant::now();
    publisher.publish(topic, QoS::AtLeastOnce, false, payload)?;
    Ok(now)
}

fn exchange(publisher: &Client, answers: &Receiver<(u64, Instant)>, load: &Load) -> Result<Latencies> {
    // Answers to an earlier measurement, which a broker may have kept, are so no answers to this one.
    let mut seq = now()?;
    let started = Instant::now();
    loop {
        ensure!(started.elapsed() < PATIENCE, "nothing on {} after {PATIENCE:?}", load.answers);
        publish(publisher, load, seq)?;
        seq += 1;
        if answers.recv_timeout(Duration::from_millis(100)).is_ok() {
            break;
        }
    }
    let first = seq;
    let total = u64::from(load.rate) * (u64::from(load.seconds) + WARM_UP.as_secs());
    let start = Instant::now();
    let mut sent = Vec::with_capacity(usize::try_from(total)?);
    for number in 0..total {
        let due = start + Duration::from_secs_f64(number as f64 / f64::from(load.rate));
        thread::sleep(due.saturating_duration_since(Instant::now()));
        sent.push(publish(publisher, load, first + number)?);
    }
    thread::sleep(Duration::from_secs(1));
    let mut latencies: Vec<Option<f64>> = vec![None; sent.len()];
    for (seq, arrived) in answers.try_iter() {
        let Some(place) = seq.checked_sub(first).map(|place| place as usize) else { continue };
        if let (Some(latency @ None), Some(sent)) = (latencies.get_mut(place), sent.get(place)) {
            *latency = Some(arrived.duration_since(*sent).as_secs_f64() * 1e3);
        }
    }
    let warm = u64::from(load.rate) * WARM_UP.as_secs();
    let measured = latencies.split_off(usize::try_from(warm)?.min(latencies.len()));
    let mut answered: Vec<f64> = measured.iter().copied().flatten().collect();
    answered.sort_by(f64::total_cmp);
    Ok(Latencies { unanswered: measured.len() - answered.len(), answered })
}
