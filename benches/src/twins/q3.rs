//! Nexmark q3: who sells in category 10, in Oregon, Idaho and California.

use super::nexmark::{Auction, Person};
use crate::clock::{Clock, Diff, Tick};
use crate::drive::{Feed, Report, Settings, drive, first_at};
use crate::mapped::Mapped;
use crate::operators::{Results, write_changes};
use anyhow::Result;
use differential_dataflow::{AsCollection, VecCollection};
use timely::dataflow::ProbeHandle;
use timely::dataflow::operators::Input;
use timely::worker::Worker;

/// Name, city, state.
type Place = (String, String, String);

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
        let sellers = local_sellers(persons.as_collection(), auctions.as_collection());
        write_changes(sellers, clock, &results, &probe, |line, ((name, city, state), id)| {
            line.text("name", name).text("city", city).text("state", state).number("id", id);
        });
        (person_rows, auction_rows)
    });

    let mut persons = Feed::new(persons.lines(index, peers), clock, person_rows, |person: Person, tick| {
        let place = || (person.name.to_owned(), person.city.to_owned(), person.state.to_owned());
        matches!(person.state, "OR" | "ID" | "CA").then(|| ((person.id, place()), tick, 1))
    })?;
    let mut auctions = Feed::new(auctions.lines(index, peers), clock, auction_rows, |auction: Auction, tick| {
        (auction.category == 10).then_some(((auction.seller, auction.id), tick, 1))
    })?;
    let report = drive(worker, &mut [&mut persons, &mut auctions], &probe)?;
    results.finish()?;
    Ok(report)
}

fn local_sellers<'s>(
    persons: VecCollection<'s, Tick, (u64, Place), Diff>,
    auctions: VecCollection<'s, Tick, (u64, u64), Diff>,
) -> VecCollection<'s, Tick, (Place, u64), Diff> {
    persons.arrange_by_key().join_core(auctions.arrange_by_key(), |_, place, id| Some((place.clone(), *id)))
}
