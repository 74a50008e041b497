//! What is recorded can be queried.

use arrow::array::{ArrayRef, AsArray, Int64Array, StringArray};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use jarvis_lineage::{QueryError, RecordError, Recorder, ResultFormat, Roll, query, write};
use jarvis_runtime::closed::ClosedBatch;
use proptest::prelude::*;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("tool", DataType::Utf8, false), Field::new("n", DataType::Int64, true)]))
}

/// Rows `(time, tool, n, diff)`.
fn batch(rows: &[(u64, &str, i64, i64)]) -> ClosedBatch {
    let columns: Vec<ArrayRef> = vec![
        Arc::new(rows.iter().map(|r| Some(r.1)).collect::<StringArray>()),
        Arc::new(rows.iter().map(|r| Some(r.2)).collect::<Int64Array>()),
    ];
    ClosedBatch {
        lower: rows.first().map_or(0, |r| r.0),
        upper: rows.last().map_or(0, |r| r.0 + 1),
        rows: RecordBatch::try_new(schema(), columns).unwrap(),
        times: rows.iter().map(|r| r.0).collect(),
        diffs: rows.iter().map(|r| r.3).collect(),
    }
}

fn recorder(data: &Path, rows: usize) -> Recorder {
    Recorder::new(data, "heat.hot", &schema(), Roll { rows, ..Roll::default() }).unwrap()
}

