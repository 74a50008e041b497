//! Pipelines to a graph: which streams there are, in which order views are planned, what the sinks read.

mod operator;

pub use operator::{Operators, Picked, Planned, Reading, SqlOnly};

use crate::functions::TIMESTAMP;
use crate::graph::*;
use crate::lower::{Lowering, Retire, StreamInfo, session_schema};
use crate::refusal::{Refusal, diagnose, refuse};
use crate::session_state::{CATALOG, Streams};
use crate::table_functions::{SessionCall, rewrite};
use crate::unsupported;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::TableReference;
use datafusion::common::{DataFusionError, Result as DfResult};
use datafusion::logical_expr::LogicalPlan;
use datafusion::sql::parser::Statement;
use jarvis_spec::{Diagnostic, Diagnostics, OnError, Operator, Pipeline, Retain, Sink, Source, Spanned};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// What the kind of a source knows about it.
#[derive(Clone, Debug)]
pub struct SourceInfo {
    /// The declared columns, or those the kind found.
    pub schema: SchemaRef,
    /// It never takes a row back.
    pub append_only: bool,
}

/// A graph without outputs yet, and what stands where in it.
#[derive(Clone, Debug)]
pub struct Compiled {
    pub graph: Graph,
    /// `pipeline.stream` → what it is to those who read it.
    pub streams: BTreeMap<String, StreamInfo>,
    /// `pipeline.sink` → the node it reads.
    pub sinks: BTreeMap<String, NodeId>,
    /// `pipeline.sink` → the stream it names, in full.
    pub sink_streams: BTreeMap<String, String>,
    /// Operators that ask, each with the stream of its questions; the node of the questions is in `sinks`.
    pub questions: Vec<(String, String)>,
    /// What is probably not meant.
    pub warnings: Diagnostics,
}

/// The engine's own stream of rows that could not be read or computed; always input 0.
pub const ERRORS: &str = "system.errors";

/// The columns of [`ERRORS`].
pub fn errors_schema() -> SchemaRef {
    let column = |name: &str| Field::new(name, DataType::Utf8, false);
    Arc::new(Schema::new(["stream", "code", "message", "input"].map(column).to_vec()))
}

impl Compiled {
    /// Reads a stream from outside; returns the position of the output.
    pub fn read(&mut self, stream: &str) -> Option<usize> {
        let info = self.streams.get(stream)?.clone();
        let node = settled(&mut self.graph, &info, stream);
        self.graph.outputs.push(Output { name: stream.into(), node });
        Some(self.graph.outputs.len() - 1)
    }
    /// Reads what a sink is given.
    pub fn read_sink(&mut self, sink: &str) -> Option<usize> {
        let node = *self.sinks.get(sink)?;
        self.graph.outputs.push(Output { name: sink.into(), node });
        Some(self.graph.outputs.len() - 1)
    }
}

/// The stream with retention applied.
fn settled(graph: &mut Graph, info: &StreamInfo, name: &str) -> NodeId {
    let streams = HashMap::new();
    let mut lowering = Lowering::new(graph, &streams, &[], "", name.to_string(), OnError::Route);
    lowering.settle(info)
}

/// Compiles pipelines together: they may read each other's streams.
///
/// # Errors
/// All findings: streams that do not exist, cycles, missing retention, SQL that does not plan or cannot be kept up to
/// date.
pub fn compile(
    pipelines: &[Pipeline],
    infos: &HashMap<String, SourceInfo>,
    kinds: &mut dyn Operators,
) -> Result<Compiled, Diagnostics> {
    let mut compiler = Compiler {
        kinds,
        questions: vec![],
        graph: Graph::default(),
        infos: HashMap::new(),
        tables: Streams::new(),
        found: Diagnostics::default(),
    };
    compiler.errors_input();
    for pipeline in pipelines {
        for source in &pipeline.sources {
            compiler.source(pipeline, source, infos);
        }
    }
    compiler.views(pipelines);
    let mut compiled = Compiled {
        graph: compiler.graph,
        streams: compiler.infos.into_iter().collect(),
        sinks: BTreeMap::new(),
        sink_streams: BTreeMap::new(),
        questions: compiler.questions,
        warnings: Diagnostics::default(),
    };
    for (name, info) in &compiled.streams {
        compiled.graph.streams.insert(name.clone(), info.node);
    }
    for pipeline in pipelines {
        for sink in &pipeline.sinks {
            // What is wrong with a stream that is declared has been said.
            if let Err(d) = compiled.sink(pipeline, sink)
                && !(compiler.found.has_errors() && is_declared(pipelines, pipeline, &sink.from.value))
            {
                compiler.found.push(d);
            }
        }
    }
    compiled.ask();
    check_encodable(&compiled.graph, &mut compiler.found, pipelines);
    compiler.found.sort();
    if compiler.found.has_errors() {
        return Err(compiler.found);
    }
    compiled.warnings = compiler.found;
    Ok(compiled)
}

