//! Operators other than SQL, cameras and printers: what is written wrongly is refused with its place and a way out, and
//! tests of pipelines answer what is asked.

use jarvis_runtime::kinds::Kinds;
use jarvis_runtime::project::{Paths, Project};
use jarvis_testkit::run_tests;
use std::path::Path;

fn load(folder: &Path, yaml: &str) -> Result<Project, String> {
    let file = folder.join("p.yaml");
    std::fs::write(&file, yaml).expect("a folder of its own can be written");
    let kinds =
        Kinds { sources: jarvis_sources::kinds(), operators: jarvis_operators::kinds(), sinks: jarvis_sinks::kinds() };
    Project::load(&Paths { pipelines: vec![file], config: None, data: None }, &kinds).map_err(|found| found.to_string())
}

/// What is said of sources and operators.
fn refused(sources: &str, operators: &str) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    let yaml = format!("pipeline: p\nsources:\n{sources}operators:\n{operators}");
    load(folder.path(), &yaml).err().unwrap_or_else(|| panic!("nothing is wrong with\n{yaml}"))
}

#[track_caller]
fn assert_says(said: &str, words: &[&str]) {
    assert!(words.iter().all(|word| said.contains(word)), "{words:?} are not all in:\n{said}");
}

const SCORES: &str =
    "  scores: { mqtt: { topic: 's/{printer}' }, schema: { printer: utf8, score: float64 }, retain: 1m }\n";
const FRAMES: &str = "  frames: { camera: { cameras: { a: { address: 'rtsp://h/' } } }, retain: 1m }\n";

#[test]
fn a_state_machine_reads_events_only() {
    let keyed = SCORES.replace("retain: 1m", "retain: 1m, key: [printer]");
    assert_says(
        &refused(&keyed, "  o: { from: scores, print_failure: {} }\n"),
        &["no_events", "p.yaml:5", "table that changes"],
    );
    let grouped = "  g: { sql: 'SELECT printer, max(score) AS score FROM scores GROUP BY printer' }\n  o: { from: g, print_failure: {} }\n";
    assert_says(&refused(SCORES, grouped), &["no_events", "only filters, computes or unites"]);
}

#[test]
fn a_stream_must_say_something_of_prints() {
    let other = SCORES.replace("score:", "celsius:");
    assert_says(
        &refused(&other, "  o: { from: scores, print_failure: {} }\n"),
        &["unknown_column", "says nothing of prints", "`score`"],
    );
    let nobody = "  scores: { mqtt: { topic: 's' }, schema: { score: float64 }, retain: 1m }\n";
    assert_says(&refused(nobody, "  o: { from: scores, print_failure: {} }\n"), &["does not say of which printer"]);
    let text = SCORES.replace("score: float64", "score: utf8");
    assert_says(&refused(&text, "  o: { from: scores, print_failure: {} }\n"), &["the column score", "Utf8"]);
}

#[test]
fn options_of_operators_are_checked() {
    let sensitive = "  o: { from: scores, print_failure: { sensitivity: very } }\n";
    assert_says(&refused(SCORES, sensitive), &["\"very\" is no sensitivity", "low, normal, high"]);
    assert_says(
        &refused(SCORES, "  o: { from: scores, print_failure: { sensitiviti: low } }\n"),
        &["sensitiviti", "did you mean"],
    );
    assert_says(&refused(SCORES, "  o: { print_failure: {} }\n"), &["does not say what it reads", "from:"]);
    assert_says(&refused(SCORES, "  o: { from: scores, print_failur: {} }\n"), &["unknown_kind", "print_failure"]);
    assert_says(
        &refused(SCORES, "  o: { from: scores, print_failure: {}, retain: 1h }\n"),
        &["asks nobody", "remove `retain`"],
    );
    assert_says(
        &refused(SCORES, "  o: { sql: 'SELECT * FROM scores', retain: 1h }\n"),
        &["wrong_key", "remove `retain`"],
    );
}

