//! `${NAME}` and `${NAME:-default}` in values, answered by the environment.
//!
//! A value that came from the environment is a secret: it is used, but no message, snippet or debug output shows it.

use crate::Diagnostic;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer};
use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

/// The environment of this process, for [`crate::parse::parse_pipeline`]. A variable that is not UTF-8 counts as not set.
pub fn process(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// A scalar's text before its references were replaced, and where each went.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Expanded {
    /// The text as written, quotes and escapes undone.
    pub written: String,
    pub parts: Vec<Part>,
}

/// A reference, or an escaped `$${`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    /// In [`Expanded::written`], in bytes.
    pub written: Range<usize>,
    /// In the new text, in bytes.
    pub text: Range<usize>,
    /// Whether it came from the environment.
    pub secret: bool,
}

/// What [`expand`] makes of a text.
pub(crate) struct Expansion {
    pub text: String,
    /// Whether any of it came from the environment.
    pub secret: bool,
    pub expanded: Expanded,
}

/// Replaces the references in `written`; `None` if there are none. Findings come with their range in `written`.
pub(crate) fn expand(
    written: &str,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<Option<Expansion>, Vec<(Range<usize>, Diagnostic)>> {
    if !written.contains("${") {
        return Ok(None);
    }
    let (mut text, mut parts, mut findings) = (String::with_capacity(written.len()), Vec::new(), Vec::new());
    let (mut done, mut secret) = (0, false);
    while let Some(at) = written[done..].find("${").map(|at| done + at) {
        let escaped = at > done && written.as_bytes()[at - 1] == b'$';
        let start = at - usize::from(escaped);
        text.push_str(&written[done..start]);
        let (from, mut from_environment) = (text.len(), false);
        if escaped {
            text.push_str("${");
            done = at + 2;
        } else {
            let end = written[at..].find('}').map(|end| at + end + 1);
            done = end.unwrap_or(written.len());
            match end.ok_or_else(unclosed).and_then(|end| value(&written[at + 2..end - 1], environment)) {
                Ok(value) => {
                    secret |= value.secret;
                    from_environment = value.secret;
                    text.push_str(&value.text);
                }
                Err(finding) => findings.push((start..done, finding)),
            }
        }
        parts.push(Part { written: start..done, text: from..text.len(), secret: from_environment });
    }
    text.push_str(&written[done..]);
    if findings.is_empty() {
        Ok(Some(Expansion { text, secret, expanded: Expanded { written: written.to_owned(), parts } }))
    } else {
        Err(findings)
    }
}

struct Value {
    text: String,
    secret: bool,
}

/// The value of what stands between `${` and `}`.
fn value(reference: &str, environment: &dyn Fn(&str) -> Option<String>) -> Result<Value, Diagnostic> {
    let (name, default) = match reference.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (reference, None),
    };
    let fits = |(index, c): (usize, char)| c == '_' || c.is_ascii_alphabetic() || (index > 0 && c.is_ascii_digit());
    if name.is_empty() || !name.chars().enumerate().all(fits) {
        let message = format!("`{name}` is not a name of a variable of the environment");
        return Err(Diagnostic::error("environment_syntax", message)
            .help("write ${NAME} or ${NAME:-default}; $${ stands for ${ itself"));
    }
    match (environment(name), default) {
        (Some(text), None) => Ok(Value { text, secret: true }),
        (Some(text), Some(_)) if !text.is_empty() => Ok(Value { text, secret: true }),
        (_, Some(default)) => Ok(Value { text: default.to_owned(), secret: false }),
        (None, None) => {
            Err(Diagnostic::error("missing_environment", format!("the environment has no variable `{name}`"))
                .help(format!("set it, or give a default: ${{{name}:-default}}")))
        }
    }
}

fn unclosed() -> Diagnostic {
    Diagnostic::error("environment_syntax", "the `}` that ends `${` is missing")
        .help("write ${NAME} or ${NAME:-default}; $${ stands for ${ itself")
}

/// An option that nobody may see, such as a password. [`Debug`](fmt::Debug) shows `***`.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Secret(String);

impl Secret {
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for the one who must send it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self)
    }
}

impl JsonSchema for Secret {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Secret".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Option<(String, bool)>, Vec<Range<usize>>> {
        let environment = |name: &str| match name {
            "HOST" => Some("broker".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        };
        match expand(text, &environment) {
            Ok(expansion) => Ok(expansion.map(|e| (e.text, e.secret))),
            Err(findings) => Err(findings.into_iter().map(|(range, _)| range).collect()),
        }
    }

    #[test]
    fn references_are_replaced() {
        for (text, meant, secret) in [
            ("${HOST}", "broker", true),
            ("a ${HOST}:${PORT:-1883} b", "a broker:1883 b", true),
            ("${PORT:-1883}", "1883", false),
            ("${PORT:-}", "", false),
            ("${EMPTY:-x}", "x", false),
            ("${EMPTY}", "", true),
            ("$${HOST} $5", "${HOST} $5", false),
        ] {
            assert_eq!(read(text), Ok(Some((meant.to_owned(), secret))), "{text}");
        }
        assert_eq!(read("no $ {reference}"), Ok(None));
    }

    #[test]
    fn every_finding_has_its_range() {
        assert_eq!(read("a ${NONE} ${2} ${HOST"), Err(vec![2..9, 10..14, 15..21]));
    }
}
