//! `as: state`: the view as a table.

use super::place::Place;
use crate::worker::{BatchWriter, is_live};
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use arrow::row::{RowConverter, SortField};
use foldhash::fast::RandomState;
use hashbrown::HashMap;
use jarvis_runtime::closed::ClosedBatch;
use std::iter::repeat_n;
use std::time::{Duration, Instant};

/// How often the file is written anew, at most.
const PAUSE: Duration = Duration::from_secs(1);
/// Writing a large table takes at most this part of the time: one in ...
const SHARE: u32 = 20;
/// Rows that are turned into columns at once.
const ROWS: usize = 8192;

pub(super) struct Table {
    place: Place,
    schema: SchemaRef,
    converter: RowConverter,
    /// Copies of each row.
    rows: HashMap<Box<[u8]>, i64, RandomState>,
    /// When the file should be written anew: somebody may be watching it, and it is not what it should be.
    due: Option<Instant>,
    /// Not before.
    rest_until: Instant,
}

impl Table {
    pub fn open(place: Place, schema: &SchemaRef) -> anyhow::Result<Self> {
        let fields = schema.fields().iter().map(|field| SortField::new(field.data_type().clone()));
        let converter = RowConverter::new(fields.collect())?;
        // Found out now rather than after hours.
        drop(place.replace(schema)?);
        let rows = HashMap::default();
        Ok(Self { place, schema: schema.clone(), converter, rows, due: None, rest_until: Instant::now() + PAUSE })
    }

    fn apply(&mut self, batch: &ClosedBatch) -> Result<(), ArrowError> {
        let rows = self.converter.convert_columns(batch.rows.columns())?;
        for (row, diff) in rows.iter().zip(&batch.diffs) {
            let copies = match self.rows.get_mut(row.data()) {
                Some(copies) => {
                    *copies += diff;
                    *copies
                }
                None => {
                    self.rows.insert(row.data().into(), *diff);
                    *diff
                }
            };
            if copies == 0 {
                self.rows.remove(row.data());
            }
        }
        Ok(())
    }

    fn rewrite(&mut self) -> anyhow::Result<()> {
        let begun = Instant::now();
        let mut rows: Vec<(&[u8], i64)> = self.rows.iter().map(|(row, copies)| (&**row, *copies)).collect();
        rows.sort_unstable();
        let negative = rows.iter().filter(|(_, copies)| *copies < 0).count();
        if negative > 0 {
            tracing::error!(rows = negative, "the view takes back rows that it does not have: they are left out");
        }
        let mut lines = rows.iter().flat_map(|(row, copies)| repeat_n(*row, usize::try_from(*copies).unwrap_or(0)));
        let mut output = self.place.replace(&self.schema)?;
        let parser = self.converter.parser();
        loop {
            let some: Vec<_> = lines.by_ref().take(ROWS).map(|row| parser.parse(row)).collect();
            if some.is_empty() {
                break;
            }
            let columns = self.converter.convert_rows(some)?;
            output.write(&RecordBatch::try_new(self.schema.clone(), columns)?)?;
        }
        output.finish()?;
        self.due = None;
        self.rest_until = Instant::now() + PAUSE.max(begun.elapsed() * SHARE);
        Ok(())
    }
}

impl BatchWriter for Table {
    fn write(&mut self, batch: &ClosedBatch) -> anyhow::Result<()> {
        self.apply(batch)?;
        if self.due.is_none() && is_live(batch) && !batch.times.is_empty() {
            self.due = Some(self.rest_until.max(Instant::now()));
        }
        Ok(())
    }

    fn deadline(&self) -> Option<Instant> {
        self.due
    }

    fn on_deadline(&mut self) -> anyhow::Result<()> {
        self.rewrite()
    }

    fn finish(mut self: Box<Self>) -> anyhow::Result<()> {
        self.rewrite()
    }
}
