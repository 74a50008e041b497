//! All members of a group that share its greatest rank.

use super::GroupView;
use crate::clock::Diff;
use std::collections::BTreeMap;

/// The members of a group in order of their rank.
#[derive(Debug)]
pub struct Leaders<R, M> {
    counts: BTreeMap<(R, M), Diff>,
}

impl<R, M> Default for Leaders<R, M> {
    fn default() -> Self {
        Leaders { counts: BTreeMap::new() }
    }
}

impl<R: Ord + Copy + 'static, M: Ord + Copy + 'static> GroupView<(R, M)> for Leaders<R, M> {
    type Shown = Vec<(R, M)>;

    fn update(&mut self, member: (R, M), diff: Diff) {
        let count = self.counts.entry(member).or_default();
        *count += diff;
        if *count == 0 {
            self.counts.remove(&member);
        }
    }

    fn shown(&self) -> Vec<(R, M)> {
        let best = self.counts.last_key_value().map(|((rank, _), _)| *rank);
        self.counts.keys().rev().take_while(|(rank, _)| Some(*rank) == best).copied().collect()
    }

    fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ties_lead_together_and_the_next_follow_when_they_go() {
        let mut view = Leaders::default();
        for member in [(2, 'a'), (3, 'b'), (3, 'c')] {
            view.update(member, 1);
        }
        assert_eq!(view.shown(), [(3, 'c'), (3, 'b')]);
        view.update((3, 'b'), -1);
        view.update((3, 'c'), -1);
        assert_eq!(view.shown(), [(2, 'a')]);
        view.update((2, 'a'), -1);
        assert!(view.shown().is_empty() && view.is_empty());
    }
}
