//! Columns ⇄ row bytes. The encoding of columns (a, b) is the encoding of a followed by that of b, so choosing and
//! joining columns of encoded rows is a copy of slices; nothing is decoded for it.

use crate::row::Row;
use arrow::array::{ArrayRef, AsArray, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{DataType, Float32Type, Float64Type, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::row::{RowConverter, RowParser, SortField};

/// Encodes and decodes rows of one list of column types.
pub struct Codec {
    converter: RowConverter,
    parser: RowParser,
    schema: SchemaRef,
}

impl Codec {
    /// # Errors
    /// A type that `arrow-row` has no encoding for; planning refuses those.
    pub fn new(schema: SchemaRef) -> Result<Self, ArrowError> {
        let fields = schema.fields().iter().map(|f| SortField::new(f.data_type().clone())).collect();
        let converter = RowConverter::new(fields)?;
        Ok(Codec { parser: converter.parser(), converter, schema })
    }
    /// Like [`Codec::new`], for an order other than ascending with nulls first: (descending, nulls first) per column.
    pub fn ordered(schema: SchemaRef, order: &[(bool, bool)]) -> Result<Self, ArrowError> {
        let options = |(descending, nulls_first): (bool, bool)| arrow::compute::SortOptions { descending, nulls_first };
        let fields = schema
            .fields()
            .iter()
            .zip(order)
            .map(|(f, o)| SortField::new_with_options(f.data_type().clone(), options(*o)))
            .collect();
        let converter = RowConverter::new(fields)?;
        Ok(Codec { parser: converter.parser(), converter, schema })
    }
    pub fn of(schema: &Schema, columns: &[usize]) -> Result<Self, ArrowError> {
        Self::new(schema.project(columns)?.into())
    }
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }
    /// How the rows that this codec makes are laid out.
    pub fn layout(&self) -> Layout {
        let types = self.schema.fields().iter().map(|f| f.data_type());
        Layout::of(types).expect("planning refuses columns that cannot be sliced")
    }
    pub fn encode(&self, columns: &[ArrayRef], rows: usize) -> Result<Vec<Row>, ArrowError> {
        if columns.is_empty() {
            return Ok(vec![Row::default(); rows]);
        }
        let encoded = self.converter.convert_columns(columns)?;
        Ok(encoded.iter().map(|r| Row::new(r.data())).collect())
    }
    /// The rows as one buffer; for hot loops that need no [`Row`] each. Needs at least one column.
    pub fn encode_flat(&self, columns: &[ArrayRef]) -> Result<arrow::row::Rows, ArrowError> {
        self.converter.convert_columns(columns)
    }
    pub fn decode<'a>(&self, rows: impl Iterator<Item = &'a [u8]>) -> Result<Vec<ArrayRef>, ArrowError> {
        if self.schema.fields().is_empty() {
            return Ok(vec![]);
        }
        let columns = self.converter.convert_rows(rows.map(|r| self.parser.parse(r)))?;
        Ok(columns.into_iter().map(quiet_nulls).collect())
    }
    pub fn decode_batch<'a>(
        &self,
        rows: impl Iterator<Item = &'a [u8]>,
        count: usize,
    ) -> Result<RecordBatch, ArrowError> {
        let columns = self.decode(rows)?;
        RecordBatch::try_new_with_options(
            self.schema.clone(),
            columns,
            &RecordBatchOptions::new().with_row_count(Some(count)),
        )
    }
}

/// Zero under the nulls of times. Decoding leaves the least value of all there, and functions that compute before they
/// look whether a value is null overflow on it.
fn quiet_nulls(column: ArrayRef) -> ArrayRef {
    use arrow::array::{Array, AsArray, PrimitiveArray};
    use arrow::datatypes::{Date32Type, TimeUnit, TimestampMicrosecondType};
    if column.null_count() == 0 {
        return column;
    }
    match column.data_type() {
        DataType::Timestamp(TimeUnit::Microsecond, None) => {
            let zeroed: PrimitiveArray<TimestampMicrosecondType> =
                column.as_primitive::<TimestampMicrosecondType>().iter().collect();
            std::sync::Arc::new(zeroed)
        }
        DataType::Date32 => {
            std::sync::Arc::new(column.as_primitive::<Date32Type>().iter().collect::<PrimitiveArray<Date32Type>>())
        }
        _ => column,
    }
}

