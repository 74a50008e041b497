//! What a camera shows, as rows.

use super::Camera;
use arrow::array::{
    ArrayRef, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use jarvis_cameras::{Frame, Health};
use jarvis_runtime::arrival::Decoded;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

const TIME: DataType = DataType::Timestamp(TimeUnit::Microsecond, None);

fn own() -> Vec<Field> {
    vec![
        Field::new("camera", DataType::Utf8, false),
        Field::new("printer", DataType::Utf8, true),
        Field::new("at", TIME, false),
    ]
}

fn with(more: Vec<Field>) -> SchemaRef {
    Arc::new(Schema::new(own().into_iter().chain(more).collect::<Vec<_>>()))
}

pub(super) fn frame_schema() -> SchemaRef {
    with(vec![
        Field::new("frame", DataType::Utf8, false),
        Field::new("width", DataType::Int32, false),
        Field::new("height", DataType::Int32, false),
        Field::new("luminance", DataType::Float64, false),
        Field::new("contrast", DataType::Float64, false),
    ])
}

pub(super) fn health_schema() -> SchemaRef {
    with(vec![
        Field::new("state", DataType::Utf8, false),
        Field::new("reason", DataType::Utf8, false),
        Field::new("since", TIME, false),
        Field::new("rate", DataType::Float64, false),
        Field::new("skipped", DataType::Int64, false),
    ])
}

fn micros(at: SystemTime) -> i64 {
    at.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as i64)
}

fn time(at: SystemTime) -> ArrayRef {
    Arc::new(TimestampMicrosecondArray::from(vec![micros(at)]))
}

fn text(text: impl Into<String>) -> ArrayRef {
    Arc::new(StringArray::from(vec![text.into()]))
}

fn number(number: impl Into<f64>) -> ArrayRef {
    Arc::new(Float64Array::from(vec![number.into()]))
}

fn row(schema: SchemaRef, camera: &Camera, at: SystemTime, more: Vec<ArrayRef>, bytes: u64) -> anyhow::Result<Decoded> {
    let own: Vec<ArrayRef> =
        vec![text(&camera.name), Arc::new(StringArray::from(vec![camera.printer.clone()])), time(at)];
    let rows = RecordBatch::try_new(schema, own.into_iter().chain(more).collect())?;
    Ok(Decoded { rows, weights: None, errors: vec![], bytes })
}

pub(super) fn frame_row(camera: &Camera, frame: &Frame) -> anyhow::Result<Decoded> {
    let pixels = |side: u32| -> ArrayRef { Arc::new(Int32Array::from(vec![i32::try_from(side).unwrap_or(i32::MAX)])) };
    let more = vec![
        text(frame.hash.to_string()),
        pixels(frame.width),
        pixels(frame.height),
        number(frame.light.mean),
        number(frame.light.contrast),
    ];
    row(frame_schema(), camera, frame.taken, more, frame.jpeg.len() as u64)
}

pub(super) fn health_row(camera: &Camera, health: &Health) -> anyhow::Result<Decoded> {
    let skipped: ArrayRef = Arc::new(Int64Array::from(vec![i64::try_from(health.skipped).unwrap_or(i64::MAX)]));
    let more = vec![text(health.state.name()), text(&health.reason), time(health.since), number(health.rate), skipped];
    row(health_schema(), camera, health.at, more, 0)
}
