//! JSON lines and CSV as a bounded source.

use super::border::{RecordScanner, line_border, record_border};
use super::read_at::ReadAt;
use crate::decode::{CsvDecoder, Decoder, Format, Header, HeaderError, Rows};
use arrow::datatypes::SchemaRef;
use jarvis_runtime::arrival::Decoded;
use jarvis_runtime::kinds::{BoundedSource, Chunk};
use memchr::memchr;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How much of a chunk is read at once, bytes: a whole one, unless a line is longer than any row may be.
const BLOCK: u64 = 512 * 1024;
const BOM: &[u8] = b"\xEF\xBB\xBF";

/// What the rows of a file are.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    pub schema: SchemaRef,
    pub key: Vec<usize>,
    /// The longest row, bytes.
    pub limit: usize,
}

/// Why a file cannot be read at all.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    #[error("{}: {error}", path.display())]
    Io { path: PathBuf, error: io::Error },
    #[error("{}: {error}", path.display())]
    Header { path: PathBuf, error: HeaderError },
    #[error("{}: {error}", path.display())]
    Parquet { path: PathBuf, error: String },
    #[error(transparent)]
    Decoder(#[from] crate::decode::DecoderError),
}

/// A file of rows as text, cut into chunks that many threads decode.
pub(crate) struct TextFile {
    path: PathBuf,
    file: ReadAt,
    layout: Layout,
    /// CSV: the order of its fields. `None` for JSON lines.
    header: Option<Header>,
    cursor: Mutex<Cursor>,
    /// Decoders that no thread uses right now, with their memory.
    idle: Mutex<Vec<Worker>>,
}

/// Where the next chunk begins.
struct Cursor {
    start: u64,
    index: u64,
    block: Vec<u8>,
}

struct Worker {
    reader: Reader,
    buffer: Vec<u8>,
}

enum Reader {
    Json(Box<Decoder>),
    Csv(Box<Rows>, Box<CsvDecoder>),
}

impl TextFile {
    pub fn json(path: &Path, layout: Layout) -> Result<Self, OpenError> {
        Self::open(path, layout, false)
    }

    /// The file's first record names its columns.
    pub fn csv(path: &Path, layout: Layout) -> Result<Self, OpenError> {
        Self::open(path, layout, true)
    }

    fn open(path: &Path, layout: Layout, csv: bool) -> Result<Self, OpenError> {
        let failed = |error| OpenError::Io { path: path.to_owned(), error };
        let file = ReadAt::open(path).map_err(failed)?;
        let mut block = Vec::new();
        file.read(0, file.length().min(BLOCK), &mut block).map_err(failed)?;
        let mut start = if block.starts_with(BOM) { BOM.len() } else { 0 };
        let mut header = None;
        if csv && block[start..].iter().any(|b| !b.is_ascii_whitespace()) {
            start += block[start..].iter().take_while(|b| matches!(b, b'\n' | b'\r')).count();
            let end = RecordScanner::default().scan(&block[start..]).map_or(block.len(), |length| start + length);
            let read = Header::read(&block[start..end], &layout.schema);
            header = Some(read.map_err(|error| OpenError::Header { path: path.to_owned(), error })?);
            start = end;
        } else if csv {
            // Nothing in it: no header, no rows.
            header = Some(Header::declared(0, &[]));
            start = block.len();
        }
        let text_file = Self {
            path: path.to_owned(),
            file,
            layout,
            header,
            cursor: Mutex::new(Cursor { start: start as u64, index: 0, block }),
            idle: Mutex::new(Vec::new()),
        };
        let worker = text_file.worker()?;
        lock(&text_file.idle).push(worker);
        Ok(text_file)
    }

    fn worker(&self) -> Result<Worker, OpenError> {
        let Layout { schema, key, limit } = &self.layout;
        let reader = match &self.header {
            None => Reader::Json(Box::new(Decoder::new(schema.clone(), key, Format::Json, &[], *limit)?)),
            Some(header) => {
                let rows = Rows::new(schema.clone(), key).map_err(crate::decode::DecoderError::from)?;
                Reader::Csv(Box::new(rows), Box::new(CsvDecoder::new(header.clone(), schema)))
            }
        };
        Ok(Worker { reader, buffer: Vec::new() })
    }

