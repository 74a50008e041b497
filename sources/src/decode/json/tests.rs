use crate::decode::{DEFAULT_MAX_PAYLOAD, Decoder, Format};
use arrow::array::AsArray;
use arrow::datatypes::{Float64Type, Int64Type, Schema, SchemaRef, TimestampMicrosecondType};
use jarvis_runtime::arrival::Decoded;
use jarvis_spec::schema::parse_type;
use proptest::prelude::*;
use std::sync::Arc;

fn schema(columns: &[(&str, &str)]) -> SchemaRef {
    Arc::new(Schema::new(columns.iter().map(|(name, of)| parse_type(name, of).expect(of)).collect::<Vec<_>>()))
}

fn decode(columns: &[(&str, &str)], key: &[usize], lines: &[&[u8]]) -> Decoded {
    let mut decoder = Decoder::new(schema(columns), key, Format::Json, &[], DEFAULT_MAX_PAYLOAD).expect("a decoder");
    lines.iter().for_each(|line| decoder.push(line, &[]));
    decoder.finish()
}

/// The code and message of the only error.
fn refused(of: &str, line: &str) -> (&'static str, String) {
    let decoded = decode(&[("v", of)], &[], &[line.as_bytes()]);
    assert_eq!((decoded.rows.num_rows(), decoded.errors.len()), (0, 1), "{of} {line}");
    let error = decoded.errors.into_iter().next().expect("one error");
    assert_eq!(error.input, line);
    (error.code, error.message)
}

