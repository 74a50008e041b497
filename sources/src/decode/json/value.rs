//! One JSON value into one column.

use super::cursor::Cursor;
use super::number::Number;
use crate::decode::column::{BatchFull, Cells, Column, Numbers};
use crate::decode::fault::{Fault, Outcome, quoted};
use crate::decode::nested::{Lists, Structs};
use crate::decode::{decimal, text, unit};
use arrow::array::ArrowPrimitiveType;

impl From<BatchFull> for Box<Fault> {
    #[cold]
    fn from(_: BatchFull) -> Self {
        Fault::new("too_large", "the values of this column do not fit one batch")
    }
}

/// Reads the value that comes next into the column. `false`, and nothing pushed, if it is null.
#[inline]
pub(crate) fn push(column: &mut Column, cursor: &mut Cursor, scratch: &mut String) -> Outcome<bool> {
    let first = cursor.peek();
    if first == Some(b'n') {
        cursor.literal("null")?;
        return Ok(false);
    }
    let pushed = match (column, first) {
        (Column::Float64(cells), Some(b'-' | b'0'..=b'9')) => {
            let number = cursor.number()?;
            let value = number.as_f64();
            finite(value.is_finite(), "float64", &number)?;
            cells.push(value);
            return Ok(true);
        }
        (Column::Text(cells), Some(b'"')) => {
            cells.push(cursor.string(scratch)?)?;
            return Ok(true);
        }
        (Column::Int64(cells), Some(b'-' | b'0'..=b'9')) => {
            let number = cursor.number()?;
            let Some(value) = number.as_i64() else { return Err(not_whole("int64", &number)) };
            cells.push(value);
            return Ok(true);
        }
        (Column::Timestamp(cells, of), Some(b'-' | b'0'..=b'9')) => {
            let number = cursor.number()?;
            cells.push(micros(*of, &number)?);
            return Ok(true);
        }
        (column, _) => push_other(column, first, cursor, scratch),
    };
    pushed.map(|()| true)
}

/// The types and spellings that are rarer.
fn push_other(column: &mut Column, first: Option<u8>, cursor: &mut Cursor, scratch: &mut String) -> Outcome<()> {
    match (column, first) {
        (Column::Json(cells), _) => Ok(cells.push(cursor.any(scratch)?)?),
        (Column::List(lists), Some(b'[')) => push_list(lists, cursor, scratch),
        (Column::Struct(structs), Some(b'{')) => push_struct(structs, cursor, scratch),
        (Column::Bool(cells), Some(b't')) => cursor.literal("true").map(|()| cells.push(true)),
        (Column::Bool(cells), Some(b'f')) => cursor.literal("false").map(|()| cells.push(false)),
        (column, Some(b'-' | b'0'..=b'9')) => push_number(column, cursor),
        (
            column @ (Column::Binary(_)
            | Column::Date(_)
            | Column::Timestamp(..)
            | Column::Interval(_)
            | Column::Decimal(..)),
            Some(b'"'),
        ) => text::push(column, cursor.string(scratch)?),
        (column, Some(b'"')) => {
            let text = cursor.string(scratch)?;
            let is_float = matches!(column, Column::Float64(_) | Column::Float32(_));
            Err(match is_float && text::names_not_finite(text) {
                true => Fault::not_finite(text),
                false => Fault::wrong_type(&column.type_name(), &format!("the text {}", quoted(text))),
            })
        }
        (column, _) => Err(cursor.mismatch(&column.type_name())),
    }
}

fn push_number(column: &mut Column, cursor: &mut Cursor) -> Outcome<()> {
    let start = cursor.at;
    let number = cursor.number()?;
    match column {
        Column::Int8(cells) => signed(cells, "int8", &number),
        Column::Int16(cells) => signed(cells, "int16", &number),
        Column::Int32(cells) => signed(cells, "int32", &number),
        Column::UInt8(cells) => unsigned(cells, "uint8", &number),
        Column::UInt16(cells) => unsigned(cells, "uint16", &number),
        Column::UInt32(cells) => unsigned(cells, "uint32", &number),
        Column::UInt64(cells) => unsigned(cells, "uint64", &number),
        Column::Float32(cells) => {
            let value = number.as_f32();
            finite(value.is_finite(), "float32", &number)?;
            cells.push(value);
            Ok(())
        }
        Column::Decimal(cells, precision, scale) => {
            cells.push(decimal_value(number.text, *precision, *scale)?);
            Ok(())
        }
        other => {
            cursor.at = start;
            Err(cursor.mismatch(&other.type_name()))
        }
    }
}

