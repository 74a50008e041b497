//! Files on a real disk.

mod support;

use arrow::record_batch::RecordBatch;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};
use support::{batch, driver, now, run};

/// Writes batches with the options and gives the file's text.
async fn written(yaml: &str, name: &str, batches: &[jarvis_runtime::closed::ClosedBatch]) -> String {
    let folder = tempfile::tempdir().unwrap();
    run(&mut *driver("file", yaml, folder.path()), batches).await.unwrap();
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing but the file is left");
    fs::read_to_string(folder.path().join(name)).unwrap()
}

fn parquet(path: &Path) -> Vec<RecordBatch> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(fs::File::open(path).unwrap()).unwrap().build().unwrap();
    reader.collect::<Result<_, _>>().unwrap()
}

async fn error(yaml: &str, folder: &Path) -> String {
    let batches = [batch(&[(1, "t0", 1, 1)])];
    format!("{:#}", run(&mut *driver("file", yaml, folder), &batches).await.unwrap_err())
}

#[tokio::test]
async fn changes_have_their_time_and_diff() {
    let batches = [batch(&[(1_000_000, "t0", 1, 1), (1_500_000, "t1", 2, 3)]), batch(&[(2_000_000, "t0", 1, -1)])];
    let json = r#"{"_time":"1970-01-01T00:00:01Z","_diff":1,"tool":"t0","over":1}
{"_time":"1970-01-01T00:00:01.5Z","_diff":3,"tool":"t1","over":2}
{"_time":"1970-01-01T00:00:02Z","_diff":-1,"tool":"t0","over":1}
"#;
    assert_eq!(written("{ path: o.jsonl, as: changes }", "o.jsonl", &batches).await, json);
    let csv = "_time,_diff,tool,over\n1970-01-01T00:00:01Z,1,t0,1\n1970-01-01T00:00:01.5Z,3,t1,2\n1970-01-01T00:00:02Z,-1,t0,1\n";
    assert_eq!(written("{ path: o.csv, as: changes }", "o.csv", &batches).await, csv);
}

#[tokio::test]
async fn state_is_the_sorted_final_table() {
    let batches =
        [batch(&[(1, "t1", 7, 2), (1, "t0", 10, 1), (1, "t0", 9, 1)]), batch(&[(2, "t0", 9, -1), (2, "t0", -3, 1)])];
    let json = r#"{"tool":"t0","over":-3}
{"tool":"t0","over":10}
{"tool":"t1","over":7}
{"tool":"t1","over":7}
"#;
    assert_eq!(written("{ path: o.jsonl, as: state }", "o.jsonl", &batches).await, json);
    assert_eq!(written("{ path: o.csv, as: state }", "o.csv", &[]).await, "tool,over\n");
    let folder = tempfile::tempdir().unwrap();
    run(&mut *driver("file", "{ path: o.parquet, as: state }", folder.path()), &batches).await.unwrap();
    let rows = parquet(&folder.path().join("o.parquet"));
    assert_eq!(rows.iter().map(RecordBatch::num_rows).sum::<usize>(), 4);
}

#[tokio::test]
async fn events_are_appended_with_their_ids() {
    let raised = [batch(&[(1_000_000, "t0", 1, 1)])];
    let cleared = [batch(&[(2_000_000, "t0", 1, 1), (3_000_000, "t0", 1, -1)])];
    let yaml = "{ path: o.jsonl, as: events, clear: true, key: [tool] }";
    let folder = tempfile::tempdir().unwrap();
    run(&mut *driver("file", yaml, folder.path()), &raised).await.unwrap();
    run(&mut *driver("file", yaml, folder.path()), &cleared).await.unwrap();
    let text = fs::read_to_string(folder.path().join("o.jsonl")).unwrap();
    let lines: Vec<serde_json::Value> = text.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(lines.len(), 3);
    assert_eq!((&lines[0]["event"], &lines[0]["tool"], &lines[0]["over"]), (&"raised".into(), &"t0".into(), &1.into()));
    assert_eq!(lines[2]["event"], "cleared");
    assert_eq!(lines[2]["of"], lines[1]["id"]);
    assert_eq!(lines[2].get("over"), None);
    assert_ne!(lines[0]["id"], lines[1]["id"]);
}

#[tokio::test]
async fn events_in_csv_and_parquet_have_a_column_for_each_field() {
    let batches = [batch(&[(1_000_000, "t0", 1, 1), (2_000_000, "t0", 1, -1)])];
    let folder = tempfile::tempdir().unwrap();
    for format in ["csv", "parquet"] {
        let yaml = format!("{{ path: o.{format}, as: events, clear: true, key: [tool] }}");
        for _ in 0..2 {
            run(&mut *driver("file", &yaml, folder.path()), &batches).await.unwrap();
        }
    }
    let text = fs::read_to_string(folder.path().join("o.csv")).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 5, "one header, two runs of two events");
    assert_eq!(lines[0], "event,id,of,time,tool,over");
    assert!(lines[1].starts_with("raised,") && lines[1].ends_with(",,1970-01-01T00:00:01Z,t0,1"), "{}", lines[1]);
    assert!(lines[2].starts_with("cleared,") && lines[2].ends_with(",1970-01-01T00:00:02Z,t0,"), "{}", lines[2]);
    let rows = parquet(&folder.path().join("o.parquet"));
    assert_eq!(rows.iter().map(RecordBatch::num_rows).sum::<usize>(), 4);
}

