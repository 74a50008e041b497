//! Being told to stop while there is much to do: in good order, soon, and without losing anything in silence.

mod common;

use common::mqtt::{Mosquitto, publish};
use common::{Folder, Instance, get, wait_for};
use serde_json::Value;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const SHOP: &str = r#"
pipeline: shop
sources:
  reading:
    mqtt: { topic: "shop/{tool}/reading" }
    schema: { tool: utf8, n: int64 }
    retain: forever
operators:
  all: { sql: "SELECT tool, n FROM reading" }
  newest: { sql: "SELECT count(*) AS n, max(n) AS newest FROM reading" }
sinks:
  kept: { from: all, lineage: {} }
"#;

/// Messages that are published at least.
const LOAD: usize = 20_000;
/// What the broker sends at most before it is acknowledged.
const IN_FLIGHT: u64 = 100;
/// More than may wait for the dataflow.
const ASKERS: usize = 80;

fn run(folder: &Folder, broker: &Mosquitto) -> Instance {
    let mut command = folder.command(&["run", "pipelines", "--listen", "127.0.0.1:0", "--data", "data"]);
    command.env("JARVIS_MQTT", broker.url());
    Instance::run(command)
}

/// The newest message that the view holds.
fn newest(folder: &Folder, instance: &Instance) -> Option<u64> {
    let said = folder.fine(&["tap", "shop.newest", "--once", "--json", "--at", &instance.address().to_string()]);
    serde_json::from_str::<Value>(said.lines().next()?).unwrap()["newest"].as_u64()
}

/// Rows in the lineage, and how many different ones.
fn recorded(folder: &Folder) -> (u64, u64) {
    let sql = "SELECT count(*) AS n, count(DISTINCT n) AS ids FROM lineage.shop.all";
    let said = folder.fine(&["sql", sql, "--data", "data", "--format", "json", "--at", "127.0.0.1:1"]);
    let row: Value = serde_json::from_str(&said).unwrap();
    (row["n"].as_u64().unwrap(), row["ids"].as_u64().unwrap())
}

#[test]
fn what_was_acknowledged_is_kept_and_the_rest_comes_again() {
    let folder = Folder::with(&[("pipelines/shop.yaml", SHOP)]);
    let broker = Mosquitto::start(&folder);
    let stopped = AtomicBool::new(false);
    let (published, kept) = std::thread::scope(|scope| {
        let instance = run(&folder, &broker);
        broker.wait_for_subscriptions(1);
        let publishing = scope.spawn(|| {
            let mut next = 0;
            // As long as the process has not ended it is under load.
            while next < LOAD || !stopped.load(Ordering::SeqCst) {
                let some: Vec<_> = (next..next + 500).map(|n| ("shop/t0/reading", format!("{{\"n\":{n}}}"))).collect();
                publish(broker.port, &some);
                next += 500;
            }
            next as u64
        });
        wait_for("some rows", || newest(&folder, &instance).filter(|newest| *newest > 0));
        let ended = instance.terminate();
        let kept = recorded(&folder);
        stopped.store(true, Ordering::SeqCst);
        assert!(ended.success(), "{ended}");
        (publishing.join().unwrap(), kept)
    });
    assert!(broker.log().contains("Received DISCONNECT from jarvis"), "it went without a word");
    assert!(kept.0 > 0 && kept.1 < published, "{kept:?} of {published}");

    let instance = run(&folder, &broker);
    wait_for("the last message", || newest(&folder, &instance).filter(|newest| newest + 1 == published));
    assert!(instance.terminate().success());
    let (rows, ids) = recorded(&folder);
    assert_eq!(ids, published, "a message is missing");
    assert!(rows - ids <= IN_FLIGHT, "{} messages were taken twice", rows - ids);
}

/// A sink that takes nothing.
const STALLED: &str = r#"
pipeline: shop
sources:
  beat: { timer: { every: 1ms }, schema: { at: timestamp, n: int64 }, retain: 1s }
sinks:
  away: { from: beat, mqtt: { broker: "mqtt://127.0.0.1:1", topic: jarvis/beat, as: events } }
"#;

/// An instance whose dataflow waits for its sink.
fn stalled(folder: &Folder) -> Instance {
    let instance = Instance::start(folder, &["run", "pipelines", "--listen", "127.0.0.1:0"]);
    instance.wait_to_say("broker is away");
    // By then the queue of the sink is full.
    std::thread::sleep(Duration::from_secs(3));
    instance
}

#[test]
fn a_sink_that_takes_nothing_keeps_nobody_from_stopping() {
    let folder = Folder::with(&[("pipelines/shop.yaml", STALLED)]);
    let instance = stalled(&folder);
    let at = instance.address();
    std::thread::scope(|scope| {
        let askers: Vec<_> = (0..ASKERS).map(|_| scope.spawn(move || get(at, "/healthz"))).collect();
        // By then they all wait.
        std::thread::sleep(Duration::from_secs(1));
        instance.signal("-TERM");
        let (status, said) = instance.end();
        assert_eq!(status.code(), Some(1), "{said}");
        assert!(said.contains("error: the sink shop.away did not finish within 10s"), "{said}");
        assert!(!said.contains("panicked"), "{said}");
        for asker in askers {
            let (status, answer) = asker.join().unwrap();
            assert_eq!(status, 503, "{answer}");
        }
    });
}

#[test]
fn the_second_time_stops_at_once() {
    let folder = Folder::with(&[("pipelines/shop.yaml", STALLED)]);
    let instance = stalled(&folder);
    instance.signal("-TERM");
    instance.wait_to_say("once more stops at once");
    instance.signal("-TERM");
    let (status, said) = instance.end();
    assert_eq!(status.code(), Some(130), "{said}");
}
