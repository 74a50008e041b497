//! Rows as JSON text, written straight from the columns.
//!
//! | type | JSON |
//! |---|---|
//! | bool, integers, decimals | as they are, all digits |
//! | floats | the shortest text that reads back as the same number, `1.0` for one; `null` for NaN and infinities |
//! | text | a string |
//! | json | embedded; a string if it is not valid JSON |
//! | binary | base64 with padding (RFC 4648) |
//! | timestamp | RFC 3339 in UTC with as many digits of a second as it needs: `2026-11-22T10:00:00.5Z` |
//! | date, time | `2026-11-22`, `10:00:00.5` |
//! | interval, duration | ISO 8601: `P1M3DT4.5S` |
//! | list, struct, map | an array, an object, an object by key |
//! | null | `null`: a column is never left out |

mod number;
mod time;

pub use time::write_timestamp;

use arrow::array::{Array, ArrayRef, AsArray, downcast_dictionary_array};
use arrow::datatypes::*;
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use serde::Serialize;
use std::collections::HashSet;

/// A value beside the columns.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum JsonCell<'a> {
    Null,
    Bool(bool),
    Int(i64),
    Text(&'a str),
    /// µs since the epoch, written as a timestamp.
    Time(u64),
}

/// Writes rows of one schema as JSON objects.
#[derive(Clone, Debug)]
pub struct JsonRow {
    columns: Vec<Column>,
}

#[derive(Clone, Debug)]
struct Column {
    index: usize,
    name: Key,
    form: Form,
}

/// A name, escaped and with its colon.
#[derive(Clone, Debug)]
struct Key(Vec<u8>);

impl Key {
    fn new(name: &str) -> Self {
        let mut key = Vec::with_capacity(name.len() + 3);
        plain(name, &mut key);
        key.push(b':');
        Self(key)
    }
}

/// How a value is written, where its Arrow type alone does not say so or is nested.
#[derive(Clone, Debug)]
enum Form {
    Plain,
    Json,
    List(Box<Form>),
    Struct(Vec<(Key, Form)>),
    Map(Box<Form>),
    Dictionary(Box<Form>),
}

impl JsonRow {
    /// Writes every column.
    ///
    /// # Errors
    /// A column's type has no JSON form: unions, run-end encoding, maps whose keys are not text.
    pub fn new(schema: &Schema) -> Result<Self, ArrowError> {
        let all: Vec<usize> = (0..schema.fields().len()).collect();
        Self::of_columns(schema, &all)
    }

    /// Writes some columns, in the order given.
    ///
    /// # Errors
    /// As [`JsonRow::new`], and for an index outside the schema.
    pub fn of_columns(schema: &Schema, indices: &[usize]) -> Result<Self, ArrowError> {
        let column = |index: &usize| {
            let field = schema.fields().get(*index).ok_or_else(|| {
                ArrowError::SchemaError(format!("there is no column {index} among {}", schema.fields().len()))
            })?;
            Ok(Column { index: *index, name: Key::new(field.name()), form: Form::of(field)? })
        };
        Ok(Self { columns: indices.iter().map(column).collect::<Result<_, ArrowError>>()? })
    }

    /// Appends one row as an object: the extra values first, then the columns. The batch must have the schema's types.
    pub fn write(&self, batch: &RecordBatch, row: usize, extra: &[(&str, JsonCell)], out: &mut Vec<u8>) {
        out.push(b'{');
        let mut first = true;
        let mut comma = |out: &mut Vec<u8>| {
            if !std::mem::take(&mut first) {
                out.push(b',');
            }
        };
        for (name, cell) in extra {
            comma(out);
            plain(name, out);
            out.push(b':');
            cell.write(out);
        }
        for column in &self.columns {
            comma(out);
            out.extend_from_slice(&column.name.0);
            column.form.write(batch.column(column.index), row, out);
        }
        out.push(b'}');
    }

    /// Appends one value alone; `column` counts the columns that this writer writes.
    pub fn write_value(&self, batch: &RecordBatch, row: usize, column: usize, out: &mut Vec<u8>) {
        let column = &self.columns[column];
        column.form.write(batch.column(column.index), row, out);
    }
}

impl JsonCell<'_> {
    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Null => out.extend_from_slice(b"null"),
            Self::Bool(value) => plain(value, out),
            Self::Int(value) => plain(value, out),
            Self::Text(value) => plain(value, out),
            Self::Time(micros) => {
                out.push(b'"');
                write_timestamp(i64::try_from(*micros).unwrap_or(i64::MAX), out);
                out.push(b'"');
            }
        }
    }
}

/// Whether a text column is of the language's type `json`.
fn holds_json(field: &Field) -> bool {
    field.metadata().get(jarvis_spec::schema::TYPE_KEY).is_some_and(|name| name == "json")
}

impl Form {
    fn of(field: &Field) -> Result<Self, ArrowError> {
        use DataType::*;
        let nested = |field: &FieldRef| Ok::<_, ArrowError>(Box::new(Self::of(field)?));
        Ok(match field.data_type() {
            Utf8 | LargeUtf8 | Utf8View if holds_json(field) => Self::Json,
            List(item) | LargeList(item) | FixedSizeList(item, _) => Self::List(nested(item)?),
            Struct(fields) => Self::Struct(
                fields.iter().map(|f| Ok((Key::new(f.name()), Self::of(f)?))).collect::<Result<_, ArrowError>>()?,
            ),
            Map(entries, _) => match entries.data_type() {
                Struct(pair) if pair.len() == 2 && matches!(pair[0].data_type(), Utf8 | LargeUtf8 | Utf8View) => {
                    Self::Map(nested(&pair[1])?)
                }
                _ => return Err(no_form(field)),
            },
            Dictionary(_, values) => {
                let values = Field::new(field.name(), (**values).clone(), true).with_metadata(field.metadata().clone());
                Self::Dictionary(Box::new(Self::of(&values)?))
            }
            Union(..) | RunEndEncoded(..) | ListView(_) | LargeListView(_) => return Err(no_form(field)),
            _ => Self::Plain,
        })
    }

