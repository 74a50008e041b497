//! A disk that is full: said with the path and the cause, and the run ends with a status that is not zero.
//!
//! `/dev/full` refuses every byte. Where a folder is needed, the process may write no file beyond a few hundred bytes:
//! to the program that is the same. A disk that fills up is one in memory, in a name space of the process.
#![cfg(target_os = "linux")]

mod common;

use common::mqtt::{Mosquitto, publish, try_publish};
use common::{Folder, Instance, free_port, text, wait_for};
use std::process::Command;
use std::time::{Duration, Instant};

const CANNOT: &str = "/dev/full cannot be written";
const NO_SPACE: &str = "No space left on device";
const TOO_LARGE: &str = "File too large";

fn batch(rows: usize, sink: &str) -> Folder {
    let pipeline = format!(
        "pipeline: p\nsources:\n  a: {{ file: {{ path: a.jsonl }}, schema: {{ id: int64, name: utf8 }}, retain: forever }}\n\
         operators:\n  o: {{ sql: 'SELECT id, name FROM a WHERE id >= 0' }}\nsinks:\n  out: {{ from: o, {sink} }}\n"
    );
    let lines: String = (0..rows).map(|id| format!("{{\"id\":{id},\"name\":\"the name of {id}\"}}\n")).collect();
    Folder::with(&[("p.yaml", &pipeline), ("a.jsonl", &lines)])
}

/// jarvis, but no file that it writes may be longer than a KiB.
fn limited(folder: &Folder, arguments: &[&str]) -> Command {
    let plain = folder.command(arguments);
    let mut command = Command::new("sh");
    // Without the trap the signal would end the process, as it would any.
    command.args(["-c", "trap '' XFSZ; ulimit -f 1; exec \"$0\" \"$@\""]).arg(plain.get_program());
    command.args(plain.get_args()).current_dir(folder.path(""));
    for (name, _) in plain.get_envs() {
        command.env_remove(name);
    }
    command
}

fn assert_refused(said: &str, status: Option<i32>, words: &[&str]) {
    assert_eq!(status, Some(1), "{said}");
    assert!(words.iter().all(|word| said.contains(word)), "{words:?} are not all in:\n{said}");
    assert!(!said.contains("panicked"), "{said}");
}

#[test]
fn a_batch_that_cannot_write_says_where_and_why() {
    for rows in [1, 100_000] {
        for (mode, format) in [
            ("changes", "json"),
            ("changes", "csv"),
            ("state", "json"),
            ("state", "csv"),
            ("events", "json"),
            ("changes", "parquet"),
            ("state", "parquet"),
        ] {
            let sink = format!("file: {{ path: /dev/full, as: {mode}, format: {format} }}");
            let folder = batch(rows, &sink);
            let output = folder.jarvis(&["run", "p.yaml", "--workers", "2"]);
            let said = text(&output.stderr);
            println!("{mode} {format} {rows}: {said}");
            assert_refused(&said, output.status.code(), &["the sink p.out", CANNOT, NO_SPACE]);
        }
    }
}

#[test]
fn a_file_that_cannot_be_written_anew_stays_as_it_was() {
    for format in ["jsonl", "csv", "parquet"] {
        let folder = batch(5_000, &format!("file: {{ path: out.{format}, as: state }}"));
        folder.write(&format!("out.{format}"), "what was there before\n");
        let output = limited(&folder, &["run", "p.yaml"]).output().unwrap();
        let said = text(&output.stderr);
        assert_refused(&said, output.status.code(), &["the sink p.out", &format!("out.{format} cannot be"), TOO_LARGE]);
        assert_eq!(folder.read(&format!("out.{format}")), "what was there before\n");
        let left: Vec<_> = std::fs::read_dir(folder.path("")).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(left.len(), 3, "something is left over: {left:?}");
    }
}

