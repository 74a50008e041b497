//! A panic ends the run with its message, wherever it happens, and nobody waits for who panicked.

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use futures::future::BoxFuture;
use jarvis_runtime::arrival::{Arrival, Decoded};
use jarvis_runtime::closed::ClosedBatch;
use jarvis_runtime::kinds::{
    BoundedSource, Chunk, Feed, LiveSource, PlanContext, SinkDriver, SinkKind, SinkPlan, SourceKind, SourcePlan,
    StreamSpec,
};
use jarvis_runtime::publish::Publish;
use jarvis_runtime::{BatchOptions, Control, Kinds, LiveOptions, Paths, Project, run_batch, run_live};
use jarvis_spec::{Diagnostics, Node, SourceText, parse_pipeline};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

/// Nothing here takes this long unless it never ends.
const PATIENCE: Duration = Duration::from_secs(60);
const CHUNKS: u64 = 50;

fn rows(column: ArrayRef) -> Decoded {
    let rows = RecordBatch::try_from_iter([("v", column)]).expect("one column");
    Decoded { rows, weights: None, errors: vec![], bytes: 8 }
}

fn numbers() -> Decoded {
    rows(Arc::new(Int64Array::from(vec![1, 2, 3])))
}

/// The kind `test` of sources and sinks: its option says where it panics.
struct Test;

fn place(options: &Node) -> String {
    options.as_str().expect("a place").to_owned()
}

struct Bounded {
    panics: String,
    next: AtomicU64,
}

impl BoundedSource for Bounded {
    fn next_chunk(&self) -> Option<Chunk> {
        let index = self.next.fetch_add(1, Ordering::SeqCst);
        assert!(self.panics != "next_chunk" || index < CHUNKS / 2, "next_chunk went wrong");
        (index < CHUNKS).then_some(Chunk { index, start: index, end: index + 1 })
    }
    fn decode(&self, chunk: &Chunk) -> Decoded {
        assert!(self.panics != "decode" || chunk.index != CHUNKS / 2, "decode went wrong");
        match self.panics.as_str() {
            "worker" => rows(Arc::new(StringArray::from(vec!["no number"]))),
            _ => numbers(),
        }
    }
}

struct Live {
    panics: String,
}

impl LiveSource for Live {
    fn run(self: Box<Self>, feed: Feed) -> BoxFuture<'static, anyhow::Result<()>> {
        Box::pin(async move {
            let decoded = match self.panics.as_str() {
                "worker" => rows(Arc::new(StringArray::from(vec!["no number"]))),
                _ => numbers(),
            };
            feed.send(Arrival::new(decoded)).await?;
            assert_ne!(self.panics, "source", "the source went wrong");
            feed.closed().await;
            Ok(())
        })
    }
}

impl SourceKind for Test {
    fn name(&self) -> &'static str {
        "test"
    }
    fn options(&self) -> schemars::Schema {
        schemars::json_schema!({ "type": "string" })
    }
    fn plan(&self, _: &StreamSpec, options: &Node, _: &PlanContext) -> Result<SourcePlan, Diagnostics> {
        let panics = place(options);
        Ok(match panics.strip_prefix("live ") {
            Some(panics) => SourcePlan::Live(Box::new(Live { panics: panics.to_owned() })),
            None => SourcePlan::Bounded(Arc::new(Bounded { panics, next: AtomicU64::new(0) })),
        })
    }
}

struct Sink {
    panics: String,
}

impl SinkDriver for Sink {
    fn open(&mut self) -> BoxFuture<'_, anyhow::Result<()>> {
        assert_ne!(self.panics, "open", "open went wrong");
        Box::pin(async { Ok(()) })
    }
    fn write<'a>(&'a mut self, _: &'a ClosedBatch) -> BoxFuture<'a, anyhow::Result<()>> {
        Box::pin(async {
            assert_ne!(self.panics, "write", "write went wrong");
            Ok(())
        })
    }
    fn failed(&mut self) -> BoxFuture<'_, anyhow::Error> {
        Box::pin(async {
            match self.panics.as_str() {
                "later" => anyhow::anyhow!("the disk went away"),
                _ => std::future::pending().await,
            }
        })
    }
    fn finish(&mut self) -> BoxFuture<'_, anyhow::Result<()>> {
        Box::pin(async {
            assert_ne!(self.panics, "finish", "finish went wrong");
            Ok(())
        })
    }
}

