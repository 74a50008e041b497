//! What `check` and `graph` say about pipelines.

mod common;

use common::{Folder, repository, text};
use serde_json::Value;

const GOOD: &str = "\
pipeline: doors
sources:
  state: { file: { path: doors.jsonl }, schema: { door: utf8, open: bool }, key: [door], retain: forever }
operators:
  ajar:
    sql: SELECT door FROM state WHERE open
  count:
    sql: SELECT count(*) AS n FROM ajar
sinks:
  out: { from: count, file: { path: out.jsonl, as: state } }
";

fn with(pipeline: &str) -> Folder {
    Folder::with(&[("doors.yaml", pipeline), ("doors.jsonl", "")])
}

#[test]
fn a_good_pipeline_is_fine() {
    assert_eq!(with(GOOD).fine(&["check", "doors.yaml"]), "1 pipeline, fine\n");
}

#[test]
fn what_ships_is_fine() {
    let folder = Folder::with(&[]);
    let (pipelines, config) = (repository().join("pipelines"), repository().join("config"));
    let said = folder.fine(&["check", pipelines.to_str().unwrap(), "--config", config.to_str().unwrap()]);
    assert!(said.ends_with(" pipelines, fine\n"), "{said}");
}

#[test]
fn findings_have_a_code_and_a_place() {
    let folder = with(&GOOD.replace("FROM ajar", "FROM ajr").replace("retain: forever", "retain: forevr"));
    let output = folder.jarvis(&["check", "doors.yaml", "--format", "json"]);
    assert_eq!(output.status.code(), Some(1));
    let found: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    assert!(!found.is_empty());
    for finding in &found {
        assert!(finding["code"].is_string() && finding["message"].is_string(), "{finding}");
        assert_eq!(finding["file"], "doors.yaml", "{finding}");
        assert!(finding["start"]["line"].as_u64().unwrap() > 1, "{finding}");
    }
}

#[test]
fn findings_for_people_show_the_line_and_what_to_do() {
    let output = with(&GOOD.replace("FROM ajar", "FROM ajr")).jarvis(&["check", "doors.yaml"]);
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stderr);
    for part in ["error[unknown_stream]", "doors.yaml:8:", "FROM ajr", "did you mean `ajar`?"] {
        assert!(said.contains(part), "{part} is not in\n{said}");
    }
    assert!(output.stdout.is_empty());
}

#[test]
fn text_that_is_no_yaml_is_a_finding() {
    let output = with("pipeline: [").jarvis(&["check", "doors.yaml"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("doors.yaml:1:"), "{}", text(&output.stderr));
}

#[test]
fn a_config_folder_that_is_none_is_said() {
    let output = with(GOOD).jarvis(&["check", "doors.yaml", "--config", "nowhere"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("--config"));
}

#[test]
fn no_finding_is_an_empty_list() {
    let said = with(GOOD).fine(&["check", "doors.yaml", "--format", "json"]);
    assert_eq!(serde_json::from_str::<Value>(&said).unwrap(), serde_json::json!([]));
}

#[test]
fn streams_are_listed_with_their_columns() {
    let folder = with(GOOD);
    let said = folder.fine(&["check", "doors.yaml", "--streams"]);
    assert!(said.contains("doors.state") && said.contains("door: utf8"), "{said}");
    let said = folder.fine(&["check", "doors.yaml", "--streams", "--format", "json"]);
    let said: Value = serde_json::from_str(&said).unwrap();
    let names: Vec<&str> = said["streams"].as_array().unwrap().iter().map(|s| s["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["doors.ajar", "doors.count", "doors.state", "system.errors"]);
}

#[test]
fn a_picture_has_sources_views_and_sinks() {
    let folder = with(GOOD);
    let json: Value = serde_json::from_str(&folder.fine(&["graph", "doors.yaml", "--format", "json"])).unwrap();
    let name = |id: &Value| json["nodes"][id.as_u64().unwrap() as usize]["name"].as_str().unwrap().to_owned();
    let mut edges: Vec<(String, String)> =
        json["edges"].as_array().unwrap().iter().map(|e| (name(&e["from"]), name(&e["to"]))).collect();
    edges.sort();
    let expected = [("doors.ajar", "doors.count"), ("doors.count", "doors.out"), ("doors.state", "doors.ajar")];
    assert_eq!(edges, expected.map(|(from, to)| (from.to_owned(), to.to_owned())));
}

#[test]
fn a_picture_comes_in_every_form() {
    let folder = with(GOOD);
    for (format, begin, end) in
        [("mermaid", "flowchart LR\n", "\n"), ("dot", "digraph", "}\n"), ("svg", "<svg ", "</svg>\n")]
    {
        for plan in [&[][..], &["--plan"]] {
            let said = folder.fine(&[&["graph", "doors.yaml", "--format", format], plan].concat());
            assert!(
                said.starts_with(begin) && said.ends_with(end) && said.contains("doors.count"),
                "{format} {plan:?}:\n{said}"
            );
        }
    }
}

/// Rows leave after ten seconds, and the query looks back for a minute.
const SHORT: &str = "\
pipeline: short
sources:
  seen: { file: { path: seen.jsonl }, schema: { door: utf8, at: timestamp }, time: at, retain: 10s }
operators:
  lately:
    sql: SELECT door FROM seen WHERE at > now() - INTERVAL '1 minute'
sinks:
  out: { from: lately, file: { path: out.jsonl, as: state } }
";

#[test]
fn what_is_probably_not_meant_is_shown_and_stops_nothing() {
    let folder = Folder::with(&[("short.yaml", SHORT), ("seen.jsonl", "")]);
    for command in ["check", "run"] {
        let output = folder.jarvis(&[command, "short.yaml"]);
        let said = text(&output.stderr);
        assert!(output.status.success(), "{said}");
        for part in ["warning[retention_too_short]", "short.yaml:6:", "looks back 1m", "after 10s"] {
            assert!(said.contains(part), "{command}: {part} is not in\n{said}");
        }
    }
    let found = folder.fine(&["check", "short.yaml", "--format", "json"]);
    let found: Vec<Value> = serde_json::from_str(&found).unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0]["severity"], "warning");
}
