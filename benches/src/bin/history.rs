//! Writes a day of history, as a run would have recorded it: `target/release/history ROWS DATA`.
//!
//! The stream `shop.reading`: temperatures of 200 printers with two tools each, evenly over 24 hours, in the order of time.
//! A job lasts 500 readings of its printer. Everything comes from counting: the same on every machine.

use anyhow::{Context, bail};
use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use jarvis_lineage::{Recorder, Roll};
use jarvis_runtime::closed::ClosedBatch;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Rows that come at one time, and are handed over at once.
const BATCH: u64 = 1000;
/// µs of a day.
const DAY: u64 = 86_400_000_000;
/// 2026-11-01, µs since the epoch.
const BEGIN: u64 = 1_793_491_200_000_000;

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [rows, data] = arguments.as_slice() else { bail!("history ROWS DATA") };
    let rows: u64 = rows.parse().context("ROWS is a number")?;
    let schema = Arc::new(Schema::new(vec![
        Field::new("printer", DataType::Utf8, false),
        Field::new("tool", DataType::Utf8, false),
        Field::new("job", DataType::Int64, false),
        Field::new("actual", DataType::Float64, false),
        Field::new("target", DataType::Float64, false),
    ]));
    let roll = Roll { rows: 500_000, age: Duration::from_secs(3600) };
    let mut recorder = Recorder::new(Path::new(data), "shop.reading", &schema, roll)?;
    for first in (0..rows).step_by(BATCH as usize) {
        let numbers: Vec<u64> = (first..rows.min(first + BATCH)).collect();
        let of = |value: &dyn Fn(u64) -> f64| -> ArrayRef {
            Arc::new(Float64Array::from_iter_values(numbers.iter().map(|n| value(*n))))
        };
        let printer = |n: u64| n % 200;
        let columns: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from_iter_values(numbers.iter().map(|n| format!("printer{:03}", printer(*n))))),
            Arc::new(StringArray::from_iter_values(numbers.iter().map(|n| format!("tool{}", n / 200 % 2)))),
            Arc::new(Int64Array::from_iter_values(numbers.iter().map(|n| (n / 200 / 500 * 200 + printer(*n)) as i64))),
            of(&|n| 200.0 + (n.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40) as f64 / 1e6),
            of(&|n| 195.0 + (n / 200 / 500 % 50) as f64),
        ];
        let time = BEGIN + (u128::from(first) * u128::from(DAY) / u128::from(rows)) as u64;
        let batch = RecordBatch::try_new(schema.clone(), columns)?;
        let count = batch.num_rows();
        let closed =
            ClosedBatch { lower: time, upper: time + 1, times: vec![time; count], diffs: vec![1; count], rows: batch };
        recorder.append(&closed)?;
    }
    Ok(recorder.finish()?)
}
