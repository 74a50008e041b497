//! Hand-written programs that do what the pipelines in `pipelines/` say, with the types known when they are compiled.
//!
//! They are the bar, so they are written to be fast: projected and filtered while parsing, short texts in place,
//! differential's arrangements, joins and counts, and operators of `operators` where differential has none that fits.
//! They keep their views right under every change that the pipeline's inputs may bring: retractions in W2, W3 and
//! Nexmark; W1 is a stream that only grows.

mod nexmark;
mod q3;
mod q4;
mod q5;
mod q8;
mod real;
mod w1;
mod w2;
mod w3;
pub mod w4;

use crate::drive::{Settings, execute};
use crate::figures::Figures;
use crate::workload::Workload;
use anyhow::Result;
use std::time::Instant;

/// Runs the twin of a workload and gives its figures.
pub fn run(workload: Workload, settings: &Settings) -> Result<Figures> {
    let started = Instant::now();
    let work = match workload {
        Workload::W1 => w1::work,
        Workload::W2 => w2::work,
        Workload::W3 => w3::work,
        Workload::Q3 => q3::work,
        Workload::Q4 => q4::work,
        Workload::Q5 => q5::work,
        Workload::Q8 => q8::work,
    };
    let reports = execute(settings, work)?;
    Ok(Figures::new(workload.name(), &reports, started.elapsed()))
}
