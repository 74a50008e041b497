use super::*;
use crate::testing::{schema, texts};
use arrow::array::*;
use std::sync::Arc;

fn apply(columns: Vec<(&str, ArrayRef)>, declared: &[(&str, &str)], key: &[usize]) -> Decoded {
    let batch = RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, array)| (name, array, true)))
        .expect("a batch");
    let layout = Layout { schema: schema(declared), key: key.to_vec(), limit: 0 };
    let conform = Conform::new(&batch.schema(), &layout).expect("the columns fit");
    conform.apply(&batch.project(&conform.roots()).expect("columns"))
}

#[test]
fn columns_are_found_by_name_and_cast() {
    let time = TimestampNanosecondArray::from(vec![1_763_800_000_500_000_999]).with_timezone("Europe/Berlin");
    let decoded = apply(
        vec![
            ("unused", Arc::new(NullArray::new(1))),
            ("ms", Arc::new(Int32Array::from(vec![1500]))),
            ("s", Arc::new(Int64Array::from(vec![1_763_800_000]))),
            ("time", Arc::new(time)),
            ("text", Arc::new(LargeStringArray::from(vec!["7"]))),
            ("small", Arc::new(Int16Array::from(vec![3]))),
        ],
        &[
            ("small", "int64"),
            ("text", "int8"),
            ("time", "timestamp"),
            ("s", "timestamp(s)"),
            ("ms", "timestamp"),
            ("more", "utf8?"),
        ],
        &[],
    );
    assert_eq!(texts(&decoded), ["3|7|2025-11-22T08:26:40.500|2025-11-22T08:26:40|1970-01-01T00:00:01.500|null"]);
}

#[test]
fn values_that_do_not_fit_are_error_rows() {
    let decoded = apply(
        vec![
            ("n", Arc::new(Int64Array::from(vec![Some(1), Some(300), None, Some(4), Some(5)]))),
            ("f", Arc::new(Float64Array::from(vec![Some(1.0), Some(f64::NAN), Some(1.0), Some(f64::INFINITY), None]))),
        ],
        &[("n", "int8"), ("f", "float64?")],
        &[],
    );
    assert_eq!(texts(&decoded), ["1|1.0", "5|null"]);
    let errors: Vec<_> = decoded.errors.iter().map(|e| (e.code, e.input.as_str())).collect();
    assert_eq!(
        errors,
        [("out_of_range", "n=300, f=NaN"), ("missing_field", "n=, f=1.0"), ("not_finite", "n=4, f=inf")]
    );
}

#[test]
fn columns_of_changes_become_weights() {
    let diff: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), Some(-1), None, Some(2)]));
    let n: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 3, 4]));
    let decoded = apply(vec![("n", n.clone()), ("_diff", diff)], &[("n", "int64")], &[]);
    assert_eq!(texts(&decoded), ["1", "-2", "3"]);
    assert_eq!(decoded.errors[0].code, "wrong_change");

    let deleted: ArrayRef = Arc::new(BooleanArray::from(vec![false, true, false, true]));
    let text: ArrayRef = Arc::new(StringArray::from(vec![Some("a"), None, None, Some("d")]));
    let decoded = apply(vec![("n", n), ("_deleted", deleted), ("t", text)], &[("n", "int64"), ("t", "utf8")], &[0]);
    assert_eq!(texts(&decoded), ["1|a", "-2|", "-4|d"]);
    assert_eq!(decoded.errors[0].code, "missing_field");
}

#[test]
fn columns_that_cannot_fit_are_refused_by_name() {
    let file = Schema::new(vec![Field::new("a", DataType::Struct(Fields::empty()), true)]);
    let refused = |declared: &[(&str, &str)]| {
        Conform::new(&file, &Layout { schema: schema(declared), key: vec![], limit: 0 })
            .err()
            .expect("refused")
            .to_string()
    };
    assert_eq!(refused(&[("b", "int64")]), "it has no column `b`, which must not be null");
    assert!(refused(&[("a", "int64?")]).starts_with("its column `a` is Struct"));
}
