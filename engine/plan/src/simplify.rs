//! The same graph with less work: columns that nobody reads are not held, and projections are done by the step before
//! them. Nodes keep their places, so names and outputs stay valid; steps that became part of others are no longer live.

use crate::graph::*;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::physical_expr::expressions::Column;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Simplifies a graph whose outputs are set.
pub fn simplify(graph: &Graph) -> Graph {
    let mut graph = graph.clone();
    crate::panes::use_panes(&mut graph);
    merge_maps(&mut graph);
    project_in_joins(&mut graph);
    push_holds(&mut graph);
    prune_inputs(&mut graph);
    graph
}

/// How many steps and outputs read each node.
pub fn readers(graph: &Graph) -> Vec<usize> {
    let mut count = vec![0; graph.nodes.len()];
    for node in graph.live() {
        for u in graph.upstream(node) {
            count[u] += 1;
        }
    }
    for output in &graph.outputs {
        count[output.node] += 1;
    }
    count
}

/// The positions that a projection of mere columns takes; `None`: something is computed.
pub fn plain_columns(project: &[Expression]) -> Option<Vec<usize>> {
    project.iter().map(|e| e.downcast_ref::<Column>().map(Column::index)).collect()
}

/// A projection behind a step that only filters, or only picks columns, becomes part of it.
fn merge_maps(graph: &mut Graph) {
    let readers = readers(graph);
    for id in graph.live() {
        let Op::Map { input, filter, project } = graph.nodes[id].op.clone() else { continue };
        if readers[input] != 1 || graph.nodes[input].on_error != graph.nodes[id].on_error {
            continue;
        }
        let Op::Map { input: before, filter: first, project: picked } = graph.nodes[input].op.clone() else { continue };
        let merged = match (&picked, &filter) {
            // Rows pass the first filter before anything else is computed, as they did.
            (None, None) => Some((first, project)),
            (Some(columns), _) if first.is_none() => plain_columns(columns).map(|columns| {
                let moved = |e: &Expression| moved(e, &|c| columns[c]);
                let project = match &project {
                    Some(list) => list.iter().map(moved).collect(),
                    None => picked.clone().unwrap_or_default(),
                };
                (filter.as_ref().map(moved), Some(project))
            }),
            _ => None,
        };
        if let Some((filter, project)) = merged {
            graph.nodes[id].op = Op::Map { input: before, filter, project };
        }
    }
}

/// A join puts out just the columns that the projection behind it takes.
fn project_in_joins(graph: &mut Graph) {
    let readers = readers(graph);
    for id in graph.live() {
        let Op::Map { input, filter: None, project: Some(project) } = &graph.nodes[id].op else { continue };
        let (input, Some(columns)) = (*input, plain_columns(project)) else { continue };
        if readers[input] != 1 {
            continue;
        }
        if let Op::Join { left, right, left_key, right_key, nulls_match, output } = graph.nodes[input].op.clone() {
            let output = columns.iter().map(|c| output[*c]).collect();
            graph.nodes[id].op = Op::Join { left, right, left_key, right_key, nulls_match, output };
            graph.nodes[id].label = graph.nodes[input].label.clone();
        }
    }
}

/// Rows that are held back until their window closes need not be told before, and what is not told costs nothing in the
/// steps between. Filters, projections and joins let a condition on their input pass through them; so the hold moves
/// down to the groups that make the rows, unless somebody else reads what lies between.
fn push_holds(graph: &mut Graph) {
    let readers = readers(graph);
    for id in graph.live() {
        let Op::Temporal { input, keep, hold: Some((column, after)), .. } = graph.nodes[id].op else { continue };
        let Some((group, key)) = origin(graph, &readers, input, column) else { continue };
        if let Op::Aggregate(a) = &mut graph.nodes[group].op {
            a.hold = Some(Moment { key, after });
            let schema = graph.nodes[input].schema.clone();
            let same = (0..keep).map(|c| Arc::new(Column::new(schema.field(c).name(), c)) as Expression).collect();
            graph.nodes[id].op = Op::Map { input, filter: None, project: Some(same) };
        }
    }
}

/// The group, and the position in its key, that a column comes from, through steps that are read by one other only.
fn origin(graph: &Graph, readers: &[usize], mut node: NodeId, mut column: usize) -> Option<(NodeId, usize)> {
    while readers[node] == 1 {
        match &graph.nodes[node].op {
            Op::Aggregate(a) => return (column < a.keys.len() && a.hold.is_none()).then_some((node, column)),
            Op::Map { input, project, .. } => {
                column = match project {
                    None => column,
                    Some(project) => project[column].downcast_ref::<Column>()?.index(),
                };
                node = *input;
            }
            Op::Join { left, right, output, .. } => {
                (node, column) = match output[column] {
                    JoinColumn::Left(c) => (*left, c),
                    JoinColumn::Right(c) => (*right, c),
                }
            }
            _ => return None,
        }
    }
    None
}

/// An upsert holds only the columns that are read.
fn prune_inputs(graph: &mut Graph) {
    let live = graph.live();
    for id in live.clone() {
        let Op::Input(index) = graph.nodes[id].op else { continue };
        if graph.inputs[index].key.is_empty() || graph.outputs.iter().any(|o| o.node == id) {
            continue;
        }
        let consumers: Vec<NodeId> = live.iter().copied().filter(|n| graph.upstream(*n).contains(&id)).collect();
        let Some(needed) = needed(graph, &consumers) else { continue };
        let width = graph.nodes[id].schema.fields().len();
        if needed.len() == width || needed.is_empty() {
            continue;
        }
        let needed: Vec<usize> = needed.into_iter().collect();
        let place = |c: usize| needed.iter().position(|n| *n == c).unwrap_or(0);
        for consumer in consumers {
            if let Op::Map { filter, project, .. } = &mut graph.nodes[consumer].op {
                *filter = filter.as_ref().map(|e| moved(e, &place));
                *project = project.as_ref().map(|list| list.iter().map(|e| moved(e, &place)).collect());
            }
        }
        if let Ok(schema) = graph.nodes[id].schema.project(&needed) {
            graph.nodes[id].schema = Arc::new(schema);
            graph.inputs[index].held = Some(needed);
        }
    }
}

/// The columns that projections read; `None` if something else reads the node.
fn needed(graph: &Graph, consumers: &[NodeId]) -> Option<BTreeSet<usize>> {
    let mut needed = BTreeSet::new();
    for consumer in consumers {
        let Op::Map { filter, project: Some(project), .. } = &graph.nodes[*consumer].op else { return None };
        for expression in filter.iter().chain(project) {
            needed.extend(columns_of(expression));
        }
    }
    Some(needed)
}

/// The columns that an expression reads.
pub fn columns_of(expression: &Expression) -> BTreeSet<usize> {
    let mut columns = BTreeSet::new();
    // The closure never fails.
    let _ = expression.apply(|e| {
        if let Some(column) = e.downcast_ref::<Column>() {
            columns.insert(column.index());
        }
        Ok(TreeNodeRecursion::Continue)
    });
    columns
}

/// The expression over columns that stand elsewhere.
fn moved(expression: &Expression, place: &dyn Fn(usize) -> usize) -> Expression {
    let moved = expression.clone().transform(|e| {
        Ok(match e.downcast_ref::<Column>() {
            Some(column) => Transformed::yes(Arc::new(Column::new(column.name(), place(column.index()))) as Expression),
            None => Transformed::no(e),
        })
    });
    moved.map_or_else(|_| expression.clone(), |t| t.data)
}
