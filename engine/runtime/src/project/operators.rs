//! Operators of kinds other than `sql`, planned while the graph is compiled.

use super::{PlannedSink, PlannedSource, context, unknown_kind};
use crate::asking::{Asker, ends};
use crate::kinds::{Kinds, OperatorPlan, StreamSpec};
use crate::project::Paths;
use arrow::datatypes::{FieldRef, Schema, SchemaRef};
use jarvis_plan::{Compiled, Operators, Planned, Reading};
use jarvis_spec::{Diagnostic, Diagnostics, Operator, Pipeline};
use std::sync::Arc;

/// Plans operators, and keeps those that ask until their ends can be made.
pub(super) struct PlannedOperators<'k> {
    paths: &'k Paths,
    kinds: &'k Kinds,
    asking: Vec<Asking>,
}

struct Asking {
    /// `pipeline.operator`
    name: String,
    kind: String,
    asker: Box<dyn Asker>,
    answer: SchemaRef,
}

impl<'k> PlannedOperators<'k> {
    pub fn new(paths: &'k Paths, kinds: &'k Kinds) -> Self {
        PlannedOperators { paths, kinds, asking: vec![] }
    }

    /// The two ends of each operator that asks.
    pub fn ends(self, compiled: &Compiled) -> Result<Vec<(PlannedSink, PlannedSource)>, Diagnostics> {
        let mut made = vec![];
        for Asking { name, kind, asker, answer } in self.asking {
            let Some(&node) = compiled.sinks.get(&name) else { continue };
            let question = compiled.graph.schema(node).clone();
            let marks = asker.marks();
            let (sink, source) = ends(&name, asker, &question, &answer)
                .map_err(|error| Diagnostic::error("type_unsupported", format!("{name}: {error}")))?;
            let stream = compiled.sink_streams.get(&name).cloned().unwrap_or_else(|| name.clone());
            let spec = |name, schema| StreamSpec { name, schema, key: vec![], time: None, lateness: None };
            let (asked, answered) = (spec(stream, question), spec(name.clone(), answer));
            made.push((
                PlannedSink { name, kind: kind.clone(), plan: sink, spec: asked, asks: Some(marks) },
                PlannedSource { spec: answered, kind, plan: source },
            ));
        }
        Ok(made)
    }
}

impl Operators for PlannedOperators<'_> {
    fn plan(&mut self, pipeline: &Pipeline, operator: &Operator, from: &[Reading]) -> Result<Planned, Diagnostics> {
        let names = || self.kinds.operators.iter().map(|kind| kind.name()).chain(["sql"]);
        let kind = self
            .kinds
            .operator(&operator.kind.value)
            .ok_or_else(|| unknown_kind("operator", &operator.kind, names()))?;
        let spec = |reading: &Reading| StreamSpec {
            name: reading.name.clone(),
            schema: reading.schema.clone(),
            key: vec![],
            time: reading.time,
            lateness: None,
        };
        let streams: Vec<StreamSpec> = from.iter().map(spec).collect();
        match kind.plan(operator, &streams, &context(pipeline, self.paths))? {
            OperatorPlan::Machine { machine, reads } => Ok(Planned::Machine { machine, reads }),
            OperatorPlan::Asks { adds, asker } => {
                let own: Vec<FieldRef> = streams.first().map_or_else(Vec::new, |s| s.schema.fields().to_vec());
                if let Some(twice) = adds.iter().find(|added| own.iter().any(|field| field.name() == added.name())) {
                    let message =
                        format!("answers of {} have a column {}, and so have its questions", kind.name(), twice.name());
                    return Err(Diagnostic::error("duplicate_column", message)
                        .at(&operator.name.span)
                        .help("give the column another name in the stream that it reads")
                        .into());
                }
                // A column of a view may be null whatever its source says.
                let own = own.iter().map(|field| Arc::new(field.as_ref().clone().with_nullable(true)));
                let answer: SchemaRef =
                    Arc::new(Schema::new(own.chain(adds.into_iter().map(Arc::new)).collect::<Vec<_>>()));
                let name = format!("{}.{}", pipeline.name.value, operator.name.value);
                let kind = operator.kind.value.clone();
                self.asking.push(Asking { name, kind, asker, answer: answer.clone() });
                Ok(Planned::Asks(answer))
            }
        }
    }
}
