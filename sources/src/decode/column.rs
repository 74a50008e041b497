//! Columns that grow row by row and can take the last rows back.
//!
//! Arrow's own builders cannot drop a row once it is appended, which a row that fails in its fourth field needs.

use super::nested::{Lists, Structs};
use super::unit::Unit;
use super::validity::Validity;
use arrow::array::{
    ArrayRef, ArrowPrimitiveType, BinaryArray, BooleanArray, BooleanBufferBuilder, PrimitiveArray, StringArray,
};
use arrow::buffer::{OffsetBuffer, ScalarBuffer};
use arrow::datatypes::*;
use jarvis_spec::schema::TYPE_KEY;
use std::borrow::Cow;
use std::sync::Arc;

/// A column keeps at most this many rows' worth of memory for the next batch.
const KEPT_ROWS: usize = 8192;

/// What every kind of column can do.
pub(crate) trait Cells {
    fn len(&self) -> usize;
    fn push_null(&mut self);
    /// A value that means nothing, for a row in which the column is not read.
    fn push_placeholder(&mut self);
    /// Drops the rows from `len` on.
    fn truncate(&mut self, len: usize);
    /// All rows as an array; the column is empty afterwards.
    fn finish(&mut self) -> ArrayRef;
}

/// A column under construction, by the types of the language.
#[derive(Debug)]
pub(crate) enum Column {
    Bool(Bools),
    Int8(Numbers<Int8Type>),
    Int16(Numbers<Int16Type>),
    Int32(Numbers<Int32Type>),
    Int64(Numbers<Int64Type>),
    UInt8(Numbers<UInt8Type>),
    UInt16(Numbers<UInt16Type>),
    UInt32(Numbers<UInt32Type>),
    UInt64(Numbers<UInt64Type>),
    Float32(Numbers<Float32Type>),
    Float64(Numbers<Float64Type>),
    /// With its precision and scale.
    Decimal(Numbers<Decimal128Type>, u8, i8),
    Text(Texts<true>),
    /// JSON of any shape, as text.
    Json(Texts<true>),
    Binary(Texts<false>),
    Date(Numbers<Date32Type>),
    /// µs since the epoch, read from numbers in this unit.
    Timestamp(Numbers<TimestampMicrosecondType>, Unit),
    Interval(Numbers<IntervalMonthDayNanoType>),
    List(Box<Lists>),
    Struct(Box<Structs>),
}

/// Runs the same code on whichever kind of column it is.
macro_rules! on_cells {
    ($column:expr, $cells:ident => $run:expr) => {
        match $column {
            Column::Bool($cells) => $run,
            Column::Int8($cells) => $run,
            Column::Int16($cells) => $run,
            Column::Int32($cells) => $run,
            Column::Int64($cells) => $run,
            Column::UInt8($cells) => $run,
            Column::UInt16($cells) => $run,
            Column::UInt32($cells) => $run,
            Column::UInt64($cells) => $run,
            Column::Float32($cells) => $run,
            Column::Float64($cells) => $run,
            Column::Decimal($cells, ..) => $run,
            Column::Text($cells) | Column::Json($cells) => $run,
            Column::Binary($cells) => $run,
            Column::Date($cells) => $run,
            Column::Timestamp($cells, _) => $run,
            Column::Interval($cells) => $run,
            Column::List($cells) => $run,
            Column::Struct($cells) => $run,
        }
    };
}

/// A type that no column of a pipeline has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("column `{column}`: the type {data_type} cannot be read from text")]
pub struct UnsupportedType {
    pub column: String,
    pub data_type: DataType,
}

