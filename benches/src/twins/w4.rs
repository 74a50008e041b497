//! W4: over MQTT, the hottest and the newest reading of each tool in the last ten seconds, told when they change.

use crate::mqtt::{Address, connect};
use crate::text::Text8;
use anyhow::Result;
use rumqttc::{Client, Connection, Event, Packet, Publish, QoS};
use serde::Deserialize;
use std::collections::{HashMap, VecDeque};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::operator::source;
use timely::dataflow::operators::generic::{Operator, OutputBuilderSession};
use timely::dataflow::{Scope, StreamVec};
use timely::scheduling::SyncActivator;

const READINGS: &str = "bench/temperature/+";
const ALERTS: &str = "bench/alerts";
/// How long a reading counts, µs.
const COUNTS: u64 = 10_000_000;
/// How late at most a reading is forgotten.
const FORGET: Duration = Duration::from_millis(10);

#[derive(Deserialize)]
struct Payload {
    seq: u64,
    actual: f64,
    /// µs since the epoch.
    at: u64,
}

#[derive(Clone, Copy)]
struct Reading {
    tool: Text8,
    seq: u64,
    actual: f64,
    at: u64,
}

/// What is told of a tool.
#[derive(Clone, Copy, PartialEq)]
struct Peak {
    hottest: f64,
    seq: u64,
}

/// Runs until the process is ended.
pub fn run(broker: &str) -> Result<()> {
    let address = Address::parse(broker)?;
    let (alerts, outgoing) = connect(&address, "twin-alerts");
    thread::spawn(move || pump(outgoing, |_| {}));
    timely::execute_directly(move |worker| {
        worker.dataflow::<u64, _, _>(|scope| {
            let readings = readings(scope, &address);
            publish(changes(readings), alerts);
        });
        while worker.step_or_park(None) {}
    });
    Ok(())
}

/// Moves a connection's messages for ever.
fn pump(mut connection: Connection, mut on_packet: impl FnMut(Packet)) {
    for event in connection.iter() {
        match event {
            Ok(Event::Incoming(packet)) => on_packet(packet),
            Ok(Event::Outgoing(_)) => {}
            Err(error) => {
                eprintln!("{error}; trying again");
                thread::sleep(Duration::from_millis(100));
            }
        }
    }
}

fn listen(client: &Client, connection: Connection, sender: &Sender<Reading>, wake: &SyncActivator) {
    pump(connection, |packet| match packet {
        Packet::ConnAck(_) => {
            // Fails only if its queue is full, right after connecting it is not.
            let _ = client.try_subscribe(READINGS, QoS::AtLeastOnce);
        }
        Packet::Publish(publish) => match reading(&publish) {
            // Either fails only when the process ends.
            Some(reading) => drop((sender.send(reading), wake.activate())),
            None => eprintln!("not a reading: {publish:?}"),
        },
        _ => {}
    });
}

fn reading(publish: &Publish) -> Option<Reading> {
    let Payload { seq, actual, at } = sonic_rs::from_slice(&publish.payload).ok()?;
    let tool = Text8::new(publish.topic.rsplit('/').next()?).ok()?;
    Some(Reading { tool, seq, actual, at })
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

/// Readings as they come; the time advances at least every `FORGET`.
fn readings<'s>(scope: Scope<'s, u64>, address: &Address) -> StreamVec<'s, u64, Reading> {
    source(scope, "Readings", |mut capability, info| {
        let wake = scope.worker().sync_activator_for(info.address.to_vec());
        let later = scope.activator_for(info.address);
        let (sender, receiver): (_, Receiver<Reading>) = channel();
        let (client, connection) = connect(address, "twin-readings");
        thread::spawn(move || listen(&client, connection, &sender, &wake));
        let mut next_wake = Instant::now();
        move |output| {
            capability.downgrade(&now().max(*capability.time()));
            output.session(&capability).give_iterator(receiver.try_iter());
            if Instant::now() >= next_wake {
                later.activate_after(FORGET);
                next_wake = Instant::now() + FORGET;
            }
        }
    })
    .container::<Vec<_>>()
}

/// The greatest of the values that still count: those behind it that are less can never be it.
struct Sliding<V> {
    values: VecDeque<(u64, V)>,
}

impl<V: PartialOrd + Copy> Sliding<V> {
    fn new() -> Self {
        Sliding { values: VecDeque::new() }
    }

