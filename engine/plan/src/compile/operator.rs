//! Operators that are no queries: state machines over events, and those that ask something outside.
//!
//! One that asks is two things to the graph: its questions go out as a sink's rows do, and its answers come in as an
//! input of the same name, which the log keeps. So nothing undetermined happens inside, and what runs again asks nobody.

use super::{Compiler, View};
use crate::graph::*;
use crate::lower::{Retire, StreamInfo};
use crate::machine::Machine;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::ScalarValue;
use datafusion::physical_expr::expressions::{Column, Literal};
use jarvis_spec::{Diagnostic, Diagnostics, OnError, Operator, Pipeline, Retain};
use std::collections::HashMap;
use std::sync::Arc;

/// A stream that an operator reads.
#[derive(Clone, Debug)]
pub struct Reading {
    /// `pipeline.stream`
    pub name: String,
    pub schema: SchemaRef,
    pub time: Option<usize>,
}

/// What a kind makes of an operator.
pub enum Planned {
    /// It follows events inside the graph.
    Machine { machine: Arc<dyn Machine>, reads: Vec<Picked> },
    /// It asks something outside; its answers have these columns.
    Asks(SchemaRef),
}

/// The columns of a stream that a machine reads.
#[derive(Clone, Debug)]
pub struct Picked {
    /// They say whose event it is; of each stream as many, of the same types.
    pub key: Vec<usize>,
    /// Handed to the machine, in this order.
    pub columns: Vec<usize>,
}

/// Who knows the kinds of operators.
pub trait Operators {
    /// Plans an operator over the streams of its `from`, in that order.
    ///
    /// # Errors
    /// There is no such kind, or it does not take the options or the streams.
    fn plan(&mut self, pipeline: &Pipeline, operator: &Operator, from: &[Reading]) -> Result<Planned, Diagnostics>;
}

/// Nobody: pipelines of queries only.
#[derive(Clone, Copy, Debug)]
pub struct SqlOnly;

impl Operators for SqlOnly {
    fn plan(&mut self, _: &Pipeline, operator: &Operator, _: &[Reading]) -> Result<Planned, Diagnostics> {
        let message = format!("there is no kind of operator called {}", operator.kind.value);
        Err(Diagnostic::error("unknown_kind", message).at(&operator.kind.span).help("kinds of operators: sql").into())
    }
}

