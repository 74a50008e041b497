//! The typed graph: what the dataflow renders. Plain data, the same on every worker.
//!
//! Every edge carries a *collection*: rows of one Arrow schema with a time and a weight. Columns are named by
//! position; expressions are DataFusion [`PhysicalExpr`]s over the columns of a node's input.

use crate::machine::Machine;
use arrow::datatypes::{DataType, SchemaRef};
use datafusion::physical_expr::PhysicalExpr;
use jarvis_spec::OnError;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Position of a node in [`Graph::nodes`]; inputs of a node always stand before it.
pub type NodeId = usize;

/// An expression over the columns of a node's input.
pub type Expression = Arc<dyn PhysicalExpr>;

/// Everything that runs: inputs, steps, and the streams that sinks, taps and tests read.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    pub inputs: Vec<Input>,
    pub nodes: Vec<Node>,
    /// `pipeline.stream` → the node that computes it.
    pub streams: BTreeMap<String, NodeId>,
    /// What is read from outside, in this order.
    pub outputs: Vec<Output>,
}

/// A stream that is fed from outside the graph.
#[derive(Clone, Debug)]
pub struct Input {
    /// `pipeline.stream`.
    pub name: String,
    /// The columns that are fed. A stream whose rows count from their arrival has one more than declared: [`ARRIVED`].
    pub schema: SchemaRef,
    /// Upsert key; empty = a multiset.
    pub key: Vec<usize>,
    /// The event-time column.
    pub time: Option<usize>,
    /// How far behind the clock a row may be.
    pub lateness: Option<Duration>,
    /// The last column is [`ARRIVED`] and is filled in by the engine.
    pub stamps_arrival: bool,
    /// The columns that an upsert holds and puts out; `None` = all.
    pub held: Option<Vec<usize>>,
}

/// The hidden column that holds the tick at which a row arrived.
pub const ARRIVED: &str = "__arrived";

/// One step.
#[derive(Clone, Debug)]
pub struct Node {
    pub op: Op,
    pub schema: SchemaRef,
    /// The operator of a pipeline that this step belongs to, `pipeline.operator`.
    pub owner: String,
    /// What the step does, for pictures and errors: `filter`, `join`, ...
    pub label: String,
    pub on_error: OnError,
}

/// What a step computes.
#[derive(Clone, Debug)]
pub enum Op {
    /// Rows as they are fed. With a key: the newest row per key.
    Input(usize),
    /// Keeps the rows for which `filter` is true, then computes `project` (`None` = all columns as they are).
    Map { input: NodeId, filter: Option<Expression>, project: Option<Vec<Expression>> },
    /// A row counts from the latest of `from` until the earliest of `until` (microseconds since the epoch,
    /// `Int64`, null = never true); an empty list does not bound. `from` is inclusive, `until` exclusive.
    /// Output: the first `keep` columns. `hold` says (column, µs) if all there is is one `from` of that form.
    Temporal { input: NodeId, from: Vec<Expression>, until: Vec<Expression>, keep: usize, hold: Option<(usize, u64)> },
    /// One row per element of the list in `column`; an empty or null list gives no row.
    Unnest { input: NodeId, column: usize },
    /// All rows of all inputs, which have equal schemas.
    Union { inputs: Vec<NodeId> },
    /// The same rows with weights of opposite sign.
    Negate { input: NodeId },
    /// Pairs of rows whose keys are equal. Null keys match nothing unless `nulls_match`.
    Join {
        left: NodeId,
        right: NodeId,
        left_key: Vec<usize>,
        right_key: Vec<usize>,
        nulls_match: bool,
        output: Vec<JoinColumn>,
    },
    /// One row per group: the key columns, then one column per aggregate.
    Aggregate(Aggregate),
    /// The first rows of each partition.
    TopK(TopK),
    /// Gives rows that lie close together in time the window they share.
    Session(Session),
    /// A state machine per key.
    Ordered(Ordered),
}

/// Which side an output column of a join comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JoinColumn {
    Left(usize),
    Right(usize),
}

/// Groups rows by `keys`.
#[derive(Clone, Debug)]
pub struct Aggregate {
    pub input: NodeId,
    pub keys: Vec<usize>,
    pub calls: Vec<Call>,
    /// The input never takes a row back: minima and maxima need no multiset.
    pub append_only: bool,
    /// When groups leave as a whole: the size of their window plus the retention.
    pub expire: Option<Moment>,
    /// If they leave: how long after its event time a row may still count in one, µs.
    pub lasts: u64,
    /// When groups cannot change any more: their window is over, and no row comes that late or is taken back that late.
    /// What they said stays, how they came to it is forgotten.
    pub settle: Option<Moment>,
    /// When groups are told first: nobody reads them before. Set by [`crate::simplify`].
    pub hold: Option<Moment>,
    /// Rows are added up per pane before they count in their windows. Set by [`crate::simplify`].
    pub panes: Option<Panes>,
}

