//! Nexmark q8: who has registered and opened an auction within the same ten seconds.

use super::nexmark::{Auction, Person};
use crate::clock::{Clock, Diff, Tick};
use crate::drive::{Feed, Report, Settings, drive, first_at};
use crate::mapped::Mapped;
use crate::operators::{Results, write_changes};
use anyhow::Result;
use differential_dataflow::operators::ThresholdTotal;
use differential_dataflow::{AsCollection, VecCollection};
use timely::dataflow::ProbeHandle;
use timely::dataflow::operators::Input;
use timely::worker::Worker;

/// ms.
const WINDOW: u64 = 10_000;

/// A person and the number of a window since the epoch.
type Visit = (u64, u64);

pub fn work(worker: &mut Worker, settings: &Settings) -> Result<Report> {
    let (index, peers) = (worker.index(), worker.peers());
    let persons = Mapped::open(&settings.data.join("persons.jsonl"))?;
    let auctions = Mapped::open(&settings.data.join("auctions.jsonl"))?;
    let first = first_at::<Person>(&persons)?.into_iter().chain(first_at::<Auction>(&auctions)?).min();
    let clock = Clock::new(settings.tick, first.unwrap_or(0));
    let results = Results::create(&settings.out, index)?;
    let probe = ProbeHandle::new();

    let (person_rows, auction_rows) = worker.dataflow::<Tick, _, _>(|scope| {
        let (person_rows, persons) = scope.new_input();
        let (auction_rows, auctions) = scope.new_input();
        let sellers = new_sellers(persons.as_collection(), auctions.as_collection());
        write_changes(sellers, clock, &results, &probe, |line, ((id, window), name)| {
            line.number("id", id).text("name", name).number("starttime", window * WINDOW);
        });
        (person_rows, auction_rows)
    });

    let mut persons = Feed::new(persons.lines(index, peers), clock, person_rows, |person: Person, tick| {
        Some((((person.id, person.at / WINDOW), person.name.to_owned()), tick, 1))
    })?;
    let mut auctions = Feed::new(auctions.lines(index, peers), clock, auction_rows, |auction: Auction, tick| {
        Some(((auction.seller, auction.at / WINDOW), tick, 1))
    })?;
    let report = drive(worker, &mut [&mut persons, &mut auctions], &probe)?;
    results.finish()?;
    Ok(report)
}

fn new_sellers<'s>(
    persons: VecCollection<'s, Tick, (Visit, String), Diff>,
    auctions: VecCollection<'s, Tick, Visit, Diff>,
) -> VecCollection<'s, Tick, (Visit, String), Diff> {
    let persons = persons.distinct_total().arrange_by_key();
    let sellers = auctions.distinct_total().arrange_by_self();
    persons.join_core(sellers, |visit, name, ()| Some((*visit, name.clone())))
}
