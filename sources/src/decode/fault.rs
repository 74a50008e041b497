//! Why one payload is not a row.

use jarvis_runtime::arrival::RowError;
use std::fmt::Write;

/// How much of a failing input an error row shows, bytes.
pub(crate) const SHOWN_INPUT: usize = 1024;

/// What went wrong in one row. Boxed where it travels: good rows should not pay for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub code: &'static str,
    /// The field inside the row, outermost first: `reading.values[3]`. Empty for the row as a whole.
    path: String,
    message: String,
}

pub(crate) type Outcome<T> = Result<T, Box<Fault>>;

impl Fault {
    #[cold]
    pub fn new(code: &'static str, message: impl Into<String>) -> Box<Self> {
        Box::new(Self { code, path: String::new(), message: message.into() })
    }

    /// The JSON kind or the text is not what the column holds.
    #[cold]
    pub fn wrong_type(expected: &str, found: &str) -> Box<Self> {
        Self::new("wrong_type", format!("expected {expected}, found {found}"))
    }

    /// A text that does not say a value of the column's type.
    #[cold]
    pub fn wrong_format(expected: &str, text: &str) -> Box<Self> {
        Self::new("wrong_format", format!("expected {expected}, found {}", quoted(text)))
    }

    /// A value of the right kind that the column cannot hold.
    #[cold]
    pub fn out_of_range(expected: &str, text: &str) -> Box<Self> {
        Self::new("out_of_range", format!("{} does not fit {expected}", shortened(text)))
    }

    /// NaN or an infinity.
    #[cold]
    pub fn not_finite(text: &str) -> Box<Self> {
        Self::new("not_finite", format!("{} is not a finite number", shortened(text)))
    }

    #[cold]
    pub fn missing(field: &str) -> Box<Self> {
        Self::new("missing_field", "the field is missing; a `?` after the column's type would allow that")
            .in_field(field)
    }

    #[cold]
    pub fn null(field: &str) -> Box<Self> {
        Self::new("missing_field", "the field is null; a `?` after the column's type would allow that").in_field(field)
    }

    /// Says that it happened inside the field.
    #[cold]
    pub fn in_field(mut self: Box<Self>, name: &str) -> Box<Self> {
        let dot = if self.path.is_empty() || self.path.starts_with('[') { "" } else { "." };
        self.path = format!("{name}{dot}{}", self.path);
        self
    }

    /// Says that it happened inside the item of a list.
    #[cold]
    pub fn in_item(mut self: Box<Self>, index: usize) -> Box<Self> {
        let dot = if self.path.is_empty() || self.path.starts_with('[') { "" } else { "." };
        self.path = format!("[{index}]{dot}{}", self.path);
        self
    }

    /// The error row for an input that failed like this.
    #[cold]
    pub fn into_error(self, input: &[u8]) -> RowError {
        let message = if self.path.is_empty() { self.message } else { format!("`{}`: {}", self.path, self.message) };
        RowError { code: self.code, message, input: shown(input) }
    }
}

#[cold]
pub(crate) fn invalid_utf8(error: &std::str::Utf8Error) -> Box<Fault> {
    Fault::new("invalid_utf8", format!("not UTF-8 from byte {} on", error.valid_up_to()))
}

#[cold]
pub(crate) fn too_large(bytes: usize, limit: usize) -> Box<Fault> {
    Fault::new("too_large", format!("{bytes} bytes, and the limit is {limit}; `max_payload` sets it"))
}

/// The start of an input as text.
pub(crate) fn shown(input: &[u8]) -> String {
    String::from_utf8_lossy(&input[..input.len().min(SHOWN_INPUT)]).into_owned()
}

/// A text in quotes for a message, cut if it is long.
pub(crate) fn quoted(text: &str) -> String {
    let mut shown = String::new();
    // Writing into a String cannot fail.
    let _ = write!(shown, "{:?}", shortened(text));
    shown
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
