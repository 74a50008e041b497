//! From a graph to operators. The only place that decides which operator runs a step.

use crate::ops::aggregate::{self, PartialStream, aggregate};
use crate::ops::edge::Edge;
use crate::ops::joined::{self, Arrangement, JoinShape, Wanted};
use crate::ops::map::{Map, map};
use crate::ops::ordered::ordered;
use crate::ops::session::session;
use crate::ops::temporal::{Temporal, temporal};
use crate::ops::topk::{rank_order, topk};
use crate::ops::unnest::unnest;
use crate::ops::upsert::front::{FrontOrder, FrontPlan, orders};
use crate::ops::upsert::upsert;
use crate::ops::{Clock, DeltaBuilder, Deltas, Fed, Shared};
use crate::output::{Outbox, output};
use jarvis_plan::simplify::{plain_columns, readers};
use jarvis_plan::{Graph, JoinColumn, NodeId, Op, TopK};
use std::collections::HashMap;
use std::rc::Rc;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::core::Concatenate;
use timely::dataflow::operators::generic::operator::Operator;
use timely::dataflow::operators::probe::Probe;
use timely::dataflow::{ProbeHandle, Scope, Stream};

/// The edges rendered so far.
struct Rendered<'g, 's> {
    graph: &'g Graph,
    shared: Shared,
    clock: Clock<'s>,
    inputs: Vec<Stream<'s, u64, Vec<Fed>>>,
    edges: HashMap<NodeId, Edge<'s>>,
    /// Edges of rows that some step wanted in columns.
    decoded: HashMap<NodeId, Deltas<'s>>,
    arrangements: HashMap<(NodeId, Wanted), Arrangement<'s>>,
    /// Inputs of which only the first rows are read.
    fronts: HashMap<NodeId, FrontPlan>,
}

/// Renders everything that the outputs rest on; `probe` follows the outputs.
pub fn render<'s>(
    scope: Scope<'s, u64>,
    graph: &Graph,
    inputs: Vec<Stream<'s, u64, Vec<Fed>>>,
    clock: Clock<'s>,
    shared: Shared,
    outbox: Outbox,
    probe: &ProbeHandle<u64>,
) {
    let mut rendered = Rendered {
        graph,
        shared,
        clock: clock.clone(),
        inputs,
        edges: HashMap::new(),
        decoded: HashMap::new(),
        arrangements: HashMap::new(),
        fronts: fronts(graph),
    };
    let fused = fused_joins(graph);
    for node in graph.live().into_iter().filter(|n| !fused.contains(n)) {
        let edge = rendered.node(scope, node);
        rendered.edges.insert(node, edge);
    }
    for (index, wanted) in graph.outputs.iter().enumerate() {
        let stream = rendered.columns(wanted.node);
        let schema = graph.schema(wanted.node).clone();
        output(stream, index, &format!("output {}", wanted.name), schema, outbox.clone()).probe_with(probe);
    }
    clock.probe_with(probe);
    for input in rendered.inputs {
        input.probe_with(probe);
    }
}

