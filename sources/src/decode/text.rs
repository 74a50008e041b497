//! A value written as plain text: a CSV field, a level of a topic, a raw payload, and the types that JSON has no
//! notation for.
//!
//! | type | text |
//! |---|---|
//! | bool | `true`/`false`, `on`/`off`, `1`/`0`, in any case |
//! | numbers | as in JSON; a leading `+` and leading zeros are fine |
//! | timestamp | a number in the column's unit, or RFC 3339 |
//! | date, interval | `2026-01-31`, `PT1H30M` or `1h30m` |
//! | binary | base64 |
//! | list, struct, json | JSON |
//! | utf8 | as it is |
//!
//! Around everything but utf8, white space does not matter.

use super::base64;
use super::column::{Column, Numbers};
use super::fault::{Fault, Outcome};
use super::json::{self, Cursor};
use super::unit;
use arrow::array::ArrowPrimitiveType;
use arrow::datatypes::IntervalMonthDayNano;
use std::num::IntErrorKind;
use std::str::FromStr;

/// Reads the text into the column.
pub(crate) fn push(column: &mut Column, text: &str) -> Outcome<()> {
    if let Column::Text(cells) = column {
        return Ok(cells.push(text)?);
    }
    let text = text.trim_ascii();
    match column {
        Column::Text(cells) => cells.push(text)?,
        Column::Bool(cells) => cells.push(truth(text)?),
        Column::Int8(cells) => integer(cells, "int8", text)?,
        Column::Int16(cells) => integer(cells, "int16", text)?,
        Column::Int32(cells) => integer(cells, "int32", text)?,
        Column::Int64(cells) => integer(cells, "int64", text)?,
        Column::UInt8(cells) => integer(cells, "uint8", text)?,
        Column::UInt16(cells) => integer(cells, "uint16", text)?,
        Column::UInt32(cells) => integer(cells, "uint32", text)?,
        Column::UInt64(cells) => integer(cells, "uint64", text)?,
        Column::Float32(cells) => cells.push(float("float32", text, |value: &f32| value.is_finite())?),
        Column::Float64(cells) => cells.push(float("float64", text, |value: &f64| value.is_finite())?),
        Column::Decimal(cells, precision, scale) => {
            float(&format!("decimal({precision},{scale})"), text, |_: &f64| true)?;
            cells.push(json::decimal_value(text, *precision, *scale)?);
        }
        Column::Binary(cells) => {
            let mut bytes = Vec::new();
            if !base64::decode(text, &mut bytes) {
                return Err(Fault::wrong_format("binary as base64 with padding", text));
            }
            cells.push(&bytes)?;
        }
        Column::Date(cells) => cells.push(unit::date(text)?),
        Column::Timestamp(cells, of) => cells.push(timestamp(*of, text)?),
        Column::Interval(cells) => {
            let (months, days, nanos) = unit::interval(text)?;
            cells.push(IntervalMonthDayNano::new(months, days, nanos));
        }
        Column::Json(_) | Column::List(_) | Column::Struct(_) => return push_json(column, text),
    }
    Ok(())
}

fn push_json(column: &mut Column, text: &str) -> Outcome<()> {
    let mut cursor = Cursor::new(text);
    let row = column.len();
    if !json::push(column, &mut cursor, &mut String::new())? {
        return Err(Fault::wrong_type(&column.type_name(), "null"));
    }
    cursor.end().inspect_err(|_| column.truncate(row))
}

fn truth(text: &str) -> Outcome<bool> {
    let is = |words: [&str; 3]| words.iter().any(|word| text.eq_ignore_ascii_case(word));
    match (is(["true", "on", "1"]), is(["false", "off", "0"])) {
        (true, _) => Ok(true),
        (_, true) => Ok(false),
        _ => Err(Fault::wrong_format("bool, written true, on, 1, false, off or 0", text)),
    }
}

fn integer<T>(cells: &mut Numbers<T>, expected: &str, text: &str) -> Outcome<()>
where
    T: ArrowPrimitiveType<Native: FromStr<Err = std::num::ParseIntError>>,
{
    let value = text.parse::<T::Native>().map_err(|error| match error.kind() {
        IntErrorKind::PosOverflow | IntErrorKind::NegOverflow => Fault::out_of_range(expected, text),
        // Unsigned types call any minus an invalid digit.
        _ if text.strip_prefix('-').is_some_and(|digits| digits.parse::<u128>().is_ok()) => {
            Fault::out_of_range(expected, text)
        }
        _ => Fault::wrong_format(expected, text),
    })?;
    cells.push(value);
    Ok(())
}

fn float<F: FromStr>(expected: &str, text: &str, is_finite: impl Fn(&F) -> bool) -> Outcome<F> {
    if names_not_finite(text) {
        return Err(Fault::not_finite(text));
    }
    let value = text.parse::<F>().map_err(|_| Fault::wrong_format(expected, text))?;
    if is_finite(&value) { Ok(value) } else { Err(Fault::out_of_range(expected, text)) }
}

/// Whether a text is one of the names of NaN and the infinities.
pub(crate) fn names_not_finite(text: &str) -> bool {
    let name = text.trim_ascii().trim_start_matches(['+', '-']);
    ["nan", "inf", "infinity"].iter().any(|word| name.eq_ignore_ascii_case(word))
}

fn timestamp(of: unit::Unit, text: &str) -> Outcome<i64> {
    if let Ok(number) = text.parse::<i64>() {
        return of.micros(number).ok_or_else(|| unit::out_of_range(text));
    }
    match text.parse::<f64>() {
        Ok(_) if names_not_finite(text) => Err(Fault::not_finite(text)),
        Ok(_) => of.micros_of_text(text),
        Err(_) => unit::timestamp(text),
    }
}
