//! Rows that are due later, and the clock that brings them due.

use crate::row::Row;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;

/// Buckets of 2^14 µs (about 16 ms): few enough that rows due in an hour cost little, small enough to split.
const BUCKET_BITS: u32 = 14;

/// Changes that apply from a later time on.
pub struct Due {
    buckets: BTreeMap<u64, Bucket>,
    wake: Rc<Cell<u64>>,
    rows: u64,
    bytes: u64,
}

struct Bucket {
    first: u64,
    items: Vec<(u64, Row, i64)>,
    /// Consolidate when the bucket has grown to this.
    limit: usize,
}

impl Due {
    pub fn new(wake: Rc<Cell<u64>>) -> Self {
        Due { buckets: BTreeMap::new(), wake, rows: 0, bytes: 0 }
    }
    /// Schedules a change. A later opposite change of the same row and time cancels it.
    pub fn push(&mut self, due: u64, row: Row, diff: i64) {
        let bucket = self.buckets.entry(due >> BUCKET_BITS).or_insert_with(|| Bucket {
            first: u64::MAX,
            items: vec![],
            limit: 1024,
        });
        bucket.first = bucket.first.min(due);
        self.rows += 1;
        self.bytes += (size_of::<(u64, Row, i64)>() + row.heap()) as u64;
        bucket.items.push((due, row, diff));
        if bucket.items.len() >= bucket.limit {
            let (rows, bytes) = bucket.consolidate();
            self.rows -= rows;
            self.bytes -= bytes;
        }
    }
    /// Takes what is due at `now`, consolidated.
    pub fn take(&mut self, now: u64) -> Vec<(Row, i64)> {
        let mut out = vec![];
        while let Some(mut entry) = self.buckets.first_entry() {
            if entry.get().first > now {
                break;
            }
            if *entry.key() < now >> BUCKET_BITS {
                out.extend(entry.remove().items.into_iter().map(|(_, r, d)| (r, d)));
                continue;
            }
            let bucket = entry.get_mut();
            let (due, later): (Vec<_>, Vec<_>) =
                std::mem::take(&mut bucket.items).into_iter().partition(|(t, _, _)| *t <= now);
            out.extend(due.into_iter().map(|(_, r, d)| (r, d)));
            if later.is_empty() {
                entry.remove();
            } else {
                bucket.first = later.iter().map(|(t, _, _)| *t).min().unwrap_or(u64::MAX);
                bucket.items = later;
                break;
            }
        }
        for (row, _) in &out {
            self.rows -= 1;
            self.bytes -= (size_of::<(u64, Row, i64)>() + row.heap()) as u64;
        }
        differential_dataflow::consolidation::consolidate(&mut out);
        out
    }
    /// Tells the worker when the next change is due.
    pub fn publish(&self) {
        self.wake.set(self.buckets.first_key_value().map_or(u64::MAX, |(_, b)| b.first));
    }
    pub fn rows(&self) -> u64 {
        self.rows
    }
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl Bucket {
    /// Returns how many items and bytes went.
    fn consolidate(&mut self) -> (u64, u64) {
        let size = |items: &[(u64, Row, i64)]| {
            items.iter().map(|(_, r, _)| (size_of::<(u64, Row, i64)>() + r.heap()) as u64).sum::<u64>()
        };
        let (rows, bytes) = (self.items.len(), size(&self.items));
        let mut items: Vec<((u64, Row), i64)> =
            std::mem::take(&mut self.items).into_iter().map(|(t, r, d)| ((t, r), d)).collect();
        differential_dataflow::consolidation::consolidate(&mut items);
        self.items = items.into_iter().map(|((t, r), d)| (t, r, d)).collect();
        self.limit = (self.items.len() * 2).max(1024);
        ((rows - self.items.len()) as u64, bytes - size(&self.items))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn everything_comes_due_once_and_at_its_time(items in proptest::collection::vec((0u64..200_000, 0u8..4, prop_oneof![Just(1i64), Just(-1)]), 0..300), steps in proptest::collection::vec(1u64..50_000, 1..20)) {
            let wake = Rc::new(Cell::new(0));
            let mut due = Due::new(wake.clone());
            for (t, r, d) in &items { due.push(*t, Row::new(&[*r]), *d); }
            let mut now = 0;
            for (taken, s) in steps.into_iter().enumerate() {
                let until = now + s;
                due.publish();
                let first = items.iter().map(|x| x.0).filter(|t| *t > now || taken == 0).min();
                if taken == 0 { prop_assert_eq!(wake.get(), first.unwrap_or(u64::MAX)); }
                let mut expected: Vec<(Row, i64)> = items.iter().filter(|x| (taken == 0 || x.0 > now) && x.0 <= until).map(|x| (Row::new(&[x.1]), x.2)).collect();
                differential_dataflow::consolidation::consolidate(&mut expected);
                prop_assert_eq!(due.take(until), expected);
                now = until;
            }
        }
    }
}
