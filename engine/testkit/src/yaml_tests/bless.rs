//! Writes what tests see into the YAML, in place of what they expect.

use super::Bench;
use super::expectation::Wanted;
use super::literal::shown_row;
use super::report::{Failure, Variant};
use super::run::Trace;
use super::told::WORDS;
use crate::value::Value;
use jarvis_runtime::project::Project;
use jarvis_spec::{Expect, Node, Pipeline, Test};
use std::path::PathBuf;

/// What was rewritten.
#[derive(Debug, Default)]
pub struct Blessed {
    /// The files that changed, and how many expectations in each.
    pub files: Vec<(PathBuf, usize)>,
    /// Tests that could not run; their expectations stay.
    pub failures: Vec<Failure>,
}

/// Rewrites the rows of expectations that do not hold, and leaves every other byte of the files as it is.
///
/// The rows keep the columns that were named; where there were none, all columns are written.
///
/// # Errors
/// A file that cannot be written.
pub fn bless(project: &Project, filter: Option<&str>) -> std::io::Result<Blessed> {
    let mut blessed = Blessed::default();
    for pipeline in &project.pipelines {
        let wanted =
            |t: &&Test| filter.is_none_or(|f| format!("{}: {}", pipeline.name.value, t.name.value).contains(f));
        let tests: Vec<&Test> = pipeline.tests.iter().filter(wanted).collect();
        if tests.is_empty() {
            continue;
        }
        let (edits, failures) = edits(project, pipeline, &tests);
        blessed.failures.extend(failures);
        if edits.is_empty() {
            continue;
        }
        let count = edits.len();
        let text = apply(&pipeline.text.text, edits);
        std::fs::write(&pipeline.text.path, text)?;
        blessed.files.push((pipeline.text.path.clone(), count));
    }
    Ok(blessed)
}

/// Bytes to replace, and by what.
struct Edit {
    start: usize,
    end: usize,
    text: String,
}

fn apply(text: &str, mut edits: Vec<Edit>) -> String {
    edits.sort_by_key(|e| std::cmp::Reverse(e.start));
    let mut out = text.to_owned();
    for edit in edits {
        out.replace_range(edit.start..edit.end, &edit.text);
    }
    out
}

fn edits(project: &Project, pipeline: &Pipeline, tests: &[&Test]) -> (Vec<Edit>, Vec<Failure>) {
    let (mut edits, mut failures) = (vec![], vec![]);
    let Ok(root) = Node::read(&pipeline.text, &jarvis_spec::env::process) else { return (edits, failures) };
    let mut bench = Bench::new(project, pipeline);
    for test in tests {
        let node = root
            .get("tests")
            .into_iter()
            .flat_map(Node::items)
            .find(|n| n.get("name").and_then(Node::as_str) == Some(&test.name.value));
        let Some(lists) = node.and_then(|n| n.get("expect")).map(lists) else { continue };
        let run = bench.prepare(test).and_then(|(given, answers, wanted)| {
            let trace = bench.trace(Variant::OneWorker, test, (&given, &answers), &wanted)?;
            Ok((wanted, trace))
        });
        match run {
            Ok((wanted, trace)) => edits.extend(changed(pipeline, test, &lists, &wanted, &trace)),
            Err(failure) => failures.push(*failure),
        }
    }
    (edits, failures)
}

/// The lists of rows below `expect:`, in the order in which the expectations were read.
fn lists(expect: &Node) -> Vec<&Node> {
    let words = ["at", "until", "restart"];
    expect
        .items()
        .iter()
        .flat_map(|item| item.entries().iter().filter(|e| !words.contains(&e.key.value.as_str())).map(|e| &e.value))
        .collect()
}

fn changed(pipeline: &Pipeline, test: &Test, lists: &[&Node], wanted: &Wanted, trace: &Trace) -> Vec<Edit> {
    let (mut views, mut heard) = (wanted.views.iter(), wanted.heard.iter());
    let mut out = vec![];
    for (expect, list) in test.expect.iter().zip(lists) {
        let rows = match expect {
            Expect::View { .. } => {
                let Some(view) = views.next() else { continue };
                if view.holds(trace) {
                    continue;
                }
                view.actual(trace).into_iter().map(|r| shown_row(&view.named_cells(r))).collect::<Vec<_>>()
            }
            Expect::Sink { rows, .. } => {
                let Some(heard) = heard.next() else { continue };
                if heard.holds(trace) {
                    continue;
                }
                let named: Vec<&str> = rows.iter().flat_map(Node::entries).map(|e| e.key.value.as_str()).collect();
                heard.actual(trace).into_iter().map(|t| shown_row(&kept(&t.cells, &named))).collect()
            }
        };
        out.push(edit(pipeline, list, &rows));
    }
    out
}

/// The cells that were named before; all of them if none was.
fn kept(cells: &[(String, Value)], named: &[&str]) -> Vec<(String, Value)> {
    let wanted = |name: &str| match name {
        "_removed" => named.contains(&name),
        _ if WORDS.contains(&name) => true,
        _ => named.is_empty() || named.contains(&name),
    };
    cells.iter().filter(|(n, _)| wanted(n)).cloned().collect()
}

/// A list in flow style, on one line if it is short.
fn edit(pipeline: &Pipeline, list: &Node, rows: &[String]) -> Edit {
    let span = list.span();
    let (start, end) = (span.start.offset, span.end.offset);
    let text = &pipeline.text.text;
    let line = text[..start].rfind('\n').map_or(0, |n| n + 1);
    let indent = text[line..start].chars().take_while(|c| *c == ' ').count();
    let one_line = format!("[ {} ]", rows.join(", "));
    let written = if rows.is_empty() {
        "[]".to_owned()
    } else if one_line.len() + (start - line) <= 160 {
        one_line
    } else {
        let inner = " ".repeat(indent + 4);
        let rows: Vec<String> = rows.iter().map(|r| format!("{inner}{r}")).collect();
        format!("[\n{}\n{}]", rows.join(",\n"), " ".repeat(indent + 2))
    };
    // An empty value: the key's colon needs a space behind it.
    let gap = if start == end && !text[..start].ends_with(' ') { " " } else { "" };
    // A block list may stand no deeper than its key; flow style may not.
    let own_line = text[line..start].trim().is_empty() && text[start..end].starts_with('-');
    let deeper = if own_line { "  " } else { "" };
    // The span of a block list reaches to the start of what follows.
    let trimmed = text[start..end].trim_end().len();
    Edit { start, end: start + trimmed, text: format!("{gap}{deeper}{written}") }
}
