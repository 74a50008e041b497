//! From the YAML of a file to a [`Pipeline`].
//!
//! Reading goes on after a finding, so that one run shows all of them. What a kind's options mean, which kinds there are and
//! what the SQL says is not known here; what `from` and the tests name inside this file is.

mod answering;
mod fields;
mod test_case;

use crate::node::{Entry, Node};
use crate::{
    Diagnostic, Diagnostics, OnError, Operator, Pipeline, Retain, Sink, Source, SourceText, Span, Spanned, schema, yaml,
};
use arrow::datatypes::{DataType, SchemaRef};
use fields::{check_keys, entries, keep_duration, quoted, stream_reference, text};
use std::sync::Arc;

const TOP_KEYS: [&str; 6] = ["pipeline", "about", "sources", "operators", "sinks", "tests"];
const SOURCE_KEYS: [&str; 6] = ["schema", "time", "lateness", "retain", "history", "key"];
const OPERATOR_KEYS: [&str; 4] = ["from", "on_error", "retain", "history"];
const SINK_KEYS: [&str; 2] = ["from", "when"];
/// Schema names that SQL already has a meaning for.
const RESERVED_PIPELINES: [&str; 4] = ["facility", "system", "lineage", "information_schema"];

/// Reads a pipeline file; `environment` answers `${NAME}` (see [`crate::env::process`]). All findings are reported at once, in the order of the file.
pub fn parse_pipeline(
    text: Arc<SourceText>,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<Pipeline, Diagnostics> {
    parse_with_answering(text, environment, &[])
}

/// As [`parse_pipeline`]; sinks of the kinds `answering` are the operators that they are: what comes of them is a stream.
pub fn parse_with_answering(
    text: Arc<SourceText>,
    environment: &dyn Fn(&str) -> Option<String>,
    answering: &[&str],
) -> Result<Pipeline, Diagnostics> {
    let reading = yaml::read(&text, environment);
    let mut findings = Diagnostics::default();
    let pipeline = reading.root.as_ref().and_then(|root| pipeline(&text, root, answering, &mut findings));
    findings.0.retain(|finding| !reading.explains(finding));
    findings.extend(reading.findings);
    match pipeline {
        Some(pipeline) if !findings.has_errors() => Ok(pipeline),
        _ => {
            findings.sort();
            Err(findings)
        }
    }
}

fn pipeline(text: &Arc<SourceText>, root: &Node, answering: &[&str], findings: &mut Diagnostics) -> Option<Pipeline> {
    let start = Span::start_of(text);
    if root.is_null() {
        findings.push(
            Diagnostic::error("empty_file", "the file says nothing").at(&start).help("begin with `pipeline: name`"),
        );
        return None;
    }
    if !root.is_mapping() {
        let message = format!("a pipeline must be a mapping, but this is {}", root.describe());
        findings.push(Diagnostic::error("wrong_type", message).at(root.span()).help("begin with `pipeline: name`"));
        return None;
    }
    check_keys(root, &TOP_KEYS, findings);
    let name = root.get("pipeline").and_then(|node| self::text(node, "the name of the pipeline", findings));
    match &name {
        Some(name) => check_pipeline_name(name, findings),
        None if root.get("pipeline").is_some() => {}
        None => findings.push(
            Diagnostic::error("missing_key", "the file does not name its pipeline")
                .at(&start)
                .help("begin with `pipeline: name`"),
        ),
    }
    let section = |key: &str, findings: &mut Diagnostics| {
        root.get(key).map_or_else(Vec::new, |node| entries(node, key, findings))
    };
    let (sources, operators, sinks) =
        (section("sources", findings), section("operators", findings), section("sinks", findings));
    let (answering, sinks): (Vec<_>, Vec<_>) = sinks.into_iter().partition(|entry| answering::is_one(entry, answering));
    let names = Names {
        pipeline: name.as_ref().map_or("", |name| name.value.as_str()),
        sources: sources.iter().map(|entry| &entry.key).collect(),
        operators: operators.iter().map(|entry| &entry.key).collect(),
        answering: answering.iter().map(|entry| &entry.key).collect(),
        sinks: sinks.iter().map(|entry| &entry.key).collect(),
    };
    names.check(findings);
    let sources = sources.iter().filter_map(|entry| source(entry, findings)).collect::<Vec<_>>();
    let tests = root.get("tests").map_or_else(Vec::new, |node| test_case::tests(node, &names, &sources, findings));
    let operators = operators.iter().filter_map(|entry| operator(entry, &names, findings)).collect::<Vec<_>>();
    let answering = answering.iter().filter_map(|entry| answering::operator(entry, &names, findings));
    Some(Pipeline {
        operators: operators.into_iter().chain(answering.collect::<Vec<_>>()).collect(),
        about: root.get("about").and_then(|node| about(node, findings)),
        text: Arc::clone(text),
        sinks: sinks.iter().filter_map(|entry| sink(entry, &names, findings)).collect(),
        sources,
        tests,
        name: name?,
    })
}

fn about(node: &Node, findings: &mut Diagnostics) -> Option<String> {
    if node.as_str().is_none() {
        fields::wrong_type(node, "`about`", "a text", findings);
    }
    node.as_str().map(str::to_owned)
}

fn check_pipeline_name(name: &Spanned<String>, findings: &mut Diagnostics) {
    fields::check_name(name, "pipeline", findings);
    if RESERVED_PIPELINES.contains(&name.as_str()) {
        let message = format!("the pipeline name `{name}` is reserved");
        findings.push(
            Diagnostic::error("reserved_name", message)
                .at(&name.span)
                .help("in SQL it stands for tables of the engine: choose another name"),
        );
    }
}

/// What one file names.
struct Names<'n> {
    pipeline: &'n str,
    sources: Vec<&'n Spanned<String>>,
    operators: Vec<&'n Spanned<String>>,
    /// Sinks whose answers are streams of their names.
    answering: Vec<&'n Spanned<String>>,
    /// The other sinks.
    sinks: Vec<&'n Spanned<String>>,
}

