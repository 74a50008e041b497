//! What must never be seen: `{ over: "< 0", tool: tool0 }`.

use super::literal;
use super::report::{Failure, Variant};
use crate::value::Value;
use arrow::datatypes::{DataType, Field, Schema};
use jarvis_spec::{Node, SourceText, Span};
use std::cmp::Ordering;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Op {
    Equal,
    Unequal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// The two-letter operators first: they start with the others.
const OPS: [(&str, Op); 7] = [
    ("<=", Op::LessOrEqual),
    (">=", Op::GreaterOrEqual),
    ("!=", Op::Unequal),
    ("==", Op::Equal),
    ("<", Op::Less),
    (">", Op::Greater),
    ("=", Op::Equal),
];

/// Conditions on some columns; a row matches if it meets all of them.
#[derive(Clone, Debug)]
pub(super) struct Pattern {
    conditions: Vec<(usize, Op, Value)>,
    pub span: Span,
}

impl Pattern {
    pub fn read(node: &Node, schema: &Schema) -> Result<Self, Box<Failure>> {
        let fail = |span: &Span, message: String| Box::new(Failure::new(Variant::OneWorker, span, message));
        let mut conditions = vec![];
        for entry in node.entries() {
            let Ok(column) = schema.index_of(&entry.key) else {
                return Err(fail(&entry.key.span, format!("there is no column {}", entry.key.value)));
            };
            let (op, value) = condition(&entry.value, schema.field(column)).map_err(|e| fail(entry.value.span(), e))?;
            conditions.push((column, op, value));
        }
        Ok(Pattern { conditions, span: node.span().clone() })
    }

    /// Null matches only null: `!= x` is not met by a row that has no value.
    pub fn matches(&self, row: &[Value]) -> bool {
        self.conditions.iter().all(|(column, op, value)| {
            let cell = &row[*column];
            if matches!(cell, Value::Null) || matches!(value, Value::Null) {
                return match op {
                    Op::Equal => cell == value,
                    Op::Unequal => matches!(value, Value::Null) && cell != value,
                    _ => false,
                };
            }
            let order = if cell.is_close(value) { Ordering::Equal } else { cell.cmp(value) };
            match op {
                Op::Equal => order.is_eq(),
                Op::Unequal => order.is_ne(),
                Op::Less => order.is_lt(),
                Op::LessOrEqual => order.is_le(),
                Op::Greater => order.is_gt(),
                Op::GreaterOrEqual => order.is_ge(),
            }
        })
    }
}

fn condition(node: &Node, field: &Field) -> Result<(Op, Value), String> {
    let text = node.as_str().map(str::trim).unwrap_or_default();
    let Some((sign, op)) = OPS.iter().find(|(sign, _)| text.starts_with(sign)) else {
        return Ok((Op::Equal, literal::value(node, field)?));
    };
    let rest = text[sign.len()..].trim();
    if matches!(field.data_type(), DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View) && rest != "null" {
        return Ok((*op, Value::Text(rest.trim_matches(['\'', '"']).into())));
    }
    // What stands behind the operator is YAML again: a number, a duration, null.
    let operand = Node::read(&SourceText::new("pattern", rest), &|_| None);
    let operand = operand.map_err(|_| format!("`{rest}` is no value to compare with"))?;
    Ok((*op, literal::value(&operand, field)?))
}
