//! A YAML value that remembers where it was written.

use crate::env::Expanded;
use crate::{Diagnostic, Diagnostics, SourceText, Span, Spanned, deserialize, written, yaml};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use std::borrow::Cow;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// A YAML value with the place of itself, of every key and of every scalar in it.
///
/// Equality looks at the values only. [`Debug`](fmt::Debug) shows no value that came from the environment.
#[derive(Clone, PartialEq)]
pub struct Node {
    content: Content,
    span: Place,
}

/// What a [`Node`] holds.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    Scalar(Scalar),
    Sequence(Vec<Node>),
    /// In the order written; no key twice.
    Mapping(Vec<Entry>),
}

/// A key and its value.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Keys are texts: `1:` and `"1":` are the same key.
    pub key: Spanned<String>,
    pub value: Node,
}

/// A value without parts.
#[derive(Clone)]
pub struct Scalar {
    pub value: ScalarValue,
    /// The characters, with quotes and escapes undone and `${NAME}` replaced.
    pub text: String,
    pub style: Style,
    /// Whether part of the text came from the environment: it must not be shown.
    pub secret: bool,
    /// How the text came from the one that was written, where it had a `${NAME}`.
    pub(crate) expanded: Option<Box<Expanded>>,
}

/// A scalar by the core schema of YAML 1.2: only plain ones can be something else than text.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ScalarValue {
    Null,
    Bool(bool),
    Int(i128),
    Float(f64),
    /// See [`Scalar::text`].
    Text,
}

/// How a scalar was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    Plain,
    SingleQuoted,
    DoubleQuoted,
    /// A block after `|`: line breaks stay.
    Literal,
    /// A block after `>`: lines are joined.
    Folded,
}

/// A span that takes no part in comparisons.
#[derive(Clone)]
struct Place(Span);

impl PartialEq for Place {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Node {
    pub fn new(content: Content, span: Span) -> Self {
        Self { content, span: Place(span) }
    }

    /// Reads a YAML file of one document. `environment` answers `${NAME}`. All findings are reported at once.
    pub fn read(text: &Arc<SourceText>, environment: &dyn Fn(&str) -> Option<String>) -> Result<Node, Diagnostics> {
        let reading = yaml::read(text, environment);
        match reading.root {
            Some(node) if reading.findings.is_empty() => Ok(node),
            _ => Err(reading.findings),
        }
    }

    pub fn span(&self) -> &Span {
        &self.span.0
    }

    pub fn content(&self) -> &Content {
        &self.content
    }

    pub fn as_scalar(&self) -> Option<&Scalar> {
        match &self.content {
            Content::Scalar(scalar) => Some(scalar),
            _ => None,
        }
    }

    /// The value below a key of a mapping.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entries().iter().find(|entry| entry.key.value == key).map(|entry| &entry.value)
    }

    /// The keys and values of a mapping; empty for everything else.
    pub fn entries(&self) -> &[Entry] {
        match &self.content {
            Content::Mapping(entries) => entries,
            _ => &[],
        }
    }

    /// The items of a sequence; empty for everything else.
    pub fn items(&self) -> &[Node] {
        match &self.content {
            Content::Sequence(items) => items,
            _ => &[],
        }
    }

    /// A text. A scalar with a `${NAME}` in it counts as one, whatever it looks like.
    pub fn as_str(&self) -> Option<&str> {
        let scalar = self.as_scalar()?;
        (scalar.value == ScalarValue::Text || scalar.expanded.is_some()).then_some(scalar.text.as_str())
    }

    pub fn as_bool(&self) -> Option<bool> {
        match self.as_scalar()?.resolved() {
            ScalarValue::Bool(value) => Some(value),
            _ => None,
        }
    }

    /// A whole number.
    pub fn as_int(&self) -> Option<i128> {
        match self.as_scalar()?.resolved() {
            ScalarValue::Int(value) => Some(value),
            _ => None,
        }
    }

    /// Any number; a whole one beyond 2^53 is rounded.
    pub fn as_f64(&self) -> Option<f64> {
        match self.as_scalar()?.resolved() {
            ScalarValue::Int(value) => Some(value as f64),
            ScalarValue::Float(value) => Some(value),
            _ => None,
        }
    }

    pub fn is_null(&self) -> bool {
        self.as_scalar().is_some_and(|scalar| scalar.value == ScalarValue::Null)
    }

    pub fn is_sequence(&self) -> bool {
        matches!(self.content, Content::Sequence(_))
    }

    pub fn is_mapping(&self) -> bool {
        matches!(self.content, Content::Mapping(_))
    }

