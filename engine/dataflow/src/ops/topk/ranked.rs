//! A multiset of rows of which only the first few are ever asked for.
//!
//! The first rows stand in a tree; the rest is a log that is sorted only when it has doubled, or when the tree runs
//! low. So a change far behind the front costs an append, and a change at the front the logarithm of a small number.

use crate::row::Row;
use std::collections::BTreeMap;

/// Rows that the tree holds at least, when there are that many.
const FRONT: usize = 1024;

#[derive(Default)]
pub struct Ranked {
    front: BTreeMap<Row, i64>,
    /// Rows greater than this are in `rest`; `None`: all are in the tree.
    bound: Option<Row>,
    rest: Vec<(Row, i64)>,
    /// Length of `rest` at which it is sorted and added up.
    limit: usize,
    heap: usize,
}

impl Ranked {
    pub fn add(&mut self, row: Row, diff: i64) {
        self.heap += row.heap();
        if self.bound.as_ref().is_some_and(|b| row > *b) {
            self.rest.push((row, diff));
            if self.rest.len() >= self.limit {
                self.tidy();
            }
            return;
        }
        use std::collections::btree_map::Entry;
        match self.front.entry(row) {
            Entry::Vacant(e) => {
                e.insert(diff);
            }
            Entry::Occupied(mut e) => {
                self.heap -= e.key().heap();
                *e.get_mut() += diff;
                if *e.get() == 0 {
                    self.heap -= e.key().heap();
                    e.remove();
                }
            }
        }
        if self.front.len() > 4 * FRONT.max(self.rest.len() / 16) {
            self.shed();
        }
    }
    /// The first rows, each with its count, until the counts reach `wanted`.
    pub fn first(&mut self, wanted: usize) -> Vec<(Row, i64)> {
        loop {
            let mut total = 0usize;
            let mut out = vec![];
            for (row, n) in self.front.iter().filter(|(_, n)| **n > 0) {
                if total >= wanted {
                    break;
                }
                total = total.saturating_add(*n as usize);
                out.push((row.clone(), *n));
            }
            if total >= wanted || self.bound.is_none() {
                return out;
            }
            self.refill(wanted);
        }
    }
    pub fn is_empty(&mut self) -> bool {
        if self.front.is_empty() && !self.rest.is_empty() {
            self.tidy();
        }
        self.front.is_empty() && self.rest.is_empty()
    }
    /// Entries held.
    pub fn entries(&self) -> usize {
        self.front.len() + self.rest.len()
    }
    pub fn bytes(&self) -> usize {
        self.front.len() * 48 + self.rest.capacity() * size_of::<(Row, i64)>() + self.heap
    }
    /// Sorts the rest and adds up equal rows.
    fn tidy(&mut self) {
        self.rest.sort_by(|a, b| a.0.cmp(&b.0));
        self.heap -= self.rest.iter().map(|(r, _)| r.heap()).sum::<usize>();
        self.rest.dedup_by(|b, a| {
            let same = a.0 == b.0;
            if same {
                a.1 += b.1;
            }
            same
        });
        self.rest.retain(|(_, d)| *d != 0);
        self.heap += self.rest.iter().map(|(r, _)| r.heap()).sum::<usize>();
        self.limit = (2 * self.rest.len()).max(8 * FRONT);
    }
    /// Moves the later half of the tree to the rest.
    fn shed(&mut self) {
        let middle = self.front.keys().nth(self.front.len() / 2).cloned();
        if let Some(middle) = middle {
            let tail = self.front.split_off(&middle);
            self.bound = self.front.last_key_value().map(|(r, _)| r.clone());
            self.rest.extend(tail);
            self.limit = self.limit.max(2 * self.rest.len()).max(8 * FRONT);
        }
    }
    /// Moves the first rows of the rest to the tree.
    fn refill(&mut self, wanted: usize) {
        self.tidy();
        let take = wanted.saturating_add(FRONT.max(self.rest.len() / 16)).min(self.rest.len());
        self.front.extend(self.rest.drain(..take));
        self.bound = if self.rest.is_empty() {
            None
        } else {
            self.front.last_key_value().map(|(r, _)| r.clone()).or_else(|| self.bound.take())
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn the_first_rows_are_those_of_a_tree(changes in proptest::collection::vec((0u16..3000, any::<bool>()), 0..20_000), wanted in 1usize..40, every in 1usize..2000) {
            let mut ranked = Ranked::default();
            let mut tree: BTreeMap<Row, i64> = BTreeMap::new();
            for (i, (x, add)) in changes.iter().enumerate() {
                let row = Row::new(&(x.wrapping_mul(7919)).to_be_bytes());
                let held = tree.get(&row).copied().unwrap_or(0);
                let diff = if *add || held == 0 { 1 } else { -1 };
                ranked.add(row.clone(), diff);
                *tree.entry(row.clone()).or_default() += diff;
                if tree[&row] == 0 { tree.remove(&row); }
                if i % every == 0 {
                    let mut total = 0;
                    let expected: Vec<(Row, i64)> = tree.iter().take_while(|(_, n)| { let go = total < wanted; total += **n as usize; go }).map(|(r, n)| (r.clone(), *n)).collect();
                    prop_assert_eq!(ranked.first(wanted), expected);
                }
            }
            for (row, n) in tree { ranked.add(row, -n); }
            prop_assert!(ranked.is_empty());
        }
    }
}
