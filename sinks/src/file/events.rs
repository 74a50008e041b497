//! `as: events`: what was raised and cleared, appended.

use super::place::{Output, Place};
use crate::payload::{EventRows, Payload};
use crate::worker::{BatchWriter, is_live};
use arrow::datatypes::Schema;
use jarvis_lineage::encode::Format;
use jarvis_runtime::closed::ClosedBatch;
use jarvis_runtime::publish::Publisher;

pub(super) struct Events {
    publisher: Publisher,
    form: Form,
    output: Output,
}

/// JSON objects have the fields of their event only; rows have a column for each.
enum Form {
    Objects(Payload),
    Rows(EventRows),
}

impl Events {
    pub fn open(place: &Place, view: &Schema, publisher: Publisher) -> anyhow::Result<Self> {
        let rows = EventRows::new(publisher.publish(), view);
        let output = place.append(rows.schema())?;
        let form = match place.format() {
            Format::JsonLines => Form::Objects(Payload::new(publisher.publish(), view)?),
            Format::Csv | Format::Parquet => Form::Rows(rows),
        };
        Ok(Self { publisher, form, output })
    }
}

impl BatchWriter for Events {
    fn write(&mut self, batch: &ClosedBatch) -> anyhow::Result<()> {
        let told = self.publisher.next(batch)?;
        match &self.form {
            Form::Objects(payload) => {
                for p in &told {
                    self.output.line(|line| payload.write(p, line))?;
                }
            }
            Form::Rows(rows) => self.output.write(&rows.batch(&told)?)?,
        }
        if is_live(batch) { self.output.flush() } else { Ok(()) }
    }

    fn recall(&mut self, batch: &ClosedBatch) -> anyhow::Result<()> {
        self.publisher.next(batch)?;
        Ok(())
    }

    fn flush(&mut self) -> anyhow::Result<()> {
        self.output.flush()
    }

    fn snapshot(&mut self) -> anyhow::Result<Vec<u8>> {
        Ok(self.publisher.snapshot_bytes()?)
    }

    fn restore(&mut self, snapshot: Vec<u8>) -> anyhow::Result<()> {
        Ok(self.publisher.restore_bytes(snapshot)?)
    }

    fn finish(self: Box<Self>) -> anyhow::Result<()> {
        self.output.finish()
    }
}
