//! What a sink was told, in the order of telling.

use crate::value::{Value, rows};
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use jarvis_dataflow::Closed;
use jarvis_runtime::closed::ClosedBatch;
use jarvis_runtime::publish::{Publication, Publish, Publisher, RestoreError, What};

/// One thing that a sink was told: (column, value), the words of the telling first.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Told {
    /// µs since the epoch.
    pub time: u64,
    pub cells: Vec<(String, Value)>,
}

/// The names under which a telling's own words can be expected.
pub(super) const WORDS: [&str; 4] = ["event", "_deleted", "_removed", "_diff"];

/// A sink without its outside.
pub(super) struct Ear {
    publish: Publish,
    schema: SchemaRef,
    publisher: Publisher,
    lower: u64,
    pub told: Vec<Told>,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum EarError {
    #[error(transparent)]
    Arrow(#[from] ArrowError),
    #[error(transparent)]
    Restore(#[from] RestoreError),
}

impl Ear {
    pub fn new(publish: &Publish, schema: &SchemaRef) -> Result<Self, EarError> {
        let publisher = Publisher::new(publish.clone(), schema)?;
        Ok(Ear { publish: publish.clone(), schema: schema.clone(), publisher, lower: 0, told: vec![] })
    }

    /// Takes in the changes of one tick.
    pub fn hear(&mut self, closed: &Closed, time: u64) -> Result<(), EarError> {
        let delta = &closed.delta;
        let batch = ClosedBatch {
            lower: self.lower,
            upper: time + 1,
            rows: delta.rows.clone(),
            times: delta.times.clone(),
            diffs: delta.diffs.clone(),
        };
        self.lower = time + 1;
        for publication in self.publisher.next(&batch)? {
            let told = self.tell(&publication)?;
            self.told.push(told);
        }
        Ok(())
    }

    /// Forgets everything but what a restart keeps.
    pub fn restart(&mut self) -> Result<(), EarError> {
        let snapshot = self.publisher.snapshot()?;
        self.publisher = Publisher::new(self.publish.clone(), &self.schema)?;
        self.publisher.restore(&snapshot)?;
        Ok(())
    }

    fn tell(&self, publication: &Publication) -> Result<Told, EarError> {
        let row = rows(&publication.rows.slice(publication.row, 1))?.pop().unwrap_or_default();
        let text = |t: &str| Value::Text(t.into());
        let mut cells = match publication.what {
            What::Raised => vec![("event".to_owned(), text("raised"))],
            What::Cleared => vec![("event".to_owned(), text("cleared"))],
            What::Put => vec![],
            What::Remove => {
                vec![("_deleted".to_owned(), Value::Bool(true)), ("_removed".to_owned(), Value::Bool(true))]
            }
            What::Change(diff) => vec![("_diff".to_owned(), Value::Int(diff.into()))],
        };
        // Of what is gone, only the identity is told.
        let whole = !matches!(publication.what, What::Cleared | What::Remove);
        let kept = |c: usize| whole || self.publish.identity.as_ref().is_none_or(|i| i.contains(&c));
        for (c, value) in row.into_iter().enumerate().filter(|(c, _)| kept(*c)) {
            let name = publication.rows.schema_ref().field(c).name().clone();
            // A view's own column of that name comes first.
            cells.retain(|(word, _)| *word != name);
            cells.push((name, value));
        }
        Ok(Told { time: publication.time, cells })
    }
}
