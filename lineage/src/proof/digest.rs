//! The digest of a stream's rows: the same wherever they are kept.
//!
//! SHA-256 over, for each row, `01`, its time and its weight (8 bytes each, little endian), and its values in the order of
//! columns. Before the first row, and where columns change, `00` and the columns: for each the length of its name (4
//! bytes), its name, and its type likewise. A value is `00` if it is null; else `01` and then its bytes: numbers in their
//! own width, little endian; times as 8 bytes; texts, binaries and lists with their length (4 bytes) before them; a struct
//! as its values.

use super::StreamLeaf;
use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Date64Type, Decimal128Type, Decimal256Type, DurationMicrosecondType,
    DurationMillisecondType, DurationNanosecondType, DurationSecondType, Float32Type, Float64Type, Int8Type, Int16Type,
    Int32Type, Int64Type, IntervalDayTimeType, IntervalMonthDayNanoType, IntervalUnit, IntervalYearMonthType,
    SchemaRef, Time32MillisecondType, Time32SecondType, Time64MicrosecondType, Time64NanosecondType, TimeUnit,
    TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType, ToByteSlice,
    UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use sha2::{Digest, Sha256};
use std::fmt::Write;

/// Bytes that are digested at once.
const CHUNK: usize = 1 << 16;

/// Writes a value of a column, given its row.
type Cell<'a> = Box<dyn Fn(usize, &mut Vec<u8>) + 'a>;

/// The digest of the rows so far.
#[derive(Default)]
pub struct StreamDigest {
    hash: Sha256,
    rows: u64,
    schema: Option<SchemaRef>,
    /// What is still to be digested.
    buffer: Vec<u8>,
}

impl StreamDigest {
    /// Adds rows that came at a time.
    pub fn rows(&mut self, time: u64, rows: &RecordBatch, diffs: &[i64]) {
        if self.schema.as_ref() != Some(rows.schema_ref()) {
            self.columns(rows.schema_ref());
        }
        let cells: Vec<Cell<'_>> = rows.columns().iter().map(|column| cell(column.as_ref())).collect();
        for (row, diff) in diffs.iter().enumerate() {
            self.begin(time, *diff);
            cells.iter().for_each(|cell| cell(row, &mut self.buffer));
            self.take(CHUNK);
        }
    }

    /// Adds a row that has one column, a time, and came once.
    pub fn number(&mut self, time: u64, value: u64) {
        self.begin(time, 1);
        self.buffer.extend(value.to_le_bytes());
        self.take(CHUNK);
    }

    pub fn leaf(&self) -> StreamLeaf {
        let mut sha256 = String::with_capacity(64);
        for byte in self.hash.clone().chain_update(&self.buffer).finalize() {
            // Writing to a text does not fail.
            let _ = write!(sha256, "{byte:02x}");
        }
        StreamLeaf { rows: self.rows, sha256 }
    }

    fn begin(&mut self, time: u64, diff: i64) {
        self.rows += 1;
        self.buffer.push(1);
        self.buffer.extend(time.to_le_bytes());
        self.buffer.extend(diff.to_le_bytes());
    }

    fn columns(&mut self, schema: &SchemaRef) {
        // What may be null or has other metadata is the same column.
        let names = |s: &SchemaRef| {
            let mut text = vec![];
            for field in s.fields() {
                put(field.name().as_bytes(), &mut text);
                put(type_name(field.data_type()).as_bytes(), &mut text);
            }
            text
        };
        let columns = names(schema);
        if self.schema.as_ref().is_none_or(|old| names(old) != columns) {
            self.buffer.push(0);
            self.buffer.extend(columns);
        }
        self.schema = Some(schema.clone());
    }

    fn take(&mut self, at_least: usize) {
        if self.buffer.len() >= at_least {
            self.hash.update(&self.buffer);
            self.buffer.clear();
        }
    }
}

fn put(bytes: &[u8], out: &mut Vec<u8>) {
    // Arrow's own lengths end at 2^31.
    out.extend((bytes.len() as u32).to_le_bytes());
    out.extend(bytes);
}