    /// Whether it is, or has in it, a value from the environment.
    pub fn is_secret(&self) -> bool {
        !self.secrets().is_empty()
    }

    /// All texts in it that came from the environment, and those that such texts are part of.
    fn secrets(&self) -> Vec<&str> {
        match &self.content {
            Content::Scalar(scalar) if scalar.secret => scalar.secrets(),
            Content::Scalar(_) => Vec::new(),
            Content::Sequence(items) => items.iter().flat_map(Node::secrets).collect(),
            Content::Mapping(entries) => entries.iter().flat_map(|entry| entry.value.secrets()).collect(),
        }
    }

    /// A message without the values in this node that came from the environment, also where they stand in it escaped
    /// as by `{:?}`, or in lower case, as SQL reads names. For messages of others (an SQL planner, a protocol) that may
    /// repeat what they were given.
    pub fn redacted(&self, message: &str) -> String {
        let mut secrets = self.secrets();
        // A part of a secret must not be replaced before the whole of it.
        secrets.sort_unstable_by_key(|secret| std::cmp::Reverse(secret.len()));
        let mut text = message.to_owned();
        for secret in secrets.into_iter().filter(|secret| !secret.is_empty()) {
            for form in [secret.to_owned(), secret.escape_debug().to_string(), secret.to_lowercase()] {
                text = text.replace(&form, "***");
            }
        }
        text
    }

    /// What it is, with its article, for messages: `a list`, `the text "x"`. Never shows a secret.
    pub fn describe(&self) -> String {
        match &self.content {
            Content::Sequence(_) => "a list".to_owned(),
            Content::Mapping(_) => "a mapping".to_owned(),
            Content::Scalar(scalar) if scalar.secret => "a value from the environment".to_owned(),
            Content::Scalar(scalar) => match scalar.value {
                ScalarValue::Null => "empty".to_owned(),
                ScalarValue::Bool(value) => value.to_string(),
                ScalarValue::Int(_) | ScalarValue::Float(_) => format!("the number {}", shortened(&scalar.text)),
                ScalarValue::Text => format!("the text {:?}", shortened(&scalar.text)),
            },
        }
    }

    /// The value as JSON, with secrets in clear: not for people to see.
    ///
    /// `.nan` and `.inf`, which JSON does not have, become their text; whole numbers beyond 64 bits become floats.
    pub fn to_json(&self) -> serde_json::Value {
        match &self.content {
            Content::Scalar(scalar) => scalar.to_json(),
            Content::Sequence(items) => items.iter().map(Node::to_json).collect(),
            Content::Mapping(entries) => entries
                .iter()
                .map(|entry| (entry.key.value.clone(), entry.value.to_json()))
                .collect::<serde_json::Map<_, _>>()
                .into(),
        }
    }

    /// Reads the options of a kind, or any other type with a serde description.
    ///
    /// A mapping that is left empty (`console:`) reads as one without keys. The diagnostic (`unknown_key`, `wrong_type`,
    /// `missing_key`, `wrong_value`) points at the innermost place and shows no secret. A type's own error may say what to do
    /// after `\nhelp: `.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, Diagnostic> {
        deserialize::parse(self)
    }

    /// The place of a character of a scalar's text, for findings about a text in another language (SQL) inside it.
    /// `line` and `column` count from 1, in characters; what lies beyond the text moves to its end.
    ///
    /// Works for every style: block, quoted, plain, folded; an offset inside a `${NAME}`'s value is the `${NAME}`.
    pub fn text_place(&self, line: usize, column: usize) -> Span {
        let Some(scalar) = self.as_scalar() else { return self.span().clone() };
        let mut start = 0;
        for _ in 1..line {
            match scalar.text[start..].find('\n') {
                Some(end) => start += end + 1,
                None => start = scalar.text.len(),
            }
        }
        let rest = &scalar.text[start..];
        let rest = rest.split('\n').next().unwrap_or(rest);
        let offset = start + rest.char_indices().nth(column.saturating_sub(1)).map_or(rest.len(), |(at, _)| at);
        let next = scalar.text[offset..].chars().next().filter(|c| *c != '\n').map_or(0, char::len_utf8);
        self.text_span(offset..offset + next)
    }

    /// As [`Node::text_place`], for a range of byte offsets in the scalar's text.
    pub fn text_span(&self, range: Range<usize>) -> Span {
        match self.as_scalar() {
            Some(scalar) => written::span(scalar, self.span(), range),
            None => self.span().clone(),
        }
    }
}

