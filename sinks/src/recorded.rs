//! What a sink tells, kept beside: the history of its decisions.
//!
//! A sink of events raises, clears and forgets; the stream `PIPELINE.SINK` of the lineage holds each of its events once,
//! with the id it was told under. It is written when it is told, and whatever a killed run had not written yet, the next one
//! finds when it goes through the same ticks again.

use anyhow::Context;
use arrow::array::{ArrayRef, StringArray, new_null_array};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use futures::future::BoxFuture;
use jarvis_lineage::{RecordError, Recorder, Roll};
use jarvis_runtime::closed::ClosedBatch;
use jarvis_runtime::json_out::JsonRow;
use jarvis_runtime::kinds::{SinkDriver, SinkPlan};
use jarvis_runtime::publish::{As, Publication, Publish, Publisher, What};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

/// How often is looked whether the one before has ended, and after how many times it is said.
const BUSY: Duration = Duration::from_millis(20);
const BUSY_TRIES: u32 = 500;
/// The columns that say what was told, before those of the row: raised or cleared, the id, and the row as JSON.
const OWN: [&str; 3] = jarvis_lineage::DECISION;

/// Lets the decisions of a sink be kept below `data`, if it tells events and they can be.
#[must_use]
pub fn recorded(plan: SinkPlan, sink: &str, schema: &SchemaRef, data: &Path) -> SinkPlan {
    let SinkPlan { publish, driver } = plan;
    if publish.mode != As::Events
        || jarvis_lineage::encode::check(jarvis_lineage::encode::Format::Parquet, schema).is_err()
    {
        return SinkPlan { publish, driver };
    }
    let kept = Kept { sink: sink.to_owned(), data: data.to_owned(), publish: publish.clone(), schema: schema.clone() };
    SinkPlan { publish, driver: Box::new(Recorded { driver, kept, keeping: None }) }
}

/// What is to be kept of which sink, and where.
struct Kept {
    sink: String,
    data: PathBuf,
    publish: Publish,
    /// Of the view.
    schema: SchemaRef,
}

/// A driver whose events are kept.
struct Recorded {
    driver: Box<dyn SinkDriver>,
    kept: Kept,
    keeping: Option<Keeping>,
}

struct Keeping {
    publisher: Publisher,
    recorder: Recorder,
    row: JsonRow,
    /// Of the events.
    schema: SchemaRef,
    identity: Option<Vec<usize>>,
}

impl Keeping {
    fn start(kept: &Kept) -> anyhow::Result<Self> {
        let Kept { sink, data, publish, schema: view } = kept;
        let own = OWN.map(|name| Arc::new(Field::new(name, DataType::Utf8, true)));
        let loose = view.fields().iter().map(|field| Arc::new(field.as_ref().clone().with_nullable(true)));
        let schema = Arc::new(Schema::new(own.into_iter().chain(loose).collect::<Vec<_>>()));
        let recorder = Recorder::new(data, sink, &schema, Roll::default())?;
        let publisher = Publisher::new(publish.clone(), view)?;
        Ok(Keeping { publisher, recorder, row: JsonRow::new(view)?, schema, identity: publish.identity.clone() })
    }

    fn take(&mut self, batch: &ClosedBatch) -> anyhow::Result<()> {
        let told = self.publisher.next(batch)?;
        if let Some(events) = self.events(&told, batch)? {
            self.recorder.append(&events)?;
        }
        if self.recorder.deadline().is_some_and(|deadline| deadline <= Instant::now()) {
            self.recorder.roll()?;
        }
        Ok(())
    }

    /// Events as rows that came once each.
    fn events(&self, told: &[Publication], batch: &ClosedBatch) -> anyhow::Result<Option<ClosedBatch>> {
        if told.is_empty() {
            return Ok(None);
        }
        let rows = told.iter().map(|event| self.event(event)).collect::<anyhow::Result<Vec<_>>>()?;
        let times: Vec<u64> = told.iter().map(|event| event.time).collect();
        let (lower, upper) = (batch.lower, batch.upper);
        let rows = concat_batches(&self.schema, &rows)?;
        Ok(Some(ClosedBatch { lower, upper, diffs: vec![1; times.len()], times, rows }))
    }

