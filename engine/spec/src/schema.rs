//! The types of columns, as text in a pipeline and as Arrow types.
//!
//! `bool`, `int8` … `int64`, `uint8` … `uint64`, `float32`, `float64`, `decimal(p,s)`, `utf8`, `binary`, `date`, `timestamp`,
//! `timestamp(s|ms|us|ns)`, `interval`, `list(T)`, `struct(name: T, …)`, `json`; a `?` after any of them, also inside, allows null.

use crate::node::ScalarValue;
use crate::{Diagnostic, Diagnostics, Node};
use arrow::datatypes::{DataType, Field, FieldRef, Fields, IntervalUnit, Schema, SchemaRef, TimeUnit};
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

/// Metadata key of a field whose text is JSON; its value is `json`.
pub const TYPE_KEY: &str = "jarvis.type";
/// Metadata key of a timestamp field with the unit (`s`, `ms`, `us`, `ns`) in which numbers arrive. Without it: milliseconds.
pub const UNIT_KEY: &str = "jarvis.unit";
/// Columns with a meaning of their own in inputs and outputs; no schema may declare them.
pub const RESERVED_COLUMNS: [&str; 3] = ["_diff", "_deleted", "_time"];

/// Types inside each other, as in `list(list(int8))`.
const MAX_DEPTH: usize = 16;
/// Types without parameters.
const PLAIN: [(&str, DataType); 16] = [
    ("bool", DataType::Boolean),
    ("int8", DataType::Int8),
    ("int16", DataType::Int16),
    ("int32", DataType::Int32),
    ("int64", DataType::Int64),
    ("uint8", DataType::UInt8),
    ("uint16", DataType::UInt16),
    ("uint32", DataType::UInt32),
    ("uint64", DataType::UInt64),
    ("float32", DataType::Float32),
    ("float64", DataType::Float64),
    ("utf8", DataType::Utf8),
    ("binary", DataType::Binary),
    ("date", DataType::Date32),
    ("timestamp", DataType::Timestamp(TimeUnit::Microsecond, None)),
    ("interval", DataType::Interval(IntervalUnit::MonthDayNano)),
];
/// What people who know other systems write.
const OTHER_NAMES: [(&str, &str); 15] = [
    ("string", "utf8"),
    ("text", "utf8"),
    ("varchar", "utf8"),
    ("str", "utf8"),
    ("int", "int64"),
    ("integer", "int64"),
    ("bigint", "int64"),
    ("float", "float64"),
    ("double", "float64"),
    ("number", "float64"),
    ("boolean", "bool"),
    ("bytes", "binary"),
    ("datetime", "timestamp"),
    ("array", "list(T)"),
    ("object", "struct(name: T) or json"),
];
const ALL_TYPES: &str = "types: bool, int8 … int64, uint8 … uint64, float32, float64, decimal(p,s), utf8, binary, date, timestamp, interval, list(T), struct(name: T, …), json; ? after a type allows null";

/// Why a text is not a type, and which part of it is the reason.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct TypeError {
    pub message: String,
    pub help: String,
    /// Bytes of the text.
    pub range: Range<usize>,
}

/// Reads a `schema:`: a mapping from column names to types. All findings are reported at once.
pub fn parse_schema(node: &Node) -> Result<SchemaRef, Diagnostics> {
    if !node.is_mapping() {
        let message = format!("a schema must be a mapping from columns to types, but is {}", node.describe());
        return Err(Diagnostic::error("wrong_type", message)
            .at(node.span())
            .help("write `schema: { tool: utf8, actual: float64 }`")
            .into());
    }
    let mut findings = Diagnostics::default();
    let mut fields = Vec::with_capacity(node.entries().len());
    for entry in node.entries() {
        if RESERVED_COLUMNS.contains(&entry.key.as_str()) {
            let message = format!("the column name `{}` is reserved", entry.key);
            findings.push(
                Diagnostic::error("reserved_column", message)
                    .at(&entry.key.span)
                    .help("the engine reads and writes this column itself: leave it out, or choose another name"),
            );
        }
        fields.extend(findings.keep(column(&entry.key.value, &entry.value)));
    }
    if node.entries().is_empty() {
        findings.push(
            Diagnostic::error("empty_schema", "the schema has no columns")
                .at(node.span())
                .help("write `schema: { tool: utf8, actual: float64 }`"),
        );
    }
    if findings.is_empty() { Ok(Arc::new(Schema::new(fields))) } else { Err(findings) }
}

