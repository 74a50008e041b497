//! Going on after a stop: what has changed meanwhile is told, and nothing else.

mod common;

use common::mqtt::{Mosquitto, Subscriber, publish};
use common::{Folder, Instance, text, wait_for};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

const SHOP: &str = r#"
pipeline: shop
sources:
  state:
    mqtt: { topic: "shop/{tool}/state" }
    schema: { tool: utf8, heat: int64 }
    key: [tool]
    retain: forever
  limits:
    table: { path: limits.csv, watch: WATCH }
    schema: { tool: utf8, most: int64 }
    key: [tool]
    retain: forever
operators:
  hot: { sql: "SELECT state.tool FROM state JOIN limits ON state.tool = limits.tool WHERE heat > most" }
sinks:
  alarms: { from: hot, mqtt: { topic: "out/{tool}", as: events, clear: true } }
"#;

fn run(folder: &Folder, broker: &Mosquitto) -> Instance {
    run_with(folder, broker, &[])
}

fn run_with(folder: &Folder, broker: &Mosquitto, more: &[&str]) -> Instance {
    let arguments = ["run", "pipelines", "--listen", "127.0.0.1:0", "--data", "data"];
    let mut command = folder.command(&[&arguments[..], more].concat());
    command.env("JARVIS_MQTT", broker.url());
    let instance = Instance::run(command);
    instance.address();
    instance
}

/// What was told, as `raised t0`.
fn told(alarms: &Subscriber) -> Vec<String> {
    let event = |(topic, payload): (String, String)| {
        let event: Value = serde_json::from_str(&payload).unwrap();
        format!("{} {}", event["event"].as_str().unwrap(), topic.trim_start_matches("out/"))
    };
    alarms.messages().into_iter().map(event).collect()
}

fn wait_until_told(alarms: &Subscriber, expected: &[&str]) {
    wait_for(&format!("{expected:?}"), || (told(alarms).len() >= expected.len()).then_some(()));
    let mut all = told(alarms);
    all.sort();
    let mut expected = expected.to_vec();
    expected.sort_unstable();
    assert_eq!(all, expected);
}

