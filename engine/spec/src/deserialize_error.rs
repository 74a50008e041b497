//! What goes wrong while a type is read from a [`Node`], in words for people.

use crate::node::ScalarValue;
use crate::{Diagnostic, Node, Span};
use serde::de::{self, Expected, Unexpected};
use std::fmt;

/// An error on its way out of a [`Node`]; every level it passes adds what it knows.
#[derive(Debug)]
pub(crate) struct ReadError(Box<Finding>);

#[derive(Debug)]
struct Finding {
    kind: Kind,
    help: Option<String>,
    span: Option<Span>,
    /// What it is about: the key of the innermost value.
    subject: Option<String>,
    /// Whether the innermost value is a secret, so that nothing may be said about it.
    secret: bool,
    /// Whether the subject is settled: set by the first level above the innermost.
    named: bool,
}

#[derive(Debug)]
enum Kind {
    /// The value has another type than the reader asks for.
    Type {
        expected: String,
        found: String,
    },
    /// The type fits, the value does not.
    Value {
        expected: String,
        found: String,
    },
    UnknownKey {
        key: String,
    },
    MissingKey {
        key: &'static str,
    },
    DuplicateKey {
        key: &'static str,
    },
    Other(String),
}

impl ReadError {
    fn new(kind: Kind) -> Self {
        Self(Box::new(Finding { kind, help: None, span: None, subject: None, secret: false, named: false }))
    }

    pub(crate) fn expected(expected: String, found: &Node) -> Self {
        Self::new(Kind::Type { expected, found: found.describe() })
    }

    /// Puts it at a node unless it has a place.
    pub(crate) fn at(mut self, node: &Node) -> Self {
        let finding = &mut self.0;
        if finding.span.is_none() {
            finding.span = Some(node.span().clone());
            finding.secret = node.as_scalar().is_some_and(|scalar| scalar.secret);
            let number = node
                .as_scalar()
                .filter(|s| matches!(s.value, ScalarValue::Int(_) | ScalarValue::Float(_) | ScalarValue::Bool(_)));
            if let (Kind::Type { expected, .. }, Some(scalar), false) = (&finding.kind, number, finding.secret)
                && expected == "a text"
            {
                finding.help = Some(format!("put it in quotes: {:?}", scalar.text));
            }
        }
        self
    }

    /// Puts it at a place unless it has one.
    pub(crate) fn at_span(mut self, span: &Span) -> Self {
        self.0.span.get_or_insert_with(|| span.clone());
        self
    }

    /// Says what it is about, unless an inner level did.
    pub(crate) fn about(mut self, subject: impl FnOnce() -> String) -> Self {
        if !self.0.named {
            self.0.named = true;
            self.0.subject = Some(subject());
        }
        self
    }

    /// `root` is what was read: no secret in it is shown.
    pub(crate) fn into_diagnostic(self, root: &Node) -> Diagnostic {
        let finding = *self.0;
        let subject = finding.subject.unwrap_or_else(|| "this".to_owned());
        let (code, message) = match finding.kind {
            Kind::Type { expected, .. } if finding.secret => {
                ("wrong_type", format!("{subject} must be {expected}; the value from the environment is not"))
            }
            Kind::Type { expected, found } => ("wrong_type", format!("{subject} must be {expected}, but is {found}")),
            Kind::Value { expected, .. } if finding.secret => {
                ("wrong_value", format!("{subject} must be {expected}; the value from the environment is not"))
            }
            Kind::Value { expected, found } => ("wrong_value", format!("{subject} must be {expected}, but is {found}")),
            Kind::UnknownKey { key } => ("unknown_key", format!("`{key}` is not a key here")),
            Kind::MissingKey { key } => ("missing_key", format!("the key `{key}` is missing")),
            Kind::DuplicateKey { key } => {
                ("duplicate_key", format!("`{key}` is written twice, perhaps under another of its names"))
            }
            Kind::Other(_) if finding.secret => {
                ("wrong_value", format!("the value from the environment does not fit {subject}"))
            }
            Kind::Other(message) => ("wrong_value", message),
        };
        let mut diagnostic =
            Diagnostic::error(code, root.redacted(&message)).at(&finding.span.unwrap_or_else(|| root.span().clone()));
        if let Some(help) = finding.help {
            diagnostic = diagnostic.help(root.redacted(&help));
        }
        diagnostic
    }
}

/// `a`, `b` and `c`.
pub(crate) fn listed(names: &[&str]) -> String {
    let quoted = names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>();
    match quoted.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, others)) => format!("{} and {last}", others.join(", ")),
        None => "none".to_owned(),
    }
}

