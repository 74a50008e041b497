//! Payloads into Arrow columns: the hot path of every source.
//!
//! A [`Decoder`] is made once for a stream and used for all of its payloads. Each payload yields exactly one row or
//! exactly one error; a payload that fails half way leaves no trace in the columns.

mod base64;
mod column;
mod csv;
mod decimal;
mod fault;
mod json;
mod nested;
mod raw;
mod rows;
mod text;
mod unit;
mod validity;

pub use column::UnsupportedType;
pub(crate) use csv::{CsvDecoder, Header, HeaderError};
pub use raw::RawError;
pub(crate) use rows::Rows;

use arrow::datatypes::SchemaRef;
use fault::{Fault, Outcome, too_large};
pub(crate) use fault::{SHOWN_INPUT, shown};
use jarvis_runtime::arrival::Decoded;
use json::JsonDecoder;
use raw::RawDecoder;
use serde::{Deserialize, Serialize};

/// The largest payload unless the options say otherwise, bytes.
pub const DEFAULT_MAX_PAYLOAD: usize = 64 * 1024;

/// How a payload is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// One JSON object whose fields are the columns.
    #[default]
    Json,
    /// One CSV record with the columns in the order of the schema.
    Csv,
    /// The value of the one column that is not in the topic: text, bytes, or a number such as `23.5`.
    Raw,
}

/// A stream that cannot be decoded at all.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecoderError {
    #[error(transparent)]
    Type(#[from] UnsupportedType),
    #[error(transparent)]
    Raw(#[from] RawError),
}

/// Turns the payloads of one stream into batches.
pub struct Decoder {
    rows: Rows,
    reader: Reader,
    limit: usize,
}

enum Reader {
    Json(JsonDecoder),
    Csv(Box<CsvDecoder>),
    Raw(RawDecoder),
}

impl Decoder {
    /// `key`: the columns of the stream's key, empty for a multiset. `captured`: the columns that do not stand in the
    /// payload but are handed over beside it. `limit`: the largest payload, bytes.
    ///
    /// # Errors
    /// A column type that the language does not have, or raw payloads for other than one column.
    pub fn new(
        schema: SchemaRef,
        key: &[usize],
        format: Format,
        captured: &[usize],
        limit: usize,
    ) -> Result<Self, DecoderError> {
        let rows = Rows::new(schema, key)?;
        let reader = match format {
            Format::Json => Reader::Json(JsonDecoder::new(&rows, captured)),
            Format::Csv => {
                let header = Header::declared(rows.schema().fields().len(), captured);
                Reader::Csv(Box::new(CsvDecoder::new(header, rows.schema())))
            }
            Format::Raw => Reader::Raw(RawDecoder::new(rows.schema(), captured)?),
        };
        Ok(Self { rows, reader, limit })
    }

    /// Reads one payload; `captures` are the texts of the captured columns.
    #[inline]
    pub fn push(&mut self, payload: &[u8], captures: &[(usize, &str)]) {
        if payload.len() > self.limit {
            self.rows.reject(too_large(payload.len(), self.limit), payload);
            return;
        }
        let read = match capture(&mut self.rows, captures) {
            Ok(()) => match &mut self.reader {
                Reader::Json(json) => json.read(payload, &mut self.rows),
                Reader::Csv(csv) => csv.read(payload, &mut self.rows),
                Reader::Raw(raw) => raw.read(payload, &mut self.rows),
            },
            Err(fault) => Err(fault),
        };
        self.rows.settle(read, payload);
    }

    /// Removes a key: what an empty payload means in a stream with a key, whose columns must all be captured. In a
    /// stream without a key it is an error row.
    pub fn push_removal(&mut self, captures: &[(usize, &str)]) {
        let read = if self.rows.is_keyed() {
            capture(&mut self.rows, captures).map(|()| -1)
        } else {
            Err(Fault::new("empty_payload", "an empty payload removes a key, and the stream has none"))
        };
        self.rows.settle(read, &[]);
    }

    /// A payload that was too large to be kept; `start` is the part of it to show.
    pub(crate) fn push_too_large(&mut self, bytes: usize, start: &[u8]) {
        self.rows.reject(too_large(bytes, self.limit), start);
    }

    /// An error that is not about one payload's text, such as what a broker said.
    pub fn push_error(&mut self, code: &'static str, message: String, input: &[u8]) {
        self.rows.push_error(code, message, input);
    }

    /// Whether rows are upserts.
    pub fn is_keyed(&self) -> bool {
        self.rows.is_keyed()
    }

    /// Good rows since the last batch.
    pub fn rows(&self) -> usize {
        self.rows.len()
    }

    /// Error rows since the last batch.
    pub fn errors(&self) -> usize {
        self.rows.errors()
    }

    /// Payload bytes since the last batch.
    pub fn bytes(&self) -> u64 {
        self.rows.bytes()
    }

    /// Fields of the payloads that no column takes, since the decoder was made.
    pub fn extra_fields(&self) -> u64 {
        self.rows.extra_fields
    }

    /// Everything since the last call as a batch.
    pub fn finish(&mut self) -> Decoded {
        self.rows.finish()
    }
}

/// A text as a column of the type `timestamp` reads it: µs since the epoch.
pub(crate) fn micros(text: &str) -> Option<i64> {
    unit::timestamp(text).ok()
}

/// Whether a text is a date.
pub(crate) fn is_date(text: &str) -> bool {
    unit::date(text).is_ok()
}

fn capture(rows: &mut Rows, captures: &[(usize, &str)]) -> Outcome<()> {
    captures.iter().try_for_each(|(column, text)| rows.push_text(*column, text))
}

#[cfg(test)]
mod tests;
