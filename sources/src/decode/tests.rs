//! The law of every decoder: what is encoded by hand is decoded as it was, whatever stands around it.

use super::*;
use arrow::array::{Array, AsArray};
use arrow::datatypes::*;
use jarvis_spec::schema::{TYPE_KEY, UNIT_KEY};
use proptest::prelude::*;
use std::collections::HashMap;
use std::fmt::Write;
use std::sync::Arc;

/// A value outside of Arrow.
#[derive(Clone, Debug, PartialEq)]
enum Cell {
    Null,
    Bool(bool),
    Int(i128),
    /// As bits, so that −0 is not 0.
    Float(u64),
    Text(String),
    Bytes(Vec<u8>),
    /// Months, days, nanoseconds.
    Interval(i32, i32, i64),
    List(Vec<Cell>),
    Struct(Vec<Cell>),
}

fn leaf() -> impl Strategy<Value = Field> {
    use DataType::*;
    let with = |of: DataType, key: &str, value: &str| {
        Field::new("f", of, false).with_metadata(HashMap::from([(key.to_owned(), value.to_owned())]))
    };
    let plain = [
        Boolean,
        Int8,
        Int16,
        Int32,
        Int64,
        UInt8,
        UInt16,
        UInt32,
        UInt64,
        Float32,
        Float64,
        Utf8,
        Binary,
        Date32,
        Timestamp(TimeUnit::Microsecond, None),
        Interval(IntervalUnit::MonthDayNano),
    ];
    prop_oneof![
        16 => prop::sample::select(plain.to_vec()).prop_map(|of| Field::new("f", of, false)),
        1 => Just(with(Utf8, TYPE_KEY, "json")),
        1 => Just(with(Timestamp(TimeUnit::Microsecond, None), UNIT_KEY, "us")),
        2 => (1_u8..=38, 0_i8..=38).prop_map(|(p, s)| Field::new("f", Decimal128(p, s.min(p as i8)), false)),
    ]
}

fn field() -> impl Strategy<Value = Field> {
    let maybe_null = |field: BoxedStrategy<Field>| (field, any::<bool>()).prop_map(|(f, n)| f.with_nullable(n)).boxed();
    maybe_null(leaf().boxed()).prop_recursive(3, 8, 3, move |inner| {
        let list =
            inner.clone().prop_map(|item| Field::new("f", DataType::List(Arc::new(item.with_name("item"))), false));
        let fields = prop::collection::vec(inner, 1..4).prop_map(named);
        let nested = fields.prop_map(|fields| Field::new("f", DataType::Struct(fields.into()), false));
        maybe_null(prop_oneof![list, nested].boxed())
    })
}

fn named(fields: Vec<Field>) -> Vec<Field> {
    let names = ["a", "b b", "c\"\\", "d", "é"];
    fields
        .into_iter()
        .enumerate()
        .map(|(index, field)| field.with_name(names[index % 5].repeat(1 + index / 5)))
        .collect()
}

fn cell(field: &Field) -> BoxedStrategy<Cell> {
    let value = value(field.data_type(), field.metadata().contains_key(TYPE_KEY));
    if field.is_nullable() { prop_oneof![1 => Just(Cell::Null), 3 => value].boxed() } else { value }
}

