//! `as: events`: what was raised and cleared, appended.

use super::place::{Output, Place};
use crate::payload::{EventRows, Payload};
use crate::worker::{BatchWriter, is_live};
use anyhow::Context;
use arrow::datatypes::{Schema, SchemaRef};
use jarvis_lineage::encode::Format;
use jarvis_runtime::closed::ClosedBatch;
use jarvis_runtime::publish::Publisher;

pub(super) struct Events {
    publisher: Publisher,
    form: Form,
    place: Place,
    schema: SchemaRef,
    /// `None` only where a new one could not be begun.
    output: Option<Output>,
    /// Everything before this time has been written, and would be there if the process ended now.
    written: u64,
    lasting: u64,
}

/// JSON objects have the fields of their event only; rows have a column for each.
enum Form {
    Objects(Payload),
    Rows(EventRows),
}

impl Events {
    pub fn open(place: Place, view: &Schema, publisher: Publisher) -> anyhow::Result<Self> {
        let rows = EventRows::new(publisher.publish(), view);
        let schema = rows.schema().clone();
        let output = Some(place.append(&schema)?);
        let form = match place.format() {
            Format::JsonLines => Form::Objects(Payload::new(publisher.publish(), view)?),
            Format::Csv | Format::Parquet => Form::Rows(rows),
        };
        Ok(Self { publisher, form, place, schema, output, written: 0, lasting: 0 })
    }
}

impl BatchWriter for Events {
    fn write(&mut self, batch: &ClosedBatch) -> anyhow::Result<()> {
        let told = self.publisher.next(batch)?;
        let output = self.output.as_mut().context("the file could not be opened again")?;
        match &self.form {
            Form::Objects(payload) => {
                for p in &told {
                    output.line(|line| payload.write(p, line))?;
                }
            }
            Form::Rows(rows) => output.write(&rows.batch(&told)?)?,
        }
        self.written = batch.upper;
        if is_live(batch) && self.place.format() != Format::Parquet {
            output.flush()?;
            self.lasting = self.written;
        }
        Ok(())
    }

    fn recall(&mut self, batch: &ClosedBatch) -> anyhow::Result<()> {
        self.publisher.next(batch)?;
        Ok(())
    }

    fn flush(&mut self) -> anyhow::Result<()> {
        if self.place.format() == Format::Parquet {
            // It can be read, and lasts, only when it is finished.
            self.output.take().context("the file could not be opened again")?.finish()?;
            self.output = Some(self.place.append(&self.schema)?);
        } else if let Some(output) = &mut self.output {
            output.flush()?;
        }
        self.lasting = self.written;
        Ok(())
    }

    fn lasting(&self) -> Option<u64> {
        Some(self.lasting)
    }

    fn snapshot(&mut self) -> anyhow::Result<Vec<u8>> {
        Ok(self.publisher.snapshot_bytes()?)
    }

    fn restore(&mut self, snapshot: Vec<u8>) -> anyhow::Result<()> {
        Ok(self.publisher.restore_bytes(snapshot)?)
    }

    fn finish(self: Box<Self>) -> anyhow::Result<()> {
        self.output.context("the file could not be opened again")?.finish()
    }
}
