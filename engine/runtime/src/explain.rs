//! Why a decision was taken: the rows that it rests on, step by step, down to those that entered.
//!
//! Nothing is recorded for it. What entered is run again up to the decision, with every step's rows kept; then each step
//! is asked which rows of those before it could have made the row in question. So the answer names the same rows that an
//! operator has joined or counted, and costs a run of the past.

use crate::again::{Again, entrances};
use crate::cluster::{Cluster, Rows};
use crate::echoes::Echoes;
use crate::floors::Floors;
use crate::json_out::JsonRow;
use crate::live::errors::SystemErrors;
use crate::live::views::View;
use crate::project::Project;
use crate::replay::Decision;
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions, UInt64Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::{Int32Type, Schema, SchemaRef};
use jarvis_dataflow::Delta;
use jarvis_dataflow::columns::{Codec, canonical};
use jarvis_dataflow::ops::map::evaluate;
use jarvis_dataflow::ops::unnest::explode;
use jarvis_dataflow::row::Row;
use jarvis_log::Tick;
use jarvis_plan::{Expression, Graph, JoinColumn, NodeId, Op, Ordered, Output};
use serde::Serialize;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// Rows of one step that are told; of others only the number.
const TOLD: usize = 10;

/// A row, and what it rests on.
#[derive(Clone, Debug, Serialize)]
pub struct Reason {
    /// `pipeline.operator` or `pipeline.source`.
    pub stream: String,
    /// `join`, `group`, `filter`, ...
    pub step: String,
    /// JSON.
    pub row: Box<serde_json::value::RawValue>,
    /// When it entered, µs since the epoch; of a row of a source.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entered: Option<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub because: Vec<Reason>,
    /// How many more rows it rests on.
    #[serde(skip_serializing_if = "is_zero")]
    pub more: usize,
}

fn is_zero(n: &usize) -> bool {
    *n == 0
}

/// The reasons of a decision that the pipelines take on what edits have left of these ticks.
///
/// # Errors
/// The past cannot be run again.
pub fn explain(
    project: &Project,
    decision: &Decision,
    ticks: impl Iterator<Item = anyhow::Result<Tick>>,
    floors: &Floors,
) -> anyhow::Result<Vec<Reason>> {
    let Some(&root) = project.compiled.sinks.get(&decision.sink) else { return Ok(vec![]) };
    let moment = Moment::reach(project, root, decision, ticks, floors)?;
    // Of an event that has cleared only the identity is known.
    let wanted = &decision.values;
    let places: Vec<usize> = wanted
        .schema()
        .fields()
        .iter()
        .filter_map(|f| moment.content[&root].schema().index_of(f.name()).ok())
        .collect();
    let rows = moment.matching(root, &places, wanted, &(0..wanted.num_columns()).collect::<Vec<_>>())?;
    rows.into_iter().take(TOLD).map(|row| moment.reason(root, row, "")).collect()
}

/// The rows of all steps that a view rests on, at one time.
struct Moment {
    graph: Arc<Graph>,
    content: HashMap<NodeId, RecordBatch>,
    /// When the rows of an input entered.
    entered: HashMap<String, HashMap<Row, u64>>,
}

