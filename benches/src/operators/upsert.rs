//! Newest row per key: upserts in, changes of rows out.

use super::{Pending, route};
use crate::clock::{Diff, Tick};
use differential_dataflow::{AsCollection, VecCollection};
use hashbrown::HashMap;
use hashbrown::hash_map::Entry;
use serde::{Deserialize, Serialize};
use std::hash::Hash;
use timely::ExchangeData;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::generic::Operator;

/// A new row for a key, or none.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Upsert<K, V> {
    pub key: K,
    /// The later of two upserts of one key counts.
    pub order: u64,
    /// `None` removes the key.
    pub value: Option<V>,
}

/// Keeps the newest value of each key and tells the changes as rows made by `row`.
///
/// A key that gets several upserts in a tick is answered for each: what comes out is right once it is consolidated,
/// which the arrangement behind it does anyway.
pub fn upsert<'s, K, V, D>(
    upserts: StreamVec<'s, Tick, Upsert<K, V>>,
    row: impl Fn(&K, V) -> D + 'static,
) -> VecCollection<'s, Tick, D, Diff>
where
    K: ExchangeData + Hash + Eq,
    V: ExchangeData + PartialEq + Copy,
    D: Clone + 'static,
{
    let by_key = Exchange::new(|upsert: &Upsert<K, V>| route(&upsert.key));
    upserts
        .unary_frontier(by_key, "Upsert", move |_, _| {
            let mut values: HashMap<K, V> = HashMap::new();
            let mut pending = Pending::new();
            move |(input, frontier), output| {
                input.for_each_stamp(|cap, data| {
                    let Some(tick) = cap.least().copied() else { return };
                    let rows = pending.at(tick, || cap.delayed(&tick, output.output_index()));
                    data.for_each(|arrived: &mut Vec<Upsert<K, V>>| rows.append(arrived));
                });
                while let Some((cap, mut rows)) = pending.next_complete(frontier) {
                    // Rows of one worker come in order; those of several are ordered runs.
                    if !rows.is_sorted_by_key(|upsert| upsert.order) {
                        rows.sort_by_key(|upsert| upsert.order);
                    }
                    let tick = *cap.time();
                    let mut session = output.session(&cap);
                    for Upsert { key, value, .. } in rows {
                        match (values.entry(key), value) {
                            (Entry::Occupied(mut held), Some(new)) => {
                                let old = held.insert(new);
                                if old != new {
                                    session.give((row(held.key(), old), tick, -1));
                                    session.give((row(held.key(), new), tick, 1));
                                }
                            }
                            (Entry::Vacant(free), Some(new)) => {
                                session.give((row(free.key(), new), tick, 1));
                                free.insert(new);
                            }
                            (Entry::Occupied(held), None) => {
                                let (key, old) = held.remove_entry();
                                session.give((row(&key, old), tick, -1));
                            }
                            (Entry::Vacant(_), None) => {}
                        }
                    }
                }
            }
        })
        .container::<Vec<_>>()
        .as_collection()
}
