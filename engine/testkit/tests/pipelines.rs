//! The runner of `tests:`, run on pipelines: those that ship must pass, and those that are wrong must say what is wrong.

use jarvis_runtime::kinds::Kinds;
use jarvis_runtime::project::{Paths, Project};
use jarvis_spec::Severity;
use jarvis_testkit::{TestReport, Variant, bless, run_tests};
use std::path::{Path, PathBuf};

fn kinds() -> Kinds {
    Kinds { sources: jarvis_sources::kinds(), operators: jarvis_operators::kinds(), sinks: jarvis_sinks::kinds() }
}

fn load(pipelines: Vec<PathBuf>, config: Option<PathBuf>) -> Project {
    Project::load(&Paths { pipelines, config, data: None }, &kinds()).unwrap_or_else(|found| panic!("{found}"))
}

#[test]
fn pipelines_that_ship_pass_their_tests() {
    let root = Path::new(".").join("../..");
    let project = load(vec![root.join("pipelines")], Some(root.join("config")));
    let report = run_tests(&project, None);
    println!("{report}");
    assert!(report.passed() > 0);
    assert_eq!(report.failed(), 0, "{report}");
}

/// A pipeline in a folder of its own.
fn written(folder: &Path, tests: &str) -> PathBuf {
    let head = r#"pipeline: heat
sources:
  temperature:
    file: { path: t.jsonl }
    schema: { tool: utf8, actual: float64, at: timestamp }
    time: at
    retain: 1m
  limits:
    file: { path: l.jsonl }
    schema: { tool: utf8, most: float64? }
    key: [tool]
    retain: forever
operators:
  hot:
    sql: |
      SELECT t.tool, max(t.actual - l.most) AS over, max(t.at) AS last
      FROM temperature t JOIN limits l USING (tool)
      WHERE t.at > now() - INTERVAL '10 seconds' AND t.actual > l.most
      GROUP BY t.tool
  ratio:
    sql: SELECT tool, CAST(tool AS bigint) AS number FROM limits
sinks:
  alert: { from: hot, file: { path: alert.jsonl, as: events, clear: true, key: [tool] } }
  table: { from: hot, mqtt: { topic: "hot/{tool}", as: state } }
  all:   { from: hot, file: { path: all.jsonl, as: changes } }
tests:
"#;
    let path = folder.join("heat.yaml");
    std::fs::write(&path, format!("{head}{tests}")).expect("a folder of its own can be written");
    for file in ["t.jsonl", "l.jsonl"] {
        std::fs::write(folder.join(file), "").expect("a folder of its own can be written");
    }
    path
}

fn report(tests: &str) -> TestReport {
    let folder = tempfile::tempdir().expect("a folder for a while");
    let path = written(folder.path(), tests);
    run_tests(&load(vec![path], None), None)
}

const GIVEN: &str = r#"
    given:
      limits: [ { tool: t0, most: 10 }, { tool: t1, most: 20 } ]
      temperature:
        - { at: 1s, tool: t0, actual: 12.5 }
        - { at: 2s, tool: t0, actual: 15 }
        - { at: 2s, tool: t1, actual: 21 }
        - { at: 30s, tool: t1, actual: 22 }
        - { at: 90s, tool: t0, actual: 1 }
"#;

/// `hot` looks back for longer than the readings are retained.
#[test]
fn what_is_probably_not_meant_is_a_warning() {
    let folder = tempfile::tempdir().expect("a folder for a while");
    let path = written(folder.path(), "  []\n");
    assert!(load(vec![path.clone()], None).warnings.is_empty());
    let text = std::fs::read_to_string(&path).expect("it was just written");
    std::fs::write(&path, text.replace("retain: 1m", "retain: 5s")).expect("a folder of its own can be written");
    let project = load(vec![path], None);
    let [warning] = &project.warnings.0[..] else { panic!("{}", project.warnings) };
    assert_eq!((warning.code, warning.severity), ("retention_too_short", Severity::Warning));
    assert_eq!(warning.message, "this looks back 10s, but rows leave their source after 5s");
    assert_eq!(warning.span.as_ref().map(|s| s.source()), Some("now"));
}

#[test]
fn expectations_that_hold_pass_in_every_variant() {
    let report = report(&format!(
        r#"  - name: holds
    restart: [5s, 31s]{GIVEN}
    expect:
      - {{ at: 0s, hot: [] }}
      - {{ at: 2s, hot: [ {{ tool: t1, over: 1.0, last: 2s }}, {{ tool: t0, over: 5.0, last: 2s }} ] }}
      - {{ at: 11900ms, hot: [ {{ tool: t1 }}, {{ tool: t0 }} ] }}
      - {{ at: 12s, hot: [] }}
      - {{ at: 35s, hot: [ {{ tool: t1, over: 2, last: "2026-01-01T00:00:30Z" }} ] }}
      - {{ until: 20s, alert: [ {{ event: raised, tool: t0, over: 2.5 }}, {{ event: raised, tool: t1 }}, {{ event: cleared, tool: t0 }}, {{ event: cleared, tool: t1 }} ] }}
      - {{ until: 2s, table: [ {{ tool: t0, over: 2.5 }}, {{ tool: t0, over: 5 }}, {{ tool: t1, over: 1 }} ] }}
      - {{ until: 12s, table: [ {{ tool: t0, over: 2.5 }}, {{ tool: t0, over: 5 }}, {{ tool: t1, over: 1 }}, {{ _deleted: true, tool: t0 }}, {{ _removed: true, tool: t1 }} ] }}
      - {{ until: 2s, all: [ {{ _diff: 1, over: 2.5 }}, {{ _diff: -1, over: 2.5 }}, {{ _diff: 1, over: 5 }}, {{ _diff: 1, over: 1 }} ] }}
    never:
      - {{ hot: {{ over: "<= 0" }} }}
      - {{ hot: {{ tool: "!= t1", over: "> 5" }} }}
      - {{ hot: {{ last: "> 31s" }} }}
"#
    ));
    assert_eq!((report.passed(), report.failed()), (1, 0), "{report}");
}

