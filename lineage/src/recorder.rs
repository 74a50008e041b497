//! Appends the changes of a stream to Parquet files.

use crate::{encode, layout};
use arrow::array::{ArrayRef, Int64Array, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use jarvis_runtime::closed::ClosedBatch;
use parquet::arrow::ArrowWriter;
use parquet::errors::ParquetError;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// When a part is closed and the next one begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Roll {
    /// At this many rows (a batch is never split).
    pub rows: usize,
    /// Or this long after its first row.
    pub age: Duration,
}

impl Default for Roll {
    fn default() -> Self {
        Self { rows: 100_000, age: Duration::from_secs(10) }
    }
}

/// Why changes were not recorded.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    #[error("the lineage cannot be kept in {}: {source}", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("the lineage cannot be written to {}: {source}", path.display())]
    Parquet { path: PathBuf, source: ParquetError },
    #[error("the changes do not have the stream's columns: {0}")]
    Columns(#[from] ArrowError),
    #[error("the stream in {} is being recorded already: two sinks, or two runs, must not share it", .0.display())]
    Busy(PathBuf),
    #[error("`{0}` is not the name of a stream: PIPELINE.STREAM")]
    Name(String),
}

/// Appends the changes of one stream to its parts. Rows can be read once their part is closed: after [`Roll::age`],
/// if [`Recorder::roll`] is then called, and at [`Recorder::finish`].
pub struct Recorder {
    folder: PathBuf,
    /// Locked: there is one recorder of a stream at a time.
    _lock: File,
    schema: SchemaRef,
    roll: Roll,
    part: Option<Part>,
    /// Everything before this time is in finished parts, if this recorder goes on from another.
    finished: u64,
}

/// A part that is being written.
pub(crate) struct Part {
    path: PathBuf,
    writer: ArrowWriter<File>,
    lower: u64,
    upper: u64,
    rows: usize,
    begun: Instant,
}

impl Recorder {
    /// Makes the folder of the stream `PIPELINE.STREAM` below `data`, and clears away what a killed process left.
    ///
    /// # Errors
    /// The folder cannot be made, the name is not one, or the stream is being recorded already.
    pub fn new(data: &Path, stream: &str, schema: &Schema, roll: Roll) -> Result<Self, RecordError> {
        let (pipeline, name) = stream.split_once('.').ok_or_else(|| RecordError::Name(stream.to_owned()))?;
        let plain = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if !plain(pipeline) || !plain(name) {
            return Err(RecordError::Name(stream.to_owned()));
        }
        let folder = layout::stream(data, pipeline, name);
        fs::create_dir_all(&folder).map_err(file_error(&folder))?;
        let lock = lock(&folder)?;
        for left in layout::unfinished(&folder).map_err(file_error(&folder))? {
            tracing::info!(file = %left.display(), "removing a part of the lineage that was never finished");
            fs::remove_file(&left).map_err(file_error(&left))?;
        }
        Ok(Self { folder, _lock: lock, schema: changes_schema(schema), roll, part: None, finished: 0 })
    }

    /// Goes on where an earlier recorder of the same changes has ended: those that are in finished parts are not
    /// recorded again.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn resume(&mut self) -> Result<(), RecordError> {
        let parts = layout::parts(&self.folder).map_err(file_error(&self.folder))?;
        self.finished = parts.last().and_then(|part| layout::upper(part)).unwrap_or(0);
        Ok(())
    }

    /// Appends a batch.
    ///
    /// # Errors
    /// The disk refuses (it is full, for example), or the batch has other columns.
    pub fn append(&mut self, batch: &ClosedBatch) -> Result<(), RecordError> {
        if batch.times.is_empty() {
            return Ok(());
        }
        let rows = changes_batch(&self.schema, batch)?;
        // Batches are in the order of time.
        let done = batch.times.partition_point(|time| *time < self.finished);
        let rows = rows.slice(done, rows.num_rows() - done);
        if rows.num_rows() == 0 {
            return Ok(());
        }
        let part = match &mut self.part {
            Some(part) => part,
            None => {
                let lower = batch.lower.max(self.finished);
                self.part.insert(Part::new(&self.folder, self.schema.clone(), lower)?)
            }
        };
        part.write(&rows, batch.upper)?;
        if part.rows >= self.roll.rows { self.roll() } else { Ok(()) }
    }

    /// When the part that is being written should be closed.
    pub fn deadline(&self) -> Option<Instant> {
        self.part.as_ref().map(|part| part.begun + self.roll.age)
    }

    /// Closes the part that is being written, if there is one.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn roll(&mut self) -> Result<(), RecordError> {
        match self.part.take() {
            Some(part) => {
                let upper = part.upper;
                part.close(&self.folder)?;
                self.finished = upper;
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Everything before this time that was appended is in finished parts, µs.
    pub fn finished(&self) -> u64 {
        self.finished
    }

    /// Closes the last part.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn finish(mut self) -> Result<(), RecordError> {
        self.roll()
    }
}

