//! What sinks have in common that send a message for each publication.

use arrow::array::Array;
use arrow::datatypes::{DataType, SchemaRef};
use arrow::error::ArrowError;
use jarvis_runtime::closed::ClosedBatch;
use jarvis_runtime::json_out::{JsonRow, text};
use jarvis_runtime::publish::{Publication, Publish, Publisher, What};
use std::borrow::Cow;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Of a row that cannot be sent, bytes in the log.
const SHOWN: usize = 1024;

/// Makes messages of what a view tells.
pub(crate) struct Messages {
    /// Of the view.
    stream: String,
    ttl: Option<Duration>,
    publisher: Publisher,
    row: JsonRow,
    /// The run goes on from a log.
    goes_on: bool,
}

impl Messages {
    /// # Errors
    /// The view has a type that cannot be told.
    pub fn new(publish: Publish, stream: &str, schema: &SchemaRef) -> Result<Self, ArrowError> {
        let (ttl, row) = (publish.ttl, JsonRow::new(schema)?);
        Ok(Self { stream: stream.to_owned(), ttl, publisher: Publisher::new(publish, schema)?, row, goes_on: false })
    }

    /// The messages of a batch, each made of a publication, of all columns as JSON, and of how long the publication is
    /// still worth telling. One that cannot be made is told to the log and left out.
    ///
    /// # Errors
    /// The batch is of another view.
    pub fn of<M>(
        &mut self,
        batch: &ClosedBatch,
        mut make: impl FnMut(&Publication, &JsonRow, Option<Duration>) -> Result<M, String>,
    ) -> Result<Vec<M>, ArrowError> {
        let told = self.publisher.next(batch)?;
        let mut messages = Vec::with_capacity(told.len());
        for p in &told {
            match make(p, &self.row, self.left(p)) {
                Ok(message) => messages.push(message),
                Err(reason) => {
                    metrics::counter!("jarvis_sink_unsendable_total", "stream" => self.stream.clone()).increment(1);
                    let mut row = Vec::new();
                    self.row.write(&p.rows, p.row, &[], &mut row);
                    row.truncate(SHOWN);
                    tracing::error!(stream = self.stream, row = %String::from_utf8_lossy(&row), "not sent: {reason}");
                }
            }
        }
        Ok(messages)
    }

    /// What is left of its time to live. What is told after a restart may be old already.
    fn left(&self, p: &Publication) -> Option<Duration> {
        let ttl = self.ttl.filter(|_| p.what == What::Raised)?;
        Some(if self.goes_on { ttl.saturating_sub(age(p.time)) } else { ttl })
    }

    /// Takes note of a batch that was sent before a restart.
    pub fn recall(&mut self, batch: &ClosedBatch) -> anyhow::Result<()> {
        Ok(self.publisher.next(batch).map(drop)?)
    }

    pub fn snapshot(&self) -> anyhow::Result<Vec<u8>> {
        Ok(self.publisher.snapshot_bytes()?)
    }

    pub fn restore(&mut self, snapshot: Vec<u8>) -> anyhow::Result<()> {
        self.goes_on = true;
        Ok(self.publisher.restore_bytes(snapshot)?)
    }
}

/// How long ago a time in µs was.
fn age(time: u64) -> Duration {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    now.saturating_sub(Duration::from_micros(time))
}

/// A value as a person would write it: texts as they are, everything else as in JSON but without quotes. `None` is null.
/// `row` writes all columns of the view.
pub(crate) fn value<'p>(row: &JsonRow, p: &'p Publication, column: usize) -> Option<Cow<'p, str>> {
    let array = p.rows.column(column);
    if array.is_null(p.row) {
        return None;
    }
    if matches!(array.data_type(), DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View) {
        return Some(text(array, p.row).into());
    }
    let mut json = Vec::new();
    row.write_value(&p.rows, p.row, column, &mut json);
    let json = String::from_utf8_lossy(&json);
    Some(json.trim_matches('"').to_owned().into()).filter(|value| value != "null")
}