/// Windows that overlap, all of whose starts are a slide apart: the rows of one slide, a pane, lie in the same windows.
/// In the rows as they come in, `keys` hold the latest of these windows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Panes {
    /// Positions in the group's keys that hold the start or the end of the window.
    pub keys: Vec<usize>,
    /// From the start of one window to that of the next, µs.
    pub slide: u64,
    /// How many windows a pane lies in; at least 1.
    pub windows: usize,
}

/// A moment in the life of a group of a window: when the clock passes a timestamp of its key plus a duration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Position in `keys` of the window's start or end.
    pub key: usize,
    /// µs
    pub after: u64,
}

/// One aggregate of a group.
#[derive(Clone, Debug)]
pub struct Call {
    pub function: Function,
    /// The aggregated column; `None` only for `count(*)`.
    pub argument: Option<usize>,
    /// A boolean column: rows where it is not true are left out.
    pub filter: Option<usize>,
    /// Each value counts once.
    pub distinct: bool,
    /// Order of the values for `array_agg`, `first_value` and `last_value`.
    pub order: Vec<Order>,
    pub output: DataType,
}

/// The aggregate functions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Function {
    Count,
    Sum,
    Avg,
    Min,
    Max,
    BoolAnd,
    BoolOr,
    ArrayAgg,
    FirstValue,
    LastValue,
    Median,
}

/// One key of a sort.
#[derive(Clone, Copy, Debug)]
pub struct Order {
    pub column: usize,
    pub descending: bool,
    pub nulls_first: bool,
}

/// The rows `skip .. skip + fetch` of each partition by `order`; ties are broken by the whole row, so the result is
/// determined by the input alone.
#[derive(Clone, Debug)]
pub struct TopK {
    pub input: NodeId,
    pub partition: Vec<usize>,
    pub order: Vec<Order>,
    pub skip: usize,
    pub fetch: Option<usize>,
    /// Adds the row's rank (1, 2, ...) as a last column of this type.
    pub number: Option<DataType>,
}

/// Session windows: rows of one key whose times lie less than `gap` apart share a window. Adds `window_start` and
/// `window_end` (the last row's time plus the gap).
#[derive(Clone, Debug)]
pub struct Session {
    pub input: NodeId,
    pub keys: Vec<usize>,
    /// A timestamp column; rows where it is null are left out.
    pub time: usize,
    /// µs
    pub gap: u64,
}

/// A state machine per key, fed with events in their order: by tick, then by the bytes of the row.
#[derive(Clone, Debug)]
pub struct Ordered {
    /// Its first columns are the key; then comes the number of the stream that an event is of, as `Int32`.
    pub input: NodeId,
    pub keys: usize,
    /// Where the columns of each stream stand.
    pub streams: Vec<std::ops::Range<usize>>,
    pub machine: Arc<dyn Machine>,
}

/// A stream that something outside the graph reads.
#[derive(Clone, Debug)]
pub struct Output {
    /// `pipeline.sink`, or the stream's own name.
    pub name: String,
    pub node: NodeId,
}

impl Graph {
    pub fn add(&mut self, node: Node) -> NodeId {
        self.nodes.push(node);
        self.nodes.len() - 1
    }
    pub fn schema(&self, node: NodeId) -> &SchemaRef {
        &self.nodes[node].schema
    }
    /// Inputs of a node.
    pub fn upstream(&self, node: NodeId) -> Vec<NodeId> {
        match &self.nodes[node].op {
            Op::Input(_) => vec![],
            Op::Map { input, .. } | Op::Temporal { input, .. } | Op::Unnest { input, .. } | Op::Negate { input } => {
                vec![*input]
            }
            Op::Union { inputs } => inputs.clone(),
            Op::Join { left, right, .. } => vec![*left, *right],
            Op::Aggregate(a) => vec![a.input],
            Op::TopK(t) => vec![t.input],
            Op::Session(s) => vec![s.input],
            Op::Ordered(o) => vec![o.input],
        }
    }
    /// How long after its event time a row of an input may still count in a group that leaves as a whole or in a state
    /// machine, µs; 0 if there is none. Other steps forget a row when its retention is over.
    pub fn lasts(&self, input: usize) -> u64 {
        let mut rests = vec![false; self.nodes.len()];
        let mut longest = 0;
        for node in self.live() {
            rests[node] = match &self.nodes[node].op {
                Op::Input(index) => *index == input,
                _ => self.upstream(node).into_iter().any(|u| rests[u]),
            };
            match &self.nodes[node].op {
                Op::Aggregate(a) if rests[node] => longest = longest.max(a.lasts),
                Op::Ordered(o) if rests[node] => longest = longest.max(o.machine.lasts().as_micros() as u64),
                _ => {}
            }
        }
        longest
    }
    /// The nodes that the outputs rest on, in order.
    pub fn live(&self) -> Vec<NodeId> {
        let mut wanted = vec![false; self.nodes.len()];
        for o in &self.outputs {
            wanted[o.node] = true;
        }
        for n in (0..self.nodes.len()).rev() {
            if wanted[n] {
                for u in self.upstream(n) {
                    wanted[u] = true;
                }
            }
        }
        (0..self.nodes.len()).filter(|n| wanted[*n]).collect()
    }
}
