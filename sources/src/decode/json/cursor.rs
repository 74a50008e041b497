//! JSON text, RFC 8259, token by token.
//!
//! Written for rows of a known schema: the caller asks for what the schema expects, so nothing is looked up, boxed or
//! copied that the schema does not ask for, and numbers keep their digits for decimals. It never recurses: text of any
//! depth costs no stack.

use super::number::Number;
use crate::decode::fault::{Fault, Outcome, quoted};

/// How deep a value of the type `json`, or one that is skipped, may be nested.
pub(crate) const MAX_DEPTH: usize = 128;

/// A place in a JSON text.
pub(crate) struct Cursor<'a> {
    text: &'a str,
    pub(super) bytes: &'a [u8],
    pub(super) at: usize,
}

impl<'a> Cursor<'a> {
    pub fn new(text: &'a str) -> Self {
        Self { text, bytes: text.as_bytes(), at: 0 }
    }

    /// The next byte that is not white space, without taking it.
    #[inline]
    pub fn peek(&mut self) -> Option<u8> {
        loop {
            let byte = *self.bytes.get(self.at)?;
            if !matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
                return Some(byte);
            }
            self.at += 1;
        }
    }

    /// Takes the next byte that is not white space if it is this one.
    #[inline]
    pub fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    /// Takes these bytes if they come next, with no white space before or in them.
    #[inline]
    pub fn take_exactly(&mut self, bytes: &[u8]) -> bool {
        let found = starts_with(&self.bytes[self.at..], bytes);
        self.at += if found { bytes.len() } else { 0 };
        found
    }

    #[inline]
    pub fn expect(&mut self, byte: u8, what: &str) -> Outcome<()> {
        if self.take(byte) { Ok(()) } else { Err(self.unexpected(what)) }
    }

    /// Nothing but white space may follow.
    pub fn end(&mut self) -> Outcome<()> {
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(self.unexpected("the end of the row")),
        }
    }

    /// Between the entries of an object or the items of an array: `true` if another one follows.
    #[inline]
    pub fn another(&mut self, close: u8) -> Outcome<bool> {
        match self.peek() {
            Some(b',') => {
                self.at += 1;
                Ok(true)
            }
            Some(byte) if byte == close => {
                self.at += 1;
                Ok(false)
            }
            _ => Err(self.unexpected(if close == b'}' { "`,` or `}`" } else { "`,` or `]`" })),
        }
    }

    /// A key and its colon.
    pub fn key<'s>(&mut self, scratch: &'s mut String) -> Outcome<&'s str>
    where
        'a: 's,
    {
        if self.peek() != Some(b'"') {
            return Err(self.unexpected("a key in quotes"));
        }
        let key = self.string(scratch)?;
        self.expect(b':', "`:` after the key")?;
        Ok(key)
    }

    /// The literal that starts here, which the caller has recognised by its first byte.
    pub fn literal(&mut self, word: &'static str) -> Outcome<()> {
        if self.take_exactly(word.as_bytes()) { Ok(()) } else { Err(self.unexpected("a value")) }
    }

    /// The string that starts here with its quote; `scratch` is used only if it has escapes.
    #[inline]
    pub fn string<'s>(&mut self, scratch: &'s mut String) -> Outcome<&'s str>
    where
        'a: 's,
    {
        let start = self.at + 1;
        let end = start + plain_length(&self.bytes[start..]);
        if self.bytes.get(end) == Some(&b'"') {
            self.at = end + 1;
            return Ok(&self.text[start..end]);
        }
        self.at = end;
        self.escaped_string(start, scratch)?;
        Ok(scratch)
    }

    /// A string from its first byte that is not plain on; what stands before it begins at `start`.
    #[cold]
    fn escaped_string(&mut self, start: usize, scratch: &mut String) -> Outcome<()> {
        scratch.clear();
        scratch.push_str(&self.text[start..self.at]);
        loop {
            match self.bytes.get(self.at) {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b'\\') => scratch.push(self.escape()?),
                Some(_) => {
                    return Err(self.syntax("a control character in a string: write it as an escape such as \\n"));
                }
                None => return Err(self.syntax("the string is not closed")),
            }
            let from = self.at;
            self.at += plain_length(&self.bytes[from..]);
            scratch.push_str(&self.text[from..self.at]);
        }
    }

    /// The character of the escape that starts here.
    fn escape(&mut self) -> Outcome<char> {
        self.at += 2;
        Ok(match self.bytes.get(self.at - 1) {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.unicode_escape(),
            _ => {
                self.at = self.bytes.len().min(self.at - 1);
                return Err(self.syntax("an escape that JSON does not have"));
            }
        })
    }

    /// After `\u`: four hex digits, or a pair of surrogates.
    fn unicode_escape(&mut self) -> Outcome<char> {
        let first = self.hex4()?;
        let code = match first {
            0xD800..0xDC00 if self.take_exactly(b"\\u") => match self.hex4()? {
                second @ 0xDC00..0xE000 => 0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00),
                _ => first,
            },
            _ => first,
        };
        char::from_u32(code).ok_or_else(|| self.syntax("half of a surrogate pair"))
    }

    fn hex4(&mut self) -> Outcome<u32> {
        let digits = self.bytes.get(self.at..self.at + 4).filter(|d| d.iter().all(u8::is_ascii_hexdigit));
        let Some(digits) = digits else { return Err(self.syntax("`\\u` without four hex digits")) };
        self.at += 4;
        // Hex digits, checked above: to_digit has a value for each.
        Ok(digits.iter().fold(0, |code, digit| code << 4 | char::from(*digit).to_digit(16).unwrap_or(0)))
    }

    /// The number that starts here with a digit or a minus.
    #[inline]
    pub fn number(&mut self) -> Outcome<Number<'a>> {
        match Number::scan(self.text, self.at) {
            Some(number) => {
                self.at += number.text.len();
                Ok(number)
            }
            None => Err(self.not_a_number()),
        }
    }

    #[cold]
    fn not_a_number(&mut self) -> Box<Fault> {
        let rest = &self.text[self.at..];
        if rest.starts_with("-I") {
            self.not_finite()
        } else {
            self.syntax("a number that is not written as JSON wants")
        }
    }

    /// Skips one value of any shape and returns its text.
    pub fn any(&mut self, scratch: &mut String) -> Outcome<&'a str> {
        self.peek();
        let start = self.at;
        // One bit per open object or array, 1 for an object.
        let (mut depth, mut objects) = (0_usize, 0_u128);
        'value: loop {
            match self.peek() {
                Some(open @ (b'{' | b'[')) => {
                    self.at += 1;
                    if self.peek() == Some(open + 2) {
                        self.at += 1;
                    } else {
                        if depth == MAX_DEPTH {
                            return Err(Fault::new(
                                "too_deep",
                                format!("more than {MAX_DEPTH} values inside each other"),
                            ));
                        }
                        depth += 1;
                        objects = objects << 1 | u128::from(open == b'{');
                        if open == b'{' {
                            self.key(scratch)?;
                        }
                        continue 'value;
                    }
                }
                _ => self.scalar(scratch)?,
            }
            while depth > 0 {
                let object = objects & 1 == 1;
                if self.another(if object { b'}' } else { b']' })? {
                    if object {
                        self.key(scratch)?;
                    }
                    continue 'value;
                }
                depth -= 1;
                objects >>= 1;
            }
            return Ok(&self.text[start..self.at]);
        }
    }

    fn scalar(&mut self, scratch: &mut String) -> Outcome<()> {
        match self.peek() {
            Some(b'"') => self.string(scratch).map(|_| ()),
            Some(b'-' | b'0'..=b'9') => self.number().map(|_| ()),
            Some(b't') => self.literal("true"),
            Some(b'f') => self.literal("false"),
            Some(b'n') => self.literal("null"),
            _ => Err(self.unexpected("a value")),
        }
    }

    /// What stands here, for the message that another type is expected. An error of its own if it is no JSON at all.
    #[cold]
    pub fn mismatch(&mut self, expected: &str) -> Box<Fault> {
        let found = match self.peek() {
            Some(b'{') => "an object".to_owned(),
            Some(b'[') => "a list".to_owned(),
            Some(b'"') => match self.string(&mut String::new()) {
                Ok(text) => format!("the text {}", quoted(text)),
                Err(fault) => return fault,
            },
            Some(b'-' | b'0'..=b'9') => match self.number() {
                Ok(number) => format!("the number {}", number.text),
                Err(fault) => return fault,
            },
            Some(b't' | b'f' | b'n') => {
                let start = self.at;
                match self.scalar(&mut String::new()) {
                    Ok(()) => self.text[start..self.at].to_owned(),
                    Err(fault) => return fault,
                }
            }
            _ => return self.unexpected(expected),
        };
        Fault::wrong_type(expected, &found)
    }

    #[cold]
    fn unexpected(&mut self, expected: &str) -> Box<Fault> {
        let rest = self.peek().map(|_| &self.text[self.at..]).unwrap_or_default();
        if rest.starts_with("NaN") || rest.starts_with("Infinity") || rest.starts_with("-Infinity") {
            return self.not_finite();
        }
        match rest.chars().next() {
            Some(found) => self.syntax(&format!("expected {expected}, found {found:?}")),
            None => self.syntax(&format!("expected {expected}, but the text ends")),
        }
    }

    #[cold]
    fn not_finite(&mut self) -> Box<Fault> {
        let rest = &self.text[self.at..];
        let length = rest.bytes().take_while(|b| b.is_ascii_alphabetic() || *b == b'-').count();
        Fault::not_finite(&rest[..length])
    }

    #[cold]
    fn syntax(&self, message: &str) -> Box<Fault> {
        Fault::new("json_syntax", format!("not JSON at byte {}: {message}", self.at))
    }
}