/// Whether some pipeline has a stream of that name, as `from` has it.
fn is_declared(pipelines: &[Pipeline], own: &Pipeline, stream: &str) -> bool {
    let (pipeline, stream) = stream.split_once('.').unwrap_or((&own.name.value, stream));
    let mut pipelines = pipelines.iter().filter(|p| p.name.value == pipeline);
    pipelines
        .any(|p| p.sources.iter().any(|s| s.name.value == stream) || p.operators.iter().any(|o| o.name.value == stream))
}

struct Compiler<'k> {
    kinds: &'k mut dyn Operators,
    questions: Vec<(String, String)>,
    graph: Graph,
    infos: HashMap<String, StreamInfo>,
    tables: Streams,
    found: Diagnostics,
}

/// A view that waits to be planned.
struct View<'a> {
    pipeline: &'a Pipeline,
    operator: &'a Operator,
    name: String,
    /// `None`: it is of another kind than `sql`.
    query: Option<(Statement, Vec<SessionCall>)>,
    reads: Vec<String>,
}

impl View<'_> {
    fn sessions(&self) -> &[SessionCall] {
        self.query.as_ref().map_or(&[], |(_, sessions)| sessions)
    }
}

impl Compiler<'_> {
    fn errors_input(&mut self) {
        let schema = errors_schema();
        self.graph.inputs.push(Input {
            name: ERRORS.into(),
            schema: schema.clone(),
            key: vec![],
            time: None,
            lateness: None,
            stamps_arrival: false,
            held: None,
        });
        self.input_node(ERRORS, schema, false, None, None, None);
    }

    fn input_node(
        &mut self,
        name: &str,
        visible: SchemaRef,
        append_only: bool,
        retire: Option<Retire>,
        time: Option<usize>,
        lateness: Option<u64>,
    ) {
        let index = self.graph.inputs.len() - 1;
        let schema = crate::lower::loose(&self.graph.inputs[index].schema);
        let label = if self.graph.inputs[index].key.is_empty() { "input" } else { "upsert" };
        let node = self.graph.add(Node {
            op: Op::Input(index),
            schema,
            owner: name.into(),
            label: label.into(),
            on_error: OnError::Route,
        });
        if let Some((pipeline, stream)) = name.split_once('.')
            && let Err(e) = self.tables.add(pipeline, stream, visible.clone())
        {
            self.found.push(Diagnostic::error("stream_name", format!("{name} cannot be a table: {e}")));
        }
        self.infos.insert(
            name.into(),
            StreamInfo {
                node,
                schema: visible,
                append_only,
                punctual: self.graph.inputs[index].key.is_empty() && time.is_some() && lateness.is_some(),
                retire,
                time,
                lateness,
                windows: HashMap::new(),
            },
        );
    }

    fn source(&mut self, pipeline: &Pipeline, source: &Source, infos: &HashMap<String, SourceInfo>) {
        let name = format!("{}.{}", pipeline.name.value, source.name.value);
        let Some(info) = infos.get(&name) else { return };
        let Some(retain) = &source.retain else {
            let help = "say how long its rows count: `retain: 10m`, or `retain: forever` for a small table";
            self.found.push(
                Diagnostic::error(
                    "missing_retention",
                    format!("the source {} does not say how long its rows count", source.name.value),
                )
                .at(&source.name.span)
                .help(help),
            );
            return;
        };
        let column = |name: &str| info.schema.index_of(name).ok();
        let time = source.time.as_ref().and_then(|t| column(&t.value));
        let key: Vec<usize> = source.key.iter().filter_map(|k| column(&k.value)).collect();
        let lateness = source.lateness.as_ref().map(|l| l.value.as_micros() as u64);
        let stamps_arrival = time.is_none() && retain.value != Retain::Forever;
        let mut schema = info.schema.clone();
        if stamps_arrival {
            let mut fields: Vec<Field> = schema.fields().iter().map(|f| f.as_ref().clone()).collect();
            fields.push(Field::new(ARRIVED, TIMESTAMP, false));
            schema = Arc::new(Schema::new(fields));
        }
        let retire = match retain.value {
            Retain::Forever => None,
            Retain::For(d) => {
                Some(Retire { time: time.unwrap_or(info.schema.fields().len()), after: d.as_micros() as u64 })
            }
        };
        let append_only = info.append_only && key.is_empty();
        self.graph.inputs.push(Input {
            name: name.clone(),
            schema,
            key,
            time,
            lateness: source.lateness.as_ref().map(|l| l.value),
            stamps_arrival,
            held: None,
        });
        self.input_node(&name, info.schema.clone(), append_only, retire, time, lateness);
    }

    /// Plans all views, each after the ones it reads.
    fn views(&mut self, pipelines: &[Pipeline]) {
        let mut waiting: Vec<View<'_>> = vec![];
        for pipeline in pipelines {
            for operator in &pipeline.operators {
                match self.view(pipeline, operator) {
                    Ok(view) => waiting.push(view),
                    Err(d) => self.found.push(d),
                }
            }
        }
        let mut failed: Vec<String> = pipelines
            .iter()
            .flat_map(|p| p.operators.iter().map(move |o| format!("{}.{}", p.name.value, o.name.value)))
            .filter(|n| !waiting.iter().any(|w| w.name == *n))
            .collect();
        // A source that could not be planned has its own finding; views over it are not blamed again.
        failed.extend(
            pipelines
                .iter()
                .flat_map(|p| p.sources.iter().map(move |s| format!("{}.{}", p.name.value, s.name.value)))
                .filter(|n| !self.infos.contains_key(n)),
        );
        while !waiting.is_empty() {
            let names: Vec<String> = waiting.iter().map(|v| v.name.clone()).collect();
            let ready = waiting.iter().position(|v| !v.reads.iter().any(|r| names.contains(r)));
            let Some(ready) = ready else {
                self.cycle(&waiting);
                return;
            };
            let view = waiting.remove(ready);
            if view.reads.iter().any(|r| failed.contains(r)) {
                failed.push(view.name);
                continue;
            }
            let planned = match view.query {
                Some(_) => self.plan_view(&view).map_err(Diagnostics::from),
                None => self.plan_operator(&view),
            };
            if let Err(found) = planned {
                self.found.extend(found);
                failed.push(view.name);
            }
        }
    }

    fn cycle(&mut self, views: &[View<'_>]) {
        let names: Vec<&str> = views.iter().map(|v| v.name.as_str()).collect();
        for view in views {
            let message = format!("{} reads itself, by way of {}", view.name, names.join(", "));
            let help = "a view cannot rest on itself; break the circle at one of these";
            self.found.push(Diagnostic::error("cycle", message).at(&view.operator.name.span).help(help));
        }
    }

    fn view<'a>(&self, pipeline: &'a Pipeline, operator: &'a Operator) -> Result<View<'a>, Diagnostic> {
        let name = format!("{}.{}", pipeline.name.value, operator.name.value);
        if operator.kind.value != "sql" {
            let own = &pipeline.name.value;
            let full = |from: &Spanned<String>| match from.value.contains('.') {
                true => from.value.clone(),
                false => format!("{own}.{}", from.value),
            };
            let reads = operator.from.iter().map(full).collect();
            return Ok(View { pipeline, operator, name, query: None, reads });
        }
        if let Some(retain) = &operator.retain {
            let help = "remove `retain`: rows of a view count as long as those they rest on";
            return Err(Diagnostic::error("wrong_key", "a view of SQL keeps nothing of its own")
                .at(&retain.span)
                .help(help));
        }
        let Some(sql) = operator.options.as_str() else {
            return Err(Diagnostic::error("wrong_type", "sql takes the text of a query")
                .at(operator.options.span())
                .help("write `sql: |` and the query below it"));
        };
        let state = self.tables.session(&pipeline.name.value);
        let parsed = parse(sql).and_then(|(statement, sessions)| {
            unsupported::check_statement(&statement, sql)?;
            let mut reads: Vec<String> = state
                .resolve_table_references(&statement)?
                .into_iter()
                .map(|r| full_name(&r, &pipeline.name.value))
                .collect();
            reads.extend(sessions.iter().map(|s| {
                if s.stream.contains('.') { s.stream.clone() } else { format!("{}.{}", pipeline.name.value, s.stream) }
            }));
            Ok((statement, sessions, reads))
        });
        let (statement, sessions, reads) = parsed.map_err(|e| diagnose(&e, &operator.options))?;
        Ok(View { pipeline, operator, name, query: Some((statement, sessions)), reads })
    }

    fn plan_view(&mut self, view: &View<'_>) -> Result<(), Diagnostic> {
        let sql = &view.operator.options;
        self.known(view)?;
        let plan = self.logical(view).map_err(|e| diagnose(&e, sql))?;
        let pipeline = &view.pipeline.name.value;
        let mut lowering = Lowering::new(
            &mut self.graph,
            &self.infos,
            view.sessions(),
            pipeline,
            view.name.clone(),
            view.operator.on_error,
        );
        let info = lowering.query(&plan).map_err(|e| diagnose(&e, sql))?;
        let warnings = std::mem::take(&mut lowering.warnings);
        self.found.extend(warnings.into_iter().map(|w| w.into_warning("retention_too_short", sql)));
        unique_columns(&info.schema, view.operator)?;
        let added = self.tables.add(pipeline, &view.operator.name.value, info.schema.clone());
        added.map_err(|e| diagnose(&e, sql))?;
        self.infos.insert(view.name.clone(), info);
        Ok(())
    }

    /// Streams that do not exist get a better message than DataFusion's.
    fn known(&self, view: &View<'_>) -> Result<(), Diagnostic> {
        for read in &view.reads {
            if self.infos.contains_key(read) || read.contains("__session_") {
                continue;
            }
            let own = format!("{}.", view.pipeline.name.value);
            let shown = read.strip_prefix(&own).unwrap_or(read);
            let sql = &view.operator.options;
            let span = sql
                .as_str()
                .and_then(|t| t.find(shown))
                .map_or_else(|| sql.span().clone(), |at| sql.text_span(at..at + shown.len()));
            let names: Vec<&str> = self.infos.keys().map(|n| n.strip_prefix(&own).unwrap_or(n)).collect();
            return Err(Diagnostic::error("unknown_stream", sql.redacted(&format!("there is no stream {shown}")))
                .at(&span)
                .suggest(shown, names, "name a source or an operator of this file, or PIPELINE.STREAM of another"));
        }
        Ok(())
    }

    fn logical(&self, view: &View<'_>) -> DfResult<LogicalPlan> {
        for call in view.sessions() {
            let full = if call.stream.contains('.') {
                call.stream.clone()
            } else {
                format!("{}.{}", view.pipeline.name.value, call.stream)
            };
            if let Some(stream) = self.infos.get(&full) {
                self.tables.add(&view.pipeline.name.value, &call.table, session_schema(&stream.schema))?;
            }
        }
        let state = self.tables.session(&view.pipeline.name.value);
        let Some((statement, _)) = &view.query else {
            return Err(DataFusionError::Internal(format!("{} is no query", view.name)));
        };
        let plan = futures::executor::block_on(state.statement_to_plan(statement.clone()))?;
        unsupported::check_plan(&plan)?;
        state.optimize(&plan)
    }
}

