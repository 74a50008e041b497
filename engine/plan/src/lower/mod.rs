//! From DataFusion's logical plan to the graph.
//!
//! A stream whose rows stop counting after a while carries its event time along as a hidden last column, and the
//! filter that retires its rows is put in as late as possible (`Lowered::retire`): behind filters and projections,
//! merged with conditions on `now()`, and not at all where groups of windows leave as a whole.

mod aggregate;
mod expression;
mod filter;
mod join;
mod project;
mod rank;

pub(crate) use expression::{column_expr, physical};

use crate::functions::TIMESTAMP;
use crate::graph::*;
use crate::refusal::{Refusal, refuse};
use crate::table_functions::SessionCall;
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use datafusion::common::{DFSchema, Result};
use datafusion::logical_expr::{Expr, LogicalPlan, cast, col, lit};
use jarvis_spec::OnError;
use std::collections::HashMap;
use std::sync::Arc;

/// What a stream is to those who read it.
#[derive(Clone, Debug)]
pub struct StreamInfo {
    pub node: NodeId,
    /// The columns that a query sees.
    pub schema: SchemaRef,
    /// No row is ever taken back but by retention.
    pub append_only: bool,
    /// No change comes later than the event time of its row plus the lateness.
    pub punctual: bool,
    /// Rows count until this time after the event time, µs; the node's column `time` holds it.
    pub retire: Option<Retire>,
    /// Event-time column.
    pub time: Option<usize>,
    pub lateness: Option<u64>,
    /// Columns that hold the start or end of a window.
    pub windows: HashMap<usize, Window>,
}

/// When a row stops counting.
#[derive(Clone, Copy, Debug)]
pub struct Retire {
    /// Column of the node.
    pub time: usize,
    /// µs
    pub after: u64,
}

/// A column that belongs to a window.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    /// The window ends this long after the column's value; 0 for a column that is the end itself. µs
    pub to_end: u64,
    /// How long it is, µs.
    pub size: u64,
    /// How long after its end the window may still change, µs.
    pub lateness: Option<u64>,
}

/// A query's step under construction: the node's first columns are those of the plan, in order; a hidden one may follow.
#[derive(Clone, Debug)]
pub(crate) struct Lowered {
    pub node: NodeId,
    pub append_only: bool,
    pub punctual: bool,
    pub retire: Option<Retire>,
    pub lateness: Option<u64>,
    /// Plan columns that hold the event time.
    pub times: Vec<usize>,
    pub windows: HashMap<usize, Window>,
    /// Plan columns that hold lists of the starts of windows, as `hop` gives them.
    pub hops: HashMap<usize, Window>,
}

impl Lowered {
    fn plain(node: NodeId) -> Self {
        Lowered {
            node,
            append_only: false,
            punctual: false,
            retire: None,
            lateness: None,
            times: vec![],
            windows: HashMap::new(),
            hops: HashMap::new(),
        }
    }
}

/// A filter that lets only the first rows of each partition through, if its column is a rank.
#[derive(Clone, Debug)]
struct RankBound {
    /// The filter's column.
    column: String,
    /// Rows per partition.
    rows: usize,
    /// How many of the projections in `aliases` stand above the filter: those below it may rename its column.
    above: usize,
}

/// Lowers one query into a graph.
pub struct Lowering<'a> {
    pub graph: &'a mut Graph,
    pub streams: &'a HashMap<String, StreamInfo>,
    pub sessions: &'a [SessionCall],
    /// The pipeline that unqualified names belong to.
    pub pipeline: &'a str,
    /// `pipeline.operator`
    pub owner: String,
    pub on_error: OnError,
    /// Bounds that filters above put on ranks.
    rank_bounds: Vec<RankBound>,
    /// `LIMIT` and `OFFSET` on their way down to the `ORDER BY` they belong to.
    limit: Option<(usize, Option<usize>)>,
    /// Names that projections on the way down give to columns below them: (name, of), projection by projection.
    aliases: Vec<Vec<(String, String)>>,
    /// What is probably not meant.
    pub warnings: Vec<Refusal>,
}

impl<'a> Lowering<'a> {
    pub fn new(
        graph: &'a mut Graph,
        streams: &'a HashMap<String, StreamInfo>,
        sessions: &'a [SessionCall],
        pipeline: &'a str,
        owner: String,
        on_error: OnError,
    ) -> Self {
        Lowering {
            graph,
            streams,
            sessions,
            pipeline,
            owner,
            on_error,
            rank_bounds: vec![],
            limit: None,
            aliases: vec![],
            warnings: vec![],
        }
    }