impl Moment {
    /// Runs the past up to a decision; one that takes something back is explained by what was before.
    fn reach(
        project: &Project,
        root: NodeId,
        decision: &Decision,
        ticks: impl Iterator<Item = anyhow::Result<Tick>>,
        floors: &Floors,
    ) -> anyhow::Result<Self> {
        let mut graph = project.compiled.graph.clone();
        let nodes = below(&graph, root);
        graph.outputs = nodes.iter().map(|node| Output { name: format!("step {node}"), node: *node }).collect();
        let graph = Arc::new(graph);
        let mut views: Vec<View> = nodes.iter().map(|n| View::new(graph.schema(*n).clone())).collect();
        let entrances = entrances(&graph, &project.sources);
        let codecs: HashMap<&str, Codec> = project
            .sources
            .iter()
            .filter(|s| {
                nodes.iter().any(|n| matches!(graph.nodes[*n].op, Op::Input(i) if graph.inputs[i].name == s.spec.name))
            })
            .map(|s| Ok((s.spec.name.as_str(), Codec::new(s.spec.schema.clone())?)))
            .collect::<Result<_, arrow::error::ArrowError>>()?;
        let mut entered: HashMap<String, HashMap<Row, u64>> = HashMap::new();
        let (mut cluster, mut errors, echoes) =
            (Cluster::start(graph.clone(), 1)?, SystemErrors::new(), Echoes::of(&graph));
        let (mut last, mut wake) = (0, u64::MAX);
        let goes = decision.goes();
        for tick in ticks {
            let mut tick = tick?;
            floors.sieve(&mut tick);
            if tick.time > decision.time || (goes && tick.time == decision.time) {
                break;
            }
            let mut seen = |stream: &str, rows: &Rows| {
                let Some(Ok(encoded)) =
                    codecs.get(stream).map(|c| c.encode(rows.delta.rows.columns(), rows.delta.len()))
                else {
                    return;
                };
                let here = entered.entry(stream.to_owned()).or_default();
                here.extend(encoded.into_iter().map(|row| (row, tick.time)));
            };
            let mut again =
                Again { cluster: &mut cluster, errors: &mut errors, echoes: &echoes, last: &mut last, wake: &mut wake };
            for closed in again.run(&tick, &entrances, &mut seen)? {
                views[closed.output].apply(&closed.delta.rows, &closed.delta.diffs);
            }
        }
        if !goes && last < decision.time {
            // Told between two ticks, of an edit: what the clock brought until then has its part in it.
            let mut again =
                Again { cluster: &mut cluster, errors: &mut errors, echoes: &echoes, last: &mut last, wake: &mut wake };
            for closed in again.end_refill(decision.time)? {
                views[closed.output].apply(&closed.delta.rows, &closed.delta.diffs);
            }
        }
        let content = nodes.into_iter().zip(views.iter().map(View::content)).collect();
        Ok(Moment { graph, content, entered })
    }

    /// A row, and what it rests on; `within` is the operator that asks.
    fn reason(&self, node: NodeId, row: usize, within: &str) -> anyhow::Result<Reason> {
        let here = &self.graph.nodes[node];
        let mut because = self.because(node, row)?;
        // Within an operator, a step that only keeps or computes has nothing to say.
        if let (Op::Map { .. } | Op::Temporal { .. } | Op::Union { .. }, [(before, row)]) =
            (&here.op, because.as_slice())
            && here.owner == within
        {
            return self.reason(*before, *row, within);
        }
        let more = because.len().saturating_sub(TOLD);
        because.truncate(TOLD);
        let content = &self.content[&node];
        let own: Vec<usize> =
            (0..content.num_columns()).filter(|c| !content.schema().field(*c).name().starts_with("__")).collect();
        let mut json = vec![];
        JsonRow::of_columns(&content.schema(), &own)?.write(content, row, &[], &mut json);
        let json = serde_json::value::RawValue::from_string(String::from_utf8_lossy(&json).into_owned())?;
        let mut reason = Reason {
            stream: here.owner.clone(),
            step: here.label.clone(),
            row: json,
            entered: None,
            because: vec![],
            more,
        };
        if let Op::Input(input) = here.op {
            reason.stream = self.graph.inputs[input].name.clone();
            reason.step = "source".to_owned();
            reason.entered = self.entered(&reason.stream, content, row, &own)?;
            return Ok(reason);
        }
        let reasons = because.into_iter().map(|(node, row)| self.reason(node, row, &here.owner));
        reason.because = reasons.collect::<Result<_, _>>()?;
        Ok(reason)
    }

    fn entered(&self, stream: &str, content: &RecordBatch, row: usize, own: &[usize]) -> anyhow::Result<Option<u64>> {
        let Some(entered) = self.entered.get(stream) else { return Ok(None) };
        let encoded = encode(&content.slice(row, 1), own)?;
        Ok(entered.get(&encoded[0]).copied())
    }

