//! From the events of the YAML parser to a [`Node`].
//!
//! The language is YAML 1.2 with the core schema and one document per file. Anchors, aliases, tags (other than `!!str`) and keys that
//! are not texts are refused: nothing in the language needs them, and aliases are how a small file becomes a huge value.

use crate::node::{Content, Entry, Scalar, ScalarValue, Style};
use crate::{Diagnostic, Diagnostics, Node, Place, SourceText, Span, Spanned, env, yaml_error};
use serde_saphyr::granit_parser::{self, Event, Marker, Parser, ScalarStyle, StructureStyle, Tag};
use std::collections::HashMap;
use std::sync::Arc;

/// Bytes of a file. The longest pipelines are some hundred lines; recorded tests may be long.
pub(crate) const MAX_BYTES: usize = 4 << 20;
/// Lists and mappings inside each other.
pub(crate) const MAX_DEPTH: usize = 64;
/// Values in one file.
const MAX_NODES: usize = 250_000;
/// Findings after which reading stops: what follows says nothing new.
const MAX_FINDINGS: usize = 100;

/// Reads a file; `environment` answers `${NAME}`.
pub(crate) fn read(text: &Arc<SourceText>, environment: &dyn Fn(&str) -> Option<String>) -> Reading {
    let mut reader = Reader {
        text,
        environment,
        stack: Vec::new(),
        root: None,
        nodes: 0,
        findings: Diagnostics::default(),
        spoiled: Vec::new(),
    };
    let root = match reader.run() {
        Ok(()) => Some(reader.root.unwrap_or_else(|| null(Span::start_of(text)))),
        Err(fatal) => {
            reader.findings.push(fatal);
            None
        }
    };
    Reading { root, findings: reader.findings, spoiled: reader.spoiled }
}

/// What came of reading a file.
pub(crate) struct Reading {
    /// There even with findings, unless the structure of the file is in doubt.
    pub root: Option<Node>,
    pub findings: Diagnostics,
    /// Values that were not understood; others stand in their place.
    spoiled: Vec<Span>,
}

impl Reading {
    /// Whether a later finding only follows from a value that was not understood.
    pub(crate) fn explains(&self, later: &Diagnostic) -> bool {
        let within = |outer: &Span, inner: &Span| outer.start <= inner.start && inner.end <= outer.end;
        later.span.as_ref().is_some_and(|span| self.spoiled.iter().any(|spoiled| within(spoiled, span)))
    }
}

struct Reader<'a> {
    text: &'a Arc<SourceText>,
    environment: &'a dyn Fn(&str) -> Option<String>,
    stack: Vec<Open>,
    root: Option<Node>,
    nodes: usize,
    findings: Diagnostics,
    spoiled: Vec<Span>,
}

/// A list or mapping whose end is still to come.
struct Open {
    start: Place,
    /// Whether it ends with a bracket of its own.
    flow: bool,
    parts: Parts,
}

enum Parts {
    Sequence(Vec<Node>),
    Mapping {
        entries: Vec<Entry>,
        /// Index in `entries` of each key so far.
        seen: HashMap<String, usize>,
        key: Key,
    },
}

/// The key that waits for its value.
enum Key {
    None,
    Some(Spanned<String>),
    /// It was refused; its value is read and dropped.
    Refused,
}