#[test]
fn a_batch_that_cannot_record_says_where_and_why() {
    let folder = batch(5_000, "lineage: {}");
    let output = limited(&folder, &["run", "p.yaml", "--data", "data"]).output().unwrap();
    assert_refused(&text(&output.stderr), output.status.code(), &["the sink p.out", "data/", TOO_LARGE]);
}

const SHOP: &str = r#"
pipeline: shop
sources:
  reading: { mqtt: { topic: "shop/{tool}/reading" }, schema: { tool: utf8, n: int64 }, retain: forever }
operators:
  all: { sql: "SELECT tool, n FROM reading" }
sinks:
  out: { from: all, SINK }
"#;

/// A live run with rows in it, each of another content.
fn live(folder: &Folder, more: &[&str]) -> Instance {
    let port = free_port();
    let broker = format!("--embedded-broker=127.0.0.1:{port}");
    let arguments = [&["run", "pipelines", &broker, "--listen", "127.0.0.1:0"], more].concat();
    let instance = Instance::run(limited(folder, &arguments));
    let at = instance.address().to_string();
    let mut next = 0;
    wait_for("rows in the view", || {
        // The broker keeps nothing for a subscriber that has not come yet, and jarvis may end at the first row.
        let some: Vec<_> =
            (next..next + 300).map(|n| (format!("shop/t{n}/reading"), format!("{{\"n\":{n}}}"))).collect();
        next += 300;
        let _ = try_publish(port, &some);
        let rows = folder.jarvis(&["tap", "shop.all", "--once", "--json", "--at", &at]);
        let has_ended = text(&rows.stderr).contains("no jarvis answers");
        (has_ended || !rows.stdout.is_empty()).then_some(())
    });
    instance
}

#[test]
fn a_live_run_whose_file_cannot_be_written_ends_by_itself() {
    for mode in ["changes", "state", "events"] {
        let sink = format!("file: {{ path: /dev/full, as: {mode}, format: json }}");
        let folder = Folder::with(&[("pipelines/shop.yaml", &SHOP.replace("SINK", &sink))]);
        let (status, said) = live(&folder, &[]).end();
        assert_refused(&said, status.code(), &["error: the sink shop.out", CANNOT, NO_SPACE]);
    }
}

#[test]
fn a_live_run_that_cannot_record_ends_by_itself() {
    let folder = Folder::with(&[("pipelines/shop.yaml", &SHOP.replace("SINK", "lineage: {}"))]);
    let (status, said) = live(&folder, &["--data", "data"]).end();
    assert_refused(&said, status.code(), &["error: the log cannot be kept in data/log/", TOO_LARGE]);
}

#[test]
fn a_live_run_that_is_told_to_stop_says_what_it_could_not_record() {
    let folder = Folder::with(&[("pipelines/shop.yaml", &SHOP.replace("SINK", "lineage: {}"))]);
    let instance = live(&folder, &["--data", "data"]);
    instance.signal("-TERM");
    let (status, said) = instance.end();
    assert_refused(&said, status.code(), &["error: the log cannot be kept in data/log/", TOO_LARGE]);
}

/// jarvis in a name space of its own, in which `mount` has been done.
fn mounted(folder: &Folder, mount: &str, arguments: &[&str], afterwards: &str) -> Command {
    let allowed = Command::new("unshare").args(["--map-root-user", "--mount", "true"]).status();
    assert!(allowed.is_ok_and(|status| status.success()), "this test needs name spaces: `unshare -rm true` must work");
    let plain = folder.command(arguments);
    let script = format!("{mount} && \"$0\" \"$@\"; status=$?; {afterwards}; exit $status");
    let mut command = Command::new("unshare");
    command.args(["--map-root-user", "--mount", "sh", "-c", &script]).arg(plain.get_program());
    command.args(plain.get_args()).current_dir(folder.path(""));
    for (name, value) in plain.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command
}

