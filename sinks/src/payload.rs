//! Publications as JSON objects and as rows.
//!
//! * raised: `{"event":"raised","id":..,"time":..,<the row>}`, with `"expires"` if the sink has a `ttl`
//! * cleared: `{"event":"cleared","id":..,"of":..,"time":..,<the identity's columns>}`; `of` is the id it was raised with
//! * put: the row; removed: `{"_deleted":true,<the identity's columns>}`
//! * a change: `{"_time":..,"_diff":..,<the row>}`
//!
//! If the view has a column of the same name as one of the event's own fields, the column keeps its name and the
//! event's field gets an underscore in front: `_id`.

use arrow::array::{ArrayRef, BooleanArray, StringArray, TimestampMicrosecondArray};
use arrow::compute::{interleave_record_batch, nullif};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use jarvis_runtime::json_out::{JsonCell, JsonRow};
use jarvis_runtime::publish::{Publication, Publish, What};
use std::sync::Arc;

/// Writes publications of one view.
pub(crate) struct Payload {
    row: JsonRow,
    identity: JsonRow,
    names: Names,
    /// µs.
    ttl: Option<u64>,
}

/// The names of an event's own fields.
struct Names {
    event: String,
    id: String,
    of: String,
    time: String,
    expires: String,
}

impl Names {
    fn new(schema: &Schema) -> Self {
        let free = |name: &str| {
            let mut free = name.to_owned();
            while schema.index_of(&free).is_ok() {
                free.insert(0, '_');
            }
            free
        };
        Self { event: free("event"), id: free("id"), of: free("of"), time: free("time"), expires: free("expires") }
    }
}

impl Payload {
    pub fn new(publish: &Publish, schema: &Schema) -> Result<Self, ArrowError> {
        let row = JsonRow::new(schema)?;
        let identity = match &publish.identity {
            Some(columns) => JsonRow::of_columns(schema, columns)?,
            None => row.clone(),
        };
        let ttl = publish.ttl.map(|ttl| u64::try_from(ttl.as_micros()).unwrap_or(u64::MAX));
        Ok(Self { row, identity, names: Names::new(schema), ttl })
    }

    /// Appends the publication as one JSON object.
    pub fn write(&self, p: &Publication, out: &mut Vec<u8>) {
        let names = &self.names;
        let id = (names.id.as_str(), p.id.as_deref().map_or(JsonCell::Null, JsonCell::Text));
        let time = (names.time.as_str(), JsonCell::Time(p.time));
        match p.what {
            What::Raised => {
                let event = (names.event.as_str(), JsonCell::Text("raised"));
                match self.ttl {
                    None => self.row.write(&p.rows, p.row, &[event, id, time], out),
                    Some(ttl) => {
                        let expires = (names.expires.as_str(), JsonCell::Time(p.time.saturating_add(ttl)));
                        self.row.write(&p.rows, p.row, &[event, id, time, expires], out);
                    }
                }
            }
            What::Cleared => {
                let event = (names.event.as_str(), JsonCell::Text("cleared"));
                let of = (names.of.as_str(), p.of.as_deref().map_or(JsonCell::Null, JsonCell::Text));
                self.identity.write(&p.rows, p.row, &[event, id, of, time], out);
            }
            What::Put => self.row.write(&p.rows, p.row, &[], out),
            What::Remove => self.identity.write(&p.rows, p.row, &[("_deleted", JsonCell::Bool(true))], out),
            What::Change(diff) => {
                let time = ("_time", JsonCell::Time(p.time));
                self.row.write(&p.rows, p.row, &[time, ("_diff", JsonCell::Int(diff))], out);
            }
        }
    }
}

/// Events as rows: their own fields as columns, then the view's.
pub(crate) struct EventRows {
    schema: SchemaRef,
    /// Which columns of the view an event that has cleared keeps.
    identity: Vec<bool>,
}

