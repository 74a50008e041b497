//! Runs a graph: workers, the clock, the bridges to sources and sinks, supervision.

pub mod arrival;
pub mod closed;
pub mod json_out;
pub mod kinds;
pub mod mqtt_settings;
pub mod publish;
pub mod topic;