    /// The rows of the steps before that a row of a step rests on.
    fn because(&self, node: NodeId, row: usize) -> anyhow::Result<Vec<(NodeId, usize)>> {
        let target = self.content[&node].slice(row, 1);
        let all = |n: usize| (0..n).collect::<Vec<_>>();
        let width = target.num_columns();
        let from = |input: NodeId, rows: Vec<usize>| rows.into_iter().map(|r| (input, r)).collect();
        Ok(match &self.graph.nodes[node].op {
            Op::Input(_) => vec![],
            Op::Map { input, filter, project } => from(*input, self.mapped(*input, filter, project, &target)?),
            Op::Temporal { input, keep, .. } => from(*input, self.matching(*input, &all(*keep), &target, &all(*keep))?),
            Op::Unnest { input, column } => from(*input, self.unnested(*input, *column, &target)?),
            Op::Negate { input } => from(*input, self.matching(*input, &all(width), &target, &all(width))?),
            Op::Union { inputs } => {
                let mut rows = vec![];
                for input in inputs {
                    let found = self.matching(*input, &all(width), &target, &all(width))?;
                    rows.extend(found.into_iter().map(|r| (*input, r)));
                }
                rows
            }
            Op::Join { left, right, left_key, right_key, output, .. } => {
                self.joined((*left, left_key), (*right, right_key), output, &target)?
            }
            Op::Aggregate(a) => from(a.input, self.matching(a.input, &a.keys, &target, &all(a.keys.len()))?),
            Op::TopK(t) => {
                let columns = all(self.graph.schema(t.input).fields().len());
                from(t.input, self.matching(t.input, &columns, &target, &columns)?)
            }
            Op::Ordered(o) => from(o.input, self.followed(o, &target)?),
            Op::Session(s) => {
                let columns = all(self.graph.schema(s.input).fields().len());
                from(s.input, self.matching(s.input, &columns, &target, &columns)?)
            }
        })
    }

    /// The rows of a node that have, in some columns, the values of others in the first row of `target`.
    fn matching(
        &self,
        node: NodeId,
        columns: &[usize],
        target: &RecordBatch,
        wanted: &[usize],
    ) -> anyhow::Result<Vec<usize>> {
        let rows = encode(&self.content[&node], columns)?;
        let wanted = encode(&target.slice(0, 1), wanted)?;
        Ok((0..rows.len()).filter(|r| Some(&rows[*r]) == wanted.first()).collect())
    }

    fn mapped(
        &self,
        input: NodeId,
        filter: &Option<Expression>,
        project: &Option<Vec<Expression>>,
        target: &RecordBatch,
    ) -> anyhow::Result<Vec<usize>> {
        let content = &self.content[&input];
        let columns: Vec<usize> = (0..target.num_columns()).collect();
        let wanted = encode(target, &columns)?;
        let maps = |some: &RecordBatch| -> anyhow::Result<Vec<bool>> {
            let mask = match filter {
                None => vec![true; some.num_rows()],
                Some(filter) => {
                    let mask = evaluate(some, std::slice::from_ref(filter))?.remove(0);
                    let mask = mask.as_boolean();
                    (0..mask.len()).map(|i| mask.is_valid(i) && mask.value(i)).collect()
                }
            };
            let kept: UInt64Array = (0..mask.len() as u64).filter(|i| mask[*i as usize]).collect();
            let rows = take_record_batch(some, &kept)?;
            let made = match project {
                None => rows,
                Some(project) => {
                    let columns: Vec<ArrayRef> = evaluate(&rows, project)?.into_iter().map(canonical).collect();
                    let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
                    RecordBatch::try_new_with_options(target.schema(), columns, &options)?
                }
            };
            let mut made = encode(&made, &columns)?.into_iter();
            Ok(mask.into_iter().map(|kept| kept && made.next().as_ref() == wanted.first()).collect())
        };
        let found = match maps(content) {
            Ok(found) => found,
            // Some row fails; the others do not.
            Err(_) => {
                (0..content.num_rows()).map(|r| maps(&content.slice(r, 1)).is_ok_and(|found| found == [true])).collect()
            }
        };
        Ok((0..found.len()).filter(|r| found[*r]).collect())
    }