    /// Lowers a whole query; the result's node has just the query's columns.
    pub fn query(&mut self, plan: &LogicalPlan) -> Result<StreamInfo> {
        let lowered = self.plan(plan)?;
        let lowered = self.retire(lowered, plan.schema().fields().len())?;
        let schema = loose(plan.schema().as_arrow());
        let node = if *self.graph.schema(lowered.node) == schema {
            lowered.node
        } else {
            self.rename(lowered.node, schema.clone())?
        };
        Ok(StreamInfo {
            node,
            schema,
            append_only: lowered.append_only,
            punctual: lowered.punctual,
            retire: None,
            time: None,
            lateness: lowered.lateness,
            windows: lowered.windows,
        })
    }

    /// A stream as it is read from outside: with its retention applied, and just its own columns.
    pub fn settle(&mut self, stream: &StreamInfo) -> NodeId {
        let lowered = from_stream(stream);
        let width = stream.schema.fields().len();
        self.retire(lowered, width).expect("an event time is a timestamp").node
    }

    /// Holds rows back until `after` µs past a timestamp column.
    pub fn hold(&mut self, node: NodeId, column: usize, after: u64) -> Result<NodeId> {
        let width = self.graph.schema(node).fields().len();
        let from = self.retire_bound(node, Retire { time: column, after });
        let held = self.temporal(Lowered::plain(node), width, vec![from], vec![])?.node;
        if let Op::Temporal { hold, .. } = &mut self.graph.nodes[held].op {
            *hold = Some((column, after));
        }
        Ok(held)
    }

    fn plan(&mut self, plan: &LogicalPlan) -> Result<Lowered> {
        match plan {
            LogicalPlan::TableScan(scan) => self.scan(scan),
            LogicalPlan::SubqueryAlias(alias) => self.plan(&alias.input),
            LogicalPlan::Projection(p) => self.projection(p),
            LogicalPlan::Filter(f) => self.filter(f),
            LogicalPlan::Join(j) => self.join(j),
            LogicalPlan::Aggregate(a) => self.aggregate(a),
            LogicalPlan::Union(u) => self.union(u),
            LogicalPlan::Distinct(d) => self.distinct(d),
            LogicalPlan::Unnest(u) => self.unnest(u),
            LogicalPlan::Limit(l) => self.limit(l),
            LogicalPlan::Sort(s) => self.sort(s),
            LogicalPlan::Window(w) => self.window(w),
            LogicalPlan::EmptyRelation(_) | LogicalPlan::Values(_) => refuse(
                "a query over constants has nothing to keep up to date",
                "read a stream; for a table of constants use a source of kind `table`",
                "VALUES",
            ),
            LogicalPlan::RecursiveQuery(_) => refuse(
                "recursive queries are not kept up to date",
                "bound the recursion and write it as joins",
                "RECURSIVE",
            ),
            LogicalPlan::Subquery(_) => Err(Refusal::new(
                "a query that is asked again for every row is not kept up to date in this form",
                "join on equal columns; for the items of a list write SELECT id, unnest(list) AS item",
            )
            .at("LATERAL")
            .at("UNNEST")
            .into_error()),
            other => refuse(format!("{} is not a query over streams", other.display()), "write one SELECT", ""),
        }
    }

    fn scan(&mut self, scan: &datafusion::logical_expr::TableScan) -> Result<Lowered> {
        let name = scan.table_name.table();
        if let Some(call) = self.sessions.iter().find(|c| c.table == name) {
            let lowered = self.session(&call.clone())?;
            return self.scan_columns(scan, lowered);
        }
        let pipeline = scan.table_name.schema().unwrap_or(self.pipeline);
        let full = format!("{pipeline}.{name}");
        let Some(stream) = self.streams.get(&full) else {
            return refuse(
                format!("there is no stream {full}"),
                "name a source or an operator of this pipeline, or PIPELINE.STREAM",
                name,
            );
        };
        let lowered = from_stream(stream);
        self.scan_columns(scan, lowered)
    }

    /// Keeps only the columns that a scan asks for.
    fn scan_columns(&mut self, scan: &datafusion::logical_expr::TableScan, lowered: Lowered) -> Result<Lowered> {
        let lowered = match &scan.projection {
            None => lowered,
            Some(columns) => self.pick(lowered, columns)?,
        };
        scan.filters.iter().try_fold(lowered, |lowered, f| self.conditions(lowered, f, &scan.projected_schema))
    }