/// Lets the log grow, and be made smaller.
fn pass_time(broker: &Mosquitto) {
    for n in 0..20 {
        heat(broker, &[("elsewhere", n)]);
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn heat(broker: &Mosquitto, tools: &[(&str, i64)]) {
    let messages: Vec<_> =
        tools.iter().map(|(tool, heat)| (format!("shop/{tool}/state"), format!("{{\"heat\":{heat}}}"))).collect();
    publish(broker.port, &messages);
}

#[test]
fn a_table_that_was_edited_meanwhile_is_taken_over() {
    for watch in ["true", "false"] {
        let folder = Folder::with(&[
            ("pipelines/shop.yaml", &SHOP.replace("WATCH", watch)),
            ("pipelines/limits.csv", "tool,most\nt0,5\nt1,5\nt2,5\n"),
        ]);
        let broker = Mosquitto::start(&folder);
        let alarms = Subscriber::start(broker.port, "out/#");
        let instance = run(&folder, &broker);
        broker.wait_for_subscriptions(1);
        heat(&broker, &[("t0", 9), ("t1", 9), ("t2", 3)]);
        wait_until_told(&alarms, &["raised t0", "raised t1"]);
        assert!(instance.terminate().success());
        // t0 as before, t1 gone, t2 with a lower limit.
        folder.write("pipelines/limits.csv", "tool,most\nt0,5\nt2,1\n");
        let instance = run(&folder, &broker);
        wait_until_told(&alarms, &["raised t0", "raised t1", "cleared t1", "raised t2"]);
        // A row of before the restart is known by its key.
        heat(&broker, &[("t0", 1)]);
        wait_until_told(&alarms, &["raised t0", "raised t1", "cleared t1", "raised t2", "cleared t0"]);
        assert!(instance.terminate().success());
    }
}

#[test]
fn a_pipeline_that_was_edited_meanwhile_tells_the_difference() {
    let folder = Folder::with(&[
        ("pipelines/shop.yaml", &SHOP.replace("WATCH", "false")),
        ("pipelines/limits.csv", "tool,most\nt0,5\nt1,5\nt2,5\nt3,5\n"),
    ]);
    let broker = Mosquitto::start(&folder);
    let alarms = Subscriber::start(broker.port, "out/#");
    let instance = run(&folder, &broker);
    broker.wait_for_subscriptions(1);
    heat(&broker, &[("t0", 9), ("t1", 6), ("t2", 3), ("t3", 7)]);
    wait_until_told(&alarms, &["raised t0", "raised t1", "raised t3"]);
    assert!(instance.terminate().success());
    let edited = SHOP.replace("WATCH", "false").replace("heat > most", "heat > most + 1 OR heat < 4");
    folder.write("pipelines/shop.yaml", &edited);
    let instance = run(&folder, &broker);
    wait_until_told(&alarms, &["raised t0", "raised t1", "raised t3", "cleared t1", "raised t2"]);
    assert!(instance.terminate().success());
}

#[test]
fn a_pipeline_that_was_edited_after_a_kill_tells_the_difference_and_nothing_else() {
    let folder = Folder::with(&[
        ("pipelines/shop.yaml", &SHOP.replace("WATCH", "false")),
        ("pipelines/limits.csv", "tool,most\nt0,5\nt1,5\nt2,5\n"),
    ]);
    let broker = Mosquitto::start(&folder);
    let alarms = Subscriber::start(broker.port, "out/#");
    let instance = run(&folder, &broker);
    broker.wait_for_subscriptions(1);
    heat(&broker, &[("t0", 9), ("t1", 4)]);
    wait_until_told(&alarms, &["raised t0"]);
    // It takes note of what it has told.
    std::thread::sleep(Duration::from_millis(300));
    instance.signal("-KILL");
    instance.end();
    folder.write("pipelines/shop.yaml", &SHOP.replace("WATCH", "false").replace("heat > most", "heat > most - 2"));
    let instance = run(&folder, &broker);
    wait_until_told(&alarms, &["raised t0", "raised t1"]);
    assert!(instance.terminate().success());
    // Nothing was told again.
    wait_until_told(&alarms, &["raised t0", "raised t1"]);
}

#[test]
fn the_past_is_run_again_as_it_ran_edits_included() {
    let shop = |condition: &str| SHOP.replace("WATCH", "false").replace("heat > most", condition);
    let folder = Folder::with(&[
        ("pipelines/shop.yaml", &shop("heat > most")),
        ("pipelines/limits.csv", "tool,most\nt0,5\nt1,5\nt2,5\n"),
    ]);
    let broker = Mosquitto::start(&folder);
    let alarms = Subscriber::start(broker.port, "out/#");
    let instance = run_with(&folder, &broker, &["--checkpoint", "20ms", "--compact", "2000"]);
    broker.wait_for_subscriptions(1);
    heat(&broker, &[("t0", 9), ("t1", 4)]);
    let mut expected = vec!["raised t0"];
    wait_until_told(&alarms, &expected);
    pass_time(&broker);
    folder.write("pipelines/shop.yaml", &shop("heat > most - 2"));
    expected.push("raised t1");
    wait_until_told(&alarms, &expected);
    pass_time(&broker);
    heat(&broker, &[("t2", 4)]);
    expected.push("raised t2");
    wait_until_told(&alarms, &expected);
    pass_time(&broker);
    // So that the log knows what was delivered.
    std::thread::sleep(Duration::from_millis(300));
    instance.signal("-KILL");
    instance.end();
    // A sink by another name, too: it knows nothing yet.
    folder.write("pipelines/shop.yaml", &shop("heat > most + 1").replace("alarms:", "alarms_again:"));
    let instance = run_with(&folder, &broker, &["--checkpoint", "20ms", "--compact", "2000"]);
    expected.push("raised t0");
    wait_until_told(&alarms, &expected);
    pass_time(&broker);
    folder.write("pipelines/shop.yaml", &shop("heat > most - 2"));
    expected.extend(["raised t0", "raised t1", "raised t2"]);
    wait_until_told(&alarms, &expected);
    pass_time(&broker);
    assert!(instance.terminate().success());

    let of = |event: &Value, name: &str| event[name].as_str().unwrap().to_owned();
    let told: BTreeSet<(String, String)> = alarms
        .messages()
        .iter()
        .map(|(_, event)| serde_json::from_str::<Value>(event).unwrap())
        .map(|event| (of(&event, "id"), of(&event, "event")))
        .collect();
    // As it ran, whatever the files say now, and whether or not they are there.
    folder.write("pipelines/shop.yaml", "nothing like a pipeline");
    for workers in ["1", "2"] {
        let said = folder.fine(&["replay", "pipelines", "--data", "data", "--format", "json", "--workers", workers]);
        let decided: Vec<(String, String)> = said
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap())
            .map(|decision| (of(&decision, "id"), of(&decision, "what")))
            .collect();
        assert_eq!(decided.len(), expected.len(), "{said}");
        assert_eq!(decided.into_iter().collect::<BTreeSet<_>>(), told, "{said}");
    }
    // From wherever it is begun, and whatever the log held then.
    let bases = fs::read_dir(folder.path("data/bases")).unwrap().count();
    assert!(bases > 1, "the log was not made smaller");
    let replay =
        |more: &[&str]| folder.fine(&[&["replay", "pipelines", "--data", "data", "--format", "json"], more].concat());
    let whole = replay(&[]);
    for (n, decision) in whole.lines().enumerate() {
        let decision: Value = serde_json::from_str(decision).unwrap();
        let since = replay(&["--from", decision["time"].as_str().unwrap()]);
        let rest: Vec<&str> = whole.lines().collect();
        assert!(rest[n..].iter().all(|decision| since.contains(decision)), "{since}");
        assert!(since.lines().all(|decision| rest.contains(&decision)), "{since}");
    }
    for (id, _) in &told {
        let tree = folder.fine(&["explain", id, "--data", "data", "pipelines"]);
        assert!(tree.contains("shop.state (source, entered "), "{tree}");
    }
}

#[test]
fn a_source_that_is_edited_while_it_runs_does_not_count_twice() {
    let counted = SHOP.replace("    key: [tool]\n    retain: forever\noperators", "    retain: forever\noperators");
    let counted = counted.replace(
        "operators:\n",
        "operators:\n  lines: { sql: \"SELECT tool, count(*) AS n FROM limits GROUP BY tool\" }\n",
    );
    let folder = Folder::with(&[
        ("pipelines/shop.yaml", &counted.replace("WATCH", "false")),
        ("pipelines/limits.csv", "tool,most\nt0,5\nt1,5\n"),
    ]);
    let broker = Mosquitto::start(&folder);
    let instance = run(&folder, &broker);
    let at = instance.address().to_string();
    let lines = || {
        let said = folder.fine(&["tap", "shop.lines", "--once", "--json", "--at", &at]);
        said.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["n"].as_i64().unwrap()).collect::<Vec<_>>()
    };
    wait_for("both lines", || (lines() == [1, 1]).then_some(()));
    folder.write("pipelines/shop.yaml", &counted.replace("WATCH", "true"));
    instance.wait_to_say("reloaded");
    folder.write("pipelines/limits.csv", "tool,most\nt0,5\n");
    wait_for("one line", || (lines() == [1]).then_some(()));
    assert!(instance.terminate().success());
}