impl<'n> Names<'n> {
    /// Names that SQL, `from` and tests can read.
    fn streams(&self) -> impl Iterator<Item = &'n str> {
        self.sources.iter().chain(&self.operators).chain(&self.answering).map(|name| name.value.as_str())
    }

    fn has_sink(&self, name: &str) -> bool {
        self.sinks.iter().any(|sink| sink.value == name)
    }

    /// Sources, operators and sinks share one set of names, because tests name all three.
    fn check(&self, findings: &mut Diagnostics) {
        let sinks = [("sink", &self.answering), ("sink", &self.sinks)];
        let all = [("source", &self.sources), ("operator", &self.operators)].into_iter().chain(sinks);
        let mut seen = std::collections::HashMap::new();
        for (what, name) in all.flat_map(|(what, names)| names.iter().map(move |name| (what, *name))) {
            fields::check_name(name, what, findings);
            if let Some((other, first)) = seen.insert(name.value.as_str(), (what, &name.span)) {
                let message = format!("the name `{name}` of this {what} is taken by the {other} of the same name");
                let help = match self.answering.contains(&name) {
                    true => "this sink answers, and its answers are a stream of its name: give it a name of its own",
                    false => "give each source, operator and sink of a pipeline a name of its own",
                };
                findings.push(
                    Diagnostic::error("duplicate_name", message)
                        .at(&name.span)
                        .note_at(first, "it stands here already")
                        .help(help),
                );
            }
        }
    }

    /// Checks the name of a stream to be read: of this pipeline, or `pipeline.stream` of another.
    fn check_stream(&self, name: &Spanned<String>, findings: &mut Diagnostics) {
        let local = match stream_reference(name, findings) {
            None => return,
            Some((Some(pipeline), _)) if pipeline != self.pipeline => return,
            Some((_, local)) => local,
        };
        if self.streams().any(|stream| stream == local) {
            return;
        }
        let diagnostic =
            Diagnostic::error("unknown_stream", format!("this pipeline has no stream `{local}`")).at(&name.span);
        findings.push(if self.has_sink(local) {
            diagnostic
                .help(format!("`{local}` is a sink, which cannot be read: name the stream that it takes its rows from"))
        } else {
            diagnostic.suggest(local, self.streams(), self.readable())
        });
    }

    fn readable(&self) -> String {
        match quoted(self.streams()) {
            Some(streams) => format!("the streams here are {streams}; one of another pipeline is `pipeline.stream`"),
            None => "add it under `sources:` or `operators:`; one of another pipeline is `pipeline.stream`".to_owned(),
        }
    }
}

