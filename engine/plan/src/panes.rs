//! Panes: rows that are grouped by windows that overlap (`hop`) are added up once per slide, not once per window.
//!
//! What `hop` makes of a row is one row per window. If only the group's keys tell these rows apart, and their windows
//! are made of whole slides, all rows of one slide count in the same windows. So the group gets each row once, with the
//! latest of its windows, adds up, and deals the sums out to the windows (Li et al., "No pane, no gain: efficient
//! evaluation of sliding-window aggregates over data streams", SIGMOD Record 34(1), 2005).

use crate::functions::{Hopping, TIMESTAMP};
use crate::graph::*;
use crate::simplify::{columns_of, readers};
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::expressions::{BinaryExpr, Column, IsNotNullExpr, Literal};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Lets groups add up per pane where they can.
pub fn use_panes(graph: &mut Graph) {
    let readers = readers(graph);
    for group in graph.live() {
        let Some(chain) = Chain::below(graph, &readers, group) else { continue };
        let Some(keys) = chain.window_keys(graph, group) else { continue };
        chain.put_in(graph, group, keys);
    }
}

/// The steps from `hop` to a group: the projection that calls it, the unnest, and projections between that and the group.
struct Chain {
    hop: NodeId,
    unnest: NodeId,
    /// The column of the starts.
    column: usize,
    /// From the unnest to the group.
    between: Vec<NodeId>,
    hopping: Hopping,
}

impl Chain {
    fn below(graph: &Graph, readers: &[usize], group: NodeId) -> Option<Chain> {
        let Op::Aggregate(a) = &graph.nodes[group].op else { return None };
        let (mut node, mut between) = (a.input, vec![]);
        while readers[node] == 1 {
            match &graph.nodes[node].op {
                Op::Map { input, .. } => {
                    between.insert(0, node);
                    node = *input;
                }
                Op::Unnest { input, column } if readers[*input] == 1 => {
                    let Op::Map { project: Some(project), .. } = &graph.nodes[*input].op else { return None };
                    let hopping = Hopping::of(&project[*column])?;
                    return Some(Chain { hop: *input, unnest: node, column: *column, between, hopping });
                }
                _ => return None,
            }
        }
        None
    }

    /// The keys that hold a start or an end of a window; `None` if the windows tell in another way, too, or in none.
    fn window_keys(&self, graph: &Graph, group: NodeId) -> Option<Vec<usize>> {
        let mut moving = BTreeSet::from([self.column]);
        for node in &self.between {
            let Op::Map { filter, project, .. } = &graph.nodes[*node].op else { return None };
            if filter.as_ref().is_some_and(|f| !columns_of(f).is_disjoint(&moving)) {
                return None;
            }
            let Some(project) = project else { continue };
            let mut next = BTreeSet::new();
            for (i, expression) in project.iter().enumerate().filter(|(_, e)| !columns_of(e).is_disjoint(&moving)) {
                if !moves_along(expression) || *graph.nodes[*node].schema.field(i).data_type() != TIMESTAMP {
                    return None;
                }
                next.insert(i);
            }
            moving = next;
        }
        let Op::Aggregate(a) = &graph.nodes[group].op else { return None };
        let fixed = |column: &Option<usize>| column.is_none_or(|c| !moving.contains(&c));
        let calls_are_fixed = a.calls.iter().all(|call| {
            fixed(&call.argument) && fixed(&call.filter) && call.order.iter().all(|o| !moving.contains(&o.column))
        });
        let keys: Vec<usize> = (0..a.keys.len()).filter(|k| moving.contains(&a.keys[*k])).collect();
        (calls_are_fixed && !keys.is_empty()).then_some(keys)
    }

    fn put_in(self, graph: &mut Graph, group: NodeId, keys: Vec<usize>) {
        let starts = graph.nodes[self.unnest].schema.clone();
        let present = Arc::new(Column::new(starts.field(self.column).name(), self.column));
        let present: Expression = Arc::new(IsNotNullExpr::new(present));
        if let Op::Map { project: Some(project), .. } = &mut graph.nodes[self.hop].op {
            project[self.column] = self.hopping.latest;
        }
        graph.nodes[self.hop].schema = starts;
        graph.nodes[self.unnest].op = Op::Map { input: self.hop, filter: Some(present), project: None };
        if let Op::Aggregate(a) = &mut graph.nodes[group].op {
            a.panes = Some(Panes { keys, slide: self.hopping.slide, windows: self.hopping.windows });
        }
    }
}

/// Whether an expression over a window's start moves with it: the start itself, or that and a constant.
fn moves_along(expression: &Expression) -> bool {
    if expression.downcast_ref::<Column>().is_some() {
        return true;
    }
    expression.downcast_ref::<BinaryExpr>().is_some_and(|b| {
        matches!(b.op(), Operator::Plus | Operator::Minus)
            && moves_along(b.left())
            && b.right().downcast_ref::<Literal>().is_some()
    })
}