/// Long texts are cut in messages.
fn shortened(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("{}…", &text[..end]).into(),
        None => text.into(),
    }
}

impl Scalar {
    pub fn is_quoted(&self) -> bool {
        self.style != Style::Plain
    }

    /// The value where a reader asks for a certain type: with a `${NAME}` in it, quotes do not make it a text.
    pub(crate) fn resolved(&self) -> ScalarValue {
        match self.expanded {
            Some(_) => ScalarValue::of_plain(&self.text),
            None => self.value,
        }
    }

    /// The whole text and the parts of it that came from the environment.
    fn secrets(&self) -> Vec<&str> {
        let parts = self.expanded.iter().flat_map(|expanded| &expanded.parts).filter(|part| part.secret);
        let parts = parts.filter_map(|part| self.text.get(part.text.clone()));
        std::iter::once(self.text.as_str()).chain(parts).collect()
    }

    fn to_json(&self) -> serde_json::Value {
        let text = || self.text.clone().into();
        match self.value {
            ScalarValue::Null => serde_json::Value::Null,
            ScalarValue::Bool(value) => value.into(),
            ScalarValue::Int(value) => match (i64::try_from(value), u64::try_from(value)) {
                (Ok(value), _) => value.into(),
                (_, Ok(value)) => value.into(),
                _ => serde_json::Number::from_f64(value as f64).map_or_else(text, Into::into),
            },
            ScalarValue::Float(value) => serde_json::Number::from_f64(value).map_or_else(text, Into::into),
            ScalarValue::Text => text(),
        }
    }
}

impl PartialEq for Scalar {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value && (self.value != ScalarValue::Text || self.text == other.text)
    }
}

impl ScalarValue {
    /// What a plain scalar is by the core schema of YAML 1.2 (section 10.3.2).
    pub fn of_plain(text: &str) -> Self {
        match text {
            "" | "~" | "null" | "Null" | "NULL" => return Self::Null,
            "true" | "True" | "TRUE" => return Self::Bool(true),
            "false" | "False" | "FALSE" => return Self::Bool(false),
            ".nan" | ".NaN" | ".NAN" => return Self::Float(f64::NAN),
            _ => {}
        }
        let (negative, digits) = match text.as_bytes()[0] {
            b'-' => (true, &text[1..]),
            b'+' => (false, &text[1..]),
            _ => (false, text),
        };
        if matches!(digits, ".inf" | ".Inf" | ".INF") {
            return Self::Float(if negative { f64::NEG_INFINITY } else { f64::INFINITY });
        }
        for (prefix, radix) in [("0o", 8), ("0x", 16)] {
            if let Some(digits) = text.strip_prefix(prefix).filter(|d| d.chars().all(|c| c.is_digit(radix))) {
                return i128::from_str_radix(digits, radix).map_or(Self::Text, Self::Int);
            }
        }
        if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) {
            return text.parse().map_or_else(|_| Self::float(text), Self::Int);
        }
        if looks_like_float(digits) { Self::float(text) } else { Self::Text }
    }

    fn float(text: &str) -> Self {
        text.parse().map_or(Self::Text, Self::Float)
    }
}

/// `( \. [0-9]+ | [0-9]+ ( \. [0-9]* )? ) ( [eE] [-+]? [0-9]+ )?`
fn looks_like_float(text: &str) -> bool {
    let all_digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    let (number, exponent) = match text.find(['e', 'E']) {
        Some(at) => (&text[..at], Some(&text[at + 1..])),
        None => (text, None),
    };
    let exponent_fits = exponent.is_none_or(|e| all_digits(e.strip_prefix(['-', '+']).unwrap_or(e)));
    let number_fits = match number.split_once('.') {
        Some(("", fraction)) => all_digits(fraction),
        Some((whole, fraction)) => all_digits(whole) && (fraction.is_empty() || all_digits(fraction)),
        None => all_digits(number),
    };
    exponent_fits && number_fits
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.content {
            Content::Scalar(scalar) => scalar.fmt(f),
            Content::Sequence(items) => f.debug_list().entries(items).finish(),
            Content::Mapping(entries) => f.debug_map().entries(entries.iter().map(|e| (&e.key, &e.value))).finish(),
        }
    }
}

impl fmt::Debug for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.value {
            _ if self.secret => f.write_str("\"***\""),
            ScalarValue::Text => self.text.fmt(f),
            _ => f.write_str(&self.text),
        }
    }
}

/// An option that may hold any YAML: only [`Node::parse`] can fill it.
impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserialize::node(deserializer)
    }
}

impl JsonSchema for Node {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Any".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!(true)
    }
}
