//! Steps that rest on `system.errors`. What fails there is said and counted, but is no row of `system.errors` itself:
//! one error would bring forth the next for ever.

use jarvis_dataflow::StepError;
use jarvis_plan::compile::ERRORS;
use jarvis_plan::{Graph, Op};
use std::collections::HashSet;

/// The operators of a graph that read `system.errors`, directly or through others.
#[derive(Debug, Default)]
pub(crate) struct Echoes(HashSet<String>);

impl Echoes {
    pub fn of(graph: &Graph) -> Self {
        let mut rests = vec![false; graph.nodes.len()];
        let mut owners = HashSet::new();
        // The inputs of a node stand before it.
        for (id, node) in graph.nodes.iter().enumerate() {
            rests[id] = match node.op {
                Op::Input(input) => graph.inputs[input].name == ERRORS,
                _ => graph.upstream(id).into_iter().any(|input| rests[input]),
            };
            if rests[id] && !matches!(node.op, Op::Input(_)) {
                owners.insert(node.owner.clone());
            }
        }
        Self(owners)
    }

    /// Whether the error may not become a row of `system.errors`; it is then said here.
    pub fn holds(&self, error: &StepError) -> bool {
        let holds = self.0.contains(&error.step);
        if holds && error.diff > 0 {
            let StepError { step, code, message, input, .. } = error;
            tracing::error!(step, code, input, "a view of system.errors failed: {message}");
        }
        holds
    }
}
