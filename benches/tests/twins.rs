//! Every twin against a plain recomputation over all of its data, on one worker and on two.

mod plain;

use jarvis_benches::drive::Settings;
use jarvis_benches::generate::{Size, generate};
use jarvis_benches::outcome::Outcome;
use jarvis_benches::twins;
use jarvis_benches::workload::Workload;
use std::path::Path;

/// Generates data, lets `expected` recompute the view from scratch as JSON lines, and compares.
fn check(workload: Workload, events: u64, seed: u64, expected: fn(&Path) -> Vec<String>) {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    generate(workload.dataset(), &data, Size { events, changes: 0, seed }).unwrap();
    let plain = folder.path().join("plain.jsonl");
    std::fs::write(&plain, expected(&data).join("\n")).unwrap();
    let plain = Outcome::read(&plain, workload.moments()).unwrap();
    assert!(!plain.is_empty(), "a view without rows shows nothing");
    for workers in [1, 2] {
        for tick in [workload.tick(), workload.tick() / 7 + 1] {
            let out = folder.path().join("twin.jsonl");
            let settings = Settings { data: data.clone(), out: out.clone(), workers, tick };
            let figures = twins::run(workload, &settings).unwrap();
            assert!(figures.events > 0 && figures.commits > 0);
            let outcome = Outcome::read(&out, workload.moments()).unwrap();
            if let Err(error) = outcome.agree(&plain) {
                panic!("{workload} with {workers} workers and ticks of {tick} µs: {error}");
            }
        }
    }
}

#[test]
fn w1_tells_each_window_that_closes() {
    check(Workload::W1, 33_333, 1, plain::w1);
    check(Workload::W1, 53_333, 2, plain::w1);
}

#[test]
fn w2_counts_jobs_by_material() {
    check(Workload::W2, 20_000, 1, plain::w2);
    check(Workload::W2, 7_777, 2, plain::w2);
}

#[test]
fn w3_shows_the_ten_best() {
    check(Workload::W3, 20_000, 1, plain::w3);
}

#[test]
fn q3_finds_local_sellers() {
    check(Workload::Q3, 20_000, 1, plain::q3);
}

#[test]
fn q4_averages_winning_prices() {
    check(Workload::Q4, 20_000, 1, plain::q4);
}

#[test]
fn q5_finds_hot_items() {
    check(Workload::Q5, 40_000, 1, plain::q5);
}

#[test]
fn q8_finds_new_sellers() {
    check(Workload::Q8, 150_000, 1, plain::q8);
}
