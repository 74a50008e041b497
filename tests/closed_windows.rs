//! `when: closed` where nobody else reads the view, so that windows are told once by the group itself, against the same
//! where somebody does, so that a filter behind the view holds them back. Both must say the same at the same times.

mod common;

use common::Folder;

/// Rows in disorder, some taken back again, a few too late.
fn telemetry(seed: u64) -> String {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut random = |below: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % below
    };
    let mut rows: Vec<String> = vec![];
    for i in 0..400u64 {
        let at = (20_000 + i * 150).saturating_sub(random(7_000));
        let row = format!("\"tool\":\"t{}\",\"v\":{},\"at\":{at}", random(3), random(20));
        rows.push(format!("{{{row}}}\n"));
        if random(5) == 0 {
            rows.push(format!("{{{row},\"_diff\":-1}}\n"));
        }
    }
    rows.concat()
}

fn closed(folder: &Folder, retain: &str, sql: &str, is_read: bool, workers: &str) -> Vec<String> {
    let second = if is_read { "\n  all: { from: view, file: { path: all.jsonl, as: state } }" } else { "" };
    let yaml = format!(
        r#"
pipeline: p
sources:
  a: {{ file: {{ path: a.jsonl }}, schema: {{ tool: utf8, v: int64, at: timestamp }}, time: at, lateness: 5s, retain: {retain} }}
  limits: {{ file: {{ path: limits.jsonl }}, schema: {{ tool: utf8, most: int64 }}, key: [tool], retain: forever }}
operators:
  windows:
    sql: |
      SELECT tool, tumble(at, INTERVAL '10 seconds') AS start, count(*) AS n, max(v) AS top, median(v) AS middle,
             count(DISTINCT v) AS kinds, avg(v) AS mean
      FROM a GROUP BY 1, 2
  view:
    sql: {sql}
sinks:
  out: {{ from: view, when: closed, file: {{ path: closed.jsonl, as: changes }} }}{second}
"#
    );
    folder.write("p.yaml", &yaml);
    folder.fine(&["run", "p.yaml", "--workers", workers]);
    let mut told: Vec<String> = folder.read("closed.jsonl").lines().map(String::from).collect();
    told.sort_unstable();
    told
}

#[test]
fn windows_that_are_told_by_their_groups_are_those_that_a_filter_lets_through() {
    let queries = [
        "SELECT * FROM windows WHERE n > 2",
        "SELECT w.tool, w.start, w.top, w.middle, w.kinds, w.mean, l.most FROM windows w JOIN limits l ON l.tool = w.tool WHERE w.top > l.most",
        "SELECT start, tool, top - 1 AS below FROM windows",
    ];
    for (seed, query) in (1..).zip(queries) {
        let limits = "{\"tool\":\"t0\",\"most\":17}\n{\"tool\":\"t1\",\"most\":3}\n";
        let folder = Folder::with(&[("a.jsonl", &telemetry(seed)), ("limits.jsonl", limits)]);
        // Kept for ever, gone after they were told, gone before.
        for retain in ["forever", "15s", "1s"] {
            let filtered = closed(&folder, retain, query, true, "1");
            assert_eq!(filtered.is_empty(), retain == "1s", "{query} {retain}");
            for workers in ["1", "2"] {
                assert_eq!(closed(&folder, retain, query, false, workers), filtered, "{query} {retain} {workers}");
            }
        }
    }
}