#[inline]
fn micros(of: unit::Unit, number: &Number) -> Outcome<i64> {
    if !number.is_whole() {
        return of.micros_of_text(number.text);
    }
    number.as_i64().and_then(|value| of.micros(value)).ok_or_else(|| unit::out_of_range(number.text))
}

#[inline]
fn finite(is_finite: bool, expected: &str, number: &Number) -> Outcome<()> {
    if is_finite { Ok(()) } else { Err(Fault::out_of_range(expected, number.text)) }
}

fn signed<T>(cells: &mut Numbers<T>, expected: &str, number: &Number) -> Outcome<()>
where
    T: ArrowPrimitiveType<Native: TryFrom<i64>>,
{
    let value = number.as_i64().and_then(|value| T::Native::try_from(value).ok());
    cells.push(value.ok_or_else(|| not_whole(expected, number))?);
    Ok(())
}

fn unsigned<T>(cells: &mut Numbers<T>, expected: &str, number: &Number) -> Outcome<()>
where
    T: ArrowPrimitiveType<Native: TryFrom<u64>>,
{
    let value = number.as_u64().and_then(|value| T::Native::try_from(value).ok());
    cells.push(value.ok_or_else(|| not_whole(expected, number))?);
    Ok(())
}

#[cold]
fn not_whole(expected: &str, number: &Number) -> Box<Fault> {
    match number.is_whole() {
        true => Fault::out_of_range(expected, number.text),
        false => Fault::wrong_type(expected, &format!("the number {}", number.text)),
    }
}

/// A decimal number as the integer that Arrow stores. Digits that the column has no place for are refused, not rounded.
pub(crate) fn decimal_value(text: &str, precision: u8, scale: i8) -> Outcome<i128> {
    let expected = || format!("decimal({precision},{scale})");
    let scaled = decimal::scaled(text, i32::from(scale)).ok_or_else(|| Fault::out_of_range(&expected(), text))?;
    if !scaled.exact || scaled.floor.unsigned_abs() >= 10_u128.pow(u32::from(precision.min(38))) {
        return Err(Fault::out_of_range(&expected(), text));
    }
    Ok(scaled.floor)
}

fn push_list(lists: &mut Lists, cursor: &mut Cursor, scratch: &mut String) -> Outcome<()> {
    cursor.expect(b'[', "`[`")?;
    if !cursor.take(b']') {
        for index in 0.. {
            let item = push(&mut lists.items, cursor, scratch).map_err(|fault| fault.in_item(index))?;
            if !item && !lists.item_nullable() {
                return Err(Fault::null("").in_item(index));
            }
            if !item {
                lists.items.push_null();
            }
            if !cursor.another(b']')? {
                break;
            }
        }
    }
    if lists.close() { Ok(()) } else { Err(BatchFull.into()) }
}

fn push_struct(structs: &mut Structs, cursor: &mut Cursor, scratch: &mut String) -> Outcome<()> {
    cursor.expect(b'{', "`{`")?;
    let row = structs.len();
    if !cursor.take(b'}') {
        loop {
            let key = cursor.key(scratch)?;
            match structs.fields.iter().position(|field| field.name() == key) {
                Some(index) => {
                    let column = &mut structs.columns[index];
                    // Of a field that comes twice the last one counts.
                    column.truncate(row);
                    let pushed =
                        push(column, cursor, scratch).map_err(|fault| fault.in_field(structs.fields[index].name()))?;
                    if !pushed && !structs.fields[index].is_nullable() {
                        return Err(Fault::null(structs.fields[index].name()));
                    }
                    if !pushed {
                        column.push_null();
                    }
                }
                None => {
                    cursor.any(scratch)?;
                }
            }
            if !cursor.another(b'}')? {
                break;
            }
        }
    }
    for (field, column) in structs.fields.iter().zip(&mut structs.columns) {
        if column.len() == row {
            if !field.is_nullable() {
                return Err(Fault::missing(field.name()));
            }
            column.push_null();
        }
    }
    structs.close();
    Ok(())
}
