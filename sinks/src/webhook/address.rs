//! The URL of a webhook, with `{column}` in its path and its query.
//!
//! A value is percent-encoded (RFC 3986, section 2.1: everything but letters, digits and `-._~`), so it can neither begin
//! a path segment nor a parameter of its own. Nor can it go up a folder: a row that would make a segment `.` or `..`,
//! which a parser resolves even when they are encoded, makes no address.

use super::template::{Piece, column, pieces};
use arrow::datatypes::{DataType, Schema};
use std::borrow::Cow;
use std::fmt::Write;
use url::Url;

const NO_ADDRESS: &str = "the `url` is not the address of a web server: http://host/path or https://host/path";

/// Where a row is sent.
pub(super) struct Address {
    /// Up to the path.
    server: String,
    pieces: Vec<Piece<usize>>,
    /// Filled with a value as plain as any.
    sample: Url,
}

impl Address {
    /// # Errors
    /// It is not the address of a web server, or names columns where it cannot. The message shows no more of the address
    /// than the names.
    pub fn parse(text: &str, schema: &Schema) -> Result<Self, String> {
        let start = text.find("://").ok_or(NO_ADDRESS)? + 3;
        let path = text[start..].find(['/', '\\', '?', '#']).map_or(text.len(), |at| start + at);
        if text[..path].contains(['{', '}']) {
            return Err("a column may stand in the path and in the query of the `url`, and not in its host".to_owned());
        }
        if text.contains('#') {
            return Err("what follows a `#` in the `url` is never sent: leave it out, or write %23".to_owned());
        }
        let pieces = pieces(&text[path..], |name| level(name, schema))?;
        let sample = fill(&text[..path], &pieces, |_| Some("x".into()))?;
        let sample = sample.filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        Ok(Self { server: text[..path].to_owned(), sample: sample.ok_or(NO_ADDRESS)?, pieces })
    }

    /// The columns that it reads, each once, in its order.
    pub fn columns(&self) -> Vec<usize> {
        let mut columns = Vec::new();
        for piece in &self.pieces {
            match piece {
                Piece::Named(column) if !columns.contains(column) => columns.push(*column),
                _ => {}
            }
        }
        columns
    }

    /// What of its path and query is always the same.
    pub fn texts(&self) -> impl Iterator<Item = &str> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Text(text) => Some(text.as_str()),
            Piece::Named(_) => None,
        })
    }

    /// One such address.
    pub fn sample(&self) -> &Url {
        &self.sample
    }

    /// The address for a row; `value` gives a column's text, `None` for null.
    ///
    /// # Errors
    /// A value is missing or empty, or would change the path.
    pub fn fill<'v>(&self, value: impl FnMut(usize) -> Option<Cow<'v, str>>) -> Result<Url, String> {
        fill(&self.server, &self.pieces, value)?.ok_or_else(|| "its values make no URL".to_owned())
    }
}

/// A column that can be part of an address.
fn level(name: &str, schema: &Schema) -> Result<usize, String> {
    let index = column(name, schema)?;
    let kind = schema.field(index).data_type();
    if kind.is_nested() || matches!(kind, DataType::Binary | DataType::LargeBinary) {
        return Err(format!("the `url` names the column `{name}`, whose type {kind} makes no part of a URL"));
    }
    Ok(index)
}

/// `None`: no URL comes of it.
fn fill<'v>(
    server: &str,
    pieces: &[Piece<usize>],
    mut value: impl FnMut(usize) -> Option<Cow<'v, str>>,
) -> Result<Option<Url>, String> {
    let mut text = server.to_owned();
    for piece in pieces {
        match piece {
            Piece::Text(plain) => text.push_str(plain),
            Piece::Named(column) => {
                let value = value(*column).filter(|value| !value.is_empty());
                encode(&value.ok_or("a column that the `url` names has no value")?, &mut text);
            }
        }
    }
    let path = text[server.len()..].split(['?', '#']).next().unwrap_or_default();
    let is_dots = |segment: &str| matches!(segment.to_ascii_lowercase().replace("%2e", ".").as_str(), "." | "..");
    if path.split(['/', '\\']).any(is_dots) {
        return Err("a part of the `url`'s path is `.` or `..`, which would lead elsewhere".to_owned());
    }
    Ok(Url::parse(&text).ok())
}

fn encode(value: &str, out: &mut String) {
    for byte in value.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            // Writing into a String cannot fail.
            _ => drop(write!(out, "%{byte:02X}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::datatypes::Field;

    fn schema() -> Schema {
        let field = |name: &str, kind| Field::new(name, kind, true);
        Schema::new(vec![field("tool", DataType::Utf8), field("over", DataType::Int64), field("raw", DataType::Binary)])
    }

    fn filled(address: &str, tool: Option<&str>) -> Result<String, String> {
        let address = Address::parse(address, &schema())?;
        Ok(address.fill(|column| if column == 0 { tool.map(Cow::from) } else { Some("7".into()) })?.to_string())
    }

    #[test]
    fn values_stay_within_their_part() {
        let url = "https://h.example/a/{tool}/b?t={tool}&o={over}";
        let is = |tool: &str| filled(url, Some(tool)).unwrap();
        assert_eq!(is("t0"), "https://h.example/a/t0/b?t=t0&o=7");
        assert_eq!(is("a/b?c&d=e#f%"), "https://h.example/a/a%2Fb%3Fc%26d%3De%23f%25/b?t=a%2Fb%3Fc%26d%3De%23f%25&o=7");
        assert_eq!(is("ö @\n"), "https://h.example/a/%C3%B6%20%40%0A/b?t=%C3%B6%20%40%0A&o=7");
    }

    #[test]
    fn values_that_would_lead_elsewhere_make_no_address() {
        for tool in [None, Some(""), Some("."), Some("..")] {
            assert!(filled("https://h.example/a/{tool}/b", tool).is_err(), "{tool:?}");
        }
        assert!(filled("https://h.example/a/{tool}{tool}", Some(".")).is_err());
        assert!(filled("https://h.example/a/.{tool}", Some(".")).is_err());
        assert!(filled("https://h.example/a/%2e{tool}", Some(".")).is_err());
        assert_eq!(filled("https://h.example/a/{tool}", Some("...")).unwrap(), "https://h.example/a/...");
        assert_eq!(filled("https://h.example/a?x={tool}", Some("..")).unwrap(), "https://h.example/a?x=..");
    }

    #[test]
    fn columns_stand_in_the_path_and_the_query_only() {
        let refused =
            |url: &str| Address::parse(url, &schema()).err().unwrap_or_else(|| panic!("{url} is not refused"));
        assert!(refused("https://{tool}.example/").contains("not in its host"));
        assert!(refused("https://user:{tool}@h.example/").contains("not in its host"));
        assert!(refused("https://h.example/{tol}").contains("it has tool, over, raw"));
        assert!(refused("https://h.example/{raw}").contains("`raw`"));
        assert!(refused("https://h.example/{tool").contains("brace"));
        assert!(refused("https://h.example/#{tool}").contains('#'));
        for url in ["", "h.example", "ftp://h.example/", "https://", "https:///", "mailto:a@b", "http://a b/"] {
            assert_eq!(refused(url), NO_ADDRESS, "{url}");
        }
        assert_eq!(
            Address::parse("http://h/{over}/{tool}?{over}", &schema()).ok().map(|a| a.columns()),
            Some(vec![1, 0])
        );
    }
}