/// The one key of a definition that is not common to all definitions of its section.
fn kind<'n>(
    entry: &'n Entry,
    what: &str,
    common: &[&str],
    examples: &str,
    findings: &mut Diagnostics,
) -> Option<&'n Entry> {
    let name = &entry.key;
    if !entry.value.is_mapping() && !entry.value.is_null() {
        let message = format!("the {what} `{name}` must be a mapping, but is {}", entry.value.describe());
        findings.push(
            Diagnostic::error("wrong_type", message).at(entry.value.span()).help(format!("write {examples} below it")),
        );
        return None;
    }
    let others = entry.value.entries().iter().filter(|e| !common.contains(&e.key.as_str())).collect::<Vec<_>>();
    let near = |e: &&&Entry| crate::nearest(&e.key, common.iter().copied()).is_some();
    match others.as_slice() {
        [one] => Some(one),
        [] => {
            findings.push(
                Diagnostic::error("missing_kind", format!("the {what} `{name}` has no kind"))
                    .at(&name.span)
                    .help(format!("write {examples} below it")),
            );
            None
        }
        several => match several.iter().filter(|e| !near(e)).collect::<Vec<_>>().as_slice() {
            [kind] => {
                for other in several.iter().filter(near) {
                    let diagnostic =
                        Diagnostic::error("unknown_key", format!("`{}` is not a key of a {what}", other.key))
                            .at(&other.key.span);
                    findings.push(
                        diagnostic
                            .suggest(&other.key, common.iter().copied(), "remove it")
                            .note(format!("besides these keys a {what} has one kind, here `{}`", kind.key)),
                    );
                }
                Some(kind)
            }
            _ => {
                findings.push(several_kinds(name, what, common, several));
                None
            }
        },
    }
}

fn several_kinds(name: &Spanned<String>, what: &str, common: &[&str], several: &[&Entry]) -> Diagnostic {
    let kinds = quoted(several.iter().map(|e| e.key.as_str())).unwrap_or_default();
    let common = quoted(common.iter().copied()).unwrap_or_default();
    let mut diagnostic =
        Diagnostic::error("several_kinds", format!("the {what} `{name}` has {} kinds: {kinds}", several.len()));
    for other in &several[1..] {
        diagnostic = diagnostic.note_at(&other.key.span, format!("`{}` stands here", other.key));
    }
    diagnostic.at(&several[0].key.span).help(format!("keep one; besides its kind a {what} has the keys {common}"))
}

fn source(entry: &Entry, findings: &mut Diagnostics) -> Option<Source> {
    let kind = kind(entry, "source", &SOURCE_KEYS, "a kind such as `mqtt:` or `file:`", findings);
    let node = &entry.value;
    let schema = node.get("schema").and_then(|node| match schema::parse_schema(node) {
        Ok(schema) => Some(Spanned::new(schema, node.span().clone())),
        Err(errors) => {
            findings.extend(errors);
            None
        }
    });
    let time = node.get("time").and_then(|node| text(node, "`time`", findings));
    let key = node.get("key").map_or_else(Vec::new, |node| fields::texts(node, "`key`", findings));
    if let Some(schema) = &schema {
        check_time(time.as_ref(), schema, findings);
        for (index, name) in key.iter().enumerate() {
            check_column(name, schema, findings);
            if key[..index].contains(name) {
                findings.push(
                    Diagnostic::error("duplicate_name", format!("the column `{name}` is twice in the key"))
                        .at(&name.span)
                        .help("keep one of the two"),
                );
            }
        }
    }
    let lateness = node.get("lateness").and_then(|node| keep_duration(node, "lateness", findings));
    let retain = node.get("retain").and_then(|node| how_long(node, "retain", findings));
    let history = node.get("history").and_then(|node| how_long(node, "history", findings));
    let kind = kind?;
    Some(Source {
        name: entry.key.clone(),
        kind: kind.key.clone(),
        options: kind.value.clone(),
        schema,
        time,
        lateness,
        retain,
        history,
        key,
    })
}

