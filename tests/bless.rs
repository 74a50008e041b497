//! `jarvis test` and `jarvis test --bless`.

mod common;

use common::{Folder, text};

const RIGHT: &str = r#"pipeline: heat     # kept
sources:
  temperature:
    mqtt: { topic: "shop/{tool}/temperature" }
    schema: { tool: utf8, actual: float64, at: timestamp }
    time: at
    key: [tool]
    retain: 1h
operators:
  hot:
    sql: SELECT tool, actual FROM temperature WHERE actual > 100

tests:
  # Kept as well.
  - name: a hot tool is seen
    given:
      temperature:
        - { at: 1s, tool: t0, actual: 150.5 }
        - { at: 5s, tool: t1, actual: 20 }
        - { at: 9s, tool: t0, actual: 20 }
    expect:
      - { at: 6s, hot: [ { tool: t0, actual: 150.5 } ] }
      - { at: 10s, hot: [] }
  - name: a cold tool is not
    given:
      temperature: [ { at: 1s, tool: t0, actual: 20 } ]
    expect:
      - { at: 2s, hot: [] }
"#;

fn with(pipeline: &str) -> Folder {
    Folder::with(&[("heat.yaml", pipeline)])
}

fn wrong() -> String {
    RIGHT.replace("[ { tool: t0, actual: 150.5 } ] }", "[ { tool: t7, actual: 1 } ] }")
}

#[test]
fn right_expectations_pass_and_wrong_ones_show_their_place() {
    let said = with(RIGHT).fine(&["test", "heat.yaml"]);
    assert_eq!(said.lines().last(), Some("2 passed, 0 failed"));

    let folder = with(&wrong());
    let output = folder.jarvis(&["test", "heat.yaml"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(text(&output.stdout).lines().last(), Some("1 passed, 1 failed"));
    let said = text(&output.stderr);
    assert!(said.contains("heat.yaml:22:") && said.contains("t7") && said.contains("150.5"), "{said}");
    assert_eq!(folder.read("heat.yaml"), wrong(), "only --bless writes");
}

#[test]
fn blessing_rewrites_what_is_wrong_and_nothing_else() {
    let folder = with(&wrong());
    let output = folder.jarvis(&["test", "heat.yaml", "--bless"]);
    let said = text(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("heat.yaml: 1 expectation rewritten"), "{said}");
    assert_eq!(text(&output.stdout).lines().last(), Some("2 passed, 0 failed"));
    let blessed = folder.read("heat.yaml");
    let changed: Vec<_> = blessed.lines().zip(RIGHT.lines()).filter(|(new, old)| new != old).collect();
    assert!(changed.len() <= 1 && blessed.lines().count() == RIGHT.lines().count(), "{changed:?}");

    let again = folder.jarvis(&["test", "heat.yaml", "--bless"]);
    assert!(again.status.success() && !text(&again.stderr).contains("rewritten"), "{}", text(&again.stderr));
    assert_eq!(folder.read("heat.yaml"), blessed);
    folder.fine(&["test", "heat.yaml"]);
}

#[test]
fn a_filter_blesses_only_what_it_names() {
    let folder = with(&wrong().replace("hot: [] }", "hot: [ { tool: t9, actual: 9 } ] }"));
    folder.fine(&["test", "heat.yaml", "--bless", "--filter", "a cold tool"]);
    let blessed = folder.read("heat.yaml");
    assert!(blessed.contains("t7"), "{blessed}");
    assert_eq!(blessed.matches("t9").count(), 1, "{blessed}");
    folder.fine(&["test", "heat.yaml", "--filter", "a cold tool"]);
}
