//! W3: the newest row per key, and the ten with the highest score.

use crate::clock::{Clock, Tick};
use crate::drive::{Feed, Report, Settings, Timed, drive, first_at};
use crate::mapped::Mapped;
use crate::operators::{Results, Upsert, latest_top, write_changes};
use anyhow::Result;
use serde::Deserialize;
use timely::dataflow::ProbeHandle;
use timely::dataflow::operators::Input;
use timely::worker::Worker;

#[derive(Deserialize)]
struct Score {
    key: u64,
    score: Option<i64>,
    #[serde(default, rename = "_deleted")]
    deleted: bool,
    /// µs since the epoch.
    at: u64,
}

impl Timed for Score {
    fn at(&self) -> u64 {
        self.at
    }
}

pub fn work(worker: &mut Worker, settings: &Settings) -> Result<Report> {
    let (index, peers) = (worker.index(), worker.peers());
    let scores = Mapped::open(&settings.data.join("scores.jsonl"))?;
    let clock = Clock::new(settings.tick, first_at::<Score>(&scores)?.unwrap_or(0));
    let results = Results::create(&settings.out, index)?;
    let probe = ProbeHandle::new();

    let rows = worker.dataflow::<Tick, _, _>(|scope| {
        let (rows, scores) = scope.new_input();
        write_changes(latest_top::<10, u64, i64>(scores), clock, &results, &probe, |line, (score, key)| {
            line.number("key", key).number("score", score.0);
        });
        rows
    });

    let mut scores = Feed::new(scores.lines(index, peers), clock, rows, |row: Score, _| {
        let value = if row.deleted { None } else { row.score };
        Some(Upsert { key: row.key, order: row.at, value })
    })?;
    let report = drive(worker, &mut [&mut scores], &probe)?;
    results.finish()?;
    Ok(report)
}
