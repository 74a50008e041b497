//! Whatever is written in a payload, a file or the facility's description, it is rows and errors, and never a panic.
//! The bodies are those of the fuzz targets in `fuzz/`.

#[path = "../../fuzz/bodies/decode.rs"]
mod decode;
#[path = "../../fuzz/bodies/files.rs"]
mod files;
#[path = "../../fuzz/bodies/mutation.rs"]
mod mutation;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use mutation::changed;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use proptest::prelude::*;
use std::sync::{Arc, LazyLock};
use tempfile::TempDir;

/// What makes a difference in the middle of JSON or CSV.
const WORDS: [&str; 44] = [
    "\"",
    "\\",
    "\\u",
    "\\ud800",
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "-",
    "+",
    ".",
    "e",
    "E9",
    "1e999",
    "-0",
    "00",
    "null",
    "true",
    "NaN",
    "-Infinity",
    "\n",
    "\r\n",
    "\0",
    "\u{feff}",
    " ",
    "\t",
    "\"\"",
    "é",
    "\u{10ffff}",
    "99999999999999999999",
    "9223372036854775808",
    "-9223372036854775809",
    "340282366920938463463374607431768211456",
    "1e-400",
    "\"9999-12-31T23:59:59Z\"",
    "\"0000-00-00\"",
    "253402300800000",
    "-62135596800001",
    "\"_deleted\":true,",
    "\"_diff\":-1,",
    "\"_diff\":9223372036854775807,",
    "\"P9999999999Y\"",
];

fn decode_documents() -> Vec<Vec<u8>> {
    vec![decode::JSON.as_bytes().to_vec(), decode::CSV.as_bytes().to_vec()]
}

/// Values that a column of some type takes.
fn values() -> Vec<Vec<u8>> {
    let values = [
        "true",
        "-128",
        "18446744073709551615",
        "1e300",
        "-123456.789",
        "YWJj",
        "2026-01-31",
        "1763800000.5",
        "2025-11-22T08:26:40.5+01:00",
        "P1M3DT4.5S",
        "1h30m",
        "{\"a\":[1,null]}",
        "a text",
    ];
    values.map(|value| value.as_bytes().to_vec()).to_vec()
}

fn files() -> Vec<(&'static str, Vec<u8>)> {
    let lines = r#"{"n":1,"text":"a","at":1763800000500}
{"n":2,"text":null,"at":"2025-11-22T08:26:40.5Z"}

{"n":3}
"#;
    let csv = "n,text,at\n1,a,1763800000500\n2,\"b \"\"c\"\",2025-11-22T08:26:40.5Z\r\n3,,\n";
    let mut all = vec![("jsonl", lines.as_bytes().to_vec()), ("csv", csv.as_bytes().to_vec())];
    for compression in [Compression::UNCOMPRESSED, Compression::SNAPPY, Compression::ZSTD(ZstdLevel::default())] {
        all.push(("parquet", parquet_file(compression)));
    }
    all
}

fn parquet_file(compression: Compression) -> Vec<u8> {
    let count = 200;
    let columns: [(&str, ArrayRef); 3] = [
        ("n", Arc::new(Int64Array::from_iter_values(0..count))),
        ("text", Arc::new((0..count).map(|n| (n % 3 > 0).then(|| format!("row {}", n % 7))).collect::<StringArray>())),
        ("at", Arc::new(TimestampMicrosecondArray::from_iter_values((0..count).map(|n| n * 1_000_000)))),
    ];
    let rows = RecordBatch::try_from_iter(columns).expect("a batch");
    let properties =
        WriterProperties::builder().set_max_row_group_row_count(Some(90)).set_compression(compression).build();
    let mut written = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut written, rows.schema(), Some(properties)).expect("a writer");
    writer.write(&rows).expect("written");
    writer.close().expect("closed");
    written
}

fn facility() -> Vec<u8> {
    std::fs::read("../config/facility.yaml").expect("the facility that ships")
}

static FOLDER: LazyLock<TempDir> = LazyLock::new(|| tempfile::tempdir().expect("a folder"));

#[test]
fn the_documents_are_right_before_they_are_changed() {
    use jarvis_sources::decode::{Decoder, Format};
    let fields = decode::COLUMNS.map(|(name, of)| jarvis_spec::schema::parse_type(name, of).expect(of));
    let schema = Arc::new(arrow::datatypes::Schema::new(fields.to_vec()));
    for (format, document) in [(Format::Json, decode::JSON), (Format::Csv, decode::CSV)] {
        let mut decoder = Decoder::new(schema.clone(), &[], format, &[], 1 << 16).expect("a decoder");
        decoder.push(document.as_bytes(), &[]);
        let decoded = decoder.finish();
        assert_eq!((decoded.rows.num_rows(), decoded.errors.as_slice()), (1, [].as_slice()));
    }
}

proptest! {
    #[test]
    fn changed_payloads_are_one_row_or_one_error(payload in changed(decode_documents(), &WORDS)) {
        decode::json(&payload);
        decode::csv(&payload);
    }

    #[test]
    fn changed_values_are_one_row_or_one_error(payload in changed(values(), &WORDS)) {
        decode::raw(&payload);
    }

    #[test]
    fn any_bytes_are_one_row_or_one_error(payload in prop::collection::vec(any::<u8>(), 0..64)) {
        decode::json(&payload);
        decode::csv(&payload);
        decode::raw(&payload);
    }

    #[test]
    fn changed_files_are_read_to_their_end(
        (ending, contents) in prop::sample::select(files()).prop_flat_map(|(ending, contents)| {
            changed(vec![contents], &WORDS).prop_map(move |contents| (ending, contents))
        }),
    ) {
        files::file(FOLDER.path(), ending, &contents);
    }

    #[test]
    fn a_changed_facility_is_tables_or_refused(
        text in changed(vec![facility()], &[": ", "\n", "\n  - ", "- ", "{", "}", "[", "]", "&a ", "*a", "!!str ", "\t", "\"", "'", "|", "null", "1e999", "2026-01-31", "${NONE}", "zones:\n"]),
    ) {
        files::facility(FOLDER.path(), &String::from_utf8_lossy(&text));
    }
}