/// Floats with one zero and one not-a-number. SQL holds 0.0 and -0.0 for equal, and so must keys that are compared as
/// bytes; where every column that enters or is computed is brought to this form, bytes are equal where values are.
/// Floats inside of lists and structs stay as they are.
pub fn canonical(column: ArrayRef) -> ArrayRef {
    fn odd(bits: u64, negative_zero: u64, is_nan: bool, nan: u64) -> bool {
        bits == negative_zero || (is_nan && bits != nan)
    }
    match column.data_type() {
        DataType::Float64 => {
            let floats = column.as_primitive::<Float64Type>();
            if !floats.values().iter().any(|v| odd(v.to_bits(), (-0.0f64).to_bits(), v.is_nan(), f64::NAN.to_bits())) {
                return column;
            }
            std::sync::Arc::new(floats.unary::<_, Float64Type>(|v| if v.is_nan() { f64::NAN } else { v + 0.0 }))
        }
        DataType::Float32 => {
            let floats = column.as_primitive::<Float32Type>();
            if !floats
                .values()
                .iter()
                .any(|v| odd(v.to_bits().into(), (-0.0f32).to_bits().into(), v.is_nan(), f32::NAN.to_bits().into()))
            {
                return column;
            }
            std::sync::Arc::new(floats.unary::<_, Float32Type>(|v| if v.is_nan() { f32::NAN } else { v + 0.0 }))
        }
        _ => column,
    }
}

/// How the bytes of one column are laid out (the format that `arrow-row` documents), as far as needed to find its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Width {
    Fixed(usize),
    /// Strings and byte strings: a tag, then blocks.
    Variable,
    /// Lists: the elements, each laid out as a byte string, and an empty byte string; or the tag of a null.
    List,
    /// A tag, then the members.
    Struct(Vec<Width>),
}

impl Width {
    /// `None`: the type has no layout that can be sliced.
    pub fn of(t: &DataType) -> Option<Width> {
        use DataType::*;
        Some(match t {
            Null => Width::Fixed(0),
            Boolean => Width::Fixed(2),
            Utf8 | LargeUtf8 | Utf8View | Binary | LargeBinary | BinaryView => Width::Variable,
            List(_) | LargeList(_) => Width::List,
            Struct(fields) => Width::Struct(fields.iter().map(|f| Width::of(f.data_type())).collect::<Option<_>>()?),
            t => Width::Fixed(1 + t.primitive_width()?),
        })
    }
    /// The end of the column that starts at `at`.
    #[inline]
    pub fn end(&self, row: &[u8], at: usize) -> usize {
        match self {
            Width::Fixed(n) => at + n,
            Width::Variable => end_of_blocks(row, at),
            nested => nested.end_of_nested(row, at),
        }
    }
    /// Apart from the usual ones, which it would keep from being inlined.
    fn end_of_nested(&self, row: &[u8], at: usize) -> usize {
        match self {
            Width::List => end_of_list(row, at),
            Width::Struct(members) => members.iter().fold(at + 1, |at, m| m.end(row, at)),
            usual => usual.end(row, at),
        }
    }
}

/// Whether two short byte strings are the same, without the call that the general comparison is.
#[inline]
pub fn is_same(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() || !(8..=16).contains(&a.len()) {
        return a == b;
    }
    // The first and the last eight bytes, which overlap.
    let words = |x: &[u8]| Some((*x.first_chunk::<8>()?, *x.last_chunk::<8>()?));
    words(a) == words(b)
}

/// Elements are never empty, so the first empty byte string (tag 1) is the end; tag 0 is a null list.
fn end_of_list(row: &[u8], mut at: usize) -> usize {
    while row[at] > 1 {
        at = end_of_blocks(row, at);
    }
    at + 1
}