    /// A projection to some columns, by position.
    fn pick(&mut self, lowered: Lowered, columns: &[usize]) -> Result<Lowered> {
        let schema = self.graph.schema(lowered.node).clone();
        if lowered.retire.is_none()
            && columns.len() == schema.fields().len()
            && columns.iter().enumerate().all(|(i, c)| i == *c)
        {
            return Ok(lowered);
        }
        let mut kept: Vec<usize> = columns.to_vec();
        let retire = lowered.retire.map(|r| {
            kept.push(r.time);
            Retire { time: kept.len() - 1, after: r.after }
        });
        let place = |c: &usize| columns.iter().position(|k| k == c);
        let windows = lowered.windows.iter().filter_map(|(c, w)| Some((place(c)?, *w))).collect();
        let times = lowered.times.iter().filter_map(place).collect();
        let node = self.columns(lowered.node, &kept, "columns");
        Ok(Lowered { node, retire, windows, times, ..lowered })
    }

    /// Puts in the filter that retires rows; the result has just the first `width` columns.
    fn retire(&mut self, lowered: Lowered, width: usize) -> Result<Lowered> {
        let Some(retire) = lowered.retire else { return Ok(lowered) };
        self.temporal(lowered.clone(), width, vec![], vec![self.retire_bound(lowered.node, retire)])
    }

    /// "event time plus retention", over the columns of `node`.
    fn retire_bound(&self, node: NodeId, retire: Retire) -> Expr {
        let name = self.graph.schema(node).field(retire.time).name().clone();
        cast(cast(col(datafusion::common::Column::new_unqualified(name)), TIMESTAMP), DataType::Int64)
            + lit(retire.after as i64)
    }

    fn temporal(&mut self, lowered: Lowered, width: usize, from: Vec<Expr>, until: Vec<Expr>) -> Result<Lowered> {
        let schema = self.graph.schema(lowered.node).clone();
        let by_name = unique_schema(&schema)?;
        let compile = |list: Vec<Expr>| list.iter().map(|e| physical(e, &by_name)).collect::<Result<Vec<_>>>();
        let append_only = lowered.append_only && until.is_empty();
        let punctual = lowered.punctual && from.is_empty() && until.is_empty();
        let (from, until) = (compile(from)?, compile(until)?);
        let kept: SchemaRef = Arc::new(schema.project(&(0..width).collect::<Vec<_>>())?);
        let node = self.add(Op::Temporal { input: lowered.node, from, until, keep: width, hold: None }, kept, "until");
        Ok(Lowered { node, append_only, punctual, retire: None, ..lowered })
    }

    fn union(&mut self, union: &datafusion::logical_expr::Union) -> Result<Lowered> {
        let width = union.schema.fields().len();
        let schema = loose(union.schema.as_arrow());
        let (mut inputs, mut append_only) = (vec![], true);
        for plan in &union.inputs {
            let lowered = self.plan(plan)?;
            let lowered = self.retire(lowered, width)?;
            append_only &= lowered.append_only;
            inputs.push(self.rename(lowered.node, schema.clone())?);
        }
        let node = self.add(Op::Union { inputs }, schema, "union");
        Ok(Lowered { append_only, ..Lowered::plain(node) })
    }

    fn distinct(&mut self, distinct: &datafusion::logical_expr::Distinct) -> Result<Lowered> {
        let datafusion::logical_expr::Distinct::All(input) = distinct else {
            return refuse("DISTINCT ON is not kept up to date in this form", "use row_number()", "DISTINCT");
        };
        let width = input.schema().fields().len();
        let lowered = self.plan(input)?;
        let lowered = self.retire(lowered, width)?;
        let node = self.distinct_of(lowered.node, &(0..width).collect::<Vec<_>>());
        Ok(Lowered { append_only: lowered.append_only, ..Lowered::plain(node) })
    }

    /// The different values of some columns.
    fn distinct_of(&mut self, node: NodeId, columns: &[usize]) -> NodeId {
        let schema: SchemaRef = loose(&self.graph.schema(node).project(columns).expect("columns of the node"));
        let aggregate = Aggregate {
            input: node,
            keys: columns.to_vec(),
            calls: vec![],
            append_only: false,
            expire: None,
            lasts: 0,
            settle: None,
            hold: None,
            panes: None,
        };
        self.add(Op::Aggregate(aggregate), schema, "distinct")
    }

