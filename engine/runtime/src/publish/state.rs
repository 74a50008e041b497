//! `as: state`: the greatest row of each identity.

use super::identity::{Columns, by_identity};
use super::{As, Publication, Publish, RestoreError, Snapshot, What, times};
use crate::closed::ClosedBatch;
use arrow::array::{ArrayRef, AsArray, Int64Array};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

pub(super) struct Latest {
    identity: Columns,
    /// All columns, those of the identity first: the bytes of an identity are a prefix of the bytes of its rows, so
    /// one ordered map holds every identity's rows side by side.
    whole: Columns,
    schema: SchemaRef,
    /// Copies of each row.
    rows: BTreeMap<Box<[u8]>, i64>,
    /// The columns in the order of `whole`, `_count`.
    snapshot_schema: SchemaRef,
}

impl Latest {
    pub fn new(publish: &Publish, schema: &SchemaRef) -> Result<Self, ArrowError> {
        let all = 0..schema.fields().len();
        let identity = publish.identity.clone().unwrap_or_else(|| all.clone().collect());
        let rest = all.filter(|c| !identity.contains(c));
        let order: Vec<usize> = identity.iter().copied().chain(rest).collect();
        let mut fields: Vec<_> = schema.project(&order)?.fields().iter().cloned().collect();
        fields.push(Arc::new(Field::new("_count", DataType::Int64, false)));
        Ok(Self {
            identity: Columns::new(identity, schema)?,
            whole: Columns::new(order, schema)?,
            schema: schema.clone(),
            rows: BTreeMap::new(),
            snapshot_schema: Arc::new(Schema::new(fields)),
        })
    }

    pub fn next(&mut self, batch: &ClosedBatch) -> Result<Vec<Publication>, ArrowError> {
        let identity = self.identity.encode(&batch.rows)?;
        let whole = self.whole.encode(&batch.rows)?;
        let mut told = Vec::new();
        // Puts of rows that this batch does not hold: they came earlier and were not the greatest.
        let mut earlier: Vec<(usize, Box<[u8]>)> = Vec::new();
        for (time, rows) in times(batch) {
            let mut puts = Vec::new();
            for (key, group) in by_identity(&identity, rows) {
                let before = self.greatest(key).map(Box::<[u8]>::from);
                for row in &group {
                    self.add(whole.get(*row), batch.diffs[*row]);
                }
                let after = self.greatest(key);
                if after == before.as_deref() {
                    continue;
                }
                let in_batch = |bytes: &[u8]| group.iter().copied().find(|r| whole.get(*r) == bytes);
                match (after, before) {
                    (Some(after), _) => puts.push(in_batch(after).ok_or_else(|| Box::from(after))),
                    (None, Some(before)) => {
                        let row = in_batch(&before).unwrap_or(group[0]);
                        told.push(Publication::plain(What::Remove, &batch.rows, row, time));
                    }
                    (None, None) => {}
                }
            }
            for put in puts {
                let row = put.unwrap_or_else(|bytes| {
                    earlier.push((told.len(), bytes));
                    0
                });
                told.push(Publication::plain(What::Put, &batch.rows, row, time));
            }
        }
        self.fill_in(&mut told, &earlier)?;
        Ok(told)
    }

    fn fill_in(&self, told: &mut [Publication], earlier: &[(usize, Box<[u8]>)]) -> Result<(), ArrowError> {
        if earlier.is_empty() {
            return Ok(());
        }
        let decoded = self.whole.decode(earlier.iter().map(|(_, bytes)| &**bytes))?;
        let mut columns: Vec<(usize, ArrayRef)> = self.whole.indices().iter().copied().zip(decoded).collect();
        columns.sort_by_key(|(index, _)| *index);
        let rows = RecordBatch::try_new(self.schema.clone(), columns.into_iter().map(|(_, c)| c).collect())?;
        for (row, (publication, _)) in earlier.iter().enumerate() {
            told[*publication].rows = rows.clone();
            told[*publication].row = row;
        }
        Ok(())
    }

    fn add(&mut self, bytes: &[u8], diff: i64) {
        match self.rows.get_mut(bytes) {
            Some(count) => {
                *count += diff;
                if *count == 0 {
                    self.rows.remove(bytes);
                }
            }
            None => {
                self.rows.insert(bytes.into(), diff);
            }
        }
    }

    /// The greatest row of an identity.
    fn greatest(&self, identity: &[u8]) -> Option<&[u8]> {
        let end = after_prefix(identity);
        let end = end.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let mut rows = self.rows.range::<[u8], _>((Bound::Included(identity), end));
        rows.rfind(|(_, count)| **count > 0).map(|(bytes, _)| &**bytes)
    }

    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    pub fn snapshot(&self) -> Result<Snapshot, ArrowError> {
        let mut columns = self.whole.decode(self.rows.keys().map(|bytes| &**bytes))?;
        columns.push(Arc::new(self.rows.values().copied().collect::<Int64Array>()));
        Snapshot::new(As::State, &RecordBatch::try_new(self.snapshot_schema.clone(), columns)?)
    }

    pub fn restore(&mut self, snapshot: &Snapshot) -> Result<(), RestoreError> {
        let columns = self.whole.indices().len();
        let whole = Columns::new((0..columns).collect(), &self.snapshot_schema)?;
        let mut restored = BTreeMap::new();
        for rows in snapshot.rows(&self.snapshot_schema)? {
            let bytes = whole.encode(&rows)?;
            let counts = rows.column(columns).as_primitive::<Int64Type>();
            restored.extend((0..rows.num_rows()).map(|r| (bytes.get(r).into(), counts.value(r))));
        }
        self.rows = restored;
        Ok(())
    }
}

/// The first bytes after all those that start with a prefix; `None` = there are none.
fn after_prefix(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|byte| *byte != 0xff)?;
    let mut end = prefix[..=last].to_vec();
    end[last] += 1;
    Some(end)
}
