//! The workloads: their data, their pipelines and how their results are compared.

use crate::generate::Dataset;
use clap::ValueEnum;
use std::fmt;

/// A workload that is run over bounded files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, ValueEnum)]
pub enum Workload {
    /// Tumbling windows of telemetry, joined with a table of limits.
    W1,
    /// Upserts and deletes of jobs and spools, joined, counted and summed by group.
    W2,
    /// The newest row per key, and the best ten of them.
    W3,
    /// Nexmark 3: local sellers. Filters and a join.
    Q3,
    /// Nexmark 4: average winning price per category. A join, a maximum, an average.
    Q4,
    /// Nexmark 5: hot items. Sliding windows, a count, a maximum per window.
    Q5,
    /// Nexmark 8: new users who sell. Tumbling windows, a join.
    Q8,
}

impl Workload {
    /// All of them.
    pub const ALL: [Workload; 7] =
        [Workload::W1, Workload::W2, Workload::W3, Workload::Q3, Workload::Q4, Workload::Q5, Workload::Q8];

    /// `w1`, `q3`, ...: the name of the pipeline file, of its sink and of its results.
    pub fn name(self) -> &'static str {
        match self {
            Workload::W1 => "w1",
            Workload::W2 => "w2",
            Workload::W3 => "w3",
            Workload::Q3 => "q3",
            Workload::Q4 => "q4",
            Workload::Q5 => "q5",
            Workload::Q8 => "q8",
        }
    }

    /// The data it runs over.
    pub fn dataset(self) -> Dataset {
        match self {
            Workload::W1 => Dataset::W1,
            Workload::W2 => Dataset::W2,
            Workload::W3 => Dataset::W3,
            Workload::Q4 | Workload::Q5 => Dataset::Nexmark,
            Workload::Q3 | Workload::Q8 => Dataset::NexmarkWithoutBids,
        }
    }

    /// Events of a full run. Those of q3 and q8 count the bids that these queries do not read.
    pub fn events(self) -> u64 {
        match self {
            Workload::W1 | Workload::W3 => 2_000_000,
            Workload::W2 => 1_000_000,
            Workload::Q4 | Workload::Q5 => 2_000_000,
            Workload::Q3 | Workload::Q8 => 25_000_000,
        }
    }

    /// Event time per commit, µs: about 1,000 rows of what the workload reads.
    pub fn tick(self) -> u64 {
        match self {
            Workload::W1 | Workload::Q3 | Workload::Q8 => 1_000_000,
            Workload::W2 | Workload::W3 => 1_000,
            Workload::Q4 | Workload::Q5 => 100_000,
        }
    }

    /// Result columns that hold a moment, which may be written as text or in another unit.
    pub fn moments(self) -> &'static [&'static str] {
        match self {
            Workload::W1 => &["window_start"],
            Workload::Q8 => &["starttime"],
            _ => &[],
        }
    }
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
