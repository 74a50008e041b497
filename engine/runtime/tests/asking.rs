//! Operators that ask: every question is answered once, also when the process dies between question and answer, and what
//! cannot be answered says so.

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Int64Type};
use futures::future::BoxFuture;
use jarvis_runtime::arrival::{Arrival, Decoded};
use jarvis_runtime::asking::{Asker, Questions};
use jarvis_runtime::closed::ClosedBatch;
use jarvis_runtime::kinds::{
    Feed, LiveSource, OperatorKind, OperatorPlan, PlanContext, SinkDriver, SinkKind, SinkPlan, SourceKind, SourcePlan,
    StreamSpec,
};
use jarvis_runtime::publish::Publish;
use jarvis_runtime::{Control, Kinds, LiveOptions, Paths, Project, run_live};
use jarvis_spec::{Diagnostics, Node, Operator, SourceText, parse_pipeline};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::mpsc::channel;

/// Sends numbers from where the log has ended, one at a time.
#[derive(Clone)]
struct Numbers {
    until: i64,
}

impl LiveSource for Numbers {
    fn run(self: Box<Self>, feed: Feed) -> BoxFuture<'static, anyhow::Result<()>> {
        Box::pin(async move {
            for n in feed.restored.place as i64..self.until {
                let column: ArrayRef = Arc::new(Int64Array::from(vec![n]));
                let rows = RecordBatch::try_new(feed.stream.schema.clone(), vec![column])?;
                feed.send(Arrival::new(Decoded { rows, weights: None, errors: vec![], bytes: 0 })).await?;
            }
            feed.closed().await;
            Ok(())
        })
    }
}

impl SourceKind for Numbers {
    fn name(&self) -> &'static str {
        "numbers"
    }
    fn options(&self) -> schemars::Schema {
        schemars::json_schema!({ "type": "object" })
    }
    fn plan(&self, _: &StreamSpec, _: &Node, _: &PlanContext) -> Result<SourcePlan, Diagnostics> {
        Ok(SourcePlan::Live(Box::new(self.clone())))
    }
}

/// Doubles numbers, out of order; those that `fails` names it cannot, and it stops answering after `gives`.
#[derive(Clone)]
struct Doubles {
    asked: Arc<Mutex<Vec<i64>>>,
    gives: usize,
    purpose: &'static str,
    /// Answers when the graph has stopped.
    is_late: bool,
}

const CANNOT: i64 = 7;

impl Asker for Doubles {
    fn purpose(&self) -> String {
        self.purpose.to_owned()
    }
    fn run(self: Box<Self>, mut questions: Questions) -> BoxFuture<'static, anyhow::Result<()>> {
        Box::pin(async move {
            let mut given = 0;
            while let Some(asked) = questions.next().await {
                for question in asked.into_iter().rev() {
                    let n = question.alone().column(0).as_primitive::<Int64Type>().value(0);
                    self.asked.lock().expect("nobody panics").push(n);
                    if self.is_late {
                        questions.closed().await;
                    }
                    if given >= self.gives {
                        continue;
                    }
                    given += 1;
                    if n % CANNOT == 0 {
                        questions.fail(question, "no_double", format!("{n} has no double")).await?;
                        continue;
                    }
                    let twice: ArrayRef = Arc::new(Int64Array::from(vec![2 * n]));
                    questions.answer(vec![(question, vec![twice])]).await?;
                }
            }
            Ok(())
        })
    }
}

impl OperatorKind for Doubles {
    fn name(&self) -> &'static str {
        "double"
    }
    fn options(&self) -> schemars::Schema {
        schemars::json_schema!({ "type": "object" })
    }
    fn plan(&self, _: &Operator, _: &[StreamSpec], _: &PlanContext) -> Result<OperatorPlan, Diagnostics> {
        let adds = vec![Field::new("twice", DataType::Int64, false)];
        Ok(OperatorPlan::Asks { adds, asker: Box::new(self.clone()) })
    }
}

/// What a view holds, by what its sinks were told.
type Held = Arc<Mutex<BTreeMap<(i64, i64), i64>>>;

struct Sink(Held);

