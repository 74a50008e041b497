//! Frames: a length, a checksum, a header and a body.
//!
//! ```text
//! file   magic (8 bytes), frames
//! frame  length of the rest after the checksum, u32 | CRC-32 (IEEE 802.3) of the rest, u32
//!        length of the header, u32 | header, JSON | body
//! ```
//! Numbers are little-endian.

use crate::{LogError, file_error};
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

/// The last byte is the version of the format.
pub const MAGIC: [u8; 8] = *b"jarvlog\x01";
/// A length above this is damage, not a frame.
const LONGEST: u32 = 1 << 30;

/// Appends a frame.
pub fn put(out: &mut Vec<u8>, header: &[u8], body: &[u8]) -> io::Result<()> {
    let length = u32::try_from(4 + header.len() + body.len()).ok().filter(|l| *l <= LONGEST);
    let length = length.ok_or_else(|| io::Error::other("a tick of more than 1 GiB"))?;
    let header_length = (header.len() as u32).to_le_bytes();
    let mut crc = crc32fast::Hasher::new();
    [&header_length[..], header, body].iter().for_each(|part| crc.update(part));
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(&crc.finalize().to_le_bytes());
    out.extend_from_slice(&header_length);
    out.extend_from_slice(header);
    out.extend_from_slice(body);
    Ok(())
}

/// A frame as it was read.
pub struct Frame {
    bytes: Vec<u8>,
    header: usize,
}

impl Frame {
    pub fn header(&self) -> &[u8] {
        &self.bytes[4..4 + self.header]
    }
    pub fn body(&self) -> &[u8] {
        &self.bytes[4 + self.header..]
    }
}

/// The frame that begins at the start of `bytes`, if it is whole.
pub fn whole(bytes: &[u8]) -> Option<Frame> {
    let number = |at: usize| Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?));
    let (length, crc, header) = (number(0)?, number(4)?, number(8)?);
    let rest = bytes.get(8..8 + length as usize)?;
    let is_whole = header <= length.checked_sub(4)? && crc32fast::hash(rest) == crc;
    is_whole.then(|| Frame { bytes: rest.to_vec(), header: header as usize })
}

/// What comes next in a file.
pub enum Next {
    Frame(Frame),
    End,
    /// From here on there is no frame: the file was cut off while it was written, or damaged.
    Torn(String),
}

/// Reads the frames of a file in order.
pub struct Frames {
    path: PathBuf,
    file: BufReader<File>,
    /// Where the next frame begins.
    at: u64,
    length: u64,
}

impl Frames {
    /// # Errors
    /// The file cannot be read, or is of another version. `None`: it ends before its first frame could begin.
    pub fn open(path: &Path) -> Result<Option<Self>, LogError> {
        let file = File::open(path).map_err(file_error(path))?;
        let length = file.metadata().map_err(file_error(path))?.len();
        let mut file = BufReader::with_capacity(1 << 20, file);
        if length < MAGIC.len() as u64 {
            return Ok(None);
        }
        let mut magic = [0; 8];
        file.read_exact(&mut magic).map_err(file_error(path))?;
        // What a crash left of a file that had its length but not its content.
        if magic == [0; 8] {
            return Ok(None);
        }
        if magic != MAGIC {
            return Err(LogError::Version { path: path.to_owned(), found: magic.to_vec() });
        }
        Ok(Some(Frames { path: path.to_owned(), file, at: MAGIC.len() as u64, length }))
    }
    pub fn path(&self) -> &Path {
        &self.path
    }
    /// Whether the file is longer than it was when it was opened.
    pub fn has_grown(&self) -> Result<bool, LogError> {
        let length = self.file.get_ref().metadata().map_err(file_error(&self.path))?.len();
        Ok(length > self.length)
    }
    /// Where the next frame begins.
    pub fn at(&self) -> u64 {
        self.at
    }
    /// # Errors
    /// The disk refuses. What is damaged is no error but [`Next::Torn`].
    pub fn next(&mut self) -> Result<Next, LogError> {
        let left = self.length - self.at;
        if left == 0 {
            return Ok(Next::End);
        }
        let torn = |reason: &str| Ok(Next::Torn(reason.to_owned()));
        if left < 12 {
            return torn("the file ends within a frame");
        }
        let mut head = [0; 8];
        self.file.read_exact(&mut head).map_err(file_error(&self.path))?;
        let number = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        let (length, crc) = (number(0), number(4));
        if !(4..=LONGEST).contains(&length) {
            return torn("the length of a frame is impossible");
        }
        if u64::from(length) > left - 8 {
            return torn("the file ends within a frame");
        }
        let mut bytes = vec![0; length as usize];
        self.file.read_exact(&mut bytes).map_err(file_error(&self.path))?;
        let header = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        if crc32fast::hash(&bytes) != crc || header > length - 4 {
            return torn("the checksum of a frame does not fit its content");
        }
        self.at += 8 + u64::from(length);
        Ok(Next::Frame(Frame { bytes, header: header as usize }))
    }
    /// The rest of the file is not a log.
    pub fn damaged(&self, reason: impl Into<String>) -> LogError {
        LogError::Damaged { path: self.path.clone(), at: self.at, reason: reason.into() }
    }
}
