//! Runs the `tests:` of pipelines.
//!
//! A test has a clock of its own that starts at [`BASE`]. Rows given with the same `at` enter in one tick; further
//! ticks come wherever an operator must wake (rounded up to 10 ms) and at every time at which something is expected.
//!
//! * A view expected `at` a time is compared as a multiset with what it holds at the end of that time's tick. A column
//!   may be left out of the expected rows only if it is left out of all of them.
//! * A sink expected `until` a time is compared, in order, with everything it was told up to then; each expected row
//!   compares the columns it names, and `event` (raised, cleared), `_deleted` (of `as: state`) and `_diff` (of
//!   `as: changes`).
//! * `never` patterns are held against every row that appears in a stream.
//! * A stream that is not given has no rows, also where it is a table of the facility: a test does not depend on whose
//!   facility it runs in. Rows of the facility may leave columns out; they are null then.
//! * What an operator asks is answered by `answers:`; where there are none, by rows given to it, or not at all.
//! * What a step could not compute enters `system.errors` 10 ms later, as in a run; what could not be decoded, at once.
//!
//! Every test runs in the [`Variant`]s, which must agree with the first one.

mod answers;
mod bless;
mod expectation;
mod given;
mod literal;
mod pattern;
mod report;
mod run;
mod told;

pub use bless::{Blessed, bless};
pub use report::{Failure, TestReport, TestResult, Variant};

use crate::driver::Driver;
use crate::history::BASE;
use answers::Answers;
use expectation::Wanted;
use given::Given;
use jarvis_plan::{Compiled, Graph};
use jarvis_runtime::project::{PlannedSink, Project};
use jarvis_spec::{Expect, Pipeline, Test};
use run::{Run, Trace};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Instant;

/// Kills per test at most; a test with more input times is killed at that many of them, evenly spread.
const MOST_KILLS: usize = 24;

/// Runs the tests of all pipelines of a project.
///
/// `filter`: only tests whose `pipeline: name` contains it.
pub fn run_tests(project: &Project, filter: Option<&str>) -> TestReport {
    let mut report = TestReport::default();
    for pipeline in &project.pipelines {
        let wanted =
            |t: &&Test| filter.is_none_or(|f| format!("{}: {}", pipeline.name.value, t.name.value).contains(f));
        let tests: Vec<&Test> = pipeline.tests.iter().filter(wanted).collect();
        if tests.is_empty() {
            continue;
        }
        let mut bench = Bench::new(project, pipeline);
        for test in tests {
            let started = Instant::now();
            let failures = bench.test(test);
            report.results.push(TestResult {
                pipeline: pipeline.name.value.clone(),
                name: test.name.value.clone(),
                place: test.name.span.clone(),
                failures,
                elapsed: started.elapsed(),
            });
        }
    }
    report
}

/// The graph of a pipeline's tests, and the workers that run it.
struct Bench<'p> {
    project: &'p Project,
    pipeline: &'p Pipeline,
    graph: Arc<Graph>,
    /// `pipeline.stream` or `pipeline.sink` → position in the graph's outputs.
    streams: HashMap<String, usize>,
    sinks: HashMap<String, usize>,
    /// Operators that ask → position of their questions.
    questions: HashMap<String, usize>,
    drivers: BTreeMap<usize, Driver>,
}

impl<'p> Bench<'p> {
    fn new(project: &'p Project, pipeline: &'p Pipeline) -> Self {
        let mut compiled: Compiled = project.compiled.clone();
        let (mut streams, mut sinks) = (HashMap::new(), HashMap::new());
        let full = |name: &str| full_name(pipeline, name);
        for test in &pipeline.tests {
            let viewed = test
                .expect
                .iter()
                .filter_map(|e| if let Expect::View { stream, .. } = e { Some(stream) } else { None });
            for stream in viewed.chain(test.never.iter().map(|(s, _)| s)) {
                let name = full(stream);
                if !streams.contains_key(&name)
                    && let Some(output) = compiled.read(&name)
                {
                    streams.insert(name, output);
                }
            }
            for expect in &test.expect {
                if let Expect::Sink { sink, .. } = expect
                    && let name = full(sink)
                    && !sinks.contains_key(&name)
                    && let Some(output) = compiled.read_sink(&name)
                {
                    sinks.insert(name, output);
                }
            }
        }
        let asking = project.sinks.iter().filter(|sink| sink.asks.is_some());
        let questions = asking.filter_map(|sink| Some((sink.name.clone(), compiled.read_sink(&sink.name)?))).collect();
        let graph = Arc::new(compiled.graph);
        Bench { project, pipeline, graph, streams, sinks, questions, drivers: BTreeMap::new() }
    }