impl Compiled {
    /// What operators ask about is read like what a sink is given.
    fn ask(&mut self) {
        for (name, stream) in &self.questions {
            let Some(info) = self.streams.get(stream).cloned() else { continue };
            let node = settled(&mut self.graph, &info, stream);
            self.sinks.insert(name.clone(), node);
            self.sink_streams.insert(name.clone(), stream.clone());
        }
    }

    fn sink(&mut self, pipeline: &Pipeline, sink: &Sink) -> Result<(), Diagnostic> {
        let own = &pipeline.name.value;
        let from = &sink.from.value;
        let stream = if from.contains('.') { from.clone() } else { format!("{own}.{from}") };
        let Some(info) = self.streams.get(&stream).cloned() else {
            let names: Vec<&str> =
                self.streams.keys().map(|n| n.strip_prefix(&format!("{own}.")).unwrap_or(n)).collect();
            return Err(Diagnostic::error("unknown_stream", format!("there is no stream {from}"))
                .at(&sink.from.span)
                .suggest(from, names, "name a source or an operator of this file, or PIPELINE.STREAM of another"));
        };
        let name = format!("{own}.{}", sink.name.value);
        let mut node = settled(&mut self.graph, &info, &stream);
        if let Some(span) = &sink.when_closed {
            node = self.closed(node, &info, &name).ok_or_else(|| {
                let message = format!("{from} has no window that closes");
                let help = "`when: closed` needs a column made by tumble() or hop() over the event time of a source that declares `time` and `lateness`";
                Diagnostic::error("no_window", message).at(span).help(help)
            })?;
        }
        self.sinks.insert(name.clone(), node);
        self.sink_streams.insert(name, stream);
        Ok(())
    }

