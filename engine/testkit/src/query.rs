//! Queries over small tables, compiled without a file: what property tests of the engine are made of.

use crate::history::Held;
use crate::value::{Row, Value};
use arrow::array::{
    ArrayRef, BooleanArray, Decimal128Array, Float64Array, Int64Array, Int64Builder, ListBuilder, RecordBatch,
    StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Schema, SchemaRef};
use jarvis_plan::{Compiled, SourceInfo, SqlOnly, compile};
use jarvis_spec::{Diagnostics, SourceText, parse_pipeline};
use std::collections::HashMap;
use std::sync::Arc;

/// The pipeline's name in compiled queries.
pub const PIPELINE: &str = "q";
/// The view's name in compiled queries.
pub const VIEW: &str = "q.view";

/// A source of a test.
#[derive(Clone, Debug)]
pub struct Table {
    pub name: &'static str,
    /// (column, type in the language's words): `("x", "int64?")`.
    pub columns: &'static [(&'static str, &'static str)],
    /// Columns of the upsert key; empty = a multiset.
    pub key: &'static [usize],
    /// No row is ever taken back.
    pub append_only: bool,
    /// More lines of YAML, as `time: at`.
    pub extra: &'static str,
    pub retain: Retain,
}

/// How long a row counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retain {
    Forever,
    /// So many seconds after the time in this column, which `extra` names as `time:`.
    Event(usize, u64),
    /// So many seconds after it arrived.
    Arrival(u64),
}

impl Table {
    /// The source in YAML.
    fn yaml(&self) -> String {
        let columns: Vec<String> = self.columns.iter().map(|(n, t)| format!("{n}: \"{t}\"")).collect();
        let key: Vec<&str> = self.key.iter().map(|k| self.columns[*k].0).collect();
        let key = if key.is_empty() { String::new() } else { format!("    key: [{}]\n", key.join(", ")) };
        let retain = match self.retain {
            Retain::Forever => "forever".to_owned(),
            Retain::Event(_, seconds) | Retain::Arrival(seconds) => format!("{seconds}s"),
        };
        let extra: String = self.extra.lines().map(|l| format!("    {}\n", l.trim())).collect();
        format!(
            "  {}:\n    given: {{}}\n    schema: {{ {} }}\n{key}    retain: {retain}\n{extra}",
            self.name,
            columns.join(", ")
        )
    }
}

impl Table {
    /// Whether a row counts at `time`, µs since the epoch.
    pub fn retains(&self, held: &Held, time: u64) -> bool {
        let (since, seconds) = match self.retain {
            Retain::Forever => return true,
            Retain::Arrival(seconds) => (held.arrived as i64, seconds),
            Retain::Event(column, seconds) => match &held.row[column] {
                Value::Micros(at) => (*at, seconds),
                // A row without a time never counts.
                _ => return false,
            },
        };
        since + seconds as i64 * 1_000_000 > time as i64
    }
}

/// A query whose view is output 0 of its graph.
#[derive(Clone, Debug)]
pub struct Query {
    pub compiled: Compiled,
    /// Position in the graph's inputs, per table.
    pub inputs: Vec<usize>,
    /// The declared columns, per table.
    pub schemas: Vec<SchemaRef>,
}

impl Query {
    /// # Errors
    /// What the planner refuses.
    pub fn compile(tables: &[Table], sql: &str) -> Result<Query, Diagnostics> {
        let sources: String = tables.iter().map(Table::yaml).collect();
        let sql: String = sql.lines().map(|l| format!("      {l}\n")).collect();
        let yaml = format!("pipeline: {PIPELINE}\nsources:\n{sources}operators:\n  view:\n    sql: |\n{sql}");
        let pipeline = parse_pipeline(SourceText::new("query.yaml", yaml), &|_| None)?;
        let mut infos = HashMap::new();
        let mut schemas = vec![];
        for (source, table) in pipeline.sources.iter().zip(tables) {
            let schema = source.schema.as_ref().map_or_else(|| Arc::new(Schema::empty()), |s| s.value.clone());
            schemas.push(schema.clone());
            infos.insert(format!("{PIPELINE}.{}", table.name), SourceInfo { schema, append_only: table.append_only });
        }
        let mut compiled = compile(&[pipeline], &infos, &mut SqlOnly)?;
        compiled.read(VIEW);
        let place = |t: &Table| compiled.graph.inputs.iter().position(|i| i.name == format!("{PIPELINE}.{}", t.name));
        let inputs = tables.iter().filter_map(place).collect();
        Ok(Query { compiled, inputs, schemas })
    }
}

/// Rows as columns.
///
/// # Panics
/// If a value does not have its column's type; tests make both.
pub fn batch(schema: &SchemaRef, rows: &[Row]) -> RecordBatch {
    let columns: Vec<ArrayRef> =
        schema.fields().iter().enumerate().map(|(c, f)| column(f.data_type(), rows, c)).collect();
    RecordBatch::try_new(schema.clone(), columns).expect("rows have the table's columns")
}

fn column(data_type: &DataType, rows: &[Row], c: usize) -> ArrayRef {
    let cells = rows.iter().map(|r| &r[c]);
    macro_rules! collect {
        ($array:ty, $variant:pat => $value:expr) => {
            Arc::new(
                cells
                    .map(|v| match v {
                        $variant => Some($value),
                        Value::Null => None,
                        other => panic!("{other} in a column of {data_type}"),
                    })
                    .collect::<$array>(),
            )
        };
    }
    match data_type {
        DataType::Int64 => collect!(Int64Array, Value::Int(i) => *i as i64),
        DataType::Float64 => collect!(Float64Array, Value::Float(f) => *f),
        DataType::Utf8 => collect!(StringArray, Value::Text(t) => t.as_str()),
        DataType::Boolean => collect!(BooleanArray, Value::Bool(b) => *b),
        DataType::Decimal128(precision, scale) => {
            let whole = cells.map(|v| match v {
                Value::Decimal(whole, s) if s == scale => Some(*whole),
                Value::Null => None,
                other => panic!("{other} in a column of {data_type}"),
            });
            let array: Decimal128Array = whole.collect();
            Arc::new(array.with_precision_and_scale(*precision, *scale).expect("the column's own"))
        }
        DataType::List(item) if item.data_type() == &DataType::Int64 => {
            let mut lists = ListBuilder::new(Int64Builder::new()).with_field(item.clone());
            for cell in cells {
                match cell {
                    Value::List(items) => lists.append_value(items.iter().map(|i| match i {
                        Value::Int(i) => Some(*i as i64),
                        Value::Null => None,
                        other => panic!("{other} in a column of {data_type}"),
                    })),
                    Value::Null => lists.append_null(),
                    other => panic!("{other} in a column of {data_type}"),
                }
            }
            Arc::new(lists.finish())
        }
        DataType::Timestamp(..) => collect!(TimestampMicrosecondArray, Value::Micros(t) => *t),
        other => panic!("tests make no columns of {other}"),
    }
}
