//! The values of a group in order, with how often each is there.

use crate::row::Row;
use differential_dataflow::consolidation::consolidate;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

/// A multiset of encoded values. Counts may be negative while a time is under way, never at its end.
#[derive(Clone, Debug, Default)]
pub struct Bag {
    values: Values,
    heap: usize,
}

/// One value needs no tree: that is all that a greatest value of an input that only grows ever holds.
#[derive(Clone, Debug, Default)]
enum Values {
    #[default]
    None,
    One(Row, i64),
    Many(BTreeMap<Row, i64>),
    /// Changes that nobody has asked about yet, in the order in which they came.
    Open(Vec<(Row, i64)>),
}

/// Changes that a bag gathers before it adds them up.
const TIDY: usize = 64;

/// What an entry of a tree takes beside the heap of its row.
const ENTRY: usize = 48;

impl Bag {
    pub fn add(&mut self, row: Row, diff: i64) {
        self.close();
        match &mut self.values {
            Values::Open(_) => unreachable!("it was closed"),
            Values::None => {
                self.heap = row.heap();
                self.values = Values::One(row, diff);
            }
            Values::One(held, count) if *held == row => {
                *count += diff;
                if *count == 0 {
                    *self = Bag::default();
                }
            }
            Values::One(held, count) => {
                self.heap += row.heap() + 2 * ENTRY;
                self.values = Values::Many(BTreeMap::from([(std::mem::take(held), *count), (row, diff)]));
            }
            Values::Many(counts) => {
                match counts.entry(row) {
                    Entry::Vacant(e) => {
                        self.heap += e.key().heap() + ENTRY;
                        e.insert(diff);
                    }
                    Entry::Occupied(mut e) => {
                        *e.get_mut() += diff;
                        if *e.get() == 0 {
                            self.heap -= e.key().heap() + ENTRY;
                            e.remove();
                        }
                    }
                }
                if counts.is_empty() {
                    *self = Bag::default();
                }
            }
        }
    }
    /// Adds a value to a bag that is not read before it is closed: a push, without any order.
    pub fn add_unread(&mut self, row: Row, diff: i64) {
        match &mut self.values {
            Values::Open(changes) => {
                // Before it grows: what adds up to nothing, or to what is there, takes no room.
                if changes.len() == changes.capacity() && changes.len() >= TIDY {
                    consolidate(changes);
                    self.heap = changes.iter().map(|(row, _)| row.heap() + size_of::<(Row, i64)>()).sum();
                }
                self.heap += row.heap() + size_of::<(Row, i64)>();
                changes.push((row, diff));
            }
            Values::None => {
                self.heap = row.heap() + size_of::<(Row, i64)>();
                self.values = Values::Open(vec![(row, diff)]);
            }
            _ => self.add(row, diff),
        }
    }
    /// Puts what was added unread in order.
    pub fn close(&mut self) {
        let Values::Open(changes) = &mut self.values else { return };
        let mut changes = std::mem::take(changes);
        consolidate(&mut changes);
        self.heap = changes.iter().map(|(row, _)| row.heap()).sum();
        self.values = match changes.len() {
            0 => Values::None,
            1 => changes.pop().map_or(Values::None, |(row, n)| Values::One(row, n)),
            n => {
                self.heap += n * ENTRY;
                Values::Many(changes.into_iter().collect())
            }
        };
    }
    /// Keeps only the better of what is there and `row`.
    pub fn keep_best(&mut self, row: Row, greatest: bool) {
        let better = match &self.values {
            Values::One(held, _) => (row > *held) == greatest && row != *held,
            _ => true,
        };
        if better {
            self.heap = row.heap();
            self.values = Values::One(row, 1);
        }
    }
    pub fn is_empty(&self) -> bool {
        matches!(self.values, Values::None)
    }
    /// Number of different values.
    pub fn distinct(&self) -> usize {
        match &self.values {
            Values::None => 0,
            Values::One(..) => 1,
            Values::Many(counts) => counts.len(),
            Values::Open(_) => unreachable!("a bag is closed before it is read"),
        }
    }
    /// Bytes on the heap.
    pub fn bytes(&self) -> usize {
        self.heap
    }
    pub fn first(&self) -> Option<&Row> {
        self.iter().next().map(|(r, _)| r)
    }
    pub fn last(&self) -> Option<&Row> {
        self.iter().next_back().map(|(r, _)| r)
    }
    /// Values that are there, in order, each with its count.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&Row, i64)> {
        let (one, many) = match &self.values {
            Values::None => (None, None),
            Values::Open(_) => unreachable!("a bag is closed before it is read"),
            Values::One(row, n) => (Some((row, *n)), None),
            Values::Many(counts) => (None, Some(counts.iter().map(|(r, n)| (r, *n)))),
        };
        one.into_iter().chain(many.into_iter().flatten()).filter(|(_, n)| *n > 0)
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_bag_that_nobody_reads_grows_with_its_values_and_not_with_its_changes() {
        let mut bag = Bag::default();
        for i in 0..100_000u32 {
            bag.add_unread(Row::new(&(i % 50).to_be_bytes()), if i % 3 == 0 { -1 } else { 1 });
        }
        assert!(bag.bytes() < 300 * size_of::<(Row, i64)>(), "{} bytes", bag.bytes());
        bag.close();
        assert_eq!(bag.distinct(), 50);
    }

    proptest! {
        #[test]
        fn a_bag_holds_what_a_tree_holds(changes in proptest::collection::vec((0u8..4, -2i64..3), 0..40), mut unread in 0usize..30) {
            let (mut bag, mut tree) = (Bag::default(), BTreeMap::<Row, i64>::new());
            for (value, diff) in changes.into_iter().filter(|(_, d)| *d != 0) {
                let row = Row::new(&[value; 30][..20 + value as usize]);
                if unread > 0 {
                    unread -= 1;
                    bag.add_unread(row.clone(), diff);
                } else {
                    bag.add(row.clone(), diff);
                }
                *tree.entry(row).or_default() += diff;
                tree.retain(|_, n| *n != 0);
                if unread > 0 { continue; }
                bag.close();
                let shown: Vec<(&Row, i64)> = tree.iter().filter(|(_, n)| **n > 0).map(|(r, n)| (r, *n)).collect();
                prop_assert_eq!(bag.iter().collect::<Vec<_>>(), shown.clone());
                prop_assert_eq!(bag.distinct(), tree.len());
                prop_assert_eq!(bag.is_empty(), tree.is_empty());
                prop_assert_eq!((bag.first(), bag.last()), (shown.first().map(|s| s.0), shown.last().map(|s| s.0)));
                prop_assert!(!tree.is_empty() || bag.bytes() == 0);
            }
        }
    }
}
