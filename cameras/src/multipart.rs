//! The parts of `multipart/x-mixed-replace` (after RFC 2046, section 5.1), which is how cameras send MJPEG over HTTP.
//!
//! Cameras take liberties: a boundary is announced with or without its leading dashes, or in quotes, or is another one
//! in the body; lines end in LF alone; `Content-Length` is missing or wrong. This reader takes a part's length if it is
//! given, and else looks for the boundary. Lines of a part's head and parts are bounded, so that whatever comes, no
//! more than one picture is held.

use bytes::{Buf, Bytes, BytesMut};

/// The longest picture, bytes.
pub(crate) const LONGEST_PICTURE: usize = 16 << 20;
/// The longest head of a part, bytes.
const LONGEST_HEAD: usize = 16 << 10;
/// The longest text before the first boundary, bytes.
const LONGEST_PREAMBLE: usize = 64 << 10;

/// Reads parts from bytes as they come.
pub(crate) struct Reader {
    /// With the leading dashes.
    boundary: Vec<u8>,
    buffer: BytesMut,
    /// Bytes of the buffer that need not be searched again.
    searched: usize,
    place: Place,
    longest: usize,
}

#[derive(Clone, Copy, PartialEq)]
enum Place {
    Preamble,
    Head,
    /// The length, if the head has said it.
    Body(Option<usize>),
    /// After the last boundary.
    End,
}

/// Why no further part can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Broken {
    #[error("the stream has no boundary in its first {LONGEST_PREAMBLE} bytes")]
    NoBoundary,
    #[error("the head of a part is longer than {LONGEST_HEAD} bytes")]
    LongHead,
    #[error("a picture is longer than {0} bytes")]
    LongPart(usize),
}

impl Reader {
    /// A reader for a boundary, as the content type announces it.
    pub fn new(boundary: &str) -> Self {
        Self::with_longest(boundary, LONGEST_PICTURE)
    }

    fn with_longest(boundary: &str, longest: usize) -> Self {
        let dashes = if boundary.starts_with("--") { "" } else { "--" };
        let boundary = format!("{dashes}{boundary}").into_bytes();
        Self { boundary, buffer: BytesMut::new(), searched: 0, place: Place::Preamble, longest }
    }

    /// Takes bytes that have come; ask for parts until there are none before giving more.
    pub fn feed(&mut self, bytes: &[u8]) {
        if self.place != Place::End {
            self.buffer.extend_from_slice(bytes);
        }
    }

    /// Whether the sender has said that no part follows.
    pub fn is_over(&self) -> bool {
        self.place == Place::End
    }

    /// The content of the next part; `None` if more bytes are needed, or no part follows.
    pub fn next(&mut self) -> Result<Option<Bytes>, Broken> {
        loop {
            let went_on = match self.place {
                Place::Preamble => self.preamble()?,
                Place::Head => self.head()?,
                Place::Body(Some(length)) => {
                    if self.buffer.len() < length {
                        return Ok(None);
                    }
                    let part = self.buffer.split_to(length).freeze();
                    self.go(Place::Preamble);
                    return Ok(Some(part));
                }
                Place::Body(None) => match self.body()? {
                    Some(part) => return Ok(Some(part)),
                    None => false,
                },
                Place::End => return Ok(None),
            };
            if !went_on {
                return Ok(None);
            }
        }
    }

    fn go(&mut self, place: Place) {
        (self.place, self.searched) = (place, 0);
        if place == Place::End {
            self.buffer.clear();
        }
    }

    /// Looks for a boundary, and goes past its line.
    fn preamble(&mut self) -> Result<bool, Broken> {
        let Some(at) = self.find(&self.boundary) else {
            // What was searched cannot be part of a boundary, except for its last bytes.
            let done = self.buffer.len().saturating_sub(self.boundary.len());
            self.searched = done;
            return if done > LONGEST_PREAMBLE { Err(Broken::NoBoundary) } else { Ok(false) };
        };
        let after = at + self.boundary.len();
        let rest = &self.buffer[after..];
        if rest.starts_with(b"--") {
            self.go(Place::End);
            return Ok(true);
        }
        let Some(line) = rest.iter().position(|byte| *byte == b'\n') else {
            self.searched = at;
            return if rest.len() > LONGEST_HEAD { Err(Broken::LongHead) } else { Ok(false) };
        };
        self.buffer.advance(after + line + 1);
        self.go(Place::Head);
        Ok(true)
    }