#[test]
fn what_asks_says_how_long_answers_count_and_asks_about_one_stream() {
    assert_says(
        &refused(FRAMES, "  o: { from: frames, infer: { judge: j.json } }\n"),
        &["missing_retention", "retain: 10m"],
    );
    let two = "  o: { from: [frames, frames], infer: { judge: j.json }, retain: 1m }\n";
    assert_says(&refused(FRAMES, two), &["one stream"]);
    let no_frame = "  o: { from: scores, infer: { judge: j.json, newest_per: printer }, retain: 1m }\n";
    assert_says(&refused(SCORES, no_frame), &["no column `frame: utf8`", "camera"]);
    let unknown = "  o: { from: frames, infer: { judge: 'judges/{camra}.json' }, retain: 1m }\n";
    assert_says(&refused(FRAMES, unknown), &["there is no column camra", "camera"]);
    let twice =
        "  v: { sql: 'SELECT *, 1.0 AS score FROM frames' }\n  o: { from: v, infer: { judge: j.json }, retain: 1m }\n";
    assert_says(&refused(FRAMES, twice), &["duplicate_column", "score"]);
    let no_job = "  o: { from: scores, command: { printers: {}, action: pause }, retain: 1m }\n";
    assert_says(&refused(SCORES, no_job), &["no column `job`"]);
    let toggle = "  o: { from: scores, command: { printers: {}, action: toggle }, retain: 1m }\n";
    assert_says(&refused(SCORES, toggle), &["toggle", "pause"]);
}

#[test]
fn infer_asks_a_judge_or_a_detector() {
    let infer =
        |options: &str| refused(FRAMES, &format!("  o: {{ from: frames, infer: {{ {options} }}, retain: 1m }}\n"));
    assert_says(&infer(""), &["does not say who is asked", "judge:", "detector:"]);
    assert_says(&infer("judge: j.json, detector: d.onnx"), &["not to both", "p.yaml:5"]);
    assert_says(
        &infer("detector: persn-detector"),
        &["no detector \"persn-detector\"", "did you mean `person-detector`"],
    );
    assert_says(&infer("detector: efficientnet-lite0"), &["no detector", "ends in .onnx"]);
    assert_says(&infer("judge: j.json, classes: [person]"), &["a judge knows no classes"]);
    assert_says(&infer("judge: j.json, threshold: 0.2"), &["a judge scores every frame"]);
    assert_says(&infer("detector: d.onnx, threshold: 20"), &["0 to 1"]);
    assert_says(&infer("detector: d.onnx, batch: 0"), &["`batch` is 0"]);
    assert_says(&infer("detector: d.onnx, provider: gpu"), &["gpu", "cuda"]);
}

#[test]
fn the_check_of_first_layers_needs_scores_and_printers() {
    assert_says(&refused(SCORES, "  o: { from: scores, first_layer: {} }\n"), &["no stream of printers", "`phase`"]);
    let sensitive = "  o: { from: scores, first_layer: { sensitivity: 9x } }\n";
    assert_says(&refused(SCORES, sensitive), &["\"9x\" is no sensitivity"]);
}

#[test]
fn devices_are_checked_and_their_secrets_stay_secret() {
    let camera =
        |entry: &str| refused(&format!("  f: {{ camera: {{ cameras: {{ a: {entry} }} }}, retain: 1m }}\n"), "");
    assert_says(&camera("{ address: 'ftp://h/' }"), &["address", "rtsp://"]);
    assert_says(&camera("{ address: 'rtsp://h/', rate: 0 }"), &["rate", "0.001"]);
    assert_says(&camera("{ adress: 'rtsp://h/' }"), &["adress", "address"]);
    let said = camera("{ address: 'rtsp://u:hunter2@h:99999/' }");
    // The line is shown as it is written: what reads the environment shows its name.
    assert!(!said.lines().next().is_some_and(|line| line.contains("hunter2")), "{said}");
    let printer =
        |entry: &str| refused(&format!("  f: {{ octoprint: {{ printers: {{ a: {entry} }} }}, retain: 1m }}\n"), "");
    assert_says(&printer("{ key: abc }"), &["one address", "octoprint: URL"]);
    assert_says(&printer("{ octoprint: 'h', key: abc }"), &["not a URL"]);
    assert_says(&printer("{ bambu: '10.0.0.1' }"), &["serial"]);
    assert_says(
        &refused("  f: { camera: { cameras: gone.yaml }, retain: 1m }\n", ""),
        &["file_not_found", "gone.yaml"],
    );
    let own = "  f: { camera: { cameras: {} }, schema: { a: int64 }, retain: 1m }\n";
    assert_says(&refused(own, ""), &["wrong_schema", "remove `schema`"]);
}

