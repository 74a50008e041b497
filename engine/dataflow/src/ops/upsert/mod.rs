//! Upserts: of the rows of a key, the newest counts. What arrives is "this key is now that row" (+1) or "this key is
//! gone" (−1); what goes on is −old +new. Several changes of a key at one time are applied in their order, each with its
//! own −old +new: a row that cannot be computed is an error though another one follows, whatever the tick holds.
//!
//! A row is held once, with the columns of its key first, so that its own first bytes are what it is found by.

pub mod front;

use super::edge::{RowEdge, RowsBuilder};
use super::parcel::{Dealer, Owner, ParcelBuilder, Parcels, Run, exchange};
use super::pending::Pending;
use super::{Fed, Shared};
use crate::columns::{Codec, Layout, is_same};
use crate::encoded::Encoded;
use crate::row::{Row, hash};
use front::{Front, FrontPlan};
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use jarvis_plan::Input;
use timely::dataflow::Stream;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::operator::Operator;

/// Renders an upsert. Rows reach the worker that owns their key; the place of a row in its source decides which is newer.
/// With a front, only the rows that may be among the first of all go on.
pub fn upsert<'s>(
    input: Stream<'s, u64, Vec<Fed>>,
    name: &str,
    plan: &Input,
    front: Option<&FrontPlan>,
    owner: &str,
    shared: Shared,
) -> RowEdge<'s> {
    let held: Vec<usize> = plan.held.clone().unwrap_or_else(|| (0..plan.schema.fields().len()).collect());
    let columns: Vec<usize> =
        plan.key.iter().copied().chain(held.iter().copied().filter(|c| !plan.key.contains(c))).collect();
    // A key is made of different columns, so each one stands where it is found first.
    let stored: Vec<usize> = held.iter().map(|h| columns.iter().position(|c| c == h).unwrap_or(0)).collect();
    let codec = Codec::of(&plan.schema, &columns).expect("planning refuses columns that cannot be encoded");
    let schema = codec.schema().clone();
    let layout = codec.layout();
    let front = front.map(|f| Front::new(f, &stored, plan.key.len(), layout.clone()));
    let dealer = Dealer::new(codec, columns, Owner::Key(plan.key.len()), input.scope().peers());
    let gauge = shared.gauge(format!("{owner}/{name}"));
    let mut state = State { newest: Newest { table: HashTable::new(), layout, key: plan.key.len(), heap: 0 }, front };
    let rows = deal(input, name, dealer).unary_frontier::<RowsBuilder, _, _, _>(exchange(), name, move |_, _| {
        let mut pending: Pending<Run> = Pending::default();
        move |(input, frontier), output| {
            input.for_each_stamp(|capability, data| {
                pending.retain(&capability, output.output_index());
                data.flat_map(|d| d.drain(..)).for_each(|parcel| pending.push_parcel(parcel));
            });
            let Some((capability, closed)) = pending.closed(&[frontier]) else { return };
            let mut changes = Encoded::default();
            for (time, runs) in closed {
                state.apply(time, &runs, &mut changes);
            }
            if !changes.is_empty() {
                output.session(&capability).give(changes);
            }
            gauge.rows.set(state.newest.table.len() as u64);
            gauge.bytes.set(state.bytes() as u64);
        }
    });
    RowEdge::new(rows, schema, stored)
}

fn deal<'s>(input: Stream<'s, u64, Vec<Fed>>, name: &str, dealer: Dealer) -> Parcels<'s> {
    input.unary::<ParcelBuilder, _, _, _>(Pipeline, &format!("{name}: encode"), move |_, _| {
        move |input, output| {
            input.for_each_stamp(|capability, data| {
                let mut session = output.session(&capability);
                for Fed { delta, place } in data.flat_map(|d| d.drain(..)) {
                    session.give_iterator(dealer.deal(&delta.canonical(), Some(place)).into_iter());
                }
            });
        }
    })
}

/// Rows that are looked up together.
const BLOCK: usize = 32;

