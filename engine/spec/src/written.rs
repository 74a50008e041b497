//! Where in the file a character of a scalar's text was written.

use crate::Span;
use crate::env::Expanded;
use crate::node::{Scalar, Style};
use std::ops::Range;

/// The span of a range (bytes) of `scalar.text`, where the scalar as a whole was written at `whole`.
pub(crate) fn span(scalar: &Scalar, whole: &Span, range: Range<usize>) -> Span {
    let (written, range) = match &scalar.expanded {
        Some(expanded) => (expanded.written.as_str(), before_expansion(expanded, range)),
        None => (scalar.text.as_str(), range),
    };
    let found = align(whole.source(), scalar.style, written, range);
    whole.text.span(whole.start.offset + found.start, whole.start.offset + found.end)
}

/// From a range in the expanded text to the one in the text as written; what a reference yielded becomes the reference.
fn before_expansion(expanded: &Expanded, range: Range<usize>) -> Range<usize> {
    let (mut start, mut end) = (range.start, range.end);
    for part in &expanded.parts {
        if range.start >= part.text.end {
            start = range.start - part.text.end + part.written.end;
        } else if range.start >= part.text.start {
            start = part.written.start;
        }
        if range.end >= part.text.end {
            end = range.end - part.text.end + part.written.end;
        } else if range.end > part.text.start {
            end = part.written.end;
        }
    }
    start..end.max(start)
}

/// The range of `raw` that was read as `range` of `text`.
///
/// Both are walked together. Line folding and indentation only touch white space, so every other character of the text
/// stands in `raw` in the same order, as itself or as an escape; white space is placed as nearly as possible.
fn align(raw: &str, style: Style, text: &str, range: Range<usize>) -> Range<usize> {
    let mut at = match style {
        Style::Plain => 0,
        Style::SingleQuoted | Style::DoubleQuoted => 1,
        Style::Literal | Style::Folded => 0,
    };
    // The place of a block is that of its first line with something on it.
    let above = if at == 0 { text.len() - text.trim_start_matches('\n').len() } else { 0 };
    let mut found = None;
    for (offset, c) in text.char_indices() {
        if offset >= range.end && found.is_some() {
            break;
        }
        if offset < above {
            found = found.or((offset >= range.start).then_some(at));
            continue;
        }
        let escape = |at: usize| escape_length(&raw[at..], style);
        at += if style == Style::DoubleQuoted { continuations(&raw[at..]) } else { 0 };
        if !c.is_whitespace() || (c == '\n' && escape(at) == 0) {
            at += raw[at..].find(|r: char| !r.is_whitespace() || r == c).unwrap_or(0);
        }
        let start = at;
        match raw[at..].chars().next() {
            _ if escape(at) > 0 => at += escape(at),
            Some(r) if r == c || !c.is_whitespace() => at += r.len_utf8(),
            Some(r) if r.is_whitespace() => at += r.len_utf8(),
            _ => {}
        }
        found = found.or((offset >= range.start).then_some(start));
    }
    let start = found.unwrap_or(at);
    start..if range.is_empty() { start } else { at.max(start) }
}

/// The bytes of the escape that `raw` starts with, 0 if none.
fn escape_length(raw: &str, style: Style) -> usize {
    let letter = |raw: &str| raw[1..].chars().next().map_or(0, char::len_utf8);
    let length = match style {
        Style::SingleQuoted if raw.starts_with("''") => 2,
        Style::DoubleQuoted if raw.starts_with("\\x") => 4,
        Style::DoubleQuoted if raw.starts_with("\\u") => 6,
        Style::DoubleQuoted if raw.starts_with("\\U") => 10,
        Style::DoubleQuoted if raw.starts_with('\\') => 1 + letter(raw),
        _ => 0,
    };
    if raw.is_char_boundary(length.min(raw.len())) { length.min(raw.len()) } else { 0 }
}

/// The bytes of escaped line breaks (`\` at the end of a line), which yield no character.
fn continuations(raw: &str) -> usize {
    let mut at = 0;
    loop {
        let blanks = raw[at..].len() - raw[at..].trim_start().len();
        let rest = &raw[at + blanks..];
        let Some(after) = rest.strip_prefix("\\\n").or_else(|| rest.strip_prefix("\\\r\n")) else { return at };
        at = raw.len() - after.trim_start().len();
    }
}

#[cfg(test)]
mod tests {
    use crate::{Node, SourceText};
    use proptest::prelude::*;

    fn value(yaml: &str) -> Node {
        let environment = |name: &str| (name == "WHO").then(|| "somebody else".to_owned());
        let node = Node::read(&SourceText::new("a.yaml", yaml), &environment).expect("valid YAML");
        node.get("k").expect("the key k").clone()
    }

    /// The word `here` in the value's text is found where it stands in the file.
    fn finds_here(yaml: &str) {
        let node = value(yaml);
        let text = node.as_str().expect("a text");
        let at = text.find("here").expect("the word stands in the text");
        let before = &text[..at];
        let line = 1 + before.matches('\n').count();
        let column = 1 + before.chars().rev().take_while(|c| *c != '\n').count();
        let expected = yaml.find("here").expect("the word stands in the file");
        assert_eq!(node.text_place(line, column).start.offset, expected, "{yaml:?}");
        assert_eq!(node.text_span(at..at + 4).source(), "here", "{yaml:?}");
    }

    #[test]
    fn a_word_is_found_in_every_style() {
        for yaml in [
            "k: a here b",
            "k: a\n  b\n  c here",
            "k: 'it''s here'",
            "k: \"a\\tb \\u00e9 \\\"here\\\"\"",
            "k: \"a\n   b\n\n   here\"",
            "k: \"a\\\n   b \\\n  here\"",
            "k: |\n  a\n  b here\n",
            "k: | # with a remark\n\n\n    a\n      b\n    c here\n",
            "k: |-\r\n  a\r\n  b here\r\n",
            "k: >\n  a\n  b\n\n  here\n",
            "k: >\n  ü\n    x\n    here\n",
            "x: 1\nk: |2\n    indented\n  here",
            "k: a ${WHO} here",
            "k: $${here}",
            "k: \"${NONE:-xyz} here\"",
        ] {
            finds_here(yaml);
        }
    }

    #[test]
    fn a_place_in_a_value_from_the_environment_is_its_reference() {
        let node = value("k: to ${WHO} now");
        assert_eq!(node.text_span(5..8).source(), "${WHO}");
        assert_eq!(node.text_place(1, 8).start.column, 7);
    }

    #[test]
    fn a_place_past_the_end_is_the_end() {
        let node = value("k: |\n  ab\n");
        let place = node.text_place(9, 9);
        assert_eq!((place.start.line, place.source()), (2, ""));
        assert_eq!(node.text_place(1, 99).start.column, 5);
    }

    proptest! {
        #[test]
        fn any_place_of_any_text_lies_in_the_value(yaml in "(\"|'|\\||>)?[-+a-c '\"\\\\$\\{\\}\n\r\té]{0,20}", line in 0_usize..5, column in 0_usize..12, start in 0_usize..20, length in 0_usize..8) {
            let text = SourceText::new("a.yaml", format!("k: {yaml}"));
            if let Ok(node) = Node::read(&text, &|_| Some("value".to_owned()))
                && let Some(node) = node.get("k")
            {
                for span in [node.text_place(line, column), node.text_span(start..start + length)] {
                    prop_assert!(span.start >= node.span().start && span.start <= span.end);
                    prop_assert!(span.end.offset <= text.text.len());
                }
            }
        }
    }
}
