//! Rows of `system.errors`.

use arrow::array::{ArrayRef, StringArray};
use arrow::record_batch::RecordBatch;
use std::sync::Arc;

/// (stream, code, message, input) as a batch.
pub fn batch(rows: &[[String; 4]]) -> RecordBatch {
    let columns = (0..4)
        .map(|c| Arc::new(rows.iter().map(|r| Some(r[c].as_str())).collect::<StringArray>()) as ArrayRef)
        .collect();
    RecordBatch::try_new(jarvis_plan::compile::errors_schema(), columns).expect("four columns of text")
}
