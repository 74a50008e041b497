//! What is sent: the publication as JSON, or a shape of the operator's own.
//!
//! A shape is YAML. In its texts `{name}` is a column, or one of the publication's own fields: `{event}`, `{id}`, `{of}`
//! and `{time}` with `as: events`, `{_deleted}` with `as: state`, `{_time}` and `{_diff}` with `as: changes`. (A column
//! keeps its name; the event's field then has an underscore in front, as in the JSON of [`Payload`].) A text of a mapping
//! or a list that is nothing but one `{name}` becomes the value itself: a number stays a number, a null stays null.
//! A null within a text is nothing. Of a row that has cleared or gone only the key is known: the rest is null.

use super::template::{Piece, column, pieces};
use crate::messages::value;
use crate::payload::Payload;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use jarvis_runtime::json_out::{JsonRow, write_timestamp};
use jarvis_runtime::publish::{As, Publication, Publish, What};
use jarvis_spec::{Diagnostic, Diagnostics, Node};
use std::borrow::Cow;

/// What a name stands for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Name {
    Column(usize),
    Event,
    Id,
    Of,
    Time,
    Deleted,
    Diff,
}

const OF_EVENTS: &[(&str, Name)] = &[("event", Name::Event), ("id", Name::Id), ("of", Name::Of), ("time", Name::Time)];
const OF_STATE: &[(&str, Name)] = &[("_deleted", Name::Deleted)];
const OF_CHANGES: &[(&str, Name)] = &[("_time", Name::Time), ("_diff", Name::Diff)];

enum Shape {
    /// JSON that is always the same.
    Fixed(String),
    Text(Vec<Piece<Name>>),
    List(Vec<Shape>),
    /// Keys are in JSON.
    Object(Vec<(String, Shape)>),
}

/// Writes the bodies of one sink.
pub(super) struct Body {
    form: Form,
    row: JsonRow,
    /// The columns that are known of a row that is gone.
    identity: Option<Vec<usize>>,
}

enum Form {
    Publication(Payload),
    Json(Shape),
    Text(Vec<Piece<Name>>),
}

impl Body {
    /// The JSON of the publication.
    ///
    /// # Errors
    /// A column's type has no JSON form.
    pub fn publication(publish: &Publish, schema: &SchemaRef) -> Result<Self, ArrowError> {
        Self::new(Form::Publication(Payload::new(publish, schema)?), publish, schema)
    }

    /// A shape as written.
    ///
    /// # Errors
    /// It names what is neither a column nor the publication's own.
    pub fn shaped(node: &Node, publish: &Publish, schema: &SchemaRef) -> Result<Self, Diagnostics> {
        let mut findings = Diagnostics::default();
        let own = match publish.mode {
            As::Events => OF_EVENTS,
            As::State => OF_STATE,
            As::Changes => OF_CHANGES,
        };
        let find = |name: &str| {
            column(name, schema).map(Name::Column).or_else(|unknown| {
                own.iter().find(|(own, _)| free(own, schema) == name).map(|(_, found)| *found).ok_or_else(|| {
                    let own: Vec<String> = own.iter().map(|(own, _)| free(own, schema)).collect();
                    format!("{unknown}; and of the publication itself there is {}", own.join(", "))
                })
            })
        };
        let form = match node.as_str() {
            Some(_) => text(node, &find, &mut findings).map(Form::Text),
            None => shape(node, &find, &mut findings).map(Form::Json),
        };
        let form = form.filter(|_| findings.is_empty()).ok_or(findings)?;
        Self::new(form, publish, schema)
            .map_err(|error| Diagnostic::error("unsupported_type", error.to_string()).at(node.span()).into())
    }

    fn new(form: Form, publish: &Publish, schema: &SchemaRef) -> Result<Self, ArrowError> {
        Ok(Self { form, row: JsonRow::new(schema)?, identity: publish.identity.clone() })
    }

