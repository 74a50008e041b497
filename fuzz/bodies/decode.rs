//! Any payload is one row or one error, and leaves no trace in the rows around it.

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Schema, SchemaRef};
use jarvis_sources::decode::{Decoder, Format};
use jarvis_spec::schema::parse_type;
use std::sync::Arc;

/// A column of every type of the language. The first is the key of the streams that have one.
pub const COLUMNS: [(&str, &str); 26] = [
    ("id", "utf8?"),
    ("flag", "bool?"),
    ("i8", "int8?"),
    ("i16", "int16?"),
    ("i32", "int32?"),
    ("i64", "int64?"),
    ("u8", "uint8?"),
    ("u16", "uint16?"),
    ("u32", "uint32?"),
    ("u64", "uint64?"),
    ("f32", "float32?"),
    ("f64", "float64?"),
    ("exact", "decimal(9,3)?"),
    ("long", "decimal(38,0)?"),
    ("bytes", "binary?"),
    ("day", "date?"),
    ("at", "timestamp?"),
    ("s", "timestamp(s)?"),
    ("us", "timestamp(us)?"),
    ("ns", "timestamp(ns)?"),
    ("span", "interval?"),
    ("any", "json?"),
    ("list", "list(int8?)?"),
    ("lists", "list(list(utf8))?"),
    ("parts", "struct(a: bool, b: list(decimal(4,2)))?"),
    ("none", "int64?"),
];

/// A payload that is a row of these columns.
#[allow(dead_code, reason = "where documents are changed a little")]
pub const JSON: &str = r#"{"id":"a\u00e9\n","flag":true,"i8":-128,"i16":-32768,"i32":2147483647,"i64":9223372036854775807,"u8":255,"u16":65535,"u32":4294967295,"u64":18446744073709551615,"f32":-1.5e-3,"f64":1e300,"exact":-123456.789,"long":99999999999999999999999999999999999999,"bytes":"YWJj","day":"2026-01-31","at":1763800000500,"s":1763800000.5,"us":"2025-11-22T08:26:40.5+01:00","ns":1763800000500000999,"span":"P1M3DT4.5S","any":{"a":[1,null,{"b":"x"}]},"list":[1,null,-1],"lists":[["a"],[]],"parts":{"a":false,"b":[1.25]},"_diff":1}"#;

/// The same as a record.
#[allow(dead_code, reason = "where documents are changed a little")]
pub const CSV: &str = "\"a \"\"b\"\"\",true,-128,-32768,2147483647,9223372036854775807,255,65535,4294967295,18446744073709551615,-1.5e-3,1e300,-123456.789,99999999999999999999999999999999999999,YWJj,2026-01-31,1763800000500,1763800000.5,2025-11-22T08:26:40.5+01:00,1763800000500000999,P1M3DT4.5S,\"{\"\"a\"\":[1,null]}\",\"[1,null,-1]\",\"[[\"\"a\"\"],[]]\",\"{\"\"a\"\":false,\"\"b\"\":[1.25]}\",";

/// The longest payload, bytes.
const LIMIT: usize = 1 << 16;

fn schema(columns: &[(&str, &str)]) -> SchemaRef {
    let fields = columns.iter().map(|(name, of)| parse_type(name, of).expect("a type of the language"));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// An object of the columns.
pub fn json(payload: &[u8]) {
    check(&schema(&COLUMNS), &[], Format::Json, br#"{"id":"before"}"#, payload);
    check(&schema(&COLUMNS), &[0], Format::Json, br#"{"id":"before"}"#, payload);
}

/// A record of the columns.
pub fn csv(payload: &[u8]) {
    let before = ",".repeat(COLUMNS.len() - 1);
    check(&schema(&COLUMNS), &[], Format::Csv, before.as_bytes(), payload);
    check(&schema(&COLUMNS), &[0], Format::Csv, format!("before{before}").as_bytes(), payload);
}

/// One value of every type that can be one.
pub fn raw(payload: &[u8]) {
    for (name, of) in COLUMNS {
        let schema = schema(&[(name, of)]);
        if matches!(schema.field(0).data_type(), DataType::List(_) | DataType::Struct(_)) {
            continue;
        }
        let before: &[u8] = match schema.field(0).data_type() {
            DataType::Boolean => b"on",
            DataType::Date32 => b"2026-01-31",
            DataType::Interval(_) => b"1h30m",
            _ => b"1",
        };
        check(&schema, &[], Format::Raw, before, payload);
    }
}

fn decoder(schema: &SchemaRef, key: &[usize], format: Format) -> Decoder {
    Decoder::new(schema.clone(), key, format, &[], LIMIT).expect("a decoder for every type")
}

fn check(schema: &SchemaRef, key: &[usize], format: Format, good: &[u8], payload: &[u8]) {
    let mut alone = decoder(schema, key, format);
    alone.push(good, &[]);
    let alone: RecordBatch = alone.finish().rows;

    let mut decoder = decoder(schema, key, format);
    decoder.push(good, &[]);
    decoder.push(payload, &[]);
    let (rows, errors) = (decoder.rows(), decoder.errors());
    assert_eq!(rows + errors, 2, "a payload is one row or one error");
    decoder.push(good, &[]);
    let decoded = decoder.finish();
    assert_eq!((decoded.rows.num_rows(), decoded.errors.len()), (rows + 1, errors));
    assert!(decoded.weights.is_none_or(|weights| weights.len() == rows + 1));
    if alone.num_rows() == 1 {
        assert_eq!(decoded.rows.slice(0, 1), alone);
        assert_eq!(decoded.rows.slice(rows, 1), alone);
    }
    for error in decoded.errors {
        assert!(!error.code.is_empty() && !error.message.is_empty());
        assert!(error.message.len() + error.input.len() < 8 * 1024, "an error is short");
    }
    assert!(payload.len() <= LIMIT || errors == 1);
}
