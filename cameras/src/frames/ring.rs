//! What is held within a number of bytes: the oldest leave first.

use crate::hash::Hash;
use std::collections::{HashMap, VecDeque};

/// Things by their hashes, in the order in which they came.
pub(super) struct Ring<T> {
    limit: u64,
    total: u64,
    /// With their lengths, and their numbers in `order`.
    things: HashMap<Hash, (T, u64, u64)>,
    /// Those that were removed out of turn are still in here; their numbers tell.
    order: VecDeque<(u64, Hash)>,
    next: u64,
}

impl<T> Ring<T> {
    pub fn new(limit: u64) -> Self {
        Self { limit, total: 0, things: HashMap::new(), order: VecDeque::new(), next: 0 }
    }

    pub fn contains(&self, hash: &Hash) -> bool {
        self.things.contains_key(hash)
    }

    pub fn get(&self, hash: &Hash) -> Option<&T> {
        self.things.get(hash).map(|(thing, ..)| thing)
    }

    /// Adds a thing that is not there yet; those that had to leave for it. One that is longer than the limit leaves
    /// too.
    pub fn add(&mut self, hash: Hash, thing: T, length: u64) -> Vec<(Hash, T)> {
        if self.contains(&hash) {
            return vec![];
        }
        self.order.push_back((self.next, hash));
        self.things.insert(hash, (thing, length, self.next));
        self.total += length;
        self.next += 1;
        let mut left = vec![];
        while self.total > self.limit
            && let Some((number, hash)) = self.order.pop_front()
        {
            if self.things.get(&hash).is_some_and(|(.., current)| *current == number) {
                left.extend(self.remove(&hash).map(|thing| (hash, thing)));
            }
        }
        left
    }

    pub fn remove(&mut self, hash: &Hash) -> Option<T> {
        let (thing, length, _) = self.things.remove(hash)?;
        self.total -= length;
        if self.order.len() > 2 * self.things.len() + 16 {
            let things = &self.things;
            self.order.retain(|(number, hash)| things.get(hash).is_some_and(|(.., current)| current == number));
        }
        Some(thing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn holds_the_newest_within_the_limit(
            steps in prop::collection::vec((0_u8..20, 1_u64..40, any::<bool>()), 0..200),
        ) {
            let mut ring = Ring::new(100);
            let mut model: Vec<(Hash, u64)> = vec![];
            for (name, length, adds) in steps {
                let hash = Hash::of(&[name]);
                if adds {
                    let left = ring.add(hash, name, length);
                    if model.iter().all(|(other, _)| *other != hash) {
                        model.push((hash, length));
                    }
                    let mut gone = vec![];
                    while model.iter().map(|(_, length)| length).sum::<u64>() > 100 {
                        gone.push(model.remove(0).0);
                    }
                    prop_assert_eq!(left.into_iter().map(|(hash, _)| hash).collect::<Vec<_>>(), gone);
                } else {
                    prop_assert_eq!(ring.remove(&hash).is_some(), model.iter().any(|(other, _)| *other == hash));
                    model.retain(|(other, _)| *other != hash);
                }
                prop_assert_eq!(ring.things.len(), model.len());
                prop_assert!(model.iter().all(|(hash, _)| ring.get(hash).is_some()));
                prop_assert!(ring.order.len() <= 2 * ring.things.len() + 17);
            }
        }
    }
}