impl EventRows {
    pub fn new(publish: &Publish, schema: &Schema) -> Self {
        let names = Names::new(schema);
        let text = |name: String, nullable| Field::new(name, DataType::Utf8, nullable);
        let time = Field::new(names.time, DataType::Timestamp(TimeUnit::Microsecond, None), false);
        let own = [text(names.event, false), text(names.id, false), text(names.of, true), time];
        let view = schema.fields().iter().map(|field| field.as_ref().clone().with_nullable(true));
        let kept = |column| publish.identity.as_ref().is_none_or(|identity| identity.contains(&column));
        Self {
            schema: Arc::new(Schema::new(own.into_iter().chain(view).collect::<Vec<_>>())),
            identity: (0..schema.fields().len()).map(kept).collect(),
        }
    }

    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// # Errors
    /// The events are of another view.
    pub fn batch(&self, told: &[Publication]) -> Result<RecordBatch, ArrowError> {
        if told.is_empty() {
            return Ok(RecordBatch::new_empty(self.schema.clone()));
        }
        let is_cleared: BooleanArray = told.iter().map(|p| Some(p.what == What::Cleared)).collect();
        let event = |p: &Publication| if p.what == What::Cleared { "cleared" } else { "raised" };
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from_iter_values(told.iter().map(event))),
            Arc::new(told.iter().map(|p| p.id.clone()).collect::<StringArray>()),
            Arc::new(told.iter().map(|p| p.of.clone()).collect::<StringArray>()),
            times(told),
        ];
        for (column, kept) in rows(told)?.columns().iter().zip(&self.identity) {
            columns.push(if *kept { column.clone() } else { nullif(column, &is_cleared)? });
        }
        RecordBatch::try_new(self.schema.clone(), columns)
    }
}

/// The rows that publications are about, one each.
pub(crate) fn rows(told: &[Publication]) -> Result<RecordBatch, ArrowError> {
    let batches: Vec<&RecordBatch> = told.iter().map(|p| &p.rows).collect();
    let indices: Vec<(usize, usize)> = told.iter().enumerate().map(|(i, p)| (i, p.row)).collect();
    interleave_record_batch(&batches, &indices)
}

/// When they happened.
pub(crate) fn times(told: &[Publication]) -> ArrayRef {
    let micros = told.iter().map(|p| i64::try_from(p.time).unwrap_or(i64::MAX));
    Arc::new(TimestampMicrosecondArray::from_iter_values(micros))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::Int64Array;
    use jarvis_runtime::publish::As;

    /// A view of tickets, whose columns are called as an event's own fields.
    fn ticket() -> (SchemaRef, RecordBatch) {
        let fields = vec![Field::new("id", DataType::Int64, true), Field::new("_time", DataType::Int64, true)];
        let schema = Arc::new(Schema::new(fields));
        let columns: Vec<ArrayRef> = vec![Arc::new(Int64Array::from(vec![7])), Arc::new(Int64Array::from(vec![8]))];
        (schema.clone(), RecordBatch::try_new(schema, columns).unwrap())
    }

    fn told(what: What) -> Publication {
        let (id, of) = (Some("abc".to_owned()), Some("raise".to_owned()));
        Publication { what, rows: ticket().1, row: 0, time: 1_000_000, id, of }
    }

    fn publish() -> Publish {
        Publish { mode: As::Events, identity: Some(vec![0]), ..Publish::changes("tickets") }
    }

    fn text(what: What) -> String {
        let mut text = Vec::new();
        Payload::new(&publish(), &ticket().0).unwrap().write(&told(what), &mut text);
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn a_column_keeps_its_name_beside_the_events_own_fields() {
        let raised = r#"{"event":"raised","_id":"abc","time":"1970-01-01T00:00:01Z","id":7,"_time":8}"#;
        assert_eq!(text(What::Raised), raised);
        let cleared = r#"{"event":"cleared","_id":"abc","of":"raise","time":"1970-01-01T00:00:01Z","id":7}"#;
        assert_eq!(text(What::Cleared), cleared);
        assert_eq!(text(What::Remove), r#"{"_deleted":true,"id":7}"#);
        let rows = EventRows::new(&publish(), &ticket().0);
        let names: Vec<&String> = rows.schema().fields().iter().map(|field| field.name()).collect();
        assert_eq!(names, ["event", "_id", "of", "time", "id", "_time"]);
        let batch = rows.batch(&[told(What::Raised), told(What::Cleared)]).unwrap();
        assert_eq!((batch.column(4).null_count(), batch.column(5).null_count()), (0, 1));
        assert_eq!(rows.batch(&[]).unwrap().num_rows(), 0);
    }
}
