//! W1: count, mean and maximum of each tool's temperature in windows of ten seconds, where over the tool's limit.

use super::real::Real;
use crate::clock::{Clock, Diff, Tick};
use crate::drive::{Feed, Report, Settings, Timed, drive, first_at, latest_at, parse};
use crate::mapped::Mapped;
use crate::operators::{Results, Shape, Window, windows, write_changes};
use crate::text::Text8;
use anyhow::Result;
use differential_dataflow::{AsCollection, VecCollection};
use serde::Deserialize;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::Input;
use timely::dataflow::operators::generic::Operator;
use timely::dataflow::{ProbeHandle, StreamVec};
use timely::worker::Worker;

#[derive(Deserialize)]
struct Telemetry {
    printer: Text8,
    tool: Text8,
    actual: f64,
    /// ms since the epoch.
    at: u64,
}

impl Timed for Telemetry {
    fn at(&self) -> u64 {
        self.at * 1000
    }
}

#[derive(Deserialize)]
struct Limit {
    printer: Text8,
    tool: Text8,
    max_over: f64,
}

type Tool = (Text8, Text8);
/// Start of the window, count, mean, maximum.
type Told = (u64, u64, Real, Real);

pub fn work(worker: &mut Worker, settings: &Settings) -> Result<Report> {
    let (index, peers) = (worker.index(), worker.peers());
    let telemetry = Mapped::open(&settings.data.join("telemetry.jsonl"))?;
    let limits = Mapped::open(&settings.data.join("limits.jsonl"))?;
    let clock = Clock::new(settings.tick, first_at::<Telemetry>(&telemetry)?.unwrap_or(0));
    let last = clock.tick_of(latest_at::<Telemetry>(&telemetry)?.unwrap_or(0));
    let shape = Shape { size: 10_000_000, lateness: 2_000_000, clock, last };
    let results = Results::create(&settings.out, index)?;
    let probe = ProbeHandle::new();

    let (rows, mut limit_rows) = worker.dataflow::<Tick, _, _>(|scope| {
        let (rows, telemetry) = scope.new_input();
        let (limit_rows, limits) = scope.new_input();
        write_changes(over_limit(telemetry, limits.as_collection(), shape), clock, &results, &probe, |line, record| {
            let ((printer, tool), (start, count, mean, hottest)) = record;
            line.text("printer", printer.to_string())
                .text("tool", tool.to_string())
                .number("window_start", start)
                .number("n", count)
                .number("mean", mean.0)
                .number("hottest", hottest.0);
        });
        (rows, limit_rows)
    });

    for line in limits.lines(index, peers) {
        let limit: Limit = parse(line?)?;
        limit_rows.send((((limit.printer, limit.tool), Real(limit.max_over)), 0, 1));
    }
    drop(limit_rows);
    let mut telemetry = Feed::new(telemetry.lines(index, peers), clock, rows, |row: Telemetry, _| {
        Some(((row.printer, row.tool), row.at * 1000, row.actual))
    })?;
    let report = drive(worker, &mut [&mut telemetry], &probe)?;
    results.finish()?;
    Ok(report)
}

fn over_limit<'s>(
    telemetry: StreamVec<'s, Tick, (Tool, u64, f64)>,
    limits: VecCollection<'s, Tick, (Tool, Real), Diff>,
    shape: Shape,
) -> VecCollection<'s, Tick, (Tool, Told), Diff> {
    timed(windows(telemetry, shape))
        .arrange_by_key()
        .join_core(limits.arrange_by_key(), |tool, told, limit| (told.3 > *limit).then_some((*tool, *told)))
}

/// The windows as insertions at the tick at which they close.
fn timed<'s>(windows: StreamVec<'s, Tick, (Tool, Window)>) -> VecCollection<'s, Tick, (Tool, Told), Diff> {
    windows
        .unary(Pipeline, "Timed", |_, _| {
            |input, output| {
                input.for_each_stamp(|cap, data| {
                    let Some(tick) = cap.least().copied() else { return };
                    let rows = data.flat_map(|rows: &mut Vec<(Tool, Window)>| rows.drain(..));
                    output.session(&cap).give_iterator(rows.map(|(tool, window)| {
                        let mean = Real(window.sum / window.count as f64);
                        ((tool, (window.start, window.count, mean, Real(window.max))), tick, 1)
                    }));
                });
            }
        })
        .container::<Vec<_>>()
        .as_collection()
}