    /// The events that a row of a state machine rests on, as the machine says.
    fn followed(&self, ordered: &Ordered, target: &RecordBatch) -> anyhow::Result<Vec<usize>> {
        let keys: Vec<usize> = (0..ordered.keys).collect();
        let own = self.matching(ordered.input, &keys, target, &keys)?;
        let events = &self.content[&ordered.input];
        let stream = events.column(ordered.keys).as_primitive::<Int32Type>();
        let mut found = vec![];
        for (number, columns) in ordered.streams.iter().enumerate() {
            let rows: Vec<usize> = own.iter().copied().filter(|r| stream.value(*r) as usize == number).collect();
            let places: UInt64Array = rows.iter().map(|row| *row as u64).collect();
            let read = take_record_batch(&events.project(&columns.clone().collect::<Vec<_>>())?, &places)?;
            let rests = ordered.machine.rests_on(target, number, &read);
            found.extend(rests.into_iter().filter_map(|row| rows.get(row).copied()));
        }
        Ok(found)
    }

    fn unnested(&self, input: NodeId, column: usize, target: &RecordBatch) -> anyhow::Result<Vec<usize>> {
        let content = &self.content[&input];
        let columns: Vec<usize> = (0..target.num_columns()).collect();
        let wanted = encode(target, &columns)?;
        let mut found = vec![];
        for row in 0..content.num_rows() {
            let made = explode(&Delta::inserts(content.slice(row, 1), 0), column, &target.schema())?;
            if encode(&made.rows, &columns)?.iter().any(|r| Some(r) == wanted.first()) {
                found.push(row);
            }
        }
        Ok(found)
    }

    fn joined(
        &self,
        left: (NodeId, &[usize]),
        right: (NodeId, &[usize]),
        output: &[JoinColumn],
        target: &RecordBatch,
    ) -> anyhow::Result<Vec<(NodeId, usize)>> {
        let side = |node: NodeId, pick: &dyn Fn(&JoinColumn) -> Option<usize>| {
            let (places, columns): (Vec<usize>, Vec<usize>) =
                output.iter().enumerate().filter_map(|(i, o)| Some((i, pick(o)?))).unzip();
            self.matching(node, &columns, target, &places)
        };
        let lefts = side(left.0, &|o| if let JoinColumn::Left(c) = o { Some(*c) } else { None })?;
        let rights = side(right.0, &|o| if let JoinColumn::Right(c) = o { Some(*c) } else { None })?;
        let (left_keys, right_keys) =
            (encode(&self.content[&left.0], left.1)?, encode(&self.content[&right.0], right.1)?);
        let mut found = BTreeSet::new();
        for l in lefts {
            for r in rights.iter().filter(|r| right_keys[**r] == left_keys[l]) {
                found.extend([(0, left.0, l), (1, right.0, *r)]);
            }
        }
        Ok(found.into_iter().map(|(_, node, row)| (node, row)).collect())
    }
}

/// The nodes that a node rests on, and itself.
fn below(graph: &Graph, root: NodeId) -> Vec<NodeId> {
    let mut graph = graph.clone();
    graph.outputs = vec![Output { name: String::new(), node: root }];
    graph.live()
}

/// Some columns of all rows.
fn encode(rows: &RecordBatch, columns: &[usize]) -> anyhow::Result<Vec<Row>> {
    let chosen = rows.project(columns)?;
    // Names may stand twice in a step, and mean nothing here.
    let fields: Vec<_> = chosen.schema().fields().iter().map(|f| f.as_ref().clone()).collect();
    let schema: SchemaRef = Arc::new(Schema::new(fields));
    Ok(Codec::new(schema)?.encode(chosen.columns(), rows.num_rows())?)
}
