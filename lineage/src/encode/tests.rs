//! Rows written in each format and what they read back as.

use super::*;
use arrow::array::*;
use arrow::datatypes::TimeUnit;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use std::sync::Arc;

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("name", DataType::Utf8, true),
        Field::new("n", DataType::Int64, true),
        Field::new("x", DataType::Float64, true),
        Field::new("at", DataType::Timestamp(TimeUnit::Microsecond, None), true),
    ]))
}

type Row = (Option<String>, Option<i64>, Option<f64>, Option<i64>);

fn batch(rows: &[Row]) -> RecordBatch {
    let columns: Vec<ArrayRef> = vec![
        Arc::new(rows.iter().map(|r| r.0.clone()).collect::<StringArray>()),
        Arc::new(rows.iter().map(|r| r.1).collect::<Int64Array>()),
        Arc::new(rows.iter().map(|r| r.2).collect::<Float64Array>()),
        Arc::new(rows.iter().map(|r| r.3).collect::<TimestampMicrosecondArray>()),
    ];
    RecordBatch::try_new(schema(), columns).unwrap()
}

fn written(format: Format, batches: &[RecordBatch]) -> Vec<u8> {
    let mut encoder = Encoder::new(format, &batches[0].schema(), Vec::new()).unwrap();
    for batch in batches {
        encoder.write(batch).unwrap();
    }
    encoder.finish().unwrap()
}

fn text(format: Format, batches: &[RecordBatch]) -> String {
    String::from_utf8(written(format, batches)).unwrap()
}

/// Fields of CSV as the standard reads them; `None` = nothing at all between the commas.
fn csv_fields(text: &str) -> Vec<Vec<Option<String>>> {
    let (mut rows, mut row, mut field) = (Vec::new(), Vec::new(), None::<String>);
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            ',' => row.push(field.take()),
            '\n' => {
                row.push(field.take());
                rows.push(std::mem::take(&mut row));
            }
            '"' => {
                let quoted = field.get_or_insert_default();
                while let Some(c) = chars.next() {
                    if c != '"' || chars.next_if_eq(&'"').is_some() {
                        quoted.push(c);
                    } else {
                        break;
                    }
                }
            }
            c => field.get_or_insert_default().push(c),
        }
    }
    rows
}

fn rows() -> impl Strategy<Value = Vec<Row>> {
    let name = option::of("[a-c\",\\n\\r é]{0,6}");
    vec((name, option::of(any::<i64>()), option::of(any::<f64>()), option::of(-1_000_000..1_000_000_i64)), 0..20)
}

proptest! {
    #[test]
    fn csv_reads_back_as_the_same_rows(rows in rows()) {
        let read = csv_fields(&text(Format::Csv, &[batch(&rows)]));
        prop_assert_eq!(read[0].iter().flatten().collect::<Vec<_>>(), ["name", "n", "x", "at"]);
        prop_assert_eq!(read.len(), rows.len() + 1);
        for (fields, (name, n, x, _)) in read[1..].iter().zip(&rows) {
            prop_assert_eq!(&fields[0], name);
            prop_assert_eq!(fields[1].as_ref().map(|n| n.parse::<i64>().unwrap()), *n);
            let same = |text: Option<f64>| text.map(f64::to_bits) == x.map(f64::to_bits);
            let number = fields[2].as_ref().map(|x| x.parse::<f64>().unwrap());
            prop_assert!(same(number) || x.is_some_and(f64::is_nan) && number.is_some_and(f64::is_nan));
        }
    }

    #[test]
    fn parquet_reads_back_as_the_same_rows(rows in rows(), more in rows()) {
        let bytes = written(Format::Parquet, &[batch(&rows), batch(&more)]);
        let path = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&path, bytes).unwrap();
        let reader = ParquetRecordBatchReaderBuilder::try_new(path.reopen().unwrap()).unwrap().build().unwrap();
        let read: Vec<RecordBatch> = reader.collect::<Result<_, _>>().unwrap();
        let read = arrow::compute::concat_batches(&schema(), &read).unwrap();
        prop_assert_eq!(text(Format::JsonLines, &[read]), text(Format::JsonLines, &[batch(&rows), batch(&more)]));
    }
}

#[test]
fn csv_tells_null_from_empty_and_names_what_is_not_finite() {
    let rows = [
        (Some("a, b".to_owned()), Some(-1), Some(f64::NAN), Some(500_000)),
        (Some(String::new()), None, Some(f64::NEG_INFINITY), None),
        (None, Some(2), Some(1.0), None),
    ];
    let expected = "name,n,x,at\n\"a, b\",-1,NaN,1970-01-01T00:00:00.5Z\n\"\",,-inf,\n,2,1.0,\n";
    assert_eq!(text(Format::Csv, &[batch(&rows)]), expected);
}

#[test]
fn csv_writes_a_lone_null_as_a_row() {
    let lone = Arc::new(Schema::new(vec![Field::new("v", DataType::Utf8, true)]));
    let batch = RecordBatch::try_new(lone, vec![Arc::new(StringArray::from(vec![None, Some("a")]))]).unwrap();
    assert_eq!(text(Format::Csv, &[batch]), "v\n\"\"\na\n");
}

#[test]
fn lists_are_json_in_csv() {
    let list = ListArray::from_iter_primitive::<arrow::datatypes::Int64Type, _, _>([Some([Some(1), None]), None]);
    let field = Field::new("l", list.data_type().clone(), true);
    let batch = RecordBatch::try_new(Arc::new(Schema::new(vec![field])), vec![Arc::new(list)]).unwrap();
    assert_eq!(text(Format::Csv, &[batch]), "l\n\"[1,null]\"\n\"\"\n");
}

#[test]
fn what_parquet_cannot_hold_is_refused_with_a_way_out() {
    let span = Field::new("wait", DataType::Interval(IntervalUnit::MonthDayNano), true);
    let list = Field::new("waits", DataType::List(Arc::new(span.clone())), true);
    for (field, name) in [(span, "wait"), (list, "waits")] {
        let schema = Schema::new(vec![Field::new("ok", DataType::Utf8, true), field]);
        assert!(check(Format::JsonLines, &schema).is_ok());
        let error = check(Format::Parquet, &schema).unwrap_err().to_string();
        assert!(error.contains(&format!("`{name}`")) && error.contains("CAST"), "{error}");
    }
}

#[test]
fn a_writer_that_refuses_is_an_error() {
    struct Full;
    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    for format in [Format::JsonLines, Format::Csv] {
        let mut encoder = Encoder::new(format, &schema(), Full).unwrap();
        encoder.write(&batch(&[(None, None, None, None)])).unwrap();
        assert!(matches!(encoder.finish(), Err(EncodeError::Io(error)) if error.kind() == io::ErrorKind::StorageFull));
    }
}
