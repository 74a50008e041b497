//! `checkpoints`: what this run has signed about its history.
//!
//! Whoever keeps one of these rows can show later that history was rewritten or shortened (`jarvis lineage verify
//! --checkpoint`): a pipeline sends them where the one who could rewrite it cannot reach.

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use futures::future::BoxFuture;
use jarvis_lineage::proof::{Signed, signed, signed_bytes};
use jarvis_runtime::arrival::{Arrival, Decoded};
use jarvis_runtime::kinds::{Feed, LiveSource, PlanContext, SourceKind, SourcePlan, StreamSpec};
use jarvis_spec::{Diagnostic, Diagnostics, Node};
use serde::Deserialize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// The kind `checkpoints`.
#[derive(Clone, Copy, Debug, Default)]
pub struct CheckpointsSource;

/// A row `{ origin: utf8, size: int64, time: timestamp, checkpoint: utf8 }` for each signed checkpoint of the history, once
/// a minute: whose history it is, how many blocks it has, its last moment, and the signed note (C2SP tlog-checkpoint). A
/// run without a data folder signs nothing.
#[derive(Clone, Debug, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct Options {}

/// How often is looked for new ones.
const PERIOD: Duration = Duration::from_secs(1);

fn columns() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("origin", DataType::Utf8, false),
        Field::new("size", DataType::Int64, false),
        Field::new("time", DataType::Timestamp(TimeUnit::Microsecond, None), false),
        Field::new("checkpoint", DataType::Utf8, false),
    ]))
}

impl SourceKind for CheckpointsSource {
    fn name(&self) -> &'static str {
        "checkpoints"
    }

    fn options(&self) -> schemars::Schema {
        schemars::schema_for!(Options)
    }

    fn infer_schema(&self, _: &Node, _: &PlanContext) -> Option<Result<SchemaRef, Diagnostics>> {
        Some(Ok(columns()))
    }

    fn plan(&self, stream: &StreamSpec, options: &Node, context: &PlanContext) -> Result<SourcePlan, Diagnostics> {
        let Options {} = options.parse()?;
        let known = columns();
        let is_known =
            |field: &Field| known.field_with_name(field.name()).is_ok_and(|k| k.data_type() == field.data_type());
        if let Some(field) = stream.schema.fields().iter().find(|field| !is_known(field)) {
            let message = format!("checkpoints cannot fill the column `{}`", field.name());
            let help = "leave `schema` out, or write some of `{ origin: utf8, size: int64, time: timestamp, checkpoint: utf8 }`";
            return Err(Diagnostic::error("checkpoint_columns", message).at(options.span()).help(help).into());
        }
        Ok(SourcePlan::Live(Box::new(Checkpoints { data: context.data.clone() })))
    }
}

/// Ready to run.
struct Checkpoints {
    data: Option<PathBuf>,
}

impl LiveSource for Checkpoints {
    fn run(self: Box<Self>, feed: Feed) -> BoxFuture<'static, anyhow::Result<()>> {
        Box::pin(async move {
            let Some(data) = self.data else {
                tracing::info!(stream = feed.stream.name, "nothing is signed: the run has no --data folder");
                feed.closed().await;
                return Ok(());
            };
            // Those that had entered before a restart are known by their number.
            let mut known = usize::try_from(feed.restored.place)?;
            let mut looked_at = 0;
            loop {
                let bytes = signed_bytes(&data);
                if bytes == looked_at {
                    tokio::select! {
                        () = feed.closed() => return Ok(()),
                        () = tokio::time::sleep(PERIOD) => continue,
                    }
                }
                looked_at = bytes;
                let folder = data.clone();
                let mut new = tokio::task::spawn_blocking(move || signed(&folder, 0)).await??;
                if new.len() < known {
                    // This is what the rows are for: whoever has kept them will notice.
                    tracing::warn!(
                        stream = feed.stream.name,
                        "the history has fewer signatures than it had: it was begun anew"
                    );
                    known = 0;
                }
                new.drain(..known);
                known += new.len();
                if !new.is_empty() && feed.send(Arrival::new(rows(&feed.stream, &new)?)).await.is_err() {
                    return Ok(());
                }
            }
        })
    }
}

fn rows(stream: &StreamSpec, signed: &[Signed]) -> anyhow::Result<Decoded> {
    let text =
        |of: &dyn Fn(&Signed) -> String| -> ArrayRef { Arc::new(StringArray::from_iter_values(signed.iter().map(of))) };
    let columns = stream.schema.fields().iter().map(|field| match field.name().as_str() {
        "origin" => text(&|s| s.checkpoint.lines().next().unwrap_or_default().to_owned()),
        "size" => Arc::new(Int64Array::from_iter_values(signed.iter().map(|s| s.size as i64))),
        "time" => Arc::new(TimestampMicrosecondArray::from_iter_values(signed.iter().map(|s| s.time as i64))),
        _ => text(&|s| s.checkpoint.clone()),
    });
    let rows = RecordBatch::try_new(stream.schema.clone(), columns.collect())?;
    Ok(Decoded { rows, weights: None, errors: Vec::new(), bytes: 0 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::*;
    use std::path::Path;

    #[test]
    fn other_columns_are_refused() {
        let refused = |columns: &[(&str, &str)], yaml: &str| {
            plan(&CheckpointsSource, &stream(columns, &[]), yaml, Path::new("/")).err().expect(yaml).code
        };
        assert_eq!(refused(&[("size", "utf8")], "{}"), "checkpoint_columns");
        assert_eq!(refused(&[("root", "utf8")], "{}"), "checkpoint_columns");
        assert_eq!(refused(&[("size", "int64")], "{ every: 1s }"), "unknown_key");
        assert!(plan(&CheckpointsSource, &stream(&[("size", "int64")], &[]), "{}", Path::new("/")).is_ok());
    }
}
