use super::*;
use crate::testing::*;
use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;
use proptest::prelude::*;
use std::fs;
use std::io::Write;
use tempfile::TempDir;

const COLUMNS: [(&str, &str); 2] = [("n", "int64"), ("text", "utf8")];

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

fn read(folder: &TempDir, name: &str, contents: &[u8]) -> Vec<Decoded> {
    fs::write(folder.path().join(name), contents).expect("written");
    let stream = stream(&COLUMNS, &[]);
    read_all(&*bounded(&FileSource, &stream, &format!("{{ path: {name} }}"), folder.path()))
}

#[test]
fn lines_are_rows_whatever_ends_them() {
    let folder = folder();
    let text = "\u{feff}{\"n\":1,\"text\":\"a\"}\r\n\n  \r\n{\"n\":2,\"text\":\"b\"}\noops\n{\"n\":3,\"text\":\"c\"}";
    let batches = read(&folder, "rows.jsonl", text.as_bytes());
    assert_eq!(all_texts(&batches), ["1|a", "2|b", "3|c"]);
    assert_eq!(codes(&batches), ["json_syntax"]);
    let batches =
        read(&folder, "rows.csv", "\u{feff}text,more, n\r\na,x,1\r\n\"b\nb\",y,2\nc,z,three\n\nd\nc,z,3".as_bytes());
    assert_eq!(all_texts(&batches), ["1|a", "2|b\nb", "3|c"]);
    assert_eq!(codes(&batches), ["wrong_format", "wrong_length"]);
}

#[test]
fn empty_files_have_no_rows() {
    let folder = folder();
    for (name, contents) in
        [("a.json", ""), ("a.json", "\u{feff}\n\n"), ("a.csv", ""), ("a.csv", "\n\n"), ("a.csv", "n,text\n")]
    {
        let batches = read(&folder, name, contents.as_bytes());
        assert_eq!((all_texts(&batches).len(), codes(&batches).len()), (0, 0), "{name} {contents:?}");
    }
}

/// About a megabyte, so that there are several chunks.
#[test]
fn chunks_cut_between_rows() {
    let folder = folder();
    let row = |n: usize| (n, format!("{}\n\"{n},", "x".repeat(n * 7919 % 200)));
    let rows: Vec<_> = (0..8000).map(row).collect();
    let expected: Vec<_> = rows.iter().map(|(n, text)| format!("{n}|{text}")).collect();

    let lines: Vec<String> =
        rows.iter().map(|(n, text)| serde_json::json!({ "n": n, "text": text }).to_string()).collect();
    let batches = read(&folder, "rows.ndjson", lines.join("\n").as_bytes());
    assert!(batches.len() > 3, "{} chunks", batches.len());
    assert_eq!(all_texts(&batches), expected);

    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(["n", "text"]).expect("written");
    rows.iter().for_each(|(n, text)| writer.write_record([&n.to_string(), text]).expect("written"));
    let batches = read(&folder, "rows.csv", &writer.into_inner().expect("written"));
    assert!(batches.len() > 3, "{} chunks", batches.len());
    assert_eq!(all_texts(&batches), expected);
    assert_eq!(codes(&batches), [""; 0]);
}

#[test]
fn a_line_of_megabytes_is_one_error() {
    let folder = folder();
    let long = "x".repeat(3_000_000);
    let batches = read(
        &folder,
        "rows.json",
        format!("{{\"n\":1,\"text\":\"a\"}}\n{{\"n\":2,\"text\":\"{long}\"}}\n{{\"n\":3,\"text\":\"c\"}}").as_bytes(),
    );
    assert_eq!(all_texts(&batches), ["1|a", "3|c"]);
    assert_eq!(codes(&batches), ["too_large"]);
    let error = batches.iter().flat_map(|batch| &batch.errors).next().expect("an error");
    assert_eq!(error.message, "3000017 bytes, and the limit is 65536; `max_payload` sets it");
    assert!(error.input.starts_with("{\"n\":2,") && error.input.len() == 1024);
}

