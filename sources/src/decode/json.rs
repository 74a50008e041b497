//! JSON objects into columns, in one pass and without values in between.
//!
//! * A field that comes twice counts with its last value, as in most JSON readers.
//! * Fields that the schema does not name are skipped, though they must be JSON; they are counted.
//! * A field that is missing is null. Where the column does not allow null, the row fails.
//! * `_diff` (in a stream without a key) and `_deleted` (in one with a key) become the row's weight. The one that the
//!   stream does not use may only say what goes without saying: ignored, it would turn a removal into a row.
//! * A column that the topic provides is not read from the object.

mod cursor;
mod number;
mod value;

pub(crate) use cursor::Cursor;
pub(crate) use value::{decimal_value, push};

use super::fault::{Fault, Outcome, invalid_utf8};
use super::rows::Rows;

/// What a key of the object stands for.
enum Field {
    Column(usize),
    Diff,
    Deleted,
    Extra,
}

/// Reads one JSON object per row.
pub(crate) struct JsonDecoder {
    names: Vec<String>,
    /// `"name":`, which is how a key that comes in the usual order is recognised.
    usual: Vec<Box<[u8]>>,
    /// For each column, whether the object holds it.
    in_object: Vec<bool>,
    /// Where the next row's first field is looked for: lines of one source have one order.
    first: usize,
    scratch: String,
}

impl JsonDecoder {
    pub fn new(rows: &Rows, captured: &[usize]) -> Self {
        let names: Vec<String> = rows.schema().fields().iter().map(|field| field.name().clone()).collect();
        let in_object: Vec<bool> = (0..names.len()).map(|column| !captured.contains(&column)).collect();
        let first = in_object.iter().position(|is| *is).unwrap_or(names.len());
        let usual = names.iter().map(|name| usual_key(name)).collect();
        Self { names, usual, in_object, first, scratch: String::new() }
    }

    /// Reads an object into the row that is open; its weight.
    pub fn read(&mut self, payload: &[u8], rows: &mut Rows) -> Outcome<i64> {
        let text = std::str::from_utf8(payload).map_err(|error| invalid_utf8(&error))?;
        let mut cursor = Cursor::new(text);
        if !cursor.take(b'{') {
            return Err(cursor.mismatch("an object with the columns as its fields, all in one line"));
        }
        let mut weight = 1;
        if !cursor.take(b'}') {
            let mut hint = self.first;
            loop {
                match self.field(&mut cursor, hint)? {
                    Field::Column(index) => {
                        self.column(index, &mut cursor, rows).map_err(|fault| fault.in_field(&self.names[index]))?;
                        hint = self.after(index);
                    }
                    Field::Diff => {
                        weight = rows.diff(read_diff(&mut cursor).map_err(|fault| fault.in_field("_diff"))?)?
                    }
                    Field::Deleted => {
                        weight =
                            rows.deleted(read_deleted(&mut cursor).map_err(|fault| fault.in_field("_deleted"))?)?;
                    }
                    Field::Extra => {
                        cursor.any(&mut self.scratch)?;
                        rows.extra_fields += 1;
                    }
                }
                if !cursor.another(b'}')? {
                    break;
                }
            }
        }
        cursor.end()?;
        Ok(weight)
    }

    /// The column that probably comes after this one.
    #[inline]
    fn after(&self, index: usize) -> usize {
        let mut next = index + 1;
        while next < self.in_object.len() && !self.in_object[next] {
            next += 1;
        }
        next
    }

    /// Takes a key with its colon.
    #[inline]
    fn field(&mut self, cursor: &mut Cursor, hint: usize) -> Outcome<Field> {
        if let Some(usual) = self.usual.get(hint) {
            cursor.peek();
            if cursor.take_exactly(usual) {
                return Ok(Field::Column(hint));
            }
        }
        let key = cursor.key(&mut self.scratch)?;
        let column = self.names.iter().position(|name| name == key);
        Ok(match (column, key) {
            (Some(column), _) if self.in_object[column] => Field::Column(column),
            (None, "_diff") => Field::Diff,
            (None, "_deleted") => Field::Deleted,
            _ => Field::Extra,
        })
    }

    #[inline]
    fn column(&mut self, index: usize, cursor: &mut Cursor, rows: &mut Rows) -> Outcome<()> {
        let column = rows.column_again(index);
        if !push(column, cursor, &mut self.scratch)? {
            rows.push_null(index);
        }
        Ok(())
    }
}

/// How a key is usually written; nothing for a name that needs escapes.
fn usual_key(name: &str) -> Box<[u8]> {
    if name.chars().any(|c| c < ' ' || matches!(c, '"' | '\\')) {
        // This byte is in no UTF-8 text.
        return Box::from([0xFF]);
    }
    format!("\"{name}\":").into_bytes().into()
}

fn read_diff(cursor: &mut Cursor) -> Outcome<i64> {
    let Some(b'-' | b'0'..=b'9') = cursor.peek() else { return Err(cursor.mismatch("1 or -1")) };
    let number = cursor.number()?;
    number.as_i64().ok_or_else(|| Fault::wrong_type("1 or -1", &format!("the number {}", number.text)))
}

fn read_deleted(cursor: &mut Cursor) -> Outcome<bool> {
    match cursor.peek() {
        Some(b't') => cursor.literal("true").map(|()| true),
        Some(b'f') => cursor.literal("false").map(|()| false),
        _ => Err(cursor.mismatch("true or false")),
    }
}

#[cfg(test)]
mod tests;
