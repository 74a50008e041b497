//! Before the exchange: a batch, added up per group.

use super::{Layout, Plan};
use crate::delta::Delta;
use crate::ops::{Shared, map::report};
use crate::row::{Row, hash};
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray};
use arrow::compute::cast;
use datafusion::common::DataFusionError;
use hashbrown::HashTable;
use serde::{Deserialize, Serialize};
use std::rc::Rc;

/// Groups of one time that belong to one worker, column by column.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Partial {
    pub worker: u32,
    pub time: u64,
    pub keys: Vec<Row>,
    /// `layout.words` per key.
    pub words: Vec<i64>,
    /// (position in `keys`, bag, value, weight)
    pub values: Vec<(u32, u16, Row, i64)>,
}

/// Groups that are being added up: by key and time, in a hash table that makes a row only for a new group.
#[derive(Default)]
pub struct Gathered {
    /// Key, time and hash of the key.
    keys: Vec<(Row, u64, u64)>,
    table: HashTable<u32>,
}

#[inline]
fn mix(place: u64, time: u64) -> u64 {
    place ^ time.wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

impl Gathered {
    /// The number of the group of a key at a time.
    #[inline]
    pub fn group(&mut self, key: &[u8], time: u64) -> u32 {
        let place = hash(key);
        let keys = &mut self.keys;
        let found = self.table.find(mix(place, time), |g| {
            let (k, t, _) = &keys[*g as usize];
            *t == time && k.bytes() == key
        });
        if let Some(group) = found {
            return *group;
        }
        let group = keys.len() as u32;
        keys.push((Row::new(key), time, place));
        self.table.insert_unique(mix(place, time), group, |g| mix(keys[*g as usize].2, keys[*g as usize].1));
        group
    }
    pub fn len(&self) -> usize {
        self.keys.len()
    }
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }
    /// Deals the groups out, to all their windows, by time and by the worker that owns them; groups that add up to
    /// nothing are left out unless values go with them.
    pub fn deal(
        self,
        layout: &Layout,
        workers: usize,
        words: &[i64],
        values: Vec<(u32, u16, Row, i64)>,
        out: &mut Vec<Partial>,
    ) {
        let (stride, windows) = (layout.words, layout.windows());
        let mut dealt = Dealt { first: out.len(), workers, stride, out };
        let keep_zero = !values.is_empty();
        let mut places = Vec::with_capacity(self.keys.len() * windows);
        for (i, (key, time, hashed)) in self.keys.into_iter().enumerate() {
            let words = &words[i * stride..(i + 1) * stride];
            if !keep_zero && words.iter().all(|w| *w == 0) {
                continue;
            }
            let mut group = (key, hashed);
            for _ in 1..windows {
                let before = layout.window_before(&group.0);
                let placed = hash(before.bytes());
                places.push(dealt.add(std::mem::replace(&mut group, (before, placed)), time, words));
            }
            places.push(dealt.add(group, time, words));
        }
        for (group, bag, row, diff) in values {
            for (at, position) in &places[group as usize * windows..][..windows] {
                dealt.out[*at].values.push((*position, bag, row.clone(), diff));
            }
        }
    }
}

/// Groups on their way into partials.
struct Dealt<'a> {
    out: &'a mut Vec<Partial>,
    /// The first partial of this batch.
    first: usize,
    workers: usize,
    /// Words per group.
    stride: usize,
}

impl Dealt<'_> {
    /// Which partial, and which of its keys, a group (key, hash of the key) has become.
    #[inline]
    fn add(&mut self, (key, hash): (Row, u64), time: u64, words: &[i64]) -> (usize, u32) {
        let worker = (hash as usize % self.workers) as u32;
        // A batch holds few times, in order, so the last partials are the ones wanted.
        let found = self.out[self.first..].iter().rposition(|p| p.time == time && p.worker == worker);
        let at = found.map_or(self.out.len(), |p| self.first + p);
        if found.is_none() {
            self.out.push(Partial { worker, time, ..Default::default() });
        }
        let partial = &mut self.out[at];
        partial.keys.push(key);
        partial.words.extend_from_slice(&words[..self.stride]);
        (at, partial.keys.len() as u32 - 1)
    }
}

/// Adds up batches.
pub struct Partials {
    layout: Rc<Layout>,
    workers: usize,
    shared: Shared,
    ready: Vec<Partial>,
}

