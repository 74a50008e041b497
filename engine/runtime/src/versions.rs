//! Which pipelines ran when: their texts are logged at the start and at every reload, as the stream `system.pipelines`.
//!
//! So the past can be run again as it ran, whatever has become of the files.

use crate::project::Project;
use crate::publish::fingerprint;
use arrow::array::{ArrayRef, AsArray, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::record_batch::RecordBatch;
use jarvis_log::{Batch, Tick};
use jarvis_spec::{Diagnostics, Pipeline};
use std::path::Path;
use std::sync::Arc;

/// The stream of the texts.
pub const PIPELINES: &str = "system.pipelines";

/// A pipeline as it ran.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    pub pipeline: String,
    /// As [`version`] tells it.
    pub version: String,
    pub text: String,
}

/// Makes projects of pipelines as they ran.
pub trait FormerProjects: std::fmt::Debug + Send + Sync {
    /// # Errors
    /// This build, in the facility as it is now, finds them wrong.
    fn project(&self, versions: &[Version]) -> Result<Project, Diagnostics>;
}

/// The version of a pipeline: the same for the same text.
pub fn version(pipeline: &Pipeline) -> String {
    fingerprint(&pipeline.text.text)
}

/// Whether somebody wrote it: the pipeline that stands for the facility's tables has no file, its text was made from the
/// sections of facility.yaml, and its tables enter as rows.
pub fn is_written(pipeline: &Pipeline) -> bool {
    pipeline.text.path != Path::new("facility")
}

/// Pipelines as they are now.
pub fn versions(pipelines: &[Pipeline]) -> Vec<Version> {
    let written = pipelines.iter().filter(|p| is_written(p));
    let one =
        |p: &Pipeline| Version { pipeline: p.name.value.clone(), version: version(p), text: p.text.text.to_string() };
    written.map(one).collect()
}

/// The pipelines that run from a tick on, if it says so.
pub fn begun(tick: &Tick) -> Option<Vec<Version>> {
    let batches = tick.batches.iter().filter(|batch| batch.stream == PIPELINES);
    let versions: Vec<Version> = batches.flat_map(|batch| read(&batch.rows)).collect();
    (!versions.is_empty()).then_some(versions)
}

/// Pipelines out of rows of [`PIPELINES`].
pub fn read(rows: &RecordBatch) -> Vec<Version> {
    let text = |column: usize, row: usize| {
        rows.column(column).as_string_opt::<i32>().map_or_else(String::new, |c| c.value(row).to_owned())
    };
    let one = |row| Version { pipeline: text(0, row), version: text(1, row), text: text(2, row) };
    (0..rows.num_rows()).map(one).collect()
}

/// Pipelines, as what enters a tick.
pub(crate) fn texts(pipelines: &[Pipeline]) -> Batch {
    let versions = versions(pipelines);
    let column =
        |of: fn(&Version) -> &str| -> ArrayRef { Arc::new(StringArray::from_iter_values(versions.iter().map(of))) };
    let columns = vec![column(|v| &v.pipeline), column(|v| &v.version), column(|v| &v.text)];
    let fields = ["pipeline", "version", "text"].map(|name| Field::new(name, DataType::Utf8, false));
    let schema = Arc::new(Schema::new(fields.to_vec()));
    let rows = RecordBatch::try_new(schema, columns).expect("three columns of text");
    let diffs = vec![1; rows.num_rows()];
    Batch { stream: PIPELINES.to_owned(), place: 0, rows, diffs }
}