fn value(of: &DataType, json: bool) -> BoxedStrategy<Cell> {
    let int = |low: i128, high: i128| prop_oneof![low..=high, Just(low), Just(high)].prop_map(Cell::Int).boxed();
    match of {
        DataType::Boolean => any::<bool>().prop_map(Cell::Bool).boxed(),
        DataType::Int8 => int(i8::MIN.into(), i8::MAX.into()),
        DataType::Int16 => int(i16::MIN.into(), i16::MAX.into()),
        DataType::Int32 => int(i32::MIN.into(), i32::MAX.into()),
        DataType::Int64 => int(i64::MIN.into(), i64::MAX.into()),
        DataType::UInt8 => int(0, u8::MAX.into()),
        DataType::UInt16 => int(0, u16::MAX.into()),
        DataType::UInt32 => int(0, u32::MAX.into()),
        DataType::UInt64 => int(0, u64::MAX.into()),
        DataType::Float32 => any::<f32>()
            .prop_filter("finite", |v| v.is_finite())
            .prop_map(|v| Cell::Float(f64::from(v).to_bits()))
            .boxed(),
        DataType::Float64 => {
            any::<f64>().prop_filter("finite", |v| v.is_finite()).prop_map(|v| Cell::Float(v.to_bits())).boxed()
        }
        DataType::Decimal128(precision, _) => {
            let limit = 10_i128.pow((*precision).into()) - 1;
            int(-limit, limit)
        }
        DataType::Utf8 if json => prop::sample::select(vec!["1", "\"x\"", "{\"a\": [true, null]}", "[]"])
            .prop_map(|t| Cell::Text(t.to_owned()))
            .boxed(),
        DataType::Utf8 => any::<String>().prop_map(Cell::Text).boxed(),
        DataType::Binary => prop::collection::vec(any::<u8>(), 0..10).prop_map(Cell::Bytes).boxed(),
        DataType::Date32 => int(-719_162, 2_932_896),
        DataType::Timestamp(..) => int(-62_135_596_800_000_000, 253_402_207_200_000_000),
        DataType::Interval(_) => {
            (-500..500, -500..500, -1_000_000_000_000_i64..1_000_000_000_000)
                // A length of time has one sign.
                .prop_map(|(m, d, n): (i32, i32, i64)| {
                    if n < 0 { Cell::Interval(-m.abs(), -d.abs(), n) } else { Cell::Interval(m.abs(), d.abs(), n) }
                })
                .boxed()
        }
        DataType::List(item) => prop::collection::vec(cell(item), 0..4).prop_map(Cell::List).boxed(),
        DataType::Struct(fields) => fields.iter().map(|f| cell(f)).collect::<Vec<_>>().prop_map(Cell::Struct).boxed(),
        other => unreachable!("{other}"),
    }
}

/// The value as text: of JSON, or plain as in CSV.
fn write(cell: &Cell, field: &Field, json: bool, out: &mut String) {
    let text = |text: String, out: &mut String| match json {
        true => write!(out, "{}", serde_json::Value::String(text)).expect("written"),
        false => out.push_str(&text),
    };
    match (cell, field.data_type()) {
        (Cell::Null, _) => out.push_str(if json { "null" } else { "" }),
        (Cell::Bool(value), _) => write!(out, "{value}").expect("written"),
        (Cell::Int(value), DataType::Date32) => {
            let date = jiff::civil::date(1970, 1, 1) + jiff::Span::new().days(*value as i64);
            text(date.to_string(), out);
        }
        (Cell::Int(value), DataType::Timestamp(..)) if !field.metadata().contains_key(UNIT_KEY) => {
            text(jiff::Timestamp::from_microsecond(*value as i64).expect("in range").to_string(), out);
        }
        (Cell::Int(value), DataType::Decimal128(_, scale)) => {
            let scale = *scale as usize;
            let digits = format!("{:0>width$}", value.unsigned_abs(), width = scale + 1);
            let (whole, fraction) = digits.split_at(digits.len() - scale);
            write!(out, "{}{whole}{}{fraction}", if *value < 0 { "-" } else { "" }, if scale > 0 { "." } else { "" })
                .expect("written");
        }
        (Cell::Int(value), _) => write!(out, "{value}").expect("written"),
        (Cell::Float(bits), DataType::Float32) => write!(out, "{:?}", f64::from_bits(*bits) as f32).expect("written"),
        (Cell::Float(bits), _) => write!(out, "{:?}", f64::from_bits(*bits)).expect("written"),
        (Cell::Text(value), _) if field.metadata().contains_key(TYPE_KEY) => out.push_str(value),
        (Cell::Text(value), _) => text(value.clone(), out),
        (Cell::Bytes(bytes), _) => text(base64::encode(bytes), out),
        (Cell::Interval(months, days, nanos), _) => {
            let sign = if *months < 0 || *days < 0 || *nanos < 0 { "-" } else { "" };
            let (seconds, fraction) = (nanos.unsigned_abs() / 1_000_000_000, nanos.unsigned_abs() % 1_000_000_000);
            text(format!("{sign}P{}M{}DT{seconds}.{fraction:09}S", months.abs(), days.abs()), out);
        }
        (Cell::List(items), DataType::List(item)) => {
            out.push('[');
            for (index, cell) in items.iter().enumerate() {
                out.push_str(if index == 0 { "" } else { ", " });
                write(cell, item, true, out);
            }
            out.push(']');
        }
        (Cell::Struct(cells), DataType::Struct(fields)) => object(cells, fields, out),
        (cell, of) => unreachable!("{cell:?} {of}"),
    }
}

fn object(cells: &[Cell], fields: &Fields, out: &mut String) {
    out.push('{');
    for (index, (cell, field)) in cells.iter().zip(fields).enumerate() {
        let comma = if index == 0 { "" } else { "," };
        write!(out, "{comma}{}:", serde_json::Value::String(field.name().clone())).expect("written");
        write(cell, field, true, out);
    }
    out.push('}');
}

