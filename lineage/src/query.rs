//! SQL over the lineage, and its results as text or Parquet.

use crate::catalog::open;
use crate::encode::{EncodeError, Encoder, Format};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use arrow::util::pretty::pretty_format_batches;
use datafusion::common::DataFusionError;
use datafusion::execution::context::SQLOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Why a query has no answer.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    #[error("there is no lineage in {}: run a pipeline with --data {}", .0.display(), .0.display())]
    Nothing(PathBuf),
    #[error("{}", .0.strip_backtrace())]
    Sql(#[from] DataFusionError),
}

/// Answers a query about the streams recorded below a data folder. There is at least one batch, so that the columns
/// are known even if no row is.
///
/// # Errors
/// There is no lineage, the SQL does not plan, writes or defines something, or a part cannot be read.
pub async fn query(data: &Path, sql: &str) -> Result<Vec<RecordBatch>, QueryError> {
    if !crate::layout::streams(data).is_dir() && !jarvis_log::Folder::below(data).path().is_dir() {
        return Err(QueryError::Nothing(data.to_owned()));
    }
    let reading = SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
    let frame = open(data)?.sql_with_options(sql, reading).await?;
    let schema = frame.schema().inner().clone();
    let mut batches = frame.collect().await?;
    if batches.is_empty() {
        batches.push(RecordBatch::new_empty(schema));
    }
    Ok(batches)
}

/// How a query's result is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResultFormat {
    /// For people.
    Table,
    /// As in files.
    File(Format),
}

impl FromStr for ResultFormat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "table" => Ok(Self::Table),
            "json" => Ok(Self::File(Format::JsonLines)),
            "csv" => Ok(Self::File(Format::Csv)),
            "parquet" => Ok(Self::File(Format::Parquet)),
            other => Err(format!("`{other}` is not a format: write table, json, csv or parquet")),
        }
    }
}

/// Writes a result; JSON is one object per line.
///
/// # Errors
/// The writer refuses, or the format has no form for a column's type.
pub fn write(format: ResultFormat, batches: &[RecordBatch], mut out: impl Write + Send) -> Result<(), EncodeError> {
    let Some(first) = batches.first() else { return Ok(()) };
    match format {
        ResultFormat::Table => writeln!(out, "{}", table(batches)?)?,
        ResultFormat::File(format) => {
            let mut encoder = Encoder::new(format, &first.schema(), &mut out)?;
            for batch in batches {
                encoder.write(batch)?;
            }
            encoder.finish()?;
        }
    }
    Ok(out.flush()?)
}

fn table(batches: &[RecordBatch]) -> Result<impl std::fmt::Display + use<>, ArrowError> {
    let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
    let counted = if rows == 1 { "1 row".to_owned() } else { format!("{rows} rows") };
    Ok(format!("{}\n{counted}", pretty_format_batches(batches)?))
}
