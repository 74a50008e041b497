//! Parquet as a bounded source.
//!
//! A chunk is a range of rows of one row group. Readers are kept where they stopped: whoever decodes the chunks in
//! order never skips a page twice.

use super::conform::Conform;
use super::read_at::ReadAt;
use super::text_file::{Layout, OpenError};
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use jarvis_runtime::arrival::{Decoded, RowError};
use jarvis_runtime::kinds::{BoundedSource, Chunk};
use jarvis_runtime::panics;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder, RowSelection,
    RowSelector,
};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Rows of a chunk.
const CHUNK_ROWS: u64 = 16 * 1024;
/// Readers that wait for the chunk that they stopped at.
const KEPT_READERS: usize = 16;

/// A Parquet file, its columns matched by name and cast to the declared types.
pub(crate) struct ParquetFile {
    path: PathBuf,
    file: ReadAt,
    metadata: ArrowReaderMetadata,
    columns: ProjectionMask,
    conform: Conform,
    /// The first row of each row group, and after the last one the number of rows.
    group_starts: Vec<u64>,
    cursor: Mutex<Cursor>,
    stopped: Mutex<Vec<Stopped>>,
}

#[derive(Default)]
struct Cursor {
    row: u64,
    index: u64,
}

/// A reader whose next row is `row`.
struct Stopped {
    row: u64,
    reader: ParquetRecordBatchReader,
}

impl ParquetFile {
    pub fn open(path: &Path, layout: &Layout) -> Result<Self, OpenError> {
        let (file, metadata) = load(path)?;
        let conform = Conform::new(metadata.schema(), layout)
            .map_err(|error| OpenError::Parquet { path: path.to_owned(), error: error.to_string() })?;
        let columns = ProjectionMask::roots(metadata.parquet_schema(), conform.roots());
        let mut group_starts = vec![0];
        for group in metadata.metadata().row_groups() {
            group_starts.push(group_starts[group_starts.len() - 1] + group.num_rows().max(0) as u64);
        }
        Ok(Self {
            path: path.to_owned(),
            file,
            metadata,
            columns,
            conform,
            group_starts,
            cursor: Mutex::new(Cursor::default()),
            stopped: Mutex::new(Vec::new()),
        })
    }

    /// The reader of the row group of `row` that begins with `row`.
    fn reader_at(&self, row: u64) -> Result<ParquetRecordBatchReader, String> {
        let mut stopped = lock(&self.stopped);
        if let Some(found) = stopped.iter().position(|reader| reader.row == row) {
            return Ok(stopped.swap_remove(found).reader);
        }
        drop(stopped);
        let group = self.group_starts.partition_point(|start| *start <= row) - 1;
        let (start, end) = (self.group_starts[group], self.group_starts[group + 1]);
        let skip = RowSelector::skip((row - start) as usize);
        let selection = RowSelection::from(vec![skip, RowSelector::select((end - row) as usize)]);
        ParquetRecordBatchReaderBuilder::new_with_metadata(self.file.clone(), self.metadata.clone())
            .with_row_groups(vec![group])
            .with_projection(self.columns.clone())
            .with_row_selection(selection)
            .with_batch_size(CHUNK_ROWS as usize)
            .build()
            .map_err(|error| error.to_string())
    }

    fn read(&self, chunk: &Chunk) -> Result<RecordBatch, String> {
        let mut reader = self.reader_at(chunk.start)?;
        let batch = match reader.next() {
            Some(batch) => batch.map_err(|error| error.to_string())?,
            None => return Err("the row group has fewer rows than it says".to_owned()),
        };
        if batch.num_rows() as u64 != chunk.end - chunk.start {
            return Err("the row group has another number of rows than it says".to_owned());
        }
        let mut stopped = lock(&self.stopped);
        if !self.group_starts.contains(&chunk.end) {
            if stopped.len() == KEPT_READERS {
                // The one that is furthest behind waits for a chunk that somebody else has taken.
                let oldest = stopped.iter().enumerate().min_by_key(|(_, reader)| reader.row).map(|(index, _)| index);
                oldest.map(|index| stopped.swap_remove(index));
            }
            stopped.push(Stopped { row: chunk.end, reader });
        }
        Ok(batch)
    }
}

/// The schema of a file in the types of the language.
pub(crate) fn infer_schema(path: &Path) -> Result<SchemaRef, OpenError> {
    let (_, metadata) = load(path)?;
    super::conform::language_schema(metadata.schema())
        .map_err(|error| OpenError::Parquet { path: path.to_owned(), error: error.to_string() })
}

fn load(path: &Path) -> Result<(ReadAt, ArrowReaderMetadata), OpenError> {
    let file = ReadAt::open(path).map_err(|error| OpenError::Io { path: path.to_owned(), error })?;
    let metadata = guarded(|| ArrowReaderMetadata::load(&file, ArrowReaderOptions::new()))
        .map_err(|error| OpenError::Parquet { path: path.to_owned(), error })?;
    Ok((file, metadata))
}

/// The parquet crate panics at some files that are damaged; to whoever reads one that is an error like others.
fn guarded<T, E: ToString>(read: impl FnOnce() -> Result<T, E>) -> Result<T, String> {
    match catch_unwind(AssertUnwindSafe(read)) {
        Ok(read) => read.map_err(|error| error.to_string()),
        Err(panic) => Err(format!("the file is damaged: {}", panics::message(panic))),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl BoundedSource for ParquetFile {
    fn next_chunk(&self) -> Option<Chunk> {
        let mut cursor = lock(&self.cursor);
        // The next border of a row group that lies beyond the row; none after the last row.
        let group_end = *self.group_starts.iter().find(|start| **start > cursor.row)?;
        let end = group_end.min(cursor.row + CHUNK_ROWS);
        let chunk = Chunk { index: cursor.index, start: cursor.row, end };
        (cursor.row, cursor.index) = (end, cursor.index + 1);
        Some(chunk)
    }

    fn decode(&self, chunk: &Chunk) -> Decoded {
        match guarded(|| self.read(chunk)) {
            Ok(batch) => self.conform.apply(&batch),
            Err(error) => {
                let rows = format!("rows {} to {}", chunk.start, chunk.end);
                let message = format!("{}: {rows} cannot be read: {error}", self.path.display());
                let mut decoded = self.conform.nothing();
                decoded.errors.push(RowError { code: "file", message, input: String::new() });
                decoded
            }
        }
    }
}
