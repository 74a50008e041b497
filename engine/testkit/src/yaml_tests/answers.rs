//! `answers:`: what a model or a service says in a test.
//!
//! By the operator that asks, one answer for every question, or a list of `{ to: {...}, answer: {...}, after: 50ms }`:
//! the first whose `to` meets the columns of the question answers it, `after` it was asked (10 ms if not said). A
//! question that nothing answers fails the test.

use super::full_name;
use super::pattern::Pattern;
use super::report::{Failure, Variant};
use super::run::Input;
use crate::driver::RASTER;
use crate::value::rows;
use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{Schema, SchemaRef};
use jarvis_dataflow::Delta;
use jarvis_plan::Graph;
use jarvis_runtime::project::Project;
use jarvis_sources::decode::{DEFAULT_MAX_PAYLOAD, Decoder, Format};
use jarvis_spec::{Node, Pipeline, Span, Test};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// Who answers, by the output that has the questions.
#[derive(Default)]
pub(super) struct Answers(BTreeMap<usize, Answerer>);

struct Answerer {
    operator: String,
    input: usize,
    schema: SchemaRef,
    entries: Vec<Entry>,
    span: Span,
}

/// One answer, to the questions that it is for.
struct Entry {
    to: Option<Pattern>,
    after: u64,
    /// One row of the columns that are added.
    added: Vec<ArrayRef>,
}

type Result<T> = std::result::Result<T, Box<Failure>>;

fn fail(span: &Span, message: impl Into<String>) -> Box<Failure> {
    Box::new(Failure::new(Variant::OneWorker, span, message))
}

impl Answers {
    /// `questions`: by operator, the output that has its questions.
    ///
    /// # Errors
    /// An operator that asks nothing, or answers that do not fit.
    pub fn read(
        project: &Project,
        pipeline: &Pipeline,
        graph: &Graph,
        questions: &HashMap<String, usize>,
        test: &Test,
    ) -> Result<Self> {
        let mut answers = Answers::default();
        for written in test.answers.iter().flat_map(Node::entries) {
            let operator = full_name(pipeline, &written.key);
            let asking = project.sinks.iter().find(|sink| sink.asks.is_some() && sink.name == operator);
            let (Some(asking), Some(output)) = (asking, questions.get(&operator)) else {
                return Err(fail(&written.key.span, format!("{operator} asks no model and no service")));
            };
            let input = graph.inputs.iter().position(|input| input.name == operator);
            let source = project.sources.iter().find(|source| source.spec.name == operator);
            let (Some(input), Some(source)) = (input, source) else {
                return Err(fail(&written.key.span, format!("{operator} has no answers")));
            };
            let schema = source.spec.schema.clone();
            let own = asking.spec.schema.fields().len();
            let added: SchemaRef = Arc::new(Schema::new(schema.fields()[own..].to_vec()));
            let one = [written.value.clone()];
            let list = if written.value.is_sequence() { written.value.items() } else { &one };
            let entries = list.iter().map(|node| entry(node, written.value.is_sequence(), &asking.spec.schema, &added));
            let entries = entries.collect::<Result<_>>()?;
            let span = written.value.span().clone();
            answers.0.insert(*output, Answerer { operator, input, schema, entries, span });
        }
        Ok(answers)
    }

    /// What comes of the changes of an output: rows of answers, and when they enter.
    ///
    /// # Errors
    /// A question that nothing answers.
    pub fn to(&self, output: usize, delta: &Delta, now: u64) -> std::result::Result<Vec<(u64, Input)>, String> {
        let Some(answerer) = self.0.get(&output) else { return Ok(vec![]) };
        let questions = rows(&delta.rows).map_err(|error| error.to_string())?;
        let mut given = vec![];
        for (row, question) in questions.iter().enumerate().filter(|(row, _)| delta.diffs[*row] > 0) {
            let Some(entry) = answerer.entries.iter().find(|e| e.to.as_ref().is_none_or(|to| to.matches(question)))
            else {
                let shown = jarvis_dataflow::ops::map::describe(&delta.rows, row);
                return Err(format!(
                    "nothing answers a question of {}: {shown} (see {})",
                    answerer.operator, answerer.span
                ));
            };
            let columns = delta.rows.slice(row, 1).columns().iter().chain(&entry.added).cloned().collect();
            let rows = RecordBatch::try_new(answerer.schema.clone(), columns).map_err(|error| error.to_string())?;
            let at = (now + entry.after.max(1)).div_ceil(RASTER) * RASTER;
            given.push((at, Input { input: answerer.input, rows, diffs: vec![delta.diffs[row]] }));
        }
        Ok(given)
    }
}

fn entry(node: &Node, is_listed: bool, question: &Schema, added: &SchemaRef) -> Result<Entry> {
    if !node.is_mapping() {
        return Err(fail(node.span(), "an answer is a mapping from columns to values"));
    }
    if !is_listed {
        return Ok(Entry { to: None, after: RASTER, added: row(node, added)? });
    }
    let known = ["to", "answer", "after"];
    if let Some(other) = node.entries().iter().find(|entry| !known.contains(&entry.key.as_str())) {
        return Err(fail(&other.key.span, format!("`{}` is none of to, answer, after", other.key.value)));
    }
    let Some(answer) = node.get("answer") else {
        return Err(fail(node.span(), "this answer says nothing: write `answer: { column: value }`"));
    };
    let to = node.get("to").map(|to| Pattern::read(to, question)).transpose()?;
    let after = match node.get("after") {
        None => RASTER,
        Some(after) => {
            let read = jarvis_spec::duration::parse(after.as_str().unwrap_or_default());
            read.map_err(|error| fail(after.span(), error.to_string()))?.as_micros() as u64
        }
    };
    Ok(Entry { to, after, added: row(answer, added)? })
}

/// A row as it would be decoded.
fn row(node: &Node, schema: &SchemaRef) -> Result<Vec<ArrayRef>> {
    if let Some(other) = node.entries().iter().find(|entry| schema.index_of(&entry.key).is_err()) {
        let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
        let message = format!("an answer has no column {}; its columns are {}", other.key.value, names.join(", "));
        return Err(fail(&other.key.span, message));
    }
    let mut decoder = Decoder::new(schema.clone(), &[], Format::Json, &[], DEFAULT_MAX_PAYLOAD)
        .map_err(|error| fail(node.span(), error.to_string()))?;
    decoder.push(node.to_json().to_string().as_bytes(), &[]);
    let decoded = decoder.finish();
    if let Some(error) = decoded.errors.first() {
        return Err(fail(node.span(), error.message.clone()));
    }
    Ok(decoded.rows.columns().to_vec())
}