    /// What a test gives, how it answers, and what it expects.
    fn prepare(&self, test: &Test) -> Result<(Given, Answers, Wanted), Box<Failure>> {
        let given = Given::read(self.project, self.pipeline, &self.graph, test)?;
        let answers = Answers::read(self.project, self.pipeline, &self.graph, &self.questions, test)?;
        Ok((given, answers, Wanted::read(self, test)?))
    }

    /// Runs one test in all variants.
    fn test(&mut self, test: &Test) -> Vec<Failure> {
        let (given, answers, wanted) = match self.prepare(test) {
            Ok(prepared) => prepared,
            Err(failure) => return vec![*failure],
        };
        let given = (&given, &answers);
        let (trace, failures) = self.variant(Variant::OneWorker, test, given, &wanted, None);
        let Some(trace) = trace.filter(|_| failures.is_empty()) else { return failures };
        for variant in [Variant::TwoWorkers, Variant::OneRowPerTick, Variant::Killed] {
            let (_, failures) = self.variant(variant, test, given, &wanted, Some(&trace));
            if !failures.is_empty() {
                return failures;
            }
        }
        vec![]
    }

    /// Runs one variant; compares with what is expected and with the trace of the first variant.
    fn variant(
        &mut self,
        variant: Variant,
        test: &Test,
        given: (&Given, &Answers),
        wanted: &Wanted,
        first: Option<&Trace>,
    ) -> (Option<Trace>, Vec<Failure>) {
        let trace = match self.trace(variant, test, given, wanted) {
            Ok(trace) => trace,
            Err(failure) => return (None, vec![*failure]),
        };
        let mut failures = wanted.compare(variant, &trace);
        if failures.is_empty()
            && let Some(first) = first
        {
            failures.extend(wanted.agree(variant, test, first, &trace));
        }
        (Some(trace), failures)
    }

    fn trace(
        &mut self,
        variant: Variant,
        test: &Test,
        given: (&Given, &Answers),
        wanted: &Wanted,
    ) -> Result<Trace, Box<Failure>> {
        let workers = if variant == Variant::TwoWorkers { 2 } else { 1 };
        let failed = |e: &dyn std::fmt::Display| {
            Box::new(Failure::new(variant, &test.name.span, format!("the test cannot run: {e}")))
        };
        let mut driver = match self.drivers.remove(&workers) {
            Some(mut driver) => {
                driver.restart(self.graph.clone()).map_err(|e| failed(&e))?;
                driver
            }
            None => Driver::start(self.graph.clone(), workers).map_err(|e| failed(&e))?,
        };
        let mut kills: Vec<u64> = test.restarts.iter().map(|r| BASE + r.as_micros() as u64).collect();
        if variant == Variant::Killed {
            let times = given.0.times();
            let step = times.len().div_ceil(MOST_KILLS).max(1);
            kills.extend(times.into_iter().step_by(step));
        }
        let run = Run::new(&mut driver, self.graph.clone(), given, wanted, variant, kills).and_then(Run::finish);
        let trace = run.map_err(|e| failed(&e))?;
        // A driver whose worker failed is not kept.
        self.drivers.insert(workers, driver);
        Ok(trace)
    }

    fn sink(&self, name: &str) -> Option<&'p PlannedSink> {
        self.project.sinks.iter().find(|s| s.name == name)
    }
}

/// A name as written in a pipeline, with the pipeline.
fn full_name(pipeline: &Pipeline, name: &str) -> String {
    if name.contains('.') { name.to_owned() } else { format!("{}.{name}", pipeline.name.value) }
}
