//! What came of tests.

use jarvis_spec::{Diagnostic, Span, duration};
use std::fmt;
use std::time::Duration;

/// A way to run a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variant {
    /// On one worker, rows of one time in one tick.
    OneWorker,
    TwoWorkers,
    /// The rows of one `at` enter one by one, 1 µs apart, the last one at `at` itself. Views are compared at the times
    /// at which something is expected, sinks by what their view holds then: between the rows, more may be told.
    OneRowPerTick,
    /// The engine is killed and restored at every time at which rows enter.
    Killed,
}

impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Variant::OneWorker => "one worker",
            Variant::TwoWorkers => "two workers",
            Variant::OneRowPerTick => "one row per tick",
            Variant::Killed => "killed and restored at each input",
        })
    }
}

/// Something that was not as expected.
#[derive(Clone, Debug)]
pub struct Failure {
    pub variant: Variant,
    /// What the test says there.
    pub place: Span,
    pub message: String,
    /// Rows expected and not found, as `{a: 1}`.
    pub missing: Vec<String>,
    /// Rows found and not expected.
    pub unexpected: Vec<String>,
    /// Rows that were as expected.
    pub right: Vec<String>,
    /// After the test's start.
    pub at: Option<Duration>,
}

impl Failure {
    pub(super) fn new(variant: Variant, place: &Span, message: impl Into<String>) -> Self {
        Failure {
            variant,
            place: place.clone(),
            message: message.into(),
            missing: vec![],
            unexpected: vec![],
            right: vec![],
            at: None,
        }
    }
    pub(super) fn rows(mut self, missing: Vec<String>, unexpected: Vec<String>, right: Vec<String>) -> Self {
        (self.missing, self.unexpected, self.right) = (missing, unexpected, right);
        self
    }
    pub(super) fn at(mut self, at: Duration) -> Self {
        self.at = Some(at);
        self
    }
    /// The failure with the place in the YAML shown.
    pub fn diagnostic(&self) -> Diagnostic {
        let at = self.at.map(|at| format!(" at {}", duration::format(at))).unwrap_or_default();
        let mut diagnostic = Diagnostic::error("test_failed", format!("{}{at}", self.message)).at(&self.place);
        let lines: Vec<String> = [("  ", &self.right), ("- ", &self.missing), ("+ ", &self.unexpected)]
            .iter()
            .flat_map(|(sign, rows)| rows.iter().map(move |r| format!("{sign}{r}")))
            .collect();
        if !lines.is_empty() {
            let title = "rows (- expected and missing, + not expected):";
            diagnostic = diagnostic.note(format!("{title}\n{}", lines.join("\n")));
        }
        if self.variant != Variant::OneWorker {
            diagnostic = diagnostic.note(format!("only with {}: with one worker the test passes", self.variant));
        }
        diagnostic
    }
}

/// One test.
#[derive(Clone, Debug)]
pub struct TestResult {
    pub pipeline: String,
    pub name: String,
    /// Where its name stands.
    pub place: Span,
    /// Empty: it passed, in all variants.
    pub failures: Vec<Failure>,
    /// Of all variants together.
    pub elapsed: Duration,
}

impl TestResult {
    pub fn passed(&self) -> bool {
        self.failures.is_empty()
    }
}

/// All tests that ran.
#[derive(Clone, Debug, Default)]
pub struct TestReport {
    pub results: Vec<TestResult>,
}

impl TestReport {
    pub fn passed(&self) -> usize {
        self.results.iter().filter(|r| r.passed()).count()
    }
    pub fn failed(&self) -> usize {
        self.results.len() - self.passed()
    }
}

/// A line per test, the failures below it; the last line is `N passed, N failed`.
impl fmt::Display for TestReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for result in &self.results {
            let word = if result.passed() { "ok    " } else { "FAILED" };
            writeln!(f, "{word} {}: {} ({} ms)", result.pipeline, result.name, result.elapsed.as_millis())?;
            for failure in &result.failures {
                writeln!(f, "{}\n", failure.diagnostic())?;
            }
        }
        write!(f, "{} passed, {} failed", self.passed(), self.failed())
    }
}
