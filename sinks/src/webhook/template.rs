//! Texts with `{name}` where something of a row goes; `{{` and `}}` stand for braces themselves.

use arrow::datatypes::Schema;

/// A text in pieces.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Piece<N> {
    Text(String),
    /// What a name in braces stands for.
    Named(N),
}

/// Cuts a text at its braces; `find` says what a name stands for.
///
/// # Errors
/// A brace that is not closed, or closed but not opened, and what `find` says of a name.
pub(super) fn pieces<N>(text: &str, mut find: impl FnMut(&str) -> Result<N, String>) -> Result<Vec<Piece<N>>, String> {
    const BRACE: &str = "a brace is not closed, or closed but not opened: a column is written `{name}`";
    let (mut pieces, mut plain, mut rest) = (Vec::new(), String::new(), text);
    while let Some(at) = rest.find(['{', '}']) {
        let (before, after) = rest.split_at(at);
        plain.push_str(before);
        if let Some(brace) = ["{{", "}}"].into_iter().find(|brace| after.starts_with(brace)) {
            plain.push_str(&brace[1..]);
            rest = &after[2..];
            continue;
        }
        let inside = after.strip_prefix('{').and_then(|inner| inner.split_once('}'));
        let (name, after) = inside.filter(|(name, _)| !name.contains('{')).ok_or(BRACE)?;
        if !plain.is_empty() {
            pieces.push(Piece::Text(std::mem::take(&mut plain)));
        }
        pieces.push(Piece::Named(find(name)?));
        rest = after;
    }
    plain.push_str(rest);
    if !plain.is_empty() {
        pieces.push(Piece::Text(plain));
    }
    Ok(pieces)
}

/// The column of a name.
///
/// # Errors
/// There is none; the message says which there are.
pub(super) fn column(name: &str, schema: &Schema) -> Result<usize, String> {
    schema.index_of(name).map_err(|_| {
        let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
        format!("the stream has no column `{name}`; it has {}", names.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(text: &str) -> Option<String> {
        let pieces = pieces(text, |name| Ok(name.to_owned())).ok()?;
        let shown = pieces.iter().map(|piece| match piece {
            Piece::Text(text) => text.clone(),
            Piece::Named(name) => format!("<{name}>"),
        });
        Some(shown.collect::<Vec<_>>().join("|"))
    }

    #[test]
    fn texts_are_cut_at_their_braces() {
        for (text, cut_up) in [
            ("", Some("")),
            ("plain", Some("plain")),
            ("{a}", Some("<a>")),
            ("x{a}{b} y", Some("x|<a>|<b>| y")),
            ("{{\"a\": {a}}}", Some("{\"a\": |<a>|}")),
            ("{{\"a\": {a} }}", Some("{\"a\": |<a>| }")),
            ("{{{a}}}", Some("{|<a>|}")),
            ("{a", None),
            ("a}", None),
            ("{a{b}}", None),
        ] {
            assert_eq!(cut(text).as_deref(), cut_up, "{text}");
        }
    }
}
