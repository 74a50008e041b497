//! Operators other than SQL, one file each: what asks a model, and what follows events in their order.

mod command;
mod infer;
mod print_failure;

use jarvis_runtime::kinds::OperatorKind;

/// All kinds of this crate.
pub fn kinds() -> Vec<Box<dyn OperatorKind>> {
    vec![Box::new(command::Command), Box::new(infer::Infer), Box::new(print_failure::PrintFailure)]
}
