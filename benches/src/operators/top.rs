//! The best few of the newest rows per key.
//!
//! A worker keeps the newest score of each of its keys in a hash map and, in order, only a reserve of the best of
//! them. Most upserts touch neither end of the reserve and cost one look into the map. When retractions have used the
//! reserve up, it is filled again from the map. The workers' best then meet in one place.

use super::{GroupView, Pending, Route, Upsert, group_view, route};
use crate::clock::{Diff, Tick};
use differential_dataflow::{AsCollection, VecCollection};
use hashbrown::HashMap;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::Hash;
use timely::ExchangeData;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::generic::Operator;

/// A key with its score; the better is the less: by score downwards, then by key upwards.
pub type Scored<K, S> = (Reverse<S>, K);

/// The newest score per key, and the best of them.
#[derive(Debug)]
pub struct Best<K, S> {
    limit: usize,
    reserve_size: usize,
    scores: HashMap<K, S>,
    /// The best rows: all that are not worse than the floor.
    reserve: BTreeSet<Scored<K, S>>,
    /// The worst row that the reserve would hold; `None` while it holds them all.
    floor: Option<Scored<K, S>>,
}

impl<K: Ord + Hash + Copy, S: Ord + Copy> Best<K, S> {
    /// Shows the best `limit` rows; keeps `reserve` (at least `limit`) to twice as many in order.
    pub fn new(limit: usize, reserve: usize) -> Self {
        let reserve_size = reserve.max(limit).max(1);
        Best { limit, reserve_size, scores: HashMap::new(), reserve: BTreeSet::new(), floor: None }
    }

    fn reserves(&self, row: &Scored<K, S>) -> bool {
        self.floor.as_ref().is_none_or(|floor| row <= floor)
    }

    /// The newest score of a key, or that it is gone.
    pub fn set(&mut self, key: K, score: Option<S>) {
        let old = match score {
            Some(score) => self.scores.insert(key, score),
            None => self.scores.remove(&key),
        };
        if old == score {
            return;
        }
        if let Some(row) = old.map(|old| (Reverse(old), key)).filter(|row| self.reserves(row)) {
            self.reserve.remove(&row);
        }
        if let Some(row) = score.map(|new| (Reverse(new), key)).filter(|row| self.reserves(row)) {
            self.reserve.insert(row);
            if self.reserve.len() > 2 * self.reserve_size {
                while self.reserve.len() > self.reserve_size {
                    self.reserve.pop_last();
                }
                self.floor = self.reserve.last().copied();
            }
        }
    }

    /// The best rows, best first.
    pub fn shown(&mut self) -> Vec<Scored<K, S>> {
        if self.reserve.len() < self.limit && self.floor.is_some() {
            self.refill();
        }
        self.reserve.iter().take(self.limit).copied().collect()
    }

    fn refill(&mut self) {
        let mut rows: Vec<Scored<K, S>> = self.scores.iter().map(|(key, score)| (Reverse(*score), *key)).collect();
        if rows.len() > self.reserve_size {
            rows.select_nth_unstable(self.reserve_size - 1);
            rows.truncate(self.reserve_size);
            self.floor = rows.iter().max().copied();
        } else {
            self.floor = None;
        }
        self.reserve = rows.into_iter().collect();
    }
}

/// The least `N` values of a group, as a multiset.
#[derive(Debug)]
struct Least<const N: usize, V> {
    counts: BTreeMap<V, Diff>,
}

impl<const N: usize, V> Default for Least<N, V> {
    fn default() -> Self {
        Least { counts: BTreeMap::new() }
    }
}

impl<const N: usize, V: Ord + Copy + 'static> GroupView<V> for Least<N, V> {
    type Shown = Vec<V>;

    fn update(&mut self, value: V, diff: Diff) {
        let count = self.counts.entry(value).or_default();
        *count += diff;
        if *count == 0 {
            self.counts.remove(&value);
        }
    }

    fn shown(&self) -> Vec<V> {
        let copies = |(value, count): (&V, &Diff)| std::iter::repeat_n(*value, usize::try_from(*count).unwrap_or(0));
        self.counts.iter().flat_map(copies).take(N).collect()
    }

    fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }
}

/// How many rows more than are shown a worker keeps in order.
const RESERVE: usize = 256;

/// The best `N` of the newest scores per key.
pub fn latest_top<'s, const N: usize, K, S>(
    upserts: StreamVec<'s, Tick, Upsert<K, S>>,
) -> VecCollection<'s, Tick, Scored<K, S>, Diff>
where
    K: ExchangeData + Hash + Ord + Copy,
    S: ExchangeData + Ord + Copy,
{
    let by_key = Exchange::new(|upsert: &Upsert<K, S>| route(&upsert.key));
    let best_here = upserts
        .unary_frontier(by_key, "LatestTop", move |_, _| {
            let mut best = Best::new(N, RESERVE);
            let mut told: Vec<Scored<K, S>> = vec![];
            let mut pending = Pending::new();
            move |(input, frontier), output| {
                input.for_each_stamp(|cap, data| {
                    let Some(tick) = cap.least().copied() else { return };
                    let rows = pending.at(tick, || cap.delayed(&tick, output.output_index()));
                    data.for_each(|arrived: &mut Vec<Upsert<K, S>>| rows.append(arrived));
                });
                while let Some((cap, mut rows)) = pending.next_complete(frontier) {
                    if !rows.is_sorted_by_key(|upsert| upsert.order) {
                        rows.sort_by_key(|upsert| upsert.order);
                    }
                    rows.into_iter().for_each(|upsert| best.set(upsert.key, upsert.value));
                    let now = best.shown();
                    if now != told {
                        let tick = *cap.time();
                        let mut session = output.session(&cap);
                        session.give_iterator(told.drain(..).map(|row| (((), row), tick, -1)));
                        session.give_iterator(now.iter().map(|row| (((), *row), tick, 1)));
                        told = now;
                    }
                }
            }
        })
        .container::<Vec<_>>()
        .as_collection();
    group_view::<Least<N, Scored<K, S>>, _, _>(best_here, Route::ByGroup).map(|((), row)| row)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_shows_the_best_of_the_newest(
            upserts in prop::collection::vec((0u8..20, prop::option::of(0i8..40)), 0..300),
            limit in 1usize..5, reserve in 0usize..6,
        ) {
            let mut best = Best::new(limit, reserve);
            let mut newest: BTreeMap<u8, i8> = BTreeMap::new();
            for (key, score) in upserts {
                best.set(key, score);
                match score {
                    Some(score) => newest.insert(key, score),
                    None => newest.remove(&key),
                };
                let mut rows: Vec<Scored<u8, i8>> = newest.iter().map(|(key, score)| (Reverse(*score), *key)).collect();
                rows.sort_unstable();
                rows.truncate(limit);
                prop_assert_eq!(best.shown(), rows);
            }
        }
    }
}
