//! Rows of every type against `serde_json`.

use super::*;
use arrow::array::*;
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, Field, Int32Type, Schema};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::Arc;

fn written(columns: Vec<(Field, ArrayRef)>, row: usize, extra: &[(&str, JsonCell)]) -> String {
    let (fields, arrays): (Vec<_>, Vec<_>) = columns.into_iter().unzip();
    let schema = Arc::new(Schema::new(fields));
    let writer = JsonRow::new(&schema).unwrap();
    let batch = RecordBatch::try_new(schema, arrays).unwrap();
    let mut out = b"before".to_vec();
    writer.write(&batch, row, extra, &mut out);
    String::from_utf8(out).unwrap().strip_prefix("before").unwrap().to_owned()
}

fn one(array: impl Array + 'static) -> String {
    let field = Field::new("v", array.data_type().clone(), true);
    let text = written(vec![(field, Arc::new(array))], 0, &[]);
    text.strip_prefix("{\"v\":").unwrap().strip_suffix('}').unwrap().to_owned()
}

proptest! {
    /// The very text that `serde_json` gives for the same values.
    #[test]
    fn plain_rows_are_written_as_serde_json_writes_them(
        rows in vec((option::of(any::<i64>()), any::<u64>(), option::of(any::<f64>()), any::<f32>(), option::of(".*"), any::<bool>()), 1..20),
        name in ".*",
    ) {
        let columns: Vec<(Field, ArrayRef)> = vec![
            (Field::new(&name, DataType::Int64, true), Arc::new(rows.iter().map(|r| r.0).collect::<Int64Array>())),
            (Field::new("u", DataType::UInt64, true), Arc::new(rows.iter().map(|r| r.1).collect::<UInt64Array>())),
            (Field::new("d", DataType::Float64, true), Arc::new(rows.iter().map(|r| r.2).collect::<Float64Array>())),
            (Field::new("f", DataType::Float32, true), Arc::new(rows.iter().map(|r| r.3).collect::<Float32Array>())),
            (Field::new("s", DataType::Utf8, true), Arc::new(rows.iter().map(|r| r.4.clone()).collect::<StringArray>())),
            (Field::new("b", DataType::Boolean, true), Arc::new(rows.iter().map(|r| Some(r.5)).collect::<BooleanArray>())),
        ];
        for (i, (n, u, d, f, s, b)) in rows.iter().enumerate() {
            let text = |v: &dyn erased::ToJson| v.to_json();
            let expected = format!(
                "{{\"_diff\":-1,{}:{},\"u\":{},\"d\":{},\"f\":{},\"s\":{},\"b\":{}}}",
                text(&name), text(n), text(u), text(d), text(f), text(s), text(b),
            );
            prop_assert_eq!(written(columns.clone(), i, &[("_diff", JsonCell::Int(-1))]), expected);
        }
    }

    #[test]
    fn lists_of_structs_read_back_as_the_same_value(rows in vec(option::of(vec(option::of((any::<i32>(), ".*")), 0..4)), 1..8)) {
        let fields: Fields = vec![Field::new("n", DataType::Int32, true), Field::new("t", DataType::Utf8, true)].into();
        let items: Vec<_> = rows.iter().flatten().flatten().collect();
        let columns: Vec<ArrayRef> = vec![
            Arc::new(items.iter().map(|i| i.as_ref().map(|i| i.0)).collect::<Int32Array>()),
            Arc::new(items.iter().map(|i| i.as_ref().map(|i| i.1.clone())).collect::<StringArray>()),
        ];
        let present = items.iter().map(|i| i.is_some()).collect::<NullBuffer>();
        let item = Arc::new(Field::new("item", DataType::Struct(fields.clone()), true));
        let list = ListArray::new(
            item,
            OffsetBuffer::from_lengths(rows.iter().map(|r| r.as_ref().map_or(0, Vec::len))),
            Arc::new(StructArray::new(fields, columns, Some(present))),
            Some(rows.iter().map(|r| r.is_some()).collect::<NullBuffer>()),
        );
        for (i, row) in rows.iter().enumerate() {
            let field = Field::new("l", list.data_type().clone(), true);
            let text = written(vec![(field, Arc::new(list.clone()))], i, &[]);
            let object = |item: &Option<(i32, String)>| item.as_ref().map(|(n, t)| json!({ "n": n, "t": t }));
            let expected = json!({ "l": row.as_ref().map(|items| items.iter().map(object).collect::<Vec<_>>()) });
            prop_assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), expected);
        }
    }

    #[test]
    fn a_json_column_is_embedded_or_else_a_string(text in prop_oneof![r#"[ -~\n]{0,12}"#, r#"\{"a":[\n 0-9,]{0,8}\}"#, "[0-9]{1,3}"]) {
        let json = Field::new("j", DataType::Utf8, true)
            .with_metadata(HashMap::from([(jarvis_spec::schema::TYPE_KEY.to_owned(), "json".to_owned())]));
        let line = written(vec![(json, Arc::new(StringArray::from(vec![text.as_str()])))], 0, &[]);
        prop_assert!(!line.contains('\n'));
        let expected = serde_json::from_str::<Value>(&text).unwrap_or(Value::String(text));
        prop_assert_eq!(serde_json::from_str::<Value>(&line).unwrap(), json!({ "j": expected }));
    }
}