    /// Reads lines up to an empty one.
    fn head(&mut self) -> Result<bool, Broken> {
        let mut length = None;
        let mut at = 0;
        while let Some(end) = self.buffer[at..].iter().position(|byte| *byte == b'\n') {
            let line = self.buffer[at..at + end].trim_ascii();
            at += end + 1;
            if at > LONGEST_HEAD {
                return Err(Broken::LongHead);
            }
            if line.is_empty() {
                if length.is_some_and(|length| length > self.longest) {
                    return Err(Broken::LongPart(self.longest));
                }
                self.buffer.advance(at);
                self.go(Place::Body(length));
                return Ok(true);
            }
            length = content_length(line).or(length);
        }
        if self.buffer.len() > LONGEST_HEAD { Err(Broken::LongHead) } else { Ok(false) }
    }

    /// Everything up to a boundary at the beginning of a line.
    fn body(&mut self) -> Result<Option<Bytes>, Broken> {
        let mark = [b"\n".as_slice(), &self.boundary].concat();
        let Some(at) = self.find(&mark) else {
            self.searched = self.buffer.len().saturating_sub(mark.len());
            return if self.searched > self.longest { Err(Broken::LongPart(self.longest)) } else { Ok(None) };
        };
        if at > self.longest + 1 {
            return Err(Broken::LongPart(self.longest));
        }
        let mut part = self.buffer.split_to(at);
        if part.last() == Some(&b'\r') {
            part.truncate(at - 1);
        }
        self.go(Place::Preamble);
        Ok(Some(part.freeze()))
    }

    fn find(&self, needle: &[u8]) -> Option<usize> {
        let first = *needle.first()?;
        let mut at = self.searched;
        while let Some(step) = self.buffer.get(at..)?.iter().position(|byte| *byte == first) {
            at += step;
            if self.buffer[at..].starts_with(needle) {
                return Some(at);
            }
            at += 1;
        }
        None
    }
}

fn content_length(line: &[u8]) -> Option<usize> {
    let (name, value) = std::str::from_utf8(line).ok()?.split_once(':')?;
    let length: usize = value.trim().parse().ok().filter(|_| name.trim().eq_ignore_ascii_case("content-length"))?;
    // Some send none, and say so by zero.
    (length > 0).then_some(length)
}

