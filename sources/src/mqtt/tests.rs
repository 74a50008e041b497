use super::*;
use crate::testing::*;
use std::path::Path;

const COLUMNS: [(&str, &str); 3] = [("zone", "utf8"), ("door", "utf8"), ("open", "bool")];

fn refused(yaml: &str) -> (&'static str, String) {
    let finding = plan(&MqttSource, &stream(&COLUMNS, &[]), yaml, Path::new("/")).err().expect(yaml);
    assert!(finding.span.is_some(), "{finding}");
    (finding.code, finding.message.clone())
}

#[test]
fn options_that_cannot_work_are_refused() {
    for (yaml, code) in [
        ("{ qos: 1 }", "missing_key"),
        ("{ topic: a, qos: 2 }", "wrong_value"),
        ("{ topic: a, topics: b }", "unknown_key"),
        ("{ topic: [] }", "topic"),
        ("{ topic: 5 }", "wrong_type"),
        ("{ topic: 'a/#/b' }", "topic"),
        ("{ topic: '{floor}/#' }", "topic"),
        ("{ topic: ['{zone}/a', '{door}/b'] }", "topic"),
        ("{ topic: '{zone}/a', format: raw }", "format"),
        ("{ topic: a, format: xml }", "wrong_value"),
        ("{ topic: a, broker: 'http://b' }", "broker_url"),
        ("{ topic: a, broker: 'mqtt://b', tls: { ca: x } }", "broker_tls"),
        ("{ topic: a, keep_alive: 1ms }", "wrong_value"),
    ] {
        assert_eq!(refused(yaml).0, code, "{yaml}");
    }
}

#[test]
fn options_that_can_work_are_accepted() {
    for yaml in [
        "{ topic: '{zone}/{door}/state', format: raw }",
        "{ topic: ['{zone}/x/{door}', '{door}/y/{zone}'], qos: 0, clean_session: true, retained: false }",
        "{ topic: 'a/#', broker: 'mqtt://me:secret@b:2000', keep_alive: 5s, max_payload: 100, format: csv }",
    ] {
        assert!(plan(&MqttSource, &stream(&COLUMNS, &[0]), yaml, Path::new("/")).is_ok(), "{yaml}");
    }
}

#[test]
fn the_schema_of_the_options_says_what_topic_may_be() {
    let schema = serde_json::to_string(&MqttSource.options()).expect("JSON");
    assert!(schema.contains("\"topic\"") && schema.contains("\"array\""), "{schema}");
}