/// `serde_json` text of a value whose type does not matter.
mod erased {
    pub trait ToJson {
        fn to_json(&self) -> String;
    }
    impl<T: serde::Serialize> ToJson for T {
        fn to_json(&self) -> String {
            serde_json::to_string(self).unwrap()
        }
    }
}

#[test]
fn numbers_keep_what_they_are() {
    assert_eq!(one(Int64Array::from(vec![i64::MIN])), "-9223372036854775808");
    assert_eq!(one(Float64Array::from(vec![30.0])), "30.0");
    assert_eq!(one(Float64Array::from(vec![f64::NAN])), "null");
    assert_eq!(one(Float64Array::from(vec![f64::NEG_INFINITY])), "null");
    assert_eq!(one(Decimal128Array::from(vec![1230]).with_precision_and_scale(10, 2).unwrap()), "12.30");
    assert_eq!(one(NullArray::new(1)), "null");
}

#[test]
fn times_are_text() {
    assert_eq!(one(TimestampMicrosecondArray::from(vec![1_795_341_600_500_000])), "\"2026-11-22T10:00:00.5Z\"");
    assert_eq!(one(TimestampMillisecondArray::from(vec![500]).with_timezone("+02:00")), "\"1970-01-01T00:00:00.5Z\"");
    assert_eq!(one(Date32Array::from(vec![20_779])), "\"2026-11-22\"");
    assert_eq!(one(Time64MicrosecondArray::from(vec![36_000_500_000])), "\"10:00:00.5\"");
    assert_eq!(one(DurationMillisecondArray::from(vec![1_500])), "\"PT1.5S\"");
    let interval = arrow::datatypes::IntervalMonthDayNano::new(1, 3, 4_500_000_000);
    assert_eq!(one(IntervalMonthDayNanoArray::from(vec![interval])), "\"P1M3DT4.5S\"");
}

#[test]
fn bytes_are_base64_and_views_are_text() {
    assert_eq!(one(BinaryArray::from(vec![&b"foo"[..]])), "\"Zm9v\"");
    assert_eq!(one(StringViewArray::from(vec!["a \"b\""])), r#""a \"b\"""#);
}

#[test]
fn a_dictionary_is_its_values_and_a_map_an_object() {
    let dictionary: DictionaryArray<Int32Type> = vec![Some("a"), None].into_iter().collect();
    assert_eq!(one(dictionary.clone()), "\"a\"");
    assert_eq!(one(dictionary.slice(1, 1)), "null");
    let mut map = MapBuilder::new(None, StringBuilder::new(), Int64Builder::new());
    map.keys().append_value("x");
    map.values().append_value(1);
    map.keys().append_value("x");
    map.values().append_value(2);
    map.append(true).unwrap();
    assert_eq!(one(map.finish()), r#"{"x":1}"#);
}

#[test]
fn extra_values_come_first() {
    let column = (Field::new("tool", DataType::Utf8, true), Arc::new(StringArray::from(vec!["t0"])) as ArrayRef);
    let extra = [("event", JsonCell::Text("raised")), ("time", JsonCell::Time(500_000)), ("of", JsonCell::Null)];
    let expected = r#"{"event":"raised","time":"1970-01-01T00:00:00.5Z","of":null,"tool":"t0"}"#;
    assert_eq!(written(vec![column], 0, &extra), expected);
}

#[test]
fn a_type_without_a_form_is_refused() {
    let runs = DataType::RunEndEncoded(
        Arc::new(Field::new("run_ends", DataType::Int32, false)),
        Arc::new(Field::new("values", DataType::Utf8, true)),
    );
    let error = JsonRow::new(&Schema::new(vec![Field::new("r", runs, true)])).unwrap_err();
    assert!(error.to_string().contains("`r`"), "{error}");
}
