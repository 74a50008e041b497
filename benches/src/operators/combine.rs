//! Adds up the differences of equal records before they travel.

use crate::clock::Tick;
use differential_dataflow::difference::Semigroup;
use differential_dataflow::{AsCollection, VecCollection};
use hashbrown::HashMap;
use std::hash::Hash;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::Operator;

/// The same collection in fewer updates: what a worker holds of one tick at one time is added up by hashing.
///
/// It waits for nothing, so equal records that come later make another update. Worth it in front of an exchange or an
/// arrangement where few distinct records come in many copies.
pub fn combine<'s, D, R>(updates: VecCollection<'s, Tick, D, R>) -> VecCollection<'s, Tick, D, R>
where
    D: Clone + Hash + Eq + 'static,
    R: Semigroup + 'static,
{
    updates
        .inner
        .unary(Pipeline, "Combine", move |_, _| {
            let mut sums: HashMap<(D, Tick), R> = HashMap::new();
            move |input, output| {
                input.for_each_stamp(|cap, data| {
                    for (record, tick, diff) in data.flat_map(|updates: &mut Vec<(D, Tick, R)>| updates.drain(..)) {
                        sums.entry((record, tick)).and_modify(|sum| sum.plus_equals(&diff)).or_insert(diff);
                    }
                    let sums = sums.drain().filter(|(_, sum)| !sum.is_zero());
                    output.session(&cap).give_iterator(sums.map(|((record, tick), sum)| (record, tick, sum)));
                });
            }
        })
        .container::<Vec<_>>()
        .as_collection()
}