fn read(array: &dyn Array, row: usize) -> Cell {
    if array.is_null(row) {
        return Cell::Null;
    }
    macro_rules! int {
        ($of:ty) => {
            Cell::Int(array.as_primitive::<$of>().value(row).into())
        };
    }
    match array.data_type() {
        DataType::Boolean => Cell::Bool(array.as_boolean().value(row)),
        DataType::Int8 => int!(Int8Type),
        DataType::Int16 => int!(Int16Type),
        DataType::Int32 => int!(Int32Type),
        DataType::Int64 => int!(Int64Type),
        DataType::UInt8 => int!(UInt8Type),
        DataType::UInt16 => int!(UInt16Type),
        DataType::UInt32 => int!(UInt32Type),
        DataType::UInt64 => int!(UInt64Type),
        DataType::Date32 => int!(Date32Type),
        DataType::Timestamp(..) => int!(TimestampMicrosecondType),
        DataType::Decimal128(..) => int!(Decimal128Type),
        DataType::Float32 => Cell::Float(f64::from(array.as_primitive::<Float32Type>().value(row)).to_bits()),
        DataType::Float64 => Cell::Float(array.as_primitive::<Float64Type>().value(row).to_bits()),
        DataType::Utf8 => Cell::Text(array.as_string::<i32>().value(row).to_owned()),
        DataType::Binary => Cell::Bytes(array.as_binary::<i32>().value(row).to_owned()),
        DataType::Interval(_) => {
            let value = array.as_primitive::<IntervalMonthDayNanoType>().value(row);
            Cell::Interval(value.months, value.days, value.nanoseconds)
        }
        DataType::List(_) => {
            let items = array.as_list::<i32>().value(row);
            Cell::List((0..items.len()).map(|item| read(&items, item)).collect())
        }
        DataType::Struct(_) => {
            Cell::Struct(array.as_struct().columns().iter().map(|column| read(column, row)).collect())
        }
        other => unreachable!("{other}"),
    }
}

fn rows_of(decoded: &Decoded) -> Vec<Vec<Cell>> {
    let columns = decoded.rows.columns();
    (0..decoded.rows.num_rows()).map(|row| columns.iter().map(|column| read(column, row)).collect()).collect()
}

fn table(fields: impl Strategy<Value = Vec<Field>>) -> impl Strategy<Value = (SchemaRef, Vec<Vec<Cell>>)> {
    fields.prop_flat_map(|fields| {
        let fields = named(fields);
        let row = fields.iter().map(cell).collect::<Vec<_>>();
        (Just(Arc::new(Schema::new(fields))), prop::collection::vec(row, 0..12))
    })
}

/// Payloads that no schema here takes.
const BAD: [&str; 4] = ["{", "[1]", "\u{1}", "{\"a\":}"];

