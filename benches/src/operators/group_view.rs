//! Something kept per group, told again when it changes.

use super::{Pending, route};
use crate::clock::{Diff, Tick};
use differential_dataflow::{AsCollection, VecCollection};
use hashbrown::HashMap;
use std::hash::Hash;
use timely::ExchangeData;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::{Exchange, Pipeline};
use timely::dataflow::operators::generic::Operator;

/// The state of one group.
pub trait GroupView<V>: Default + 'static {
    /// What is told of the group.
    type Shown: PartialEq + IntoIterator<Item: Clone>;
    /// Takes one change.
    fn update(&mut self, value: V, diff: Diff);
    /// What is to be told now.
    fn shown(&self) -> Self::Shown;
    /// Whether the state can be forgotten.
    fn is_empty(&self) -> bool;
}

/// Where the updates of a group are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// To be brought together by the group.
    ByGroup,
    /// Together already, by a hash of the group or of a part of it; or each worker's share is to be viewed for itself.
    Here,
}

/// Keeps a view per group: −old +new of what it shows, once per tick, where it changed.
#[allow(clippy::type_complexity)] // The nesting is differential's: ((group, value), tick, diff).
pub fn group_view<'s, S, G, V>(
    updates: VecCollection<'s, Tick, (G, V), Diff>,
    routed: Route,
) -> VecCollection<'s, Tick, (G, <S::Shown as IntoIterator>::Item), Diff>
where
    S: GroupView<V>,
    G: ExchangeData + Hash + Ord + Clone,
    V: ExchangeData,
{
    let changes = match routed {
        Route::Here => maintain::<S, G, V, _>(updates.inner, Pipeline),
        Route::ByGroup => maintain::<S, G, V, _>(
            updates.inner,
            Exchange::new(|((group, _), _, _): &((G, V), Tick, Diff)| route(group)),
        ),
    };
    changes.as_collection()
}

#[allow(clippy::type_complexity)]
fn maintain<'s, S, G, V, P>(
    updates: StreamVec<'s, Tick, ((G, V), Tick, Diff)>,
    pact: P,
) -> StreamVec<'s, Tick, ((G, <S::Shown as IntoIterator>::Item), Tick, Diff)>
where
    S: GroupView<V>,
    G: ExchangeData + Hash + Ord + Clone,
    V: ExchangeData,
    P: timely::dataflow::channels::pact::ParallelizationContract<Tick, Vec<((G, V), Tick, Diff)>>,
{
    updates
        .unary_frontier(pact, "GroupView", move |_, _| {
            let mut groups: HashMap<G, S> = HashMap::new();
            let mut pending = Pending::new();
            move |(input, frontier), output| {
                input.for_each_stamp(|cap, data| {
                    for update in data.flat_map(|updates: &mut Vec<((G, V), Tick, Diff)>| updates.drain(..)) {
                        let tick = update.1;
                        pending.at(tick, || cap.delayed(&tick, output.output_index())).push(update);
                    }
                });
                while let Some((cap, mut updates)) = pending.next_complete(frontier) {
                    updates.sort_unstable_by(|a, b| a.0.0.cmp(&b.0.0));
                    let mut session = output.session(&cap);
                    let mut updates = updates.into_iter().peekable();
                    while let Some(((group, value), tick, diff)) = updates.next() {
                        let state = groups.entry(group.clone()).or_default();
                        let before = state.shown();
                        state.update(value, diff);
                        while let Some(((_, value), _, diff)) = updates.next_if(|next| next.0.0 == group) {
                            state.update(value, diff);
                        }
                        let after = state.shown();
                        if state.is_empty() {
                            groups.remove(&group);
                        }
                        if before != after {
                            session.give_iterator(before.into_iter().map(|shown| ((group.clone(), shown), tick, -1)));
                            session.give_iterator(after.into_iter().map(|shown| ((group.clone(), shown), tick, 1)));
                        }
                    }
                }
            }
        })
        .container::<Vec<_>>()
}
