//! A payload that is one value: a text, bytes, or a number such as `23.5`.

use super::fault::{Outcome, invalid_utf8};
use super::rows::Rows;
use arrow::datatypes::{DataType, Schema};

/// Reads the whole payload into one column.
pub(crate) struct RawDecoder {
    column: usize,
    binary: bool,
}

/// A stream that cannot be read from raw payloads.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RawError {
    #[error("`format: raw` fills one column, but {} are not in the topic: {}", .0.len(), if .0.is_empty() { "none".to_owned() } else { .0.join(", ") })]
    Columns(Vec<String>),
    #[error("`format: raw` cannot fill the column `{0}`: a list or struct needs `format: json`")]
    Nested(String),
}

impl RawDecoder {
    pub fn new(schema: &Schema, captured: &[usize]) -> Result<Self, RawError> {
        let left: Vec<usize> = (0..schema.fields().len()).filter(|column| !captured.contains(column)).collect();
        let [column] = left[..] else {
            return Err(RawError::Columns(left.into_iter().map(|c| schema.field(c).name().clone()).collect()));
        };
        let field = schema.field(column);
        if matches!(field.data_type(), DataType::List(_) | DataType::Struct(_)) {
            return Err(RawError::Nested(field.name().clone()));
        }
        Ok(Self { column, binary: *field.data_type() == DataType::Binary })
    }

    pub fn read(&self, payload: &[u8], rows: &mut Rows) -> Outcome<i64> {
        if self.binary {
            rows.push_bytes(self.column, payload)?;
        } else {
            let text = std::str::from_utf8(payload).map_err(|error| invalid_utf8(&error))?;
            rows.push_text(self.column, text)?;
        }
        Ok(1)
    }
}
