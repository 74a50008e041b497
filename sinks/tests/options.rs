//! What the kinds refuse, and what they say.

mod support;

use arrow::datatypes::{DataType, Field, IntervalUnit, Schema};
use jarvis_runtime::publish::As;
use std::path::Path;
use std::sync::Arc;
use support::{findings, plan, schema, stream};

/// Each text must be in the findings.
fn refused(kind: &str, yaml: &str, texts: &[&str]) {
    let findings = findings(kind, yaml);
    for text in texts {
        assert!(findings.contains(text), "`{text}` is not in:\n{findings}");
    }
}

#[test]
fn as_must_be_said_where_it_matters() {
    refused("file", "{ path: out.jsonl }", &["missing_key", "as: events", "as: state", "as: changes", "sink.yaml:1:1"]);
    refused("mqtt", "{ topic: a }", &["missing_key", "as: events"]);
    refused("mqtt", "{ topic: a, as: latest }", &["latest", "sink.yaml:1:"]);
    let console =
        plan("console", "{}", &stream(schema()), Path::new(".")).unwrap_or_else(|findings| panic!("{findings}"));
    assert_eq!(console.publish.mode, As::Changes);
}

#[test]
fn unknown_options_are_refused_with_their_place() {
    for (kind, yaml) in [
        ("file", "{ path: a.csv, as: state, flush: 1 }"),
        ("mqtt", "{ topic: a, as: state, flush: 1 }"),
        ("console", "{ as: state, flush: 1 }"),
        ("lineage", "{ flush: 1 }"),
    ] {
        refused(kind, yaml, &["unknown_key", "`flush`", "sink.yaml:1:"]);
    }
}

#[test]
fn options_that_mean_nothing_with_a_mode_are_refused() {
    refused("file", "{ path: a.csv, as: state, clear: true }", &["`clear` means nothing with `as: state`"]);
    refused("mqtt", "{ topic: a, as: changes, ttl: 5s }", &["`ttl` means nothing with `as: changes`"]);
    refused("console", "{ as: changes, key: [tool] }", &["`key` means nothing with `as: changes`"]);
    refused("file", "{ path: a.csv, as: state, key: [tool] }", &["it is the whole table"]);
}

#[test]
fn keys_name_columns_of_the_stream() {
    refused("mqtt", "{ topic: a, as: events, key: [tol] }", &["unknown_column", "`tol`", "did you mean `tool`"]);
    refused("mqtt", "{ topic: a, as: events, key: [tool, tool] }", &["twice"]);
}

#[test]
fn formats_come_from_the_ending_or_are_said() {
    refused("file", "{ path: out.txt, as: state }", &["unknown_format", "out.txt", "format: json"]);
    for yaml in [
        "{ path: out.txt, as: state, format: csv }",
        "{ path: OUT.JSONL, as: state }",
        "{ path: o.parquet, as: changes }",
    ] {
        assert!(plan("file", yaml, &stream(schema()), Path::new(".")).is_ok(), "{yaml}");
    }
}

#[test]
fn topics_and_qos_are_checked() {
    refused("mqtt", "{ topic: 'a/{tol}', as: events }", &["tol"]);
    refused("mqtt", "{ topic: 'a/#', as: events }", &["wildcard"]);
    refused("mqtt", "{ topic: a, as: events, qos: 2 }", &["`qos: 2`", "1 (at least once"]);
    refused("mqtt", "{ topic: 'a/{tool}', as: state, key: [over] }", &["exactly the columns of the key"]);
    refused("mqtt", "{ topic: a, as: events, broker: 'http://x' }", &["broker_url", "mqtt://"]);
}

#[test]
fn the_topic_is_the_identity_unless_there_is_a_key() {
    let identity = |yaml: &str| plan("mqtt", yaml, &stream(schema()), Path::new(".")).ok().map(|p| p.publish.identity);
    assert_eq!(identity("{ topic: 'a/{tool}', as: events }"), Some(Some(vec![0])));
    assert_eq!(identity("{ topic: 'a/{tool}', as: events, key: [over] }"), Some(Some(vec![1])));
    assert_eq!(identity("{ topic: a, as: events }"), Some(None));
    assert_eq!(identity("{ topic: a, as: state }"), Some(Some(vec![])));
    assert_eq!(identity("{ topic: 'a/{tool}', as: changes }"), Some(None));
}

#[test]
fn columns_that_a_sink_writes_itself_are_refused() {
    let fields = vec![Field::new("_time", DataType::Int64, true)];
    let stream = stream(Arc::new(Schema::new(fields)));
    let error = plan("lineage", "{}", &stream, Path::new(".")).err().map(|f| f.to_string()).unwrap_or_default();
    assert!(error.contains("reserved_column") && error.contains("`_time`"), "{error}");
}

#[test]
fn types_that_a_format_lacks_are_refused() {
    let fields = vec![Field::new("wait", DataType::Interval(IntervalUnit::MonthDayNano), true)];
    let stream = stream(Arc::new(Schema::new(fields)));
    for (kind, yaml) in [("lineage", "{}"), ("file", "{ path: a.parquet, as: state }")] {
        let error = plan(kind, yaml, &stream, Path::new(".")).err().map(|f| f.to_string()).unwrap_or_default();
        assert!(error.contains("unsupported_type") && error.contains("CAST(wait AS VARCHAR)"), "{error}");
    }
    assert!(plan("file", "{ path: a.csv, as: state }", &stream, Path::new(".")).is_ok());
}

#[test]
fn every_kind_describes_its_options() {
    for kind in jarvis_sinks::kinds() {
        let schema = serde_json::to_value(kind.options()).unwrap();
        assert_eq!(schema["additionalProperties"], false, "{}", kind.name());
        assert!(schema["description"].is_string(), "{}", kind.name());
    }
}