#[tokio::test]
async fn a_line_that_was_cut_off_is_ended_before_the_next() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("o.jsonl"), "{\"event\":\"rai").unwrap();
    let batches = [batch(&[(1, "t0", 1, 1)])];
    run(&mut *driver("file", "{ path: o.jsonl, as: events }", folder.path()), &batches).await.unwrap();
    let text = fs::read_to_string(folder.path().join("o.jsonl")).unwrap();
    assert_eq!(text.lines().count(), 2);
    assert!(text.starts_with("{\"event\":\"rai\n{\"event\":\"raised\""), "{text}");
}

#[tokio::test]
async fn a_csv_file_with_other_columns_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("o.csv"), "a,b\n1,2\n").unwrap();
    let error = error("{ path: o.csv, as: events }", folder.path()).await;
    assert!(error.contains("o.csv") && error.contains("a,b"), "{error}");
    assert_eq!(fs::read_to_string(folder.path().join("o.csv")).unwrap(), "a,b\n1,2\n");
}

#[tokio::test]
async fn a_folder_that_is_missing_is_named() {
    let folder = tempfile::tempdir().unwrap();
    for mode in ["changes", "state", "events"] {
        let error = error(&format!("{{ path: no/such/o.jsonl, as: {mode} }}"), folder.path()).await;
        assert!(error.contains("no/such") && error.contains("make it first"), "{error}");
    }
    fs::create_dir(folder.path().join("o.csv")).unwrap();
    let error = error("{ path: o.csv, as: changes }", folder.path()).await;
    assert!(error.contains("it is a folder"), "{error}");
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_full_disk_is_an_error_with_the_path() {
    for mode in ["changes", "state", "events"] {
        for format in ["json", "csv", "parquet"] {
            if (mode, format) == ("events", "parquet") {
                continue; // there is nothing to read in the device, and a copy comes first
            }
            let yaml = format!("{{ path: /dev/full, as: {mode}, format: {format} }}");
            let error = error(&yaml, Path::new("/")).await;
            assert!(error.contains("/dev/full") && error.contains("No space left"), "{mode} {format}: {error}");
        }
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_disk_that_fills_up_stops_a_long_run() {
    let mut driver = driver("file", "{ path: /dev/full, as: changes, format: json }", Path::new("/"));
    driver.open().await.unwrap();
    let much = batch(&vec![(1, "a long enough name of a tool", 1, 1); 10_000]);
    let mut failed = None;
    for _ in 0..20 {
        failed = driver.write(&much).await.err();
        if failed.is_some() {
            break;
        }
    }
    let error = format!("{:#}", failed.expect("write reports the error, and not only finish"));
    assert!(error.contains("/dev/full") && error.contains("No space left"), "{error}");
}

/// Waits for a condition; the sink has a second to do what it does at most once a second.
async fn soon(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_live_file_can_be_read_while_it_grows() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("o.jsonl");
    let lines = || fs::read_to_string(&path).unwrap_or_default().lines().count();
    for mode in ["changes", "events", "state"] {
        let _ = fs::remove_file(&path);
        let mut driver = driver("file", &format!("{{ path: o.jsonl, as: {mode} }}"), folder.path());
        driver.open().await.unwrap();
        for n in 1..=2 {
            driver.write(&batch(&[(now(), "t0", n, 1)])).await.unwrap();
            soon(mode, || lines() == n as usize).await;
        }
        driver.finish().await.unwrap();
        assert_eq!(lines(), 2);
    }
}

#[tokio::test]
async fn a_killed_run_leaves_the_old_table() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("o.jsonl"), "old\n").unwrap();
    let mut driver = driver("file", "{ path: o.jsonl, as: state }", folder.path());
    driver.open().await.unwrap();
    driver.write(&batch(&[(1, "t0", 1, 1)])).await.unwrap();
    drop(driver);
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(fs::read_to_string(folder.path().join("o.jsonl")).unwrap(), "old\n");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing but the file is left");
}

#[tokio::test]
async fn the_lineage_can_be_queried_afterwards() {
    let folder = tempfile::tempdir().unwrap();
    let batches = [batch(&[(1_000_000, "t0", 1, 1)]), batch(&[(2_000_000, "t0", 1, -1)])];
    run(&mut *driver("lineage", "{}", folder.path()), &batches).await.unwrap();
    let sql = "SELECT _diff, tool FROM lineage.heat.hot ORDER BY _time";
    let answer = jarvis_lineage::query(&folder.path().join("data"), sql).await.unwrap();
    let mut text = Vec::new();
    jarvis_lineage::write("csv".parse().unwrap(), &answer, &mut text).unwrap();
    assert_eq!(String::from_utf8(text).unwrap(), "_diff,tool\n1,t0\n-1,t0\n");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    /// The table is the sum of the changes, however they are cut into batches.
    #[test]
    fn a_table_is_the_sum_of_its_changes(rows in proptest::collection::vec((0..4_i64, -2..4_i64), 0..60), cut in 1..9_usize) {
        let mut sums: BTreeMap<i64, i64> = BTreeMap::new();
        let mut changes = Vec::new();
        for (i, (over, diff)) in rows.into_iter().enumerate() {
            let sum = sums.entry(over).or_default();
            let diff = diff.max(-*sum);
            *sum += diff;
            if diff != 0 {
                changes.push((i as u64 + 1, "t", over, diff));
            }
        }
        let batches: Vec<_> = changes.chunks(cut).map(batch).collect();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let text = runtime.block_on(written("{ path: o.csv, as: state }", "o.csv", &batches));
        let lines = sums.into_iter().flat_map(|(over, n)| vec![format!("t,{over}\n"); n as usize]);
        prop_assert_eq!(text, format!("tool,over\n{}", lines.collect::<String>()));
    }
}