    /// Holds rows back until their window has ended and its lateness has passed.
    fn closed(&mut self, node: NodeId, info: &StreamInfo, owner: &str) -> Option<NodeId> {
        let (column, window) = info.windows.iter().min_by_key(|(c, _)| **c)?;
        let after = window.to_end + window.lateness?;
        let streams = HashMap::new();
        let mut lowering = Lowering::new(&mut self.graph, &streams, &[], "", owner.into(), OnError::Route);
        lowering.hold(node, *column, after).ok()
    }
}

fn parse(sql: &str) -> DfResult<(Statement, Vec<SessionCall>)> {
    let mut statements = crate::dialect::statements(sql)?;
    let Some(mut statement) = statements.pop_front() else {
        return Err(Refusal::new("there is no query", "write one SELECT").into_error());
    };
    if !statements.is_empty() {
        return refuse("an operator is one query", "write one operator for each", ";");
    }
    let sessions = match &mut statement {
        Statement::Statement(s) => rewrite(s)?,
        _ => vec![],
    };
    Ok((statement, sessions))
}

fn full_name(reference: &TableReference, pipeline: &str) -> String {
    match (reference.catalog(), reference.schema()) {
        (None, None) => format!("{pipeline}.{}", reference.table()),
        (Some(c), Some(s)) if c != CATALOG => format!("{c}.{s}.{}", reference.table()),
        (_, Some(s)) => format!("{s}.{}", reference.table()),
        (_, None) => format!("{pipeline}.{}", reference.table()),
    }
}

