//! Nexmark: persons, auctions and bids of an online auction (Tucker, Tufte, Papadimos, Maier: "NEXMark – A Benchmark
//! for Queries over Data Streams", 2002), with the parameters in common use today.
//!
//! Of 50 events one is a person, three are auctions and 46 are bids; there are 10,000 events a second. Half of the bids
//! go to one hot auction of the last hundred, the others to one of the last hundred auctions or of the next ten. Three
//! quarters of the bidders and sellers are a hot one of the last hundred persons, the others one of the last thousand
//! or of the next ten.

use super::{START, Size, file, finish};
use crate::random::Random;
use anyhow::Result;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

const GROUP: u64 = 50;
const PERSONS: u64 = 1;
const AUCTIONS: u64 = 3;
const EVENTS_PER_MS: u64 = 10;
const FIRST_ID: u64 = 1_000;
const LEAD: u64 = 10;
const HOT_EVERY: u64 = 100;
const OPEN_AUCTIONS: u64 = 100;
const ACTIVE_PERSONS: u64 = 1_000;
const FIRST_CATEGORY: u64 = 10;
const CATEGORIES: u64 = 5;
const CHANNELS: u64 = 10_000;
const SIDE_INPUT: u64 = 10_000;

const STATES: [&str; 6] = ["AZ", "CA", "ID", "OR", "WA", "WY"];
const CITIES: [&str; 10] =
    ["Phoenix", "Los Angeles", "San Francisco", "Boise", "Portland", "Bend", "Redmond", "Seattle", "Kent", "Cheyenne"];
const GIVEN: [&str; 10] = ["Ada", "Bram", "Chloe", "Dario", "Edith", "Farid", "Greta", "Hiro", "Ines", "Jonas"];
const FAMILY: [&str; 9] = ["Abbott", "Brandt", "Castro", "Dubois", "Eriksen", "Fujita", "Gupta", "Hansen", "Ivanov"];
const HOT_CHANNELS: [&str; 4] = ["Google", "Facebook", "Baidu", "Apple"];

/// An event's number tells its kind, its time and which persons and auctions there are.
#[derive(Clone, Copy)]
struct Event(u64);

impl Event {
    /// ms since the epoch.
    fn at(self) -> u64 {
        START * 1000 + self.0 / EVENTS_PER_MS
    }

    fn place(self) -> u64 {
        self.0 % GROUP
    }

    /// The number of the last person up to here, from 0.
    fn last_person(self) -> u64 {
        self.0 / GROUP * PERSONS + (PERSONS - 1)
    }

    /// The number of the last auction up to here, from 0; 0 also before the first.
    fn last_auction(self) -> u64 {
        let before = self.0 / GROUP * AUCTIONS + (self.place() + 1).saturating_sub(PERSONS).min(AUCTIONS);
        before.saturating_sub(1)
    }

    fn person(self, random: &mut Random, hot: u64) -> u64 {
        let last = self.last_person();
        if random.below(4) > 0 {
            return FIRST_ID + last / HOT_EVERY * HOT_EVERY + hot;
        }
        let active = (last + 1).min(ACTIVE_PERSONS);
        FIRST_ID + last + 1 - active + random.below(active + LEAD)
    }

    fn auction(self, random: &mut Random) -> u64 {
        let last = self.last_auction();
        if random.below(2) > 0 {
            return FIRST_ID + last / HOT_EVERY * HOT_EVERY;
        }
        let oldest = last.saturating_sub(OPEN_AUCTIONS);
        FIRST_ID + oldest + random.below(last - oldest + 1 + LEAD)
    }
}

fn price(random: &mut Random) -> u64 {
    (10f64.powf(random.unit() * 6.0) * 100.0).round() as u64
}

/// Letters that only make a row as long as rows usually are: `length` give or take a fifth.
fn filler(random: &mut Random, length: u64) -> String {
    let length = length - length / 5 + random.below(length / 5 * 2 + 1);
    let mut text = String::with_capacity(length as usize);
    while (text.len() as u64) < length {
        let mut bits = random.bits();
        for _ in 0..12 {
            text.push(char::from(b'a' + (bits % 26) as u8));
            bits /= 26;
        }
    }
    text.truncate(length as usize);
    text
}

