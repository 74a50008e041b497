//! Sections of `facility.yaml`: a mapping from table names to lists of rows.
//!
//! ```yaml
//! zones:
//!   - { id: store, name: "Material store", floor: 0 }
//! ```

use crate::decode::{DEFAULT_MAX_PAYLOAD, Decoder, DecoderError, Format, is_date, micros};
use crate::watched::Table;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use jarvis_runtime::arrival::Decoded;
use jarvis_runtime::kinds::{PlanContext, StreamSpec};
use jarvis_spec::node::ScalarValue;
use jarvis_spec::schema::TYPE_KEY;
use jarvis_spec::{Diagnostic, Diagnostics, Node, SourceText, Spanned};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The file in the configuration folder.
const FILE: &str = "facility.yaml";

/// A section as the options name it.
pub(super) struct Section {
    name: Spanned<String>,
    path: PathBuf,
}

impl Section {
    pub fn new(name: &Spanned<String>, context: &PlanContext) -> Result<Self, Diagnostic> {
        let Some(config) = &context.config else {
            return Err(Diagnostic::error(
                "no_configuration",
                format!("`facility.{name}` stands in {FILE}, but there is no configuration folder"),
            )
            .at(&name.span)
            .help("run with `--config DIR`, the folder of facility.yaml"));
        };
        Ok(Self { name: name.clone(), path: config.join(FILE) })
    }

    /// The types of the columns from the values: whole numbers are int64, or float64 where others in the column are
    /// not whole; texts that are all dates or all times are those; what is missing somewhere may be null.
    pub fn infer(&self) -> Result<SchemaRef, Diagnostic> {
        let rows = self.rows().map_err(|finding| self.cannot_read(finding))?;
        if rows.is_empty() {
            let message = format!("the types of `facility.{}` cannot be told: the section has no rows", self.name);
            return Err(Diagnostic::error("empty_table", message).at(&self.name.span).help("add a row, or a `schema`"));
        }
        let mut columns: Vec<(&str, Column)> = Vec::new();
        for entry in rows.iter().flat_map(Node::entries) {
            if !columns.iter().any(|(name, _)| *name == entry.key.value) {
                columns.push((&entry.key.value, Column::default()));
            }
        }
        for row in &rows {
            for (name, column) in &mut columns {
                column.add(row.get(name));
            }
        }
        let fields = columns.into_iter().map(|(name, column)| column.field(name));
        Ok(Arc::new(Schema::new(fields.collect::<Vec<_>>())))
    }

    /// The section as a table of the stream.
    pub fn table(self, stream: &StreamSpec) -> Result<SectionTable, Diagnostics> {
        let table = SectionTable { section: self, schema: stream.schema.clone(), key: stream.key.clone() };
        table.section.rows().map_err(|finding| table.section.cannot_read(finding))?;
        table
            .decoder()
            .map_err(|error| Diagnostic::error("unsupported_type", error.to_string()).at(&table.section.name.span))?;
        Ok(table)
    }

    fn cannot_read(&self, finding: Diagnostic) -> Diagnostic {
        let unplaced = finding.span.is_none();
        if unplaced { finding.at(&self.name.span) } else { finding.note_at(&self.name.span, "the table is used here") }
    }

    /// The rows of the section, each a mapping.
    fn rows(&self) -> Result<Vec<Node>, Diagnostic> {
        let path = self.path.display();
        let text = std::fs::read_to_string(&self.path).map_err(|error| {
            Diagnostic::error("file_not_found", format!("{path}: {error}"))
                .help("`--config` must name the folder of facility.yaml")
        })?;
        let text = SourceText::new(&self.path, text);
        let root =
            Node::read(&text, &jarvis_spec::env::process).map_err(|findings| first(findings, &path.to_string()))?;
        let Some(section) = root.get(&self.name) else {
            let names = root.entries().iter().map(|entry| entry.key.value.as_str());
            return Err(Diagnostic::error("unknown_table", format!("{path} has no section `{}`", self.name)).suggest(
                &self.name,
                names,
                "add the section, or correct the name",
            ));
        };
        if !section.is_sequence() && !section.is_null() {
            let message = format!("the section `{}` must be a list of rows, but is {}", self.name, section.describe());
            return Err(Diagnostic::error("wrong_type", message).at(section.span()));
        }
        match section.items().iter().find(|row| !row.is_mapping()) {
            Some(row) => {
                let message = format!("a row must be a mapping from columns to values, but is {}", row.describe());
                Err(Diagnostic::error("wrong_type", message).at(row.span()))
            }
            None => Ok(section.items().to_vec()),
        }
    }
}

