//! Work that waits for its time to close.

use std::collections::BTreeMap;
use timely::dataflow::operators::{Capability, InputCapability};
use timely::progress::frontier::MutableAntichain;

/// Items by time, with the one capability that covers them all.
pub struct Pending<T> {
    times: BTreeMap<u64, Vec<T>>,
    capability: Option<Capability<u64>>,
}

/// Items whose times are over, and the right to put out at the first of those times.
pub type Closed<T> = (Capability<u64>, BTreeMap<u64, Vec<T>>);

impl<T> Default for Pending<T> {
    fn default() -> Self {
        Pending { times: BTreeMap::new(), capability: None }
    }
}

impl<T> Pending<T> {
    /// Keeps the right to put out results at the capability's time and later.
    pub fn retain(&mut self, capability: &InputCapability<u64>, port: usize) {
        let Some(new) = capability.retain_least(port) else { return };
        if self.capability.as_ref().is_none_or(|held| new.time() < held.time()) {
            self.capability = Some(new);
        }
    }
    pub fn push(&mut self, time: u64, item: T) {
        self.times.entry(time).or_default().push(item);
    }
    pub fn is_empty(&self) -> bool {
        self.times.is_empty()
    }
    /// All items whose times `frontiers` have passed, in the order of time, and the right to put out at the first of them.
    pub fn closed(&mut self, frontiers: &[&MutableAntichain<u64>]) -> Option<Closed<T>> {
        let bound = frontiers.iter().filter_map(|f| f.frontier().first().copied()).min();
        let closed = match bound {
            None => std::mem::take(&mut self.times),
            Some(bound) => {
                let open = self.times.split_off(&bound);
                std::mem::replace(&mut self.times, open)
            }
        };
        let first = closed.first_key_value().map(|(t, _)| *t);
        let out = first.and_then(|t| self.capability.as_ref().map(|c| c.delayed(&t)));
        match (self.times.first_key_value(), &mut self.capability) {
            (Some((t, _)), Some(held)) if held.time() < t => held.downgrade(t),
            (None, held) => *held = None,
            _ => {}
        }
        out.map(|capability| (capability, closed))
    }
}