    fn event(&self, event: &Publication) -> anyhow::Result<RecordBatch> {
        let mut json = vec![];
        self.row.write(&event.rows, event.row, &[], &mut json);
        let text = |text: Option<String>| -> ArrayRef { Arc::new(StringArray::from(vec![text])) };
        let own = [
            text(Some(if event.what == What::Cleared { "cleared" } else { "raised" }.to_owned())),
            text(event.id.clone()),
            text(Some(String::from_utf8_lossy(&json).into_owned())),
        ];
        // Of an event that has cleared only the identity is known.
        let is_known = |column: usize| {
            event.what != What::Cleared || self.identity.as_ref().is_none_or(|identity| identity.contains(&column))
        };
        let row = event.rows.columns().iter().enumerate().map(|(column, values)| {
            if is_known(column) { values.slice(event.row, 1) } else { new_null_array(values.data_type(), 1) }
        });
        Ok(RecordBatch::try_new(self.schema.clone(), own.into_iter().chain(row).collect())?)
    }
}

impl Recorded {
    /// It begins when it is first needed, and when the one before has ended: a sink that was edited works off what it still
    /// has to tell beside the new one.
    async fn keeping(&mut self) -> anyhow::Result<&mut Keeping> {
        let mut tries = 0_u32;
        while self.keeping.is_none() {
            match Keeping::start(&self.kept) {
                Ok(keeping) => self.keeping = Some(keeping),
                Err(error) if matches!(error.downcast_ref(), Some(RecordError::Busy(_))) => {
                    if tries == BUSY_TRIES {
                        tracing::warn!(
                            sink = self.kept.sink,
                            "waits for the sink before it was edited, which still tells"
                        );
                    }
                    tries = tries.saturating_add(1);
                    tokio::time::sleep(BUSY).await;
                }
                Err(error) => return Err(error),
            }
        }
        self.keeping.as_mut().context("it was begun above")
    }
}

impl SinkDriver for Recorded {
    fn open(&mut self) -> BoxFuture<'_, anyhow::Result<()>> {
        self.driver.open()
    }
    fn write<'a>(&'a mut self, batch: &'a ClosedBatch) -> BoxFuture<'a, anyhow::Result<()>> {
        Box::pin(async {
            self.driver.write(batch).await?;
            self.keeping().await?.take(batch)
        })
    }
    fn recall<'a>(&'a mut self, batch: &'a ClosedBatch) -> BoxFuture<'a, anyhow::Result<()>> {
        Box::pin(async {
            self.driver.recall(batch).await?;
            self.keeping().await?.take(batch)
        })
    }
    fn flush(&mut self) -> BoxFuture<'_, anyhow::Result<()>> {
        self.driver.flush()
    }
    fn snapshot(&mut self) -> BoxFuture<'_, anyhow::Result<Vec<u8>>> {
        Box::pin(async {
            // What came before a snapshot does not come again.
            self.keeping().await?.recorder.roll()?;
            self.driver.snapshot().await
        })
    }
    fn restore(&mut self, snapshot: Vec<u8>) -> BoxFuture<'_, anyhow::Result<()>> {
        Box::pin(async {
            let keeping = self.keeping().await?;
            keeping.recorder.resume()?;
            keeping.publisher.restore_bytes(snapshot.clone())?;
            self.driver.restore(snapshot).await
        })
    }
    fn delivered(&self) -> Option<Arc<AtomicU64>> {
        self.driver.delivered()
    }
    fn is_lasting(&self) -> bool {
        self.driver.is_lasting()
    }
    fn is_record(&self) -> bool {
        self.driver.is_record()
    }
    fn failed(&mut self) -> BoxFuture<'_, anyhow::Error> {
        Box::pin(async {
            // While nothing is to be told there is time to close a part, so that it can be read.
            let Recorded { driver, keeping, .. } = self;
            while let Some(keeping) = keeping
                && let Some(deadline) = keeping.recorder.deadline()
            {
                tokio::select! {
                    error = driver.failed() => return error,
                    () = tokio::time::sleep_until(deadline.into()) => {}
                }
                if let Err(error) = keeping.recorder.roll() {
                    return error.into();
                }
            }
            driver.failed().await
        })
    }
    fn finish(&mut self) -> BoxFuture<'_, anyhow::Result<()>> {
        Box::pin(async {
            // First, so that the next one need not wait.
            if let Some(keeping) = self.keeping.take() {
                keeping.recorder.finish()?;
            }
            self.driver.finish().await
        })
    }
}
