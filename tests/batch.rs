//! Batch runs of the program: the clock follows the event time of the rows, whatever the workers and the ticks.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output};

fn jarvis(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_jarvis")).args(arguments).current_dir(folder).output().expect("the program starts")
}

fn run(folder: &Path, arguments: &[&str]) -> Vec<serde_json::Value> {
    let out = jarvis(folder, &[&["run", "p.yaml"], arguments].concat());
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    lines(&folder.join("out.jsonl"))
}

fn lines(file: &Path) -> Vec<serde_json::Value> {
    let text = std::fs::read_to_string(file).expect("the sink wrote its file");
    text.lines().map(|l| serde_json::from_str(l).expect("a line is JSON")).collect()
}

fn write(folder: &Path, name: &str, text: &str) {
    std::fs::write(folder.join(name), text).expect("a temporary folder can be written");
}

/// A small generator of numbers, so that a failure can be repeated.
struct Numbers(u64);
impl Numbers {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }
}

const READINGS: &str = r#"
pipeline: p
sources:
  a:
    file: { path: a.jsonl }
    schema: { tool: utf8, v: int64, at: timestamp }
    time: at
    retain: RETAIN
  names:
    file: { path: names.jsonl }
    schema: { tool: utf8, name: utf8 }
    key: [tool]
    retain: forever
operators:
  recent:
    sql: |
      SELECT n.name, count(*) AS n, sum(a.v) AS total, max(a.v) AS top
      FROM a JOIN names n USING (tool) WHERE COND GROUP BY n.name
sinks:
  out: { from: recent, file: { path: out.jsonl, as: state } }
"#;

/// (time ms, tool, value), out of order by up to two seconds.
fn readings(n: usize, seed: u64) -> Vec<(i64, u64, i64)> {
    let mut numbers = Numbers(seed);
    let base = 1_760_000_000_000i64;
    (0..n)
        .map(|i| (base + i as i64 * 37 - numbers.below(2000) as i64, numbers.below(5), numbers.below(100) as i64 - 50))
        .collect()
}

fn setup(folder: &Path, rows: &[(i64, u64, i64)], retain: &str, condition: &str) {
    write(folder, "p.yaml", &READINGS.replace("RETAIN", retain).replace("COND", condition));
    let text: String = rows.iter().map(|(t, k, v)| format!("{{\"tool\":\"t{k}\",\"v\":{v},\"at\":{t}}}\n")).collect();
    write(folder, "a.jsonl", &text);
    write(
        folder,
        "names.jsonl",
        &(0..4).map(|k| format!("{{\"tool\":\"t{k}\",\"name\":\"n{}\"}}\n", k % 3)).collect::<String>(),
    );
}

fn expected(rows: &[(i64, u64, i64)], counts: impl Fn(i64, i64) -> bool) -> BTreeMap<String, (i64, i64, i64)> {
    let end = rows.iter().map(|r| r.0).max().unwrap_or(0);
    let mut groups: BTreeMap<String, (i64, i64, i64)> = BTreeMap::new();
    for (_, k, v) in rows.iter().filter(|(t, k, _)| *k < 4 && counts(*t, end)) {
        let g = groups.entry(format!("n{}", k % 3)).or_insert((0, 0, i64::MIN));
        *g = (g.0 + 1, g.1 + v, g.2.max(*v));
    }
    groups
}

fn got(rows: &[serde_json::Value]) -> BTreeMap<String, (i64, i64, i64)> {
    let int = |r: &serde_json::Value, c: &str| r[c].as_i64().expect("an integer");
    rows.iter()
        .map(|r| (r["name"].as_str().expect("a name").to_string(), (int(r, "n"), int(r, "total"), int(r, "top"))))
        .collect()
}