fn check_time(time: Option<&Spanned<String>>, schema: &SchemaRef, findings: &mut Diagnostics) {
    let Some(time) = time else { return };
    if !check_column(time, schema, findings) {
        return;
    }
    if let Ok(field) = schema.field_with_name(time)
        && !matches!(field.data_type(), DataType::Timestamp(..))
    {
        let message =
            format!("the time column `{time}` must be a timestamp, but is {}", schema::field_type_name(field));
        findings.push(Diagnostic::error("wrong_type", message).at(&time.span).help(format!("write `{time}: timestamp` in the schema; numbers are milliseconds, or say timestamp(s), timestamp(us), timestamp(ns)")));
    }
}

/// Whether the schema declares the column.
fn check_column(name: &Spanned<String>, schema: &SchemaRef, findings: &mut Diagnostics) -> bool {
    let known = schema.column_with_name(name).is_some();
    if !known {
        let columns = schema.fields().iter().map(|field| field.name().as_str());
        let listed = format!("the columns are {}", quoted(columns.clone()).unwrap_or_default());
        findings.push(
            Diagnostic::error("unknown_column", format!("the schema has no column `{name}`"))
                .at(&name.span)
                .suggest(name, columns, listed),
        );
    }
    known
}

fn how_long(node: &Node, key: &str, findings: &mut Diagnostics) -> Option<Spanned<Retain>> {
    if node.as_str() == Some("forever") {
        return Some(Spanned::new(Retain::Forever, node.span().clone()));
    }
    let retain = keep_duration(node, key, findings)?;
    if retain.value.is_zero() {
        let (what, help) = match key {
            "retain" => {
                ("no row would ever count", "write how long a row counts, such as 10m, or forever for a small table")
            }
            _ => ("nothing would ever be kept", "write how long rows are kept, such as 90d, or forever"),
        };
        let message = format!("with `{key}: 0` {what}");
        findings.push(Diagnostic::error("wrong_value", message).at(node.span()).help(help));
    }
    Some(retain.map(Retain::For))
}

fn operator(entry: &Entry, names: &Names<'_>, findings: &mut Diagnostics) -> Option<Operator> {
    let kind = kind(entry, "operator", &OPERATOR_KEYS, "a kind such as `sql:`", findings);
    let from = entry.value.get("from").map_or_else(Vec::new, |node| fields::texts(node, "`from`", findings));
    for stream in &from {
        names.check_stream(stream, findings);
    }
    let on_error = entry.value.get("on_error").and_then(|node| {
        let choices = [("route", OnError::Route), ("drop", OnError::Drop), ("fail", OnError::Fail)];
        fields::choice(node, "on_error", &choices, findings)
    });
    let retain = entry.value.get("retain").and_then(|node| how_long(node, "retain", findings));
    let history = entry.value.get("history").and_then(|node| how_long(node, "history", findings));
    let kind = kind?;
    Some(Operator {
        name: entry.key.clone(),
        kind: kind.key.clone(),
        options: kind.value.clone(),
        from,
        on_error: on_error.unwrap_or_default(),
        retain,
        history,
    })
}

/// The stream that a sink takes its rows from.
fn sink_from(entry: &Entry, names: &Names<'_>, findings: &mut Diagnostics) -> Option<Spanned<String>> {
    let from = match entry.value.get("from") {
        Some(node) => text(node, "`from`", findings),
        None => {
            let message = format!("the sink `{}` does not say which stream it takes its rows from", entry.key);
            findings.push(
                Diagnostic::error("missing_key", message)
                    .at(&entry.key.span)
                    .help(format!("write `from: stream`; {}", names.readable())),
            );
            None
        }
    };
    if let Some(from) = &from {
        names.check_stream(from, findings);
    }
    from
}

fn sink(entry: &Entry, names: &Names<'_>, findings: &mut Diagnostics) -> Option<Sink> {
    let kind = kind(entry, "sink", &SINK_KEYS, "`from:` and a kind such as `mqtt:` or `file:`", findings);
    let from = sink_from(entry, names, findings);
    let when = entry.value.get("when");
    let closed = when.and_then(|node| fields::choice(node, "when", &[("closed", node.span().clone())], findings));
    let (kind, from) = (kind?, from?);
    Some(Sink {
        name: entry.key.clone(),
        from,
        kind: kind.key.clone(),
        options: kind.value.clone(),
        when_closed: closed,
    })
}