impl SinkKind for Test {
    fn name(&self) -> &'static str {
        "test"
    }
    fn options(&self) -> schemars::Schema {
        schemars::json_schema!({ "type": "string" })
    }
    fn plan(&self, stream: &StreamSpec, options: &Node, _: &PlanContext) -> Result<SinkPlan, Diagnostics> {
        let driver = Box::new(Sink { panics: place(options) });
        Ok(SinkPlan { publish: Publish::changes(&stream.name), driver })
    }
}

fn project(source: &str, sink: &str) -> Project {
    let yaml = format!(
        "pipeline: p\nsources:\n  a: {{ test: {source}, schema: {{ v: int64 }}, retain: forever }}\n\
         operators:\n  o: {{ sql: 'SELECT v, count(*) AS n FROM a GROUP BY v' }}\n\
         sinks:\n  s: {{ from: o, test: {sink} }}\n"
    );
    let pipeline = parse_pipeline(SourceText::new("p.yaml", yaml), &|_| None).expect("a pipeline");
    let kinds = Kinds { sources: vec![Box::new(Test)], operators: vec![], sinks: vec![Box::new(Test)] };
    Project::build(vec![pipeline], &Paths::default(), &kinds).expect("a project")
}

/// What a run that fails says; it must end.
fn failure<T: Send + 'static>(run: impl FnOnce() -> anyhow::Result<T> + Send + 'static) -> String {
    let (tell, told) = channel();
    let thread = std::thread::spawn(move || tell.send(run().map(drop).map_err(|error| format!("{error:#}"))));
    match told.recv_timeout(PATIENCE) {
        Ok(ended) => ended.expect_err("the run fails"),
        Err(RecvTimeoutError::Timeout) => panic!("the run never ends"),
        Err(RecvTimeoutError::Disconnected) => panic!("the run itself panicked: {:?}", thread.join()),
    }
}

fn batch(source: &str, sink: &str, workers: usize) -> String {
    let project = project(source, sink);
    failure(move || run_batch(project, &BatchOptions { workers, tick: Duration::from_secs(1) }))
}

/// `stop`: it is told to stop at once. Otherwise nobody tells it anything.
fn live(source: &str, sink: &str, workers: usize, stop: bool) -> String {
    let project = project(&format!("live {source}"), sink);
    let (control, requests) = tokio::sync::mpsc::channel(1);
    if stop {
        assert!(control.try_send(Control::Stop).is_ok(), "there is room");
    }
    let said = failure(move || run_live(project, LiveOptions { workers, ..LiveOptions::default() }, requests));
    drop(control);
    said
}

fn assert_says(said: &str, words: &[&str]) {
    assert!(words.iter().all(|word| said.contains(word)), "{words:?} are not all in: {said}");
}

#[test]
fn a_source_that_panics_ends_a_batch() {
    for workers in [1, 2] {
        assert_says(&batch("decode", "never", workers), &["decode went wrong"]);
        assert_says(&batch("next_chunk", "never", workers), &["next_chunk went wrong"]);
    }
}

#[test]
fn a_worker_that_panics_ends_a_batch() {
    for workers in [1, 2] {
        assert_says(&batch("worker", "never", workers), &["a worker of the dataflow failed"]);
    }
}

#[test]
fn a_sink_that_panics_ends_a_batch() {
    for (place, workers) in [("open", 1), ("write", 1), ("write", 2), ("finish", 1)] {
        assert_says(&batch("never", place, workers), &["the sink p.s", "panicked", &format!("{place} went wrong")]);
    }
}

#[test]
fn a_source_that_panics_ends_a_live_run() {
    assert_says(&live("source", "never", 1, false), &["the source p.a", "panicked", "the source went wrong"]);
}

#[test]
fn a_worker_that_panics_ends_a_live_run() {
    for workers in [1, 2] {
        assert_says(&live("worker", "never", workers, false), &["a worker of the dataflow failed"]);
    }
}

#[test]
fn a_sink_that_panics_ends_a_live_run() {
    for place in ["open", "write"] {
        let said = live("never", place, 1, false);
        assert_says(&said, &["the sink p.s", "panicked", &format!("{place} went wrong")]);
    }
    assert_says(&live("never", "finish", 1, true), &["the sink p.s", "panicked", "finish went wrong"]);
}

#[test]
fn a_sink_that_fails_between_two_batches_ends_a_live_run() {
    assert_says(&live("never", "later", 1, false), &["the sink p.s", "the disk went away"]);
}
