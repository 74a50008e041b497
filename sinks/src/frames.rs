//! `frames`: keeps the camera frames that a view's rows name, for as long as the data folder lasts.
//!
//! The ring that holds frames forgets the oldest; what a decision rests on must not be forgotten. A frame is kept once,
//! whoever names it.

use anyhow::Context;
use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::DataType;
use futures::future::BoxFuture;
use jarvis_cameras::{Frames, Hash};
use jarvis_runtime::closed::ClosedBatch;
use jarvis_runtime::kinds::{PlanContext, SinkDriver, SinkKind, SinkPlan, StreamSpec};
use jarvis_runtime::publish::Publish;
use jarvis_spec::{Diagnostic, Diagnostics, Node, Spanned};
use schemars::{JsonSchema, Schema, schema_for};
use serde::Deserialize;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Keeps the camera frames that rows name, below the data folder in `frames/kept`. Without a data folder they stay in
/// memory, as far as there is room.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FramesOptions {
    /// The column with the frame's hash, or a list of them.
    keep: Spanned<String>,
}

pub(crate) struct FramesSink;

impl SinkKind for FramesSink {
    fn name(&self) -> &'static str {
        "frames"
    }

    fn options(&self) -> Schema {
        schema_for!(FramesOptions)
    }

    fn plan(&self, stream: &StreamSpec, options: &Node, context: &PlanContext) -> Result<SinkPlan, Diagnostics> {
        let read: FramesOptions = options.parse()?;
        let column = column(&read.keep, stream)?;
        let frames = context.data.as_ref().map(|data| data.join(jarvis_cameras::FOLDER));
        let driver = Keeping { column, frames: Frames::shared(frames.as_deref()), stream: stream.name.clone() };
        Ok(SinkPlan { publish: Publish::changes(format!("{} frames", stream.name)), driver: Box::new(driver) })
    }
}

/// A column of hashes, or of lists of them.
pub(crate) fn column(name: &Spanned<String>, stream: &StreamSpec) -> Result<usize, Diagnostic> {
    let known = || stream.schema.fields().iter().map(|field| field.name().as_str());
    let Ok(column) = stream.schema.index_of(name) else {
        return Err(Diagnostic::error("unknown_column", format!("the stream has no column `{name}`"))
            .at(&name.span)
            .suggest(name, known(), "name the column with the hashes of frames"));
    };
    let kind = stream.schema.field(column).data_type();
    let fits = match kind {
        DataType::Utf8 => true,
        DataType::List(of) => *of.data_type() == DataType::Utf8,
        _ => false,
    };
    if !fits {
        return Err(Diagnostic::error("wrong_type", format!("the column `{name}` is {kind}"))
            .at(&name.span)
            .help("hashes of frames are texts, or a list of texts"));
    }
    Ok(column)
}

/// The hashes in a cell of such a column; what is none is left out.
pub(crate) fn hashes(column: &ArrayRef, row: usize) -> Vec<Hash> {
    if column.is_null(row) {
        return vec![];
    }
    if let Some(texts) = column.as_string_opt::<i32>() {
        return texts.value(row).parse().into_iter().collect();
    }
    let list = column.as_list_opt::<i32>().map(|lists| lists.value(row));
    let texts = list.as_ref().and_then(|list| list.as_string_opt::<i32>());
    texts.into_iter().flat_map(|texts| texts.iter().flatten()).filter_map(|text| text.parse().ok()).collect()
}

struct Keeping {
    column: usize,
    frames: Arc<Frames>,
    stream: String,
}

impl SinkDriver for Keeping {
    fn write<'a>(&'a mut self, batch: &'a ClosedBatch) -> BoxFuture<'a, anyhow::Result<()>> {
        Box::pin(async {
            let named = (0..batch.diffs.len()).filter(|row| batch.diffs[*row] > 0);
            let hashes: BTreeSet<Hash> = named.flat_map(|row| hashes(batch.rows.column(self.column), row)).collect();
            let (frames, stream) = (self.frames.clone(), self.stream.clone());
            let keeping = tokio::task::spawn_blocking(move || {
                for hash in hashes {
                    if let Err(error) = frames.keep(&hash) {
                        metrics::counter!("jarvis_frames_lost_total", "stream" => stream.clone()).increment(1);
                        tracing::warn!(stream, %hash, "a frame is not kept: {error}");
                    }
                }
            });
            keeping.await.context("frames are not kept any more")
        })
    }
}