impl Column {
    pub fn new(field: &Field) -> Result<Self, UnsupportedType> {
        Ok(match field.data_type() {
            DataType::Boolean => Self::Bool(Bools::default()),
            DataType::Int8 => Self::Int8(Numbers::default()),
            DataType::Int16 => Self::Int16(Numbers::default()),
            DataType::Int32 => Self::Int32(Numbers::default()),
            DataType::Int64 => Self::Int64(Numbers::default()),
            DataType::UInt8 => Self::UInt8(Numbers::default()),
            DataType::UInt16 => Self::UInt16(Numbers::default()),
            DataType::UInt32 => Self::UInt32(Numbers::default()),
            DataType::UInt64 => Self::UInt64(Numbers::default()),
            DataType::Float32 => Self::Float32(Numbers::default()),
            DataType::Float64 => Self::Float64(Numbers::default()),
            DataType::Decimal128(precision, scale) => Self::Decimal(Numbers::default(), *precision, *scale),
            DataType::Utf8 if holds_json(field) => Self::Json(Texts::default()),
            DataType::Utf8 => Self::Text(Texts::default()),
            DataType::Binary => Self::Binary(Texts::default()),
            DataType::Date32 => Self::Date(Numbers::default()),
            DataType::Timestamp(TimeUnit::Microsecond, None) => Self::Timestamp(Numbers::default(), Unit::of(field)),
            DataType::Interval(IntervalUnit::MonthDayNano) => Self::Interval(Numbers::default()),
            DataType::List(item) => Self::List(Box::new(Lists::new(item)?)),
            DataType::Struct(fields) => Self::Struct(Box::new(Structs::new(fields)?)),
            other => return Err(UnsupportedType { column: field.name().clone(), data_type: other.clone() }),
        })
    }

    /// The type in the words of the language.
    pub fn type_name(&self) -> Cow<'static, str> {
        Cow::Borrowed(match self {
            Self::Bool(_) => "bool",
            Self::Int8(_) => "int8",
            Self::Int16(_) => "int16",
            Self::Int32(_) => "int32",
            Self::Int64(_) => "int64",
            Self::UInt8(_) => "uint8",
            Self::UInt16(_) => "uint16",
            Self::UInt32(_) => "uint32",
            Self::UInt64(_) => "uint64",
            Self::Float32(_) => "float32",
            Self::Float64(_) => "float64",
            Self::Decimal(_, precision, scale) => return Cow::Owned(format!("decimal({precision},{scale})")),
            Self::Text(_) => "utf8",
            Self::Json(_) => "json",
            Self::Binary(_) => "binary",
            Self::Date(_) => "date",
            Self::Timestamp(..) => "timestamp",
            Self::Interval(_) => "interval",
            Self::List(_) => "list",
            Self::Struct(_) => "struct",
        })
    }

    #[inline]
    pub fn len(&self) -> usize {
        on_cells!(self, cells => cells.len())
    }

    pub fn push_null(&mut self) {
        on_cells!(self, cells => cells.push_null());
    }

    pub fn push_placeholder(&mut self) {
        on_cells!(self, cells => cells.push_placeholder());
    }

    pub fn truncate(&mut self, len: usize) {
        on_cells!(self, cells => cells.truncate(len));
    }

    pub fn finish(&mut self) -> ArrayRef {
        match self {
            // Arrow checks the precision only when the type is set, and every value was checked when it was pushed.
            Self::Decimal(cells, precision, scale) => {
                Arc::new(cells.take().with_data_type(DataType::Decimal128(*precision, *scale)))
            }
            _ => on_cells!(self, cells => cells.finish()),
        }
    }
}

/// Whether a text column holds JSON.
pub(crate) fn holds_json(field: &Field) -> bool {
    field.metadata().get(TYPE_KEY).is_some_and(|name| name == "json")
}

/// Values of a fixed size.
#[derive(Debug)]
pub(crate) struct Numbers<T: ArrowPrimitiveType> {
    values: Vec<T::Native>,
    validity: Validity,
}

impl<T: ArrowPrimitiveType> Default for Numbers<T> {
    fn default() -> Self {
        Self { values: Vec::new(), validity: Validity::default() }
    }
}

impl<T: ArrowPrimitiveType> Numbers<T> {
    #[inline]
    pub fn push(&mut self, value: T::Native) {
        self.values.push(value);
        self.validity.push_valid();
    }

    fn take(&mut self) -> PrimitiveArray<T> {
        let values = replace(&mut self.values);
        PrimitiveArray::new(ScalarBuffer::from(values), self.validity.finish())
    }
}

/// Takes a vector and leaves an empty one that has room for about as many values.
pub(crate) fn replace<V>(values: &mut Vec<V>) -> Vec<V> {
    let room = values.len().min(KEPT_ROWS);
    std::mem::replace(values, Vec::with_capacity(room))
}