/// Names of types, which do not depend on how Arrow keeps them.
fn type_name(of: &DataType) -> String {
    use DataType as T;
    match of {
        T::Utf8 | T::LargeUtf8 | T::Utf8View => "text".to_owned(),
        T::Binary | T::LargeBinary | T::BinaryView | T::FixedSizeBinary(_) => "binary".to_owned(),
        T::Timestamp(unit, _) => format!("timestamp({unit})"),
        T::Date32 => "date".to_owned(),
        T::Date64 => "date(ms)".to_owned(),
        T::Time32(unit) | T::Time64(unit) => format!("time({unit})"),
        T::Duration(unit) => format!("duration({unit})"),
        T::Interval(_) => "interval".to_owned(),
        T::Decimal128(p, s) | T::Decimal256(p, s) => format!("decimal({p},{s})"),
        T::Dictionary(_, value) => type_name(value),
        T::List(item) | T::LargeList(item) | T::FixedSizeList(item, _) => {
            format!("list({})", type_name(item.data_type()))
        }
        T::Struct(fields) => {
            let fields: Vec<String> =
                fields.iter().map(|f| format!("{}: {}", f.name(), type_name(f.data_type()))).collect();
            format!("struct({})", fields.join(", "))
        }
        T::Boolean => "bool".to_owned(),
        T::Float32 => "float32".to_owned(),
        T::Float64 => "float64".to_owned(),
        T::Int8 => "int8".to_owned(),
        T::Int16 => "int16".to_owned(),
        T::Int32 => "int32".to_owned(),
        T::Int64 => "int64".to_owned(),
        T::UInt8 => "uint8".to_owned(),
        T::UInt16 => "uint16".to_owned(),
        T::UInt32 => "uint32".to_owned(),
        T::UInt64 => "uint64".to_owned(),
        other => format!("{other:?}"),
    }
}

fn cell(column: &dyn Array) -> Cell<'_> {
    let value = value(column);
    if column.logical_null_count() == 0 {
        return Box::new(move |row, out| {
            out.push(1);
            value(row, out);
        });
    }
    let nulls = column.logical_nulls();
    Box::new(move |row, out| {
        let is_null = nulls.as_ref().is_some_and(|nulls| nulls.is_null(row));
        out.push(u8::from(!is_null));
        if !is_null {
            value(row, out);
        }
    })
}

/// Numbers in their own width.
fn number<T: ArrowPrimitiveType>(column: &dyn Array) -> Cell<'_> {
    let values = column.as_primitive::<T>().values();
    Box::new(move |row, out| out.extend(values[row].to_byte_slice()))
}

/// Times in 8 bytes.
fn time<'a, T: ArrowPrimitiveType>(column: &'a dyn Array) -> Cell<'a>
where
    i64: From<T::Native>,
{
    let values = column.as_primitive::<T>().values();
    Box::new(move |row, out| out.extend(i64::from(values[row]).to_le_bytes()))
}

fn value(column: &dyn Array) -> Cell<'_> {
    use DataType as T;
    use TimeUnit::{Microsecond, Millisecond, Nanosecond, Second};
    match column.data_type() {
        T::Null => Box::new(|_, _| {}),
        T::Boolean => {
            let values = column.as_boolean();
            Box::new(move |row, out| out.push(u8::from(values.value(row))))
        }
        T::Int8 => number::<Int8Type>(column),
        T::Int16 => number::<Int16Type>(column),
        T::Int32 => number::<Int32Type>(column),
        T::Int64 => number::<Int64Type>(column),
        T::UInt8 => number::<UInt8Type>(column),
        T::UInt16 => number::<UInt16Type>(column),
        T::UInt32 => number::<UInt32Type>(column),
        T::UInt64 => number::<UInt64Type>(column),
        T::Float32 => number::<Float32Type>(column),
        T::Float64 => number::<Float64Type>(column),
        T::Decimal128(..) => number::<Decimal128Type>(column),
        T::Decimal256(..) => number::<Decimal256Type>(column),
        T::Date32 => time::<Date32Type>(column),
        T::Date64 => time::<Date64Type>(column),
        T::Time32(Second) => time::<Time32SecondType>(column),
        T::Time32(_) => time::<Time32MillisecondType>(column),
        T::Time64(Nanosecond) => time::<Time64NanosecondType>(column),
        T::Time64(_) => time::<Time64MicrosecondType>(column),
        T::Timestamp(Second, _) => time::<TimestampSecondType>(column),
        T::Timestamp(Millisecond, _) => time::<TimestampMillisecondType>(column),
        T::Timestamp(Microsecond, _) => time::<TimestampMicrosecondType>(column),
        T::Timestamp(Nanosecond, _) => time::<TimestampNanosecondType>(column),
        T::Duration(Second) => time::<DurationSecondType>(column),
        T::Duration(Millisecond) => time::<DurationMillisecondType>(column),
        T::Duration(Microsecond) => time::<DurationMicrosecondType>(column),
        T::Duration(Nanosecond) => time::<DurationNanosecondType>(column),
        T::Interval(IntervalUnit::YearMonth) => number::<IntervalYearMonthType>(column),
        T::Interval(IntervalUnit::DayTime) => number::<IntervalDayTimeType>(column),
        T::Interval(IntervalUnit::MonthDayNano) => number::<IntervalMonthDayNanoType>(column),
        T::Utf8 => {
            let values = column.as_string::<i32>();
            Box::new(move |row, out| put(values.value(row).as_bytes(), out))
        }
        T::LargeUtf8 => {
            let values = column.as_string::<i64>();
            Box::new(move |row, out| put(values.value(row).as_bytes(), out))
        }
        T::Utf8View => {
            let values = column.as_string_view();
            Box::new(move |row, out| put(values.value(row).as_bytes(), out))
        }
        T::Binary => {
            let values = column.as_binary::<i32>();
            Box::new(move |row, out| put(values.value(row), out))
        }
        T::LargeBinary => {
            let values = column.as_binary::<i64>();
            Box::new(move |row, out| put(values.value(row), out))
        }
        T::BinaryView => {
            let values = column.as_binary_view();
            Box::new(move |row, out| put(values.value(row), out))
        }
        T::FixedSizeBinary(_) => {
            let values = column.as_fixed_size_binary();
            Box::new(move |row, out| put(values.value(row), out))
        }
        T::List(_) => {
            let list = column.as_list::<i32>();
            let (offsets, item) = (list.value_offsets(), cell(list.values().as_ref()));
            Box::new(move |row, out| items(offsets[row] as usize..offsets[row + 1] as usize, &item, out))
        }
        T::LargeList(_) => {
            let list = column.as_list::<i64>();
            let (offsets, item) = (list.value_offsets(), cell(list.values().as_ref()));
            Box::new(move |row, out| items(offsets[row] as usize..offsets[row + 1] as usize, &item, out))
        }
        T::FixedSizeList(..) => {
            let list = column.as_fixed_size_list();
            let (length, item) = (list.value_length() as usize, cell(list.values().as_ref()));
            Box::new(move |row, out| items(row * length..(row + 1) * length, &item, out))
        }
        T::Struct(_) => {
            let cells: Vec<Cell<'_>> = column.as_struct().columns().iter().map(|c| cell(c.as_ref())).collect();
            Box::new(move |row, out| cells.iter().for_each(|cell| cell(row, out)))
        }
        T::Dictionary(..) => {
            let dictionary = column.as_any_dictionary();
            let (keys, values) = (dictionary.normalized_keys(), value(dictionary.values().as_ref()));
            Box::new(move |row, out| values(keys[row], out))
        }
        // The language has no other types; what a Parquet file may bring is digested as text.
        _ => Box::new(move |row, out| {
            let text = arrow::util::display::array_value_to_string(column, row);
            put(text.unwrap_or_default().as_bytes(), out);
        }),
    }
}

