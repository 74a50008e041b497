//! A source that yields nothing but errors, or rows that a step cannot compute, fills neither the memory nor hides that
//! it does; and a step that is to end the run does so, however its rows come to it.

use arrow::array::{Array, AsArray, RecordBatch, StringArray};
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
use std::thread::JoinHandle;
use tokio::sync::mpsc::{Sender, channel};
use tokio::sync::oneshot;

const ARRIVALS: usize = 30;
const EACH: usize = 5_000;
/// What stays in `system.errors` at most.
const KEPT: i64 = 100_000;

/// Who cannot make sense of the text.
#[derive(Clone, Copy, PartialEq)]
enum Fails {
    Decoding,
    InAStep,
}

/// Sends text that is no number, and says so once it is safe.
#[derive(Clone)]
struct Nonsense {
    fails: Fails,
    arrivals: usize,
    done: Sender<()>,
}

impl Nonsense {
    fn decoded(&self, arrival: usize, feed: &Feed) -> Decoded {
        let numbers = arrival * EACH..(arrival + 1) * EACH;
        let schema = feed.stream.schema.clone();
        if self.fails == Fails::InAStep {
            let texts = StringArray::from_iter_values(numbers.map(|n| format!("n{n}")));
            let rows = RecordBatch::try_new(schema, vec![Arc::new(texts)]).expect("one column of text");
            return Decoded { rows, weights: None, errors: vec![], bytes: 0 };
        }
        let error = |n| RowError { code: "json_syntax", message: "no JSON".to_owned(), input: format!("{{v: n{n}}}") };
        let errors = numbers.map(error).collect();
        Decoded { rows: RecordBatch::new_empty(schema), weights: None, errors, bytes: 0 }
    }
}

impl LiveSource for Nonsense {
    fn run(self: Box<Self>, feed: Feed) -> BoxFuture<'static, anyhow::Result<()>> {
        Box::pin(async move {
            for arrival in 0..self.arrivals {
                let (safe, is_safe) = oneshot::channel();
                let on_safe = Box::new(|| safe.send(()).expect("the source waits"));
                feed.send(Arrival { decoded: self.decoded(arrival, &feed), note: None, on_safe: Some(on_safe) })
                    .await?;
                is_safe.await?;
            }
            self.done.send(()).await?;
            feed.closed().await;
            Ok(())
        })
    }
}

impl SourceKind for Nonsense {
    fn name(&self) -> &'static str {
        "nonsense"
    }
    fn options(&self) -> schemars::Schema {
        schemars::json_schema!({ "type": "object" })
    }
    fn plan(&self, _: &StreamSpec, _: &Node, _: &PlanContext) -> Result<SourcePlan, Diagnostics> {
        Ok(SourcePlan::Live(Box::new(self.clone())))
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

/// A pipeline that runs, all of whose rows have failed.
struct Run {
    nonsense: Nonsense,
    told: Told,
    control: Sender<Control>,
    ended: JoinHandle<anyhow::Result<()>>,
}

impl Run {
    fn start(fails: Fails, arrivals: usize) -> Self {
        let (done, mut is_done) = channel(1);
        let (control, requests) = channel(1);
        let (nonsense, told) = (Nonsense { fails, arrivals, done }, Told::default());
        let first = project(&nonsense, &told, CAST, "count(*)");
        let ended = std::thread::spawn(|| run_live(first, LiveOptions::default(), requests));
        is_done.blocking_recv().expect("the source says so");
        Run { nonsense, told, control, ended }
    }
    fn ask<T>(&self, request: impl FnOnce(oneshot::Sender<T>) -> Control) -> T {
        let (reply, answer) = oneshot::channel();
        self.control.blocking_send(request(reply)).expect("it runs");
        answer.blocking_recv().expect("it answers")
    }
    fn reload(&self, step: &str, count: &str) -> anyhow::Result<()> {
        let project = Box::new(project(&self.nonsense, &self.told, step, count));
        self.ask(|reply| Control::Reload { project, reply })
    }
    fn stop(self) -> Vec<(i64, i64)> {
        self.control.blocking_send(Control::Stop).expect("it runs");
        self.ended.join().expect("no panic").expect("it ends as it was told to");
        std::mem::take(&mut *self.told.lock().expect("nobody panics"))
    }
}

const CAST: &str = "{ sql: 'SELECT CAST(v AS BIGINT) AS n FROM a' }";

fn project(nonsense: &Nonsense, told: &Told, step: &str, count: &str) -> Project {
    let yaml = format!(
        "pipeline: p\nsources:\n  a: {{ nonsense: {{}}, schema: {{ v: utf8 }}, retain: 10m }}\n\
         operators:\n  o: {step}\n  faults: {{ sql: \"SELECT {count} AS n, \
         min(CAST(split_part(btrim(input, '{{v: n}}'), ',', 1) AS BIGINT)) AS oldest FROM system.errors\" }}\n\
         sinks:\n  s: {{ from: faults, told: {{}} }}\n"
    );
    let pipeline = parse_pipeline(SourceText::new("p.yaml", yaml), &|_| None).expect("a pipeline");
    let kinds = Kinds {
        sources: vec![Box::new(nonsense.clone())],
        operators: vec![],
        sinks: vec![Box::new(SinkOf(told.clone()))],
    };
    Project::build(vec![pipeline], &Paths::default(), &kinds).expect("a project")
}

fn only_the_newest_stay(fails: Fails) {
    let told = Run::start(fails, ARRIVALS).stop();
    assert!(told.iter().all(|(n, _)| *n <= KEPT), "{told:?}");
    assert_eq!(told.last(), Some(&(KEPT, (ARRIVALS * EACH) as i64 - KEPT)));
}

#[test]
fn only_the_newest_errors_of_a_source_stay() {
    only_the_newest_stay(Fails::Decoding);
}

#[test]
fn only_the_newest_errors_of_a_step_stay() {
    only_the_newest_stay(Fails::InAStep);
}

#[test]
fn a_step_that_is_to_fail_does_so_at_a_reload_before_sinks_are_told() {
    let run = Run::start(Fails::InAStep, 1);
    let step = CAST.replace(" }", ", on_error: fail }");
    let refused = run.reload(&step, "1000000 + count(*)").expect_err("the step fails");
    assert!(format!("{refused:#}").contains("on_error: fail"), "{refused:#}");
    run.ended.join().expect("no panic").expect_err("the run ends with it");
    let told = run.told.lock().expect("nobody panics");
    assert!(told.iter().all(|(n, _)| *n < 1_000_000), "{told:?}");
}

#[test]
fn who_listens_to_errors_is_told_that_a_reload_has_mended_them() {
    let run = Run::start(Fails::InAStep, 1);
    let stream = "system.errors".to_owned();
    let mut tap = run.ask(|reply| Control::Tap { stream, reply }).expect("there is such a stream");
    run.reload("{ sql: 'SELECT v AS n FROM a' }", "count(*)").expect("it is taken over");
    run.stop();
    let changes = std::iter::from_fn(|| tap.changes.blocking_recv()).flat_map(|batch| batch.diffs);
    let (gone, come): (Vec<i64>, Vec<i64>) = changes.partition(|diff| *diff < 0);
    assert_eq!((tap.now.expect("it has content").num_rows() + come.len(), gone.len()), (EACH, EACH));
}
