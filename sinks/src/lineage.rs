//! `lineage`: keeps a stream's changes in the lineage, where `jarvis sql` finds them.

use crate::telling::Telling;
use crate::worker::{BatchWriter, OnThread};
use futures::future::BoxFuture;
use jarvis_lineage::encode::{Format, check};
use jarvis_lineage::{Recorder, Roll};
use jarvis_runtime::closed::ClosedBatch;
use jarvis_runtime::kinds::{PlanContext, SinkDriver, SinkKind, SinkPlan, StreamSpec};
use jarvis_runtime::publish::As;
use jarvis_spec::{Diagnostic, Diagnostics, Node};
use schemars::{JsonSchema, Schema, schema_for};
use serde::Deserialize;
use std::time::Instant;

/// Keeps a stream's changes in the lineage: the table `lineage.PIPELINE.STREAM` of `jarvis sql`. A run without a data
/// folder keeps nothing.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LineageOptions {}

pub(crate) struct Lineage;

impl SinkKind for Lineage {
    fn name(&self) -> &'static str {
        "lineage"
    }

    fn options(&self) -> Schema {
        schema_for!(LineageOptions)
    }

    fn plan(&self, stream: &StreamSpec, options: &Node, context: &PlanContext) -> Result<SinkPlan, Diagnostics> {
        let LineageOptions {} = options.parse()?;
        let telling = Telling {
            stream,
            options,
            mode: None,
            default: Some(As::Changes),
            clear: false,
            key: None,
            ttl: None,
            destination: "lineage".to_owned(),
        };
        let publish = telling.publish()?;
        check(Format::Parquet, &stream.schema)
            .map_err(|error| Diagnostic::error("unsupported_type", error.to_string()).at(options.span()))?;
        let driver: Box<dyn SinkDriver> = match context.data.clone() {
            None => Box::new(Forgotten { stream: stream.name.clone() }),
            Some(data) => {
                let StreamSpec { name, schema, .. } = stream.clone();
                Box::new(OnThread::new(move || {
                    let recorder = Recorder::new(&data, &name, &schema, Roll::default())?;
                    Ok(Box::new(Recording(recorder)) as _)
                }))
            }
        };
        Ok(SinkPlan { publish, driver })
    }
}

struct Recording(Recorder);

impl BatchWriter for Recording {
    fn write(&mut self, batch: &ClosedBatch) -> anyhow::Result<()> {
        Ok(self.0.append(batch)?)
    }

    fn deadline(&self) -> Option<Instant> {
        self.0.deadline()
    }

    fn on_deadline(&mut self) -> anyhow::Result<()> {
        Ok(self.0.roll()?)
    }

    fn flush(&mut self) -> anyhow::Result<()> {
        Ok(self.0.roll()?)
    }

    fn restore(&mut self, _: Vec<u8>) -> anyhow::Result<()> {
        Ok(self.0.resume()?)
    }

    fn lasting(&self) -> Option<u64> {
        Some(self.0.finished())
    }

    fn finish(self: Box<Self>) -> anyhow::Result<()> {
        Ok(self.0.finish()?)
    }
}

/// The run keeps no lineage.
struct Forgotten {
    stream: String,
}

impl SinkDriver for Forgotten {
    fn open(&mut self) -> BoxFuture<'_, anyhow::Result<()>> {
        tracing::info!(stream = self.stream, "the lineage of this stream is not kept: the run has no --data folder");
        Box::pin(async { Ok(()) })
    }

    fn write<'a>(&'a mut self, _: &'a ClosedBatch) -> BoxFuture<'a, anyhow::Result<()>> {
        Box::pin(async { Ok(()) })
    }
}