impl Partials {
    pub fn new(layout: Rc<Layout>, workers: usize, shared: Shared) -> Self {
        Partials { layout, workers, shared, ready: vec![] }
    }
    pub fn take(&mut self) -> Vec<Partial> {
        std::mem::take(&mut self.ready)
    }
    /// Adds a batch; rows that do not fit an aggregate are reported and left out.
    pub fn add(&mut self, delta: &Delta) {
        let grouped = Grouped::new(&self.layout, delta);
        let mut words = vec![0i64; grouped.groups.len() * self.layout.words];
        let failed = self.add_words(delta, &grouped, &mut words);
        if !failed.is_empty() {
            self.retry(delta, failed);
            return;
        }
        let values = self.values(delta, &grouped);
        grouped.groups.deal(&self.layout, self.workers, &words, values, &mut self.ready);
    }
    fn retry(&mut self, delta: &Delta, failed: Vec<usize>) {
        let bad = delta.take(&failed).expect("positions lie within the batch");
        let error = DataFusionError::Execution("a value of 2^125 or more does not fit a sum".into());
        report(&self.layout.owner, self.layout.on_error, &bad, &error, &self.shared);
        let good: BooleanArray = (0..delta.len()).map(|i| Some(!failed.contains(&i))).collect();
        let rest = delta.filter(&good).expect("the mask is as long as the batch");
        if !rest.is_empty() {
            self.add(&rest);
        }
    }
    fn add_words(&self, delta: &Delta, grouped: &Grouped, words: &mut [i64]) -> Vec<usize> {
        let stride = self.layout.words;
        let mut failed = vec![];
        for (group, diff) in grouped.of_row.iter().zip(&delta.diffs) {
            words[*group as usize * stride] += diff;
        }
        for (call, plan) in &self.layout.calls {
            let Plan::Sum { sum, at } = plan else { continue };
            if *at == 0 {
                continue;
            }
            let column = call.argument.map(|a| {
                let given = delta.rows.column(a);
                let wanted = sum.column(given.data_type());
                if *given.data_type() == wanted {
                    given.clone()
                } else {
                    cast(given, &wanted).expect("a widening cast")
                }
            });
            let mask = call.filter.map(|f| delta.rows.column(f).clone());
            let mut target =
                super::words::Target { words, stride, at: *at, groups: &grouped.of_row, diffs: &delta.diffs };
            failed.extend(super::words::add(*sum, column.as_ref(), keep(mask.as_ref()), &mut target));
        }
        failed.sort_unstable();
        failed.dedup();
        failed
    }
    fn values(&self, delta: &Delta, grouped: &Grouped) -> Vec<(u32, u16, Row, i64)> {
        let mut out = vec![];
        for (call, plan) in &self.layout.calls {
            let (bag, codec, keeps_nulls) = match plan {
                Plan::Sum { .. } => continue,
                Plan::Bag { bag, codec, keeps_nulls } => (*bag, codec, *keeps_nulls),
                Plan::Best { bag, codec, .. } => (*bag, codec, false),
            };
            let columns: Vec<ArrayRef> = call
                .order
                .iter()
                .map(|o| o.column)
                .chain(call.argument)
                .map(|c| delta.rows.column(c).clone())
                .collect();
            let argument = call.argument.map(|a| delta.rows.column(a).clone());
            let mask = call.filter.map(|f| delta.rows.column(f).clone());
            let counts = keep(mask.as_ref());
            let best = matches!(plan, Plan::Best { .. });
            let rows = codec.encode(&columns, delta.len()).expect("planning refuses values that cannot be encoded");
            let mut found = vec![];
            for (i, row) in rows.into_iter().enumerate() {
                let null = argument.as_ref().is_some_and(|a| a.is_null(i));
                if (!null || keeps_nulls) && counts(i) {
                    found.push((grouped.of_row[i], bag as u16, row, delta.diffs[i]));
                }
            }
            if let (true, Plan::Best { greatest, .. }) = (best, plan) {
                found = best_of_each(found, grouped.groups.len(), *greatest);
            }
            out.append(&mut found);
        }
        out
    }
}

/// A filter of an aggregate: rows where it is true.
fn keep(mask: Option<&ArrayRef>) -> impl Fn(usize) -> bool {
    let mask = mask.map(|m| m.as_boolean().clone());
    move |i| mask.as_ref().is_none_or(|m| m.is_valid(i) && m.value(i))
}

fn best_of_each(values: Vec<(u32, u16, Row, i64)>, groups: usize, greatest: bool) -> Vec<(u32, u16, Row, i64)> {
    let mut best: Vec<Option<(u32, u16, Row, i64)>> = vec![None; groups];
    for value in values {
        let held = &mut best[value.0 as usize];
        if held.as_ref().is_none_or(|h| (value.2 > h.2) == greatest && value.2 != h.2) {
            *held = Some(value);
        }
    }
    best.into_iter().flatten().collect()
}

/// Which group each row of a batch belongs to.
struct Grouped {
    groups: Gathered,
    of_row: Vec<u32>,
}

impl Grouped {
    fn new(layout: &Layout, delta: &Delta) -> Self {
        let columns = delta.columns(&layout.keys);
        let mut groups = Gathered::default();
        let of_row = if columns.is_empty() {
            delta.times.iter().map(|t| groups.group(&[], *t)).collect()
        } else {
            let rows = layout.key_codec.encode_flat(&columns).expect("planning refuses keys that cannot be encoded");
            rows.iter().zip(&delta.times).map(|(row, time)| groups.group(row.data(), *time)).collect()
        };
        Grouped { groups, of_row }
    }
}
