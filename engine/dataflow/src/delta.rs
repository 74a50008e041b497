//! Changes of a collection in columns: what travels between stateless steps.

use arrow::array::{ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions, UInt64Array};
use arrow::compute::{concat_batches, filter_record_batch, take_record_batch};
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;

/// Rows, each with the time (µs since the epoch) and the weight of its change.
#[derive(Clone, Debug)]
pub struct Delta {
    pub rows: RecordBatch,
    pub times: Vec<u64>,
    pub diffs: Vec<i64>,
}

impl Delta {
    pub fn new(rows: RecordBatch, times: Vec<u64>, diffs: Vec<i64>) -> Self {
        debug_assert_eq!(rows.num_rows(), times.len());
        debug_assert_eq!(rows.num_rows(), diffs.len());
        Delta { rows, times, diffs }
    }
    /// All rows at one time, each with weight 1.
    pub fn inserts(rows: RecordBatch, time: u64) -> Self {
        let n = rows.num_rows();
        Delta { rows, times: vec![time; n], diffs: vec![1; n] }
    }
    pub fn len(&self) -> usize {
        self.diffs.len()
    }
    pub fn is_empty(&self) -> bool {
        self.diffs.is_empty()
    }
    /// Some of the columns, by position.
    pub fn columns(&self, positions: &[usize]) -> Vec<ArrayRef> {
        positions.iter().map(|c| self.rows.column(*c).clone()).collect()
    }
    /// The same changes of other columns.
    pub fn with_columns(&self, schema: SchemaRef, columns: Vec<ArrayRef>) -> Result<Delta, ArrowError> {
        let options = RecordBatchOptions::new().with_row_count(Some(self.len()));
        Ok(Delta {
            rows: RecordBatch::try_new_with_options(schema, columns, &options)?,
            times: self.times.clone(),
            diffs: self.diffs.clone(),
        })
    }
    /// The same rows with one form for each float, see [`crate::columns::canonical`].
    pub fn canonical(self) -> Delta {
        if !self.rows.schema_ref().fields().iter().any(|f| f.data_type().is_floating()) {
            return self;
        }
        let columns = self.rows.columns().iter().cloned().map(crate::columns::canonical).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(self.rows.num_rows()));
        let rows = RecordBatch::try_new_with_options(self.rows.schema(), columns, &options);
        Delta { rows: rows.expect("the columns keep their types and lengths"), ..self }
    }
    /// The rows for which `keep` is true (null is not).
    pub fn filter(&self, keep: &BooleanArray) -> Result<Delta, ArrowError> {
        let rows = filter_record_batch(&self.rows, keep)?;
        let mut times = Vec::with_capacity(rows.num_rows());
        let mut diffs = Vec::with_capacity(rows.num_rows());
        for (i, kept) in keep.iter().enumerate() {
            if kept == Some(true) {
                times.push(self.times[i]);
                diffs.push(self.diffs[i]);
            }
        }
        Ok(Delta { rows, times, diffs })
    }
    /// The rows at `indices`, in that order.
    pub fn take(&self, indices: &[usize]) -> Result<Delta, ArrowError> {
        let positions: UInt64Array = indices.iter().map(|i| *i as u64).collect();
        let taken = if self.rows.num_columns() == 0 {
            // Arrow counts the rows of a batch by its columns, and here are none.
            let options = RecordBatchOptions::new().with_row_count(Some(indices.len()));
            RecordBatch::try_new_with_options(self.rows.schema(), vec![], &options)?
        } else {
            take_record_batch(&self.rows, &positions)?
        };
        Ok(Delta {
            rows: taken,
            times: indices.iter().map(|i| self.times[*i]).collect(),
            diffs: indices.iter().map(|i| self.diffs[*i]).collect(),
        })
    }
    pub fn slice(&self, start: usize, len: usize) -> Delta {
        Delta {
            rows: self.rows.slice(start, len),
            times: self.times[start..start + len].to_vec(),
            diffs: self.diffs[start..start + len].to_vec(),
        }
    }
    pub fn concat(schema: &SchemaRef, deltas: &[Delta]) -> Result<Delta, ArrowError> {
        if let [one] = deltas {
            return Ok(one.clone());
        }
        Ok(Delta {
            rows: concat_batches(schema, deltas.iter().map(|d| &d.rows))?,
            times: deltas.iter().flat_map(|d| d.times.iter().copied()).collect(),
            diffs: deltas.iter().flat_map(|d| d.diffs.iter().copied()).collect(),
        })
    }
}
