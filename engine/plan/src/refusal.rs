//! Why a query cannot be kept up to date, in words, with the place in the YAML and what to write instead.

use crate::dialect::TOO_DEEP;
use datafusion::common::{DataFusionError, Location};
use datafusion::sql::sqlparser::parser::ParserError;
use jarvis_spec::{Diagnostic, Node, Span};

/// SQL that the engine does not keep up to date.
#[derive(Clone, Debug)]
pub struct Refusal {
    pub message: String,
    pub help: String,
    /// Texts to look for in the query, to point at the place: the first that is found.
    pub at: Vec<String>,
}

impl Refusal {
    pub fn new(message: impl Into<String>, help: impl Into<String>) -> Self {
        Refusal { message: message.into(), help: help.into(), at: vec![] }
    }
    pub fn at(mut self, text: impl Into<String>) -> Self {
        self.at.push(text.into());
        self
    }
    pub fn into_error(self) -> DataFusionError {
        DataFusionError::External(Box::new(self))
    }
    /// The same as something that does not stop anything.
    pub fn into_warning(self, code: &'static str, sql: &Node) -> Diagnostic {
        self.show(Diagnostic::warning(code, sql.redacted(&self.message)), sql)
    }
    fn show(&self, diagnostic: Diagnostic, sql: &Node) -> Diagnostic {
        let place = self.at.iter().find_map(|text| find(sql, text));
        diagnostic.at(&place.unwrap_or_else(|| sql.span().clone())).help(sql.redacted(&self.help))
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

/// An error of planning, shown at its place in the query. What the query has from the environment is not shown.
pub fn diagnose(error: &DataFusionError, sql: &Node) -> Diagnostic {
    let root = error.find_root();
    if let DataFusionError::External(e) = root
        && let Some(refusal) = e.downcast_ref::<Refusal>()
    {
        return refusal.show(Diagnostic::error("sql_unsupported", sql.redacted(&refusal.message)), sql);
    }
    if let DataFusionError::SQL(e, _) = root {
        return syntax(e, sql);
    }
    let message = clean(&root.strip_backtrace());
    let span = stated_place(error, sql).or_else(|| quoted_place(&message, sql)).unwrap_or_else(|| sql.span().clone());
    let (message, help) = in_other_words(message, root, sql);
    Diagnostic::error("sql_plan", sql.redacted(&message)).at(&span).help(sql.redacted(&help))
}

/// Messages of DataFusion that leave open what to do, or talk about its own insides.
fn in_other_words(message: String, root: &DataFusionError, sql: &Node) -> (String, String) {
    let name = message.split(['"', '\'']).nth(1).map(|quoted| quoted.rsplit('.').next().unwrap_or(quoted).to_owned());
    if let (true, Some(name)) = (message.starts_with("Column in SELECT must be in GROUP BY"), &name) {
        let help = format!("add it to GROUP BY, or take one of its values: first_value({name} ORDER BY at)");
        return (format!("{name} must stand in GROUP BY or in an aggregate"), help);
    }
    if let (true, Some(name)) = (message.starts_with("table function"), &name) {
        let help = "table functions are tumble, hop and session; for the items of a list write SELECT id, unnest(list) AS item";
        return (format!("there is no table function {name}"), help.into());
    }
    if message.starts_with("Too many columns! The subquery") {
        let help = "compare several columns with EXISTS (SELECT 1 FROM t WHERE t.a = a AND t.b = b)";
        return ("this subquery gives more than one column".into(), help.into());
    }
    if let DataFusionError::NotImplemented(_) = root {
        let what = message.split_once(" clause is not").map_or(message.as_str(), |(what, _)| what).to_owned();
        if matches!(what.as_str(), "TOP" | "FETCH") {
            return (format!("{what} is not understood"), "write ORDER BY .. LIMIT n".into());
        }
    }
    let unknown = message.strip_prefix("No field named ").and_then(|m| m.split(['.', ' ']).next()).unwrap_or_default();
    let unknown = unknown.trim_matches('"');
    if !unknown.is_empty() && sql.as_str().is_some_and(|q| q.contains(&format!("\"{unknown}\""))) {
        let help = format!("\"{unknown}\" is a column's name; a text stands in single quotes: '{unknown}'");
        return (message, help);
    }
    let help = match root {
        DataFusionError::SchemaError(..) => "see the stream's columns with `jarvis check --streams`",
        _ => "see docs/sql.md for what a query may say",
    };
    (message, help.into())
}

/// Text that is no SQL.
fn syntax(error: &ParserError, sql: &Node) -> Diagnostic {
    let (said, span) = match error {
        ParserError::ParserError(said) | ParserError::TokenizerError(said) => match said.split_once(" at Line: ") {
            Some((said, place)) => (said, stated_numbers(place).map(|(line, column)| sql.text_place(line, column))),
            None => (said.as_str(), said.ends_with("found: EOF").then(|| last_character(sql)).flatten()),
        },
        ParserError::RecursionLimitExceeded => (TOO_DEEP, None),
    };
    let message =
        said.replace("Expected: ", "expected ").replace("found: ", "found ").replace("found EOF", "found the end");
    Diagnostic::error("sql_syntax", sql.redacted(&uncapitalised(&message)))
        .at(&span.unwrap_or_else(|| sql.span().clone()))
        .help("write one SELECT; see docs/sql.md")
}

fn last_character(sql: &Node) -> Option<Span> {
    let (at, last) = sql.as_str()?.trim_end().char_indices().next_back()?;
    Some(sql.text_span(at..at + last.len_utf8()))
}

fn uncapitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect())
}

