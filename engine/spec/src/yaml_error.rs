//! What the YAML parser objects to, in words that say what to do.

use crate::{Diagnostic, Place, SourceText, Span, yaml::MAX_DEPTH};
use serde_saphyr::granit_parser::{ErrorKind, ScanError};
use std::sync::Arc;

/// A syntax error as a finding.
pub(crate) fn diagnostic(error: &ScanError, text: &Arc<SourceText>) -> Diagnostic {
    let marker = error.marker();
    let start = match marker.byte_offset() {
        Some(offset) => Place { line: marker.line(), column: marker.col() + 1, offset },
        None => text.place(text.text.char_indices().nth(marker.index()).map_or(text.text.len(), |(at, _)| at)),
    };
    let span = Span { text: Arc::clone(text), start, end: start };
    if matches!(error.kind(), ErrorKind::RecursionLimitExceeded) {
        return too_deep(&span);
    }
    let (message, help) = words(error);
    let help = reference_help(&span).unwrap_or(help);
    Diagnostic::error("yaml_syntax", message).at(&span).help(help)
}

pub(crate) fn too_deep(span: &Span) -> Diagnostic {
    Diagnostic::error("too_deep", format!("lists and mappings are nested more than {MAX_DEPTH} deep here"))
        .at(span)
        .help("write it flatter")
}

/// `{ password: ${NAME} }` is read as `$` and a mapping; the parser stops within or just after `${`.
fn reference_help(span: &Span) -> Option<&'static str> {
    let near = span.text.line(span.start.line).chars().take(span.start.column + 1).collect::<String>();
    near.contains("${").then_some("inside { } or [ ] put a reference in quotes: \"${NAME}\"")
}

fn words(error: &ScanError) -> (String, &'static str) {
    let quote = "put a text that holds `: `, ` #`, `{`, `[`, or starts with one of *&!|>'\"%@` in quotes";
    let (message, help) = match error.kind() {
        ErrorKind::TabNotAllowed
        | ErrorKind::TabInBlockIndentation
        | ErrorKind::TabInIndentation
        | ErrorKind::TabAtBlockScalarStart => ("a tab stands where YAML wants spaces".to_owned(), "indent with spaces"),
        ErrorKind::UnclosedQuotedScalar => (
            "the quote that ends this text is missing".to_owned(),
            "close it, or double it where it belongs to the text: 'it''s'",
        ),
        ErrorKind::UnclosedFlowCollection { open } => {
            (format!("the bracket that closes `{open}` is missing"), "close it")
        }
        ErrorKind::MismatchedFlowCollectionEnd { open, close } => {
            (format!("`{open}` is closed by `{close}`"), "close each bracket by its own kind")
        }
        ErrorKind::MisplacedFlowCollectionEnd => ("a bracket closes here that was never opened".to_owned(), quote),
        ErrorKind::ExpectedFlowMappingSeparator => (
            "a `,` or `}` is missing here or before".to_owned(),
            "close every `{`; put a text with any of , : { } [ ] in quotes",
        ),
        ErrorKind::ExpectedFlowSequenceSeparator => (
            "a `,` or `]` is missing here or before".to_owned(),
            "close every `[`; put a text with any of , : { } [ ] in quotes",
        ),
        ErrorKind::SimpleKeyExpected => {
            ("a key must be followed by `:`".to_owned(), "write `key: value`, and indent the keys of one mapping alike")
        }
        ErrorKind::InvalidSimpleKey
        | ErrorKind::MappingValueNotAllowed
        | ErrorKind::MappingKeyNotAllowed
        | ErrorKind::InvalidColonPlacement => ("no `key: value` can stand here".to_owned(), quote),
        ErrorKind::BlockSequenceEntryNotAllowed | ErrorKind::BlockEntryInFlowCollection => (
            "no item of a list (`- item`) can stand here".to_owned(),
            "start the list in a line of its own; put a text that starts with `- ` in quotes",
        ),
        ErrorKind::ExpectedBlockMappingKey => {
            ("a key is expected here".to_owned(), "indent the keys of one mapping alike")
        }
        ErrorKind::InvalidIndentation | ErrorKind::InvalidBlockScalarIndent | ErrorKind::InvalidQuotedScalarIndent => (
            "this line is not indented like the ones it belongs to".to_owned(),
            "indent what belongs together alike, with spaces",
        ),
        ErrorKind::UnknownQuotedScalarEscape => (
            "this escape has no meaning in YAML".to_owned(),
            "write \\\\ for a backslash, or use single quotes, which know no escapes",
        ),
        ErrorKind::UnexpectedCharacter { character } => (format!("no value can start with `{character}`"), quote),
        _ => (format!("this is not YAML: {}", error.info()), quote),
    };
    (message, help)
}
