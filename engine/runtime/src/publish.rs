//! Three ways to tell the outside about a changing view.
//!
//! A view is a multiset of rows that changes over time. A [`Publisher`] turns its changes into [`Publication`]s:
//!
//! * **events**: an *identity* (some columns of the row) is *raised* when it goes from no rows to some, seen at the
//!   end of a time. An update, −old +new at one time, is therefore no new event. It is *cleared* when its last row
//!   went. Both have an id that is the same each time the same history is told, so a receiver can drop repeats.
//! * **state**: the latest row per identity is *put*, and *removed* when the last one went. Of several rows the
//!   greatest is told, in the order of the row's columns; when it goes, the next one is put.
//! * **changes**: every +n and −n, in order.
//!
//! What is told depends only on the changes and their times: not on how they are cut into batches, nor on the order
//! of rows within a time. Within a time, what goes is told before what comes, each in the order of identity.

mod counted;
mod event_id;
mod identity;
mod snapshot;
mod state;

pub(crate) use event_id::fingerprint;
pub use snapshot::{RestoreError, Snapshot};

use crate::closed::ClosedBatch;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use counted::Counted;
use serde::{Deserialize, Serialize};
use state::Latest;
use std::ops::Range;
use std::time::Duration;

/// How a sink tells its view: the option `as`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum As {
    /// A row appeared, told once; with `clear: true` also that it went.
    Events,
    /// The latest row per key, and that a key has none any more.
    State,
    /// Every appearance and disappearance of a row.
    Changes,
}

/// What a sink wants to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publish {
    pub mode: As,
    /// Events only: tell also that one has cleared.
    pub clear: bool,
    /// The columns that say which event or which state a row is about; `None` = all of them. `Some(vec![])` makes the
    /// whole view one identity.
    pub identity: Option<Vec<usize>>,
    /// Events only: how long after it was raised an event is worth telling. The publisher does not look at it; sinks do.
    pub ttl: Option<Duration>,
    /// What the ids of its events are unique in: the stream and the destination, for example. The same text gives the
    /// same ids in the next run.
    pub scope: String,
}

impl Publish {
    /// Every change of the stream, the plainest way to tell it.
    pub fn changes(scope: impl Into<String>) -> Self {
        Self { mode: As::Changes, clear: false, identity: None, ttl: None, scope: scope.into() }
    }
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// Events: the identity has rows now and had none.
    Raised,
    /// Events: the identity had rows and has none now; of the row only the identity columns mean something.
    Cleared,
    /// State: this is the identity's row now.
    Put,
    /// State: the identity has no row any more; the row is the last one told.
    Remove,
    /// Changes: this many copies came (positive) or went (negative).
    Change(i64),
}

/// One thing to tell.
#[derive(Clone, Debug)]
pub struct Publication {
    pub what: What,
    /// The batch that holds the row (shared, not copied).
    pub rows: RecordBatch,
    /// Which row of it.
    pub row: usize,
    /// When it happened, µs since the epoch.
    pub time: u64,
    /// Events: 32 hex digits.
    pub id: Option<String>,
    /// Cleared: the id under which it had been raised.
    pub of: Option<String>,
}

impl Publication {
    fn plain(what: What, rows: &RecordBatch, row: usize, time: u64) -> Self {
        Self { what, rows: rows.clone(), row, time, id: None, of: None }
    }
}

/// Turns the changes of one view into publications; remembers what it has told.
pub struct Publisher {
    publish: Publish,
    told: Told,
}

/// What has been told so far, as far as it matters for what comes.
enum Told {
    Events(Counted),
    State(Latest),
    Changes,
}

impl Publisher {
    /// # Errors
    /// An identity column that the schema does not have, or a type that has no order (no type of the language).
    pub fn new(publish: Publish, schema: &SchemaRef) -> Result<Self, ArrowError> {
        let told = match publish.mode {
            As::Events => Told::Events(Counted::new(&publish, schema)?),
            As::State => Told::State(Latest::new(&publish, schema)?),
            As::Changes => Told::Changes,
        };
        Ok(Self { publish, told })
    }

    /// What the sink asked for.
    pub fn publish(&self) -> &Publish {
        &self.publish
    }

    /// What to tell about the next batch. Batches must come in the order of time.
    ///
    /// # Errors
    /// Only if the batch does not have the view's columns.
    pub fn next(&mut self, batch: &ClosedBatch) -> Result<Vec<Publication>, ArrowError> {
        match &mut self.told {
            Told::Events(counted) => counted.next(batch),
            Told::State(latest) => latest.next(batch),
            Told::Changes => Ok((0..batch.times.len())
                .map(|row| Publication::plain(What::Change(batch.diffs[row]), &batch.rows, row, batch.times[row]))
                .collect()),
        }
    }

    /// Whether nothing is told that could still change: no event is raised, no state is put.
    pub fn is_empty(&self) -> bool {
        match &self.told {
            Told::Events(counted) => counted.is_empty(),
            Told::State(latest) => latest.is_empty(),
            Told::Changes => true,
        }
    }

    /// What has been told, to go on after a restart without telling it again.
    ///
    /// # Errors
    /// Only if Arrow cannot write the rows, which it can for every type of the language.
    pub fn snapshot(&self) -> Result<Snapshot, ArrowError> {
        match &self.told {
            Told::Events(counted) => counted.snapshot(),
            Told::State(latest) => latest.snapshot(),
            Told::Changes => Ok(Snapshot::empty(self.publish.mode)),
        }
    }

    /// What has been told, for [`Publisher::restore_bytes`].
    ///
    /// # Errors
    /// As [`Publisher::snapshot`].
    pub fn snapshot_bytes(&self) -> Result<Vec<u8>, ArrowError> {
        Ok(self.snapshot()?.to_bytes())
    }

    /// Goes on from what [`Publisher::snapshot_bytes`] gave; from nothing, if nothing is given.
    ///
    /// # Errors
    /// As [`Publisher::restore`].
    pub fn restore_bytes(&mut self, snapshot: Vec<u8>) -> Result<(), RestoreError> {
        if snapshot.is_empty() { Ok(()) } else { self.restore(&Snapshot::from_bytes(snapshot)?) }
    }

    /// Goes on from a snapshot that a publisher of the same view and the same options took.
    ///
    /// # Errors
    /// The snapshot is of another mode or has other columns: the sink has been edited since.
    pub fn restore(&mut self, snapshot: &Snapshot) -> Result<(), RestoreError> {
        snapshot.check_mode(self.publish.mode)?;
        match &mut self.told {
            Told::Events(counted) => counted.restore(snapshot),
            Told::State(latest) => latest.restore(snapshot),
            Told::Changes => Ok(()),
        }
    }
}

/// The runs of equal time in a batch, in order.
fn times(batch: &ClosedBatch) -> impl Iterator<Item = (u64, Range<usize>)> + '_ {
    let mut start = 0;
    std::iter::from_fn(move || {
        let time = *batch.times.get(start)?;
        let end = start + batch.times[start..].iter().take_while(|t| **t == time).count();
        let rows = start..end;
        start = end;
        Some((time, rows))
    })
}

#[cfg(test)]
mod tests;
