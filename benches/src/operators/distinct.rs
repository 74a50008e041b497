//! Each record once, however often it is there.

use super::{Pending, route};
use crate::clock::{Diff, Tick};
use differential_dataflow::{AsCollection, VecCollection};
use hashbrown::HashMap;
use hashbrown::hash_map::Entry;
use std::hash::Hash;
use timely::ExchangeData;
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::generic::Operator;

/// The distinct records of a collection, counted in a hash map. A record that comes and goes within a tick may be told
/// both ways: what comes out is right once it is consolidated.
pub fn distinct<'s, D>(updates: VecCollection<'s, Tick, D, Diff>) -> VecCollection<'s, Tick, D, Diff>
where
    D: ExchangeData + Hash + Eq + Clone,
{
    let by_record = Exchange::new(|(record, _, _): &(D, Tick, Diff)| route(record));
    updates
        .inner
        .unary_frontier(by_record, "Distinct", move |_, _| {
            let mut counts: HashMap<D, Diff> = HashMap::new();
            let mut pending = Pending::new();
            move |(input, frontier), output| {
                input.for_each_stamp(|cap, data| {
                    for update in data.flat_map(|updates: &mut Vec<(D, Tick, Diff)>| updates.drain(..)) {
                        let tick = update.1;
                        pending.at(tick, || cap.delayed(&tick, output.output_index())).push(update);
                    }
                });
                while let Some((cap, updates)) = pending.next_complete(frontier) {
                    let mut session = output.session(&cap);
                    for (record, tick, diff) in updates {
                        match counts.entry(record) {
                            Entry::Vacant(free) => {
                                session.give((free.key().clone(), tick, 1));
                                free.insert(diff);
                            }
                            Entry::Occupied(mut held) => {
                                *held.get_mut() += diff;
                                if *held.get() == 0 {
                                    session.give((held.remove_entry().0, tick, -1));
                                }
                            }
                        }
                    }
                }
            }
        })
        .container::<Vec<_>>()
        .as_collection()
}
