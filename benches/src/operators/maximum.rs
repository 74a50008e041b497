//! The greatest value of a group.

use super::GroupView;
use crate::clock::Diff;
use std::collections::BTreeMap;

/// The values of a group in order, so that a retraction of the greatest uncovers the next.
#[derive(Debug)]
pub struct Maximum<V> {
    counts: BTreeMap<V, Diff>,
}

impl<V> Default for Maximum<V> {
    fn default() -> Self {
        Maximum { counts: BTreeMap::new() }
    }
}

impl<V: Ord + Copy + 'static> GroupView<V> for Maximum<V> {
    type Shown = Option<V>;

    fn update(&mut self, value: V, diff: Diff) {
        let count = self.counts.entry(value).or_default();
        *count += diff;
        if *count == 0 {
            self.counts.remove(&value);
        }
    }

    fn shown(&self) -> Option<V> {
        self.counts.last_key_value().map(|(value, _)| *value)
    }

    fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_is_the_greatest_of_what_is_left(changes in prop::collection::vec((0u8..8, any::<bool>()), 0..60)) {
            let mut view = Maximum::default();
            let mut left: Vec<u8> = vec![];
            for (value, insert) in changes {
                match left.iter().position(|held| *held == value) {
                    Some(place) if !insert => { left.swap_remove(place); view.update(value, -1); }
                    _ => { left.push(value); view.update(value, 1); }
                }
                prop_assert_eq!(view.shown(), left.iter().max().copied());
                prop_assert_eq!(view.is_empty(), left.is_empty());
            }
        }
    }
}
