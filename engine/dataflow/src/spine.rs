//! Arrangements whose keys and values are byte strings, end to end in two flat buffers per batch: 80 bytes held for a
//! row of 57, where a vector of boxed rows holds 112.

use crate::row::Row;
use differential_dataflow::batcher::merge::{MergeBatcher, vec::VecMerger};
use differential_dataflow::consolidation::consolidate_updates;
use differential_dataflow::trace::implementations::ord_neu::{OrdValBatch, OrdValBuilder};
use differential_dataflow::trace::implementations::spine_fueled::Spine;
use differential_dataflow::trace::implementations::{BatchContainer, OffsetList};
use std::collections::VecDeque;
use std::rc::Rc;
use timely::container::{ContainerBuilder, PushInto};

/// Byte strings end to end.
pub struct Bytes {
    /// Where each string ends; the first entry is 0.
    ends: OffsetList,
    data: Vec<u8>,
}

impl Bytes {
    /// Bytes held, offsets included.
    pub fn size(&self) -> usize {
        self.data.capacity() + 4 * self.ends.len()
    }
    #[inline]
    fn push(&mut self, bytes: &[u8]) {
        self.data.extend_from_slice(bytes);
        self.ends.push(self.data.len());
    }
}

impl BatchContainer for Bytes {
    type Owned = Row;
    type ReadItem<'a> = &'a [u8];
    #[inline(always)]
    fn into_owned(item: &[u8]) -> Row {
        Row::new(item)
    }
    #[inline(always)]
    fn reborrow<'b, 'a: 'b>(item: &'a [u8]) -> &'b [u8] {
        item
    }
    #[inline]
    fn push_ref(&mut self, item: &[u8]) {
        self.push(item)
    }
    #[inline]
    fn push_own(&mut self, item: &Row) {
        self.push(item.bytes())
    }
    fn clear(&mut self) {
        self.ends.clear();
        self.ends.push(0);
        self.data.clear();
    }
    fn with_capacity(size: usize) -> Self {
        let mut ends = OffsetList::with_capacity(size + 1);
        ends.push(0);
        Bytes { ends, data: Vec::with_capacity(size * 16) }
    }
    fn merge_capacity(a: &Self, b: &Self) -> Self {
        let mut ends = OffsetList::with_capacity(a.ends.len() + b.ends.len());
        ends.push(0);
        Bytes { ends, data: Vec::with_capacity(a.data.len() + b.data.len()) }
    }
    #[inline(always)]
    fn index(&self, i: usize) -> &[u8] {
        &self.data[self.ends.index(i)..self.ends.index(i + 1)]
    }
    #[inline(always)]
    fn len(&self) -> usize {
        self.ends.len() - 1
    }
}
impl PushInto<Row> for Bytes {
    #[inline]
    fn push_into(&mut self, row: Row) {
        self.push(row.bytes())
    }
}
impl PushInto<&[u8]> for Bytes {
    #[inline]
    fn push_into(&mut self, row: &[u8]) {
        self.push(row)
    }
}

/// A row split into the columns of a key and the other columns, with time and weight.
pub type Keyed = ((Row, Row), u64, i64);

/// (keys, values, times, weights, offsets)
pub type ByteLayout = (Bytes, Bytes, Vec<u64>, Vec<i64>, OffsetList);
/// An immutable batch of an arrangement.
pub type ByteBatch = Rc<OrdValBatch<ByteLayout>>;
pub type ByteSpine = Spine<ByteBatch>;
pub type ByteBuilder = OrdValBuilder<ByteLayout, Vec<Keyed>>;
pub type ByteBatcher = MergeBatcher<SortedChunks, VecMerger<(Row, Row), u64, i64>, ByteBuilder>;

/// Updates that are sorted at once: a tick's worth. Containers hold about a hundred, and merging ten of them costs more
/// than sorting what is in them.
const CHUNK: usize = 4096;

/// Gathers updates into sorted chunks for a batcher.
#[derive(Default)]
pub struct SortedChunks {
    pending: Vec<Keyed>,
    ready: VecDeque<Vec<Keyed>>,
    /// The chunk that was handed out last.
    out: Vec<Keyed>,
}

impl SortedChunks {
    /// Sorts what is there; it becomes a chunk if it is still worth one.
    fn sort(&mut self, at_least: usize) {
        consolidate_updates(&mut self.pending);
        if self.pending.len() >= at_least {
            self.ready.push_back(std::mem::take(&mut self.pending));
        }
    }
    fn next(&mut self) -> Option<&mut Vec<Keyed>> {
        self.out = self.ready.pop_front()?;
        Some(&mut self.out)
    }
}

impl PushInto<&mut Vec<Keyed>> for SortedChunks {
    fn push_into(&mut self, updates: &mut Vec<Keyed>) {
        self.pending.append(updates);
        if self.pending.len() >= CHUNK {
            self.sort(CHUNK / 2);
        }
    }
}

impl ContainerBuilder for SortedChunks {
    type Container = Vec<Keyed>;
    fn extract(&mut self) -> Option<&mut Vec<Keyed>> {
        self.next()
    }
    fn finish(&mut self) -> Option<&mut Vec<Keyed>> {
        self.sort(1);
        self.next()
    }
}

/// How many updates and bytes a batch holds.
pub fn size(batch: &ByteBatch) -> (u64, u64) {
    let s = &batch.storage;
    let updates = s.upds.times.len();
    let bytes = s.keys.size() + s.vals.vals.size() + 4 * (s.vals.offs.len() + s.upds.offs.len()) + 16 * updates;
    (updates as u64, bytes as u64)
}