fn column(name: &str, node: &Node) -> Result<Field, Diagnostic> {
    let scalar = node.as_scalar().filter(|scalar| scalar.value == ScalarValue::Text);
    let Some(scalar) = scalar else {
        let diagnostic = Diagnostic::error(
            "wrong_type",
            format!("the type of column `{name}` must be a text, but is {}", node.describe()),
        );
        let cut = node.is_null() && name.contains(')');
        return Err(diagnostic.at(node.span()).help(if cut { QUOTE } else { ALL_TYPES }));
    };
    parse_type(name, &scalar.text).map_err(|error| {
        let (message, help) = if scalar.secret {
            (format!("the type of column `{name}`, which comes from the environment, is not one"), ALL_TYPES.to_owned())
        } else {
            (error.message, error.help)
        };
        Diagnostic::error("unknown_type", message).at(&node.text_span(error.range)).help(help)
    })
}

const QUOTE: &str = "inside { } put a type that holds a comma or a colon in quotes: \"decimal(10,2)\"";

/// Reads one type as the field `name`.
pub fn parse_type(name: &str, text: &str) -> Result<Field, TypeError> {
    let mut parser = TypeParser { text, at: 0 };
    let field = parser.field(name, 0)?;
    parser.skip_blanks();
    if parser.at < text.len() {
        return Err(parser.error(
            parser.at..text.len(),
            format!("`{}` stands after the end of the type", &text[parser.at..]),
            ALL_TYPES,
        ));
    }
    Ok(field)
}

struct TypeParser<'t> {
    text: &'t str,
    at: usize,
}