impl Compiler<'_> {
    pub(super) fn plan_operator(&mut self, view: &View<'_>) -> Result<(), Diagnostics> {
        let operator = view.operator;
        if operator.from.is_empty() {
            let message = format!("{} does not say what it reads", operator.name.value);
            let help = "write `from: [stream, ...]` beside its kind";
            return Err(Diagnostic::error("missing_key", message).at(&operator.name.span).help(help).into());
        }
        let mut from = vec![];
        for (name, written) in view.reads.iter().zip(&operator.from) {
            let Some(info) = self.infos.get(name) else {
                let message = format!("there is no stream {}", written.value);
                let names: Vec<&str> = self.infos.keys().map(String::as_str).collect();
                return Err(Diagnostic::error("unknown_stream", message)
                    .at(&written.span)
                    .suggest(&written.value, names, "name a source or an operator, or PIPELINE.STREAM of another file")
                    .into());
            };
            from.push((Reading { name: name.clone(), schema: info.schema.clone(), time: info.time }, info.node));
        }
        let readings: Vec<Reading> = from.iter().map(|(reading, _)| reading.clone()).collect();
        match self.kinds.plan(view.pipeline, operator, &readings)? {
            Planned::Machine { machine, reads } => {
                if let Some(retain) = &operator.retain {
                    let message = format!("{} asks nobody, so it has no answers to keep", operator.kind.value);
                    return Err(Diagnostic::error("wrong_key", message)
                        .at(&retain.span)
                        .help("remove `retain`: how long it remembers is an option of its own")
                        .into());
                }
                self.check_events(view, &from)?;
                let nodes: Vec<NodeId> = from.iter().map(|(_, node)| *node).collect();
                self.machine(view, machine, &reads, &nodes)?;
            }
            Planned::Asks(schema) => self.asks(view, schema)?,
        }
        Ok(())
    }

    /// A machine reads streams that take nothing back.
    fn check_events(&self, view: &View<'_>, from: &[(Reading, NodeId)]) -> Result<(), Diagnostic> {
        for ((reading, node), written) in from.iter().zip(&view.operator.from) {
            if !are_events(&self.graph, *node) {
                let kind = &view.operator.kind.value;
                let message =
                    format!("{kind} reads events in their order, and {} is a table that changes", reading.name);
                return Err(Diagnostic::error("no_events", message).at(&written.span).help(
                    "name a source without `key`, or a view that only filters, computes or unites such sources: no joins, no groups, no now()",
                ));
            }
        }
        Ok(())
    }

    /// Events of several streams become rows of one kind: the key, which stream, and the columns of each stream, null in
    /// the rows of the others.
    fn machine(
        &mut self,
        view: &View<'_>,
        machine: Arc<dyn Machine>,
        reads: &[Picked],
        nodes: &[NodeId],
    ) -> Result<(), Diagnostic> {
        let streams: Vec<(SchemaRef, &Picked)> =
            nodes.iter().map(|node| self.graph.schema(*node).clone()).zip(reads).collect();
        let wide = wide_schema(&streams);
        let mut parts = vec![];
        for (stream, (node, (schema, picked))) in nodes.iter().zip(&streams).enumerate() {
            let project = wide_row(&streams, stream, schema, picked)
                .map_err(|error| Diagnostic::error("type_unsupported", error).at(&view.operator.kind.span))?;
            let op = Op::Map { input: *node, filter: None, project: Some(project) };
            parts.push(self.step(view, op, wide.clone(), "pick"));
        }
        let input = match parts.as_slice() {
            [one] => *one,
            _ => self.step(view, Op::Union { inputs: parts }, wide, "union"),
        };
        let (keys, mut first) = (streams.first().map_or(0, |(_, picked)| picked.key.len()), 0);
        let mut columns = vec![];
        for (_, picked) in &streams {
            columns.push(keys + 1 + first..keys + 1 + first + picked.columns.len());
            first += picked.columns.len();
        }
        let schema = machine.schema();
        let label = view.operator.kind.value.clone();
        let node =
            self.step(view, Op::Ordered(Ordered { input, keys, streams: columns, machine }), schema.clone(), &label);
        self.result(view, node, schema)
    }

    fn step(&mut self, view: &View<'_>, op: Op, schema: SchemaRef, label: &str) -> NodeId {
        let (owner, on_error) = (view.name.clone(), view.operator.on_error);
        self.graph.add(Node { op, schema, owner, label: label.to_owned(), on_error })
    }

    fn result(&mut self, view: &View<'_>, node: NodeId, schema: SchemaRef) -> Result<(), Diagnostic> {
        let added = self.tables.add(&view.pipeline.name.value, &view.operator.name.value, schema.clone());
        added.map_err(|error| Diagnostic::error("stream_name", error.to_string()).at(&view.operator.name.span))?;
        let info = StreamInfo {
            node,
            schema,
            append_only: false,
            punctual: false,
            retire: None,
            time: None,
            lateness: None,
            windows: HashMap::new(),
        };
        self.infos.insert(view.name.clone(), info);
        Ok(())
    }

    /// Answers are an input of the operator's name; the questions are told like a sink's rows.
    fn asks(&mut self, view: &View<'_>, schema: SchemaRef) -> Result<(), Diagnostic> {
        let operator = view.operator;
        let Some(retain) = &operator.retain else {
            let message = format!("{} does not say how long its answers count", operator.name.value);
            let help = "write `retain: 10m` beside its kind";
            return Err(Diagnostic::error("missing_retention", message).at(&operator.name.span).help(help));
        };
        let [question] = view.reads.as_slice() else {
            let message = format!("{} asks about the rows of one stream", operator.kind.value);
            return Err(Diagnostic::error("wrong_value", message)
                .at(&operator.name.span)
                .help("bring them together in a view, and name that in `from`"));
        };
        if operator.on_error != OnError::Route {
            let message = "what cannot be answered goes to system.errors";
            return Err(Diagnostic::error("wrong_key", message)
                .at(&operator.name.span)
                .help("remove `on_error`, or write `route`"));
        }
        let after = match retain.value {
            Retain::Forever => None,
            Retain::For(duration) => Some(duration.as_micros() as u64),
        };
        self.input(view.name.clone(), schema.clone(), after);
        let retire = after.map(|after| Retire { time: schema.fields().len(), after });
        self.input_node(&view.name, schema, false, retire, None, None);
        self.questions.push((view.name.clone(), question.clone()));
        Ok(())
    }

    fn input(&mut self, name: String, schema: SchemaRef, after: Option<u64>) {
        let mut fields: Vec<Field> = schema.fields().iter().map(|f| f.as_ref().clone()).collect();
        if after.is_some() {
            fields.push(Field::new(ARRIVED, crate::functions::TIMESTAMP, false));
        }
        self.graph.inputs.push(Input {
            name,
            schema: Arc::new(Schema::new(fields)),
            key: vec![],
            time: None,
            lateness: None,
            stamps_arrival: after.is_some(),
            held: None,
        });
    }
}

/// Whether no row of a node is ever taken back but by a row of a source that takes one back.
fn are_events(graph: &Graph, node: NodeId) -> bool {
    match &graph.nodes[node].op {
        Op::Input(input) => graph.inputs[*input].key.is_empty() && graph.inputs[*input].name != super::ERRORS,
        Op::Map { input, .. } | Op::Unnest { input, .. } => are_events(graph, *input),
        Op::Union { inputs } => inputs.iter().all(|input| are_events(graph, *input)),
        _ => false,
    }
}

fn wide_schema(streams: &[(SchemaRef, &Picked)]) -> SchemaRef {
    let mut fields: Vec<Field> = vec![];
    if let Some((schema, picked)) = streams.first() {
        fields.extend(picked.key.iter().map(|c| schema.field(*c).clone().with_nullable(true)));
    }
    fields.push(Field::new("__stream", DataType::Int32, true));
    for (schema, picked) in streams {
        fields.extend(picked.columns.iter().map(|c| schema.field(*c).clone().with_nullable(true)));
    }
    Arc::new(Schema::new(fields))
}

/// The expressions that make a row of one stream one of all.
fn wide_row(
    streams: &[(SchemaRef, &Picked)],
    own: usize,
    schema: &SchemaRef,
    picked: &Picked,
) -> Result<Vec<Expression>, String> {
    let column = |c: &usize| Arc::new(Column::new(schema.field(*c).name(), *c)) as Expression;
    let mut row: Vec<Expression> = picked.key.iter().map(column).collect();
    let own_number = i32::try_from(own).map_err(|error| error.to_string())?;
    row.push(Arc::new(Literal::new(ScalarValue::Int32(Some(own_number)))));
    for (stream, (schema, picked)) in streams.iter().enumerate() {
        for c in &picked.columns {
            row.push(match stream == own {
                true => column(c),
                false => {
                    let null =
                        ScalarValue::try_from(schema.field(*c).data_type()).map_err(|error| error.to_string())?;
                    Arc::new(Literal::new(null))
                }
            });
        }
    }
    Ok(row)
}