#[test]
fn what_falls_due_while_nothing_runs_is_told_after_the_restart() {
    let recent = SHOP
        .replace("WATCH", "false")
        .replace("heat: int64", "heat: int64, at: timestamp")
        .replace("WHERE heat > most", "WHERE heat > most AND at > now() - INTERVAL '2 seconds'");
    let folder = Folder::with(&[("pipelines/shop.yaml", &recent), ("pipelines/limits.csv", "tool,most\nt0,5\n")]);
    let broker = Mosquitto::start(&folder);
    let alarms = Subscriber::start(broker.port, "out/#");
    let instance = run(&folder, &broker);
    broker.wait_for_subscriptions(1);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis();
    publish(broker.port, &[("shop/t0/state", format!("{{\"heat\":9,\"at\":{now}}}"))]);
    wait_until_told(&alarms, &["raised t0"]);
    // The log notes soon that it was delivered.
    std::thread::sleep(Duration::from_millis(300));
    instance.signal("-KILL");
    instance.end();
    std::thread::sleep(Duration::from_millis(2100));
    assert_eq!(told(&alarms), ["raised t0"]);
    let instance = run(&folder, &broker);
    wait_until_told(&alarms, &["raised t0", "cleared t0"]);
    let messages = alarms.messages();
    let [raised, cleared] = [0, 1].map(|i| serde_json::from_str::<Value>(&messages[i].1).unwrap());
    assert_eq!(cleared["of"], raised["id"]);
    assert!(instance.terminate().success());
}