async fn lines(data: &Path, sql: &str) -> String {
    let batches = query(data, sql).await.unwrap();
    let mut out = Vec::new();
    write("json".parse().unwrap(), &batches, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn parts(data: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(data.join("streams/heat/hot")).unwrap();
    let names = entries.map(|e| e.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|name| name.starts_with("part-")).collect();
    names.sort();
    names
}

#[tokio::test]
async fn a_recorded_stream_is_a_table() {
    let data = tempfile::tempdir().unwrap();
    let mut recorder = recorder(data.path(), 100_000);
    recorder.append(&batch(&[(1_000_000, "t0", 1, 1), (1_500_000, "t1", 2, 1)])).unwrap();
    recorder.append(&batch(&[(2_000_000, "t0", 1, -1)])).unwrap();
    recorder.finish().unwrap();
    assert_eq!(parts(data.path()), ["part-00000000000001000000-00000000000002000001.parquet"]);
    let told = lines(data.path(), "SELECT * FROM lineage.heat.hot ORDER BY _time").await;
    let expected = r#"{"_time":"1970-01-01T00:00:01Z","_diff":1,"tool":"t0","n":1}
{"_time":"1970-01-01T00:00:01.5Z","_diff":1,"tool":"t1","n":2}
{"_time":"1970-01-01T00:00:02Z","_diff":-1,"tool":"t0","n":1}
"#;
    assert_eq!(told, expected);
    let view = "SELECT tool, n FROM heat.hot GROUP BY tool, n HAVING sum(_diff) > 0";
    assert_eq!(lines(data.path(), view).await, "{\"tool\":\"t1\",\"n\":2}\n");
    let tables = "SELECT table_name FROM information_schema.tables WHERE table_schema = 'heat'";
    assert_eq!(lines(data.path(), tables).await, "{\"table_name\":\"hot\"}\n");
}

#[tokio::test]
async fn parts_are_rolled_by_rows_and_by_age() {
    let data = tempfile::tempdir().unwrap();
    let mut by_rows = recorder(data.path(), 2);
    by_rows.append(&batch(&[(1, "a", 1, 1), (2, "b", 1, 1)])).unwrap();
    by_rows.append(&batch(&[(3, "c", 1, 1)])).unwrap();
    assert_eq!(parts(data.path()).len(), 2);
    by_rows.finish().unwrap();
    let roll = Roll { rows: 100, age: Duration::from_millis(5) };
    let mut by_age = Recorder::new(data.path(), "heat.hot", &schema(), roll).unwrap();
    assert_eq!(by_age.deadline(), None);
    by_age.append(&batch(&[(4, "d", 1, 1)])).unwrap();
    assert!(by_age.deadline().is_some());
    by_age.roll().unwrap();
    assert_eq!(by_age.deadline(), None);
    assert_eq!(lines(data.path(), "SELECT count(*) AS n FROM heat.hot").await, "{\"n\":4}\n");
}

#[tokio::test]
async fn an_unfinished_part_is_not_read_and_is_cleared_away() {
    let data = tempfile::tempdir().unwrap();
    let mut killed = recorder(data.path(), 100);
    killed.append(&batch(&[(1, "a", 1, 1)])).unwrap();
    drop(killed);
    assert_eq!(parts(data.path()), ["part-00000000000000000001.unfinished"]);
    let missing = query(data.path(), "SELECT * FROM heat.hot").await.unwrap_err();
    assert!(missing.to_string().contains("heat.hot"), "{missing}");
    recorder(data.path(), 100).finish().unwrap();
    assert!(parts(data.path()).is_empty());
}

#[tokio::test]
async fn a_corrupt_part_is_named() {
    let data = tempfile::tempdir().unwrap();
    let mut recorder = recorder(data.path(), 1);
    recorder.append(&batch(&[(1, "a", 1, 1)])).unwrap();
    recorder.append(&batch(&[(2, "b", 1, 1)])).unwrap();
    recorder.finish().unwrap();
    let name = &parts(data.path())[1];
    for damage in [&b"not a parquet file at all"[..], &[]] {
        std::fs::write(data.path().join("streams/heat/hot").join(name), damage).unwrap();
        let error = query(data.path(), "SELECT * FROM heat.hot").await.unwrap_err();
        assert!(matches!(error, QueryError::Sql(_)));
        assert!(error.to_string().contains(name), "{error}");
    }
}

#[tokio::test]
async fn a_column_added_later_is_null_before() {
    let data = tempfile::tempdir().unwrap();
    let mut old = recorder(data.path(), 100);
    old.append(&batch(&[(1, "a", 1, 1)])).unwrap();
    old.finish().unwrap();
    let wider = Schema::new(vec![Field::new("tool", DataType::Utf8, false), Field::new("zone", DataType::Utf8, false)]);
    let mut new = Recorder::new(data.path(), "heat.hot", &wider, Roll::default()).unwrap();
    let columns: Vec<ArrayRef> =
        vec![Arc::new(StringArray::from(vec!["b"])), Arc::new(StringArray::from(vec!["east"]))];
    let rows = RecordBatch::try_new(Arc::new(wider), columns).unwrap();
    new.append(&ClosedBatch { lower: 2, upper: 3, rows, times: vec![2], diffs: vec![1] }).unwrap();
    new.finish().unwrap();
    let told = lines(data.path(), "SELECT tool, n, zone FROM heat.hot ORDER BY tool").await;
    assert_eq!(told, "{\"tool\":\"a\",\"n\":1,\"zone\":null}\n{\"tool\":\"b\",\"n\":null,\"zone\":\"east\"}\n");
}

#[tokio::test]
async fn only_reading_is_allowed_and_no_lineage_is_said_so() {
    let data = tempfile::tempdir().unwrap();
    let nothing = query(data.path(), "SELECT 1").await.unwrap_err();
    assert!(nothing.to_string().contains("--data"), "{nothing}");
    recorder(data.path(), 1).append(&batch(&[(1, "a", 1, 1)])).unwrap();
    for sql in
        ["CREATE TABLE t AS SELECT 1", "COPY heat.hot TO '/tmp/x.csv'", "SET datafusion.execution.batch_size = 1"]
    {
        assert!(query(data.path(), sql).await.is_err(), "{sql}");
    }
    let outside = query(data.path(), r#"SELECT * FROM lineage.".."."hot""#).await;
    assert!(outside.is_err());
}

#[tokio::test]
async fn an_empty_result_keeps_its_columns() {
    let data = tempfile::tempdir().unwrap();
    recorder(data.path(), 1).append(&batch(&[(1, "a", 1, 1)])).unwrap();
    let none = query(data.path(), "SELECT tool FROM heat.hot WHERE n > 5").await.unwrap();
    let mut csv = Vec::new();
    write("csv".parse().unwrap(), &none, &mut csv).unwrap();
    assert_eq!(csv, b"tool\n");
    let mut table = Vec::new();
    write(ResultFormat::Table, &none, &mut table).unwrap();
    assert!(String::from_utf8(table).unwrap().ends_with("0 rows\n"));
    assert!("xml".parse::<ResultFormat>().unwrap_err().contains("csv"));
}

#[test]
fn a_stream_is_recorded_by_one_at_a_time() {
    let data = tempfile::tempdir().unwrap();
    let first = recorder(data.path(), 1);
    let second = Recorder::new(data.path(), "heat.hot", &schema(), Roll::default());
    assert!(matches!(second, Err(RecordError::Busy(_))));
    drop(first);
    recorder(data.path(), 1);
}

#[test]
fn a_name_that_leaves_the_folder_is_refused() {
    let data = tempfile::tempdir().unwrap();
    for name in ["hot", "..", "a.", ".b", "../x.y", "a./b"] {
        assert!(Recorder::new(data.path(), name, &schema(), Roll::default()).is_err(), "{name}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_folder_that_cannot_be_made_is_named() {
    let error = Recorder::new(Path::new("/proc/nowhere"), "a.b", &schema(), Roll::default()).err().unwrap();
    assert!(error.to_string().contains("/proc/nowhere/streams/a/b"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// The sum over the table is the sum over what was appended, however it was cut into parts.
    #[test]
    fn the_lineage_sums_up_to_the_stream(diffs in proptest::collection::vec((0..3_i64, -2..3_i64), 1..40), rows in 1..20_usize) {
        let data = tempfile::tempdir().unwrap();
        let mut recorder = recorder(data.path(), rows);
        for (i, (n, diff)) in diffs.iter().enumerate() {
            recorder.append(&batch(&[(1 + i as u64, "a", *n, *diff)])).unwrap();
        }
        recorder.finish().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        for n in 0..3 {
            let sql = format!("SELECT coalesce(sum(_diff), 0) FROM heat.hot WHERE n = {n}");
            let batches = runtime.block_on(query(data.path(), &sql)).unwrap();
            let sum = batches[0].column(0).as_primitive::<Int64Type>().value(0);
            prop_assert_eq!(sum, diffs.iter().filter(|d| d.0 == n).map(|d| d.1).sum::<i64>());
        }
    }
}