    fn border(&self, start: u64, block: &mut Vec<u8>) -> io::Result<u64> {
        match self.header {
            None => line_border(&self.file, start, block),
            Some(_) => record_border(&self.file, start, self.layout.limit, block),
        }
    }

    fn decode_json(&self, chunk: Range<u64>, decoder: &mut Decoder, buffer: &mut Vec<u8>) -> io::Result<()> {
        buffer.clear();
        let mut long = LongLine::default();
        let mut at = chunk.start;
        while at < chunk.end {
            let end = chunk.end.min(at + BLOCK);
            self.file.append(at, end, buffer)?;
            at = end;
            let mut from = 0;
            while let Some(length) = memchr(b'\n', &buffer[from..]) {
                if let Some(line) = long.end(&buffer[from..from + length], decoder) {
                    push_line(decoder, line);
                }
                from += length + 1;
            }
            if long.is_open() || buffer.len() - from > self.layout.limit {
                long.add(&buffer[from..]);
                from = buffer.len();
            }
            buffer.drain(..from);
        }
        if let Some(line) = long.end(buffer, decoder) {
            push_line(decoder, line);
        }
        Ok(())
    }
}

/// A line that is too long to be kept while it is read.
#[derive(Default)]
struct LongLine {
    length: usize,
    start: Vec<u8>,
}

impl LongLine {
    fn is_open(&self) -> bool {
        self.length > 0
    }

    fn add(&mut self, part: &[u8]) {
        self.length += part.len();
        let shown = crate::decode::SHOWN_INPUT.saturating_sub(self.start.len()).min(part.len());
        self.start.extend_from_slice(&part[..shown]);
    }

    /// The line ends with this part. Gives it back if it is all of the line; else the line becomes an error row.
    fn end<'l>(&mut self, part: &'l [u8], decoder: &mut Decoder) -> Option<&'l [u8]> {
        if !self.is_open() {
            return Some(part);
        }
        self.add(part);
        decoder.push_too_large(self.length, &self.start);
        *self = Self::default();
        None
    }
}

/// Blank lines are no rows.
fn push_line(decoder: &mut Decoder, line: &[u8]) {
    let blank = line.first().is_none_or(|byte| *byte != b'{') && line.trim_ascii().is_empty();
    if !blank {
        decoder.push(line.strip_suffix(b"\r").unwrap_or(line), &[]);
    }
}

/// Chunks and decoders stay usable even if a thread panicked while it held them.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl BoundedSource for TextFile {
    fn next_chunk(&self) -> Option<Chunk> {
        let mut cursor = lock(&self.cursor);
        let Cursor { start, index, block } = &mut *cursor;
        if *start >= self.file.length() {
            return None;
        }
        // If the border cannot be found the file cannot be read: its decoder then says so.
        let end = self.border(*start, block).unwrap_or(self.file.length());
        let chunk = Chunk { index: *index, start: *start, end };
        (*start, *index) = (end, *index + 1);
        Some(chunk)
    }

    fn decode(&self, chunk: &Chunk) -> Decoded {
        let idle = lock(&self.idle).pop();
        // The first worker was made when the file was opened, from the same parts.
        let mut worker = idle.unwrap_or_else(|| self.worker().expect("a decoder could be made before"));
        let Worker { reader, buffer } = &mut worker;
        let failed = |error: io::Error| format!("{}: {error}", self.path.display());
        let decoded = match reader {
            Reader::Json(decoder) => {
                if let Err(error) = self.decode_json(chunk.start..chunk.end, decoder, buffer) {
                    decoder.push_error("file", failed(error), &[]);
                }
                decoder.finish()
            }
            Reader::Csv(rows, csv) => {
                match self.file.read(chunk.start, chunk.end, buffer) {
                    Ok(()) => csv.read_all(buffer, self.layout.limit, rows),
                    Err(error) => rows.push_error("file", failed(error), &[]),
                }
                rows.finish()
            }
        };
        lock(&self.idle).push(worker);
        decoded
    }
}