#[test]
fn a_quote_that_is_never_closed_does_not_swallow_the_file() {
    let folder = folder();
    let mut text = "n,text\n1,\"a\"\n2,\"open\n".to_owned();
    (0..100_000).for_each(|n| text.push_str(&format!("{n},row\n")));
    let batches = read(&folder, "rows.csv", text.as_bytes());
    let rows = all_texts(&batches);
    assert_eq!(codes(&batches), ["too_large"]);
    assert_eq!(rows.first().map(String::as_str), Some("1|a"));
    assert_eq!(rows.last().map(String::as_str), Some("99999|row"));
    assert!(rows.len() > 90_000, "{} rows", rows.len());
}

#[test]
fn a_file_that_becomes_shorter_is_an_error_row() {
    let folder = folder();
    let path = folder.path().join("rows.jsonl");
    fs::write(&path, "{\"n\":1,\"text\":\"a\"}\n".repeat(3)).expect("written");
    let source = bounded(&FileSource, &stream(&COLUMNS, &[]), "{ path: rows.jsonl }", folder.path());
    fs::write(&path, "{\"n\":1").expect("written");
    let batches = read_all(&*source);
    assert_eq!(codes(&batches), ["file"]);
    assert!(batches[0].errors[0].message.ends_with("the file has become shorter while it was read"));
}

#[test]
fn files_that_cannot_be_read_are_findings() {
    let folder = folder();
    fs::write(folder.path().join("a.csv"), "n,words\n").expect("written");
    fs::write(folder.path().join("b.csv"), "n,text,n\n").expect("written");
    fs::write(folder.path().join("c.parquet"), "no parquet").expect("written");
    fs::create_dir(folder.path().join("d.json")).expect("made");
    for (yaml, code) in [
        ("{ path: none.jsonl }", "file_not_found"),
        ("{ path: none.csv, watch: true }", "file_not_found"),
        ("{ path: rows.txt }", "file_format"),
        ("{ path: a.csv }", "file_header"),
        ("{ path: b.csv }", "file_header"),
        ("{ path: c.parquet }", "file_parquet"),
        ("{ path: d.json }", "file"),
        ("{ path: a.csv, formt: csv }", "unknown_key"),
        ("{ format: csv }", "missing_key"),
    ] {
        let finding = plan(&FileSource, &stream(&COLUMNS, &[]), yaml, folder.path()).err().expect(yaml);
        assert_eq!(finding.code, code, "{finding}");
        assert!(finding.span.is_some(), "{finding}");
    }
}

fn parquet(folder: &TempDir, name: &str, columns: Vec<(&str, ArrayRef)>, group: usize) {
    let batch = RecordBatch::try_from_iter(columns).expect("a batch");
    let properties = WriterProperties::builder().set_max_row_group_row_count(Some(group)).build();
    let file = fs::File::create(folder.path().join(name)).expect("created");
    let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties)).expect("a writer");
    writer.write(&batch).expect("written");
    writer.close().expect("closed");
}

#[test]
fn parquet_is_read_in_chunks_by_many_threads() {
    let folder = folder();
    let count = 100_000_i64;
    let text = StringArray::from_iter_values((0..count).map(|n| format!("row {n}")));
    parquet(
        &folder,
        "rows.parquet",
        vec![("text", Arc::new(text)), ("n", Arc::new(Int64Array::from_iter_values(0..count)))],
        40_000,
    );
    let source = bounded(&FileSource, &stream(&COLUMNS, &[]), "{ path: rows.parquet }", folder.path());
    let read = || {
        std::iter::from_fn(|| source.next_chunk()).map(|chunk| (chunk.index, source.decode(&chunk))).collect::<Vec<_>>()
    };
    let mut batches = std::thread::scope(|scope| {
        let threads = [scope.spawn(read), scope.spawn(read)];
        threads.into_iter().flat_map(|thread| thread.join().expect("it does not panic")).collect::<Vec<_>>()
    });
    batches.sort_by_key(|(index, _)| *index);
    let batches: Vec<_> = batches.into_iter().map(|(_, decoded)| decoded).collect();
    assert_eq!(codes(&batches), [""; 0]);
    assert_eq!(all_texts(&batches), (0..count).map(|n| format!("{n}|row {n}")).collect::<Vec<_>>());
}

