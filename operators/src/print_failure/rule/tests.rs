//! What the rule does with whole prints.

mod alarms;
mod laws;
mod obico;
mod printer;
mod simulation;
mod stage;