impl<T: ArrowPrimitiveType> Cells for Numbers<T> {
    #[inline]
    fn len(&self) -> usize {
        self.values.len()
    }
    fn push_null(&mut self) {
        self.validity.push_null(self.values.len());
        self.values.push(T::default_value());
    }
    fn push_placeholder(&mut self) {
        self.push(T::default_value());
    }
    fn truncate(&mut self, len: usize) {
        self.values.truncate(len);
        self.validity.truncate(len);
    }
    fn finish(&mut self) -> ArrayRef {
        Arc::new(self.take())
    }
}

/// Truth values, packed.
#[derive(Debug)]
pub(crate) struct Bools {
    values: BooleanBufferBuilder,
    validity: Validity,
}

impl Default for Bools {
    fn default() -> Self {
        Self { values: BooleanBufferBuilder::new(0), validity: Validity::default() }
    }
}

impl Bools {
    pub fn push(&mut self, value: bool) {
        self.values.append(value);
        self.validity.push_valid();
    }
}

impl Cells for Bools {
    fn len(&self) -> usize {
        self.values.len()
    }
    fn push_null(&mut self) {
        self.validity.push_null(self.values.len());
        self.values.append(false);
    }
    fn push_placeholder(&mut self) {
        self.push(false);
    }
    fn truncate(&mut self, len: usize) {
        if self.values.len() > len {
            self.values.truncate(len);
        }
        self.validity.truncate(len);
    }
    fn finish(&mut self) -> ArrayRef {
        Arc::new(BooleanArray::new(self.values.finish(), self.validity.finish()))
    }
}

/// Values of any length: text (`TEXT`) or bytes.
#[derive(Debug)]
pub(crate) struct Texts<const TEXT: bool> {
    values: Vec<u8>,
    /// Where each value ends in `values`; never above `i32::MAX`, which is what Arrow's offsets hold.
    ends: Vec<i32>,
    validity: Validity,
}

impl<const TEXT: bool> Default for Texts<TEXT> {
    fn default() -> Self {
        Self { values: Vec::new(), ends: Vec::new(), validity: Validity::default() }
    }
}

/// The batch is full: its values would be longer than Arrow's offsets count.
#[derive(Debug)]
pub(crate) struct BatchFull;

impl Texts<true> {
    #[inline]
    pub fn push(&mut self, text: &str) -> Result<(), BatchFull> {
        self.push_bytes(text.as_bytes())
    }
}

impl Texts<false> {
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), BatchFull> {
        self.push_bytes(bytes)
    }
}

impl<const TEXT: bool> Texts<TEXT> {
    #[inline]
    fn push_bytes(&mut self, bytes: &[u8]) -> Result<(), BatchFull> {
        let end = i32::try_from(self.values.len() + bytes.len()).map_err(|_| BatchFull)?;
        self.values.extend_from_slice(bytes);
        self.ends.push(end);
        self.validity.push_valid();
        Ok(())
    }

    fn end(&self) -> i32 {
        self.ends.last().copied().unwrap_or(0)
    }
}

impl<const TEXT: bool> Cells for Texts<TEXT> {
    #[inline]
    fn len(&self) -> usize {
        self.ends.len()
    }
    fn push_null(&mut self) {
        self.validity.push_null(self.ends.len());
        self.ends.push(self.end());
    }
    fn push_placeholder(&mut self) {
        self.ends.push(self.end());
        self.validity.push_valid();
    }
    fn truncate(&mut self, len: usize) {
        self.ends.truncate(len);
        self.values.truncate(self.end() as usize);
        self.validity.truncate(len);
    }
    fn finish(&mut self) -> ArrayRef {
        let offsets = offsets(replace(&mut self.ends));
        let values = std::mem::take(&mut self.values);
        self.values.reserve(values.len().min(KEPT_ROWS * 32));
        let nulls = self.validity.finish();
        if TEXT {
            Arc::new(StringArray::new(offsets, values.into(), nulls))
        } else {
            Arc::new(BinaryArray::new(offsets, values.into(), nulls))
        }
    }
}

/// Arrow's offsets from the ends of the values.
pub(crate) fn offsets(ends: Vec<i32>) -> OffsetBuffer<i32> {
    let mut offsets = Vec::with_capacity(ends.len() + 1);
    offsets.push(0);
    offsets.extend_from_slice(&ends);
    OffsetBuffer::new(ScalarBuffer::from(offsets))
}
