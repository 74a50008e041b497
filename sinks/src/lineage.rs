//! `lineage`: keeps a stream's changes in the lineage, where `jarvis sql` finds them.

use crate::telling::Telling;
use crate::worker::{BatchWriter, OnThread};
use arrow::array::BooleanArray;
use arrow::compute::filter_record_batch;
use futures::future::BoxFuture;
use jarvis_lineage::encode::{Format, check};
use jarvis_lineage::{Recorder, Roll};
use jarvis_plan::compile::{ERRORS, errors_schema};
use jarvis_runtime::closed::ClosedBatch;
use jarvis_runtime::kinds::{PlanContext, SinkDriver, SinkKind, SinkPlan, StreamSpec};
use jarvis_runtime::publish::{As, Publish};
use jarvis_spec::{Diagnostic, Diagnostics, Node};
use schemars::{JsonSchema, Schema, schema_for};
use serde::Deserialize;
use std::path::Path;
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

/// Keeps what could not be read or computed: the table `lineage.system.errors`. That an error has passed is not news.
#[must_use]
pub fn errors(data: &Path) -> SinkPlan {
    let data = data.to_owned();
    let driver = OnThread::new(move || {
        let recorder = Recorder::new(&data, ERRORS, &errors_schema(), Roll::default())?;
        Ok(Box::new(Additions { record: Recording(recorder), upper: 0 }) as _)
    });
    SinkPlan { publish: Publish::changes(ERRORS), driver: Box::new(driver.record()) }
}

/// Records what appears, and not what goes.
struct Additions {
    record: Recording,
    /// Of the last batch.
    upper: u64,
}

impl BatchWriter for Additions {
    fn write(&mut self, batch: &ClosedBatch) -> anyhow::Result<()> {
        let appears: BooleanArray = batch.diffs.iter().map(|diff| Some(*diff > 0)).collect();
        let kept = |row: &usize| batch.diffs[*row] > 0;
        let rows: Vec<usize> = (0..batch.diffs.len()).filter(kept).collect();
        self.upper = batch.upper;
        self.record.write(&ClosedBatch {
            lower: batch.lower,
            upper: batch.upper,
            diffs: rows.iter().map(|row| batch.diffs[*row]).collect(),
            times: rows.iter().map(|row| batch.times[*row]).collect(),
            rows: filter_record_batch(&batch.rows, &appears)?,
        })
    }

    fn deadline(&self) -> Option<Instant> {
        self.record.deadline()
    }

    fn on_deadline(&mut self) -> anyhow::Result<()> {
        self.record.on_deadline()
    }

    fn flush(&mut self) -> anyhow::Result<()> {
        self.record.flush()
    }

    fn restore(&mut self, snapshot: Vec<u8>) -> anyhow::Result<()> {
        self.record.restore(snapshot)
    }

    fn lasting(&self) -> Option<u64> {
        // While no part is open, nothing waits for the disk.
        let all = self.record.deadline().is_none().then_some(self.upper);
        self.record.lasting().max(all)
    }

    fn finish(self: Box<Self>) -> anyhow::Result<()> {
        Box::new(self.record).finish()
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
