//! Rows as JSON lines, CSV or Parquet.

mod csv;
mod lines;

use arrow::array::RecordBatchWriter;
use arrow::datatypes::{DataType, Field, IntervalUnit, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use csv::CsvRow;
use jarvis_runtime::json_out::JsonRow;
pub use lines::Lines;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::{WriterProperties, WriterPropertiesBuilder};
use std::io::{self, Write};

/// How rows are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One JSON object per line (see [`jarvis_runtime::json_out`]).
    JsonLines,
    /// RFC 4180 with a header and `\n` line ends. Null is an empty field and an empty text is `""`; lists, structs
    /// and json are JSON text; floats that JSON does not have are `NaN`, `inf` and `-inf`.
    Csv,
    /// Compressed with zstd.
    Parquet,
}

/// Why rows were not written.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Arrow(#[from] ArrowError),
    #[error(transparent)]
    Parquet(#[from] ParquetError),
}

/// Writes batches of one schema to a file or another writer; buffers, so end with [`Encoder::finish`].
pub enum Encoder<W: Write + Send> {
    JsonLines { row: JsonRow, lines: Lines<W> },
    Csv { row: CsvRow, lines: Lines<W> },
    Parquet(Box<ArrowWriter<W>>),
}

impl<W: Write + Send> Encoder<W> {
    /// # Errors
    /// A column's type cannot be written in this format (see [`check`]), or the writer refuses.
    pub fn new(format: Format, schema: &SchemaRef, out: W) -> Result<Self, EncodeError> {
        Self::starting(format, schema, out, true)
    }

    /// As [`Encoder::new`], to append to a CSV file that has its header already.
    ///
    /// # Errors
    /// As [`Encoder::new`].
    pub fn appending(format: Format, schema: &SchemaRef, out: W) -> Result<Self, EncodeError> {
        Self::starting(format, schema, out, false)
    }

    fn starting(format: Format, schema: &SchemaRef, out: W, header: bool) -> Result<Self, EncodeError> {
        check(format, schema)?;
        Ok(match format {
            Format::JsonLines => Self::JsonLines { row: JsonRow::new(schema)?, lines: Lines::new(out) },
            Format::Csv => {
                let mut lines = Lines::new(out);
                if header {
                    lines.line(|line| csv::write_header(schema, line))?;
                }
                Self::Csv { row: CsvRow::new(schema)?, lines }
            }
            Format::Parquet => {
                Self::Parquet(Box::new(ArrowWriter::try_new(out, schema.clone(), Some(parquet_properties()))?))
            }
        })
    }

    /// # Errors
    /// The batch has another schema, or the writer refuses.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<(), EncodeError> {
        let rows = 0..batch.num_rows();
        match self {
            Self::JsonLines { row, lines } => {
                for i in rows {
                    lines.line(|line| row.write(batch, i, &[], line))?;
                }
            }
            Self::Csv { row, lines } => {
                for i in rows {
                    lines.line(|line| row.write(batch, i, line))?;
                }
            }
            Self::Parquet(writer) => RecordBatchWriter::write(writer.as_mut(), batch)?,
        }
        Ok(())
    }

    /// Hands over what is buffered. Parquet keeps its rows: it can only be read when it is finished.
    ///
    /// # Errors
    /// The writer refuses.
    pub fn flush(&mut self) -> Result<(), EncodeError> {
        match self {
            Self::JsonLines { lines, .. } | Self::Csv { lines, .. } => Ok(lines.flush()?),
            Self::Parquet(_) => Ok(()),
        }
    }

    /// Writes the rest and gives the writer back.
    ///
    /// # Errors
    /// The writer refuses.
    pub fn finish(self) -> Result<W, EncodeError> {
        match self {
            Self::JsonLines { lines, .. } | Self::Csv { lines, .. } => Ok(lines.into_inner()?),
            Self::Parquet(writer) => Ok(writer.into_inner()?),
        }
    }
}

pub(crate) fn parquet_builder() -> WriterPropertiesBuilder {
    WriterProperties::builder().set_compression(Compression::ZSTD(ZstdLevel::default()))
}

pub(crate) fn parquet_properties() -> WriterProperties {
    parquet_builder().build()
}

/// Whether every column can be written.
///
/// # Errors
/// Names the first column that cannot be, with what to write instead.
pub fn check(format: Format, schema: &Schema) -> Result<(), ArrowError> {
    if format != Format::Parquet {
        return JsonRow::new(schema).map(|_| ());
    }
    match schema.fields().iter().find(|field| !in_parquet(field)) {
        None => Ok(()),
        Some(field) => Err(ArrowError::NotYetImplemented(format!(
            "Parquet has no type for the column `{}` ({}): write it as text, CAST({} AS VARCHAR)",
            field.name(),
            field.data_type(),
            field.name(),
        ))),
    }
}

fn in_parquet(field: &Field) -> bool {
    match field.data_type() {
        DataType::Interval(IntervalUnit::MonthDayNano) | DataType::Union(..) => false,
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::FixedSizeList(item, _)
        | DataType::Map(item, _) => in_parquet(item),
        DataType::Struct(fields) => fields.iter().all(|f| in_parquet(f)),
        _ => true,
    }
}

#[cfg(test)]
mod tests;
