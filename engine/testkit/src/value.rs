//! Cells as values that can be compared, sorted and shown, whatever Arrow type holds them.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Decimal128Type, Float64Type, Int64Type, TimeUnit, TimestampMicrosecondType, UInt64Type,
};
use arrow::error::ArrowError;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use std::cmp::Ordering;
use std::fmt;

/// One cell. Integers of all widths are `Int`, floats of all widths `Float`, every text type is `Text`.
#[derive(Clone, Debug)]
pub enum Value {
    Null,
    Bool(bool),
    Int(i128),
    Float(f64),
    Text(String),
    /// A timestamp, µs since the epoch.
    Micros(i64),
    /// Whole units after the decimal point: (value, scale).
    Decimal(i128, i8),
    List(Vec<Value>),
    Struct(Vec<(String, Value)>),
    /// Dates, binaries, intervals: as Arrow prints them.
    Other(String),
}

/// The cells of one row, in the order of the columns.
pub type Row = Vec<Value>;

impl Value {
    /// Where the variant stands in the total order.
    fn rank(&self) -> u8 {
        match self {
            Value::Null => 0,
            Value::Bool(_) => 1,
            Value::Int(_) => 2,
            Value::Float(_) => 3,
            Value::Decimal(..) => 4,
            Value::Text(_) => 5,
            Value::Micros(_) => 6,
            Value::List(_) => 7,
            Value::Struct(_) => 8,
            Value::Other(_) => 9,
        }
    }
    /// Equal, but for the rounding of floats: within 1e-9 of the larger one.
    pub fn is_close(&self, other: &Value) -> bool {
        match (self, other) {
            (Value::Float(a), Value::Float(b)) => close(*a, *b),
            (Value::List(a), Value::List(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.is_close(b)),
            (Value::Struct(a), Value::Struct(b)) => {
                a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.0 == b.0 && a.1.is_close(&b.1))
            }
            _ => self == other,
        }
    }
    /// A key under which values that are close meet, but for rare ones at a rounding border.
    fn rounded(&self) -> Value {
        match self {
            Value::Float(f) if f.is_finite() && *f != 0.0 => {
                let scale = 10f64.powi(6 - f.abs().log10().ceil() as i32);
                Value::Float((f * scale).round() / scale)
            }
            Value::Float(f) if *f == 0.0 => Value::Float(0.0),
            Value::List(items) => Value::List(items.iter().map(Value::rounded).collect()),
            Value::Struct(fields) => Value::Struct(fields.iter().map(|(n, v)| (n.clone(), v.rounded())).collect()),
            other => other.clone(),
        }
    }
    /// Lists in ascending order: for aggregates whose order is not determined.
    pub fn unordered(self) -> Value {
        match self {
            Value::List(items) => {
                let mut items: Vec<Value> = items.into_iter().map(Value::unordered).collect();
                items.sort();
                Value::List(items)
            }
            other => other,
        }
    }
}

/// Within 1e-9 of the larger magnitude; not-a-number is close to itself.
pub fn close(a: f64, b: f64) -> bool {
    a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= 1e-9 * a.abs().max(b.abs()).max(1e-9)
}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Value {}

impl PartialOrd for Value {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Total: nulls first, floats by IEEE 754's total order.
impl Ord for Value {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
            (Value::Int(a), Value::Int(b)) => a.cmp(b),
            (Value::Float(a), Value::Float(b)) => a.total_cmp(b),
            (Value::Decimal(a, s), Value::Decimal(b, t)) => (s, a).cmp(&(t, b)),
            (Value::Text(a), Value::Text(b)) | (Value::Other(a), Value::Other(b)) => a.cmp(b),
            (Value::Micros(a), Value::Micros(b)) => a.cmp(b),
            (Value::List(a), Value::List(b)) => a.cmp(b),
            (Value::Struct(a), Value::Struct(b)) => a.cmp(b),
            _ => self.rank().cmp(&other.rank()),
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Null => f.write_str("null"),
            Value::Bool(b) => b.fmt(f),
            Value::Int(i) => i.fmt(f),
            Value::Float(x) => write!(f, "{x:?}"),
            Value::Text(t) => t.fmt(f),
            Value::Micros(t) => write!(f, "{t}us"),
            Value::Decimal(v, scale) => f.write_str(&Decimal128Text(*v, *scale).to_string()),
            Value::List(items) => {
                let items: Vec<String> = items.iter().map(Value::to_string).collect();
                write!(f, "[{}]", items.join(", "))
            }
            Value::Struct(fields) => {
                let fields: Vec<String> = fields.iter().map(|(n, v)| format!("{n}: {v}")).collect();
                write!(f, "{{{}}}", fields.join(", "))
            }
            Value::Other(t) => t.fmt(f),
        }
    }
}

