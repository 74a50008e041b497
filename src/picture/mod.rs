//! Pictures of a dataflow: what is drawn ([`Picture`]) and the forms in which it is drawn.

mod dot;
mod layers;
mod mermaid;
mod pipelines;
mod plan;
mod svg;

use serde_json::{Value, json};

pub use dot::dot;
pub use mermaid::mermaid;
pub use pipelines::of_pipelines;
pub use plan::of_plan;
pub use svg::svg;

/// What a box stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    Source,
    View,
    Sink,
    /// Part of a view.
    Step,
}

impl Role {
    fn name(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::View => "view",
            Self::Sink => "sink",
            Self::Step => "step",
        }
    }
}

/// One thing that rows come from, go through or go to.
#[derive(Clone, Debug)]
pub struct Shape {
    pub title: String,
    /// Its kind, or what it does.
    pub note: String,
    pub role: Role,
    /// Those of one group are drawn together: the pipeline, or the operator of a pipeline.
    pub group: String,
    /// Names and types.
    pub columns: Vec<(String, String)>,
}

/// Boxes and the ways of rows between them.
#[derive(Clone, Debug, Default)]
pub struct Picture {
    pub shapes: Vec<Shape>,
    /// Positions in `shapes`: from, to.
    pub arrows: Vec<(usize, usize)>,
}

impl Picture {
    /// The groups in the order of their first shape, with the positions of their shapes.
    fn groups(&self) -> Vec<(&str, Vec<usize>)> {
        let mut groups: Vec<(&str, Vec<usize>)> = vec![];
        for (i, shape) in self.shapes.iter().enumerate() {
            match groups.iter_mut().find(|(name, _)| *name == shape.group) {
                Some((_, members)) => members.push(i),
                None => groups.push((&shape.group, vec![i])),
            }
        }
        groups
    }
}

/// The picture as data: `nodes` with a number, and `edges` between numbers.
pub fn json(picture: &Picture) -> String {
    let column = |(name, of): &(String, String)| json!({ "name": name, "type": of });
    let node = |(i, s): (usize, &Shape)| {
        json!({
            "id": i, "name": s.title, "role": s.role.name(), "kind": s.note, "group": s.group,
            "columns": s.columns.iter().map(column).collect::<Vec<_>>(),
        })
    };
    let nodes: Vec<Value> = picture.shapes.iter().enumerate().map(node).collect();
    let edges: Vec<Value> = picture.arrows.iter().map(|(from, to)| json!({ "from": from, "to": to })).collect();
    format!("{:#}\n", json!({ "nodes": nodes, "edges": edges }))
}

#[cfg(test)]
fn example() -> Picture {
    let shape = |title: &str, role, group: &str| Shape {
        title: title.to_owned(),
        note: "a <note> & \"more\"".to_owned(),
        role,
        group: group.to_owned(),
        columns: vec![],
    };
    Picture {
        shapes: vec![
            shape("a.in", Role::Source, "a"),
            shape("a.view", Role::View, "a"),
            shape("b.out", Role::Sink, "b"),
        ],
        arrows: vec![(0, 1), (1, 2), (0, 2)],
    }
}
