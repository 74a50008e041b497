//! MQTT topics, read and written: filters that capture levels as columns, and templates that are filled from columns.
//!
//! The rules are those of MQTT 3.1.1, section 4.7: levels are separated by `/` and may be empty, `+` stands for one
//! whole level, `#` for the rest and may only come last (`a/#` matches `a` too), and a filter that begins with a
//! wildcard does not match a topic that begins with `$`. On top, `{name}` in place of a level is a `+` whose level
//! becomes the value of the column `name`.

use arrow::datatypes::Schema;
use smallvec::SmallVec;
use std::fmt::{self, Write};

/// The longest topic or filter, bytes (its length is sent in 16 bits).
pub const MAX_TOPIC: usize = 65_535;

/// What is wrong with a topic pattern or template, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TopicError {
    #[error("the topic is empty: write one such as `shop/temperature/{{sensor}}`")]
    Empty,
    #[error("the topic holds a NUL character, which MQTT does not allow")]
    Nul,
    #[error("the topic is {0} bytes long; MQTT allows {MAX_TOPIC}")]
    TooLong(usize),
    #[error("`#` must be the last level and stand alone in it, as in `shop/#`")]
    HashNotLast,
    #[error("`+` must stand alone in its level, as in `shop/+/state` (found the level `{0}`)")]
    PlusNotAlone(String),
    #[error("`{{name}}` must fill its whole level when reading, as in `shop/{{name}}/state` (found the level `{0}`)")]
    CaptureNotAlone(String),
    #[error("the topic names the column `{0}`, which the stream does not have: add it to the columns or write `+`")]
    UnknownColumn(String),
    #[error("the column `{0}` is captured twice: write `+` for one of them")]
    Twice(String),
    #[error("a brace is not closed, or closed but not opened, in `{0}`: a column is written `{{name}}`")]
    Brace(String),
    #[error("shared subscriptions (`$share/..`) are not supported: subscribe to the topic itself")]
    Shared,
    #[error("`{0}` is a wildcard, which only readers may use: write a fixed topic or a column as `{{name}}`")]
    WildcardInTemplate(char),
}

/// One level of a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Level {
    Exactly(String),
    /// `+`, or `{name}` with the column that takes the level.
    Any(Option<usize>),
    /// `#`.
    Rest,
}

/// Levels captured from one topic: column and text, in the order of the topic.
pub type Captures<'t> = SmallVec<[(usize, &'t str); 4]>;

/// A topic filter whose `{name}` levels are columns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicPattern {
    levels: Vec<Level>,
    filter: String,
}

impl TopicPattern {
    /// Reads a pattern such as `printers/{tool}/+/temperature`.
    ///
    /// # Errors
    /// The pattern breaks a rule of MQTT, or captures a column that `columns` lacks or that it captures already.
    pub fn parse(text: &str, columns: &Schema) -> Result<Self, TopicError> {
        check_text(text)?;
        if text.starts_with("$share/") {
            return Err(TopicError::Shared);
        }
        let mut levels = Vec::new();
        let mut captured = Vec::new();
        for level in text.split('/') {
            if levels.last() == Some(&Level::Rest) {
                return Err(TopicError::HashNotLast);
            }
            let level = parse_level(level, columns)?;
            if let Level::Any(Some(column)) = level {
                if captured.contains(&column) {
                    return Err(TopicError::Twice(columns.field(column).name().clone()));
                }
                captured.push(column);
            }
            levels.push(level);
        }
        let filter = levels.iter().map(Level::as_filter).collect::<Vec<_>>().join("/");
        Ok(Self { levels, filter })
    }

    /// The filter to subscribe to: captures become `+`.
    pub fn filter(&self) -> &str {
        &self.filter
    }

    /// The columns that it captures, in the order of the topic.
    pub fn columns(&self) -> impl Iterator<Item = usize> + '_ {
        self.levels.iter().filter_map(|level| match level {
            Level::Any(column) => *column,
            _ => None,
        })
    }

    /// The captured levels of a topic that matches, `None` for one that does not.
    pub fn captures<'t>(&self, topic: &'t str) -> Option<Captures<'t>> {
        if topic.starts_with('$') && !matches!(self.levels.first(), Some(Level::Exactly(_))) {
            return None;
        }
        let mut captures = Captures::new();
        let mut given = topic.split('/');
        for level in &self.levels {
            match (level, given.next()) {
                (Level::Rest, _) => return Some(captures),
                (_, None) => return None,
                (Level::Exactly(want), Some(have)) if want != have => return None,
                (Level::Exactly(_) | Level::Any(None), Some(_)) => {}
                (Level::Any(Some(column)), Some(have)) => captures.push((*column, have)),
            }
        }
        given.next().is_none().then_some(captures)
    }
}

