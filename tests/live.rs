//! An instance with a broker of its own: messages in, taps, SQL, metrics, edits, the end.

mod common;

use common::mqtt::publish;
use common::{Folder, Instance, get, http, text, wait_for};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::Stdio;

const SHOP: &str = r#"
pipeline: shop
sources:
  reading:
    mqtt: { topic: "shop/{tool}/temperature", qos: 1, format: json }
    schema: { tool: utf8, actual: float64 }
    key: [tool]
    retain: forever
operators:
  hot:
    sql: SELECT tool, actual FROM reading WHERE actual > 100
  faults:
    sql: SELECT stream, code FROM system.errors
sinks:
  kept: { from: hot, lineage: {} }
"#;

fn shop() -> Folder {
    Folder::with(&[("pipelines/shop.yaml", SHOP)])
}

fn rows_now(folder: &Folder, stream: &str, at: SocketAddr) -> Vec<Value> {
    let said = folder.fine(&["tap", stream, "--once", "--json", "--at", &at.to_string()]);
    said.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn wait_for_rows(folder: &Folder, stream: &str, at: SocketAddr, expected: &[Value]) {
    let mut last = vec![];
    let met = || {
        last = rows_now(folder, stream, at);
        (last == expected).then_some(())
    };
    wait_for(&format!("{stream} to hold {expected:?}"), met);
}

/// The broker keeps nothing for a subscriber that has not come yet.
fn wait_for_subscription(port: u16, folder: &Folder, at: SocketAddr) {
    wait_for("the source to be subscribed", || {
        publish(port, &[("shop/probe/temperature", r#"{"actual": 500}"#)]);
        rows_now(folder, "shop.hot", at).iter().any(|row| row["tool"] == "probe").then_some(())
    });
    publish(port, &[("shop/probe/temperature", r#"{"actual": 0}"#)]);
    wait_for_rows(folder, "shop.hot", at, &[]);
}

#[test]
fn a_message_is_seen_by_taps_sql_and_metrics() {
    let folder = shop();
    let (_instance, port, at) = Instance::with_broker(&folder, "pipelines");
    wait_for_subscription(port, &folder, at);
    publish(port, &[("shop/t0/temperature", r#"{"actual": 240.5}"#), ("shop/t1/temperature", r#"{"actual": 20}"#)]);
    wait_for_rows(&folder, "shop.hot", at, &[json!({ "_diff": 1, "tool": "t0", "actual": 240.5 })]);

    let at = at.to_string();
    let table = folder.fine(&["tap", "shop.hot", "--once", "--at", &at]);
    assert_eq!(table, "tool  actual\nt0     240.5\n1 row\n");
    let sql = folder.fine(&["sql", "SELECT tool, actual + 1 AS more FROM shop.hot", "--format", "csv", "--at", &at]);
    assert_eq!(sql, "tool,more\nt0,241.5\n");
    let top = folder.fine(&["top", "--once", "--at", &at]);
    assert!(top.contains("shop.reading") && top.contains("shop.hot"), "{top}");
    let (status, metrics) = get(at.parse().unwrap(), "/metrics");
    assert!(status == 200 && metrics.contains("shop.reading"), "{metrics}");
}

#[test]
fn a_tap_shows_changes_until_the_end() {
    let folder = shop();
    let (instance, port, at) = Instance::with_broker(&folder, "pipelines");
    wait_for_subscription(port, &folder, at);
    publish(port, &[("shop/t0/temperature", r#"{"actual": 240}"#)]);
    wait_for_rows(&folder, "shop.hot", at, &[json!({ "_diff": 1, "tool": "t0", "actual": 240.0 })]);
    let mut tap = folder.command(&["tap", "shop.hot", "--json", "--at", &at.to_string()]);
    let mut tap = tap.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut lines = BufReader::new(tap.stdout.take().unwrap())
        .lines()
        .map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap());
    assert_eq!(lines.next().unwrap(), json!({ "_diff": 1, "tool": "t0", "actual": 240.0 }));
    publish(port, &[("shop/t0/temperature", r#"{"actual": 90}"#)]);
    let gone = lines.next().unwrap();
    assert_eq!((&gone["_diff"], &gone["tool"]), (&json!(-1), &json!("t0")));
    assert!(gone["_time"].is_string());
    assert!(instance.terminate().success());
    assert!(lines.next().is_none());
    assert_eq!(tap.wait().unwrap().code(), Some(1));
}

#[test]
fn an_edit_counts_only_if_it_is_right() {
    let folder = shop();
    let (instance, port, at) = Instance::with_broker(&folder, "pipelines");
    wait_for_subscription(port, &folder, at);
    publish(port, &[("shop/t0/temperature", r#"{"actual": 150}"#), ("shop/t1/temperature", r#"{"actual": 250}"#)]);
    let (t0, t1) =
        (json!({ "_diff": 1, "tool": "t0", "actual": 150.0 }), json!({ "_diff": 1, "tool": "t1", "actual": 250.0 }));
    wait_for_rows(&folder, "shop.hot", at, &[t0.clone(), t1.clone()]);

    folder.write("pipelines/shop.yaml", &SHOP.replace("FROM reading", "FROM readin"));
    instance.wait_to_say("not reloaded");
    assert!(instance.said().contains("error[unknown_stream]"), "{}", instance.said());
    assert_eq!(rows_now(&folder, "shop.hot", at), [t0, t1.clone()]);

    // As editors save: a new file takes the old one's name.
    folder.write("pipelines/shop.yaml.new", &SHOP.replace("> 100", "> 200"));
    std::fs::rename(folder.path("pipelines/shop.yaml.new"), folder.path("pipelines/shop.yaml")).unwrap();
    instance.wait_to_say("\nreloaded the pipelines");
    wait_for_rows(&folder, "shop.hot", at, &[t1]);
}

#[test]
fn a_message_that_cannot_be_read_is_an_error_row() {
    let folder = shop();
    let (_instance, port, at) = Instance::with_broker(&folder, "pipelines");
    wait_for_subscription(port, &folder, at);
    publish(port, &[("shop/t0/temperature", "{nonsense"), ("shop/t1/temperature", r#"{"actual": "hot"}"#)]);
    let rows = wait_for("two error rows", || Some(rows_now(&folder, "shop.faults", at)).filter(|rows| rows.len() == 2));
    assert!(rows.iter().all(|row| row["stream"] == "shop.reading"), "{rows:?}");
    let mut codes: Vec<&str> = rows.iter().map(|row| row["code"].as_str().unwrap()).collect();
    codes.sort_unstable();
    assert_eq!(codes, ["json_syntax", "wrong_type"]);
    let top = folder.fine(&["top", "--once", "--at", &at.to_string()]);
    assert!(top.contains("json_syntax"), "{top}");
}

/// The codes of error rows, sorted.
fn codes(rows: &[Value]) -> Vec<&str> {
    let mut codes: Vec<&str> = rows.iter().map(|row| row["code"].as_str().unwrap()).collect();
    codes.sort_unstable();
    codes
}

#[test]
fn errors_outlive_an_edit_and_can_be_asked_for() {
    let failing = SHOP.replace("FROM reading WHERE", "FROM reading WHERE 100 / CAST(actual AS BIGINT) < 0 OR");
    let folder = Folder::with(&[("pipelines/shop.yaml", &failing)]);
    let (instance, port, at) = Instance::with_broker(&folder, "pipelines");
    wait_for_subscription(port, &folder, at);
    publish(port, &[("shop/t0/temperature", "{nonsense"), ("shop/t1/temperature", r#"{"actual": 0.5}"#)]);
    let both = |stream: &str| {
        wait_for("the errors", || {
            let rows = rows_now(&folder, stream, at);
            // The probe was at 0 as well.
            (codes(&rows) == ["divide_by_zero", "divide_by_zero", "json_syntax"]).then_some(())
        });
    };
    both("shop.faults");
    both("system.errors");
    let sql = "SELECT code, count(*) AS n FROM system.errors GROUP BY code ORDER BY code";
    let said = folder.fine(&["sql", sql, "--format", "csv", "--at", &at.to_string()]);
    assert_eq!(said, "code,n\ndivide_by_zero,2\njson_syntax,1\n");

    folder.write("pipelines/shop.yaml", &failing.replace("> 100", "> 200"));
    instance.wait_to_say("\nreloaded the pipelines");
    both("shop.faults");
    both("system.errors");

    // A row that can be computed takes the place of one that could not.
    publish(port, &[("shop/t1/temperature", r#"{"actual": 250}"#), ("shop/probe/temperature", r#"{"actual": 1}"#)]);
    wait_for("the errors to be taken back", || {
        (codes(&rows_now(&folder, "shop.faults", at)) == ["json_syntax"]).then_some(())
    });
    assert_eq!(codes(&rows_now(&folder, "system.errors", at)), ["json_syntax"]);

    let right = SHOP.replace("> 100", "> 300");
    publish(port, &[("shop/t1/temperature", r#"{"actual": 0}"#)]);
    wait_for("an error", || (rows_now(&folder, "shop.faults", at).len() == 2).then_some(()));
    folder.write("pipelines/shop.yaml", &right);
    wait_for("the query that cannot fail", || {
        (codes(&rows_now(&folder, "shop.faults", at)) == ["json_syntax"]).then_some(())
    });
    assert!(instance.terminate().success());
}

#[test]
fn what_was_recorded_can_be_asked_after_the_end() {
    let folder = shop();
    let (instance, port, at) = Instance::with_broker(&folder, "pipelines");
    wait_for_subscription(port, &folder, at);
    publish(port, &[("shop/t0/temperature", r#"{"actual": 240}"#)]);
    wait_for_rows(&folder, "shop.hot", at, &[json!({ "_diff": 1, "tool": "t0", "actual": 240.0 })]);
    assert!(instance.terminate().success());
    let query = "SELECT tool, _diff FROM lineage.shop.hot WHERE tool = 't0'";
    let said = folder.fine(&["sql", query, "--data", "data", "--format", "json", "--at", &at.to_string()]);
    assert_eq!(said, "{\"tool\":\"t0\",\"_diff\":1}\n");
}

#[test]
fn a_view_that_is_its_source_word_for_word_is_a_view() {
    let every = "pipeline: shop\nsources:\n  reading:\n    mqtt: { topic: 'shop/{tool}/temperature', qos: 1 }\n    \
                 schema: { tool: utf8, actual: float64 }\n    retain: forever\noperators:\n  \
                 hot: { sql: 'SELECT tool, actual FROM reading' }\n";
    let folder = Folder::with(&[("pipelines/shop.yaml", every)]);
    let (instance, port, at) = Instance::with_broker(&folder, "pipelines");
    wait_for("the row", || {
        publish(port, &[("shop/t0/temperature", r#"{"actual": 7}"#)]);
        let rows = rows_now(&folder, "shop.hot", at);
        rows.iter().any(|row| row["tool"] == "t0" && row["actual"] == json!(7.0)).then_some(())
    });
    let arguments = ["sql", "SELECT DISTINCT tool FROM shop.hot", "--format", "csv", "--at", &at.to_string()];
    assert_eq!(folder.fine(&arguments), "tool\nt0\n");
    assert!(instance.terminate().success());
}

#[test]
fn it_ends_gracefully_when_it_is_told_to() {
    let folder = shop();
    let (instance, ..) = Instance::with_broker(&folder, "pipelines");
    assert!(instance.terminate().success());
}

#[test]
fn a_taken_port_is_said_with_what_to_do() {
    let folder = shop();
    let (_instance, _, at) = Instance::with_broker(&folder, "pipelines");
    let output = folder.jarvis(&["run", "pipelines", "--listen", &at.to_string()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("--listen"), "{}", text(&output.stderr));
}

#[test]
fn requests_under_a_strange_name_are_refused() {
    let folder = shop();
    let (_instance, _, at) = Instance::with_broker(&folder, "pipelines");
    assert_eq!(get(at, "/healthz"), (200, "ok\n".to_owned()));
    let (status, _) = http(at, "GET /streams HTTP/1.0\r\nHost: evil.example\r\n\r\n");
    assert_eq!(status, 403);
    let (status, _) = http(
        at,
        &format!(
            "POST /sql HTTP/1.0\r\nHost: {at}\r\nOrigin: https://evil.example\r\nContent-Length: 8\r\n\r\nSELECT 1"
        ),
    );
    assert_eq!(status, 403);
}

#[test]
fn questions_that_have_no_answer_say_why() {
    let folder = shop();
    let (_instance, _, at) = Instance::with_broker(&folder, "pipelines");
    let at = at.to_string();
    let chain = format!("SELECT {}n FROM shop.hot", "n + ".repeat(20_000));
    for (arguments, hint) in [
        (vec!["sql", &chain, "--at", &at], "more than 400 operators"),
        (vec!["tap", "shop.hott", "--at", &at], "shop.hot"),
        (vec!["tap", "hot", "--at", &at], "PIPELINE.STREAM"),
        (vec!["sql", "SELECT nothing FROM shop.hot", "--at", &at], "nothing"),
        (vec!["sql", "DROP TABLE shop.hot", "--at", &at], "DDL"),
        (vec!["sql", "SELECT 1", "--at", "127.0.0.1:1"], "--data"),
        (vec!["tap", "shop.hot", "--at", "127.0.0.1:1"], "--at"),
    ] {
        let output = folder.jarvis(&arguments);
        let said = text(&output.stderr);
        assert!(
            output.status.code() == Some(1) && said.contains(hint) && !said.contains("panicked"),
            "{arguments:?}: {said}"
        );
    }
}