#[test]
fn a_wrong_row_is_shown_beside_what_was_found() {
    let report = report(&format!(
        "  - name: wrong{GIVEN}    expect:\n      - {{ at: 2s, hot: [ {{ tool: t1, over: 1.0 }}, {{ tool: t0, over: 6.0 }} ] }}\n"
    ));
    let [result] = &report.results[..] else { panic!("one test") };
    let [failure] = &result.failures[..] else { panic!("{report}") };
    assert_eq!(failure.variant, Variant::OneWorker);
    assert_eq!(failure.missing, ["{ tool: t0, over: 6.0 }"]);
    assert_eq!(failure.unexpected, ["{ tool: t0, over: 5.0 }"]);
    assert_eq!(failure.right, ["{ tool: t1, over: 1.0 }"]);
    assert_eq!(failure.at, Some(std::time::Duration::from_secs(2)));
    assert_eq!(failure.place.source(), "hot");
}

#[test]
fn a_sink_that_was_told_more_fails() {
    let report = report(&format!(
        "  - name: wrong{GIVEN}    expect:\n      - {{ until: 20s, alert: [ {{ event: raised, tool: t0 }} ] }}\n"
    ));
    assert_eq!(report.failed(), 1);
    assert_eq!(report.results[0].failures[0].unexpected.len(), 3, "{report}");
}

#[test]
fn what_must_never_be_is_found() {
    let report = report(&format!("  - name: wrong{GIVEN}    never:\n      - {{ hot: {{ over: \"> 4\", tool: t0 }} }}\n    expect: [ {{ at: 5s, restart: 3s }} ]\n").replace("at: 5s, restart", "restart"));
    assert_eq!(report.failed(), 1, "{report}");
    assert!(report.results[0].failures[0].message.contains("never"), "{report}");
}

#[test]
fn rows_that_fail_become_error_rows() {
    let report = report(
        r#"  - name: errors
    given:
      limits: [ { tool: x, most: 1 }, { tool: "7", most: 1 }, { at: 5s, tool: x, _deleted: true } ]
      temperature: [ { at: 1s, tool: t0, actual: warm } ]
    expect:
      - { at: 0s, ratio: [ { tool: "7", number: 7 } ] }
      - { at: 1s, system.errors: [ { stream: heat.ratio, code: cast }, { stream: heat.temperature, code: wrong_type } ] }
      - { at: 6s, system.errors: [ { stream: heat.temperature } ] }
"#,
    );
    assert_eq!((report.passed(), report.failed()), (1, 0), "{report}");
}

#[test]
fn unknown_columns_are_failures_with_their_place() {
    let report = report(
        "  - name: wrong\n    given: { limits: [ { tool: a, most: 1 } ] }\n    expect: [ { at: 1s, hot: [ { tol: x } ] } ]\n",
    );
    assert_eq!(report.failed(), 1);
    assert_eq!(report.results[0].failures[0].place.source(), "tol", "{report}");
}

#[test]
fn bless_rewrites_rows_and_nothing_else() {
    let folder = tempfile::tempdir().expect("a folder for a while");
    let before = format!(
        r#"  - name: wrong   # a comment stays{GIVEN}
    expect:
      - {{ at: 2s,   hot: [ {{ tool: x, over: 1.5 }} ] }}   # and this one
      - at: 35s
        hot:
          - {{ tool: t1, over: 1 }}
          - {{ tool: t2, over: 2 }}
      - {{ at: 12s, hot: [] }}
      - {{ at: 30s, hot: [] }}
      - {{ until: 20s, alert: [] }}
      - {{ until: 2s, table: [ {{ tool: a }} ] }}
"#
    );
    let path = written(folder.path(), &before);
    let blessed = bless(&load(vec![path.clone()], None), None).expect("the file can be written");
    assert_eq!(blessed.files, [(path.clone(), 5)], "{:?}", blessed.failures);
    let after = std::fs::read_to_string(&path).expect("it was just written");
    let tests = after.split("tests:\n").nth(1).expect("the tests are still there");
    let wanted = format!(
        r#"  - name: wrong   # a comment stays{GIVEN}
    expect:
      - {{ at: 2s,   hot: [ {{ tool: t0, over: 5.0 }}, {{ tool: t1, over: 1.0 }} ] }}   # and this one
      - at: 35s
        hot:
          [ {{ tool: t1, over: 2.0 }} ]
      - {{ at: 12s, hot: [] }}
      - {{ at: 30s, hot: [ {{ tool: t1, over: 2.0, last: 30s }} ] }}
      - {{ until: 20s, alert: ALERT }}
      - {{ until: 2s, table: [ {{ tool: t0 }}, {{ tool: t0 }}, {{ tool: t1 }} ] }}
"#
    );
    let alert_free = |text: &str| {
        let start = text.find("alert: ").map_or(0, |i| i + 7);
        let end = text.find("      - { until: 2s").unwrap_or(text.len());
        format!("{}ALERT }}\n{}", &text[..start], &text[end..])
    };
    assert_eq!(alert_free(tests).replace("            ", "          "), wanted.replace("            ", "          "));
    let report = run_tests(&load(vec![path], None), None);
    assert_eq!(report.failed(), 0, "{report}");
}
