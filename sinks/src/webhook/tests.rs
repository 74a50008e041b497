//! What the options may be, and what is said of those that may not.

use super::*;
use arrow::datatypes::{DataType, Field, Schema as Columns};
use jarvis_spec::SourceText;

fn options(yaml: &str) -> Node {
    let environment = |name: &str| (name == "T").then(|| "hunter2".to_owned());
    Node::read(&SourceText::new("sink.yaml", yaml), &environment).unwrap_or_else(|findings| panic!("{findings}"))
}

fn plan(options: &Node) -> Result<SinkPlan, Diagnostics> {
    let fields = vec![Field::new("tool", DataType::Utf8, true), Field::new("over", DataType::Int64, true)];
    let (name, schema) = ("heat.hot".to_owned(), Arc::new(Columns::new(fields)));
    let stream = StreamSpec { name, schema, key: vec![], time: None, lateness: None };
    Webhook.plan(&stream, options, &PlanContext { folder: ".".into(), config: None, data: None })
}

fn planned(rest: &str) -> Publish {
    plan(&options(&format!("{{ url: 'https://h/{rest} }}"))).unwrap_or_else(|findings| panic!("{findings}")).publish
}

fn findings(options: &Node) -> String {
    plan(options).err().map(|findings| findings.to_string()).unwrap_or_default()
}

#[test]
fn options_are_checked_at_their_place() {
    let refused = |rest: &str, texts: &[&str]| {
        let findings = findings(&options(&format!("{{ {rest} }}")));
        for text in texts.iter().chain(&["sink.yaml:1:"]) {
            assert!(findings.contains(text), "`{text}` is not in:\n{findings}");
        }
    };
    refused("as: events", &["missing_key", "`url`"]);
    refused("url: 'http://h/'", &["missing_key", "as: events"]);
    refused("url: 'http://h/', as: events, retries: 3", &["unknown_key", "`retries`"]);
    refused("url: 'h/x', as: events", &["error[url]", "http://host"]);
    refused("url: 'https://{tool}/x', as: events", &["error[url]", "not in its host"]);
    refused("url: 'https://h/{tol}', as: events", &["no column `tol`", "tool, over"]);
    refused("url: 'https://h/', as: changes, ttl: 5s", &["`ttl` means nothing with `as: changes`"]);
    refused("url: 'https://h/', as: events, timeout: 0s", &["no time"]);
    refused("url: 'https://h/', as: events, headers: { 'a b': x }", &["error[header]", "`a b`"]);
    refused("url: 'https://h/', as: events, headers: { a: \"x\\ny\" }", &["error[header]"]);
    refused("url: 'https://h/', as: events, headers: { Idempotency-Key: x }", &["written by the sink itself"]);
    refused("url: 'https://h/{over}', as: state, key: [tool]", &["only the key is known"]);
    refused("url: 'https://h/{over}', as: events, clear: true, key: [tool]", &["only the key is known"]);
    refused(
        "url: 'https://h/', as: events, body: { a: ['{tol}'], b: '{' }",
        &["no column `tol`", "event, id", "brace"],
    );
    refused("url: 'https://h/', as: events, body: '{_diff}'", &["no column `_diff`"]);
}

#[test]
fn the_address_is_the_identity_unless_there_is_a_key() {
    assert_eq!(planned("{tool}', as: events").identity, Some(vec![0]));
    assert_eq!(planned("{tool}', as: events, key: [over]").identity, Some(vec![1]));
    assert_eq!(planned("', as: events").identity, None);
    assert_eq!(planned("', as: state, key: [tool]").identity, Some(vec![0]));
    assert_eq!(planned("{tool}', as: changes").identity, None);
}

#[test]
fn ids_depend_on_the_address_as_written() {
    assert!(planned("${T}', as: events").scope.contains("${T}"));
    assert_ne!(planned("a', as: events").scope, planned("b', as: events").scope);
}

#[test]
fn secrets_are_not_in_the_findings() {
    let yaml = "{ url: 'ftp://anna:${T}@h/{tol}', as: changes, headers: { 'a b': '${T}' }, body: '{x ${T}' }";
    let options = options(yaml);
    let findings = findings(&options);
    assert!(findings.contains("`tol`") && findings.contains("`a b`"), "{findings}");
    assert!(!findings.contains("hunter2"), "{findings}");
    let read: WebhookOptions = options.parse().unwrap();
    assert!(!format!("{read:?}").contains("hunter2"));
}