#[test]
fn the_past_is_run_again_through_other_pipelines() {
    let folder = Folder::with(&[
        ("pipelines/shop.yaml", &SHOP.replace("WATCH", "false")),
        ("other/shop.yaml", &SHOP.replace("WATCH", "false").replace("heat > most", "heat > most + 2")),
        ("pipelines/limits.csv", "tool,most\nt0,5\nt1,5\n"),
        ("other/limits.csv", "tool,most\n"),
    ]);
    let broker = Mosquitto::start(&folder);
    let alarms = Subscriber::start(broker.port, "out/#");
    let instance = run(&folder, &broker);
    broker.wait_for_subscriptions(1);
    heat(&broker, &[("t0", 9)]);
    wait_until_told(&alarms, &["raised t0"]);
    heat(&broker, &[("t1", 7)]);
    wait_until_told(&alarms, &["raised t0", "raised t1"]);
    for (tool, degrees) in [("t1", 8), ("t0", 6), ("t2", 0)] {
        heat(&broker, &[(tool, degrees)]);
        // A tick of its own.
        std::thread::sleep(Duration::from_millis(100));
    }
    assert!(instance.terminate().success());
    let replay = |more: &[&str]| {
        let said = folder.fine(&[&["replay", "pipelines", "--data", "data", "--format", "json"], more].concat());
        let decision = |line: &str| {
            let d: Value = serde_json::from_str(line).unwrap();
            format!(
                "{} {} {}",
                d["would"].as_str().unwrap_or(""),
                d["what"].as_str().unwrap(),
                d["row"]["tool"].as_str().unwrap()
            )
        };
        said.lines().map(decision).collect::<Vec<_>>()
    };
    assert_eq!(replay(&[]), [" raised t0", " raised t1"]);
    assert_eq!(replay(&["--with", "pipelines"]), [""; 0]);
    // t1 is hot later, and t0 no more at 6.
    assert_eq!(replay(&["--with", "other"]), ["gone raised t1", "added raised t1", "added cleared t0"]);
    assert_eq!(replay(&["--until", "2020-01-01T00:00:00Z"]), [""; 0]);
    assert_eq!(replay(&["--from", "2100-01-01T00:00:00Z"]), [""; 0]);
    // Why t1 was hot, at 7, of which nothing is left.
    let raised = alarms.messages().into_iter().find(|(topic, _)| topic == "out/t1").unwrap().1;
    let id = serde_json::from_str::<Value>(&raised).unwrap()["id"].as_str().unwrap().to_owned();
    let tree = folder.fine(&["explain", &id, "--data", "data", "pipelines"]);
    let lines: Vec<&str> = tree.lines().collect();
    assert!(lines[0].starts_with("shop.alarms raised at "), "{tree}");
    assert!(lines[1].starts_with("└─ shop.hot ("), "{tree}");
    let leaves: Vec<&&str> = lines.iter().filter(|line| line.contains("(source, entered ")).collect();
    assert_eq!(leaves.len(), 2, "{tree}");
    assert!(leaves[0].contains("├─ shop.state ") && leaves[0].ends_with(r#"{"tool":"t1","heat":7}"#), "{tree}");
    assert!(leaves[1].contains("└─ shop.limits ") && leaves[1].ends_with(r#"{"tool":"t1","most":5}"#), "{tree}");
    let json = folder.fine(&["explain", &id, "--data", "data", "pipelines", "--format", "json"]);
    assert_eq!(serde_json::from_str::<Value>(&json).unwrap()["decision"]["id"], id);
    let picture = folder.fine(&["explain", &id, "--data", "data", "pipelines", "--format", "mermaid"]);
    assert!(picture.starts_with("flowchart BT\n") && picture.contains("shop.limits · source"), "{picture}");
    // The pipeline is the one that ran; and then it is another.
    let told = folder.jarvis(&["explain", &id, "--data", "data", "pipelines"]);
    assert!(!text(&told.stderr).contains("edited since"), "{}", text(&told.stderr));
    folder.write("pipelines/shop.yaml", &format!("# Looked at.\n{}", SHOP.replace("WATCH", "false")));
    let told = folder.jarvis(&["explain", &id, "--data", "data", "pipelines"]);
    assert!(text(&told.stderr).contains("shop has been edited since"), "{}", text(&told.stderr));
    let texts =
        "SELECT count(*) AS n FROM lineage.system.pipelines WHERE pipeline = 'shop' AND text LIKE '%heat > most%'";
    assert!(
        folder.fine(&["sql", texts, "--data", "data", "--format", "json", "--at", "127.0.0.1:1"]).contains("\"n\":1")
    );

    let unknown = folder.jarvis(&["explain", "0123", "--data", "data", "pipelines"]);
    assert!(text(&unknown.stderr).contains("no decision with the id 0123"), "{}", text(&unknown.stderr));

    let refused = folder.jarvis(&["replay", "pipelines", "--data", "nowhere"]);
    assert!(text(&refused.stderr).contains("nothing was kept in nowhere"), "{}", text(&refused.stderr));
}

fn segments(folder: &Folder) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder.path("data/log")).unwrap().map(|f| f.unwrap().path()).collect();
    files.retain(|f| f.file_name().unwrap().to_str().unwrap().starts_with("segment-"));
    files.sort();
    files
}

#[test]
fn a_log_that_cannot_be_used_is_refused_with_its_reason() {
    let folder = Folder::with(&[
        ("pipelines/shop.yaml", &SHOP.replace("WATCH", "false")),
        ("pipelines/limits.csv", "tool,most\nt0,5\n"),
    ]);
    let broker = Mosquitto::start(&folder);
    let instance = run(&folder, &broker);
    broker.wait_for_subscriptions(1);
    for n in 0..20 {
        heat(&broker, &[("t0", n)]);
    }
    let again = |expected: &[&str]| {
        let mut command = folder.command(&["run", "pipelines", "--listen", "none", "--data", "data"]);
        let refused = command.env("JARVIS_MQTT", broker.url()).output().unwrap();
        let said = text(&refused.stderr);
        assert_eq!(refused.status.code(), Some(1), "{said}");
        assert!(expected.iter().all(|words| said.contains(words)), "{expected:?} are not all in:\n{said}");
    };
    again(&["the data folder", "is in use by another jarvis"]);
    assert!(instance.terminate().success());

    let first = &segments(&folder)[0];
    let good = fs::read(first).unwrap();
    let mut bad = good.clone();
    bad[good.len() / 2] ^= 4;
    fs::write(first, &bad).unwrap();
    again(&[first.file_name().unwrap().to_str().unwrap(), "is damaged at byte"]);
    fs::write(first, [&b"jarvlog\x09"[..], &good[8..]].concat()).unwrap();
    again(&["another version"]);
    fs::write(first, &good).unwrap();
    let retyped = SHOP.replace("WATCH", "false").replace("heat: int64", "heat: utf8").replace("heat > most", "true");
    folder.write("pipelines/shop.yaml", &retyped);
    again(&["other columns for shop.state", "heat was Int64, and is Utf8"]);
}

#[test]
fn what_an_edit_lets_count_again_does_not_count_in_the_replay_either() {
    let shop = |retain: &str, more: &str| {
        format!(
            "pipeline: shop\nsources:\n  state:\n    mqtt: {{ topic: \"shop/{{tool}}/state\" }}\n    \
             schema: {{ tool: utf8, heat: int64 }}\n    retain: {retain}\noperators:\n  \
             hot: {{ sql: \"SELECT tool, max(heat) AS heat FROM state{more} GROUP BY tool\" }}\nsinks:\n  \
             alarms: {{ from: hot, mqtt: {{ topic: \"out/{{tool}}\", as: events, clear: true }} }}\n"
        )
    };
    let folder = Folder::with(&[("pipelines/shop.yaml", &shop("300ms", ""))]);
    let broker = Mosquitto::start(&folder);
    let alarms = Subscriber::start(broker.port, "out/#");
    let instance = run(&folder, &broker);
    broker.wait_for_subscriptions(1);
    heat(&broker, &[("t0", 9)]);
    let mut expected = vec!["raised t0", "cleared t0"];
    wait_until_told(&alarms, &expected);
    // What no longer counted is not seen by what comes after, though the log still has it.
    folder.write("pipelines/shop.yaml", &shop("1h", ""));
    wait_for("a reload", || instance.said().contains("reloaded the pipelines").then_some(()));
    heat(&broker, &[("t1", 9)]);
    expected.push("raised t1");
    wait_until_told(&alarms, &expected);
    // Nor by another edit, nor after a restart.
    folder.write("pipelines/shop.yaml", &shop("1h", " WHERE heat > 1"));
    wait_for("a reload", || (instance.said().matches("reloaded the pipelines").count() == 2).then_some(()));
    assert!(instance.terminate().success());
    let instance = run(&folder, &broker);
    std::thread::sleep(Duration::from_millis(200));
    wait_until_told(&alarms, &expected);
    // This takes something back.
    folder.write("pipelines/shop.yaml", &shop("1h", " WHERE heat > 10"));
    expected.push("cleared t1");
    wait_until_told(&alarms, &expected);
    assert!(instance.terminate().success());
    let said = folder.fine(&["replay", "pipelines", "--data", "data", "--format", "json"]);
    let decided: Vec<Value> = said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let shown = |d: &Value| format!("{} {}", d["what"].as_str().unwrap(), d["row"]["tool"].as_str().unwrap());
    assert_eq!(decided.iter().map(shown).collect::<Vec<_>>(), expected);
    for decision in &decided {
        let tree = folder.fine(&["explain", decision["id"].as_str().unwrap(), "pipelines"]);
        assert!(tree.contains("shop.state (source, entered "), "{decision}: {tree}");
    }
}

#[test]
fn a_file_that_is_of_one_run_says_everything_once() {
    let sink = "  table: { from: hot, file: { path: hot.jsonl, as: state } }\n  \
                errors: { from: system.errors, lineage: {} }\n";
    let folder = Folder::with(&[
        ("pipelines/shop.yaml", &format!("{}{sink}", SHOP.replace("WATCH", "false"))),
        ("pipelines/limits.csv", "tool,most\nt0,5\nt1,5\n"),
    ]);
    let broker = Mosquitto::start(&folder);
    let alarms = Subscriber::start(broker.port, "out/#");
    let instance = run(&folder, &broker);
    broker.wait_for_subscriptions(1);
    heat(&broker, &[("t0", 9), ("t1", 9)]);
    wait_until_told(&alarms, &["raised t0", "raised t1"]);
    assert!(instance.terminate().success());
    for _ in 0..2 {
        let instance = run(&folder, &broker);
        assert!(instance.terminate().success());
        assert_eq!(folder.read("pipelines/hot.jsonl").lines().count(), 2, "{}", folder.read("pipelines/hot.jsonl"));
    }
}

#[test]
fn an_edit_leaves_open_windows_and_takes_more_columns() {
    let shop = |columns: &str, note: &str| {
        format!(
            "pipeline: shop\nsources:\n  state:\n    mqtt: {{ topic: \"shop/{{tool}}/state\" }}\n    \
             schema: {{ tool: utf8, heat: int64, at: timestamp{columns} }}\n    time: at\n    retain: 1s\n  \
             newest:\n    mqtt: {{ topic: \"shop/{{tool}}/state\" }}\n    \
             schema: {{ tool: utf8, heat: int64{columns} }}\n    key: [tool]\n    retain: forever\noperators:\n  \
             weekly: {{ sql: \"SELECT tool, count(*) AS n FROM state GROUP BY tool, tumble(at, INTERVAL '7 days')\" }}\n  \
             latest: {{ sql: \"SELECT tool, heat FROM newest{note}\" }}\n"
        )
    };
    let folder = Folder::with(&[("pipelines/shop.yaml", &shop("", ""))]);
    let broker = Mosquitto::start(&folder);
    let instance = run(&folder, &broker);
    broker.wait_for_subscriptions(2);
    let send = |heat: i64| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis();
        publish(broker.port, &[("shop/t0/state", format!("{{\"heat\":{heat},\"at\":{now}}}"))]);
    };
    let rows = |instance: &Instance, view: &str| {
        folder.fine(&["tap", view, "--once", "--json", "--at", &instance.address().to_string()])
    };
    for heat in [1, 2, 3] {
        send(heat);
    }
    let three = "{\"_diff\":1,\"tool\":\"t0\",\"n\":3}\n";
    wait_for("three rows", || (rows(&instance, "shop.weekly") == three).then_some(()));
    // Longer than a row counts by itself.
    std::thread::sleep(Duration::from_millis(1500));
    let edits = [(", unit: utf8?", ""), (", unit: utf8?", " WHERE heat > 0"), (", unit: utf8?", " WHERE heat > 2")];
    for (n, (columns, note)) in edits.into_iter().enumerate() {
        folder.write("pipelines/shop.yaml", &shop(columns, note));
        wait_for("a reload", || (instance.said().matches("reloaded the pipelines").count() > n).then_some(()));
        assert_eq!(rows(&instance, "shop.weekly"), three);
        assert_eq!(rows(&instance, "shop.latest"), "{\"_diff\":1,\"tool\":\"t0\",\"heat\":3}\n");
    }
    assert!(instance.terminate().success());
    let instance = run(&folder, &broker);
    assert_eq!(rows(&instance, "shop.weekly"), three);
    assert_eq!(rows(&instance, "shop.latest"), "{\"_diff\":1,\"tool\":\"t0\",\"heat\":3}\n");
    assert!(instance.terminate().success());
    folder.fine(&["replay", "pipelines", "--data", "data"]);
}
