//! The text of a file and places in it.

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer};
use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;
use std::path::PathBuf;
use std::sync::Arc;

/// A file as it was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceText {
    /// Shown in diagnostics as it is; relative paths in the file start at its folder.
    pub path: PathBuf,
    pub text: String,
}

/// A position between two characters of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// From 1. Lines end with `\n`, `\r\n` or `\r`.
    pub line: usize,
    /// From 1, in characters (Unicode scalar values) of the line; a byte order mark at the start of the text does not count.
    pub column: usize,
    /// From 0, in bytes of the whole text; always at a character's border.
    pub offset: usize,
}

/// From `start` up to, not including, `end`.
#[derive(Clone)]
pub struct Span {
    pub text: Arc<SourceText>,
    pub start: Place,
    pub end: Place,
}

/// A value and where it was written. Equality looks at the value only.
#[derive(Clone)]
pub struct Spanned<T> {
    pub value: T,
    pub span: Span,
}

impl SourceText {
    pub fn new(path: impl Into<PathBuf>, text: impl Into<String>) -> Arc<Self> {
        Arc::new(Self { path: path.into(), text: text.into() })
    }

    /// The line with this number (from 1) without its line break and without a byte order mark; empty past the last line.
    pub fn line(&self, number: usize) -> &str {
        let mut rest = &self.text[self.mark()..];
        for _ in 1..number {
            match line_break(rest) {
                Some((_, next)) => rest = &rest[next..],
                None => return "",
            }
        }
        match line_break(rest) {
            Some((end, _)) => &rest[..end],
            None => rest,
        }
    }

    /// The place of a byte offset. An offset inside a character or past the end moves back to the nearest border.
    pub fn place(&self, offset: usize) -> Place {
        let mut offset = offset.min(self.text.len());
        while !self.text.is_char_boundary(offset) {
            offset -= 1;
        }
        let (mut line, mut start) = (1, 0);
        while let Some((_, next)) = line_break(&self.text[start..]) {
            if start + next > offset {
                break;
            }
            line += 1;
            start += next;
        }
        let start = start.max(self.mark().min(offset));
        let column = 1 + self.text[start..offset].chars().count();
        Place { line, column, offset }
    }

    /// The bytes of the byte order mark at the start, if there is one.
    fn mark(&self) -> usize {
        if self.text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 }
    }

    /// The span of a range of byte offsets.
    pub fn span(self: &Arc<Self>, start: usize, end: usize) -> Span {
        let start = self.place(start);
        let end = self.place(end.max(start.offset));
        Span { text: Arc::clone(self), start, end }
    }
}

/// Where the first line of `text` ends and where the next one starts.
fn line_break(text: &str) -> Option<(usize, usize)> {
    let end = text.find(['\n', '\r'])?;
    let next = if text[end..].starts_with("\r\n") { end + 2 } else { end + 1 };
    Some((end, next))
}

impl Span {
    /// The very start of a text: for findings about a file as a whole.
    pub fn start_of(text: &Arc<SourceText>) -> Self {
        let start = Place { line: 1, column: 1, offset: 0 };
        Span { text: Arc::clone(text), start, end: start }
    }

    /// From the start of `self` to the end of `other`, which stands later in the same text.
    pub fn to(&self, other: &Span) -> Span {
        Span { text: Arc::clone(&self.text), start: self.start, end: other.end.max(self.end) }
    }

    /// The characters in between, as written.
    pub fn source(&self) -> &str {
        self.text.text.get(self.start.offset..self.end.offset).unwrap_or_default()
    }
}

/// `path:line:column`, where it starts.
impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.text.path.display(), self.start.line, self.start.column)
    }
}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}-{}:{}", self.end.line, self.end.column)
    }
}

/// Same range of an equal text.
impl PartialEq for Span {
    fn eq(&self, other: &Self) -> bool {
        self.start == other.start
            && self.end == other.end
            && (Arc::ptr_eq(&self.text, &other.text) || self.text == other.text)
    }
}

impl Eq for Span {}

impl<T> Spanned<T> {
    pub fn new(value: T, span: Span) -> Self {
        Self { value, span }
    }

    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Spanned<U> {
        Spanned { value: f(self.value), span: self.span }
    }

    pub fn into_inner(self) -> T {
        self.value
    }
}

impl<T> Deref for Spanned<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: PartialEq> PartialEq for Spanned<T> {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl<T: Eq> Eq for Spanned<T> {}

impl PartialEq<str> for Spanned<String> {
    fn eq(&self, other: &str) -> bool {
        self.value == other
    }
}

impl PartialEq<&str> for Spanned<String> {
    fn eq(&self, other: &&str) -> bool {
        self.value == *other
    }
}

impl<T: fmt::Debug> fmt::Debug for Spanned<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(f)
    }
}

impl<T: fmt::Display> fmt::Display for Spanned<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(f)
    }
}

/// An option whose place matters later: only [`crate::Node::parse`] can fill it.
impl<'de, T: Deserialize<'de>> Deserialize<'de> for Spanned<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        crate::deserialize::spanned(deserializer)
    }
}

/// In a schema the place is not seen: the option looks like its value.
impl<T: JsonSchema> JsonSchema for Spanned<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }
    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }
    fn schema_id() -> Cow<'static, str> {
        T::schema_id()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}
