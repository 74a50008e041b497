//! The `tests:` of a pipeline.

use super::fields::{check_keys, entries, items, keep_duration, quoted, text, wrong_type};
use super::{Names, check_column};
use crate::node::{Entry, Node};
use crate::{Diagnostic, Diagnostics, Expect, GivenRow, Source, Spanned, Test};
use std::time::Duration;

const TEST_KEYS: [&str; 6] = ["name", "given", "expect", "never", "restart", "answers"];
/// Columns of a given row that speak to the engine and stand in no schema.
const ENGINE_COLUMNS: [&str; 3] = ["at", "_deleted", "_diff"];

/// What a test may refer to.
struct Known<'a> {
    names: &'a Names<'a>,
    sources: &'a [Source],
}

pub(super) fn tests(node: &Node, names: &Names<'_>, sources: &[Source], findings: &mut Diagnostics) -> Vec<Test> {
    let known = Known { names, sources };
    let mut tests = Vec::<Test>::new();
    for node in items(node, "`tests`", findings) {
        if !node.is_mapping() {
            wrong_type(node, "a test", "a mapping", findings);
            continue;
        }
        let Some(test) = known.test(node, findings) else { continue };
        if let Some(first) = tests.iter().find(|other| other.name == test.name) {
            let diagnostic = Diagnostic::error("duplicate_name", format!("two tests are named {:?}", test.name.value))
                .at(&test.name.span);
            findings.push(
                diagnostic
                    .note_at(&first.name.span, "the first one is here")
                    .help("name one of them after what it shows"),
            );
        }
        tests.push(test);
    }
    tests
}