#[test]
fn a_parquet_file_knows_its_schema() {
    let folder = folder();
    let columns: Vec<(&str, ArrayRef)> =
        vec![("a", Arc::new(Float64Array::from(vec![1.5]))), ("_diff", Arc::new(Int64Array::from(vec![-1])))];
    parquet(&folder, "rows.parquet", columns, 10);
    let infer = |yaml: &str| FileSource.infer_schema(&options(yaml), &context(folder.path()));
    let inferred = infer("{ path: rows.parquet }").expect("it knows").expect("readable");
    assert_eq!(inferred.fields().iter().map(|f| f.name().as_str()).collect::<Vec<_>>(), ["a"]);
    let stream = StreamSpec { schema: inferred, ..stream(&COLUMNS, &[]) };
    let batches = read_all(&*bounded(&FileSource, &stream, "{ path: rows.parquet }", folder.path()));
    assert_eq!(all_texts(&batches), ["-1.5"]);
    assert!(infer("{ path: rows.csv }").is_none());
    assert!(infer("{ path: none.parquet }").expect("it should").is_err());
}

#[tokio::test]
async fn edits_of_a_watched_table_become_changes() {
    let folder = folder();
    let path = folder.path().join("limits.csv");
    fs::write(&path, "tool,limit\na,1\nb,2\n").expect("written");
    let columns = [("tool", "utf8"), ("limit", "int64")];
    let mut running = start(&FileSource, &stream(&columns, &[0]), "{ path: limits.csv, watch: true }", folder.path());
    assert_eq!(texts(&running.next().await), ["a|1", "b|2"]);

    fs::write(&path, "tool,limit\nb,3\nc,4\n").expect("written");
    assert_eq!(texts(&running.next().await), ["-a|1", "b|3", "c|4"]);

    // As editors save: another file takes the place.
    let mut other = tempfile::NamedTempFile::new_in(folder.path()).expect("a file");
    other.write_all(b"tool,limit\nb,3\nc,5\n").expect("written");
    other.persist(&path).expect("renamed");
    assert_eq!(texts(&running.next().await), ["c|5"]);

    // A broken edit changes nothing.
    fs::write(&path, "tool,limit\nb,three\n").expect("written");
    let decoded = running.next().await;
    assert_eq!((texts(&decoded).len(), decoded.errors[0].code), (0, "wrong_format"));
    fs::remove_file(&path).expect("removed");
    let decoded = running.next().await;
    assert_eq!((texts(&decoded).len(), decoded.errors[0].code), (0, "file"));

    fs::write(&path, "tool,limit\nb,3\n").expect("written");
    assert_eq!(texts(&running.next().await), ["-c|5"]);
    running.stop().await;
}

#[tokio::test]
async fn a_watched_table_without_a_key_is_a_multiset() {
    let folder = folder();
    let path = folder.path().join("rows.jsonl");
    let row = |n: u8| format!("{{\"n\":{n},\"text\":\"\"}}\n");
    fs::write(&path, row(1) + &row(1) + &row(2)).expect("written");
    let mut running = start(&FileSource, &stream(&COLUMNS, &[]), "{ path: rows.jsonl, watch: true }", folder.path());
    assert_eq!(running.next().await.weights, Some(vec![2, 1]));
    fs::write(&path, row(1) + &row(3)).expect("written");
    let decoded = running.next().await;
    assert_eq!(texts(&decoded), ["-1|", "-2|", "3|"]);
    assert_eq!(decoded.weights, Some(vec![-1, -1, 1]));
    running.stop().await;
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_bytes_are_read_to_the_end(contents in prop_oneof![
        prop::collection::vec(any::<u8>(), 0..300),
        "(n,text\n)?([0-9,a\"\r\n]|\\{\"n\":1,\"text\":\"x\"\\}){0,60}".prop_map(String::into_bytes),
    ], csv in any::<bool>()) {
        let folder = folder();
        let name = if csv { "rows.csv" } else { "rows.jsonl" };
        fs::write(folder.path().join(name), contents).expect("written");
        if let Ok(SourcePlan::Bounded(source)) = plan(&FileSource, &stream(&COLUMNS, &[]), &format!("{{ path: {name} }}"), folder.path()) {
            read_all(&*source);
        }
    }
}
