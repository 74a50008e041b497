//! Whatever devices send: each message is a row or an error row, and the process goes on.

mod common;

use common::mqtt::{Mosquitto, publish};
use common::{Folder, Instance, wait_for};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{SystemTime, UNIX_EPOCH};

const SHOP: &str = r#"
pipeline: shop
sources:
  reading:
    mqtt: { topic: "shop/{tool}/reading", format: json }
    schema: { tool: utf8, n: int64, actual: float64, note: utf8?, at: timestamp }
    time: at
    retain: forever
operators:
  counted:
    sql: SELECT count(*) AS n, count(DISTINCT n) AS ids, sum(n) AS total FROM reading
  numbers:
    sql: SELECT n, CAST(note AS BIGINT) AS number FROM reading WHERE note IS NOT NULL
  faults:
    sql: SELECT code, count(*) AS n FROM system.errors GROUP BY code
sinks:
  told: { from: system.errors, file: { path: ../faults.jsonl, as: changes } }
"#;

/// The longest payload unless the options say otherwise, bytes.
const LIMIT: usize = 64 * 1024;
const TOOLS: usize = 4;
const ROUNDS: usize = 60;

fn run(folder: &Folder, broker: &Mosquitto) -> (Instance, SocketAddr) {
    let mut command = folder.command(&["run", "pipelines", "--listen", "127.0.0.1:0"]);
    command.env("JARVIS_MQTT", broker.url());
    let instance = Instance::run(command);
    let at = instance.address();
    broker.wait_for_subscriptions(1);
    (instance, at)
}

fn rows(folder: &Folder, stream: &str, at: SocketAddr) -> Vec<Value> {
    let said = folder.fine(&["tap", stream, "--once", "--json", "--at", &at.to_string()]);
    said.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn now_ms() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()
}

