//! A source that yields nothing but errors fills neither the memory nor hides that it does.

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use futures::future::BoxFuture;
use jarvis_runtime::arrival::{Arrival, Decoded, RowError};
use jarvis_runtime::closed::ClosedBatch;
use jarvis_runtime::kinds::{
    Feed, LiveSource, PlanContext, SinkDriver, SinkKind, SinkPlan, SourceKind, SourcePlan, StreamSpec,
};
use jarvis_runtime::publish::Publish;
use jarvis_runtime::{Control, Kinds, LiveOptions, Paths, Project, run_live};
use jarvis_spec::{Diagnostics, Node, SourceText, parse_pipeline};
use std::sync::{Arc, Mutex};

const ARRIVALS: usize = 30;
const EACH: usize = 5_000;
/// What stays in `system.errors` at most.
const KEPT: i64 = 100_000;

/// Fails `ARRIVALS * EACH` times, then asks for the end.
struct Nonsense(tokio::sync::mpsc::Sender<Control>);

impl LiveSource for Nonsense {
    fn run(self: Box<Self>, feed: Feed) -> BoxFuture<'static, anyhow::Result<()>> {
        Box::pin(async move {
            for arrival in 0..ARRIVALS {
                let error = |n: usize| RowError {
                    code: "json_syntax",
                    message: "no JSON".to_owned(),
                    input: format!("{}", arrival * EACH + n),
                };
                let rows = RecordBatch::new_empty(feed.stream.schema.clone());
                let decoded = Decoded { rows, weights: None, errors: (0..EACH).map(error).collect(), bytes: 0 };
                feed.send(Arrival { decoded, on_safe: None }).await?;
            }
            self.0.send(Control::Stop).await.ok();
            feed.closed().await;
            Ok(())
        })
    }
}

struct Source(tokio::sync::mpsc::Sender<Control>);

impl SourceKind for Source {
    fn name(&self) -> &'static str {
        "nonsense"
    }
    fn options(&self) -> schemars::Schema {
        schemars::json_schema!({ "type": "object" })
    }
    fn plan(&self, _: &StreamSpec, _: &Node, _: &PlanContext) -> Result<SourcePlan, Diagnostics> {
        Ok(SourcePlan::Live(Box::new(Nonsense(self.0.clone()))))
    }
}

/// The newest row that a sink was told.
type Told = Arc<Mutex<Vec<(i64, i64)>>>;

struct Sink(Told);

impl SinkDriver for Sink {
    fn write<'a>(&'a mut self, batch: &'a ClosedBatch) -> BoxFuture<'a, anyhow::Result<()>> {
        Box::pin(async {
            let column = |at: usize| batch.rows.column(at).as_primitive::<Int64Type>();
            let newest = (0..batch.diffs.len()).rfind(|row| batch.diffs[*row] > 0 && column(1).is_valid(*row));
            if let Some(row) = newest {
                self.0.lock().expect("nobody panics").push((column(0).value(row), column(1).value(row)));
            }
            Ok(())
        })
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

#[test]
fn only_the_newest_errors_stay() {
    let yaml = "pipeline: p\nsources:\n  a: { nonsense: {}, schema: { v: int64 }, retain: forever }\n\
                operators:\n  faults: { sql: 'SELECT count(*) AS n, min(CAST(input AS BIGINT)) AS oldest FROM system.errors' }\n\
                sinks:\n  s: { from: faults, told: {} }\n";
    let pipeline = parse_pipeline(SourceText::new("p.yaml", yaml), &|_| None).expect("a pipeline");
    let (control, requests) = tokio::sync::mpsc::channel(1);
    let told = Told::default();
    let kinds = Kinds { sources: vec![Box::new(Source(control))], sinks: vec![Box::new(SinkOf(told.clone()))] };
    let project = Project::build(vec![pipeline], &Paths::default(), &kinds).expect("a project");
    run_live(project, LiveOptions::default(), requests).expect("it ends as it was told to");
    let told = told.lock().expect("nobody panics");
    assert!(told.iter().all(|(n, _)| *n <= KEPT), "{told:?}");
    assert_eq!(told.last(), Some(&(KEPT, (ARRIVALS * EACH) as i64 - KEPT)));
}