/// As the standard library's, without a call for the short texts that keys are.
#[inline]
fn starts_with(bytes: &[u8], start: &[u8]) -> bool {
    let Some(bytes) = bytes.get(..start.len()) else { return false };
    match start.len() {
        // The first and the last bytes, which overlap.
        4..=8 => bytes.first_chunk::<4>() == start.first_chunk() && bytes.last_chunk::<4>() == start.last_chunk(),
        9..=16 => bytes.first_chunk::<8>() == start.first_chunk() && bytes.last_chunk::<8>() == start.last_chunk(),
        _ => bytes == start,
    }
}

/// How many bytes at the start of a string's inside are plain: no quote, backslash or control character.
///
/// Eight bytes at a time; the formulas are from "Bit Twiddling Hacks" (haszero, hasless). A borrow can only mark bytes
/// above one that is marked rightly, and the lowest one is taken.
#[inline]
fn plain_length(bytes: &[u8]) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let equals = |word: u64, byte: u8| {
        let zero_where_equal = word ^ (ONES * u64::from(byte));
        zero_where_equal.wrapping_sub(ONES) & !zero_where_equal
    };
    let (words, rest) = bytes.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let control = word.wrapping_sub(ONES * 0x20) & !word;
        let marked = (equals(word, b'"') | equals(word, b'\\') | control) & HIGH;
        if marked != 0 {
            return index * 8 + marked.trailing_zeros() as usize / 8;
        }
    }
    let plain = rest.iter().take_while(|byte| !matches!(byte, b'"' | b'\\' | 0..0x20)).count();
    words.len() * 8 + plain
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn starts_are_found_as_the_standard_library_does(text in "[ab]{0,24}", length in 0usize..24, at in 0usize..24) {
            let mut start = text.as_bytes()[..length.min(text.len())].to_vec();
            prop_assert!(super::starts_with(text.as_bytes(), &start));
            if let Some(byte) = start.get_mut(at) { *byte ^= 1; }
            prop_assert_eq!(super::starts_with(text.as_bytes(), &start), text.as_bytes().starts_with(&start));
        }
    }
}
