//! What the tests of the kinds share.

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use jarvis_runtime::arrival::{Arrival, Decoded};
use jarvis_runtime::kinds::{BoundedSource, Feed, PlanContext, SourceKind, SourcePlan, StreamSpec};
use jarvis_spec::schema::parse_type;
use jarvis_spec::{Diagnostic, Node, SourceText};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::Receiver;

/// Columns as a pipeline declares them.
pub fn schema(columns: &[(&str, &str)]) -> SchemaRef {
    Arc::new(Schema::new(columns.iter().map(|(name, of)| parse_type(name, of).expect(of)).collect::<Vec<_>>()))
}

pub fn stream(columns: &[(&str, &str)], key: &[usize]) -> StreamSpec {
    StreamSpec {
        name: "test.stream".to_owned(),
        schema: schema(columns),
        key: key.to_vec(),
        time: None,
        lateness: None,
    }
}

pub fn context(folder: &Path) -> PlanContext {
    PlanContext { folder: folder.to_owned(), config: Some(folder.to_owned()), data: None }
}

/// Options as they stand below a kind's key.
pub fn options(yaml: &str) -> Node {
    Node::read(&SourceText::new("test.yaml", yaml), &|_| None).expect(yaml)
}

pub fn plan(kind: &dyn SourceKind, stream: &StreamSpec, yaml: &str, folder: &Path) -> Result<SourcePlan, Diagnostic> {
    kind.plan(stream, &options(yaml), &context(folder))
        .map_err(|findings| findings.into_iter().next().expect("a finding"))
}

pub fn bounded(kind: &dyn SourceKind, stream: &StreamSpec, yaml: &str, folder: &Path) -> Arc<dyn BoundedSource> {
    match plan(kind, stream, yaml, folder) {
        Ok(SourcePlan::Bounded(source)) => source,
        Ok(SourcePlan::Live(_)) => panic!("the source is live"),
        Err(finding) => panic!("{finding}"),
    }
}

/// All chunks in order.
pub fn read_all(source: &dyn BoundedSource) -> Vec<Decoded> {
    std::iter::from_fn(|| source.next_chunk()).map(|chunk| source.decode(&chunk)).collect()
}

/// Rows as `value|value`, with `-` before a removal or retraction.
pub fn texts(decoded: &Decoded) -> Vec<String> {
    (0..decoded.rows.num_rows())
        .map(|row| {
            let weight = decoded.weights.as_ref().map_or(1, |weights| weights[row]);
            format!("{}{}", if weight < 0 { "-" } else { "" }, text(&decoded.rows, row))
        })
        .collect()
}

fn text(rows: &RecordBatch, row: usize) -> String {
    let options = FormatOptions::new().with_null("null");
    let values = rows
        .columns()
        .iter()
        .map(|column| ArrayFormatter::try_new(column, &options).expect("a type with a text").value(row).to_string());
    values.collect::<Vec<_>>().join("|")
}

pub fn all_texts(batches: &[Decoded]) -> Vec<String> {
    batches.iter().flat_map(texts).collect()
}

pub fn codes(batches: &[Decoded]) -> Vec<&'static str> {
    batches.iter().flat_map(|decoded| &decoded.errors).map(|error| error.code).collect()
}

/// A live source at work.
pub struct Running {
    pub arrivals: Receiver<(usize, Arrival)>,
    pub task: tokio::task::JoinHandle<anyhow::Result<()>>,
}

pub fn start(kind: &dyn SourceKind, stream: &StreamSpec, yaml: &str, folder: &Path) -> Running {
    let source = match plan(kind, stream, yaml, folder) {
        Ok(SourcePlan::Live(source)) => source,
        Ok(SourcePlan::Bounded(_)) => panic!("the source is bounded"),
        Err(finding) => panic!("{finding}"),
    };
    let (feed, arrivals) = Feed::channel(stream.clone(), 16);
    Running { arrivals, task: tokio::spawn(source.run(feed)) }
}

impl Running {
    /// What arrives next, within ten seconds.
    pub async fn next(&mut self) -> Decoded {
        let next = tokio::time::timeout(Duration::from_secs(10), self.arrivals.recv()).await;
        next.expect("something arrives within ten seconds").expect("the source runs").1.decoded
    }

    /// Stops the graph; the source must then end.
    pub async fn stop(self) {
        drop(self.arrivals);
        let ended = tokio::time::timeout(Duration::from_secs(10), self.task).await;
        ended.expect("the source ends within ten seconds").expect("it does not panic").expect("it ends well");
    }
}