/// The µs of an interval as written in SQL.
pub fn interval_micros(text: &str) -> DfResult<i64> {
    let state = Streams::new().session("public");
    let expr = crate::dialect::expression(text)?;
    let expr = state.create_logical_expr_from_sql_expr(expr, &datafusion::common::DFSchema::empty())?;
    let simplified = crate::functions::constant_micros(&expr);
    simplified
        .filter(|m| *m > 0)
        .ok_or_else(|| DataFusionError::Plan(format!("'{text}' is no positive interval without months")))
}

/// A view's columns are told apart by name outside.
fn unique_columns(schema: &Schema, operator: &Operator) -> Result<(), Diagnostic> {
    let mut seen = std::collections::HashSet::new();
    match schema.fields().iter().find(|f| !seen.insert(f.name().clone())) {
        None => Ok(()),
        Some(twice) => {
            let message = operator.options.redacted(&format!("two columns are called {}", twice.name()));
            Err(Diagnostic::error("duplicate_column", message)
                .at(operator.options.span())
                .help("give one of them another name with AS"))
        }
    }
}

/// Every column must have an encoding as row bytes.
fn check_encodable(graph: &Graph, found: &mut Diagnostics, pipelines: &[Pipeline]) {
    for node in &graph.nodes {
        let bad = node.schema.fields().iter().find(|f| !encodable(f.data_type()));
        if let Some(field) = bad {
            let sql = pipelines.iter().find_map(|p| {
                let own = node.owner.strip_prefix(&format!("{}.", p.name.value))?;
                p.operators.iter().find(|o| o.name.value == own).map(|o| &o.options)
            });
            let message = format!("the column {} of type {} cannot be kept in a view", field.name(), field.data_type());
            let shown = sql.map_or_else(|| message.clone(), |sql| sql.redacted(&message));
            let d = Diagnostic::error("type_unsupported", shown).help("cast it to another type");
            found.push(sql.map_or(d.clone(), |sql| d.at(sql.span())));
            return;
        }
    }
}

fn encodable(t: &DataType) -> bool {
    match t {
        DataType::List(f) | DataType::LargeList(f) => encodable(f.data_type()),
        DataType::Struct(fields) => fields.iter().all(|f| encodable(f.data_type())),
        DataType::Map(..)
        | DataType::Union(..)
        | DataType::Dictionary(..)
        | DataType::RunEndEncoded(..)
        | DataType::FixedSizeList(..)
        | DataType::ListView(_)
        | DataType::LargeListView(_) => false,
        _ => true,
    }
}
