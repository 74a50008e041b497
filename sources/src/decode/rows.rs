//! The batch that decoders fill: columns, weights and errors.

use super::column::{Column, UnsupportedType};
use super::fault::{Fault, Outcome, shown};
use super::text;
use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;
use jarvis_runtime::arrival::{Decoded, RowError};

/// Rows of one stream under construction. A row is open from the first value pushed until it is settled.
pub(crate) struct Rows {
    schema: SchemaRef,
    columns: Vec<Column>,
    /// Per column: may it be null, is it part of the key.
    nullable: Vec<bool>,
    key: Vec<bool>,
    keyed: bool,
    /// Settled rows.
    len: usize,
    /// As long as every row is +1, nothing is kept.
    weights: Option<Vec<i64>>,
    errors: Vec<RowError>,
    bytes: u64,
    /// Columns of the open row that are null and must not be, unless the row is a removal.
    nulls: Vec<usize>,
    /// Fields of the input that no column takes.
    pub extra_fields: u64,
}

impl Rows {
    pub fn new(schema: SchemaRef, key: &[usize]) -> Result<Self, UnsupportedType> {
        let columns = schema.fields().iter().map(|field| Column::new(field)).collect::<Result<Vec<_>, _>>()?;
        Ok(Self {
            nullable: schema.fields().iter().map(|field| field.is_nullable()).collect(),
            key: (0..columns.len()).map(|column| key.contains(&column)).collect(),
            keyed: !key.is_empty(),
            schema,
            columns,
            len: 0,
            weights: None,
            errors: Vec::new(),
            bytes: 0,
            nulls: Vec::new(),
            extra_fields: 0,
        })
    }

    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn errors(&self) -> usize {
        self.errors.len()
    }

    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    pub fn is_keyed(&self) -> bool {
        self.keyed
    }

    /// The column for the open row's value; a value that it had already is dropped.
    #[inline]
    pub fn column_again(&mut self, index: usize) -> &mut Column {
        let column = &mut self.columns[index];
        if column.len() > self.len {
            column.truncate(self.len);
            self.nulls.retain(|column| *column != index);
        }
        column
    }

    /// The open row's value is null; whether it may be is known when the row is complete.
    pub fn push_null(&mut self, index: usize) {
        if self.nullable[index] {
            self.columns[index].push_null();
        } else {
            self.columns[index].push_placeholder();
            self.nulls.push(index);
        }
    }

    /// Reads a text into a column of the open row.
    pub fn push_text(&mut self, index: usize, value: &str) -> Outcome<()> {
        text::push(self.column_again(index), value).map_err(|fault| fault.in_field(self.schema.field(index).name()))
    }

    /// Bytes as they are into a binary column of the open row.
    pub fn push_bytes(&mut self, index: usize, bytes: &[u8]) -> Outcome<()> {
        match self.column_again(index) {
            Column::Binary(cells) => Ok(cells.push(bytes)?),
            other => Err(Fault::wrong_type(&other.type_name(), "bytes")),
        }
    }

    /// The weight that `_diff` says.
    pub fn diff(&self, diff: i64) -> Outcome<i64> {
        match diff {
            1 => Ok(1),
            -1 if !self.keyed => Ok(-1),
            -1 => {
                let message = "-1 has no meaning in a stream with a key: send the key with `_deleted: true`";
                Err(Fault::new("wrong_change", message).in_field("_diff"))
            }
            _ => Err(Fault::new("out_of_range", format!("expected 1 or -1, found {diff}")).in_field("_diff")),
        }
    }

    /// The weight that `_deleted` says.
    pub fn deleted(&self, deleted: bool) -> Outcome<i64> {
        match (deleted, self.keyed) {
            (false, _) => Ok(1),
            (true, true) => Ok(-1),
            (true, false) => {
                let message = "true has no meaning in a stream without a key: send the whole row with `_diff: -1`";
                Err(Fault::new("wrong_change", message).in_field("_deleted"))
            }
        }
    }

    /// The open row has its last value. Ends it: all or nothing of it stays.
    #[inline]
    pub fn settle(&mut self, read: Outcome<i64>, input: &[u8]) {
        self.bytes += input.len() as u64;
        if let Err(fault) = read.and_then(|weight| self.complete(weight)) {
            self.roll_back(*fault, input);
        }
    }

    #[allow(clippy::boxed_local, reason = "the decoders hold it boxed: a fault is rare and large")]
    /// A row that was not even opened.
    pub fn reject(&mut self, fault: Box<Fault>, input: &[u8]) {
        self.bytes += input.len() as u64;
        self.errors.push(fault.into_error(input));
    }

    /// Something went wrong that is not about one row's text.
    pub fn push_error(&mut self, code: &'static str, message: String, input: &[u8]) {
        self.errors.push(RowError { code, message, input: shown(input) });
    }

    #[inline]
    fn complete(&mut self, weight: i64) -> Outcome<()> {
        // Of a removal only the key is read.
        let removal = self.keyed && weight < 0;
        if !self.nulls.is_empty() {
            if let Some(index) = self.nulls.iter().find(|index| !removal || self.key[**index]) {
                return Err(Fault::null(self.schema.field(*index).name()));
            }
            self.nulls.clear();
        }
        for (index, column) in self.columns.iter_mut().enumerate() {
            if column.len() > self.len {
                continue;
            }
            if self.nullable[index] {
                column.push_null();
            } else if removal && !self.key[index] {
                column.push_placeholder();
            } else {
                return Err(Fault::missing(self.schema.field(index).name()));
            }
        }
        if weight != 1 {
            self.weights.get_or_insert_with(|| vec![1; self.len]);
        }
        if let Some(weights) = &mut self.weights {
            weights.push(weight);
        }
        self.len += 1;
        Ok(())
    }

    #[cold]
    fn roll_back(&mut self, fault: Fault, input: &[u8]) {
        for column in &mut self.columns {
            column.truncate(self.len);
        }
        self.nulls.clear();
        self.errors.push(fault.into_error(input));
    }

    /// Everything since the last call; empty afterwards.
    pub fn finish(&mut self) -> Decoded {
        let columns: Vec<ArrayRef> = self.columns.iter_mut().map(Column::finish).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(self.len));
        let rows = RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)
            // The columns were made from this schema, are equally long, and null only where it allows that.
            .expect("columns fit the schema they were made from");
        self.len = 0;
        Decoded {
            rows,
            weights: self.weights.take(),
            errors: std::mem::take(&mut self.errors),
            bytes: std::mem::take(&mut self.bytes),
        }
    }
}