/// A tag (2 = there are bytes), then up to four blocks of 8 and after them blocks of 32 bytes; each is followed by 255 if
/// another one follows, else by the number of bytes used.
#[inline]
fn end_of_blocks(row: &[u8], at: usize) -> usize {
    const NON_EMPTY: u8 = 2;
    const MORE: u8 = 0xff;
    if row[at] != NON_EMPTY {
        return at + 1;
    }
    let mut at = at + 1;
    for _ in 0..4 {
        at += 9;
        if row[at - 1] != MORE {
            return at;
        }
    }
    loop {
        at += 33;
        if row[at - 1] != MORE {
            return at;
        }
    }
}

/// The columns of one row layout.
#[derive(Clone, Debug)]
pub struct Layout {
    widths: Vec<Width>,
    /// Where columns start as long as all before them have a fixed width; at least the first.
    starts: Vec<usize>,
}

impl Layout {
    /// `None`: a column has no layout that can be sliced.
    pub fn of<'a>(types: impl Iterator<Item = &'a DataType>) -> Option<Layout> {
        let widths: Vec<Width> = types.map(Width::of).collect::<Option<_>>()?;
        let mut starts = vec![0];
        for width in &widths {
            let Width::Fixed(n) = width else { break };
            starts.push(starts[starts.len() - 1] + n);
        }
        Some(Layout { widths, starts })
    }
    /// Number of columns.
    pub fn len(&self) -> usize {
        self.widths.len()
    }
    pub fn is_empty(&self) -> bool {
        self.widths.is_empty()
    }
    pub fn width(&self, i: usize) -> &Width {
        &self.widths[i]
    }
    /// Where column `i` starts, which is where column `i - 1` ends; `i` may be the number of columns.
    #[inline]
    pub fn start(&self, row: &[u8], i: usize) -> usize {
        match self.starts.get(i) {
            Some(start) => *start,
            None => {
                let known = self.starts.len() - 1;
                self.widths[known..i].iter().fold(self.starts[known], |at, w| w.end(row, at))
            }
        }
    }
    /// The bytes of column `i`.
    #[inline]
    pub fn column<'a>(&self, row: &'a [u8], i: usize) -> &'a [u8] {
        let start = self.start(row, i);
        &row[start..self.widths[i].end(row, start)]
    }
}

/// Some columns of encoded rows, in an order of its own.
#[derive(Clone, Debug)]
pub struct Picker {
    layout: Layout,
    columns: Vec<usize>,
    /// Columns that lie next to each other are copied at once: (first, one past the last).
    runs: Vec<(usize, usize)>,
}

impl Picker {
    pub fn new(layout: Layout, columns: &[usize]) -> Self {
        let mut runs: Vec<(usize, usize)> = vec![];
        for column in columns {
            match runs.last_mut() {
                Some((_, end)) if *end == *column => *end += 1,
                _ => runs.push((*column, column + 1)),
            }
        }
        Picker { layout, columns: columns.to_vec(), runs }
    }
    /// The row of the picked columns; `scratch` is used where they do not lie together.
    #[inline]
    pub fn pick<'a>(&self, row: &'a [u8], scratch: &'a mut Vec<u8>) -> &'a [u8] {
        let slice = |(first, end): (usize, usize)| {
            let start = self.layout.start(row, first);
            &row[start..self.layout.widths[first..end].iter().fold(start, |at, w| w.end(row, at))]
        };
        if let [one] = self.runs[..] {
            return slice(one);
        }
        scratch.clear();
        for run in &self.runs {
            scratch.extend_from_slice(slice(*run));
        }
        scratch
    }
    /// Whether one of the picked columns is null.
    #[inline]
    pub fn any_null(&self, row: &[u8]) -> bool {
        // The first byte of a null is 0 in every encoding that ascends with nulls first.
        self.columns.iter().any(|c| self.layout.column(row, *c).first().is_none_or(|tag| *tag == 0))
    }
}

/// A 64-bit integer or timestamp out of an encoded row.
pub fn read_i64(row: &[u8], layout: &Layout, column: usize) -> Option<i64> {
    let bytes = layout.column(row, column);
    let value = u64::from_be_bytes(bytes.get(1..9)?.try_into().ok()?);
    (bytes[0] == 1).then_some((value ^ (1 << 63)) as i64)
}