impl TypeParser<'_> {
    fn field(&mut self, name: &str, depth: usize) -> Result<Field, TypeError> {
        self.skip_blanks();
        let start = self.at;
        let word = self.word();
        if depth > MAX_DEPTH {
            return Err(self.error(
                start..self.at,
                format!("types are nested more than {MAX_DEPTH} deep"),
                "use `json` for values of any shape",
            ));
        }
        let mut metadata = HashMap::new();
        let data_type = match word.as_str() {
            "decimal" => self.decimal()?,
            "list" => self.list(depth)?,
            "struct" => self.struct_type(depth)?,
            "json" => {
                metadata.insert(TYPE_KEY.to_owned(), "json".to_owned());
                DataType::Utf8
            }
            "timestamp" => {
                if let Some(unit) = self.timestamp_unit()? {
                    metadata.insert(UNIT_KEY.to_owned(), unit);
                }
                DataType::Timestamp(TimeUnit::Microsecond, None)
            }
            _ => match PLAIN.iter().find(|(name, _)| *name == word) {
                Some((_, data_type)) => data_type.clone(),
                None => return Err(self.not_a_type(&word, start)),
            },
        };
        self.skip_blanks();
        let nullable = self.eat('?');
        Ok(Field::new(name, data_type, nullable).with_metadata(metadata))
    }

    fn not_a_type(&self, word: &str, start: usize) -> TypeError {
        if word.is_empty() {
            let rest = &self.text[start..];
            let message = if rest.is_empty() {
                "a type is missing at the end".to_owned()
            } else {
                format!("a type is expected where `{rest}` stands")
            };
            return self.error(start..self.text.len(), message, ALL_TYPES);
        }
        let lower = word.to_lowercase();
        let names = PLAIN.iter().map(|(name, _)| *name).chain(["decimal", "list", "struct", "json"]);
        let other = OTHER_NAMES.iter().find(|(name, _)| *name == lower).map(|(_, meant)| *meant);
        let help = match other.or_else(|| crate::nearest(word, names)) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => ALL_TYPES.to_owned(),
        };
        self.error(start..self.at, format!("`{word}` is not a type"), help)
    }

    /// `(p,s)` or `(p)`.
    fn decimal(&mut self) -> Result<DataType, TypeError> {
        let start = self.at;
        self.expect('(', "decimal(10,2): digits in all, digits after the point")?;
        let precision = self.number()?;
        self.skip_blanks();
        let scale = if self.eat(',') { self.number()? } else { 0 };
        self.expect(')', "decimal(10,2)")?;
        if !(1..=38).contains(&precision) || scale > precision {
            let message = format!("decimal({precision},{scale}) cannot be stored");
            return Err(self.error(
                start..self.at,
                message,
                "digits in all: 1 to 38; digits after the point: at most as many",
            ));
        }
        Ok(DataType::Decimal128(precision, scale as i8))
    }

    fn list(&mut self, depth: usize) -> Result<DataType, TypeError> {
        self.expect('(', "list(T), for example list(utf8)")?;
        let item = self.field("item", depth + 1)?;
        self.expect(')', "list(T), for example list(utf8)")?;
        Ok(DataType::List(Arc::new(item)))
    }

    fn struct_type(&mut self, depth: usize) -> Result<DataType, TypeError> {
        const FORM: &str = "struct(name: T, …), for example struct(x: float64, y: float64)";
        self.expect('(', FORM)?;
        let mut fields = Vec::<FieldRef>::new();
        loop {
            self.skip_blanks();
            let start = self.at;
            let name = self.word();
            if name.is_empty() {
                return Err(self.error(start..self.next(start), "the name of a field is missing".to_owned(), FORM));
            }
            if fields.iter().any(|field| *field.name() == name) {
                return Err(self.error(
                    start..self.at,
                    format!("the field `{name}` is written twice"),
                    "keep one of the two",
                ));
            }
            self.expect(':', FORM)?;
            fields.push(Arc::new(self.field(&name, depth + 1)?));
            self.skip_blanks();
            if !self.eat(',') {
                break;
            }
        }
        self.expect(')', FORM)?;
        Ok(DataType::Struct(Fields::from(fields)))
    }

    fn timestamp_unit(&mut self) -> Result<Option<String>, TypeError> {
        self.skip_blanks();
        if !self.eat('(') {
            return Ok(None);
        }
        self.skip_blanks();
        let start = self.at;
        let unit = self.word();
        if !["s", "ms", "us", "ns"].contains(&unit.as_str()) {
            let help = "the unit in which numbers arrive: timestamp(s), timestamp(ms), timestamp(us) or timestamp(ns)";
            return Err(self.error(
                start..self.at.max(self.next(start)),
                format!("`{unit}` is not a unit of a timestamp"),
                help,
            ));
        }
        self.expect(')', "timestamp(ms)")?;
        Ok(Some(unit))
    }

    fn number(&mut self) -> Result<u8, TypeError> {
        self.skip_blanks();
        let start = self.at;
        self.at += self.text[start..].bytes().take_while(u8::is_ascii_digit).count();
        let digits = &self.text[start..self.at];
        digits.parse().map_err(|_| {
            self.error(
                start..self.at.max(self.next(start)),
                "a number of digits from 0 to 38 is expected".to_owned(),
                "decimal(10,2)",
            )
        })
    }

    /// Letters, digits and `_`.
    fn word(&mut self) -> String {
        let start = self.at;
        self.at += self.text[start..]
            .chars()
            .take_while(|c| c.is_alphanumeric() || *c == '_')
            .map(char::len_utf8)
            .sum::<usize>();
        self.text[start..self.at].to_owned()
    }

    fn skip_blanks(&mut self) {
        self.at = self.text.len() - self.text[self.at..].trim_start().len();
    }

    fn eat(&mut self, c: char) -> bool {
        let found = self.text[self.at..].starts_with(c);
        self.at += if found { c.len_utf8() } else { 0 };
        found
    }

    fn expect(&mut self, c: char, form: &str) -> Result<(), TypeError> {
        self.skip_blanks();
        if self.eat(c) {
            return Ok(());
        }
        let rest = &self.text[self.at..];
        let cut = rest.is_empty() && self.text.contains('(');
        let message = if rest.is_empty() {
            format!("`{c}` is missing at the end of the type")
        } else {
            format!("`{c}` is expected where `{rest}` stands")
        };
        let help = if cut { format!("write {form}; {QUOTE}") } else { format!("write {form}") };
        Err(self.error(self.at..self.text.len(), message, help))
    }

    /// Where the character at `at` ends.
    fn next(&self, at: usize) -> usize {
        at + self.text[at..].chars().next().map_or(0, char::len_utf8)
    }

    fn error(&self, range: Range<usize>, message: String, help: impl Into<String>) -> TypeError {
        TypeError { message, help: help.into(), range }
    }
}

/// The type of a column as it is written in a pipeline, with its `?`.
pub fn field_type_name(field: &Field) -> String {
    let written = match (field.metadata().get(TYPE_KEY), field.metadata().get(UNIT_KEY), field.data_type()) {
        (Some(name), _, DataType::Utf8) => name.clone(),
        (_, Some(unit), DataType::Timestamp(..)) => format!("timestamp({unit})"),
        (_, _, data_type) => type_name(data_type),
    };
    if field.is_nullable() { written + "?" } else { written }
}