    fn push(&mut self, at: u64, value: V) {
        while self.values.pop_back_if(|(_, last)| *last <= value).is_some() {}
        self.values.push_back((at, value));
    }

    /// Forgets what is not after `limit`.
    fn forget(&mut self, limit: u64) {
        while self.values.pop_front_if(|(at, _)| *at <= limit).is_some() {}
    }

    fn greatest(&self) -> Option<V> {
        self.values.front().map(|(_, value)| *value)
    }
}

struct Tool {
    actual: Sliding<f64>,
    seq: Sliding<u64>,
    told: Option<Peak>,
}

impl Tool {
    fn new() -> Self {
        Tool { actual: Sliding::new(), seq: Sliding::new(), told: None }
    }

    /// What was told and what is to be told, if they differ.
    fn change(&mut self, limit: u64) -> Option<(Option<Peak>, Option<Peak>)> {
        self.actual.forget(limit);
        self.seq.forget(limit);
        let peak = self.actual.greatest().zip(self.seq.greatest()).map(|(hottest, seq)| Peak { hottest, seq });
        let told = std::mem::replace(&mut self.told, peak);
        (told != peak).then_some((told, peak))
    }
}

/// Changes of the tools' peaks.
fn changes(readings: StreamVec<'_, u64, Reading>) -> StreamVec<'_, u64, (Text8, Peak, i8)> {
    readings
        .unary_frontier(Pipeline, "Peaks", |capability, _| {
            let mut capability = Some(capability);
            let mut tools: HashMap<Text8, Tool> = HashMap::new();
            // Readings by time, so that each is forgotten in its turn.
            let mut held: VecDeque<(u64, Text8)> = VecDeque::new();
            move |(input, frontier), output| {
                let Some(cap) = capability.as_mut() else { return };
                let mut arrived = vec![];
                input.for_each(|_, readings| arrived.append(readings));
                let Some(time) = frontier.frontier().first().copied() else {
                    capability = None;
                    return;
                };
                cap.downgrade(&time.max(*cap.time()));
                let limit = time.saturating_sub(COUNTS);
                let mut session = output.session(&*cap);
                let mut touch = |tools: &mut HashMap<Text8, Tool>, name: Text8| {
                    let Some((old, new)) = tools.get_mut(&name).and_then(|tool| tool.change(limit)) else { return };
                    old.into_iter().for_each(|peak| session.give((name, peak, -1)));
                    new.into_iter().for_each(|peak| session.give((name, peak, 1)));
                };
                for Reading { tool: name, seq, actual, at } in arrived {
                    let tool = tools.entry(name).or_insert_with(Tool::new);
                    tool.actual.push(at, actual);
                    tool.seq.push(at, seq);
                    held.push_back((at, name));
                    touch(&mut tools, name);
                }
                while let Some((_, name)) = held.pop_front_if(|(at, _)| *at <= limit) {
                    touch(&mut tools, name);
                }
            }
        })
        .container::<Vec<_>>()
}

/// What a last step gives out.
type NoOutput<'a> = OutputBuilderSession<'a, u64, CapacityContainerBuilder<Vec<()>>>;

fn publish(changes: StreamVec<'_, u64, (Text8, Peak, i8)>, client: Client) {
    changes.unary(Pipeline, "Publish", move |_, _| {
        move |input, _: &mut NoOutput<'_>| {
            input.for_each(|cap, changes| {
                let time = cap.least().copied().unwrap_or_default();
                for (tool, Peak { hottest, seq }, diff) in changes.drain(..) {
                    let payload = format!(
                        "{{\"tool\":\"{tool}\",\"hottest\":{hottest},\"seq\":{seq},\"_time\":{time},\"_diff\":{diff}}}"
                    );
                    if let Err(error) = client.publish(format!("{ALERTS}/{tool}"), QoS::AtLeastOnce, false, payload) {
                        eprintln!("an alert was not published: {error}");
                    }
                }
            });
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_greatest_is_that_of_the_readings_that_still_count(
            readings in prop::collection::vec((0u64..5, 0u8..20), 1..50), counts in 1u64..20,
        ) {
            let (mut time, mut all, mut sliding) = (100, vec![], Sliding::new());
            for (step, value) in readings {
                time += step;
                all.push((time, value));
                sliding.push(time, value);
                sliding.forget(time - counts);
                let greatest = all.iter().filter(|(at, _)| *at > time - counts).map(|(_, value)| *value).max();
                prop_assert_eq!(sliding.greatest(), greatest);
            }
        }
    }
}