impl Reader<'_> {
    fn run(&mut self) -> Result<(), Diagnostic> {
        if self.text.text.len() > MAX_BYTES {
            let message = format!("the file has {} bytes; at most {MAX_BYTES} are read", self.text.text.len());
            return Err(Diagnostic::error("too_large", message)
                .at(&Span::start_of(self.text))
                .help("split the pipeline into several files"));
        }
        let mut options = granit_parser::options! {
            emit_unresolved_aliases: true,
            emit_anchor_events: true,
            flow_nesting_limit: MAX_DEPTH,
            block_nesting_limit: MAX_DEPTH,
        };
        options.set_emit_comments(false);
        let text = Arc::clone(self.text);
        let mut documents = 0;
        for event in Parser::new_from_str_with_options(&text.text, options) {
            let (event, place) = event.map_err(|error| yaml_error::diagnostic(&error, self.text))?;
            let span = self.span(place.start, place.end);
            if matches!(event, Event::DocumentStart(..)) {
                documents += 1;
                if documents > 1 {
                    return Err(Diagnostic::error("several_documents", "a second YAML document starts here")
                        .at(&span)
                        .help("put each pipeline into a file of its own"));
                }
            }
            let tag = place.tag_span().map_or_else(|| span.clone(), |tag| self.span(tag.start, tag.end));
            self.event(event, span, &tag)?;
            if self.findings.0.len() >= MAX_FINDINGS {
                return Err(Diagnostic::error(
                    "too_many_findings",
                    format!("reading stops after {MAX_FINDINGS} findings"),
                ));
            }
        }
        Ok(())
    }

    /// `tag` is the place of the value's tag, if it has one.
    fn event(&mut self, event: Event<'_>, span: Span, tag: &Span) -> Result<(), Diagnostic> {
        match event {
            Event::Scalar(text, style, _, named) => {
                let is_text = named.as_deref().is_some_and(|tag| tag.is_yaml_core_schema_tag("str"));
                self.refuse_tag(named.as_deref().filter(|_| !is_text), tag);
                self.complete(scalar(&text, style, is_text, trimmed(span)))
            }
            Event::SequenceStart(style, _, named) => {
                self.refuse_tag(named.as_deref(), tag);
                self.open(span.start, style, Parts::Sequence(Vec::new()))
            }
            Event::MappingStart(style, _, named) => {
                self.refuse_tag(named.as_deref(), tag);
                self.open(
                    span.start,
                    style,
                    Parts::Mapping { entries: Vec::new(), seen: HashMap::new(), key: Key::None },
                )
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(&span),
            Event::Anchor(_, name) => {
                let message =
                    format!("this value has the anchor `&{name}`, and pipelines have no aliases to refer to it");
                self.findings.push(
                    Diagnostic::error("yaml_anchor", message)
                        .at(&span)
                        .help("remove it; put a text that starts with `&` in quotes"),
                );
                Ok(())
            }
            Event::Alias(_) | Event::UnresolvedAlias(_) => {
                let message = format!("`{}` refers to an anchor, and pipelines have none", span.source());
                self.findings.push(
                    Diagnostic::error("yaml_alias", message)
                        .at(&span)
                        .help("write the value out; put a text that starts with `*` in quotes"),
                );
                self.spoiled.push(span.clone());
                self.complete(null(span))
            }
            _ => Ok(()),
        }
    }

    fn span(&self, start: Marker, end: Marker) -> Span {
        let place =
            |m: Marker| Place { line: m.line(), column: m.col() + 1, offset: m.byte_offset().unwrap_or_default() };
        Span { text: Arc::clone(self.text), start: place(start), end: place(end) }
    }

    fn refuse_tag(&mut self, tag: Option<&Tag>, span: &Span) {
        if let Some(tag) = tag {
            let diagnostic = Diagnostic::error(
                "yaml_tag",
                format!("this value has the tag `{}`, which means nothing in a pipeline", tag.original()),
            );
            self.findings.push(diagnostic.at(span).help("remove it; put a text that starts with `!` in quotes"));
        }
    }

    fn open(&mut self, start: Place, style: StructureStyle, parts: Parts) -> Result<(), Diagnostic> {
        if self.stack.len() >= MAX_DEPTH {
            return Err(yaml_error::too_deep(&Span { text: Arc::clone(self.text), start, end: start }));
        }
        self.stack.push(Open { start, flow: style == StructureStyle::Flow, parts });
        Ok(())
    }

    fn close(&mut self, end: &Span) -> Result<(), Diagnostic> {
        let Some(open) = self.stack.pop() else { return Ok(()) };
        let (content, last) = match open.parts {
            Parts::Sequence(items) => {
                let last = items.last().map(|item| item.span().end);
                (Content::Sequence(items), last)
            }
            Parts::Mapping { entries, .. } => {
                let last = entries.last().map(|entry| entry.value.span().end.max(entry.key.span.end));
                (Content::Mapping(entries), last)
            }
        };
        // The end of a block is where the next thing starts: too late to point at.
        let end = if open.flow { end.end } else { last.unwrap_or(open.start) };
        self.complete(Node::new(content, Span { text: Arc::clone(self.text), start: open.start, end }))
    }

    /// Puts a finished value where it belongs.
    fn complete(&mut self, node: Node) -> Result<(), Diagnostic> {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            return Err(Diagnostic::error("too_large", format!("the file has more than {MAX_NODES} values"))
                .at(node.span())
                .help("split the pipeline into several files"));
        }
        if let Some(Open { parts: Parts::Mapping { entries, seen, key: key @ Key::None }, .. }) = self.stack.last_mut()
        {
            *key = accept_key(node, entries, seen, &mut self.findings);
            return Ok(());
        }
        let node = self.expanded(node);
        match self.stack.last_mut().map(|open| &mut open.parts) {
            None => self.root = Some(node),
            Some(Parts::Sequence(items)) => items.push(node),
            Some(Parts::Mapping { entries, key, .. }) => {
                if let Key::Some(key) = std::mem::replace(key, Key::None) {
                    entries.push(Entry { key, value: node });
                }
            }
        }
        Ok(())
    }

    /// Replaces `${NAME}` in a scalar.
    fn expanded(&mut self, node: Node) -> Node {
        let Some(scalar) = node.as_scalar() else { return node };
        match env::expand(&scalar.text, self.environment) {
            Ok(None) => node,
            Ok(Some(expansion)) => {
                let value = if scalar.style == Style::Plain {
                    ScalarValue::of_plain(&expansion.text)
                } else {
                    ScalarValue::Text
                };
                let scalar = Scalar {
                    value,
                    text: expansion.text,
                    style: scalar.style,
                    secret: expansion.secret,
                    expanded: Some(Box::new(expansion.expanded)),
                };
                Node::new(Content::Scalar(scalar), node.span().clone())
            }
            Err(findings) => {
                self.spoiled.push(node.span().clone());
                self.findings.extend(findings.into_iter().map(|(range, finding)| finding.at(&node.text_span(range))));
                node
            }
        }
    }
}