/// serde's name of what a type wants, for people who do not write Rust.
fn wanted(expected: &dyn Expected) -> String {
    let text = expected.to_string();
    let range = |low: i128, high: u128| format!("a whole number from {low} to {high}");
    match text.as_str() {
        "u8" => range(0, u8::MAX.into()),
        "u16" => range(0, u16::MAX.into()),
        "u32" => range(0, u32::MAX.into()),
        "i8" => range(i8::MIN.into(), i8::MAX as u128),
        "i16" => range(i16::MIN.into(), i16::MAX as u128),
        "i32" => range(i32::MIN.into(), i32::MAX as u128),
        "u64" | "usize" | "u128" => "a whole number from 0 on".to_owned(),
        "i64" | "isize" | "i128" => "a whole number".to_owned(),
        "f32" | "f64" => "a number".to_owned(),
        "a boolean" => "true or false".to_owned(),
        "a string" | "str" | "string" => "a text".to_owned(),
        "a character" => "one character".to_owned(),
        "a sequence" => "a list".to_owned(),
        "a map" => "a mapping".to_owned(),
        "unit" => "left empty".to_owned(),
        other if other.starts_with("struct ") || other.starts_with("variant ") => "a mapping".to_owned(),
        other if other.starts_with("enum ") => "the name of a choice".to_owned(),
        other => other
            .strip_prefix("a nonzero ")
            .map_or_else(|| other.to_owned(), |_| "a whole number other than 0".to_owned()),
    }
}

fn seen(unexpected: Unexpected<'_>) -> String {
    match unexpected {
        Unexpected::Bool(value) => value.to_string(),
        Unexpected::Unsigned(value) => format!("the number {value}"),
        Unexpected::Signed(value) => format!("the number {value}"),
        Unexpected::Float(value) => format!("the number {value}"),
        Unexpected::Str(text) => format!("the text {text:?}"),
        Unexpected::Unit | Unexpected::Option => "empty".to_owned(),
        Unexpected::Seq => "a list".to_owned(),
        Unexpected::Map => "a mapping".to_owned(),
        other => other.to_string(),
    }
}

impl de::Error for ReadError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        let text = message.to_string();
        let (message, help) = match text.split_once("\nhelp: ") {
            Some((message, help)) => (message.to_owned(), Some(help.to_owned())),
            None => (text, None),
        };
        let mut error = Self::new(Kind::Other(message));
        error.0.help = help;
        error
    }

    fn invalid_type(unexpected: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::new(Kind::Type { expected: wanted(expected), found: seen(unexpected) })
    }

    fn invalid_value(unexpected: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::new(Kind::Value { expected: wanted(expected), found: seen(unexpected) })
    }

    fn invalid_length(length: usize, expected: &dyn Expected) -> Self {
        let items = if length == 1 { "1 item".to_owned() } else { format!("{length} items") };
        Self::new(Kind::Value { expected: wanted(expected), found: format!("a list of {items}") })
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        let mut error =
            Self::new(Kind::Value { expected: format!("one of {}", listed(expected)), found: format!("{variant:?}") });
        error.0.help =
            crate::nearest::nearest(variant, expected.iter().copied()).map(|near| format!("did you mean `{near}`?"));
        error
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        let mut error = Self::new(Kind::UnknownKey { key: field.to_owned() });
        error.0.help = Some(match crate::nearest::nearest(field, expected.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None if expected.is_empty() => "no keys may stand here".to_owned(),
            None => format!("the keys here are {}", listed(expected)),
        });
        error
    }

    fn missing_field(field: &'static str) -> Self {
        let mut error = Self::new(Kind::MissingKey { key: field });
        error.0.help = Some(format!("add `{field}: ..` here"));
        error
    }

    fn duplicate_field(field: &'static str) -> Self {
        let mut error = Self::new(Kind::DuplicateKey { key: field });
        error.0.help = Some("keep one of the two".to_owned());
        error
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Shown only if a type's own `Deserialize` wraps the error of a part of it into a text of its own.
        match &self.0.kind {
            Kind::Type { expected, .. } | Kind::Value { expected, .. } => write!(f, "must be {expected}"),
            Kind::UnknownKey { key } => write!(f, "`{key}` is not a key here"),
            Kind::MissingKey { key } => write!(f, "the key `{key}` is missing"),
            Kind::DuplicateKey { key } => write!(f, "`{key}` is written twice"),
            Kind::Other(message) => f.write_str(message),
        }
    }
}

impl std::error::Error for ReadError {}