    fn session(&mut self, call: &SessionCall) -> Result<Lowered> {
        let full =
            if call.stream.contains('.') { call.stream.clone() } else { format!("{}.{}", self.pipeline, call.stream) };
        let Some(stream) = self.streams.get(&full) else {
            return refuse(format!("there is no stream {full}"), "session takes the name of a stream", &call.stream);
        };
        let gap = crate::compile::interval_micros(&call.gap)?;
        let width = stream.schema.fields().len();
        let column = |name: &str| {
            let bare = name.rsplit('.').next().unwrap_or(name);
            stream.schema.index_of(bare).or_else(|_| {
                refuse(format!("{full} has no column {bare}"), "session takes the columns of its stream", bare)
            })
        };
        let (time, keys) = (column(&call.time)?, call.keys.iter().map(|k| column(k)).collect::<Result<Vec<_>>>()?);
        let lowered = self.retire(from_stream(stream), width)?;
        let node = self.rename_exact(lowered.node, stream.schema.clone())?;
        let at_micros = stream.schema.field(time).data_type() == &TIMESTAMP;
        if !at_micros {
            return refuse(
                format!("{} is no timestamp", call.time),
                "session takes the stream's time column",
                &call.time,
            );
        }
        let schema = session_schema(&stream.schema);
        let node = self.add(Op::Session(Session { input: node, keys, time, gap: gap as u64 }), schema, "session");
        Ok(Lowered::plain(node))
    }

    fn add(&mut self, op: Op, schema: SchemaRef, label: &str) -> NodeId {
        self.graph.add(Node { op, schema, owner: self.owner.clone(), label: label.into(), on_error: self.on_error })
    }

    /// The columns of a node at some positions.
    fn columns(&mut self, node: NodeId, columns: &[usize], label: &str) -> NodeId {
        let schema = self.graph.schema(node).clone();
        let project = columns.iter().map(|c| column_expr(&schema, *c)).collect();
        let fields: Vec<FieldRef> = columns.iter().map(|c| Arc::new(schema.field(*c).clone())).collect();
        self.add(Op::Map { input: node, filter: None, project: Some(project) }, Arc::new(Schema::new(fields)), label)
    }

    /// The same columns under other names.
    fn rename(&mut self, node: NodeId, schema: SchemaRef) -> Result<NodeId> {
        self.rename_exact(node, schema)
    }
    fn rename_exact(&mut self, node: NodeId, schema: SchemaRef) -> Result<NodeId> {
        let given = self.graph.schema(node).clone();
        let project = (0..schema.fields().len()).map(|c| column_expr(&given, c)).collect();
        Ok(self.add(Op::Map { input: node, filter: None, project: Some(project) }, schema, "columns"))
    }
}

fn from_stream(stream: &StreamInfo) -> Lowered {
    Lowered {
        node: stream.node,
        append_only: stream.append_only,
        punctual: stream.punctual,
        retire: stream.retire,
        lateness: stream.lateness,
        times: stream.time.into_iter().collect(),
        windows: stream.windows.clone(),
        hops: HashMap::new(),
    }
}

/// A stream's columns plus the window of `session`.
pub fn session_schema(stream: &Schema) -> SchemaRef {
    let mut fields: Vec<FieldRef> = stream.fields().iter().cloned().collect();
    fields.extend(["window_start", "window_end"].map(|n| Arc::new(Field::new(n, TIMESTAMP, true))));
    Arc::new(Schema::new(fields))
}

/// Columns of results may always be null: what DataFusion infers is not a promise the engine has to keep.
pub fn loose(schema: &Schema) -> SchemaRef {
    Arc::new(Schema::new(schema.fields().iter().map(|f| f.as_ref().clone().with_nullable(true)).collect::<Vec<_>>()))
}

/// A node's own columns as a schema for expressions by name; names that occur twice cannot be referred to.
fn unique_schema(schema: &Schema) -> Result<DFSchema> {
    let mut seen: HashMap<String, usize> = HashMap::new();
    let fields: Vec<Field> = schema
        .fields()
        .iter()
        .map(|f| {
            let n = seen.entry(f.name().clone()).or_default();
            *n += 1;
            if *n == 1 { f.as_ref().clone() } else { f.as_ref().clone().with_name(format!("{}__{n}", f.name())) }
        })
        .collect();
    DFSchema::try_from(Schema::new(fields))
}