impl<'g, 's> Rendered<'g, 's> {
    /// What a node puts out, in columns.
    fn columns(&mut self, node: NodeId) -> Deltas<'s> {
        match &self.edges[&node] {
            Edge::Columns(deltas) => deltas.clone(),
            Edge::Rows(_) if self.decoded.contains_key(&node) => self.decoded[&node].clone(),
            Edge::Rows(rows) => {
                let name = format!("{node} {}", self.graph.nodes[node].label);
                let decoded = rows.decode(&name, self.graph.schema(node).clone());
                self.decoded.insert(node, decoded.clone());
                decoded
            }
        }
    }
    fn node(&mut self, scope: Scope<'s, u64>, id: NodeId) -> Edge<'s> {
        let node = &self.graph.nodes[id];
        let name = format!("{id} {}", node.label);
        let shared = self.shared.clone();
        Edge::Columns(match &node.op {
            Op::Input(index) => {
                let input = &self.graph.inputs[*index];
                let fed = self.inputs[*index].clone();
                if !input.key.is_empty() {
                    return Edge::Rows(upsert(fed, &name, input, self.fronts.get(&id), &node.owner, shared));
                }
                unwrap_fed(fed, &name)
            }
            Op::Map { input, filter, project } => {
                let picked = project.as_ref().filter(|_| filter.is_none()).and_then(|p| plain_columns(p));
                if let (Some(columns), Edge::Rows(rows)) = (picked, &self.edges[input]) {
                    return Edge::Rows(rows.pick(&columns));
                }
                map(self.columns(*input), &name, Map::new(node, filter, project), shared)
            }
            Op::Temporal { input, from, until, keep, .. } => temporal(
                self.columns(*input),
                self.clock.clone(),
                &name,
                Temporal::new(node, from, until, *keep),
                shared,
            ),
            Op::Unnest { input, column } => unnest(self.columns(*input), &name, *column, node.schema.clone()),
            Op::Union { inputs } => scope.concatenate(inputs.iter().map(|i| self.columns(*i)).collect::<Vec<_>>()),
            Op::Negate { input } => joined::negate(self.columns(*input), &name),
            Op::Join { left, right, left_key, right_key, nulls_match, output } => {
                let (shape, l, r) = self.sides((*left, left_key), (*right, right_key), *nulls_match, output);
                return Edge::Rows(joined::join(l, r, &name, shape, node.schema.clone()));
            }
            Op::Aggregate(a) => {
                let layout = Rc::new(aggregate::Layout::new(node, a, self.graph.schema(a.input)));
                let partials = if self.edges.contains_key(&a.input) {
                    aggregate::partials(self.columns(a.input), &name, layout.clone(), shared.clone())
                } else {
                    self.join_sums(a.input, layout.clone())
                };
                aggregate(partials, self.clock.clone(), &name, layout, shared)
            }
            Op::TopK(t) => topk(self.columns(t.input), &name, node, t, self.graph.schema(t.input), shared),
            Op::Ordered(o) => {
                let (input, clock) = (self.columns(o.input), self.clock.clone());
                ordered(input, clock, &name, node, o, self.graph.schema(o.input), shared)
            }
            Op::Session(s) => session(self.columns(s.input), &name, node, s, self.graph.schema(s.input), shared),
        })
    }
    /// A join whose pairs are only added up.
    fn join_sums(&mut self, join: NodeId, layout: Rc<aggregate::Layout>) -> PartialStream<'s> {
        let node = &self.graph.nodes[join];
        let Op::Join { left, right, left_key, right_key, nulls_match, output } = &node.op else {
            unreachable!("only joins are fused");
        };
        let (shape, l, r) = self.sides((*left, left_key), (*right, right_key), *nulls_match, output);
        joined::join_sums(l, r, &format!("{join} {}", node.label), shape, layout, self.shared.clone())
    }
    fn sides(
        &mut self,
        left: (NodeId, &[usize]),
        right: (NodeId, &[usize]),
        nulls_match: bool,
        output: &[JoinColumn],
    ) -> (JoinShape, Arrangement<'s>, Arrangement<'s>) {
        let shape = JoinShape::new(output, (self.graph.schema(left.0), left.1), (self.graph.schema(right.0), right.1));
        let l = self.arrangement(left.0, left.1, &shape.left_value, !nulls_match);
        let r = self.arrangement(right.0, right.1, &shape.right_value, !nulls_match);
        (shape, l, r)
    }
    /// One arrangement per stream, key and columns held, shared by all joins that want it.
    fn arrangement(&mut self, node: NodeId, key: &[usize], value: &[usize], skip_null_keys: bool) -> Arrangement<'s> {
        let wanted = Wanted { key: key.to_vec(), value: value.to_vec(), skip_null_keys };
        if let Some(found) = self.arrangements.get(&(node, wanted.clone())) {
            return found.clone();
        }
        let schema = self.graph.schema(node);
        let by: Vec<&str> = key.iter().map(|k| schema.field(*k).name().as_str()).collect();
        let name = format!("{}/{node} by {}", self.graph.nodes[node].owner, by.join(", "));
        let made = joined::arrange(&self.edges[&node], &name, schema, &wanted, &self.shared);
        self.arrangements.insert((node, wanted), made.clone());
        made
    }
}

/// Joins that are read by nothing but an aggregate that adds up.
fn fused_joins(graph: &Graph) -> Vec<NodeId> {
    let live = graph.live();
    let readers = readers(graph);
    let fused = live.iter().filter_map(|n| {
        let Op::Aggregate(a) = &graph.nodes[*n].op else { return None };
        let is_join = matches!(graph.nodes[a.input].op, Op::Join { .. });
        let pairs = graph.schema(a.input);
        let fuses = is_join
            && readers[a.input] == 1
            && joined::adds_up(&aggregate::Layout::new(&graph.nodes[*n], a, pairs), pairs);
        fuses.then_some(a.input)
    });
    fused.collect()
}

/// First rows beyond this are not worth a front: it holds them all twice.
const MOST_IN_FRONT: usize = 10_000;

/// Upserts that are read by nothing but a step that takes the first rows of all.
fn fronts(graph: &Graph) -> HashMap<NodeId, FrontPlan> {
    let readers = readers(graph);
    let tops = graph.live().into_iter().filter_map(|n| match &graph.nodes[n].op {
        Op::TopK(top) => front(graph, top, &readers),
        _ => None,
    });
    tops.collect()
}

fn front(graph: &Graph, top: &TopK, readers: &[usize]) -> Option<(NodeId, FrontPlan)> {
    let wanted = top.fetch?.checked_add(top.skip).filter(|n| *n <= MOST_IN_FRONT)?;
    if !top.partition.is_empty() || wanted == 0 {
        return None;
    }
    let mut node = top.input;
    let mut columns: Vec<usize> = (0..graph.schema(node).fields().len()).collect();
    loop {
        match &graph.nodes[node].op {
            _ if readers[node] != 1 => return None,
            Op::Map { input, filter: None, project: Some(project) } => {
                let picked = plain_columns(project)?;
                columns = columns.into_iter().map(|c| picked[c]).collect();
                node = *input;
            }
            Op::Input(index) if !graph.inputs[*index].key.is_empty() => break,
            _ => return None,
        }
    }
    let order = rank_order(top, columns.len()).into_iter().map(|(c, descending, nulls_first)| FrontOrder {
        column: columns[c],
        descending,
        nulls_first,
    });
    let order: Vec<FrontOrder> = order.collect();
    let sortable = order.iter().all(|o| orders(graph.schema(node).field(o.column).data_type()));
    sortable.then_some((node, FrontPlan { order, wanted }))
}

/// Rows of a multiset need no place.
fn unwrap_fed<'s>(fed: Stream<'s, u64, Vec<Fed>>, name: &str) -> Deltas<'s> {
    fed.unary::<DeltaBuilder, _, _, _>(Pipeline, name, |_, _| {
        |input, output| {
            input.for_each_stamp(|capability, data| {
                output.session(&capability).give_iterator(data.flat_map(|d| d.drain(..)).map(|f| f.delta.canonical()));
            });
        }
    })
}
