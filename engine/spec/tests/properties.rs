//! What holds for any text.

use jarvis_spec::{Node, SourceText, parse_pipeline};
use proptest::prelude::*;
use serde_json::Value;

fn environment(name: &str) -> Option<String> {
    (name != "NONE").then(|| format!("value of {name}"))
}

/// Text with the pieces that pipelines are made of, in any order.
fn pieces() -> impl Strategy<Value = String> {
    let words = [
        "pipeline",
        "sources",
        "operators",
        "sinks",
        "tests",
        "schema",
        "time",
        "key",
        "retain",
        "from",
        "sql",
        "mqtt",
        "given",
        "expect",
        "name",
        "at",
        "until",
        ": ",
        ":",
        "\n",
        "\n  ",
        "\n    ",
        "- ",
        "{ ",
        " }",
        "[",
        "]",
        ", ",
        "\"",
        "'",
        "|",
        ">",
        "&a ",
        "*a",
        "!!str ",
        "? ",
        "# ",
        "---\n",
        "${",
        "}",
        "${A}",
        "$${",
        "1",
        "2s",
        "int64?",
        "list(",
        ")",
        "\t",
        "\r\n",
        "\u{feff}",
        "é",
        "名",
    ];
    proptest::collection::vec(proptest::sample::select(words.to_vec()), 0..60).prop_map(|words| words.concat())
}

/// A text is read or refused; every finding has a place in the text and can be shown.
fn read(text: &str) {
    if let Err(findings) = parse_pipeline(SourceText::new("a.yaml", text), &environment) {
        assert!(findings.has_errors());
        for finding in &findings {
            let shown = finding.to_string();
            assert!(!shown.is_empty());
            if let Some(span) = &finding.span {
                assert!(span.start.offset <= span.end.offset && span.end.offset <= text.len(), "{span:?}");
                assert!(text.is_char_boundary(span.start.offset) && text.is_char_boundary(span.end.offset), "{span:?}");
            }
        }
    }
}

fn places_agree(node: &Node) {
    let span = node.span();
    for place in [span.start, span.end] {
        assert_eq!(span.text.place(place.offset), place, "{:?}", span.text.text);
    }
    node.items().iter().for_each(places_agree);
    for entry in node.entries() {
        assert_eq!(
            entry.key.span.text.place(entry.key.span.start.offset),
            entry.key.span.start,
            "{:?}",
            span.text.text
        );
        places_agree(&entry.value);
    }
}

fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_filter("finite", |f| f.is_finite()).prop_map(Value::from),
        "[ -~é名]{0,8}".prop_map(Value::from),
        proptest::sample::select(vec!["null", "~", "true", "1", "1e3", ".5", "0x1f", "2s", "a: b", "- a", "{", " "])
            .prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 5, |inner| {
        let map = proptest::collection::btree_map("[ -~é]{1,6}", inner.clone(), 0..5)
            .prop_map(|map| map.into_iter().collect::<serde_json::Map<_, _>>().into());
        prop_oneof![proptest::collection::vec(inner, 0..5).prop_map(Value::from), map]
    })
}

/// A text in which `${` has no meaning.
fn has_reference(value: &Value) -> bool {
    value.to_string().contains("${")
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in "\\PC{0,80}") {
        read(&text);
    }

    #[test]
    fn any_sequence_of_pieces_is_read_or_refused(text in pieces()) {
        read(&text);
        read(&format!("pipeline: p\nsources:\n  a:\n    {text}"));
    }

    #[test]
    fn lines_and_columns_agree_with_offsets(text in pieces(), mark in proptest::sample::select(vec!["", "\u{feff}"])) {
        let text = format!("{mark}{}", text.replace('\u{feff}', ""));
        if let Ok(node) = Node::read(&SourceText::new("a.yaml", text), &environment) {
            places_agree(&node);
        }
    }

    #[test]
    fn a_value_written_as_yaml_is_read_as_it_was(value in json()) {
        prop_assume!(!has_reference(&value));
        let yaml = serde_saphyr::to_string(&value).expect("a value is YAML");
        let node = Node::read(&SourceText::new("a.yaml", yaml.clone()), &environment).expect("it was written by a writer of YAML");
        let other = serde_saphyr::from_str::<Value>(&yaml).expect("the writer's own reader");
        prop_assert_eq!(node.to_json(), other, "{}", yaml);
    }

    #[test]
    fn a_value_written_as_json_is_read_as_it_was(value in json()) {
        prop_assume!(!has_reference(&value));
        let text = serde_json::to_string_pretty(&value).expect("a value is JSON");
        let node = Node::read(&SourceText::new("a.yaml", text), &environment).expect("JSON is YAML");
        prop_assert_eq!(node.to_json(), value.clone());
        prop_assert_eq!(node.parse::<Value>().expect("any value"), value);
    }
}

#[test]
fn deep_and_long_texts_are_refused_quickly() {
    for text in [
        "[".repeat(100_000),
        "- ".repeat(100_000),
        "{a: ".repeat(100_000),
        "a:\n".repeat(300_000),
        "? ".repeat(100_000),
        "x".repeat(5 << 20),
        "[a,".repeat(2) + &"a,".repeat(1_000_000),
    ] {
        let start = std::time::Instant::now();
        assert!(parse_pipeline(SourceText::new("a.yaml", text), &environment).is_err());
        assert!(start.elapsed() < std::time::Duration::from_secs(10));
    }
}