struct Files {
    persons: BufWriter<File>,
    auctions: BufWriter<File>,
    bids: Option<BufWriter<File>>,
}

pub(super) fn write(folder: &Path, size: Size, with_bids: bool) -> Result<()> {
    let mut files = Files {
        persons: file(folder, "persons.jsonl")?,
        auctions: file(folder, "auctions.jsonl")?,
        bids: with_bids.then(|| file(folder, "bids.jsonl")).transpose()?,
    };
    for number in 0..size.events {
        let event = Event(number);
        let random = &mut Random::of_event(size.seed, number);
        match event.place() {
            place if place < PERSONS => person(&mut files.persons, event, random)?,
            place if place < PERSONS + AUCTIONS => auction(&mut files.auctions, event, random)?,
            _ => {
                if let Some(bids) = &mut files.bids {
                    bid(bids, event, random)?;
                }
            }
        }
    }
    finish(files.persons)?;
    finish(files.auctions)?;
    files.bids.map_or(Ok(()), finish)?;
    let mut side_input = file(folder, "side_input.jsonl")?;
    for key in 0..SIDE_INPUT {
        writeln!(side_input, "{{\"key\":{key},\"value\":\"{key}\"}}")?;
    }
    finish(side_input)
}

fn person(out: &mut impl Write, event: Event, random: &mut Random) -> Result<()> {
    let id = FIRST_ID + event.last_person();
    let (given, family) = (random.one_of(&GIVEN), random.one_of(&FAMILY));
    let (city, state) = (random.one_of(&CITIES), random.one_of(&STATES));
    let card = random.below(10_000_000_000_000_000);
    let (at, extra) = (event.at(), filler(random, 80));
    writeln!(
        out,
        "{{\"id\":{id},\"name\":\"{given} {family}\",\"email_address\":\"{given}@{family}.example\",\
         \"credit_card\":\"{card:016}\",\"city\":\"{city}\",\"state\":\"{state}\",\"at\":{at},\"extra\":\"{extra}\"}}"
    )?;
    Ok(())
}

fn auction(out: &mut impl Write, event: Event, random: &mut Random) -> Result<()> {
    let id = FIRST_ID + event.last_auction();
    let (item_name, description) = (filler(random, 20), filler(random, 100));
    let initial_bid = price(random);
    let reserve = initial_bid + price(random);
    // Auctions last so long that about OPEN_AUCTIONS are open at any time.
    let mean = OPEN_AUCTIONS * GROUP / AUCTIONS / EVENTS_PER_MS;
    let (at, expires) = (event.at(), event.at() + 1 + random.below(2 * mean));
    let seller = event.person(random, 0);
    let category = FIRST_CATEGORY + random.below(CATEGORIES);
    let extra = filler(random, 300);
    writeln!(
        out,
        "{{\"id\":{id},\"item_name\":\"{item_name}\",\"description\":\"{description}\",\"initial_bid\":{initial_bid},\
         \"reserve\":{reserve},\"at\":{at},\"expires\":{expires},\"seller\":{seller},\"category\":{category},\
         \"extra\":\"{extra}\"}}"
    )?;
    Ok(())
}

fn bid(out: &mut impl Write, event: Event, random: &mut Random) -> Result<()> {
    let auction = event.auction(random);
    let bidder = event.person(random, 1);
    let price = price(random);
    let hot = random.below(2) > 0;
    let number = random.below(if hot { HOT_CHANNELS.len() as u64 } else { CHANNELS });
    // A channel has one address.
    let address = &mut Random::of_event(u64::from(hot), number);
    let (a, b, c) = (filler(address, 5), filler(address, 5), filler(address, 5));
    let url = format!("https://www.nexmark.com/{a}/{b}/{c}/item.htm?query=1");
    let (channel, url) = match HOT_CHANNELS.get(number as usize).filter(|_| hot) {
        Some(name) => ((*name).to_owned(), url),
        None => (format!("channel-{number}"), format!("{url}&channel_id={}", number.reverse_bits() >> 32)),
    };
    let (at, extra) = (event.at(), filler(random, 60));
    writeln!(
        out,
        "{{\"auction\":{auction},\"bidder\":{bidder},\"price\":{price},\"channel\":\"{channel}\",\"url\":\"{url}\",\
         \"at\":{at},\"extra\":\"{extra}\"}}"
    )?;
    Ok(())
}
