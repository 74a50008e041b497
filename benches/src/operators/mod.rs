//! Operators that the twins need and differential does not bring, one per file.
//!
//! They are written for totally ordered time: a tick is worked on once the frontier has passed it, in order.

mod combine;
mod group_view;
mod leaders;
mod maximum;
mod sink;
mod sums;
mod top;
mod upsert;
mod windows;

pub use combine::combine;
pub use group_view::{GroupView, Route, group_view};
pub use leaders::Leaders;
pub use maximum::Maximum;
pub use sink::{Line, Results, write_changes};
pub use sums::Sums;
pub use top::{Best, Scored, latest_top};
pub use upsert::{Upsert, upsert};
pub use windows::{Shape, Window, windows};

use crate::clock::Tick;
use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hash};
use timely::dataflow::operators::Capability;
use timely::progress::frontier::MutableAntichain;

/// A hash that all workers agree on.
#[inline]
fn route<K: Hash>(key: &K) -> u64 {
    foldhash::fast::FixedState::default().hash_one(key)
}

/// Records that wait for their tick to be complete, with the right to answer at it.
struct Pending<D> {
    ticks: BTreeMap<Tick, (Capability<Tick>, Vec<D>)>,
}

impl<D> Pending<D> {
    fn new() -> Self {
        Pending { ticks: BTreeMap::new() }
    }

    /// The records of a tick; `capability`, for that tick, is asked for with the first of them.
    fn at(&mut self, tick: Tick, capability: impl FnOnce() -> Capability<Tick>) -> &mut Vec<D> {
        &mut self.ticks.entry(tick).or_insert_with(|| (capability(), vec![])).1
    }

    /// The earliest tick that the frontier has passed.
    fn next_complete(&mut self, frontier: &MutableAntichain<Tick>) -> Option<(Capability<Tick>, Vec<D>)> {
        let entry = self.ticks.first_entry()?;
        (!frontier.less_equal(entry.key())).then(|| entry.remove())
    }
}