/// A key, unless it is no text or stands there twice.
fn accept_key(node: Node, entries: &[Entry], seen: &mut HashMap<String, usize>, findings: &mut Diagnostics) -> Key {
    let Some(scalar) = node.as_scalar() else {
        findings.push(
            Diagnostic::error("yaml_key", "a list or a mapping stands where a key is expected")
                .at(node.span())
                .help("keys are texts: `key: value`; put a text with braces or brackets in quotes"),
        );
        return Key::Refused;
    };
    if scalar.text.is_empty() {
        findings.push(
            Diagnostic::error("yaml_key", "the key before this `:` is missing")
                .at(node.span())
                .help("write `key: value`"),
        );
        return Key::Refused;
    }
    if let Some(first) = seen.get(&scalar.text).and_then(|index| entries.get(*index)) {
        let diagnostic = Diagnostic::error("duplicate_key", format!("the key `{}` is written twice", scalar.text));
        findings.push(
            diagnostic.at(node.span()).note_at(&first.key.span, "it stands here already").help("keep one of the two"),
        );
        return Key::Refused;
    }
    seen.insert(scalar.text.clone(), entries.len());
    Key::Some(Spanned::new(scalar.text.clone(), node.span().clone()))
}

fn null(span: Span) -> Node {
    let scalar =
        Scalar { value: ScalarValue::Null, text: String::new(), style: Style::Plain, secret: false, expanded: None };
    Node::new(Content::Scalar(scalar), span)
}

fn scalar(text: &str, style: ScalarStyle, text_tag: bool, span: Span) -> Node {
    let style = match style {
        ScalarStyle::Plain => Style::Plain,
        ScalarStyle::SingleQuoted => Style::SingleQuoted,
        ScalarStyle::DoubleQuoted => Style::DoubleQuoted,
        ScalarStyle::Literal => Style::Literal,
        ScalarStyle::Folded => Style::Folded,
    };
    // The parser reads nothing at all as `~`.
    let text = if style == Style::Plain && span.source().is_empty() { "" } else { text };
    let value = if style == Style::Plain && !text_tag { ScalarValue::of_plain(text) } else { ScalarValue::Text };
    Node::new(Content::Scalar(Scalar { value, text: text.to_owned(), style, secret: false, expanded: None }), span)
}

/// The span of a block ends with its last line break, which may be in the next line: it is drawn back to the last character.
fn trimmed(span: Span) -> Span {
    let written = span.source();
    let kept = written.trim_end().len();
    if kept == written.len() || span.end.line == span.start.line || kept == 0 {
        return span;
    }
    let cut = written[kept..].matches('\n').count();
    let last = written[..kept].rfind(['\n', '\r']).map_or(0, |end| end + 1);
    let end = Place {
        line: span.end.line - cut.min(span.end.line - span.start.line),
        column: 1 + written[last..kept].chars().count(),
        offset: span.start.offset + kept,
    };
    Span { end, ..span }
}
