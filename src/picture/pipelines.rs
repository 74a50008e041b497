//! The picture that people draw on a whiteboard: sources, views, sinks.

use super::{Picture, Role, Shape};
use crate::project_arguments::written;
use arrow::datatypes::Schema;
use jarvis_plan::{Graph, NodeId};
use jarvis_runtime::Project;
use jarvis_spec::schema::field_type_name;
use std::collections::{BTreeMap, BTreeSet};

/// Sources, views and sinks of a project. Tables of the facility and streams of the engine are there if they are read.
pub fn of_pipelines(project: &Project) -> Picture {
    let compiled = &project.compiled;
    let mut reads: BTreeSet<(String, String)> = BTreeSet::new();
    for (stream, info) in &compiled.streams {
        let from = owners_before(&compiled.graph, info.node, stream);
        reads.extend(from.into_iter().map(|from| (from, stream.clone())));
    }
    let sinks = project.sinks.iter().filter_map(|sink| Some((sink, compiled.sink_streams.get(&sink.name)?)));
    let own: BTreeSet<&str> = written(project).map(|p| p.name.value.as_str()).collect();
    let is_read = |stream: &str| {
        reads.iter().any(|(from, _)| from == stream) || compiled.sink_streams.values().any(|s| s == stream)
    };
    let mut picture = Picture::default();
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    for (stream, info) in &compiled.streams {
        let (group, _) = stream.split_once('.').unwrap_or((stream, ""));
        if !own.contains(group) && !is_read(stream) {
            continue;
        }
        let source = project.sources.iter().find(|s| s.spec.name == *stream);
        let asks = compiled.questions.iter().any(|(name, _)| name == stream);
        let kind = operator_kind(project, stream);
        let (role, note) = match source {
            Some(source) if !asks => (Role::Source, source.kind.clone()),
            None if group == "system" => (Role::Source, "engine".to_owned()),
            _ => (Role::View, kind.unwrap_or_else(|| "sql".to_owned())),
        };
        places.insert(stream.clone(), picture.shapes.len());
        picture.shapes.push(Shape {
            title: stream.clone(),
            note,
            role,
            group: group.to_owned(),
            columns: columns(&info.schema),
        });
    }
    picture.arrows.extend(reads.iter().filter_map(|(from, to)| Some((*places.get(from)?, *places.get(to)?))));
    // An answer has its question before it.
    let asked = compiled.questions.iter();
    picture.arrows.extend(asked.filter_map(|(to, from)| Some((*places.get(from)?, *places.get(to)?))));
    for (sink, stream) in sinks.filter(|(sink, _)| sink.asks.is_none()) {
        let group = sink.name.split_once('.').map_or("", |(pipeline, _)| pipeline).to_owned();
        if let Some(from) = places.get(stream) {
            picture.arrows.push((*from, picture.shapes.len()));
        }
        let columns = columns(&sink.spec.schema);
        picture.shapes.push(Shape {
            title: sink.name.clone(),
            note: sink.kind.clone(),
            role: Role::Sink,
            group,
            columns,
        });
    }
    picture
}

fn operator_kind(project: &Project, stream: &str) -> Option<String> {
    let (pipeline, name) = stream.split_once('.')?;
    let pipeline = project.pipelines.iter().find(|p| p.name.value == pipeline)?;
    pipeline.operators.iter().find(|o| o.name.value == name).map(|o| o.kind.value.clone())
}

/// The streams whose rows the steps of `stream` begin with.
fn owners_before(graph: &Graph, node: NodeId, stream: &str) -> BTreeSet<String> {
    let (mut found, mut seen, mut waiting) = (BTreeSet::new(), BTreeSet::new(), vec![node]);
    while let Some(node) = waiting.pop() {
        if !seen.insert(node) {
            continue;
        }
        let owner = &graph.nodes[node].owner;
        if owner == stream {
            waiting.extend(graph.upstream(node));
        } else {
            found.insert(owner.clone());
        }
    }
    found
}

/// Names and types as the language writes them.
pub(super) fn columns(schema: &Schema) -> Vec<(String, String)> {
    schema.fields().iter().map(|field| (field.name().clone(), field_type_name(field))).collect()
}
