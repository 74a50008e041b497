//! What a pipeline file says, as data.

use crate::{Node, SourceText, Spanned};
use arrow::datatypes::SchemaRef;
use std::sync::Arc;
use std::time::Duration;

/// One pipeline file.
#[derive(Clone, Debug)]
pub struct Pipeline {
    /// `[a-z][a-z0-9_]*`; in SQL it is the schema name.
    pub name: Spanned<String>,
    pub about: Option<String>,
    pub text: Arc<SourceText>,
    pub sources: Vec<Source>,
    pub operators: Vec<Operator>,
    pub sinks: Vec<Sink>,
    pub tests: Vec<Test>,
}

/// An input stream: where its rows come from and how long they count.
#[derive(Clone, Debug)]
pub struct Source {
    pub name: Spanned<String>,
    /// The kind's key: `mqtt`, `file`, `table`, ...
    pub kind: Spanned<String>,
    /// What stands below the kind's key.
    pub options: Node,
    /// `None` only where the kind can tell the schema itself (Parquet).
    pub schema: Option<Spanned<SchemaRef>>,
    /// The event-time column.
    pub time: Option<Spanned<String>>,
    pub lateness: Option<Spanned<Duration>>,
    /// `None` if not written; a diagnostic later, for a stream that needs one.
    pub retain: Option<Spanned<Retain>>,
    /// How long its rows are kept in the lineage; `None`: as the run says.
    pub history: Option<Spanned<Retain>>,
    /// Upsert key; empty = rows are a multiset.
    pub key: Vec<Spanned<String>>,
}

/// How long a row counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retain {
    For(Duration),
    Forever,
}

/// A view: a kind (`sql` or a domain operator) over streams. A sink that answers is one, too.
#[derive(Clone, Debug)]
pub struct Operator {
    pub name: Spanned<String>,
    pub kind: Spanned<String>,
    pub options: Node,
    /// `from:` of domain operators; `sql` names its streams in the query.
    pub from: Vec<Spanned<String>>,
    pub on_error: OnError,
    /// How long an answer counts, of an operator that asks something outside.
    pub retain: Option<Spanned<Retain>>,
    /// How long its answers are kept in the lineage; `None`: as the run says.
    pub history: Option<Spanned<Retain>>,
}

/// What happens to a row that a step cannot compute.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnError {
    /// Leave the results, appear in `system.errors`.
    #[default]
    Route,
    /// Leave the results in silence (counted in the metrics).
    Drop,
    /// Stop the process.
    Fail,
}

/// Where a view's changes go.
#[derive(Clone, Debug)]
pub struct Sink {
    pub name: Spanned<String>,
    pub from: Spanned<String>,
    pub kind: Spanned<String>,
    pub options: Node,
    /// `when: closed`: hold a window back until it cannot change.
    pub when_closed: Option<crate::Span>,
}

/// One entry of `tests:`.
#[derive(Clone, Debug)]
pub struct Test {
    pub name: Spanned<String>,
    /// Rows per source, in the order written.
    pub given: Vec<(Spanned<String>, Vec<GivenRow>)>,
    pub expect: Vec<Expect>,
    /// Patterns that no row of a stream may match at any tick.
    pub never: Vec<(Spanned<String>, Node)>,
    /// Times at which the engine is killed and restored.
    pub restarts: Vec<Duration>,
    /// Recorded answers of models and services by name.
    pub answers: Option<Node>,
}

/// A row given to a test.
#[derive(Clone, Debug)]
pub struct GivenRow {
    /// When it arrives, after the test's start (default 0).
    pub at: Duration,
    /// The whole mapping, `at` included.
    pub row: Node,
}

/// What a test expects.
#[derive(Clone, Debug)]
pub enum Expect {
    /// `{ at: 6s, hot: [..] }`: the view as a multiset at that time.
    View { at: Duration, stream: Spanned<String>, rows: Vec<Node> },
    /// `{ until: 40s, alert: [..] }`: what a sink was given until then, in order.
    Sink { until: Duration, sink: Spanned<String>, rows: Vec<Node> },
}
