//! The figures of one run.

use crate::drive::Report;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What a twin prints: one JSON line.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Figures {
    pub workload: String,
    pub workers: usize,
    /// Rows read, deletes included.
    pub events: u64,
    /// From the start of the program's work to its last result.
    pub seconds: f64,
    pub events_per_second: f64,
    pub commits: usize,
    /// From the first read of a commit to its results being written, ms, of the first worker.
    pub p50_ms: f64,
    pub p99_ms: f64,
    /// The most memory held at once, 10^6 bytes.
    pub peak_rss_mb: f64,
}

impl Figures {
    /// Adds up the workers' reports.
    pub fn new(workload: &str, reports: &[Report], elapsed: Duration) -> Self {
        let events = reports.iter().map(|report| report.events).sum();
        let mut commits: Vec<f64> = reports.first().map(|report| report.commits.clone()).unwrap_or_default();
        commits.sort_by(f64::total_cmp);
        let seconds = elapsed.as_secs_f64();
        Figures {
            workload: workload.to_owned(),
            workers: reports.len(),
            events,
            seconds,
            events_per_second: events as f64 / seconds,
            commits: commits.len(),
            p50_ms: percentile(&commits, 0.5) * 1e3,
            p99_ms: percentile(&commits, 0.99) * 1e3,
            peak_rss_mb: crate::usage::peak_mb(),
        }
    }
}

/// The value that `share` of a sorted list does not exceed; NaN for an empty list.
pub fn percentile(sorted: &[f64], share: f64) -> f64 {
    let last = sorted.len().saturating_sub(1);
    sorted.get((last as f64 * share).round() as usize).copied().unwrap_or(f64::NAN)
}

/// The middle value, of an even number the mean of the two; NaN for an empty list.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let n = sorted.len();
    match n {
        0 => f64::NAN,
        n if n % 2 == 1 => sorted[n / 2],
        n => (sorted[n / 2 - 1] + sorted[n / 2]) / 2.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_and_medians_of_known_lists() {
        let sorted: Vec<f64> = (0..=100).map(f64::from).collect();
        assert_eq!(percentile(&sorted, 0.5), 50.0);
        assert_eq!(percentile(&sorted, 0.99), 99.0);
        assert!(percentile(&[], 0.5).is_nan());
        assert_eq!(median(&[3.0, 1.0]), 2.0);
        assert_eq!(median(&[3.0, 1.0, 9.0]), 3.0);
    }
}