impl Part {
    pub(crate) fn new(folder: &Path, schema: SchemaRef, lower: u64) -> Result<Self, RecordError> {
        let path = folder.join(format!("part-{lower:020}{}", layout::UNFINISHED_END));
        let file = File::create(&path).map_err(file_error(&path))?;
        let writer = ArrowWriter::try_new(file, schema, Some(encode::parquet_properties()));
        let writer = writer.map_err(parquet_error(&path))?;
        Ok(Self { path, writer, lower, upper: lower, rows: 0, begun: Instant::now() })
    }

    pub(crate) fn write(&mut self, rows: &RecordBatch, upper: u64) -> Result<(), RecordError> {
        self.writer.write(rows).map_err(parquet_error(&self.path))?;
        self.rows += rows.num_rows();
        self.upper = upper;
        Ok(())
    }

    /// Closes a part that has no row at this time or later.
    pub(crate) fn close_before(mut self, upper: u64, folder: &Path) -> Result<(), RecordError> {
        self.upper = upper;
        self.close(folder)
    }

    pub(crate) fn close(self, folder: &Path) -> Result<(), RecordError> {
        let file = self.writer.into_inner().map_err(parquet_error(&self.path))?;
        file.sync_all().map_err(file_error(&self.path))?;
        let finished = folder.join(layout::part(self.lower, self.upper));
        fs::rename(&self.path, &finished).map_err(file_error(&finished))?;
        layout::sync_folder(folder).map_err(file_error(folder))
    }
}

fn lock(folder: &Path) -> Result<File, RecordError> {
    let path = folder.join(layout::LOCK);
    let file = File::create(&path).map_err(file_error(&path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(RecordError::Busy(folder.to_owned())),
        Err(TryLockError::Error(source)) => Err(RecordError::File { path, source }),
    }
}

fn file_error(path: &Path) -> impl FnOnce(io::Error) -> RecordError {
    let path = path.to_owned();
    |source| RecordError::File { path, source }
}

fn parquet_error(path: &Path) -> impl FnOnce(ParquetError) -> RecordError {
    let path = path.to_owned();
    |source| RecordError::Parquet { path, source }
}

/// The columns of a view's changes: `_time`, `_diff` and the view's own.
pub fn changes_schema(view: &Schema) -> SchemaRef {
    let time = Field::new("_time", DataType::Timestamp(TimeUnit::Microsecond, None), false);
    let own = [time, Field::new("_diff", DataType::Int64, false)].map(Arc::new);
    Arc::new(Schema::new(own.into_iter().chain(view.fields().iter().cloned()).collect::<Vec<_>>()))
}

/// The changes of a batch as rows of [`changes_schema`].
///
/// # Errors
/// The batch has other columns.
pub fn changes_batch(schema: &SchemaRef, batch: &ClosedBatch) -> Result<RecordBatch, ArrowError> {
    changes(schema, batch.times.iter().copied(), &batch.diffs, &batch.rows)
}

pub(crate) fn changes(
    schema: &SchemaRef,
    times: impl Iterator<Item = u64>,
    diffs: &[i64],
    rows: &RecordBatch,
) -> Result<RecordBatch, ArrowError> {
    // Times are counted from 1970 and stay below 2^63 for 292,000 years.
    let times = times.map(|t| i64::try_from(t).unwrap_or(i64::MAX));
    let times: ArrayRef = Arc::new(TimestampMicrosecondArray::from_iter_values(times));
    let diffs: ArrayRef = Arc::new(Int64Array::from(diffs.to_vec()));
    let columns = [times, diffs].into_iter().chain(rows.columns().iter().cloned());
    RecordBatch::try_new(schema.clone(), columns.collect())
}
