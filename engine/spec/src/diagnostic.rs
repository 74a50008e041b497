//! Findings about a pipeline for the person who wrote it: what happened to what, where, and what to do.

use crate::Span;
use serde_json::{Value, json};
use std::fmt;
use std::ops::{Deref, DerefMut};

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The pipeline runs; something in it is probably not meant.
    Warning,
    /// The pipeline is refused.
    Error,
}

/// One finding.
///
/// [`Display`](fmt::Display) shows it with the line of the file it is about:
///
/// ```text
/// error[unknown_key]: `qoss` is not an option here
///  --> heat.yaml:5:25
///   |
/// 5 |     mqtt: { topic: "a", qoss: 1 }
///   |                         ^^^^
/// help: did you mean `qos`?
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic(Box<Finding>);

/// What a [`Diagnostic`] says; its fields are read through the diagnostic.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// Stable, `snake_case`: programs and tests look at it.
    pub code: &'static str,
    pub severity: Severity,
    /// What happened to what.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
    pub span: Option<Span>,
    pub notes: Vec<Note>,
}

impl Deref for Diagnostic {
    type Target = Finding;
    fn deref(&self) -> &Finding {
        &self.0
    }
}

impl DerefMut for Diagnostic {
    fn deref_mut(&mut self) -> &mut Finding {
        &mut self.0
    }
}

/// A remark on a finding, perhaps about another place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    pub message: String,
    pub span: Option<Span>,
}

impl Diagnostic {
    /// A finding that refuses the pipeline.
    pub fn error(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(code, Severity::Error, message.into())
    }

    /// A finding that does not stop anything.
    pub fn warning(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(code, Severity::Warning, message.into())
    }

    fn new(code: &'static str, severity: Severity, message: String) -> Self {
        Self(Box::new(Finding { code, severity, message, help: None, span: None, notes: Vec::new() }))
    }

    #[must_use]
    pub fn at(mut self, span: &Span) -> Self {
        self.span = Some(span.clone());
        self
    }

    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    #[must_use]
    pub fn note(mut self, message: impl Into<String>) -> Self {
        self.notes.push(Note { message: message.into(), span: None });
        self
    }

    /// A remark about another place: `the first one is here`.
    #[must_use]
    pub fn note_at(mut self, span: &Span, message: impl Into<String>) -> Self {
        self.notes.push(Note { message: message.into(), span: Some(span.clone()) });
        self
    }

    /// `help: did you mean ..?` if one of `candidates` is near `name`; else `otherwise`.
    #[must_use]
    pub fn suggest<'a>(
        self,
        name: &str,
        candidates: impl IntoIterator<Item = &'a str>,
        otherwise: impl Into<String>,
    ) -> Self {
        match crate::nearest::nearest(name, candidates) {
            Some(near) => self.help(format!("did you mean `{near}`?")),
            None => self.help(otherwise),
        }
    }

    /// One object with `code`, `severity`, `message`, `help`, `file`, `start`, `end` and `notes`. Lines and columns
    /// count from 1, offsets (bytes) from 0; what is not known is `null`.
    pub fn to_json(&self) -> Value {
        let mut value = json!({ "code": self.code, "severity": self.severity.to_string(), "message": self.message, "help": self.help });
        let notes = self.notes.iter().map(|note| {
            let mut value = json!({ "message": note.message });
            insert_place(&mut value, note.span.as_ref());
            value
        });
        let notes = notes.collect::<Vec<_>>();
        insert_place(&mut value, self.span.as_ref());
        value["notes"] = Value::Array(notes);
        value
    }
}

fn insert_place(value: &mut Value, span: Option<&Span>) {
    let place = |p: crate::Place| json!({ "line": p.line, "column": p.column, "offset": p.offset });
    value["file"] = span.map(|s| s.text.path.display().to_string()).into();
    value["start"] = span.map(|s| place(s.start)).into();
    value["end"] = span.map(|s| place(s.end)).into();
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Severity::Warning => "warning",
            Severity::Error => "error",
        })
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        crate::snippet::render(self, f)
    }
}

impl std::error::Error for Diagnostic {}

/// All findings about a file, or about several.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diagnostics(pub Vec<Diagnostic>);

impl Diagnostics {
    pub fn push(&mut self, diagnostic: Diagnostic) {
        self.0.push(diagnostic);
    }

    /// Takes over further findings: a `Diagnostics` or anything else that yields [`Diagnostic`]s.
    pub fn extend(&mut self, others: impl IntoIterator<Item = Diagnostic>) {
        self.0.extend(others);
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn iter(&self) -> std::slice::Iter<'_, Diagnostic> {
        self.0.iter()
    }

    /// Whether anything refuses the pipeline.
    pub fn has_errors(&self) -> bool {
        self.0.iter().any(|d| d.severity == Severity::Error)
    }

    /// In the order of the file; findings without a place come first.
    pub fn sort(&mut self) {
        self.0.sort_by(|a, b| {
            let place = |d: &Diagnostic| d.span.as_ref().map(|s| (s.text.path.clone(), s.start));
            place(a).cmp(&place(b))
        });
    }

    /// The value of a result; an error is kept here. For code that goes on after a finding.
    pub fn keep<T>(&mut self, result: Result<T, Diagnostic>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(diagnostic) => {
                self.push(diagnostic);
                None
            }
        }
    }

    /// A list of the objects of [`Diagnostic::to_json`].
    pub fn to_json(&self) -> Value {
        Value::Array(self.0.iter().map(Diagnostic::to_json).collect())
    }
}

impl From<Diagnostic> for Diagnostics {
    fn from(diagnostic: Diagnostic) -> Self {
        Self(vec![diagnostic])
    }
}

impl FromIterator<Diagnostic> for Diagnostics {
    fn from_iter<I: IntoIterator<Item = Diagnostic>>(iter: I) -> Self {
        Self(iter.into_iter().collect())
    }
}

impl IntoIterator for Diagnostics {
    type Item = Diagnostic;
    type IntoIter = std::vec::IntoIter<Diagnostic>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a> IntoIterator for &'a Diagnostics {
    type Item = &'a Diagnostic;
    type IntoIter = std::slice::Iter<'a, Diagnostic>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

/// One after the other, an empty line in between.
impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, diagnostic) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n\n")?;
            }
            diagnostic.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Diagnostics {}
