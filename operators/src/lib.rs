//! Operators other than SQL, one file each: what asks a model, and what follows events in their order.

mod command;
mod first_layer;
mod infer;
mod presence;
mod print_failure;
mod seen;

use jarvis_runtime::kinds::OperatorKind;

/// All kinds of this crate.
pub fn kinds() -> Vec<Box<dyn OperatorKind>> {
    let commands = command::Command::ALL.map(|kind| Box::new(kind) as Box<dyn OperatorKind>);
    let others: [Box<dyn OperatorKind>; 4] = [
        Box::new(first_layer::FirstLayer),
        Box::new(infer::Infer),
        Box::new(presence::Presence),
        Box::new(print_failure::PrintFailure),
    ];
    commands.into_iter().chain(others).collect()
}