impl Known<'_> {
    fn test(&self, node: &Node, findings: &mut Diagnostics) -> Option<Test> {
        check_keys(node, &TEST_KEYS, findings);
        let name = match node.get("name") {
            Some(name) => text(name, "the name of a test", findings),
            None => {
                findings.push(
                    Diagnostic::error("missing_key", "this test has no name")
                        .at(node.span())
                        .help("write `name: what it shows`"),
                );
                None
            }
        };
        let given = node.get("given").map_or_else(Vec::new, |node| entries(node, "given", findings));
        let given = given.iter().filter_map(|entry| self.given(entry, findings)).collect();
        let mut restarts = node.get("restart").map_or_else(Vec::new, |node| restarts(node, findings));
        let mut expect = Vec::new();
        for node in node.get("expect").map_or(&[][..], |node| items(node, "`expect`", findings)) {
            self.expect(node, &mut expect, &mut restarts, findings);
        }
        let never = node.get("never").map_or(&[][..], |node| items(node, "`never`", findings));
        let never = never.iter().flat_map(|node| self.never(node, findings)).collect();
        let answers = node.get("answers").cloned();
        if let Some(answers) = answers.as_ref().filter(|answers| !answers.is_mapping()) {
            wrong_type(answers, "`answers`", "a mapping from models and services to their answers", findings);
        }
        restarts.sort_unstable();
        restarts.dedup();
        Some(Test { name: name?, given, expect, never, restarts, answers })
    }

    /// The rows of one source.
    fn given(&self, entry: &Entry, findings: &mut Diagnostics) -> Option<(Spanned<String>, Vec<GivenRow>)> {
        let name = &entry.key;
        let source = self.sources.iter().find(|source| source.name == *name);
        let declared = self.names.sources.contains(&name);
        if !declared && !name.contains('.') {
            let diagnostic = Diagnostic::error(
                "unknown_stream",
                format!("rows are given to `{name}`, which is no source of this pipeline"),
            )
            .at(&name.span);
            let sources = || self.names.sources.iter().map(|source| source.value.as_str());
            let help = match quoted(sources()) {
                Some(sources) => {
                    format!("the sources are {sources}; a stream of another pipeline is `pipeline.stream`")
                }
                None => "a stream of another pipeline is `pipeline.stream`".to_owned(),
            };
            findings.push(diagnostic.suggest(name, sources(), help));
        }
        let rows = items(&entry.value, &format!("what is given to `{name}`"), findings);
        let rows = rows.iter().filter_map(|row| given_row(row, source, findings)).collect();
        Some((name.clone(), rows))
    }

    /// One entry of `expect:`: a time and what is seen then, or a restart.
    fn expect(&self, node: &Node, expect: &mut Vec<Expect>, restarts: &mut Vec<Duration>, findings: &mut Diagnostics) {
        if !node.is_mapping() {
            wrong_type(node, "an expectation", "a mapping", findings);
            return;
        }
        restarts.extend(node.get("restart").map_or_else(Vec::new, |node| self::restarts(node, findings)));
        let streams = node
            .entries()
            .iter()
            .filter(|entry| !["at", "until", "restart"].contains(&entry.key.as_str()))
            .collect::<Vec<_>>();
        let time = |key: &str, findings: &mut Diagnostics| node.get(key).map(|node| keep_duration(node, key, findings));
        match (time("at", findings), time("until", findings)) {
            (Some(_), Some(_)) => {
                let diagnostic =
                    Diagnostic::error("wrong_test", "an expectation has both `at` and `until`").at(node.span());
                findings.push(diagnostic.help("`at` is for the rows of a stream at that time, `until` for what a sink was given up to then: make two of it"));
            }
            (None, None) => {
                if !streams.is_empty() || node.get("restart").is_none() {
                    let diagnostic = Diagnostic::error("missing_key", "an expectation says no time").at(node.span());
                    findings.push(
                        diagnostic.help("write `at: 6s` with a stream, `until: 6s` with a sink, or `restart: 6s`"),
                    );
                }
            }
            (at, until) => {
                for entry in &streams {
                    expect.extend(self.expected(
                        entry,
                        at.as_ref().and_then(Option::as_ref),
                        until.as_ref().and_then(Option::as_ref),
                        findings,
                    ));
                }
                if streams.is_empty() {
                    let diagnostic =
                        Diagnostic::error("missing_key", "an expectation names no stream and no sink").at(node.span());
                    findings
                        .push(diagnostic.help("write `{ at: 6s, stream: [rows] }` or `{ until: 6s, sink: [rows] }`"));
                }
            }
        }
    }

    /// One stream or sink of an expectation; exactly one of the times was written, and it is `None` if it was not understood.
    fn expected(
        &self,
        entry: &Entry,
        at: Option<&Spanned<Duration>>,
        until: Option<&Spanned<Duration>>,
        findings: &mut Diagnostics,
    ) -> Option<Expect> {
        let name = &entry.key;
        let rows = rows(&entry.value, name, findings);
        if let Some(until) = until {
            self.check_sink(name, findings);
            return Some(Expect::Sink { until: until.value, sink: name.clone(), rows });
        }
        let at = at?;
        if self.names.has_sink(name) {
            let diagnostic =
                Diagnostic::error("wrong_test", format!("`{name}` is a sink, and `at` is for the rows of a stream"))
                    .at(&name.span);
            findings.push(diagnostic.help(format!(
                "write `{{ until: {}, {name}: [..] }}` for what it was given up to then",
                crate::duration::format(at.value)
            )));
        } else {
            self.names.check_stream(name, findings);
        }
        Some(Expect::View { at: at.value, stream: name.clone(), rows })
    }

    fn check_sink(&self, name: &Spanned<String>, findings: &mut Diagnostics) {
        if self.names.has_sink(name) {
            return;
        }
        if self.names.answering.contains(&name) {
            let message = format!("`{name}` is a sink whose answers are a stream, and `until` is for other sinks");
            let help = format!("write `at:` and a time: `{{ at: 6s, {name}: [..] }}` for what came of it by then");
            findings.push(Diagnostic::error("wrong_test", message).at(&name.span).help(help));
            return;
        }
        let sinks = || self.names.sinks.iter().map(|sink| sink.value.as_str());
        let diagnostic =
            Diagnostic::error("unknown_sink", format!("this pipeline has no sink `{name}`")).at(&name.span);
        findings.push(if self.names.streams().any(|stream| stream == name.value) {
            diagnostic.help(format!("`{name}` is a stream: write `at:` and a time instead of `until:`"))
        } else {
            let help = quoted(sinks())
                .map_or_else(|| "add it under `sinks:`".to_owned(), |sinks| format!("the sinks are {sinks}"));
            diagnostic.suggest(name, sinks(), help)
        });
    }

    /// `{ stream: { column: pattern } }`, perhaps of several streams.
    fn never(&self, node: &Node, findings: &mut Diagnostics) -> Vec<(Spanned<String>, Node)> {
        if !node.is_mapping() {
            wrong_type(node, "an entry of `never`", "a mapping from a stream to a pattern", findings);
        }
        for entry in node.entries() {
            self.names.check_stream(&entry.key, findings);
            if !entry.value.is_mapping() {
                wrong_type(
                    &entry.value,
                    &format!("the pattern for `{}`", entry.key),
                    "a mapping from columns to conditions",
                    findings,
                );
            }
        }
        node.entries().iter().map(|entry| (entry.key.clone(), entry.value.clone())).collect()
    }
}

fn given_row(row: &Node, source: Option<&Source>, findings: &mut Diagnostics) -> Option<GivenRow> {
    if !row.is_mapping() {
        wrong_type(row, "a row", "a mapping", findings);
        return None;
    }
    if let Some(schema) = source.and_then(|source| source.schema.as_ref()) {
        for entry in row.entries().iter().filter(|entry| !ENGINE_COLUMNS.contains(&entry.key.as_str())) {
            check_column(&entry.key, schema, findings);
        }
    }
    let at = match row.get("at") {
        Some(at) => keep_duration(at, "at", findings)?.value,
        None => Duration::ZERO,
    };
    Some(GivenRow { at, row: row.clone() })
}

fn rows(node: &Node, name: &Spanned<String>, findings: &mut Diagnostics) -> Vec<Node> {
    let rows = items(node, &format!("what is expected of `{name}`"), findings);
    for row in rows.iter().filter(|row| !row.is_mapping()) {
        wrong_type(row, "a row", "a mapping", findings);
    }
    rows.to_vec()
}

/// One time or a list of them.
fn restarts(node: &Node, findings: &mut Diagnostics) -> Vec<Duration> {
    let times = if node.is_sequence() { node.items() } else { std::slice::from_ref(node) };
    times.iter().filter_map(|time| keep_duration(time, "restart", findings)).map(Spanned::into_inner).collect()
}
