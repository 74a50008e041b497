//! The values of a group in order, with how often each is there.

use crate::row::Row;
use std::collections::BTreeMap;

/// A multiset of encoded values. Counts may be negative while a time is under way, never at its end.
#[derive(Clone, Debug, Default)]
pub struct Bag {
    counts: BTreeMap<Row, i64>,
    heap: usize,
}

impl Bag {
    pub fn add(&mut self, row: Row, diff: i64) {
        use std::collections::btree_map::Entry;
        match self.counts.entry(row) {
            Entry::Vacant(e) => {
                self.heap += e.key().heap() + 48;
                e.insert(diff);
            }
            Entry::Occupied(mut e) => {
                *e.get_mut() += diff;
                if *e.get() == 0 {
                    self.heap -= e.key().heap() + 48;
                    e.remove();
                }
            }
        }
    }
    /// Keeps only the better of what is there and `row`.
    pub fn keep_best(&mut self, row: Row, greatest: bool) {
        let better = match self.counts.first_key_value() {
            None => true,
            Some((held, _)) => (row > *held) == greatest && row != *held,
        };
        if better {
            self.counts.clear();
            self.heap = row.heap() + 48;
            self.counts.insert(row, 1);
        }
    }
    pub fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }
    /// Number of different values.
    pub fn distinct(&self) -> usize {
        self.counts.len()
    }
    /// Bytes on the heap.
    pub fn bytes(&self) -> usize {
        self.heap
    }
    pub fn first(&self) -> Option<&Row> {
        self.iter().next().map(|(r, _)| r)
    }
    pub fn last(&self) -> Option<&Row> {
        self.counts.iter().rev().find(|(_, n)| **n > 0).map(|(r, _)| r)
    }
    /// Values that are there, in order, each with its count.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&Row, i64)> {
        self.counts.iter().filter(|(_, n)| **n > 0).map(|(r, n)| (r, *n))
    }
    /// The value(s) in the middle: one, or two for an even number.
    pub fn middle(&self) -> Option<(&Row, &Row)> {
        let total: i64 = self.iter().map(|(_, n)| n).sum();
        let at = |rank: i64| {
            let mut seen = 0;
            self.iter().find(|(_, n)| {
                seen += n;
                seen > rank
            })
        };
        (total > 0).then(|| Some((at((total - 1) / 2)?.0, at(total / 2)?.0))).flatten()
    }
}
