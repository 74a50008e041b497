//! What a printer says, as a row.

use arrow::array::{
    ArrayRef, BooleanArray, Float64Array, Int32Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use jarvis_printers::Report;
use jarvis_runtime::arrival::Decoded;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

pub(super) fn schema() -> SchemaRef {
    let number = |name: &str| Field::new(name, DataType::Float64, true);
    let text = |name: &str| Field::new(name, DataType::Utf8, true);
    Arc::new(Schema::new(vec![
        Field::new("printer", DataType::Utf8, false),
        Field::new("at", DataType::Timestamp(TimeUnit::Microsecond, None), false),
        Field::new("connection", DataType::Utf8, false),
        Field::new("phase", DataType::Utf8, false),
        text("job"),
        text("file"),
        text("ending"),
        number("progress"),
        number("elapsed_s"),
        number("left_s"),
        number("z"),
        Field::new("layer", DataType::Int32, true),
        Field::new("layers", DataType::Int32, true),
        number("nozzle"),
        number("nozzle_target"),
        number("bed"),
        number("bed_target"),
        number("chamber"),
        Field::new("filament", DataType::Boolean, true),
        text("error"),
    ]))
}

/// In the order of [`schema`].
pub(super) fn report_row(printer: &str, report: &Report) -> anyhow::Result<Decoded> {
    let text = |text: Option<&str>| -> ArrayRef { Arc::new(StringArray::from(vec![text])) };
    let number =
        |number: Option<f64>| -> ArrayRef { Arc::new(Float64Array::from(vec![number.filter(|n| n.is_finite())])) };
    let count = |count: Option<u32>| -> ArrayRef {
        Arc::new(Int32Array::from(vec![count.map(|count| i32::try_from(count).unwrap_or(i32::MAX))]))
    };
    let at = report.at.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as i64);
    let actual = |tool: &str| number(report.temperature(tool).and_then(|t| t.actual));
    let target = |tool: &str| number(report.temperature(tool).and_then(|t| t.target));
    let columns = vec![
        text(Some(printer)),
        Arc::new(TimestampMicrosecondArray::from(vec![at])) as ArrayRef,
        text(Some(report.connection.name())),
        text(Some(report.phase.name())),
        text(report.job.as_ref().map(|job| job.id.0.as_str())),
        text(report.job.as_ref().map(|job| job.file.as_str())),
        text(report.ending.map(|ending| ending.name())),
        number(report.progress),
        number(report.elapsed),
        number(report.left),
        number(report.z),
        count(report.layer),
        count(report.layers),
        actual("tool0"),
        target("tool0"),
        actual("bed"),
        target("bed"),
        actual("chamber"),
        Arc::new(BooleanArray::from(vec![report.filament_present])),
        text(report.error.as_deref()),
    ];
    let rows = RecordBatch::try_new(schema(), columns)?;
    Ok(Decoded { rows, weights: None, errors: vec![], bytes: 0 })
}
