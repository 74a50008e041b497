//! Reading a file at positions, from many threads at once.
//!
//! Files are read, not mapped: a file that is cut short while it is mapped kills the process, mapped pages count as
//! memory used, and one read per chunk costs no more than the page faults would.

use bytes::Bytes;
use parquet::errors::Result as ParquetResult;
use parquet::file::reader::{ChunkReader, Length};
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// A file and how long it was when it was opened.
#[derive(Clone, Debug)]
pub(crate) struct ReadAt {
    file: Arc<File>,
    length: u64,
}

impl ReadAt {
    pub fn open(path: &std::path::Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let metadata = file.metadata()?;
        if metadata.is_dir() {
            return Err(io::Error::new(io::ErrorKind::IsADirectory, "it is a folder"));
        }
        Ok(Self { file: Arc::new(file), length: metadata.len() })
    }

    pub fn length(&self) -> u64 {
        self.length
    }

    /// Replaces what is in `buffer` with the bytes from `start` to `end`.
    ///
    /// # Errors
    /// The file has become shorter than `end`, or cannot be read.
    pub fn read(&self, start: u64, end: u64, buffer: &mut Vec<u8>) -> io::Result<()> {
        buffer.clear();
        self.append(start, end, buffer)
    }

    /// As [`ReadAt::read`], behind what is in `buffer`.
    pub fn append(&self, start: u64, end: u64, buffer: &mut Vec<u8>) -> io::Result<()> {
        let kept = buffer.len();
        buffer.resize(kept + (end - start) as usize, 0);
        self.file.read_exact_at(&mut buffer[kept..], start).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => {
                io::Error::new(error.kind(), "the file has become shorter while it was read")
            }
            _ => error,
        })
    }
}

/// A place in the file that moves on as it is read.
pub(crate) struct At {
    file: ReadAt,
    position: u64,
}

impl Read for At {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.file.read_at(buffer, self.position)?;
        self.position += read as u64;
        Ok(read)
    }
}

impl Length for ReadAt {
    fn len(&self) -> u64 {
        self.length
    }
}

/// Unlike `File` itself, readers made here do not move each other.
impl ChunkReader for ReadAt {
    type T = BufReader<At>;

    fn get_read(&self, start: u64) -> ParquetResult<Self::T> {
        Ok(BufReader::new(At { file: self.clone(), position: start }))
    }

    fn get_bytes(&self, start: u64, length: usize) -> ParquetResult<Bytes> {
        let mut buffer = Vec::new();
        self.read(start, start + length as u64, &mut buffer)?;
        Ok(buffer.into())
    }
}