    pub fn content_type(&self) -> &'static str {
        match self.form {
            Form::Publication(_) | Form::Json(_) => "application/json",
            Form::Text(_) => "text/plain; charset=utf-8",
        }
    }

    /// Appends the body of a publication.
    pub fn write(&self, p: &Publication, out: &mut Vec<u8>) {
        match &self.form {
            Form::Publication(payload) => payload.write(p, out),
            Form::Json(shape) => self.write_shape(shape, p, out),
            Form::Text(pieces) => out.extend_from_slice(self.filled(pieces, p).as_bytes()),
        }
    }

    /// A column's value as a person would write it; `None` is null, or not known.
    pub fn value<'p>(&self, p: &'p Publication, column: usize) -> Option<Cow<'p, str>> {
        value(&self.row, p, column).filter(|_| self.is_known(p, column))
    }

    fn is_known(&self, p: &Publication, column: usize) -> bool {
        !matches!(p.what, What::Cleared | What::Remove)
            || self.identity.as_ref().is_none_or(|identity| identity.contains(&column))
    }

    fn write_shape(&self, shape: &Shape, p: &Publication, out: &mut Vec<u8>) {
        match shape {
            Shape::Fixed(json) => out.extend_from_slice(json.as_bytes()),
            Shape::Text(pieces) => match pieces.as_slice() {
                [Piece::Named(name)] => self.write_value(*name, p, out),
                pieces => quote(&self.filled(pieces, p), out),
            },
            Shape::List(items) => {
                out.push(b'[');
                for (index, item) in items.iter().enumerate() {
                    if index > 0 {
                        out.push(b',');
                    }
                    self.write_shape(item, p, out);
                }
                out.push(b']');
            }
            Shape::Object(entries) => {
                out.push(b'{');
                for (index, (key, item)) in entries.iter().enumerate() {
                    if index > 0 {
                        out.push(b',');
                    }
                    out.extend_from_slice(key.as_bytes());
                    out.push(b':');
                    self.write_shape(item, p, out);
                }
                out.push(b'}');
            }
        }
    }

    fn write_value(&self, name: Name, p: &Publication, out: &mut Vec<u8>) {
        match (name, own(name, p)) {
            (Name::Column(column), _) if self.is_known(p, column) => self.row.write_value(&p.rows, p.row, column, out),
            (Name::Deleted | Name::Diff, Some(value)) => out.extend_from_slice(value.as_bytes()),
            (_, Some(value)) => quote(&value, out),
            (_, None) => out.extend_from_slice(b"null"),
        }
    }

    fn filled(&self, pieces: &[Piece<Name>], p: &Publication) -> String {
        let mut filled = String::new();
        for piece in pieces {
            match piece {
                Piece::Text(text) => filled.push_str(text),
                Piece::Named(Name::Column(column)) => filled.push_str(&self.value(p, *column).unwrap_or_default()),
                Piece::Named(name) => filled.push_str(&own(*name, p).unwrap_or_default()),
            }
        }
        filled
    }
}

/// A publication's own field; `None` is null.
fn own(name: Name, p: &Publication) -> Option<Cow<'_, str>> {
    Some(match name {
        Name::Column(_) => return None,
        Name::Event => if p.what == What::Cleared { "cleared" } else { "raised" }.into(),
        Name::Id => p.id.as_deref()?.into(),
        Name::Of => p.of.as_deref()?.into(),
        Name::Time => {
            let mut time = Vec::new();
            write_timestamp(i64::try_from(p.time).unwrap_or(i64::MAX), &mut time);
            String::from_utf8_lossy(&time).into_owned().into()
        }
        Name::Deleted => if p.what == What::Remove { "true" } else { "false" }.into(),
        Name::Diff => match p.what {
            What::Change(diff) => diff.to_string().into(),
            _ => return None,
        },
    })
}

/// The name of a publication's own field beside columns of that name.
fn free(name: &str, schema: &SchemaRef) -> String {
    let mut free = name.to_owned();
    while schema.index_of(&free).is_ok() {
        free.insert(0, '_');
    }
    free
}

fn shape(node: &Node, find: &impl Fn(&str) -> Result<Name, String>, findings: &mut Diagnostics) -> Option<Shape> {
    if node.as_str().is_some() {
        return text(node, find, findings).map(Shape::Text);
    }
    if node.is_sequence() {
        let items: Vec<_> = node.items().iter().map(|item| shape(item, find, findings)).collect();
        return Some(Shape::List(items.into_iter().collect::<Option<_>>()?));
    }
    if node.is_mapping() {
        let mut entries = Vec::new();
        for entry in node.entries() {
            let mut key = Vec::new();
            quote(&entry.key.value, &mut key);
            let key = String::from_utf8_lossy(&key).into_owned();
            entries.push(shape(&entry.value, find, findings).map(|value| (key, value)));
        }
        return Some(Shape::Object(entries.into_iter().collect::<Option<_>>()?));
    }
    Some(Shape::Fixed(node.to_json().to_string()))
}

fn text(
    node: &Node,
    find: &impl Fn(&str) -> Result<Name, String>,
    findings: &mut Diagnostics,
) -> Option<Vec<Piece<Name>>> {
    let cut = pieces(node.as_str()?, find).map_err(|problem| {
        Diagnostic::error("body", node.redacted(&problem))
            .at(node.span())
            .help("write `{{` and `}}` for braces that stand for themselves")
    });
    findings.keep(cut)
}

/// A text as JSON (RFC 8259, section 7).
fn quote(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            b'\n' => out.extend_from_slice(b"\\n"),
            0..0x20 => out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
            _ => out.push(byte),
        }
    }
    out.push(b'"');
}
