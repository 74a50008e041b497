//! `as: changes`: every change as a row.

use super::place::{Output, Place};
use crate::worker::{BatchWriter, is_live};
use arrow::datatypes::{Schema, SchemaRef};
use jarvis_lineage::{changes_batch, changes_schema};
use jarvis_runtime::closed::ClosedBatch;

pub(super) struct Changes {
    schema: SchemaRef,
    output: Output,
}

impl Changes {
    pub fn open(place: &Place, view: &Schema) -> anyhow::Result<Self> {
        let schema = changes_schema(view);
        Ok(Self { output: place.overwrite(&schema)?, schema })
    }
}

impl BatchWriter for Changes {
    fn write(&mut self, batch: &ClosedBatch) -> anyhow::Result<()> {
        self.output.write(&changes_batch(&self.schema, batch)?)?;
        if is_live(batch) { self.output.flush() } else { Ok(()) }
    }

    fn finish(self: Box<Self>) -> anyhow::Result<()> {
        self.output.finish()
    }
}
