//! From a graph to operators. The only place that decides which operator runs a step.

use crate::ops::aggregate::{self, PartialStream, aggregate};
use crate::ops::joined::{self, Arrangement, JoinShape};
use crate::ops::map::{Map, map};
use crate::ops::session::session;
use crate::ops::temporal::{Temporal, temporal};
use crate::ops::topk::topk;
use crate::ops::unnest::unnest;
use crate::ops::upsert::upsert;
use crate::ops::{Clock, DeltaBuilder, Deltas, Fed, Shared};
use crate::output::{Outbox, output};
use jarvis_plan::{Graph, JoinColumn, NodeId, Op};
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
    streams: HashMap<NodeId, Deltas<'s>>,
    arrangements: HashMap<(NodeId, Vec<usize>, Vec<usize>, bool), Arrangement<'s>>,
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
    let mut rendered =
        Rendered { graph, shared, clock: clock.clone(), inputs, streams: HashMap::new(), arrangements: HashMap::new() };
    let fused = fused_joins(graph);
    for node in graph.live().into_iter().filter(|n| !fused.contains(n)) {
        let stream = rendered.node(scope, node);
        rendered.streams.insert(node, stream);
    }
    for (index, wanted) in graph.outputs.iter().enumerate() {
        let stream = rendered.stream(wanted.node);
        let schema = graph.schema(wanted.node).clone();
        output(stream, index, &format!("output {}", wanted.name), schema, outbox.clone()).probe_with(probe);
    }
    clock.probe_with(probe);
    for input in rendered.inputs {
        input.probe_with(probe);
    }
}

impl<'g, 's> Rendered<'g, 's> {
    fn stream(&self, node: NodeId) -> Deltas<'s> {
        self.streams[&node].clone()
    }
    fn node(&mut self, scope: Scope<'s, u64>, id: NodeId) -> Deltas<'s> {
        let node = &self.graph.nodes[id];
        let name = format!("{id} {}", node.label);
        let shared = self.shared.clone();
        match &node.op {
            Op::Input(index) => {
                let input = &self.graph.inputs[*index];
                let fed = self.inputs[*index].clone();
                if input.key.is_empty() {
                    unwrap_fed(fed, &name)
                } else {
                    upsert(fed, &name, input, &node.owner, shared)
                }
            }
            Op::Map { input, filter, project } => {
                map(self.stream(*input), &name, Map::new(node, filter, project), shared)
            }
            Op::Temporal { input, from, until, keep } => temporal(
                self.stream(*input),
                self.clock.clone(),
                &name,
                Temporal::new(node, from, until, *keep),
                shared,
            ),
            Op::Unnest { input, column } => unnest(self.stream(*input), &name, *column, node.schema.clone()),
            Op::Union { inputs } => scope.concatenate(inputs.iter().map(|i| self.stream(*i)).collect::<Vec<_>>()),
            Op::Negate { input } => joined::negate(self.stream(*input), &name),
            Op::Join { left, right, left_key, right_key, nulls_match, output } => {
                let (shape, l, r) = self.sides((*left, left_key), (*right, right_key), *nulls_match, output);
                joined::join(l, r, &name, shape, node.schema.clone())
            }
            Op::Aggregate(a) => {
                let layout = Rc::new(aggregate::Layout::new(node, a, self.graph.schema(a.input)));
                let partials = match self.streams.get(&a.input) {
                    Some(rows) => aggregate::partials(rows.clone(), &name, layout.clone(), shared.clone()),
                    None => self.join_sums(a.input, layout.clone()),
                };
                aggregate(partials, self.clock.clone(), &name, layout, shared)
            }
            Op::TopK(t) => topk(self.stream(t.input), &name, node, t, self.graph.schema(t.input), shared),
            Op::Session(s) => session(self.stream(s.input), &name, node, s, self.graph.schema(s.input), shared),
        }
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
        let wanted = (node, key.to_vec(), value.to_vec(), skip_null_keys);
        if let Some(found) = self.arrangements.get(&wanted) {
            return found.clone();
        }
        let schema = self.graph.schema(node);
        let by: Vec<&str> = key.iter().map(|k| schema.field(*k).name().as_str()).collect();
        let name = format!("{}/{node} by {}", self.graph.nodes[node].owner, by.join(", "));
        let made = joined::arrange(self.stream(node), &name, schema, key, value, skip_null_keys, &self.shared);
        self.arrangements.insert(wanted, made.clone());
        made
    }
}

/// Joins that are read by nothing but an aggregate that adds up.
fn fused_joins(graph: &Graph) -> Vec<NodeId> {
    let live = graph.live();
    let readers = |id: NodeId| {
        live.iter().filter(|n| graph.upstream(**n).contains(&id)).count()
            + graph.outputs.iter().filter(|o| o.node == id).count()
    };
    let fused = live.iter().filter_map(|n| {
        let Op::Aggregate(a) = &graph.nodes[*n].op else { return None };
        let is_join = matches!(graph.nodes[a.input].op, Op::Join { .. });
        let pairs = graph.schema(a.input);
        let fuses = is_join
            && readers(a.input) == 1
            && joined::adds_up(&aggregate::Layout::new(&graph.nodes[*n], a, pairs), pairs);
        fuses.then_some(a.input)
    });
    fused.collect()
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
