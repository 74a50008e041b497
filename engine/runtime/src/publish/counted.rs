//! `as: events`: how many rows each identity has.

use super::event_id::event_id;
use super::identity::{Columns, by_identity};
use super::{As, Publication, Publish, RestoreError, Snapshot, What, times};
use crate::closed::ClosedBatch;
use crate::json_out::JsonRow;
use arrow::array::{ArrayRef, AsArray, Int64Array, UInt64Array};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef, UInt64Type};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use std::collections::HashMap;
use std::sync::Arc;

pub(super) struct Counted {
    scope: String,
    clear: bool,
    identity: Columns,
    /// Breaks ties between the rows of an identity.
    whole: Columns,
    /// Writes the identity for its id.
    json: JsonRow,
    live: HashMap<Box<[u8]>, Live>,
    /// Identity columns, `_count`, `_raised`.
    snapshot_schema: SchemaRef,
}

#[derive(Clone, Copy)]
struct Live {
    rows: i64,
    /// When the count last became positive, µs.
    raised: u64,
}

impl Counted {
    pub fn new(publish: &Publish, schema: &SchemaRef) -> Result<Self, ArrowError> {
        let all: Vec<usize> = (0..schema.fields().len()).collect();
        let indices = publish.identity.clone().unwrap_or_else(|| all.clone());
        let mut fields: Vec<_> = schema.project(&indices)?.fields().iter().cloned().collect();
        fields.push(Arc::new(Field::new("_count", DataType::Int64, false)));
        fields.push(Arc::new(Field::new("_raised", DataType::UInt64, false)));
        Ok(Self {
            scope: publish.scope.clone(),
            clear: publish.clear,
            json: JsonRow::of_columns(schema, &indices)?,
            identity: Columns::new(indices, schema)?,
            whole: Columns::new(all, schema)?,
            live: HashMap::new(),
            snapshot_schema: Arc::new(Schema::new(fields)),
        })
    }

    pub fn next(&mut self, batch: &ClosedBatch) -> Result<Vec<Publication>, ArrowError> {
        let identity = self.identity.encode(&batch.rows)?;
        let mut told = Vec::new();
        for (time, rows) in times(batch) {
            let mut raised = Vec::new();
            for (key, group) in by_identity(&identity, rows) {
                let change: i64 = group.iter().map(|r| batch.diffs[*r]).sum();
                let before = self.live.get(key).copied().unwrap_or(Live { rows: 0, raised: time });
                let after = before.rows + change;
                match (before.rows > 0, after > 0) {
                    (false, true) => raised.push(self.raise(batch, &group, time)?),
                    (true, false) if self.clear => told.push(self.clear(batch, &group, before.raised, time)?),
                    _ => {}
                }
                let since = if before.rows > 0 { before.raised } else { time };
                self.keep(key, Live { rows: after, raised: since });
            }
            told.append(&mut raised);
        }
        Ok(told)
    }

    fn keep(&mut self, key: &[u8], live: Live) {
        if live.rows == 0 {
            self.live.remove(key);
        } else if let Some(slot) = self.live.get_mut(key) {
            *slot = live;
        } else {
            self.live.insert(key.into(), live);
        }
    }

    fn raise(&self, batch: &ClosedBatch, group: &[usize], time: u64) -> Result<Publication, ArrowError> {
        let row = self.greatest(batch, group, |diff| diff > 0)?;
        let id = self.id("raised", batch, row, time);
        Ok(Publication { id: Some(id), ..Publication::plain(What::Raised, &batch.rows, row, time) })
    }

    fn clear(&self, batch: &ClosedBatch, group: &[usize], raised: u64, time: u64) -> Result<Publication, ArrowError> {
        let row = self.greatest(batch, group, |diff| diff < 0)?;
        let id = self.id("cleared", batch, row, time);
        let of = self.id("raised", batch, row, raised);
        Ok(Publication { id: Some(id), of: Some(of), ..Publication::plain(What::Cleared, &batch.rows, row, time) })
    }

    fn id(&self, what: &str, batch: &ClosedBatch, row: usize, time: u64) -> String {
        let mut identity = Vec::new();
        self.json.write(&batch.rows, row, &[], &mut identity);
        event_id(&self.scope, what, &identity, time)
    }

    /// The greatest row of a group among those whose diff is wanted; there is one, or the count would not have moved so.
    fn greatest(&self, batch: &ClosedBatch, group: &[usize], wanted: fn(i64) -> bool) -> Result<usize, ArrowError> {
        let rows: Vec<usize> = group.iter().copied().filter(|r| wanted(batch.diffs[*r])).collect();
        if let [only] = rows[..] {
            return Ok(only);
        }
        let few =
            arrow::compute::take_record_batch(&batch.rows, &rows.iter().map(|r| *r as u64).collect::<UInt64Array>())?;
        let bytes = self.whole.encode(&few)?;
        let last = (0..rows.len()).max_by(|a, b| bytes.get(*a).cmp(bytes.get(*b)));
        Ok(last.map_or(group[0], |i| rows[i]))
    }

    pub fn is_empty(&self) -> bool {
        self.live.is_empty()
    }

    pub fn snapshot(&self) -> Result<Snapshot, ArrowError> {
        let mut live: Vec<_> = self.live.iter().collect();
        live.sort_by_key(|(key, _)| *key);
        let mut columns = self.identity.decode(live.iter().map(|(key, _)| &***key))?;
        columns.push(Arc::new(live.iter().map(|(_, l)| l.rows).collect::<Int64Array>()) as ArrayRef);
        columns.push(Arc::new(live.iter().map(|(_, l)| l.raised).collect::<UInt64Array>()));
        Snapshot::new(As::Events, &RecordBatch::try_new(self.snapshot_schema.clone(), columns)?)
    }

    pub fn restore(&mut self, snapshot: &Snapshot) -> Result<(), RestoreError> {
        let columns = self.identity.indices().len();
        let identity = Columns::new((0..columns).collect(), &self.snapshot_schema)?;
        let mut live = HashMap::new();
        for rows in snapshot.rows(&self.snapshot_schema)? {
            let bytes = identity.encode(&rows)?;
            let counts = rows.column(columns).as_primitive::<Int64Type>();
            let raised = rows.column(columns + 1).as_primitive::<UInt64Type>();
            for row in 0..rows.num_rows() {
                live.insert(bytes.get(row).into(), Live { rows: counts.value(row), raised: raised.value(row) });
            }
        }
        self.live = live;
        Ok(())
    }
}
