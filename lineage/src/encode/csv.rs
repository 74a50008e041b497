//! Rows as CSV (RFC 4180).

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Float16Type, Float32Type, Float64Type, Schema};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use jarvis_runtime::json_out::{JsonRow, text};

/// Writes rows of one schema as CSV.
pub struct CsvRow {
    json: JsonRow,
    columns: Vec<Form>,
}

/// How a column's value becomes a field.
#[derive(Clone, Copy)]
enum Form {
    /// As it is.
    Text,
    /// Its JSON form needs no quotes of CSV: a number or a truth value.
    Bare,
    /// A JSON string without anything to escape: times, base64.
    Unquoted,
    /// JSON text: lists, structs, json.
    Json,
}

impl CsvRow {
    pub(super) fn new(schema: &Schema) -> Result<Self, ArrowError> {
        let columns = schema.fields().iter().map(|field| form(field.data_type()));
        Ok(Self { json: JsonRow::new(schema)?, columns: columns.collect() })
    }

    pub(super) fn write(&self, batch: &RecordBatch, row: usize, out: &mut Vec<u8>) {
        let start = out.len();
        for (i, form) in self.columns.iter().enumerate() {
            if i > 0 {
                out.push(b',');
            }
            let column = batch.column(i);
            if !column.is_null(row) {
                self.write_field(*form, batch, row, i, out);
            }
        }
        if out.len() == start {
            // A reader takes an empty line for no row at all.
            out.extend_from_slice(b"\"\"");
        }
    }

    fn write_field(&self, form: Form, batch: &RecordBatch, row: usize, column: usize, out: &mut Vec<u8>) {
        let array = batch.column(column);
        match (form, not_finite(array, row)) {
            (Form::Text, _) => return quoted(text(array, row).as_bytes(), out),
            (_, Some(name)) => return out.extend_from_slice(name),
            _ => {}
        }
        let start = out.len();
        self.json.write_value(batch, row, column, out);
        match form {
            // Null in another way: in a dictionary, in a column without a type.
            _ if out[start..] == *b"null" => out.truncate(start),
            Form::Unquoted => {
                out.pop();
                out.remove(start);
            }
            Form::Json => {
                let json = out.split_off(start);
                quoted(&json, out);
            }
            Form::Text | Form::Bare => {}
        }
    }
}

fn form(data_type: &DataType) -> Form {
    match data_type {
        // A json column too: its text is what it is.
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Form::Text,
        DataType::Dictionary(_, values) => match form(values) {
            Form::Text => Form::Json,
            other => other,
        },
        nested if nested.is_nested() => Form::Json,
        number if number.is_numeric() => Form::Bare,
        DataType::Boolean | DataType::Null => Form::Bare,
        _ => Form::Unquoted,
    }
}

/// The name of a float that JSON does not have.
fn not_finite(array: &ArrayRef, row: usize) -> Option<&'static [u8]> {
    let value = match array.data_type() {
        DataType::Float16 => array.as_primitive::<Float16Type>().value(row).to_f64(),
        DataType::Float32 => array.as_primitive::<Float32Type>().value(row).into(),
        DataType::Float64 => array.as_primitive::<Float64Type>().value(row),
        _ => return None,
    };
    match value {
        _ if value.is_nan() => Some(b"NaN"),
        f64::INFINITY => Some(b"inf"),
        f64::NEG_INFINITY => Some(b"-inf"),
        _ => None,
    }
}

/// The names of the columns.
pub(super) fn write_header(schema: &Schema, out: &mut Vec<u8>) {
    for (i, field) in schema.fields().iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        quoted(field.name().as_bytes(), out);
    }
}

/// A field, in quotes where it must be: an empty one too, which is not null.
fn quoted(field: &[u8], out: &mut Vec<u8>) {
    let special = |byte: &u8| matches!(byte, b'"' | b',' | b'\n' | b'\r');
    if !field.is_empty() && !field.iter().any(special) {
        return out.extend_from_slice(field);
    }
    out.push(b'"');
    for byte in field {
        if *byte == b'"' {
            out.push(b'"');
        }
        out.push(*byte);
    }
    out.push(b'"');
}
