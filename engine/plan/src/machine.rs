//! Operators whose results depend on the order of events: a state machine per key, inside the graph.
//!
//! A view of SQL is a function of the rows that count; a [`Machine`] is one of the events of a key *in their order*. It
//! stays within the laws of the graph all the same, because the order is given by the log: events come in the order of
//! the ticks they entered at, and within a tick in the order of the streams in `from:`, then of their columns. It reads
//! streams that never change what they said (no upserts, no joins), sees no clock but the tick's, and so comes to the
//! same state when the log is run again. What it puts out is a table: the rows that its states hold now.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Float32Type, Float64Type, Int32Type, Int64Type, SchemaRef};
use arrow::error::ArrowError;
use std::fmt::Debug;
use std::time::Duration;

/// A kind of state machine with its options; the same text of [`Debug`] means the same machine.
pub trait Machine: Debug + Send + Sync {
    /// The columns that it puts out. The key's stand first.
    fn schema(&self) -> SchemaRef;
    /// A state for a key that has none, from its first event.
    fn start(&self, first: &Event<'_>) -> Box<dyn State>;
    /// How long an event may matter. A restart, and a log that was made smaller, know no older ones.
    fn lasts(&self) -> Duration;
    /// The events of one stream that a row which the machine puts out rests on. `row` has one row of [`Machine::schema`],
    /// `events` the columns that the machine reads of that stream, of the row's key only, in no order.
    fn rests_on(&self, row: &RecordBatch, stream: usize, events: &RecordBatch) -> Vec<usize>;
}

/// What a machine knows of one key.
pub trait State: Send {
    /// Takes the next event.
    ///
    /// # Errors
    /// The event makes no sense; it is told as an error row, and the state is as it was.
    fn take(&mut self, event: &Event<'_>) -> Result<(), String>;
    /// Time has passed, up to `now` (µs). Called after the events of a tick, and when [`State::wake`] has come.
    fn advance(&mut self, now: u64);
    /// When it changes next without an event, µs.
    fn wake(&self) -> Option<u64>;
    /// Nothing more will come of it: it is forgotten, and its rows go.
    fn is_over(&self) -> bool;
    /// The rows that it puts out now.
    ///
    /// # Errors
    /// Only if they do not fit [`Machine::schema`].
    fn rows(&self) -> Result<RecordBatch, ArrowError>;
}

/// One event on its way into a state.
#[derive(Clone, Copy, Debug)]
pub struct Event<'a> {
    /// Position in `from:`.
    pub stream: usize,
    /// When it entered, µs, rounded up to a millisecond: events that came together have one time.
    pub time: u64,
    /// Holds it in this row; the columns that the machine reads of its stream begin at `first`.
    pub rows: &'a RecordBatch,
    pub row: usize,
    pub first: usize,
}

impl Event<'_> {
    /// A text of the key; `None` where it is null.
    pub fn key(&self, place: usize) -> Option<&str> {
        let values = self.rows.columns().get(place)?;
        values.is_valid(self.row).then(|| values.as_string_opt::<i32>().map(|texts| texts.value(self.row)))?
    }
    fn column(&self, column: usize) -> Option<&ArrayRef> {
        let values = self.rows.columns().get(self.first + column)?;
        values.is_valid(self.row).then_some(values)
    }
    /// A text among the columns that the machine reads of the stream; `None` where it is null.
    pub fn text(&self, column: usize) -> Option<&str> {
        self.column(column)?.as_string_opt::<i32>().map(|texts| texts.value(self.row))
    }
    /// A number, of whatever width.
    pub fn number(&self, column: usize) -> Option<f64> {
        let values = self.column(column)?;
        Some(match values.data_type() {
            DataType::Float64 => values.as_primitive::<Float64Type>().value(self.row),
            DataType::Float32 => values.as_primitive::<Float32Type>().value(self.row).into(),
            DataType::Int32 => values.as_primitive::<Int32Type>().value(self.row).into(),
            DataType::Int64 => values.as_primitive::<Int64Type>().value(self.row) as f64,
            _ => return None,
        })
    }
    /// Whatever stands there, as an array of one row: for types that the others do not read.
    pub fn value(&self, column: usize) -> Option<ArrayRef> {
        Some(self.column(column)?.slice(self.row, 1))
    }
    pub fn flag(&self, column: usize) -> Option<bool> {
        self.column(column)?.as_boolean_opt().map(|flags| flags.value(self.row))
    }
}
