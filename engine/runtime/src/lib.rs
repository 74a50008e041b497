//! Runs a graph: workers, the clock, the bridges to sources and sinks, supervision.

mod again;
pub mod arrival;
pub mod asking;
pub mod batch;
pub mod closed;
pub mod cluster;
pub mod control;
mod echoes;
pub mod explain;
pub mod floors;
pub mod json_out;
pub mod kinds;
pub mod live;
pub mod mqtt_settings;
pub mod panics;
pub mod project;
pub mod publish;
pub mod replay;
pub mod rerun;
pub mod roster;
pub mod topic;
pub mod versions;

pub use batch::{BatchOptions, BatchReport, run_batch};
pub use cluster::Cluster;
pub use control::Control;
pub use kinds::Kinds;
pub use live::{Archive, LiveOptions, run_live};
pub use project::{Paths, Project};
pub use replay::{Decision, Replay};
pub use rerun::Rerun;