#[test]
fn a_batch_ends_at_the_latest_event_time() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (seed, n) in [(1, 1), (2, 50), (3, 3000), (4, 20_000)] {
        let rows = readings(n, seed);
        setup(folder.path(), &rows, "20s", "a.v <> 0");
        let wanted = expected(&rows.iter().copied().filter(|r| r.2 != 0).collect::<Vec<_>>(), |t, end| {
            t + 20_000 > end.max(rows.iter().map(|r| r.0).max().unwrap_or(0))
        });
        for arguments in [
            &["--workers", "1"][..],
            &["--workers", "2"],
            &["--workers", "1", "--tick", "10ms"],
            &["--workers", "2", "--tick", "7s"],
        ] {
            assert_eq!(got(&run(folder.path(), arguments)), wanted, "seed {seed}, {n} rows, {arguments:?}");
        }
    }
}

#[test]
fn now_is_the_latest_event_time_at_the_end() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let rows = readings(5000, 9);
    setup(
        folder.path(),
        &rows,
        "1h",
        "a.at > now() - INTERVAL '30 seconds' AND a.at <= now() - INTERVAL '500 milliseconds'",
    );
    let wanted = expected(&rows, |t, end| t > end - 30_000 && t <= end - 500);
    for arguments in [&["--workers", "1"][..], &["--workers", "2", "--tick", "100ms"]] {
        assert_eq!(got(&run(folder.path(), arguments)), wanted, "{arguments:?}");
    }
}

#[test]
fn changes_add_up_to_the_state() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let rows = readings(3000, 5);
    setup(folder.path(), &rows, "15s", "true");
    let state = got(&run(folder.path(), &[]));
    let yaml = std::fs::read_to_string(folder.path().join("p.yaml"))
        .expect("written above")
        .replace("as: state", "as: changes");
    write(folder.path(), "p.yaml", &yaml);
    let mut sum: BTreeMap<String, i64> = BTreeMap::new();
    let mut last = String::new();
    for mut row in run(folder.path(), &["--workers", "2"]) {
        let fields = row.as_object_mut().expect("a row is an object");
        let diff = fields.remove("_diff").and_then(|d| d.as_i64()).expect("a change has a weight");
        let time = fields.remove("_time").and_then(|t| t.as_str().map(|t| t.trim_end_matches('Z').to_string()));
        let time = time.expect("a change has a time");
        assert!(last <= time, "times rise");
        last = time;
        *sum.entry(row.to_string()).or_default() += diff;
    }
    sum.retain(|_, n| *n != 0);
    assert!(sum.values().all(|n| *n == 1));
    let left: Vec<serde_json::Value> = sum.keys().map(|k| serde_json::from_str(k).expect("was JSON")).collect();
    assert_eq!(got(&left), state);
}

#[test]
fn late_rows_are_errors_and_change_nothing() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    setup(folder.path(), &[], "forever", "true");
    let yaml = std::fs::read_to_string(folder.path().join("p.yaml"))
        .expect("written above")
        .replace("time: at", "time: at\n    lateness: 2s");
    write(folder.path(), "p.yaml", &yaml);
    let row = |t: i64, v: i64| format!("{{\"tool\":\"t1\",\"v\":{v},\"at\":{t}}}\n");
    write(
        folder.path(),
        "a.jsonl",
        &[row(10_000, 1), row(8_500, 2), row(7_999, 4), row(12_000, 8), row(9_000, 16)].concat(),
    );
    let out = jarvis(folder.path(), &["run", "p.yaml"]);
    assert!(out.status.success());
    let text = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(text.contains("late"), "the refused rows are named: {text}");
    assert_eq!(lines(&folder.path().join("out.jsonl"))[0]["total"], 11);
}