fn first(findings: Diagnostics, path: &str) -> Diagnostic {
    let mut findings = findings.into_iter();
    findings.next().unwrap_or_else(|| Diagnostic::error("yaml", format!("{path} cannot be read")))
}

/// What the values of one column are, so far.
#[derive(Default)]
struct Column {
    of: Option<DataType>,
    json: bool,
    nullable: bool,
}

impl Column {
    fn add(&mut self, value: Option<&Node>) {
        let Some(value) = value.filter(|value| !value.is_null()) else {
            self.nullable = true;
            return;
        };
        let Some(found) = type_of(value) else {
            self.json = true;
            return;
        };
        self.of = Some(match (self.of.take(), found) {
            (None, found) => found,
            (Some(of), found) if of == found => of,
            (Some(DataType::Int64 | DataType::Float64), DataType::Int64 | DataType::Float64) => DataType::Float64,
            (Some(of), found) if is_text(&of) && is_text(&found) => DataType::Utf8,
            (Some(of), _) => {
                self.json = true;
                of
            }
        });
    }

    fn field(self, name: &str) -> Field {
        if self.json {
            let json = HashMap::from([(TYPE_KEY.to_owned(), "json".to_owned())]);
            return Field::new(name, DataType::Utf8, self.nullable).with_metadata(json);
        }
        Field::new(name, self.of.unwrap_or(DataType::Utf8), self.nullable)
    }
}

fn is_text(of: &DataType) -> bool {
    matches!(of, DataType::Utf8 | DataType::Date32 | DataType::Timestamp(..))
}

/// `None` for values with parts, which are read as JSON.
fn type_of(value: &Node) -> Option<DataType> {
    let scalar = value.as_scalar()?;
    Some(match (value.as_bool(), value.as_int(), value.as_f64()) {
        (Some(_), ..) => DataType::Boolean,
        (_, Some(_), _) => DataType::Int64,
        (_, _, Some(_)) => DataType::Float64,
        _ if scalar.value == ScalarValue::Text && micros(&scalar.text).is_some() => {
            DataType::Timestamp(TimeUnit::Microsecond, None)
        }
        _ if scalar.value == ScalarValue::Text && is_date(&scalar.text) => DataType::Date32,
        _ => DataType::Utf8,
    })
}

/// A section with its declared columns.
pub(super) struct SectionTable {
    section: Section,
    schema: SchemaRef,
    key: Vec<usize>,
}

impl SectionTable {
    fn decoder(&self) -> Result<Decoder, DecoderError> {
        Decoder::new(self.schema.clone(), &self.key, Format::Json, &[], DEFAULT_MAX_PAYLOAD)
    }
}

impl Table for SectionTable {
    fn path(&self) -> &Path {
        &self.section.path
    }

    fn read(&self) -> Result<Vec<Decoded>, String> {
        let rows = self.section.rows().map_err(|finding| finding.to_string())?;
        let mut decoder = self.decoder().map_err(|error| error.to_string())?;
        let mut places = Vec::new();
        for row in &rows {
            let errors = decoder.errors();
            decoder.push(row.to_json().to_string().as_bytes(), &[]);
            if decoder.errors() > errors {
                places.push(row);
            }
        }
        let mut decoded = decoder.finish();
        for (error, row) in decoded.errors.iter_mut().zip(places) {
            if row.is_secret() {
                error.message =
                    "the row does not fit its schema (not shown: it holds a value from the environment)".to_owned();
                error.input.clear();
            }
            error.message = format!("{}: {}", row.span(), error.message);
        }
        Ok(vec![decoded])
    }
}
