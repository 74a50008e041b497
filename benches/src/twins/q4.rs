//! Nexmark q4: the average of the highest bids of the auctions of each category.

use super::nexmark::{Auction, Bid};
use crate::clock::{Clock, Diff, Tick};
use crate::drive::{Feed, Report, Settings, drive, first_at};
use crate::mapped::Mapped;
use crate::operators::{Maximum, Results, Route, combine, group_view, write_changes};
use anyhow::Result;
use differential_dataflow::operators::CountTotal;
use differential_dataflow::{AsCollection, VecCollection};
use timely::dataflow::ProbeHandle;
use timely::dataflow::operators::Input;
use timely::worker::Worker;

/// Category, start and end of an auction.
type Terms = (u64, u64, u64);
/// Price and time of a bid.
type Offer = (u64, u64);
/// Auctions, sum of their highest bids.
type Totals = (isize, isize);

pub fn work(worker: &mut Worker, settings: &Settings) -> Result<Report> {
    let (index, peers) = (worker.index(), worker.peers());
    let auctions = Mapped::open(&settings.data.join("auctions.jsonl"))?;
    let bids = Mapped::open(&settings.data.join("bids.jsonl"))?;
    let first = first_at::<Auction>(&auctions)?.into_iter().chain(first_at::<Bid>(&bids)?).min();
    let clock = Clock::new(settings.tick, first.unwrap_or(0));
    let results = Results::create(&settings.out, index)?;
    let probe = ProbeHandle::new();

    let (auction_rows, bid_rows) = worker.dataflow::<Tick, _, _>(|scope| {
        let (auction_rows, auctions) = scope.new_input();
        let (bid_rows, bids) = scope.new_input();
        let averages = winning_prices(auctions.as_collection(), bids.as_collection());
        write_changes(averages, clock, &results, &probe, |line, (category, (count, sum))| {
            line.number("category", category).number("final", *sum as f64 / *count as f64);
        });
        (auction_rows, bid_rows)
    });

    let mut auctions = Feed::new(auctions.lines(index, peers), clock, auction_rows, |auction: Auction, tick| {
        Some(((auction.id, (auction.category, auction.at, auction.expires)), tick, 1))
    })?;
    let mut bids = Feed::new(bids.lines(index, peers), clock, bid_rows, |bid: Bid, tick| {
        Some(((bid.auction, (bid.price, bid.at)), tick, 1))
    })?;
    let report = drive(worker, &mut [&mut auctions, &mut bids], &probe)?;
    results.finish()?;
    Ok(report)
}

fn winning_prices<'s>(
    auctions: VecCollection<'s, Tick, (u64, Terms), Diff>,
    bids: VecCollection<'s, Tick, (u64, Offer), Diff>,
) -> VecCollection<'s, Tick, (u64, Totals), Diff> {
    let valid = auctions.arrange_by_key().join_core(bids.arrange_by_key(), |id, terms, offer| {
        let ((category, start, end), (price, at)) = (*terms, *offer);
        (start..=end).contains(&at).then_some(((*id, category), price))
    });
    // The join has left all offers of an auction on one worker.
    let highest = group_view::<Maximum<u64>, _, _>(valid, Route::Here);
    combine(highest.explode(|((_, category), price)| Some((category, (1isize, price as isize))))).count_total()
}