fn items(of: std::ops::Range<usize>, item: &Cell<'_>, out: &mut Vec<u8>) {
    out.extend((of.len() as u32).to_le_bytes());
    of.for_each(|i| item(i, out));
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{ArrayRef, DictionaryArray, Int64Array, StringArray, StringViewArray};
    use arrow::datatypes::Int32Type as Key;
    use std::sync::Arc;

    fn digest(parts: &[RecordBatch]) -> StreamLeaf {
        let mut digest = StreamDigest::default();
        for part in parts {
            digest.rows(7, part, &vec![1; part.num_rows()]);
        }
        digest.leaf()
    }

    fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
        RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, c)| (n, c, true))).unwrap()
    }

    #[test]
    fn how_rows_are_kept_does_not_matter() {
        let n: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), None, Some(3)]));
        let texts = [Some("a"), None, Some("bc")];
        let plain = batch(vec![("n", n.clone()), ("t", Arc::new(StringArray::from_iter(texts)))]);
        let view = batch(vec![("n", n.clone()), ("t", Arc::new(StringViewArray::from_iter(texts)))]);
        let dictionary = batch(vec![("n", n), ("t", Arc::new(texts.into_iter().collect::<DictionaryArray<Key>>()))]);
        let expected = digest(std::slice::from_ref(&plain));
        assert_eq!(expected.rows, 3);
        assert_eq!(digest(&[plain.slice(0, 1), plain.slice(1, 2)]), expected);
        assert_eq!(digest(&[view]), expected);
        assert_eq!(digest(&[dictionary]), expected);
    }

    #[test]
    fn whatever_is_altered_shows() {
        let rows =
            |name: &str, values: Vec<Option<&str>>| batch(vec![(name, Arc::new(StringArray::from(values)) as _)]);
        let all = [
            rows("t", vec![Some("a"), Some("b")]),
            rows("u", vec![Some("a"), Some("b")]),
            rows("t", vec![Some("ab"), Some("")]),
            rows("t", vec![Some("b"), Some("a")]),
            rows("t", vec![Some("a"), None]),
            rows("t", vec![Some("a"), Some("")]),
            rows("t", vec![Some("a")]),
        ];
        let digests: std::collections::BTreeSet<String> =
            all.iter().map(|rows| digest(std::slice::from_ref(rows)).sha256).collect();
        assert_eq!(digests.len(), all.len());
        let mut weighted = StreamDigest::default();
        weighted.rows(7, &all[0], &[1, -1]);
        let mut later = StreamDigest::default();
        later.rows(8, &all[0], &[1, 1]);
        assert!(!digests.contains(&weighted.leaf().sha256) && !digests.contains(&later.leaf().sha256));
    }
}
