//! CSV records into columns (RFC 4180, read leniently as the `csv` crate does).
//!
//! An empty field is null where the column allows null, empty in a utf8 or binary column that does not, and an error elsewhere.
//! Columns named `_diff` and `_deleted` in the header mean the same as those fields in JSON.

use super::fault::{Fault, Outcome, invalid_utf8, too_large};
use super::rows::Rows;
use arrow::datatypes::{DataType, Schema};
use csv::{ByteRecord, Position, Reader, ReaderBuilder};
use std::io::{Cursor, SeekFrom};

/// Types of which an empty field is a value.
const TEXTS: [DataType; 2] = [DataType::Utf8, DataType::Binary];

/// What a field of a record is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Column(usize),
    Diff,
    Deleted,
    Extra,
}

/// The order of the fields in a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Header(Vec<Field>);

/// A header that does not fit the stream.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HeaderError {
    #[error("the header names no column `{0}`, which must not be null")]
    Missing(String),
    #[error("the header names `{0}` twice")]
    Twice(String),
    #[error("the header is not CSV in UTF-8: {0}")]
    Syntax(String),
    #[error("there is no header: the first line must name the columns")]
    Empty,
}

impl Header {
    /// The declared order, without the columns that come from the topic: for payloads, which have no header.
    pub fn declared(columns: usize, captured: &[usize]) -> Self {
        Self((0..columns).filter(|column| !captured.contains(column)).map(Field::Column).collect())
    }

    /// Reads a header line.
    pub fn read(line: &[u8], schema: &Schema) -> Result<Self, HeaderError> {
        let mut reader = reader_builder().from_reader(line);
        let mut record = csv::StringRecord::new();
        let found = reader.read_record(&mut record).map_err(|error| HeaderError::Syntax(error.to_string()))?;
        if !found || record.iter().all(str::is_empty) {
            return Err(HeaderError::Empty);
        }
        let mut fields = Vec::new();
        for name in record.iter().map(str::trim) {
            let field = match schema.index_of(name) {
                Ok(column) => Field::Column(column),
                Err(_) if name == "_diff" => Field::Diff,
                Err(_) if name == "_deleted" => Field::Deleted,
                Err(_) => Field::Extra,
            };
            if field != Field::Extra && fields.contains(&field) {
                return Err(HeaderError::Twice(name.to_owned()));
            }
            fields.push(field);
        }
        for (column, field) in schema.fields().iter().enumerate() {
            if !field.is_nullable() && !fields.contains(&Field::Column(column)) {
                return Err(HeaderError::Missing(field.name().clone()));
            }
        }
        Ok(Self(fields))
    }
}

fn reader_builder() -> ReaderBuilder {
    let mut builder = ReaderBuilder::new();
    // Records of another length become error rows here instead of ending the reader.
    builder.has_headers(false).flexible(true);
    builder
}

/// Reads one CSV record per row.
pub(crate) struct CsvDecoder {
    header: Header,
    /// Per column: does an empty field mean the empty text.
    empty_is_text: Vec<bool>,
    /// Reads single payloads without being made anew for each.
    single: Reader<Cursor<Vec<u8>>>,
    record: ByteRecord,
}

impl CsvDecoder {
    pub fn new(header: Header, schema: &Schema) -> Self {
        let empty_is_text =
            schema.fields().iter().map(|field| TEXTS.contains(field.data_type()) && !field.is_nullable()).collect();
        let single = reader_builder().buffer_capacity(1 << 10).from_reader(Cursor::new(Vec::new()));
        Self { header, empty_is_text, single, record: ByteRecord::new() }
    }

    /// Reads a payload that is one record into the row that is open; its weight.
    pub fn read(&mut self, payload: &[u8], rows: &mut Rows) -> Outcome<i64> {
        let input = self.single.get_mut().get_mut();
        input.clear();
        input.extend_from_slice(payload);
        let start = self.single.seek_raw(SeekFrom::Start(0), Position::new());
        let read = start.and_then(|()| self.single.read_byte_record(&mut self.record));
        match read {
            Ok(true) => {}
            Ok(false) => return Err(Fault::new("csv_syntax", "there is no record")),
            Err(error) => return Err(Fault::new("csv_syntax", error.to_string())),
        }
        let weight = self.fields(rows)?;
        match self.single.read_byte_record(&mut self.record) {
            Ok(false) => Ok(weight),
            _ => Err(Fault::new("csv_syntax", "more than one record in a payload")),
        }
    }

    /// Reads all records of a chunk that begins and ends between records, each as a row.
    pub fn read_all(&mut self, chunk: &[u8], limit: usize, rows: &mut Rows) {
        let mut reader = reader_builder().from_reader(chunk);
        loop {
            let start = reader.position().byte() as usize;
            match reader.read_byte_record(&mut self.record) {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => {
                    // Reading bytes from memory cannot fail; should it, the rest is not lost in silence.
                    rows.push_error("csv_syntax", error.to_string(), &chunk[start.min(chunk.len())..]);
                    return;
                }
            }
            let end = reader.position().byte() as usize;
            let input = trim_record(&chunk[start..end]);
            if input.len() > limit {
                rows.reject(too_large(input.len(), limit), input);
                continue;
            }
            let weight = self.fields(rows);
            rows.settle(weight, input);
        }
    }

    /// The fields of the record that was read, into the open row.
    fn fields(&mut self, rows: &mut Rows) -> Outcome<i64> {
        if self.record.len() != self.header.0.len() {
            let message = format!("expected {} fields, found {}", self.header.0.len(), self.record.len());
            return Err(Fault::new("wrong_length", message));
        }
        let mut weight = 1;
        for (field, bytes) in self.header.0.iter().zip(&self.record) {
            let text = std::str::from_utf8(bytes).map_err(|error| invalid_utf8(&error))?;
            match field {
                Field::Extra => rows.extra_fields += 1,
                Field::Column(column) if text.is_empty() && !self.empty_is_text[*column] => {
                    rows.column_again(*column);
                    rows.push_null(*column);
                }
                Field::Column(column) => rows.push_text(*column, text)?,
                Field::Diff if text.is_empty() => {}
                Field::Diff => {
                    let diff =
                        text.trim().parse().map_err(|_| Fault::wrong_format("1 or -1", text).in_field("_diff"))?;
                    weight = rows.diff(diff)?;
                }
                Field::Deleted if text.is_empty() => {}
                Field::Deleted => {
                    let deleted = match text.trim() {
                        "true" => true,
                        "false" => false,
                        _ => return Err(Fault::wrong_format("true or false", text).in_field("_deleted")),
                    };
                    weight = rows.deleted(deleted)?;
                }
            }
        }
        Ok(weight)
    }
}

/// A record without the line breaks around it (the reader skips empty lines before a record).
fn trim_record(record: &[u8]) -> &[u8] {
    let start = record.iter().take_while(|b| matches!(b, b'\n' | b'\r')).count();
    let end = record.len() - record[start..].iter().rev().take_while(|b| matches!(b, b'\n' | b'\r')).count();
    &record[start..end]
}