impl SinkDriver for Sink {
    fn write<'a>(&'a mut self, batch: &'a ClosedBatch) -> BoxFuture<'a, anyhow::Result<()>> {
        Box::pin(async {
            let column = |at: usize, row: usize| batch.rows.column(at).as_primitive::<Int64Type>().value(row);
            let mut held = self.0.lock().expect("nobody panics");
            for (row, diff) in batch.diffs.iter().enumerate() {
                *held.entry((column(0, row), column(1, row))).or_default() += diff;
            }
            held.retain(|_, count| *count != 0);
            Ok(())
        })
    }
    fn is_lasting(&self) -> bool {
        false
    }
}

struct SinkOf(Held);

impl SinkKind for SinkOf {
    fn name(&self) -> &'static str {
        "held"
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
  a: { numbers: {}, schema: { n: int64 }, retain: forever }
operators:
  doubled: { from: a, double: {}, retain: forever }
  answers: { sql: 'SELECT n, twice FROM doubled' }
  failed: { sql: \"SELECT count(*) AS n, count(*) AS m FROM system.errors WHERE code = 'no_double'\" }
sinks:
  s: { from: answers, held: {} }
";

fn project(until: i64, doubles: &Doubles, held: &Held) -> Project {
    written(PIPELINE, until, doubles, held)
}

fn written(yaml: &str, until: i64, doubles: &Doubles, held: &Held) -> Project {
    let pipeline = parse_pipeline(SourceText::new("p.yaml", yaml), &|_| None).expect("a pipeline");
    let kinds = Kinds {
        sources: vec![Box::new(Numbers { until })],
        operators: vec![Box::new(doubles.clone())],
        sinks: vec![Box::new(SinkOf(held.clone()))],
    };
    Project::build(vec![pipeline], &Paths::default(), &kinds).unwrap_or_else(|found| panic!("{found}"))
}

/// Runs until `done`; what was asked, and what the view held then.
fn run(
    until: i64,
    gives: usize,
    data: Option<&Path>,
    done: impl Fn(&BTreeMap<(i64, i64), i64>, &[i64]) -> bool,
) -> (Vec<i64>, BTreeMap<(i64, i64), i64>) {
    let (held, doubles) = (Held::default(), doubles_up_to(gives));
    let project = project(until, &doubles, &held);
    let options = LiveOptions { data: data.map(Path::to_owned), ..LiveOptions::default() };
    let (control, requests) = channel(1);
    let thread = std::thread::spawn(move || run_live(project, options, requests));
    let begun = Instant::now();
    while !done(&held.lock().expect("nobody panics"), &doubles.asked.lock().expect("nobody panics")) {
        assert!(begun.elapsed() < Duration::from_secs(20), "it takes too long: {held:?}, asked {:?}", doubles.asked);
        std::thread::sleep(Duration::from_millis(5));
    }
    // What is durable by now must be found again.
    std::thread::sleep(Duration::from_millis(100));
    control.blocking_send(Control::Stop).expect("it runs");
    thread.join().expect("no panic").expect("it ends as it was told to");
    let asked = doubles.asked.lock().expect("nobody panics").clone();
    let held = held.lock().expect("nobody panics").clone();
    (asked, held)
}

/// Gives so many answers.
fn doubles_up_to(gives: usize) -> Doubles {
    Doubles { asked: Arc::default(), gives, purpose: "", is_late: false }
}

fn doubles(until: i64) -> BTreeMap<(i64, i64), i64> {
    (0..until).filter(|n| n % CANNOT != 0).map(|n| ((n, 2 * n), 1)).collect()
}

#[test]
fn every_question_has_its_answer() {
    let (mut asked, held) = run(100, usize::MAX, None, |held, _| held.len() == doubles(100).len());
    asked.sort_unstable();
    assert_eq!(asked, (0..100).collect::<Vec<_>>());
    assert_eq!(held, doubles(100));
}

#[test]
fn what_was_not_answered_is_asked_again_and_nothing_else() {
    let folder = tempfile::tempdir().expect("a folder");
    let (first, before) = run(60, 25, Some(folder.path()), |_, asked| asked.len() == 60);
    assert!(before.len() < doubles(60).len() && !before.is_empty());
    let wanted = doubles(60);
    let (second, after) = run(60, usize::MAX, Some(folder.path()), |held, _| held.len() == wanted.len());
    assert_eq!(after, wanted, "each has one answer");
    let mut again: Vec<i64> = second.clone();
    again.sort_unstable();
    let mut unanswered: Vec<i64> = first[25..].to_vec();
    unanswered.sort_unstable();
    assert_eq!(again, unanswered, "only what had no answer is asked again");
    let (third, kept) = run(60, usize::MAX, Some(folder.path()), |held, _| held.len() == wanted.len());
    assert!(third.is_empty(), "{third:?}");
    assert_eq!(kept, wanted);
}

#[test]
fn an_answer_that_comes_after_the_end_is_no_failure() {
    let late = Doubles { is_late: true, ..doubles_up_to(usize::MAX) };
    let (project, (control, requests)) = (project(5, &late, &Held::default()), channel(1));
    let thread = std::thread::spawn(move || run_live(project, LiveOptions::default(), requests));
    let begun = Instant::now();
    while late.asked.lock().expect("nobody panics").is_empty() {
        assert!(begun.elapsed() < Duration::from_secs(20), "it is never asked");
        std::thread::sleep(Duration::from_millis(5));
    }
    control.blocking_send(Control::Stop).expect("it runs");
    thread.join().expect("no panic").expect("it ends as it was told to");
}

#[test]
fn a_changed_asker_is_asked_what_is_open_and_nothing_else() {
    let pipeline = PIPELINE.replace("double: {}", "double: { more: 1 }");
    let (mut open, mut asked, _) = edited(&pipeline, "", 35, 0);
    open.sort_unstable();
    asked.sort_unstable();
    assert_eq!(asked, open);
}

/// [`PIPELINE`] after an edit, whose sink counts the errors of that.
fn counting_errors() -> String {
    let pipeline = PIPELINE.replace("double: {}", "double: { more: 1 }").replace("'no_double'", "'edited'");
    pipeline.replace("{ from: answers", "{ from: failed")
}

#[test]
fn what_is_open_becomes_errors_when_something_else_is_done_now() {
    let (_, asked, errors) = edited(&counting_errors(), "halve", 0, 35);
    assert_eq!((asked, errors), (vec![], 35));
}

#[test]
fn what_is_open_becomes_errors_when_it_does_not_fit() {
    let pipeline = counting_errors()
        .replace("from: a, double", "from: b, double")
        .replace("operators:\n", "operators:\n  b: { sql: 'SELECT n + 1000 AS m, CAST(n AS DOUBLE) AS n FROM a' }\n");
    let (_, asked, errors) = edited(&pipeline, "", 60, 35);
    assert!(asked.iter().all(|n| *n >= 1000), "{asked:?}");
    assert_eq!(errors, 35);
}

/// What was open when the pipeline was edited, what was asked then, and how many errors that gave; waits for so many of
/// both.
fn edited(pipeline: &str, purpose: &'static str, questions: usize, errors: i64) -> (Vec<i64>, Vec<i64>, i64) {
    let (held, slow) = (Held::default(), doubles_up_to(25));
    let quick = Doubles { purpose, ..doubles_up_to(usize::MAX) };
    let (first, held_then) = (project(60, &slow, &held), Held::default());
    let second = written(pipeline, 60, &quick, &held_then);
    let counted = || held_then.lock().expect("nobody panics").keys().map(|(count, _)| *count).max().unwrap_or_default();
    let (control, requests) = channel(1);
    let thread = std::thread::spawn(move || run_live(first, LiveOptions::default(), requests));
    let wait = |what: &str, is_so: &dyn Fn() -> bool| {
        let begun = Instant::now();
        while !is_so() {
            assert!(begun.elapsed() < Duration::from_secs(20), "waited in vain: {what}");
            std::thread::sleep(Duration::from_millis(5));
        }
    };
    wait("the questions", &|| slow.asked.lock().expect("nobody panics").len() == 60);
    std::thread::sleep(Duration::from_millis(100));
    let (reply, answer) = tokio::sync::oneshot::channel();
    control.blocking_send(Control::Reload { project: Box::new(second), reply }).expect("it runs");
    answer.blocking_recv().expect("it answers").expect("it is taken over");
    wait("the other questions", &|| quick.asked.lock().expect("nobody panics").len() == questions);
    wait("the errors", &|| errors == 0 || counted() == errors);
    std::thread::sleep(Duration::from_millis(100));
    control.blocking_send(Control::Stop).expect("it runs");
    thread.join().expect("no panic").expect("it ends as it was told to");
    let open = slow.asked.lock().expect("nobody panics")[25..].to_vec();
    let asked = quick.asked.lock().expect("nobody panics").clone();
    (open, asked, counted())
}