/// The newest row of each key.
pub struct Newest {
    table: HashTable<Row>,
    layout: Layout,
    /// Columns of the key, at the start of the row.
    key: usize,
    heap: usize,
}

impl Newest {
    fn rows(&self) -> impl Iterator<Item = &Row> {
        self.table.iter()
    }
    #[inline]
    fn hash(&self, row: &[u8]) -> u64 {
        hash(&row[..self.layout.start(row, self.key)])
    }
    /// Loads the places of some rows, whose hashes it returns. A table of many keys does not fit the caches, and loads
    /// that do not wait for each other are under way together.
    #[inline]
    fn touch<'r>(&self, rows: impl Iterator<Item = &'r [u8]>) -> [u64; BLOCK] {
        let mut hashes = [0; BLOCK];
        let mut seen = 0u8;
        for (key_hash, row) in hashes.iter_mut().zip(rows) {
            *key_hash = self.hash(row);
            seen ^= self.table.find(*key_hash, |_| true).map_or(0, |held| held.bytes().first().copied().unwrap_or(0));
        }
        std::hint::black_box(seen);
        hashes
    }
    /// Makes `row` the newest of its key, or takes the key's row away; tells what was and what is.
    #[inline]
    fn set(&mut self, row: &[u8], key_hash: u64, is_there: bool, mut tell: impl FnMut(&[u8], i64)) {
        let (layout, columns) = (&self.layout, self.key);
        let key_of = |row: &[u8]| layout.start(row, columns);
        let key = &row[..key_of(row)];
        // An encoded key is never the beginning of another one.
        let is_same = |held: &Row| held.bytes().get(..key.len()).is_some_and(|held| is_same(held, key));
        let entry = self.table.entry(key_hash, is_same, |held| hash(&held.bytes()[..key_of(held.bytes())]));
        match (entry, is_there) {
            (Entry::Occupied(mut held), true) => {
                if held.get().bytes() != row {
                    let new = Row::new(row);
                    self.heap += new.heap();
                    let old = std::mem::replace(held.get_mut(), new);
                    self.heap -= old.heap();
                    tell(old.bytes(), -1);
                    tell(row, 1);
                }
            }
            (Entry::Vacant(place), true) => {
                let new = Row::new(row);
                self.heap += new.heap();
                place.insert(new);
                tell(row, 1);
            }
            (Entry::Occupied(held), false) => {
                let (old, _) = held.remove();
                self.heap -= old.heap();
                tell(old.bytes(), -1);
            }
            (Entry::Vacant(_), false) => {}
        }
    }
}

struct State {
    newest: Newest,
    front: Option<Front>,
}

impl State {
    /// Applies the changes of one time.
    fn apply(&mut self, time: u64, runs: &[Run], out: &mut Encoded) {
        let mut changes: Vec<(u64, (&[u8], i64))> =
            runs.iter().flat_map(|r| r.places().iter().copied().zip(r.rows())).collect();
        if !changes.is_sorted_by_key(|(place, _)| *place) {
            changes.sort_by_key(|(place, _)| *place);
        }
        for block in changes.chunks(BLOCK) {
            let hashes = self.newest.touch(block.iter().map(|(_, (row, _))| *row));
            for ((_, (row, diff)), key_hash) in block.iter().zip(hashes) {
                self.set(row, key_hash, *diff, time, out);
            }
        }
        if let Some(front) = &mut self.front {
            front.tell(&self.newest, time, out);
        }
    }
    #[inline]
    fn set(&mut self, row: &[u8], key_hash: u64, diff: i64, time: u64, out: &mut Encoded) {
        match &mut self.front {
            None => self.newest.set(row, key_hash, diff > 0, |row, diff| out.push(row, time, diff)),
            Some(front) => self.newest.set(row, key_hash, diff > 0, |row, diff| front.change(row, diff)),
        }
    }
    fn bytes(&self) -> usize {
        let table = self.newest.table.capacity() * (size_of::<Row>() + 1);
        table + self.newest.heap + self.front.as_ref().map_or(0, Front::bytes)
    }
}