/// Moves a 64-bit integer or timestamp of an encoded row down by `by`; a null stays one.
pub fn lower_i64(row: &mut [u8], layout: &Layout, column: usize, by: u64) {
    let start = layout.start(row, column);
    if let [1, bytes @ ..] = &mut row[start..]
        && let Some(bytes) = bytes.first_chunk_mut::<8>()
    {
        // The encoding adds 2^63, which takes part in no difference.
        *bytes = u64::from_be_bytes(*bytes).wrapping_sub(by).to_be_bytes();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::*;
    use arrow::datatypes::Field;
    use proptest::prelude::*;
    use std::sync::Arc;

    proptest! {
        #[test]
        fn integers_are_lowered_in_their_place(name in ".{0,40}", value in proptest::option::of(-1_000i64..i64::MAX), by in 0u64..1_000) {
            let types = [DataType::Utf8, DataType::Int64, DataType::Boolean];
            let schema = Schema::new(types.map(|t| Field::new("c", t, true)).to_vec());
            let codec = Codec::new(schema.into()).unwrap();
            let row = |value: Option<i64>| {
                let columns: Vec<ArrayRef> = vec![
                    Arc::new(StringArray::from(vec![name.clone()])),
                    Arc::new(Int64Array::from(vec![value])),
                    Arc::new(BooleanArray::from(vec![true])),
                ];
                codec.encode(&columns, 1).unwrap().remove(0).bytes().to_vec()
            };
            let mut lowered = row(value);
            lower_i64(&mut lowered, &codec.layout(), 1, by);
            prop_assert_eq!(lowered, row(value.map(|v| v - by as i64)));
        }
        #[test]
        fn the_same_are_equal(a in proptest::collection::vec(0u8..2, 0..20), b in proptest::collection::vec(0u8..2, 0..20), at in 0usize..20) {
            prop_assert_eq!(is_same(&a, &b), a == b);
            let mut other = a.clone();
            if let Some(byte) = other.get_mut(at) { *byte ^= 1; }
            prop_assert_eq!(is_same(&a, &other), a == other);
        }
        #[test]
        fn slices_of_a_row_are_the_encodings_of_its_columns(
            rows in proptest::collection::vec((proptest::option::of(any::<i64>()), proptest::option::of(".{0,80}"), any::<f64>(), proptest::option::of(any::<bool>()), proptest::collection::vec(any::<i32>(), 0..20)), 1..20)
        ) {
            let mut lists = ListBuilder::new(Int32Builder::new());
            for r in &rows { lists.append_value(r.4.iter().map(|x| Some(*x))); }
            let columns: Vec<ArrayRef> = vec![
                Arc::new(rows.iter().map(|r| r.0).collect::<Int64Array>()),
                Arc::new(rows.iter().map(|r| r.1.clone()).collect::<StringArray>()),
                Arc::new(rows.iter().map(|r| Some(r.2)).collect::<Float64Array>()),
                Arc::new(rows.iter().map(|r| r.3).collect::<BooleanArray>()),
                Arc::new(lists.finish()),
            ];
            let schema = Schema::new(columns.iter().map(|c| Field::new("c", c.data_type().clone(), true)).collect::<Vec<_>>());
            let whole = Codec::new(schema.clone().into()).unwrap();
            let layout = Layout::of(schema.fields().iter().map(|f| f.data_type())).unwrap();
            let encoded = whole.encode(&columns, rows.len()).unwrap();
            for (i, column) in columns.iter().enumerate() {
                let alone = Codec::of(&schema, &[i]).unwrap().encode(std::slice::from_ref(column), rows.len()).unwrap();
                for (row, one) in encoded.iter().zip(&alone) {
                    prop_assert_eq!(layout.column(row.bytes(), i), one.bytes());
                }
            }
            let back = whole.decode(encoded.iter().map(Row::bytes)).unwrap();
            prop_assert_eq!(back, columns);
        }
    }
}