/// A type as it is written in a pipeline. Types that the language lacks, which SQL can yield, are named like the nearest one
/// (`utf8` for all texts), or as Arrow names them.
pub fn type_name(data_type: &DataType) -> String {
    match data_type {
        DataType::LargeUtf8 | DataType::Utf8View => "utf8".to_owned(),
        DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => "binary".to_owned(),
        DataType::Date64 => "date".to_owned(),
        DataType::Timestamp(..) => "timestamp".to_owned(),
        DataType::Interval(_) | DataType::Duration(_) => "interval".to_owned(),
        DataType::Dictionary(_, values) => type_name(values),
        DataType::Decimal32(precision, scale)
        | DataType::Decimal64(precision, scale)
        | DataType::Decimal128(precision, scale)
        | DataType::Decimal256(precision, scale) => {
            format!("decimal({precision},{scale})")
        }
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::ListView(item)
        | DataType::LargeListView(item)
        | DataType::FixedSizeList(item, _) => {
            format!("list({})", field_type_name(item))
        }
        DataType::Struct(fields) => {
            let parts =
                fields.iter().map(|field| format!("{}: {}", field.name(), field_type_name(field))).collect::<Vec<_>>();
            format!("struct({})", parts.join(", "))
        }
        other => PLAIN
            .iter()
            .find(|(_, plain)| plain == other)
            .map_or_else(|| other.to_string(), |(name, _)| (*name).to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn types_become_arrow_types() {
        let time = DataType::Timestamp(TimeUnit::Microsecond, None);
        for (text, data_type, nullable) in [
            ("int64", DataType::Int64, false),
            ("float64?", DataType::Float64, true),
            ("decimal(10, 2)", DataType::Decimal128(10, 2), false),
            ("decimal(10)?", DataType::Decimal128(10, 0), true),
            ("timestamp", time.clone(), false),
            ("timestamp(ns) ?", time, true),
            ("list(utf8?)", DataType::List(Arc::new(Field::new("item", DataType::Utf8, true))), false),
        ] {
            let field = parse_type("c", text).expect(text);
            assert_eq!((field.data_type(), field.is_nullable()), (&data_type, nullable), "{text}");
        }
        let field = parse_type("c", "struct(x: float64, y: list(json))?").expect("a type");
        assert_eq!(field_type_name(&field), "struct(x: float64, y: list(json))?");
        assert_eq!(parse_type("c", "timestamp(s)").expect("a type").metadata()[UNIT_KEY], "s");
        assert_eq!(parse_type("c", "json").expect("a type").metadata()[TYPE_KEY], "json");
    }

    #[test]
    fn findings_name_the_part_of_the_text() {
        for (text, part) in [
            ("strnig", "strnig"),
            ("list(itn64)", "itn64"),
            ("decimal(39,2)", "(39,2)"),
            ("timestamp(min)", "min"),
            ("struct(a: int8, a: utf8)", "a"),
            ("int64 x", "x"),
            ("decimal(10", ""),
            ("", ""),
        ] {
            let error = parse_type("c", text).expect_err(text);
            assert_eq!(&text[error.range.clone()], part, "{text}: {error}");
        }
    }

    fn any_type() -> impl Strategy<Value = Field> {
        let leaf = prop_oneof![
            proptest::sample::select(PLAIN.to_vec()).prop_map(|(_, data_type)| Field::new("f", data_type, false)),
            Just(
                Field::new("f", DataType::Utf8, false)
                    .with_metadata(HashMap::from([(TYPE_KEY.to_owned(), "json".to_owned())]))
            ),
            (1_u8..=38, 0_i8..=38).prop_map(|(p, s)| Field::new("f", DataType::Decimal128(p, s.min(p as i8)), false)),
            proptest::sample::select(vec!["s", "ms", "us", "ns"]).prop_map(|unit| {
                Field::new("f", DataType::Timestamp(TimeUnit::Microsecond, None), false)
                    .with_metadata(HashMap::from([(UNIT_KEY.to_owned(), unit.to_owned())]))
            }),
        ];
        let maybe = |field: Field, nullable: bool| field.with_nullable(nullable);
        (leaf, any::<bool>()).prop_map(move |(f, n)| maybe(f, n)).prop_recursive(4, 16, 4, move |inner| {
            let list = inner.clone().prop_map(|item| DataType::List(Arc::new(item.with_name("item"))));
            let fields = proptest::collection::vec(inner, 1..4).prop_map(|fields| {
                DataType::Struct(
                    fields.into_iter().enumerate().map(|(i, field)| field.with_name(format!("f{i}"))).collect(),
                )
            });
            (prop_oneof![list, fields], any::<bool>())
                .prop_map(|(data_type, nullable)| Field::new("f", data_type, nullable))
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(field in any_type()) {
            prop_assert_eq!(parse_type("f", &field_type_name(&field)), Ok(field));
        }

        #[test]
        fn any_text_is_read_or_refused(text in "(list|struct|decimal|timestamp|json|int8|[(),:? é0-9]){0,12}") {
            if let Err(error) = parse_type("f", &text) {
                prop_assert!(text.get(error.range).is_some());
            }
        }
    }
}
