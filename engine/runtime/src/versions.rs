//! Which pipelines ran when: their texts are logged at the start and at every reload, as the stream `system.pipelines`.

use crate::publish::fingerprint;
use arrow::array::{ArrayRef, AsArray, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::record_batch::RecordBatch;
use jarvis_log::Batch;
use jarvis_spec::Pipeline;
use std::path::Path;
use std::sync::Arc;

/// The stream of the texts.
pub const PIPELINES: &str = "system.pipelines";

/// The version of a pipeline: the same for the same text.
pub fn version(pipeline: &Pipeline) -> String {
    fingerprint(&pipeline.text.text)
}

/// The texts of pipelines, as what enters a tick.
pub(crate) fn texts(pipelines: &[Pipeline]) -> Batch {
    // The facility's tables enter as rows; nobody wrote their pipeline.
    let written: Vec<&Pipeline> = pipelines.iter().filter(|p| p.text.path != Path::new("facility")).collect();
    let column = |of: &dyn Fn(&Pipeline) -> String| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(written.iter().map(|p| of(p))))
    };
    let fields = ["pipeline", "version", "text"].map(|name| Field::new(name, DataType::Utf8, false));
    let columns = vec![column(&|p| p.name.value.clone()), column(&version), column(&|p| p.text.text.clone())];
    let rows = RecordBatch::try_new(Arc::new(Schema::new(fields.to_vec())), columns).expect("three columns of text");
    let diffs = vec![1; rows.num_rows()];
    Batch { stream: PIPELINES.to_owned(), place: 0, rows, diffs }
}

/// The pipelines, each with its version, that run from a tick on: rows of the stream of texts.
pub fn begun(rows: &RecordBatch) -> Vec<(String, String)> {
    let text = |column: usize, row: usize| {
        rows.column(column).as_string_opt::<i32>().map_or_else(String::new, |c| c.value(row).to_owned())
    };
    (0..rows.num_rows()).map(|row| (text(0, row), text(1, row))).collect()
}