/// The boundary in a content type; `None` if it is not multipart or names none.
pub(crate) fn boundary(content_type: &str) -> Option<String> {
    let (kind, parameters) = content_type.split_once(';')?;
    if !kind.trim().to_ascii_lowercase().starts_with("multipart/") {
        return None;
    }
    let value = parameters.split(';').find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("boundary").then(|| value.trim().trim_matches('"').to_owned())
    })?;
    (!value.is_empty()).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(reader: &mut Reader, chunks: &[&[u8]]) -> Result<Vec<Bytes>, Broken> {
        let mut parts = vec![];
        for chunk in chunks {
            reader.feed(chunk);
            while let Some(part) = reader.next()? {
                parts.push(part);
            }
        }
        Ok(parts)
    }

    fn all(text: &str) -> Result<Vec<String>, Broken> {
        let parts = read(&mut Reader::new("frame"), &[text.as_bytes()])?;
        Ok(parts.iter().map(|part| String::from_utf8_lossy(part).into_owned()).collect())
    }

    #[test]
    fn parts_with_and_without_a_length() {
        let with = "--frame\r\nContent-Type: image/jpeg\r\nContent-Length: 3\r\n\r\nabc\r\n\
                    --frame\r\ncontent-length: 2\r\n\r\nde";
        assert_eq!(all(with).unwrap(), ["abc", "de"]);
        let without = "hello\r\n--frame\r\nContent-Type: image/jpeg\r\n\r\na\r\nbc\r\n--frame\n\nde\n--frame--\r\nbye";
        assert_eq!(all(without).unwrap(), ["a\r\nbc", "de"]);
    }

    #[test]
    fn a_length_is_believed_even_where_a_boundary_is_in_the_content() {
        assert_eq!(all("--frame\r\nContent-Length: 9\r\n\r\n\r\n--frame\r\n--frame--").unwrap(), ["\r\n--frame"]);
    }

    #[test]
    fn nothing_follows_the_last_boundary() {
        let mut reader = Reader::new("--frame");
        assert_eq!(
            read(&mut reader, &[b"--frame\r\n\r\na\r\n--frame--\r\n--frame\r\n\r\nb\r\n--frame"]).unwrap().len(),
            1
        );
        assert!(reader.is_over());
    }

    #[test]
    fn what_has_no_end_is_refused() {
        let endless = |start: &str, chunk: &[u8]| {
            let mut reader = Reader::with_longest("frame", 1 << 20);
            reader.feed(start.as_bytes());
            for _ in 0..100_000 {
                reader.feed(chunk);
                if let Err(broken) = reader.next() {
                    return (broken, reader.buffer.len() < (2 << 20));
                }
            }
            panic!("it goes on and on")
        };
        assert_eq!(endless("", &[b'x'; 1000]), (Broken::NoBoundary, true));
        assert_eq!(endless("--frame", &[b'x'; 1000]), (Broken::LongHead, true));
        assert_eq!(endless("--frame\r\n", b"a: b\r\n"), (Broken::LongHead, true));
        assert_eq!(endless("--frame\r\n\r\n", &[b'x'; 1000]), (Broken::LongPart(1 << 20), true));
        assert_eq!(endless("--frame\r\nContent-Length: 99999999999\r\n\r\n", b""), (Broken::LongPart(1 << 20), true));
    }

    #[test]
    fn boundaries_are_found_in_content_types() {
        let named = |text: &str| boundary(text);
        assert_eq!(named("multipart/x-mixed-replace;boundary=frame").as_deref(), Some("frame"));
        assert_eq!(named("Multipart/X-Mixed-Replace; charset=x; Boundary=\"--a b\"").as_deref(), Some("--a b"));
        assert_eq!(named("image/jpeg"), None);
        assert_eq!(named("multipart/x-mixed-replace; boundary="), None);
    }

    fn stream(parts: &[(Vec<u8>, bool)], newline: &str) -> Vec<u8> {
        let mut bytes = b"some preamble".to_vec();
        for (part, has_length) in parts {
            bytes.extend(format!("{newline}--frame{newline}Content-Type: image/jpeg{newline}").bytes());
            if *has_length && !part.is_empty() {
                bytes.extend(format!("Content-Length: {}{newline}", part.len()).bytes());
            }
            bytes.extend(newline.bytes().chain(part.iter().copied()));
        }
        bytes.extend(format!("{newline}--frame--{newline}").bytes());
        bytes
    }

    /// Contents that are full of what parts are separated by, and whether their length is said. None ends in what could be
    /// taken for the end of a line.
    fn contents() -> impl Strategy<Value = Vec<(Vec<u8>, bool)>> {
        let byte = prop_oneof![Just(b'-'), Just(b'\n'), Just(b'\r'), any::<u8>()];
        let content = prop::collection::vec(byte, 0..60).prop_map(|content| [content, vec![b'.']].concat());
        prop::collection::vec((content, any::<bool>()), 0..6)
    }

    proptest! {
        #[test]
        fn any_split_of_the_bytes_gives_the_same_parts(
            parts in contents(),
            crlf in any::<bool>(),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
        ) {
            let bytes = stream(&parts, if crlf { "\r\n" } else { "\n" });
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let chunks: Vec<&[u8]> = cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect();
            let mut reader = Reader::new("frame");
            let read = read(&mut reader, &chunks).unwrap();
            let expected: Vec<Bytes> = parts.into_iter().map(|(part, _)| part.into()).collect();
            prop_assert_eq!(read, expected);
            prop_assert!(reader.is_over());
        }

        #[test]
        fn garbage_never_panics_and_is_never_held(
            chunks in prop::collection::vec(prop::collection::vec(prop_oneof![
                Just(b"--frame".to_vec()), Just(b"\r\n".to_vec()), Just(b"\n\n".to_vec()), Just(b"--".to_vec()),
                Just(b"Content-Length: 10\r\n".to_vec()), Just(b"Content-Length: -1\n".to_vec()),
                prop::collection::vec(any::<u8>(), 0..100),
            ], 0..40), 0..40),
        ) {
            let mut reader = Reader::with_longest("frame", 500);
            for chunk in chunks {
                let chunk = chunk.concat();
                reader.feed(&chunk);
                loop {
                    match reader.next() {
                        Ok(Some(part)) => prop_assert!(part.len() <= 501),
                        Ok(None) => break,
                        Err(_) => return Ok(()),
                    }
                }
                prop_assert!(reader.buffer.len() <= LONGEST_PREAMBLE + LONGEST_HEAD + chunk.len());
            }
        }
    }
}
