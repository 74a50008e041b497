//! From pipelines to a typed graph: names are resolved, SQL is lowered, and what cannot be kept up to date is refused.

pub mod compile;
mod depth;
pub mod dialect;
pub mod functions;
pub mod graph;
pub mod lower;
pub mod machine;
pub mod now;
mod panes;
pub mod refusal;
pub mod session_state;
pub mod simplify;
pub mod table_functions;
mod unsupported;

pub use compile::{Compiled, Operators, Picked, Planned, Reading, SourceInfo, SqlOnly, compile};
pub use graph::*;
pub use machine::{Event, Machine, State};