impl Level {
    fn as_filter(&self) -> &str {
        match self {
            Level::Exactly(text) => text,
            Level::Any(_) => "+",
            Level::Rest => "#",
        }
    }
}

fn parse_level(level: &str, columns: &Schema) -> Result<Level, TopicError> {
    if level == "+" {
        return Ok(Level::Any(None));
    }
    if level == "#" {
        return Ok(Level::Rest);
    }
    if level.contains('#') {
        return Err(TopicError::HashNotLast);
    }
    if level.contains('+') {
        return Err(TopicError::PlusNotAlone(level.to_owned()));
    }
    if !level.contains(['{', '}']) {
        return Ok(Level::Exactly(level.to_owned()));
    }
    let Some(name) = level.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) else {
        let balanced = level.matches('{').count() == level.matches('}').count();
        let error = if balanced { TopicError::CaptureNotAlone } else { TopicError::Brace };
        return Err(error(level.to_owned()));
    };
    if name.contains(['{', '}']) {
        return Err(TopicError::CaptureNotAlone(level.to_owned()));
    }
    let column = columns.index_of(name).map_err(|_| TopicError::UnknownColumn(name.to_owned()))?;
    Ok(Level::Any(Some(column)))
}

fn check_text(text: &str) -> Result<(), TopicError> {
    match text {
        "" => Err(TopicError::Empty),
        _ if text.contains('\0') => Err(TopicError::Nul),
        _ if text.len() > MAX_TOPIC => Err(TopicError::TooLong(text.len())),
        _ => Ok(()),
    }
}

/// A topic to publish to, with `{name}` where a column's value goes; also inside a level, as in `alerts/{zone}-{tool}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicTemplate {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Column(usize),
}

/// Why a row's values do not make a topic.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FillError {
    /// The column is null, or its text is empty.
    #[error("column {column} has no value, so the topic would have an empty level")]
    Empty { column: usize },
    /// The value would change the topic's levels or make it a wildcard.
    #[error("column {column} holds `{value}`: a part of a topic must not contain `/`, `+`, `#` or NUL")]
    Character { column: usize, value: String },
    #[error("the topic would be {0} bytes long; MQTT allows {MAX_TOPIC}")]
    TooLong(usize),
}

impl TopicTemplate {
    /// Reads a template such as `jarvis/alerts/{tool}`.
    ///
    /// # Errors
    /// A wildcard, an unbalanced brace, a column that `columns` lacks, or what MQTT does not allow in a topic.
    pub fn parse(text: &str, columns: &Schema) -> Result<Self, TopicError> {
        check_text(text)?;
        if let Some(wildcard) = text.chars().find(|c| matches!(c, '+' | '#')) {
            return Err(TopicError::WildcardInTemplate(wildcard));
        }
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(open) = rest.find(['{', '}']) {
            let (before, after) = rest.split_at(open);
            let inside = after.strip_prefix('{').and_then(|inner| inner.split_once('}'));
            let Some((name, after)) = inside.filter(|(name, _)| !name.contains('{')) else {
                return Err(TopicError::Brace(text.to_owned()));
            };
            if !before.is_empty() {
                parts.push(Part::Text(before.to_owned()));
            }
            let column = columns.index_of(name).map_err(|_| TopicError::UnknownColumn(name.to_owned()))?;
            parts.push(Part::Column(column));
            rest = after;
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        Ok(Self { parts })
    }

    /// The columns that it reads, each once, in the order of the topic.
    pub fn columns(&self) -> Vec<usize> {
        let mut columns = Vec::new();
        for part in &self.parts {
            if let Part::Column(column) = part
                && !columns.contains(column)
            {
                columns.push(*column);
            }
        }
        columns
    }

    /// Writes the topic into `topic` (cleared first); `value` gives a column's text, `None` for null.
    ///
    /// # Errors
    /// A value that is missing, empty or would change the topic's shape, or a topic that is too long.
    pub fn fill<V: fmt::Display>(
        &self,
        mut value: impl FnMut(usize) -> Option<V>,
        topic: &mut String,
    ) -> Result<(), FillError> {
        topic.clear();
        for part in &self.parts {
            match part {
                Part::Text(text) => topic.push_str(text),
                Part::Column(column) => {
                    let start = topic.len();
                    if let Some(value) = value(*column) {
                        // Writing into a String cannot fail; a Display that fails leaves what it wrote, which is checked.
                        let _ = write!(topic, "{value}");
                    }
                    check_value(*column, &topic[start..])?;
                }
            }
        }
        if topic.len() > MAX_TOPIC { Err(FillError::TooLong(topic.len())) } else { Ok(()) }
    }
}

fn check_value(column: usize, value: &str) -> Result<(), FillError> {
    if value.is_empty() {
        return Err(FillError::Empty { column });
    }
    if value.contains(['/', '+', '#', '\0']) {
        return Err(FillError::Character { column, value: value.to_owned() });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