#[test]
fn windows_are_kept_whole_until_their_retention_has_passed() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    write(
        folder.path(),
        "p.yaml",
        r#"
pipeline: p
sources:
  a: { file: { path: a.jsonl }, schema: { v: int64, at: timestamp }, time: at, lateness: 5s, retain: 30s }
operators:
  per_window:
    sql: SELECT tumble(at, INTERVAL '10 seconds') AS start, count(*) AS n, max(v) AS top FROM a GROUP BY 1
sinks:
  out: { from: per_window, file: { path: out.jsonl, as: state } }
  closed: { from: per_window, when: closed, file: { path: closed.jsonl, as: changes } }
"#,
    );
    let text: String = (0..100).map(|s| format!("{{\"v\":{s},\"at\":{}}}\n", s * 1000)).collect();
    write(folder.path(), "a.jsonl", &text);
    for workers in ["1", "2"] {
        let rows = run(folder.path(), &["--workers", workers]);
        // The end is 99 s: windows that ended at or before 69 s are gone.
        let starts: Vec<i64> = rows.iter().map(|r| r["n"].as_i64().unwrap_or(0)).collect();
        assert_eq!(starts, vec![10; 4], "{rows:?}");
        let closed = lines(&folder.path().join("closed.jsonl"));
        let told: Vec<i64> =
            closed.iter().filter(|r| r["_diff"] == 1).map(|r| r["top"].as_i64().unwrap_or(0)).collect();
        assert_eq!(told, [9, 19, 29, 39, 49, 59, 69, 79, 89], "each window once, complete, after its end and lateness");
    }
}

#[test]
fn two_files_are_read_as_one_time_line() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    write(
        folder.path(),
        "p.yaml",
        r#"
pipeline: p
sources:
  price: { file: { path: price.jsonl }, schema: { item: utf8, price: int64, at: timestamp }, time: at, key: [item], retain: forever }
  sold: { file: { path: sold.jsonl }, schema: { item: utf8, at: timestamp }, time: at, retain: 10s }
operators:
  live:
    sql: SELECT s.item, p.price FROM sold s JOIN price p USING (item)
sinks:
  out: { from: live, file: { path: out.jsonl, as: changes } }
"#,
    );
    write(
        folder.path(),
        "price.jsonl",
        "{\"item\":\"a\",\"price\":1,\"at\":1000}\n{\"item\":\"a\",\"price\":2,\"at\":5000}\n",
    );
    write(folder.path(), "sold.jsonl", "{\"item\":\"a\",\"at\":2000}\n{\"item\":\"b\",\"at\":30000}\n");
    for workers in ["1", "2"] {
        let rows = run(folder.path(), &["--workers", workers, "--tick", "1s"]);
        let changes: Vec<(i64, i64, &str)> = rows
            .iter()
            .map(|r| {
                (r["price"].as_i64().unwrap_or(0), r["_diff"].as_i64().unwrap_or(0), r["_time"].as_str().unwrap_or(""))
            })
            .collect();
        let wanted = [
            (1, 1, "1970-01-01T00:00:02Z"),
            (1, -1, "1970-01-01T00:00:05Z"),
            (2, 1, "1970-01-01T00:00:05Z"),
            (2, -1, "1970-01-01T00:00:12Z"),
        ];
        assert_eq!(changes, wanted);
    }
}

#[test]
fn a_removal_needs_no_event_time() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    write(
        folder.path(),
        "p.yaml",
        r#"
pipeline: p
sources:
  job: { file: { path: job.jsonl }, schema: { id: utf8, n: int64, at: timestamp }, time: at, lateness: 1s, key: [id], retain: forever }
sinks:
  out: { from: job, file: { path: out.jsonl, as: state } }
"#,
    );
    let rows = [
        r#"{"id":"never","_deleted":true}"#,
        r#"{"id":"a","n":1,"at":10000}"#,
        r#"{"id":"b","n":2,"at":11000}"#,
        r#"{"id":"c","n":3,"at":20000}"#,
        r#"{"id":"a","_deleted":true}"#,
        r#"{"id":"b","_deleted":true,"at":11000}"#,
    ];
    write(folder.path(), "job.jsonl", &rows.join("\n"));
    let left = run(folder.path(), &["--tick", "1s"]);
    assert_eq!(left.len(), 1, "{left:?}");
    assert_eq!(left[0]["id"], "c");
}
