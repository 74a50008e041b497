//! Reading the plain values of a pipeline, with findings in its own terms.

use crate::node::{Entry, Node};
use crate::{Diagnostic, Diagnostics, Spanned, duration};
use std::time::Duration;

/// `a`, `b` and `c`; `None` if there are none.
pub(super) fn quoted<'a>(names: impl Iterator<Item = &'a str>) -> Option<String> {
    let names = names.collect::<Vec<_>>();
    (!names.is_empty()).then(|| crate::deserialize_error::listed(&names))
}

/// Reports keys other than `known`.
pub(super) fn check_keys(node: &Node, known: &[&str], findings: &mut Diagnostics) {
    for entry in node.entries().iter().filter(|entry| !known.contains(&entry.key.as_str())) {
        let listed = format!("the keys here are {}", quoted(known.iter().copied()).unwrap_or_default());
        let diagnostic =
            Diagnostic::error("unknown_key", format!("`{}` is not a key here", entry.key)).at(&entry.key.span);
        findings.push(diagnostic.suggest(&entry.key, known.iter().copied(), listed));
    }
}

/// The keys and values of a mapping; left empty it has none.
pub(super) fn entries(node: &Node, what: &str, findings: &mut Diagnostics) -> Vec<Entry> {
    if !node.is_mapping() && !node.is_null() {
        wrong_type(node, &format!("`{what}`"), "a mapping", findings);
    }
    node.entries().to_vec()
}

/// The items of a list; left empty it has none.
pub(super) fn items<'n>(node: &'n Node, what: &str, findings: &mut Diagnostics) -> &'n [Node] {
    if !node.is_sequence() && !node.is_null() {
        wrong_type(node, what, "a list", findings);
    }
    node.items()
}

pub(super) fn wrong_type(node: &Node, what: &str, wanted: &str, findings: &mut Diagnostics) {
    let diagnostic =
        Diagnostic::error("wrong_type", format!("{what} must be {wanted}, but is {}", node.describe())).at(node.span());
    let quotable = node.as_scalar().filter(|scalar| wanted == "a text" && !scalar.text.is_empty() && !scalar.secret);
    findings.push(match quotable {
        Some(scalar) => diagnostic.help(format!("put it in quotes: {:?}", scalar.text)),
        None => diagnostic,
    });
}

/// A text of the language itself: a name, so nothing that comes from the environment and may not be shown.
pub(super) fn text(node: &Node, what: &str, findings: &mut Diagnostics) -> Option<Spanned<String>> {
    match node.as_str() {
        Some(_) if node.is_secret() => {
            let diagnostic =
                Diagnostic::error("secret_name", format!("{what} comes from the environment")).at(node.span());
            findings
                .push(diagnostic.help("write it out: what comes from the environment is secret, and names are shown"));
            None
        }
        Some(text) => Some(Spanned::new(text.to_owned(), node.span().clone())),
        None => {
            wrong_type(node, what, "a text", findings);
            None
        }
    }
}

/// One text or a list of texts.
pub(super) fn texts(node: &Node, what: &str, findings: &mut Diagnostics) -> Vec<Spanned<String>> {
    match node.is_sequence() {
        true => node.items().iter().filter_map(|item| text(item, &format!("an item of {what}"), findings)).collect(),
        false => text(node, what, findings).into_iter().collect(),
    }
}

pub(super) fn keep_duration(node: &Node, what: &str, findings: &mut Diagnostics) -> Option<Spanned<Duration>> {
    let Some(scalar) = node.as_scalar() else {
        wrong_type(node, &format!("`{what}`"), "a duration", findings);
        return None;
    };
    match duration::parse(&scalar.text) {
        Ok(duration) => Some(Spanned::new(duration, node.span().clone())),
        Err(error) => {
            let reason = if scalar.secret {
                "the value from the environment is not a duration".to_owned()
            } else {
                error.to_string()
            };
            findings.push(
                Diagnostic::error("wrong_duration", format!("`{what}`: {reason}"))
                    .at(node.span())
                    .help(duration::ALLOWED),
            );
            None
        }
    }
}

/// One of a few words.
pub(super) fn choice<T: Clone>(
    node: &Node,
    what: &str,
    choices: &[(&str, T)],
    findings: &mut Diagnostics,
) -> Option<T> {
    let found = node.as_str().and_then(|text| choices.iter().find(|(word, _)| *word == text));
    if found.is_none() {
        let words = || choices.iter().map(|(word, _)| *word);
        let listed = quoted(words()).unwrap_or_default();
        let diagnostic = Diagnostic::error(
            "wrong_value",
            format!(
                "`{what}` must be {}{listed}, but is {}",
                if choices.len() > 1 { "one of " } else { "" },
                node.describe()
            ),
        );
        let help = if choices.len() > 1 { "write one of them" } else { "write it so, or leave the key out" };
        let visible = node.as_str().filter(|_| !node.is_secret()).unwrap_or_default();
        findings.push(diagnostic.at(node.span()).suggest(visible, words(), help));
    }
    found.map(|(_, value)| value.clone())
}

pub(super) fn check_name(name: &Spanned<String>, what: &str, findings: &mut Diagnostics) {
    if !is_name(name) {
        let meant =
            name.to_lowercase().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect::<String>();
        let meant = meant.trim_start_matches(|c: char| !c.is_ascii_lowercase());
        let example = if is_name(meant) { format!(", such as `{meant}`") } else { String::new() };
        let diagnostic =
            Diagnostic::error("wrong_name", format!("`{}` cannot be the name of a {what}", name.value)).at(&name.span);
        findings.push(diagnostic.help(format!("a name starts with a letter and has only a-z, 0-9 and _{example}")));
    }
}

fn is_name(text: &str) -> bool {
    let rest = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    text.starts_with(|c: char| c.is_ascii_lowercase()) && text.chars().all(rest)
}

/// `stream` or `pipeline.stream`, taken apart.
pub(super) fn stream_reference<'n>(
    name: &'n Spanned<String>,
    findings: &mut Diagnostics,
) -> Option<(Option<&'n str>, &'n str)> {
    let parts = match name.split_once('.') {
        Some((pipeline, stream)) => (Some(pipeline), stream),
        None => (None, name.as_str()),
    };
    if parts.0.is_none_or(is_name) && is_name(parts.1) {
        return Some(parts);
    }
    let diagnostic =
        Diagnostic::error("wrong_name", format!("`{}` cannot be the name of a stream", name.value)).at(&name.span);
    findings.push(diagnostic.help("write `stream` for one of this pipeline, `pipeline.stream` for one of another"));
    None
}