/// A payload of exactly so many bytes that is as good as any.
fn padded(n: usize, bytes: usize) -> Vec<u8> {
    let good = format!(r#"{{"n":{n},"actual":20.5,"at":{}}}"#, now_ms());
    format!("{good}{}", " ".repeat(bytes - good.len())).into_bytes()
}

fn good(n: usize) -> Vec<Vec<u8>> {
    let at = now_ms();
    vec![
        format!(r#"{{"n":{n},"actual":20.5,"at":{at}}}"#).into_bytes(),
        format!(r#"{{"extra":{{"a":[1,{{"b":null}}]}},"n":{n},"actual":-1e-3,"at":{at},"more":"x"}}"#).into_bytes(),
        format!(r#"{{"n":{n},"actual":0,"note":null,"at":{}}}"#, at - 86_400_000).into_bytes(),
    ]
}

/// Payloads that no row comes of, each with the code of its error.
fn bad() -> Vec<(&'static str, Vec<u8>)> {
    let at = now_ms();
    let with = |actual: &str, at: &str| format!(r#"{{"n":1,"actual":{actual},"at":{at}}}"#).into_bytes();
    let now = at.to_string();
    vec![
        ("json_syntax", b"{nonsense".to_vec()),
        ("json_syntax", with("1", "1")[..20].to_vec()),
        ("json_syntax", b"{".repeat(5_000)),
        ("wrong_type", b"[1, 2]".to_vec()),
        ("wrong_type", with("\"hot\"", &now)),
        ("wrong_type", with("[20.5]", &now)),
        ("missing_field", format!(r#"{{"n":1,"at":{at}}}"#).into_bytes()),
        ("missing_field", with("null", &now)),
        ("invalid_utf8", b"{\"n\":1,\"actual\":1,\"note\":\"\xff\xfe\"}".to_vec()),
        ("not_finite", with("NaN", &now)),
        ("not_finite", with("-Infinity", &now)),
        ("not_finite", with("\"inf\"", &now)),
        ("out_of_range", with("1e999", &now)),
        ("out_of_range", format!(r#"{{"n":9223372036854775808,"actual":1,"at":{at}}}"#).into_bytes()),
        ("out_of_range", with("1", "253402300800000")),
        ("empty_payload", vec![]),
        ("no_event_time", with("1", "\"1900-01-01T00:00:00Z\"")),
        ("no_event_time", with("1", "-1")),
        ("out_of_range", with("1", "\"9999-12-31T23:59:59Z\"")),
        ("future", with("1", "\"9999-12-30T12:00:00Z\"")),
        // A step finds this one out: it is a row, but none of the view.
        ("cast", format!(r#"{{"n":0,"actual":1,"note":"no number","at":{at}}}"#).into_bytes()),
    ]
}

#[test]
fn every_bad_message_is_an_error_row_and_every_good_one_counts() {
    let folder = Folder::with(&[("pipelines/shop.yaml", SHOP)]);
    let broker = Mosquitto::start(&folder);
    let (instance, at) = run(&folder, &broker);
    std::thread::scope(|scope| {
        for tool in 0..TOOLS {
            let port = broker.port;
            scope.spawn(move || {
                for round in 0..ROUNDS {
                    let n = tool * ROUNDS + round;
                    let mut payloads = good(n);
                    payloads.splice(1..1, bad().into_iter().map(|(_, payload)| payload));
                    if round % 10 == 0 {
                        payloads.insert(2, padded(n, LIMIT + 1));
                        payloads.insert(5, padded(n, LIMIT));
                    }
                    let topic = format!("shop/t{tool}/reading");
                    publish(port, &payloads.iter().map(|payload| (&topic, payload)).collect::<Vec<_>>());
                }
            });
        }
    });
    let rounds = TOOLS * ROUNDS;
    let full = rounds / 10;
    let mut expected: BTreeMap<String, i64> = BTreeMap::from([("too_large".to_owned(), full as i64)]);
    for (code, _) in bad() {
        *expected.entry(code.to_owned()).or_default() += rounds as i64;
    }
    // The rows that only a step refuses count as well.
    let counted = json!({
        "_diff": 1,
        "n": 3 * rounds + full + rounds,
        "ids": rounds,
        "total": 3 * (rounds * (rounds - 1) / 2) + (0..rounds).filter(|n| (n % ROUNDS).is_multiple_of(10)).sum::<usize>(),
    });
    let mut last = (vec![], BTreeMap::new());
    wait_for("all rows and errors", || {
        let faults = rows(&folder, "shop.faults", at);
        let faults = faults.iter().map(|row| (row["code"].as_str().unwrap().to_owned(), row["n"].as_i64().unwrap()));
        last = (rows(&folder, "shop.counted", at), faults.collect());
        println!("{last:?}");
        (last.0 == [counted.clone()] && last.1 == expected).then_some(())
    });
    assert_eq!(rows(&folder, "shop.numbers", at), [] as [Value; 0]);
    assert!(instance.terminate().success());

    let mut told: BTreeMap<String, i64> = BTreeMap::new();
    for line in folder.read("faults.jsonl").lines() {
        let row: Value = serde_json::from_str(line).unwrap();
        let code = row["code"].as_str().unwrap();
        *told.entry(code.to_owned()).or_default() += row["_diff"].as_i64().unwrap();
        assert!(!row["message"].as_str().unwrap().is_empty(), "{row}");
        assert_eq!(row["input"].as_str().unwrap().is_empty(), code == "empty_payload", "{row}");
        assert!(row["input"].as_str().unwrap().len() <= 1200, "{row}");
        assert!(row["stream"].as_str().unwrap().starts_with("shop."), "{row}");
    }
    assert_eq!(told, expected);
}

#[test]
fn a_view_of_the_errors_that_fails_itself_does_not_go_on_for_ever() {
    let numbers = "SELECT CAST(code AS BIGINT) AS n FROM system.errors";
    let folder = Folder::with(&[(
        "pipelines/shop.yaml",
        &SHOP.replace(
            "sinks:",
            &format!("  loop:\n    sql: {numbers}\n  after:\n    sql: SELECT 1 / n AS n FROM loop\nsinks:"),
        ),
    )]);
    let broker = Mosquitto::start(&folder);
    let (instance, at) = run(&folder, &broker);
    publish(broker.port, &[("shop/t0/reading", "{nonsense")]);
    instance.wait_to_say("a view of system.errors failed: Cannot cast string 'json_syntax'");
    let one = [json!({ "_diff": 1, "code": "json_syntax", "n": 1 })];
    wait_for("the one error", || (rows(&folder, "shop.faults", at) == one).then_some(()));
    assert!(instance.terminate().success());
    assert_eq!(folder.read("faults.jsonl").lines().count(), 1);
}

#[test]
fn errors_of_the_last_moment_are_told_before_the_end() {
    let folder = Folder::with(&[("pipelines/shop.yaml", SHOP)]);
    let broker = Mosquitto::start(&folder);
    let (instance, _) = run(&folder, &broker);
    let count = 2_000;
    publish(broker.port, &vec![("shop/t0/reading", "{nonsense"); count]);
    // All of them have reached the broker, and whatever jarvis took of them it must tell; the rest comes again.
    assert!(instance.terminate().success());
    // Errors of one tick that are the same are one row with a weight.
    let weight = |line: &str| serde_json::from_str::<Value>(line).unwrap()["_diff"].as_u64().unwrap();
    let told = folder.read("faults.jsonl").lines().map(weight).sum::<u64>() as usize;
    let acknowledged = broker.log().matches("Received PUBACK from jarvis").count();
    assert!(acknowledged <= told, "{acknowledged} were acknowledged, and {told} told");
}

#[test]
fn ten_thousand_topics_are_as_many_keys() {
    let shop = r#"
pipeline: storm
sources:
  reading:
    mqtt: { topic: "storm/{device}/#" }
    schema: { device: utf8, v: int64 }
    key: [device]
    retain: forever
operators:
  counted: { sql: "SELECT count(*) AS n, sum(v) AS total FROM reading" }
  faults: { sql: "SELECT code, count(*) AS n FROM system.errors GROUP BY code" }
"#;
    let folder = Folder::with(&[("pipelines/storm.yaml", shop)]);
    let (instance, port, at) = Instance::with_broker(&folder, "pipelines");
    // The broker keeps nothing for a subscriber that has not come yet.
    wait_for("the source to be subscribed", || {
        publish(port, &[("storm/d0/probe", r#"{"v": 0}"#)]);
        rows(&folder, "storm.counted", at).iter().any(|row| row["n"] == 1).then_some(())
    });
    let count = 10_000;
    let mut messages: Vec<(String, String)> = Vec::new();
    for device in 0..count {
        messages.push((format!("storm/d{device}/room{}/v", device % 7), format!(r#"{{"v": {device}}}"#)));
        if device % 10 == 0 {
            messages.push((format!("storm/bad{device}/x"), "{".to_owned()));
            messages.push((format!("elsewhere/d{device}"), r#"{"v": 1}"#.to_owned()));
        }
    }
    for some in messages.chunks(1_000) {
        publish(port, some);
    }
    let counted = [json!({ "_diff": 1, "n": count, "total": count * (count - 1) / 2 })];
    let faults = [json!({ "_diff": 1, "code": "json_syntax", "n": count / 10 })];
    wait_for("every device", || (rows(&folder, "storm.counted", at) == counted).then_some(()));
    wait_for("every error", || (rows(&folder, "storm.faults", at) == faults).then_some(()));
    assert!(instance.terminate().success());
}