fn clean(message: &str) -> String {
    let message = message.lines().next().unwrap_or(message);
    let cut = ["Error during planning: ", "Schema error: ", "This feature is not implemented: ", "External error: "];
    cut.iter().fold(message.to_string(), |m, c| m.strip_prefix(c).map(String::from).unwrap_or(m)).replace("jarvis.", "")
}

/// The place that DataFusion itself gives.
fn stated_place(error: &DataFusionError, sql: &Node) -> Option<Span> {
    let span = error.diagnostic()?.span?;
    // Lines count from 1; what stands nowhere has the place 0.
    let place = |at: Location| (at.line > 0).then(|| sql.text_place(at.line as usize, at.column as usize));
    let (start, end) = (place(span.start)?, place(span.end)?);
    Some(Span { text: start.text, start: start.start, end: end.start.max(start.end) })
}

/// The first two numbers: a line and a column.
fn stated_numbers(text: &str) -> Option<(usize, usize)> {
    let mut numbers = text.split(|c: char| !c.is_ascii_digit()).filter(|s| !s.is_empty()).map(str::parse::<usize>);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

/// The first quoted name in the message that occurs in the query.
fn quoted_place(message: &str, sql: &Node) -> Option<Span> {
    let quoted = message.split(['\'', '"', '`']).skip(1).step_by(2);
    let names = quoted.flat_map(|q| [q.to_string(), q.rsplit('.').next().unwrap_or(q).to_string()]);
    let bare = message
        .split_whitespace()
        .filter(|w| w.contains('.'))
        .map(|w| w.trim_matches(|c: char| !c.is_alphanumeric()).rsplit('.').next().unwrap_or(w).to_string());
    names.chain(bare).find_map(|name| find(sql, &name))
}

/// The first place in the query where `text` stands as a word of its own.
fn find(sql: &Node, text: &str) -> Option<Span> {
    let query = sql.as_str()?;
    if text.is_empty() {
        return None;
    }
    let lower = query.to_ascii_lowercase();
    let wanted = text.to_ascii_lowercase();
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    // Signs have no borders.
    let word = |c: Option<char>| c.is_some_and(is_word) && wanted.chars().any(is_word);
    lower
        .match_indices(&wanted)
        .map(|(i, _)| i)
        .find(|i| !word(lower[..*i].chars().next_back()) && !word(lower[i + wanted.len()..].chars().next()))
        .map(|i| sql.text_span(i..i + wanted.len()))
}
