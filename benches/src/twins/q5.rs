//! Nexmark q5: the auctions with the most bids in the last ten seconds, every two seconds.

use super::nexmark::Bid;
use crate::clock::{Clock, Diff, Tick};
use crate::drive::{Feed, Report, Settings, drive, first_at};
use crate::mapped::Mapped;
use crate::operators::{Leaders, Results, Route, combine, group_view, write_changes};
use anyhow::Result;
use differential_dataflow::operators::CountTotal;
use differential_dataflow::{AsCollection, VecCollection};
use timely::dataflow::ProbeHandle;
use timely::dataflow::operators::Input;
use timely::worker::Worker;

/// Windows start every `SLIDE` ms and last `PANES` slides.
const SLIDE: u64 = 2_000;
const PANES: u64 = 5;

/// Auction and the number of a slide since the epoch.
type Pane = (u64, u64);

pub fn work(worker: &mut Worker, settings: &Settings) -> Result<Report> {
    let (index, peers) = (worker.index(), worker.peers());
    let bids = Mapped::open(&settings.data.join("bids.jsonl"))?;
    let clock = Clock::new(settings.tick, first_at::<Bid>(&bids)?.unwrap_or(0));
    let results = Results::create(&settings.out, index)?;
    let probe = ProbeHandle::new();

    let rows = worker.dataflow::<Tick, _, _>(|scope| {
        let (rows, bids) = scope.new_input();
        write_changes(hot_items(bids.as_collection()), clock, &results, &probe, |line, (auction, count)| {
            line.number("auction", auction).number("num", count);
        });
        rows
    });

    let mut bids = Feed::new(bids.lines(index, peers), clock, rows, |bid: Bid, tick| {
        Some(((bid.auction, bid.at / SLIDE), tick, 1))
    })?;
    let report = drive(worker, &mut [&mut bids], &probe)?;
    results.finish()?;
    Ok(report)
}

fn hot_items<'s>(bids: VecCollection<'s, Tick, Pane, Diff>) -> VecCollection<'s, Tick, (u64, Diff), Diff> {
    // Bids of one tick go to few auctions, so they are added up before each is counted in five windows.
    let counts = combine(bids)
        .flat_map(|(auction, pane)| (0..PANES).map(move |back| (auction, (pane + back).saturating_sub(PANES - 1))))
        .count_total();
    let ranked = counts.map(|((auction, window), count)| (window, (count, auction)));
    // First the leaders among each worker's auctions, then the leaders among those.
    let here = group_view::<Leaders<Diff, u64>, _, _>(ranked, Route::Here);
    let leaders = group_view::<Leaders<Diff, u64>, _, _>(here, Route::ByGroup);
    leaders.map(|(_, (count, auction))| (auction, count))
}
