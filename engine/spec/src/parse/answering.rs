//! Sinks that answer: what comes of what they are given is a stream of the sink's name.
//!
//! Such a sink is an operator that stands where people look for an effect, and is read as one. Which kinds answer is said by
//! whoever knows the kinds.

use super::{Names, SINK_KEYS, kind, sink_from};
use crate::node::Entry;
use crate::{Diagnostic, Diagnostics, OnError, Operator, Retain, Spanned};
use std::time::Duration;

/// How long an answer counts: there is no place to write it on a sink.
const RETAIN: Retain = Retain::For(Duration::from_secs(600));
/// Keys that make no sense here, and what to do.
const REFUSED: [(&str, &str); 4] = [
    ("when", "it is given each row when it appears: remove `when`"),
    ("retain", "its answers count for 10m: to say otherwise, write it under `operators:`, with the same options"),
    (
        "history",
        "to say how long its answers are kept, write it under `operators:` with `retain`, and the same options",
    ),
    ("on_error", "what it cannot do is said by its answers: remove `on_error`"),
];

/// Whether a definition below `sinks:` is of one of these kinds.
pub(super) fn is_one(entry: &Entry, kinds: &[&str]) -> bool {
    entry.value.entries().iter().any(|key| kinds.contains(&key.key.as_str()))
}

pub(super) fn operator(entry: &Entry, names: &Names<'_>, findings: &mut Diagnostics) -> Option<Operator> {
    let keys: Vec<&str> = SINK_KEYS.into_iter().chain(REFUSED.map(|(key, _)| key)).collect();
    let kind = kind(entry, "sink", &keys, "`from:` and a kind", findings);
    let refused = |key: &Entry| REFUSED.iter().find(|(refused, _)| *refused == key.key.value).map(|(_, help)| *help);
    for (key, help) in entry.value.entries().iter().filter_map(|key| Some((key, refused(key)?))) {
        let message = format!("the sink `{}` answers, and has no `{}`", entry.key, key.key);
        findings.push(Diagnostic::error("wrong_key", message).at(&key.key.span).help(help));
    }
    let from = sink_from(entry, names, findings);
    let (kind, from) = (kind?, from?);
    Some(Operator {
        name: entry.key.clone(),
        kind: kind.key.clone(),
        options: kind.value.clone(),
        from: vec![from],
        on_error: OnError::default(),
        retain: Some(Spanned::new(RETAIN, kind.key.span.clone())),
        history: None,
    })
}

#[cfg(test)]
mod tests {
    use crate::{Pipeline, SourceText, parse_with_answering};
    use std::time::Duration;

    fn parse(sinks: &str) -> Result<Pipeline, String> {
        let yaml = format!(
            "pipeline: p\nsources:\n  a: {{ mqtt: {{ topic: x }}, schema: {{ n: int64 }} }}\noperators:\n  \
             b: {{ sql: SELECT n FROM sent }}\nsinks:\n{sinks}"
        );
        let text = SourceText::new("p.yaml", yaml);
        parse_with_answering(text, &|_| None, &["tells"]).map_err(|findings| findings.to_string())
    }

    #[test]
    fn it_is_an_operator_that_others_read() -> Result<(), String> {
        let tests = "tests:\n  - { name: t, expect: [ { at: 1s, sent: [] } ], never: [ { sent: { n: 1 } } ] }\n";
        let sinks = "  out: { from: sent, console: }\n  sent: { from: a, tells: { to: x } }\n";
        let pipeline = parse(&format!("{sinks}{tests}"))?;
        let names: Vec<&str> = pipeline.operators.iter().map(|operator| operator.name.as_str()).collect();
        assert_eq!(names, ["b", "sent"]);
        let sent = &pipeline.operators[1];
        assert_eq!((sent.kind.as_str(), sent.from[0].as_str()), ("tells", "a"));
        assert_eq!(sent.retain.as_ref().map(|retain| retain.value), Some(crate::Retain::For(Duration::from_secs(600))));
        assert_eq!(sent.name.span.to_string(), "p.yaml:8:3");
        assert_eq!(pipeline.sinks.len(), 1);
        Ok(())
    }

    #[test]
    fn what_makes_no_sense_on_it_is_refused() {
        for (sink, words) in [
            ("sent: { from: a, tells: {}, when: closed }", ["p.yaml:7:31", "remove `when`"]),
            ("sent: { from: a, tells: {}, retain: 1h }", ["p.yaml:7:31", "under `operators:`"]),
            ("a: { from: b, tells: {} }", ["duplicate_name", "a stream of its name"]),
            ("b: { from: a, tells: {} }", ["taken by the operator", "a name of its own"]),
            ("sent: { tells: {} }", ["missing_key", "`from: stream`"]),
            ("sent: { from: a, tells: {}, console: }", ["several_kinds", "2 kinds"]),
        ] {
            let said = parse(&format!("  {sink}\n")).err().unwrap_or_default();
            assert!(words.iter().all(|word| said.contains(word)), "{sink}: {said}");
        }
        let until = "  sent: { from: a, tells: {} }\ntests:\n  - { name: t, expect: [ { until: 1s, sent: [] } ] }\n";
        let said = parse(until).err().unwrap_or_default();
        assert!(said.contains("wrong_test") && said.contains("write `at:`"), "{said}");
    }
}