    fn write(&self, array: &ArrayRef, row: usize, out: &mut Vec<u8>) {
        if array.is_null(row) {
            return out.extend_from_slice(b"null");
        }
        match self {
            Self::Plain => write_plain(array, row, out),
            Self::Json => write_json(text(array, row), out),
            Self::List(item) => match array.data_type() {
                DataType::List(_) => item.write_list(&array.as_list::<i32>().value(row), out),
                DataType::LargeList(_) => item.write_list(&array.as_list::<i64>().value(row), out),
                _ => item.write_list(&array.as_fixed_size_list().value(row), out),
            },
            Self::Struct(fields) => {
                let columns = array.as_struct().columns();
                write_object(fields.iter().zip(columns), out, |((key, form), column), out| {
                    out.extend_from_slice(&key.0);
                    form.write(column, row, out);
                });
            }
            Self::Map(value) => {
                let entries = array.as_map().value(row);
                // A map may hold a key twice; an object should not. The first one counts.
                let mut seen = HashSet::new();
                let keys = (0..entries.len()).filter(|i| seen.insert(text(entries.column(0), *i)));
                write_object(keys, out, |i, out| {
                    plain(text(entries.column(0), i), out);
                    out.push(b':');
                    value.write(entries.column(1), i, out);
                });
            }
            Self::Dictionary(values) => {
                let key = downcast_dictionary_array!(array => array.key(row), _ => None);
                match key {
                    Some(key) => values.write(array.as_any_dictionary().values(), key, out),
                    None => out.extend_from_slice(b"null"),
                }
            }
        }
    }

    fn write_list(&self, items: &ArrayRef, out: &mut Vec<u8>) {
        out.push(b'[');
        for i in 0..items.len() {
            if i > 0 {
                out.push(b',');
            }
            self.write(items, i, out);
        }
        out.push(b']');
    }
}

fn no_form(field: &Field) -> ArrowError {
    ArrowError::NotYetImplemented(format!(
        "the column `{}` of type {} has no JSON form",
        field.name(),
        field.data_type()
    ))
}

fn write_object<T>(members: impl Iterator<Item = T>, out: &mut Vec<u8>, mut member: impl FnMut(T, &mut Vec<u8>)) {
    out.push(b'{');
    for (i, m) in members.enumerate() {
        if i > 0 {
            out.push(b',');
        }
        member(m, out);
    }
    out.push(b'}');
}

/// Numbers and strings just as `serde_json` writes them.
fn plain<T: Serialize + ?Sized>(value: &T, out: &mut Vec<u8>) {
    // Neither can fail: writing to a vector does not, and scalars have no keys that are not text.
    let written = serde_json::to_writer(out, value);
    debug_assert!(written.is_ok());
}

fn write_json(text: &str, out: &mut Vec<u8>) {
    if serde_json::from_str::<serde::de::IgnoredAny>(text).is_err() {
        return plain(text, out);
    }
    // A line break in valid JSON stands between tokens; a row is one line.
    out.extend(text.bytes().map(|b| if matches!(b, b'\n' | b'\r') { b' ' } else { b }));
}

/// The text at a row of any kind of text column.
///
/// # Panics
/// The column is not one of text.
pub fn text(array: &ArrayRef, row: usize) -> &str {
    match array.data_type() {
        DataType::Utf8 => array.as_string::<i32>().value(row),
        DataType::LargeUtf8 => array.as_string::<i64>().value(row),
        _ => array.as_string_view().value(row),
    }
}

fn write_plain(array: &ArrayRef, row: usize, out: &mut Vec<u8>) {
    use DataType::*;
    macro_rules! number {
        ($($variant:ident $arrow:ident),*) => {
            match array.data_type() {
                $($variant => plain(&array.as_primitive::<$arrow>().value(row), out),)*
                Null => out.extend_from_slice(b"null"),
                Boolean => plain(&array.as_boolean().value(row), out),
                Float16 => plain(&array.as_primitive::<Float16Type>().value(row).to_f32(), out),
                Utf8 | LargeUtf8 | Utf8View => plain(text(array, row), out),
                Decimal32(..) | Decimal64(..) | Decimal128(..) | Decimal256(..) => number::write_decimal(array, row, out),
                Binary | LargeBinary | BinaryView | FixedSizeBinary(_) => {
                    out.push(b'"');
                    number::write_base64(bytes(array, row), out);
                    out.push(b'"');
                }
                _ => {
                    out.push(b'"');
                    time::write(array, row, out);
                    out.push(b'"');
                }
            }
        };
    }
    number!(
        Int8 Int8Type, Int16 Int16Type, Int32 Int32Type, Int64 Int64Type,
        UInt8 UInt8Type, UInt16 UInt16Type, UInt32 UInt32Type, UInt64 UInt64Type,
        Float32 Float32Type, Float64 Float64Type
    );
}

fn bytes(array: &ArrayRef, row: usize) -> &[u8] {
    match array.data_type() {
        DataType::Binary => array.as_binary::<i32>().value(row),
        DataType::LargeBinary => array.as_binary::<i64>().value(row),
        DataType::BinaryView => array.as_binary_view().value(row),
        _ => array.as_fixed_size_binary().value(row),
    }
}

#[cfg(test)]
mod tests;
