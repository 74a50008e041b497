//! Why a query cannot be kept up to date, in words, with the place in the YAML and what to write instead.

use datafusion::common::DataFusionError;
use jarvis_spec::{Diagnostic, Node};

/// SQL that the engine does not keep up to date.
#[derive(Clone, Debug)]
pub struct Refusal {
    pub message: String,
    pub help: String,
    /// Text to look for in the query, to point at the place.
    pub at: Option<String>,
}

impl Refusal {
    pub fn new(message: impl Into<String>, help: impl Into<String>) -> Self {
        Refusal { message: message.into(), help: help.into(), at: None }
    }
    pub fn at(mut self, text: impl Into<String>) -> Self {
        self.at = Some(text.into());
        self
    }
    pub fn into_error(self) -> DataFusionError {
        DataFusionError::External(Box::new(self))
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.message, self.help)
    }
}
impl std::error::Error for Refusal {}

/// Shorthand for a refusal as an error.
pub fn refuse<T>(message: impl Into<String>, help: impl Into<String>, at: &str) -> Result<T, DataFusionError> {
    Err(Refusal::new(message, help).at(at).into_error())
}

/// An error of planning, shown at its place in the query.
pub fn diagnose(error: &DataFusionError, sql: &Node) -> Diagnostic {
    let root = error.find_root();
    if let DataFusionError::External(e) = root
        && let Some(refusal) = e.downcast_ref::<Refusal>()
    {
        let span = refusal.at.as_deref().and_then(|t| find(sql, t)).unwrap_or_else(|| sql.span().clone());
        return Diagnostic::error("sql_unsupported", refusal.message.clone()).at(&span).help(refusal.help.clone());
    }
    let message = clean(&root.strip_backtrace());
    let span = error_place(&message, sql).unwrap_or_else(|| sql.span().clone());
    let (code, help) = match root {
        DataFusionError::SQL(..) => ("sql_syntax", "write one SELECT; see docs/sql.md"),
        DataFusionError::SchemaError(..) => ("sql_plan", "see the stream's columns with `jarvis check --streams`"),
        _ => ("sql_plan", "see docs/sql.md for what a query may say"),
    };
    Diagnostic::error(code, message).at(&span).help(help)
}

fn clean(message: &str) -> String {
    let message = message.lines().next().unwrap_or(message);
    let cut = [
        "Error during planning: ",
        "SQL error: ",
        "Schema error: ",
        "This feature is not implemented: ",
        "External error: ",
    ];
    cut.iter().fold(message.to_string(), |m, c| m.strip_prefix(c).map(String::from).unwrap_or(m)).replace("jarvis.", "")
}

/// "… at Line: 2, Column: 5", or the first quoted name in the message that occurs in the query.
fn error_place(message: &str, sql: &Node) -> Option<jarvis_spec::Span> {
    if let Some(at) = message.find("Line: ") {
        let mut numbers =
            message[at..].split(|c: char| !c.is_ascii_digit()).filter(|s| !s.is_empty()).map(str::parse::<usize>);
        if let (Some(Ok(line)), Some(Ok(column))) = (numbers.next(), numbers.next()) {
            return Some(sql.text_place(line, column));
        }
    }
    let quoted = message.split(['\'', '"', '`']).skip(1).step_by(2);
    let names = quoted.flat_map(|q| [q.to_string(), q.rsplit('.').next().unwrap_or(q).to_string()]);
    let bare = message
        .split_whitespace()
        .filter(|w| w.contains('.'))
        .map(|w| w.trim_matches(|c: char| !c.is_alphanumeric()).rsplit('.').next().unwrap_or(w).to_string());
    names.chain(bare).find_map(|name| find(sql, &name))
}

/// The first place in the query where `text` stands as a word of its own.
fn find(sql: &Node, text: &str) -> Option<jarvis_spec::Span> {
    let query = sql.as_str()?;
    if text.is_empty() {
        return None;
    }
    let lower = query.to_ascii_lowercase();
    let wanted = text.to_ascii_lowercase();
    let word = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    lower
        .match_indices(&wanted)
        .map(|(i, _)| i)
        .find(|i| !word(lower[..*i].chars().next_back()) && !word(lower[i + wanted.len()..].chars().next()))
        .map(|i| sql.text_span(i..i + wanted.len()))
}
