//! A process that is killed at any moment loses nothing that it acknowledged, and tells nothing twice.

mod common;

use common::mqtt::{Mosquitto, Subscriber, publish};
use common::{Folder, Instance, text};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A count of everything, the newest row per key, alarms that come and go with rows and with the clock.
const SHOP: &str = r#"
pipeline: shop
sources:
  reading:
    mqtt: { topic: "shop/{tool}/reading" }
    schema: { tool: utf8, n: int64 }
    retain: forever
  state:
    mqtt: { topic: "shop/{tool}/state" }
    schema: { tool: utf8, hot: bool, n: int64 }
    key: [tool]
    retain: forever
  pulse:
    mqtt: { topic: "shop/{tool}/pulse" }
    schema: { tool: utf8, at: timestamp }
    time: at
    retain: 400ms
operators:
  alive: { sql: "SELECT tool FROM pulse WHERE at > now() - INTERVAL '200 milliseconds' GROUP BY tool" }
  totals: { sql: "SELECT tool, count(*) AS n, sum(n) AS total FROM reading GROUP BY tool" }
  hot: { sql: "SELECT tool FROM state WHERE hot" }
  each: { sql: "SELECT tool, n FROM reading" }
sinks:
  alarms: { from: hot, mqtt: { topic: "out/alarm/{tool}", as: events, clear: true } }
  living: { from: alive, mqtt: { topic: "out/alive/{tool}", as: events, clear: true } }
  pulses: { from: alive, mqtt: { topic: "out/pulse/{tool}", as: state, key: [tool] } }
  told: { from: totals, mqtt: { topic: "out/total/{tool}", as: state, key: [tool] } }
  kept: { from: each, lineage: {} }
"#;

fn run(folder: &Folder, broker: &Mosquitto) -> Instance {
    let options = ["--listen", "127.0.0.1:0", "--data", "data", "--checkpoint", "100ms", "--compact", "20000"];
    let mut command = folder.command(&[&["run", "pipelines"][..], &options].concat());
    command.env("JARVIS_MQTT", broker.url());
    Instance::run(command)
}

fn rows(folder: &Folder, instance: &Instance, view: &str) -> BTreeSet<String> {
    let said = folder.fine(&["tap", view, "--once", "--json", "--at", &instance.address().to_string()]);
    said.lines().map(|line| line.replace("\"_diff\":1,", "")).collect()
}