/// What comes of the tests of a pipeline that asks about frames.
fn tested(test: &str) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    let yaml = format!(
        "pipeline: p\nsources:\n{FRAMES}operators:\n  scores: {{ from: frames, infer: {{ judge: j.json }}, retain: 30s }}\n  high: {{ sql: 'SELECT camera, score FROM scores WHERE score > 0.5' }}\ntests:\n{test}"
    );
    let project = load(folder.path(), &yaml).unwrap_or_else(|found| panic!("{found}"));
    run_tests(&project, None).to_string()
}

const GIVEN: &str = "    given:
      frames:
        - { at: 0s, camera: a, frame: f1, width: 1, height: 1, luminance: 1.0, contrast: 1.0 }
        - { at: 5s, camera: b, frame: f2, width: 1, height: 1, luminance: 1.0, contrast: 1.0 }
";

#[test]
fn answers_come_when_they_are_said_to_and_count_as_long_as_they_may() {
    let said = tested(&format!(
        "  - name: two answers\n{GIVEN}    answers:
      scores:
        - {{ to: {{ frame: f1 }}, after: 2s, answer: {{ score: 0.9, judge: j }} }}
        - {{ answer: {{ score: 0.6, judge: j }} }}
    expect:
      - {{ at: 1s, high: [] }}
      - {{ at: 3s, high: [ {{ camera: a, score: 0.9 }} ] }}
      - {{ at: 6s, high: [ {{ camera: a, score: 0.9 }}, {{ camera: b, score: 0.6 }} ] }}
      - {{ at: 33s, high: [ {{ camera: b, score: 0.6 }} ] }}
"
    ));
    assert_says(&said, &["1 passed, 0 failed"]);
}

#[test]
fn wrong_answers_fail_a_test_and_say_why() {
    let answers = |answers: &str| {
        tested(&format!("  - name: t\n{GIVEN}    answers: {answers}\n    expect: [ {{ at: 9s, high: [] }} ]\n"))
    };
    assert_says(
        &answers("{ scores: [ { to: { frame: f1 }, answer: { score: 0.1, judge: j } } ] }"),
        &["0 passed, 1 failed", "nothing answers", "f2"],
    );
    assert_says(&answers("{ scores: { scor: 0.1, judge: j } }"), &["no column scor", "score, judge"]);
    assert_says(&answers("{ scores: { score: 0.1 } }"), &["judge"]);
    assert_says(&answers("{ high: { score: 0.1 } }"), &["asks no model"]);
    assert_says(
        &answers("{ scores: [ { to: { camra: a }, answer: { score: 0.1, judge: j } } ] }"),
        &["no column camra"],
    );
    assert_says(&answers("{ scores: { score: 0.1, judge: j } }"), &["1 passed, 0 failed"]);
}

const PAUSES: &str =
    "  pauses: { mqtt: { topic: 'p/{printer}' }, schema: { printer: utf8, job: utf8 }, retain: 1m, key: [printer] }\n";
const FLEET: &str = "{ mini: { octoprint: 'http://127.0.0.1:9', key: k }, voron: { moonraker: 'http://127.0.0.1:9' } }";

/// What is said of sinks over [`PAUSES`], in which `FLEET` stands for a list of printers.
fn refused_sinks(sinks: &str) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    let yaml = format!("pipeline: p\nsources:\n{PAUSES}sinks:\n{sinks}").replace("FLEET", FLEET);
    load(folder.path(), &yaml).err().unwrap_or_else(|| panic!("nothing is wrong with\n{yaml}"))
}

