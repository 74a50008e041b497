//! Adds up a join's matches as they are found.

use crate::clock::Tick;
use differential_dataflow::difference::Semigroup;
use hashbrown::HashMap;
use std::collections::VecDeque;
use std::hash::Hash;
use timely::container::{ContainerBuilder, PushInto};

/// A builder of updates that holds one sum per record and time instead of sorting them.
///
/// Worth it behind a join whose matches fall into few groups. Its memory is bounded: it gives out what it holds at
/// `LIMIT` sums.
pub struct Sums<D, R> {
    sums: HashMap<(D, Tick), R>,
    ready: VecDeque<Vec<(D, Tick, R)>>,
    given: Vec<(D, Tick, R)>,
}

const LIMIT: usize = 1 << 15;

impl<D, R> Default for Sums<D, R> {
    fn default() -> Self {
        Sums { sums: HashMap::new(), ready: VecDeque::new(), given: vec![] }
    }
}

impl<D: Hash + Eq, R: Semigroup> Sums<D, R> {
    fn give_out(&mut self) {
        let sums = self.sums.drain().filter(|(_, sum)| !sum.is_zero());
        let updates: Vec<_> = sums.map(|((record, tick), sum)| (record, tick, sum)).collect();
        if !updates.is_empty() {
            self.ready.push_back(updates);
        }
    }
}

impl<D: Hash + Eq, R: Semigroup> PushInto<(D, Tick, R)> for Sums<D, R> {
    #[inline]
    fn push_into(&mut self, (record, tick, diff): (D, Tick, R)) {
        self.sums.entry((record, tick)).and_modify(|sum| sum.plus_equals(&diff)).or_insert(diff);
        if self.sums.len() == LIMIT {
            self.give_out();
        }
    }
}

impl<D: Hash + Eq + Clone + 'static, R: Semigroup + 'static> ContainerBuilder for Sums<D, R> {
    type Container = Vec<(D, Tick, R)>;

    fn extract(&mut self) -> Option<&mut Self::Container> {
        self.given = self.ready.pop_front()?;
        Some(&mut self.given)
    }

    fn finish(&mut self) -> Option<&mut Self::Container> {
        self.give_out();
        self.extract()
    }
}