/// Waits until a view is what it should be; says how it differs if it stays otherwise.
fn settles(expected: &BTreeSet<String>, view: impl Fn() -> BTreeSet<String>) {
    let begun = Instant::now();
    while view() != *expected && begun.elapsed() < Duration::from_secs(20) {
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(view(), *expected);
}

#[test]
fn nothing_acknowledged_is_lost_and_nothing_told_twice() {
    let kills: u64 = std::env::var("CRASH_KILLS").ok().and_then(|k| k.parse().ok()).unwrap_or(100);
    let mut random = Random(std::env::var("CRASH_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(1));
    let folder = Folder::with(&[("pipelines/shop.yaml", SHOP)]);
    let broker = Mosquitto::start(&folder);
    let alarms = Subscriber::start(broker.port, "out/#");
    let stopped = AtomicBool::new(false);
    let (instance, expected) = std::thread::scope(|scope| {
        let mut instance = run(&folder, &broker);
        instance.address();
        broker.wait_for_subscriptions(3);
        let publishing = scope.spawn(|| {
            let (mut n, mut totals, mut hot) = (0_i64, BTreeMap::<String, (i64, i64)>::new(), BTreeMap::new());
            while !stopped.load(Ordering::SeqCst) {
                let mut some = vec![];
                for _ in 0..50 {
                    let tool = format!("t{}", n % 7);
                    let (count, total) = totals.entry(tool.clone()).or_default();
                    // Contents repeat, so that a message is not known by its content.
                    (*count, *total) = (*count + 1, *total + n % 10);
                    some.push((format!("shop/{tool}/reading"), format!("{{\"n\":{}}}", n % 10)));
                    if n % 5 == 0 {
                        let is_hot = n % 3 == 0;
                        hot.insert(tool.clone(), is_hot);
                        some.push((format!("shop/{tool}/state"), format!("{{\"hot\":{is_hot},\"n\":{n}}}")));
                    }
                    n += 1;
                }
                // One tool after the other is alive for a while.
                let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
                some.push((format!("shop/t{}/pulse", now / 700 % 3), format!("{{\"at\":{now}}}")));
                publish(broker.port, &some);
            }
            let totals =
                totals.into_iter().map(|(t, (n, total))| format!("{{\"tool\":\"{t}\",\"n\":{n},\"total\":{total}}}"));
            let hot = hot.into_iter().filter(|(_, hot)| *hot).map(|(t, _)| format!("{{\"tool\":\"{t}\"}}"));
            (totals.collect::<BTreeSet<_>>(), hot.collect::<BTreeSet<_>>())
        });
        for _ in 0..kills {
            std::thread::sleep(Duration::from_millis(random.next() % 700));
            instance.signal("-KILL");
            instance.end();
            instance = run(&folder, &broker);
        }
        stopped.store(true, Ordering::SeqCst);
        (instance, publishing.join().unwrap())
    });
    settles(&expected.0, || rows(&folder, &instance, "shop.totals"));
    settles(&expected.1, || rows(&folder, &instance, "shop.hot"));
    settles(&BTreeSet::new(), || rows(&folder, &instance, "shop.alive"));
    assert!(instance.terminate().success());

    // It was killed while it made the log smaller, too.
    let files =
        std::fs::read_dir(folder.path("data/log")).unwrap().map(|f| f.unwrap().file_name().into_string().unwrap());
    let files: Vec<String> = files.collect();
    assert!(files.iter().any(|f| f.starts_with("checkpoint-")), "{files:?}");
    // The same ids may come again, with the same content: a subscriber that keeps ids sees each event once.
    let mut events: BTreeMap<String, Value> = BTreeMap::new();
    let mut order: BTreeMap<String, Vec<bool>> = BTreeMap::new();
    for (topic, payload) in alarms.messages() {
        let Some(about) = topic.strip_prefix("out/") else { continue };
        if !about.starts_with("alarm/") && !about.starts_with("alive/") {
            continue;
        }
        let event: Value = serde_json::from_str(&payload).unwrap();
        let id = event["id"].as_str().unwrap_or_else(|| panic!("{payload}")).to_owned();
        match events.insert(id, event.clone()) {
            Some(before) => assert_eq!(before, event),
            None => order.entry(about.to_owned()).or_default().push(event["event"] == "raised"),
        }
    }
    assert!(!events.is_empty());
    // The past once more, on one worker and on two: the very same decisions.
    let mut command = folder.command(&["replay", "pipelines", "--data", "data", "--format", "json"]);
    let once = command.env("JARVIS_MQTT", broker.url()).output().unwrap();
    let twice = command.args(["--workers", "2"]).output().unwrap();
    assert!(once.status.success(), "{}", text(&once.stderr));
    assert!(once.stdout == twice.stdout, "two workers decide otherwise");
    let decided = text(&once.stdout);
    let decided = decided.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let decided: BTreeSet<String> = decided
        .filter(|d| d["sink"] == "shop.alarms" || d["sink"] == "shop.living")
        .map(|d| d["id"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(decided, events.keys().cloned().collect::<BTreeSet<_>>());
    // What was told is kept, each event once; and the whole history is what was signed.
    let sql = "SELECT id FROM lineage.system.decisions WHERE sink IN ('shop.alarms', 'shop.living')";
    let kept = folder.fine(&["sql", sql, "--data", "data", "--format", "csv", "--at", "127.0.0.1:1"]);
    let mut kept: Vec<String> = kept.lines().skip(1).map(str::to_owned).collect();
    kept.sort();
    assert_eq!(kept, events.keys().cloned().collect::<Vec<_>>());
    folder.fine(&["lineage", "verify", "--data", "data"]);
    for (about, raised) in order {
        // Raised and cleared take turns: nothing is left out, nothing is told under another id.
        assert!(raised.iter().enumerate().all(|(i, raised)| *raised == (i % 2 == 0)), "{about}: {raised:?}");
        let is_hot = |tool: &str| expected.1.iter().any(|row| row.contains(tool));
        let stands = about.strip_prefix("alarm/").is_some_and(is_hot);
        assert_eq!(raised.last() == Some(&true), stands, "{about}");
    }
    // The last word on each topic is the last state: nobody is alive any more.
    let mut states: BTreeMap<String, String> = BTreeMap::new();
    states.extend(alarms.messages().into_iter().filter(|(topic, _)| topic.starts_with("out/pulse/")));
    assert!(!states.is_empty() && states.values().all(String::is_empty), "{states:?}");
    // The lineage holds each row once, of the view as of what came in.
    let count = |table: &str| {
        let sql = format!("SELECT sum(_diff) AS n FROM lineage.shop.{table}");
        let said = folder.fine(&["sql", &sql, "--data", "data", "--format", "json", "--at", "127.0.0.1:1"]);
        serde_json::from_str::<Value>(&said).unwrap()["n"].clone()
    };
    let published: i64 =
        expected.0.iter().map(|row| serde_json::from_str::<Value>(row).unwrap()["n"].as_i64().unwrap()).sum();
    assert!(folder.path("data/inputs/shop/reading").is_dir(), "nothing is in the archive");
    assert_eq!((count("each"), count("reading")), (published.into(), published.into()));
}

/// Numbers that are the same for one seed (splitmix64, Steele et al. 2014).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}
