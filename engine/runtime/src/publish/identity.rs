//! The columns that say what a row is about, as bytes that compare like the values.

use arrow::datatypes::Schema;
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use arrow::row::{RowConverter, Rows, SortField};

/// Reads some columns of a batch as row bytes.
pub(super) struct Columns {
    indices: Vec<usize>,
    converter: RowConverter,
}

/// The bytes of each row of a batch.
pub(super) enum Bytes {
    /// No columns: all rows are the same.
    Unit,
    Rows(Rows),
}

impl Columns {
    pub fn new(indices: Vec<usize>, schema: &Schema) -> Result<Self, ArrowError> {
        let fields = schema.project(&indices)?;
        let fields = fields.fields().iter().map(|f| SortField::new(f.data_type().clone())).collect();
        Ok(Self { indices, converter: RowConverter::new(fields)? })
    }

    pub fn indices(&self) -> &[usize] {
        &self.indices
    }

    pub fn encode(&self, batch: &RecordBatch) -> Result<Bytes, ArrowError> {
        if self.indices.is_empty() {
            return Ok(Bytes::Unit);
        }
        let columns: Vec<_> = self.indices.iter().map(|c| batch.column(*c).clone()).collect();
        Ok(Bytes::Rows(self.converter.convert_columns(&columns)?))
    }

    /// The columns, in the order of the indices, of rows that `encode` gave.
    pub fn decode<'a>(
        &self,
        rows: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<Vec<arrow::array::ArrayRef>, ArrowError> {
        if self.indices.is_empty() {
            return Ok(Vec::new());
        }
        let parser = self.converter.parser();
        self.converter.convert_rows(rows.into_iter().map(|bytes| parser.parse(bytes)))
    }
}

impl Bytes {
    pub fn get(&self, row: usize) -> &[u8] {
        match self {
            Self::Unit => &[],
            Self::Rows(rows) => rows.row(row).data(),
        }
    }
}

/// The rows of one time, grouped by identity, in the order of identity.
pub(super) fn by_identity(identity: &Bytes, rows: std::ops::Range<usize>) -> impl Iterator<Item = (&[u8], Vec<usize>)> {
    let mut order: Vec<usize> = rows.collect();
    order.sort_by(|a, b| identity.get(*a).cmp(identity.get(*b)));
    let mut start = 0;
    std::iter::from_fn(move || {
        let key = identity.get(*order.get(start)?);
        let end = start + order[start..].iter().take_while(|r| identity.get(**r) == key).count();
        let group = order[start..end].to_vec();
        start = end;
        Some((key, group))
    })
}
