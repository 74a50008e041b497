//! Runs pipelines and twins in turns, checks that they agree, and prints how they compare.

pub mod alerts;
pub mod batch;
pub mod program;
pub mod state;
