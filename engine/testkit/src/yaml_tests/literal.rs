//! Values as tests write them: by the type of their column.

use crate::history::BASE;
use crate::value::Value;
use arrow::datatypes::{DataType, Field};
use jarvis_runtime::json_out::write_timestamp;
use jarvis_spec::node::Content;
use jarvis_spec::{Node, duration};

/// A time as tests write it: a duration after the test's start (`5s`, `-1m`) or RFC 3339; µs since the epoch.
pub fn time(text: &str) -> Option<i64> {
    let text = text.trim();
    let (sign, span) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    if let Ok(after) = duration::parse(span) {
        return Some(BASE as i64 + sign * i64::try_from(after.as_micros()).ok()?);
    }
    use datafusion::common::ScalarValue;
    let parsed = ScalarValue::try_from_string(text.to_owned(), &jarvis_plan::functions::TIMESTAMP).ok()?;
    if let ScalarValue::TimestampMicrosecond(micros, _) = parsed { micros } else { None }
}

/// A time as RFC 3339, which every timestamp column reads.
pub fn rfc3339(micros: i64) -> String {
    let mut out = vec![];
    write_timestamp(micros, &mut out);
    String::from_utf8_lossy(&out).into_owned()
}

/// A time as tests write it: after the test's start.
pub fn relative(micros: i64) -> String {
    let after = i128::from(micros) - i128::from(BASE);
    let text =
        duration::format(std::time::Duration::from_micros(u64::try_from(after.unsigned_abs()).unwrap_or(u64::MAX)));
    if after < 0 { format!("-{text}") } else { text }
}

/// The value that a test wrote for a column; the error says what was expected.
pub fn value(node: &Node, field: &Field) -> Result<Value, String> {
    typed(node, field.data_type()).ok_or_else(|| {
        let of = jarvis_spec::schema::field_type_name(&field.clone().with_nullable(false));
        format!("the column {} holds {of}, and this is {}", field.name(), node.describe())
    })
}

fn typed(node: &Node, of: &DataType) -> Option<Value> {
    use DataType::*;
    if node.is_null() {
        return Some(Value::Null);
    }
    let text = || node.as_scalar().map(|s| s.text.clone());
    Some(match of {
        Null => return None,
        Boolean => Value::Bool(node.as_bool()?),
        t if t.is_integer() => Value::Int(node.as_int()?),
        t if t.is_floating() => Value::Float(node.as_f64()?),
        Decimal128(_, scale) => {
            use datafusion::common::ScalarValue;
            match ScalarValue::try_from_string(text()?, of).ok()? {
                ScalarValue::Decimal128(Some(v), ..) => Value::Decimal(v, *scale),
                _ => return None,
            }
        }
        Utf8 | LargeUtf8 | Utf8View => match node.content() {
            Content::Scalar(scalar) => Value::Text(scalar.text.clone()),
            // A column of the type json.
            _ => Value::Text(node.to_json().to_string()),
        },
        Timestamp(..) => Value::Micros(time(&text()?)?),
        List(item) | LargeList(item) if node.is_sequence() => {
            Value::List(node.items().iter().map(|i| typed(i, item.data_type())).collect::<Option<_>>()?)
        }
        Struct(fields) if node.is_mapping() => Value::Struct(
            fields
                .iter()
                .map(|f| {
                    Some((f.name().clone(), node.get(f.name()).map_or(Some(Value::Null), |n| typed(n, f.data_type()))?))
                })
                .collect::<Option<_>>()?,
        ),
        List(_) | LargeList(_) | Struct(_) => return None,
        _ => Value::Other(text()?),
    })
}

/// A value as a test would write it, in flow style.
pub fn shown(value: &Value) -> String {
    match value {
        Value::Null => "null".into(),
        Value::Text(text) | Value::Other(text) => quoted(text),
        Value::Micros(micros) => relative(*micros),
        Value::List(items) => {
            let items: Vec<String> = items.iter().map(shown).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Struct(fields) => {
            let fields: Vec<String> = fields.iter().map(|(n, v)| format!("{}: {}", quoted(n), shown(v))).collect();
            format!("{{ {} }}", fields.join(", "))
        }
        Value::Float(f) if f.is_nan() => ".nan".into(),
        Value::Float(f) if f.is_infinite() => if *f > 0.0 { ".inf" } else { "-.inf" }.into(),
        other => other.to_string(),
    }
}

/// A row as a test would write it.
pub fn shown_row(cells: &[(String, Value)]) -> String {
    if cells.is_empty() {
        return "{}".into();
    }
    let cells: Vec<String> = cells.iter().map(|(n, v)| format!("{}: {}", quoted(n), shown(v))).collect();
    format!("{{ {} }}", cells.join(", "))
}

/// A text that YAML reads back as the same text.
fn quoted(text: &str) -> String {
    use jarvis_spec::node::ScalarValue;
    let safe = |c: char| c.is_alphanumeric() || matches!(c, '_' | '/' | '.') || c == '-' || c == ' ';
    let plain = !text.is_empty()
        && text.chars().all(safe)
        && text.trim() == text
        && !text.starts_with(['-', '.'])
        && matches!(ScalarValue::of_plain(text), ScalarValue::Text);
    // JSON's escapes are a subset of those of double quotes in YAML.
    if plain { text.into() } else { serde_json::Value::from(text).to_string() }
}
