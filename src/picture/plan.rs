//! Every step that the engine takes.

use super::pipelines::columns;
use super::{Picture, Role, Shape};
use jarvis_plan::{Graph, JoinColumn, Node, NodeId, Op, Order};
use jarvis_runtime::Project;
use std::collections::BTreeMap;

/// The longest note that is still read.
const LONGEST_NOTE: usize = 60;

/// The steps of all views and what goes to the sinks.
pub fn of_plan(project: &Project) -> Picture {
    let mut compiled = project.compiled.clone();
    let views = project
        .pipelines
        .iter()
        .flat_map(|p| p.operators.iter().map(move |o| format!("{}.{}", p.name.value, o.name.value)));
    for view in views {
        compiled.read(&view);
    }
    let outputs_of_views = compiled.graph.outputs.len();
    for sink in &project.sinks {
        compiled.read_sink(&sink.name);
    }
    let graph = &compiled.graph;
    let mut picture = Picture::default();
    let mut places: BTreeMap<NodeId, usize> = BTreeMap::new();
    for id in graph.live() {
        let node = &graph.nodes[id];
        let place = picture.shapes.len();
        places.insert(id, place);
        let from = graph.upstream(id).into_iter().filter_map(|u| places.get(&u).copied());
        picture.arrows.extend(from.map(|from| (from, place)));
        picture.shapes.push(step(graph, id, node));
    }
    for (output, sink) in graph.outputs[outputs_of_views..].iter().zip(&project.sinks) {
        picture.arrows.extend(places.get(&output.node).map(|from| (*from, picture.shapes.len())));
        let note = format!("{} sink", sink.kind);
        picture.shapes.push(Shape {
            title: sink.name.clone(),
            note,
            role: Role::Sink,
            group: sink.name.clone(),
            columns: columns(&sink.spec.schema),
        });
    }
    picture
}

fn step(graph: &Graph, id: NodeId, node: &Node) -> Shape {
    let is_view = graph.streams.get(&node.owner) == Some(&id);
    let role = match node.op {
        Op::Input(_) => Role::Source,
        _ if is_view => Role::View,
        _ => Role::Step,
    };
    let title = if role == Role::Step {
        format!("{id} {}", node.label)
    } else {
        format!("{id} {}: {}", node.label, node.owner)
    };
    Shape {
        title,
        note: shortened(&detail(graph, node)),
        role,
        group: node.owner.clone(),
        columns: columns(&node.schema),
    }
}

fn detail(graph: &Graph, node: &Node) -> String {
    let names = |of: NodeId, list: &[usize]| {
        list.iter().map(|c| graph.schema(of).field(*c).name().as_str()).collect::<Vec<_>>().join(", ")
    };
    match &node.op {
        Op::Input(i) if graph.inputs[*i].key.is_empty() => "every row".to_owned(),
        Op::Input(i) => format!(
            "newest per {}",
            graph.inputs[*i]
                .key
                .iter()
                .map(|c| graph.inputs[*i].schema.field(*c).name().as_str())
                .collect::<Vec<_>>()
                .join(", ")
        ),
        Op::Map { filter: Some(filter), .. } => format!("where {filter}"),
        Op::Map { project, .. } => project.iter().flatten().map(|e| e.to_string()).collect::<Vec<_>>().join(", "),
        Op::Temporal { from, until, .. } => {
            let bound = |word: &str, list: &[jarvis_plan::Expression]| {
                list.iter().map(|e| format!("{word} {e}")).collect::<Vec<_>>()
            };
            [bound("from", from), bound("until", until)].concat().join(", ")
        }
        Op::Unnest { column, .. } => format!("column {column}"),
        Op::Union { inputs } => format!("of {}", inputs.len()),
        Op::Negate { .. } => "opposite weights".to_owned(),
        Op::Join { left, right, left_key, right_key, output, .. } => {
            let taken = |left: bool| output.iter().filter(|c| matches!(c, JoinColumn::Left(_)) == left).count();
            format!(
                "{} = {} ({} + {} columns)",
                names(*left, left_key),
                names(*right, right_key),
                taken(true),
                taken(false)
            )
        }
        Op::Aggregate(a) => {
            let calls =
                a.calls.iter().map(|c| format!("{:?}", c.function).to_lowercase()).collect::<Vec<_>>().join(", ");
            format!("{calls} by {}", if a.keys.is_empty() { "nothing".to_owned() } else { names(a.input, &a.keys) })
        }
        Op::TopK(t) => {
            let order =
                |o: &Order| format!("{}{}", names(t.input, &[o.column]), if o.descending { " desc" } else { "" });
            let order = t.order.iter().map(order).collect::<Vec<_>>().join(", ");
            let count = t.fetch.map_or_else(|| "all".to_owned(), |n| format!("first {n}"));
            format!("{count} by {order} per [{}]", names(t.input, &t.partition))
        }
        Op::Ordered(o) => {
            let keys: Vec<usize> = (0..o.keys).collect();
            format!("events in their order, by {}", names(o.input, &keys))
        }
        Op::Session(s) => format!(
            "gap {} of {}",
            jarvis_spec::duration::format(std::time::Duration::from_micros(s.gap)),
            names(s.input, &s.keys)
        ),
    }
}

fn shortened(text: &str) -> String {
    let one_line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if one_line.chars().count() <= LONGEST_NOTE {
        return one_line;
    }
    one_line.chars().take(LONGEST_NOTE - 3).chain("...".chars()).collect()
}
