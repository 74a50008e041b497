//! What is kept is ahead of the machine's clock, which somebody has set back: time goes on all the same.

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use futures::future::BoxFuture;
use jarvis_log::{Folder, Options, Tick, Writer};
use jarvis_runtime::arrival::{Arrival, Decoded};
use jarvis_runtime::closed::ClosedBatch;
use jarvis_runtime::kinds::{
    Feed, LiveSource, PlanContext, SinkDriver, SinkKind, SinkPlan, SourceKind, SourcePlan, StreamSpec,
};
use jarvis_runtime::publish::Publish;
use jarvis_runtime::{Control, Kinds, LiveOptions, Paths, Project, run_live};
use jarvis_spec::{Diagnostics, Node, SourceText, parse_pipeline};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::mpsc::channel;

/// One row.
#[derive(Clone)]
struct One;

impl LiveSource for One {
    fn run(self: Box<Self>, feed: Feed) -> BoxFuture<'static, anyhow::Result<()>> {
        Box::pin(async move {
            let column: ArrayRef = Arc::new(Int64Array::from(vec![1]));
            let rows = RecordBatch::try_new(feed.stream.schema.clone(), vec![column])?;
            feed.send(Arrival::new(Decoded { rows, weights: None, errors: vec![], bytes: 0 })).await?;
            feed.closed().await;
            Ok(())
        })
    }
}

impl SourceKind for One {
    fn name(&self) -> &'static str {
        "one"
    }
    fn options(&self) -> schemars::Schema {
        schemars::json_schema!({ "type": "object" })
    }
    fn plan(&self, _: &StreamSpec, _: &Node, _: &PlanContext) -> Result<SourcePlan, Diagnostics> {
        Ok(SourcePlan::Live(Box::new(self.clone())))
    }
}

/// The weights that a sink was told, with their times, µs.
type Told = Arc<Mutex<Vec<(u64, i64)>>>;

struct Sink(Told);

impl SinkDriver for Sink {
    fn write<'a>(&'a mut self, batch: &'a ClosedBatch) -> BoxFuture<'a, anyhow::Result<()>> {
        let told = batch.diffs.iter().map(|diff| (batch.upper, *diff));
        self.0.lock().expect("nobody panics").extend(told);
        Box::pin(async { Ok(()) })
    }
    fn is_lasting(&self) -> bool {
        false
    }
}

struct SinkOf(Told);

impl SinkKind for SinkOf {
    fn name(&self) -> &'static str {
        "told"
    }
    fn options(&self) -> schemars::Schema {
        schemars::json_schema!({ "type": "object" })
    }
    fn plan(&self, stream: &StreamSpec, _: &Node, _: &PlanContext) -> Result<SinkPlan, Diagnostics> {
        Ok(SinkPlan { publish: Publish::changes(&stream.name), driver: Box::new(Sink(self.0.clone())) })
    }
}

const PIPELINE: &str = "pipeline: p
sources:
  a: { one: {}, schema: { n: int64 }, retain: 1s }
operators:
  v: { sql: 'SELECT n FROM a' }
sinks:
  s: { from: v, told: {} }
";

/// A log whose last tick was at that time, µs since 1970.
fn log_with_a_tick_at(data: &Path, time: u64) {
    let folder = Folder::below(data);
    let lock = folder.lock().expect("nobody else has it");
    let writer = Writer::start(folder, lock, 0, Options::default(), Box::new(|_| {}), Box::new(|_| {}), None);
    let writer = writer.expect("a log");
    writer.append(Tick { time, ..Tick::default() }).and_then(|()| writer.flush()).expect("a tick");
}

#[test]
fn what_falls_due_falls_due_when_the_clock_was_set_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_micros() as u64;
    let ahead = now + 600_000_000;
    log_with_a_tick_at(folder.path(), ahead);
    let told = Told::default();
    let kinds = Kinds { sources: vec![Box::new(One)], operators: vec![], sinks: vec![Box::new(SinkOf(told.clone()))] };
    let pipeline = parse_pipeline(SourceText::new("p.yaml", PIPELINE), &|_| None).expect("a pipeline");
    let project = Project::build(vec![pipeline], &Paths::default(), &kinds).unwrap_or_else(|found| panic!("{found}"));
    let options = LiveOptions { data: Some(folder.path().to_owned()), ..LiveOptions::default() };
    let (control, requests) = channel(1);
    let thread = std::thread::spawn(move || run_live(project, options, requests));
    let begun = Instant::now();
    // The row comes, and no longer counts after a second.
    while told.lock().expect("nobody panics").len() < 2 && !thread.is_finished() {
        assert!(begun.elapsed() < Duration::from_secs(60), "it stands still: {told:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
    control.blocking_send(Control::Stop).expect("it runs");
    thread.join().expect("no panic").expect("it ends as it was told to");
    let told = told.lock().expect("nobody panics").clone();
    assert_eq!(told.iter().map(|(_, diff)| *diff).collect::<Vec<_>>(), [1, -1]);
    assert!(told[0].0 > ahead && told[1].0 >= told[0].0 + 1_000_000, "{told:?} after {ahead}");
}
