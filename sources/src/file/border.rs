//! Where a text file may be cut without cutting a row.

use super::read_at::ReadAt;
use memchr::{memchr, memchr3, memrchr};
use std::io;

/// How much of a file a chunk aims at, bytes.
pub(super) const CHUNK: u64 = 256 * 1024;
/// How much is read at once to find the end of a line.
const LINE_BLOCK: u64 = 4 * 1024;

/// The end of the line in which the chunk that begins at `start` is full.
pub(super) fn line_border(file: &ReadAt, start: u64, block: &mut Vec<u8>) -> io::Result<u64> {
    // From the last byte of the full chunk on, which may be the line break itself.
    let mut at = start + CHUNK - 1;
    while at < file.length() {
        let end = (at + LINE_BLOCK).min(file.length());
        file.read(at, end, block)?;
        if let Some(found) = memchr(b'\n', block) {
            return Ok(at + found as u64 + 1);
        }
        at = end;
    }
    Ok(file.length())
}

/// The end of the last CSV record that ends in the chunk that begins at `start`, which must be the start of a record.
///
/// `limit` is the longest record. One that goes on beyond it, most likely because a quote is never closed, is cut at
/// the next line break, so that the rest of the file is read as rows again.
pub(super) fn record_border(file: &ReadAt, start: u64, limit: usize, block: &mut Vec<u8>) -> io::Result<u64> {
    let full = CHUNK.max(2 * limit as u64 + LINE_BLOCK);
    let end = (start + full).min(file.length());
    file.read(start, end, block)?;
    // A record that the file's end closes counts too.
    let open_end = if end == file.length() { Some(block.len()) } else { None };
    let last = match memchr(b'"', block) {
        // Without quotes every line break ends a record.
        None => open_end.or_else(|| memrchr(b'\n', block).map(|at| at + 1)),
        Some(_) => last_record_end(block, limit, open_end),
    };
    let cut = last.unwrap_or_else(|| {
        let beyond = limit.min(block.len());
        memchr(b'\n', &block[beyond..]).map_or(block.len(), |at| beyond + at + 1)
    });
    Ok(start + cut as u64)
}

/// Where the last record that is not too long ends. `None` if the very first one is too long.
fn last_record_end(block: &[u8], limit: usize, open_end: Option<usize>) -> Option<usize> {
    let mut scanner = RecordScanner::default();
    let mut at = 0;
    while let Some(length) = scanner.scan(&block[at..]) {
        if length > limit && at == 0 {
            return None;
        }
        if length > limit {
            return Some(at);
        }
        at += length;
    }
    match open_end {
        Some(end) if end - at <= limit => Some(end),
        _ => (at > 0).then_some(at),
    }
}

/// Follows the quotes of CSV as the `csv` crate does: a quote opens a field only at its start.
#[derive(Debug, Default)]
pub(super) struct RecordScanner {
    state: State,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    FieldStart,
    Unquoted,
    Quoted,
    /// After a quote in a quoted field: doubled, or the field's end.
    QuoteInQuoted,
}

impl RecordScanner {
    /// The length of the record that goes on at the start of `bytes`, with its line break; `None` if it does not end.
    pub fn scan(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut at = 0;
        while at < bytes.len() {
            let rest = &bytes[at..];
            let (step, state) = match (self.state, rest[0]) {
                (State::FieldStart, b'"') | (State::QuoteInQuoted, b'"') => (1, State::Quoted),
                (State::Quoted, _) => match memchr(b'"', rest) {
                    Some(quote) => (quote + 1, State::QuoteInQuoted),
                    None => return None,
                },
                (_, b',') => (1, State::FieldStart),
                (_, b'\n' | b'\r') => {
                    self.state = State::FieldStart;
                    return Some(at + 1);
                }
                _ => {
                    self.state = State::Unquoted;
                    (memchr3(b',', b'\n', b'\r', rest)?, State::Unquoted)
                }
            };
            at += step;
            self.state = state;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn records_end_where_the_csv_reader_ends_them(text in r#"[ab,"\r\n]{0,60}"#, cut in 0_usize..60) {
            let bytes = text.as_bytes();
            let mut ends = Vec::new();
            let (mut scanner, mut at, mut from) = (RecordScanner::default(), 0, 0);
            // In two pieces, as a file is read.
            for to in [cut.min(bytes.len()), bytes.len()] {
                while let Some(length) = scanner.scan(&bytes[from..to]) {
                    from += length;
                    // Blank lines are no records.
                    if bytes[at..from].iter().any(|b| !matches!(b, b'\r' | b'\n')) { ends.push(from); }
                    at = from;
                }
                from = to;
            }
            let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(bytes);
            let mut record = csv::ByteRecord::new();
            let mut expected = Vec::new();
            while reader.read_byte_record(&mut record).expect("memory") {
                expected.push(reader.position().byte() as usize);
            }
            // The last record may be ended by the end of the file, which a scanner does not know.
            if ends.len() < expected.len() { expected.pop(); }
            prop_assert_eq!(ends, expected);
        }
    }
}