#[test]
fn a_sink_that_gives_commands_is_checked_where_it_stands() {
    let sink = |options: &str| refused_sinks(&format!("  hold: {{ from: pauses, octoprint: {{ {options} }} }}\n"));
    assert_says(&sink("printers: FLEET, action: start"), &["p.yaml:5:3", "p.pauses has no column `file`"]);
    assert_says(&sink("printers: FLEET, action: toggle"), &["p.yaml:5:", "toggle", "pause"]);
    assert_says(&sink("printers: { mini: { octoprint: h, key: k } }, action: pause"), &["p.yaml:5:", "not a URL"]);
    assert_says(&sink("printers: gone.yaml, action: pause"), &["p.yaml:5:", "file_not_found", "gone.yaml"]);
    assert_says(&sink("printers: FLEET, action: pause, as: events"), &["p.yaml:5:", "unknown_key", "`as`"]);
    assert_says(&sink("printers: FLEET, action: pause, ttl: 0"), &["nothing is done in no time", "ttl: 10s"]);
    assert_says(&sink("printers: FLEET, action: pause, files: parts"), &["`files` means nothing", "leave it out"]);
    assert_says(
        &refused_sinks("  pauses: { from: pauses, moonraker: { printers: FLEET, action: pause } }\n"),
        &["duplicate_name", "p.yaml:5:3", "its answers are a stream of its name", "a name of its own"],
    );
    assert_says(
        &refused_sinks("  hold: { from: pauses, octoprint: { printers: FLEET, action: pause }, when: closed }\n"),
        &["wrong_key", "remove `when`"],
    );
    let number = PAUSES.replace("job: utf8", "job: int64");
    let command = format!("  o: {{ from: pauses, command: {{ printers: {FLEET}, action: pause }}, retain: 1m }}\n");
    assert_says(&refused(&number, &command), &["the column `job` of p.pauses is Int64, and not Utf8", "CAST"]);
}

#[test]
fn a_slip_in_the_kind_of_a_sink_finds_those_that_give_commands() {
    assert_says(&refused_sinks("  hold: { from: pauses, octoprnt: {} }\n"), &["did you mean `octoprint`"]);
    assert_says(
        &refused_sinks("  hold: { from: pauses, printer: {} }\n"),
        &["kinds of sinks: ", "moonraker", "webhook"],
    );
}

#[test]
fn outcomes_of_a_sink_are_a_stream_that_tests_answer() {
    let folder = tempfile::tempdir().expect("a folder");
    let sinks = "sinks:
  told: { from: hold, console: { as: events, key: [printer, outcome] } }
  hold: { from: pauses, octoprint: { printers: FLEET, action: pause } }
  also: { from: p.hold, file: { path: also.csv, as: state } }
";
    let tests = "tests:
  - name: what came of each command is a row, for ten minutes, through a restart
    given:
      pauses:
        - { at: 0s, printer: mini, job: j1 }
        - { at: 5s, printer: voron, job: j2 }
    answers:
      hold:
        - { to: { printer: mini }, after: 2s, answer: { outcome: done, already: false, phase: paused, detail: '', took_s: 1.5 } }
        - { answer: { outcome: refused, already: false, phase: idle, detail: 'no', took_s: 0.1 } }
    restart: [1s, 3s, 200s]
    expect:
      - { at: 1s, hold: [] }
      - { at: 3s, hold: [ { printer: mini, job: j1, outcome: done } ] }
      - { at: 6s, hold: [ { outcome: done }, { outcome: refused } ], failed: [ { printer: voron, detail: 'no' } ] }
      - { at: 601s, hold: [ { outcome: done }, { outcome: refused } ] }
      - { at: 603s, hold: [ { outcome: refused } ] }
      - { until: 20s, told: [ { event: raised, outcome: done }, { event: raised, printer: voron, outcome: refused } ] }
    never:
      - { hold: { outcome: expired } }
";
    let view = "  failed: { sql: \"SELECT printer, detail FROM hold WHERE outcome <> 'done'\" }\n";
    let yaml = format!("pipeline: p\nsources:\n{PAUSES}operators:\n{view}{sinks}{tests}").replace("FLEET", FLEET);
    let project = load(folder.path(), &yaml).unwrap_or_else(|found| panic!("{found}"));
    assert_says(&run_tests(&project, None).to_string(), &["1 passed, 0 failed"]);
    let wrong = yaml.replace("at: 601s, hold: [ { outcome: done }", "at: 601s, hold: [ { outcome: expired }");
    let project = load(folder.path(), &wrong).unwrap_or_else(|found| panic!("{found}"));
    assert_says(&run_tests(&project, None).to_string(), &["0 passed, 1 failed"]);
}