struct Decimal128Text(i128, i8);

impl fmt::Display for Decimal128Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use arrow::datatypes::DecimalType;
        f.write_str(&Decimal128Type::format_decimal(self.0, 38, self.1))
    }
}

/// The cells of a batch, row by row.
///
/// # Errors
/// A type that Arrow can neither cast nor print; the language has none.
pub fn rows(batch: &RecordBatch) -> Result<Vec<Row>, ArrowError> {
    let columns = batch.columns().iter().map(values).collect::<Result<Vec<_>, _>>()?;
    Ok((0..batch.num_rows()).map(|row| columns.iter().map(|c| c[row].clone()).collect()).collect())
}

/// The values of one column.
///
/// # Errors
/// As [`rows`].
pub fn values(column: &ArrayRef) -> Result<Vec<Value>, ArrowError> {
    let mut out = present(column)?;
    if let Some(nulls) = column.logical_nulls() {
        for (slot, valid) in out.iter_mut().zip(nulls.iter()) {
            if !valid {
                *slot = Value::Null;
            }
        }
    }
    Ok(out)
}

/// The values, where null slots may hold anything.
fn present(column: &ArrayRef) -> Result<Vec<Value>, ArrowError> {
    use DataType::*;
    Ok(match column.data_type() {
        Null => vec![Value::Null; column.len()],
        Boolean => (0..column.len()).map(|i| Value::Bool(column.as_boolean().value(i))).collect(),
        Int8 | Int16 | Int32 | Int64 | UInt8 | UInt16 | UInt32 => {
            let wide = cast(column, &Int64)?;
            wide.as_primitive::<Int64Type>().values().iter().map(|v| Value::Int(i128::from(*v))).collect()
        }
        UInt64 => column.as_primitive::<UInt64Type>().values().iter().map(|v| Value::Int(i128::from(*v))).collect(),
        Float16 | Float32 | Float64 => {
            let wide = cast(column, &Float64)?;
            wide.as_primitive::<Float64Type>().values().iter().map(|v| Value::Float(*v)).collect()
        }
        Decimal128(_, scale) => {
            column.as_primitive::<Decimal128Type>().values().iter().map(|v| Value::Decimal(*v, *scale)).collect()
        }
        Utf8 | LargeUtf8 | Utf8View => {
            let text = cast(column, &Utf8)?;
            (0..text.len()).map(|i| Value::Text(text.as_string::<i32>().value(i).into())).collect()
        }
        Timestamp(..) => {
            let micros = cast(column, &Timestamp(TimeUnit::Microsecond, None))?;
            micros.as_primitive::<TimestampMicrosecondType>().values().iter().map(|v| Value::Micros(*v)).collect()
        }
        List(_) => {
            let list = column.as_list::<i32>();
            (0..list.len()).map(|i| values(&list.value(i)).map(Value::List)).collect::<Result<_, _>>()?
        }
        Struct(fields) => structs(column, fields)?,
        _ => {
            let options = FormatOptions::default().with_null("null");
            let format = ArrayFormatter::try_new(column, &options)?;
            (0..column.len()).map(|i| Value::Other(format.value(i).to_string())).collect()
        }
    })
}

fn structs(column: &ArrayRef, fields: &arrow::datatypes::Fields) -> Result<Vec<Value>, ArrowError> {
    let columns = column.as_struct().columns().iter().map(values).collect::<Result<Vec<_>, _>>()?;
    let one = |i: usize| fields.iter().zip(&columns).map(|(f, c)| (f.name().clone(), c[i].clone())).collect();
    Ok((0..column.len()).map(|i| Value::Struct(one(i))).collect())
}

/// Whether two multisets of rows are equal but for the rounding of floats.
pub fn same_rows(a: &[Row], b: &[Row]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    let sorted = |rows: &[Row]| {
        let mut keyed: Vec<(Row, Row)> =
            rows.iter().map(|r| (r.iter().map(Value::rounded).collect(), r.clone())).collect();
        keyed.sort();
        keyed
    };
    let close = |a: &Row, b: &Row| a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.is_close(b));
    sorted(a).iter().zip(&sorted(b)).all(|((_, a), (_, b))| close(a, b))
}