#[test]
fn bad_values_become_errors_that_name_field_and_type() {
    let cases = [
        ("int64", r#"{"v":"x"}"#, "wrong_type", r#"`v`: expected int64, found the text "x""#),
        ("int64", r#"{"v":1.5}"#, "wrong_type", "`v`: expected int64, found the number 1.5"),
        ("int64", r#"{"v":9223372036854775808}"#, "out_of_range", "`v`: 9223372036854775808 does not fit int64"),
        ("int8", r#"{"v":128}"#, "out_of_range", "`v`: 128 does not fit int8"),
        ("uint8", r#"{"v":-1}"#, "out_of_range", "`v`: -1 does not fit uint8"),
        ("float64", r#"{"v":1e999}"#, "out_of_range", "`v`: 1e999 does not fit float64"),
        ("float32", r#"{"v":1e39}"#, "out_of_range", "`v`: 1e39 does not fit float32"),
        ("float64", r#"{"v":NaN}"#, "not_finite", "`v`: NaN is not a finite number"),
        ("float64", r#"{"v":-Infinity}"#, "not_finite", "`v`: -Infinity is not a finite number"),
        ("float64", r#"{"v":"nan"}"#, "not_finite", "`v`: nan is not a finite number"),
        (
            "float64",
            r#"{"v":null}"#,
            "missing_field",
            "`v`: the field is null; a `?` after the column's type would allow that",
        ),
        (
            "float64",
            r#"{}"#,
            "missing_field",
            "`v`: the field is missing; a `?` after the column's type would allow that",
        ),
        ("bool", r#"{"v":1}"#, "wrong_type", "`v`: expected bool, found the number 1"),
        ("utf8", r#"{"v":[1]}"#, "wrong_type", "`v`: expected utf8, found a list"),
        ("utf8", r#"{"v":true}"#, "wrong_type", "`v`: expected utf8, found true"),
        ("binary", r#"{"v":"a"}"#, "wrong_format", r#"`v`: expected binary as base64 with padding, found "a""#),
        (
            "date",
            r#"{"v":"2026-02-30"}"#,
            "wrong_format",
            r#"`v`: expected date such as 2026-01-31, found "2026-02-30""#,
        ),
        ("decimal(4,2)", r#"{"v":100}"#, "out_of_range", "`v`: 100 does not fit decimal(4,2)"),
        ("decimal(4,2)", r#"{"v":1.005}"#, "out_of_range", "`v`: 1.005 does not fit decimal(4,2)"),
        ("list(int8)", r#"{"v":[1,"x"]}"#, "wrong_type", r#"`v[1]`: expected int8, found the text "x""#),
        (
            "list(int8)",
            r#"{"v":[null]}"#,
            "missing_field",
            "`v[0]`: the field is null; a `?` after the column's type would allow that",
        ),
        (
            "struct(a: list(struct(b: bool)))",
            r#"{"v":{"a":[{"b":0}]}}"#,
            "wrong_type",
            "`v.a[0].b`: expected bool, found the number 0",
        ),
        (
            "struct(a: bool)",
            r#"{"v":{}}"#,
            "missing_field",
            "`v.a`: the field is missing; a `?` after the column's type would allow that",
        ),
        (
            "int64",
            r#"[1]"#,
            "wrong_type",
            "expected an object with the columns as its fields, all in one line, found a list",
        ),
        (
            "int64",
            "",
            "json_syntax",
            "not JSON at byte 0: expected an object with the columns as its fields, all in one line, but the text ends",
        ),
        ("int64", r#"{"v":1"#, "json_syntax", "not JSON at byte 6: expected `,` or `}`, but the text ends"),
        ("int64", r#"{"v":1} x"#, "json_syntax", "not JSON at byte 8: expected the end of the row, found 'x'"),
        ("int64", r#"{"v":01}"#, "json_syntax", "`v`: not JSON at byte 5: a number that is not written as JSON wants"),
        ("int64", r#"{"v":1,}"#, "json_syntax", "not JSON at byte 7: expected a key in quotes, found '}'"),
        ("int64", r#"{v:1}"#, "json_syntax", "not JSON at byte 1: expected a key in quotes, found 'v'"),
        ("utf8", r#"{"v":"\x"}"#, "json_syntax", "`v`: not JSON at byte 7: an escape that JSON does not have"),
        ("utf8", r#"{"v":"\ud800"}"#, "json_syntax", "`v`: not JSON at byte 12: half of a surrogate pair"),
        (
            "utf8",
            "{\"v\":\"a\tb\"}",
            "json_syntax",
            "`v`: not JSON at byte 7: a control character in a string: write it as an escape such as \\n",
        ),
        ("utf8", r#"{"v":"open"#, "json_syntax", "`v`: not JSON at byte 10: the string is not closed"),
        ("int64", r#"{"v":1,"x":tru}"#, "json_syntax", "not JSON at byte 11: expected a value, found 't'"),
    ];
    for (of, line, code, message) in cases {
        assert_eq!(refused(of, line), (code, message.to_owned()), "{of} {line}");
    }
}

#[test]
fn bytes_that_are_not_utf8_are_an_error_row() {
    let decoded = decode(&[("v", "utf8")], &[], &[b"{\"v\":\"a\xff\"}"]);
    assert_eq!(decoded.errors[0].code, "invalid_utf8");
    assert_eq!(decoded.errors[0].message, "not UTF-8 from byte 7 on");
}

#[test]
fn times_far_away_are_refused() {
    for line in [
        r#"{"v":253402300800000}"#,
        r#"{"v":-62135596800001}"#,
        r#"{"v":9223372036854775807}"#,
        r#"{"v":1e30}"#,
        r#"{"v":"9999-12-31T23:59:59Z"}"#,
        r#"{"v":"9999-12-31T23:59:59+01:00"}"#,
        r#"{"v":"0000-12-31T23:59:59Z"}"#,
    ] {
        assert_eq!(refused("timestamp", line).0, "out_of_range", "{line}");
    }
    for line in [r#"{"v":"2026-01-31T12:00:00"}"#, r#"{"v":"soon"}"#, r#"{"v":""}"#] {
        assert_eq!(refused("timestamp", line).0, "wrong_format", "{line}");
    }
}

#[test]
fn timestamps_are_read_in_their_unit() {
    let columns = [
        ("s", "timestamp(s)"),
        ("ms", "timestamp"),
        ("us", "timestamp(us)"),
        ("ns", "timestamp(ns)"),
        ("text", "timestamp"),
    ];
    let line = br#"{"s":1763800000.5,"ms":1763800000500,"us":1763800000500000,"ns":1763800000500000999,"text":"2025-11-22T08:26:40.5Z"}"#;
    let decoded = decode(&columns, &[], &[line]);
    assert_eq!(decoded.errors, []);
    for column in decoded.rows.columns() {
        assert_eq!(column.as_primitive::<TimestampMicrosecondType>().value(0), 1_763_800_000_500_000);
    }
}

#[test]
fn depth_is_bounded_without_recursion() {
    let nested = |depth: usize| format!(r#"{{"v":{}1{}}}"#, "[".repeat(depth), "]".repeat(depth));
    let decoded =
        decode(&[("v", "json")], &[], &[nested(128).as_bytes(), nested(129).as_bytes(), nested(30_000).as_bytes()]);
    assert_eq!(decoded.rows.num_rows(), 1);
    assert!(decoded.errors.iter().all(|error| error.code == "too_deep"), "{:?}", decoded.errors);
    let skipped = decode(&[("w", "int64?")], &[], &[nested(30_000).as_bytes()]);
    assert_eq!(skipped.errors[0].code, "too_deep");
}

#[test]
fn of_a_field_that_comes_twice_the_last_value_counts() {
    let decoded = decode(
        &[("a", "int64"), ("b", "utf8")],
        &[],
        &[br#"{"a":null,"b":null,"a":1,"b":"x","b":"y"}"#, br#"{"a":1,"b":null,"a":null,"b":"x"}"#],
    );
    assert_eq!(decoded.rows.column(0).as_primitive::<Int64Type>().values(), &[1]);
    assert_eq!(decoded.rows.column(1).as_string::<i32>().value(0), "y");
    assert_eq!(decoded.errors.len(), 1);
}

#[test]
fn fields_in_any_order_with_extra_ones_are_found_and_counted() {
    let mut decoder =
        Decoder::new(schema(&[("a", "int64"), ("b", "float64?")]), &[], Format::Json, &[], DEFAULT_MAX_PAYLOAD)
            .expect("a decoder");
    decoder.push(br#" { "x" : {"a":[1,{"b":"}"}]} , "b" : -0.0 , "\u0061" : -7 } "#, &[]);
    decoder.push(br#"{"a":1}"#, &[]);
    assert_eq!(decoder.extra_fields(), 1);
    let decoded = decoder.finish();
    assert_eq!(decoded.errors, []);
    assert_eq!(decoded.rows.column(0).as_primitive::<Int64Type>().values(), &[-7, 1]);
    assert!(decoded.rows.column(1).as_primitive::<Float64Type>().value(0).is_sign_negative());
    assert!(decoded.rows.column(1).is_null(1));
}

#[test]
fn diff_and_deleted_become_weights() {
    let lines: [&[u8]; 5] = [
        br#"{"v":1}"#,
        br#"{"v":1,"_diff":-1}"#,
        br#"{"_diff":1,"v":2}"#,
        br#"{"v":1,"_diff":2}"#,
        br#"{"v":1,"_deleted":true}"#,
    ];
    let decoded = decode(&[("v", "int64")], &[], &lines);
    assert_eq!(decoded.weights, Some(vec![1, -1, 1]));
    assert_eq!(decoded.errors.iter().map(|e| e.code).collect::<Vec<_>>(), ["out_of_range", "wrong_change"]);

    let columns = [("k", "utf8"), ("v", "int64"), ("s", "struct(x: list(int8), y: utf8)")];
    let lines: [&[u8]; 6] = [
        br#"{"k":"a","v":1,"s":{"x":[1],"y":""}}"#,
        br#"{"k":"a","_deleted":true}"#,
        br#"{"_deleted":true,"v":null,"s":null,"k":"b"}"#,
        br#"{"v":1,"_deleted":true}"#,
        br#"{"k":null,"_deleted":true}"#,
        br#"{"k":"a","v":1,"_diff":-1,"s":{"x":[],"y":""}}"#,
    ];
    let decoded = decode(&columns, &[0], &lines);
    assert_eq!(decoded.weights, Some(vec![1, -1, -1]));
    assert_eq!(
        decoded.errors.iter().map(|e| e.code).collect::<Vec<_>>(),
        ["missing_field", "missing_field", "wrong_change"]
    );
    assert_eq!(decode(&[("v", "int64")], &[], &[br#"{"v":1}"#]).weights, None);
}

#[test]
fn captured_columns_come_from_the_topic_only() {
    let columns = schema(&[("tool", "int64"), ("v", "utf8")]);
    let mut decoder = Decoder::new(columns, &[], Format::Json, &[0], DEFAULT_MAX_PAYLOAD).expect("a decoder");
    decoder.push(br#"{"tool":"not even a number","v":"x"}"#, &[(0, "7")]);
    decoder.push(br#"{"v":"x"}"#, &[(0, "seven")]);
    let decoded = decoder.finish();
    assert_eq!(decoded.rows.column(0).as_primitive::<Int64Type>().values(), &[7]);
    assert_eq!(decoded.errors[0].message, r#"`tool`: expected int64, found "seven""#);
}

#[test]
fn payloads_above_the_limit_are_shown_in_part() {
    let mut decoder = Decoder::new(schema(&[("v", "utf8")]), &[], Format::Json, &[], 2000).expect("a decoder");
    decoder.push(format!(r#"{{"v":"{}"}}"#, "x".repeat(2000)).as_bytes(), &[]);
    let decoded = decoder.finish();
    assert_eq!(decoded.errors[0].code, "too_large");
    assert_eq!(decoded.errors[0].message, "2008 bytes, and the limit is 2000; `max_payload` sets it");
    assert_eq!(decoded.errors[0].input.len(), 1024);
}

proptest! {
    #[test]
    fn floats_are_read_as_rust_reads_them(value in any::<f64>().prop_filter("finite", |v| v.is_finite()), text in "-?(0|[1-9][0-9]{0,25})(\\.[0-9]{1,25})?([eE][-+]?[0-9]{1,3})?") {
        for text in [format!("{value:?}"), format!("{value:e}"), text] {
            let expected: f64 = text.parse().expect("a float");
            let line = format!(r#"{{"v":{text}}}"#);
            let decoded = decode(&[("v", "float64")], &[], &[line.as_bytes()]);
            if expected.is_finite() {
                prop_assert_eq!(&decoded.errors, &[]);
                prop_assert_eq!(decoded.rows.column(0).as_primitive::<Float64Type>().value(0).to_bits(), expected.to_bits(), "{}", text);
            } else {
                prop_assert_eq!(decoded.errors[0].code, "out_of_range");
            }
        }
    }

    #[test]
    fn what_counts_as_json_is_what_serde_json_takes(text in r#"([\[\]{}:, ]|"[a\\"/bu0-9é]*"|-?[0-9.eE+]{1,5}|true|null){0,14}"#) {
        let line = format!(r#"{{"v":{text}}}"#);
        let decoded = decode(&[("v", "json?")], &[], &[line.as_bytes()]);
        let theirs = serde_json::from_str::<std::collections::BTreeMap<String, Box<serde_json::value::RawValue>>>(&line);
        prop_assert_eq!(decoded.errors.is_empty(), theirs.is_ok(), "{} {:?} {:?}", line, decoded.errors, theirs);
    }

    #[test]
    fn strings_are_read_as_serde_json_writes_them(text in any::<String>()) {
        let line = serde_json::json!({ "v": text }).to_string();
        let decoded = decode(&[("v", "utf8")], &[], &[line.as_bytes()]);
        prop_assert_eq!(decoded.rows.column(0).as_string::<i32>().value(0), text);
    }

    #[test]
    fn any_bytes_are_one_row_or_one_error(bytes in prop_oneof![prop::collection::vec(any::<u8>(), 0..80), r#"\{("[abx]"[:,]|[\[\]{}",:0-9.eE-]|\\u?[0-9a-f]|null|true| ){0,30}\}?"#.prop_map(String::into_bytes)]) {
        let columns = [("a", "struct(x: list(int8?), y: json?)?"), ("b", "utf8?"), ("c", "decimal(5,1)?"), ("d", "timestamp?")];
        let decoded = decode(&columns, &[], &[&bytes]);
        prop_assert_eq!(decoded.rows.num_rows() + decoded.errors.len(), 1);
    }
}