#[test]
fn a_disk_that_fills_up_loses_nothing_that_was_acknowledged() {
    // What counts is little, and the history grows.
    let sink = "file: { path: /dev/null, as: changes, format: json }";
    let shop = SHOP.replace("retain: forever", "retain: 50ms").replace("SINK", sink);
    let folder = Folder::with(&[("pipelines/shop.yaml", &shop)]);
    std::fs::create_dir(folder.path("data")).unwrap();
    let broker = Mosquitto::start(&folder);
    let options =
        ["run", "pipelines", "--listen", "127.0.0.1:0", "--checkpoint", "20ms", "--compact", "20000", "--data"];
    let mut command = mounted(
        &folder,
        "mount -t tmpfs -o size=1500k tmpfs data",
        &[&options[..], &["data"]].concat(),
        "cp -a data kept",
    );
    command.env("JARVIS_MQTT", broker.url());
    let instance = Instance::run(command);
    instance.address();
    broker.wait_for_subscriptions(1);
    let mut published = 0_u64;
    // What the disk holds grows with every message: they do not compress well.
    while !instance.said().contains("error: ") {
        let message = |n: u64| {
            let some = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            (format!("shop/{some:016x}/reading"), format!("{{\"n\":{n}}}"))
        };
        publish(broker.port, &(published..published + 500).map(message).collect::<Vec<_>>());
        published += 500;
        // So that the log is made smaller meanwhile.
        std::thread::sleep(Duration::from_millis(50));
        assert!(published < 200_000, "the disk does not fill up: {}", instance.said());
    }
    let (status, said) = instance.end();
    assert_refused(&said, status.code(), &["error: the log cannot be kept in data/log/", NO_SPACE]);

    // On a larger disk, from what was there.
    std::fs::remove_dir(folder.path("data")).unwrap();
    std::fs::rename(folder.path("kept"), folder.path("data")).unwrap();
    let mut command = folder.command(&[&options[..], &["data"]].concat());
    command.env("JARVIS_MQTT", broker.url());
    let instance = Instance::run(command);
    instance.address();
    let kept = || {
        let sql = "SELECT count(*), count(DISTINCT n) FROM lineage.shop.reading";
        let said = folder.fine(&["sql", sql, "--data", "data", "--format", "csv", "--at", "127.0.0.1:1"]);
        said.lines().last().map(str::to_owned).unwrap_or_default()
    };
    let all = format!("{published},{published}");
    let begun = Instant::now();
    while kept() != all && begun.elapsed() < Duration::from_secs(20) {
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(kept(), all, "{said} {}", instance.said());
    assert!(instance.terminate().success());
    folder.fine(&["lineage", "verify", "--data", "data"]);
}

#[test]
fn a_folder_that_cannot_be_written_is_said_and_can_be_read() {
    const READ_ONLY: &str = "mount --bind data data && mount -o remount,bind,ro data";
    let folder = Folder::with(&[("pipelines/shop.yaml", &SHOP.replace("SINK", "console: { as: events }"))]);
    let broker = Mosquitto::start(&folder);
    let options = ["run", "pipelines", "--listen", "127.0.0.1:0", "--data", "data"];
    let mut command = folder.command(&options);
    command.env("JARVIS_MQTT", broker.url());
    let instance = Instance::run(command);
    instance.address();
    broker.wait_for_subscriptions(1);
    publish(broker.port, &[("shop/t0/reading", "{\"n\":1}"), ("shop/t1/reading", "{\"n\":2}")]);
    wait_for("two rows", || (instance.printed().lines().count() >= 2).then_some(()));
    assert!(instance.terminate().success());

    let output = mounted(&folder, READ_ONLY, &options, "true").output().unwrap();
    let said = text(&output.stderr);
    assert_refused(&said, output.status.code(), &["data/log", "Read-only file system"]);
    for arguments in [
        &["sql", "SELECT tool, n FROM lineage.shop.reading ORDER BY n", "--at", "127.0.0.1:1"][..],
        &["replay", "pipelines"],
        &["lineage", "verify"],
    ] {
        let output = mounted(&folder, READ_ONLY, &[arguments, &["--data", "data"]].concat(), "true").output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}{}", text(&output.stdout), text(&output.stderr));
    }
}