proptest! {
    #[test]
    fn json_rows_are_decoded_as_they_were((schema, rows) in table(prop::collection::vec(field(), 1..5)), bad in prop::collection::vec(0..8_usize, 12)) {
        let mut decoder = Decoder::new(schema.clone(), &[], Format::Json, &[], DEFAULT_MAX_PAYLOAD).expect("a decoder");
        let mut expected_errors = 0;
        for (index, row) in rows.iter().enumerate() {
            let mut line = String::new();
            object(row, schema.fields(), &mut line);
            // A row that fails at its very end has filled every column before.
            if let Some(bad) = BAD.get(bad[index]) {
                decoder.push(bad.as_bytes(), &[]);
                decoder.push(&line.as_bytes()[..line.len() - 1], &[]);
                expected_errors += 2;
            }
            decoder.push(line.as_bytes(), &[]);
        }
        let decoded = decoder.finish();
        prop_assert_eq!(decoded.errors.len(), expected_errors, "{:?}", decoded.errors);
        prop_assert_eq!(rows_of(&decoded), rows.clone());
        // The decoder starts anew.
        let mut line = String::new();
        for row in &rows {
            line.clear();
            object(row, schema.fields(), &mut line);
            decoder.push(line.as_bytes(), &[]);
        }
        prop_assert_eq!(rows_of(&decoder.finish()), rows);
    }

    #[test]
    fn csv_records_are_decoded_as_they_were((schema, rows) in table(prop::collection::vec(leaf(), 1..5).prop_map(|fields| {
        // An empty text cannot be told from null, so here only numbers may be null.
        fields.into_iter().map(|f| { let nullable = f.data_type().is_numeric(); f.with_nullable(nullable) }).collect()
    }))) {
        let mut decoder = Decoder::new(schema.clone(), &[], Format::Csv, &[], DEFAULT_MAX_PAYLOAD).expect("a decoder");
        let mut expected = Vec::new();
        for row in rows {
            let fields = row.iter().zip(schema.fields()).map(|(cell, field)| {
                let mut text = String::new();
                write(cell, field, false, &mut text);
                text
            });
            let mut writer = csv_writer();
            writer.write_record(fields).expect("written");
            decoder.push(&writer.into_inner().expect("written"), &[]);
            decoder.push(b"one,field,too,many,for,any,schema", &[]);
            expected.push(row);
        }
        let decoded = decoder.finish();
        prop_assert_eq!(rows_of(&decoded), expected, "{:?}", decoded.errors);
        prop_assert!(decoded.errors.iter().all(|error| error.code == "wrong_length"));
    }

    #[test]
    fn any_bytes_are_one_row_or_one_error_in_every_format(
        field in leaf(), nullable in any::<bool>(),
        payload in prop_oneof![prop::collection::vec(any::<u8>(), 0..40), "[-+0-9a-zTZ:.,\"\n]{0,24}".prop_map(String::into_bytes)],
        format in prop::sample::select(vec![Format::Json, Format::Csv, Format::Raw]),
    ) {
        let schema = Arc::new(Schema::new(vec![field.with_nullable(nullable)]));
        let mut decoder = Decoder::new(schema, &[], format, &[], 32).expect("a decoder");
        decoder.push(&payload, &[]);
        prop_assert_eq!(decoder.rows() + decoder.errors(), 1);
        let text = String::from_utf8_lossy(&payload);
        decoder.push(&payload, &[(0, &text)]);
        prop_assert_eq!(decoder.rows() + decoder.errors(), 2);
        decoder.finish();
    }
}

fn csv_writer() -> ::csv::Writer<Vec<u8>> {
    ::csv::WriterBuilder::new().from_writer(Vec::new())
}

#[test]
fn raw_payloads_are_one_value() {
    let schema = |of: &str| Arc::new(Schema::new(vec![jarvis_spec::schema::parse_type("v", of).expect(of)]));
    let decode = |of: &str, payload: &[u8]| {
        let mut decoder = Decoder::new(schema(of), &[], Format::Raw, &[], DEFAULT_MAX_PAYLOAD).expect("a decoder");
        decoder.push(payload, &[]);
        let decoded = decoder.finish();
        rows_of(&decoded).pop().and_then(|mut row| row.pop()).ok_or_else(|| decoded.errors[0].message.clone())
    };
    assert_eq!(decode("float64", b" 23.5\n"), Ok(Cell::Float(23.5_f64.to_bits())));
    assert_eq!(decode("bool", b"ON"), Ok(Cell::Bool(true)));
    assert_eq!(decode("utf8", b" as it is "), Ok(Cell::Text(" as it is ".into())));
    assert_eq!(decode("binary", b"\x00\xff"), Ok(Cell::Bytes(vec![0, 255])));
    assert_eq!(decode("json", b"{\"a\":1}"), Ok(Cell::Text("{\"a\":1}".into())));
    assert_eq!(decode("float64", b"warm"), Err("`v`: expected float64, found \"warm\"".into()));
    assert_eq!(decode("uint8", b"-3"), Err("`v`: -3 does not fit uint8".into()));
    assert_eq!(decode("decimal(4,2)", b"x1"), Err("`v`: expected decimal(4,2), found \"x1\"".into()));
}

#[test]
fn an_empty_payload_removes_a_key() {
    let schema = Arc::new(Schema::new(
        [("door", "utf8"), ("state", "utf8")]
            .map(|(name, of)| jarvis_spec::schema::parse_type(name, of).expect(of))
            .to_vec(),
    ));
    let mut decoder = Decoder::new(schema.clone(), &[0], Format::Json, &[0], DEFAULT_MAX_PAYLOAD).expect("a decoder");
    decoder.push(br#"{"state":"open"}"#, &[(0, "main")]);
    decoder.push_removal(&[(0, "main")]);
    decoder.push_removal(&[]);
    let decoded = decoder.finish();
    assert_eq!(decoded.weights, Some(vec![1, -1]));
    assert_eq!(decoded.errors[0].code, "missing_field");
    let mut decoder = Decoder::new(schema, &[], Format::Json, &[0], DEFAULT_MAX_PAYLOAD).expect("a decoder");
    decoder.push_removal(&[(0, "main")]);
    assert_eq!(decoder.finish().errors[0].code, "empty_payload");
}
