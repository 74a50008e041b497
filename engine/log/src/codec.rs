//! Ticks and states as frames. The batches of one stream within one file are one Arrow IPC stream: its schema comes with
//! the first of them.

use crate::frame::{self, Frame};
use crate::{Batch, Blob, LogError, Mark, State, Tick};
use arrow::array::{ArrayRef, AsArray, Int64Array};
use arrow::buffer::Buffer;
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::ipc::reader::StreamDecoder;
use arrow::ipc::writer::StreamWriter;
use arrow::record_batch::RecordBatch;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::io;
use std::sync::Arc;

/// What a frame is; everything but the bytes of the body, which follow in the order of their lengths.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Header {
    Tick {
        time: u64,
        previous: u64,
        /// All ticks up to this one were durable when the frame was written.
        durable: u64,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        batches: Vec<BatchHeader>,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        marks: Vec<MarkHeader>,
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        delivered: BTreeMap<String, u64>,
    },
    State {
        time: u64,
        blobs: Vec<BlobHeader>,
    },
    /// The checkpoint is whole.
    End {
        ticks: u64,
    },
}

#[derive(Serialize, Deserialize)]
struct BatchHeader {
    stream: String,
    /// The number of the IPC stream within the file.
    ipc: u32,
    place: u64,
    bytes: u64,
}

#[derive(Serialize, Deserialize)]
struct MarkHeader {
    stream: String,
    first: u64,
    count: u64,
    done: u64,
    bytes: u64,
}

#[derive(Serialize, Deserialize)]
struct BlobHeader {
    name: String,
    bytes: u64,
}

/// The weights of rows, unless each is 1.
const DIFF: &str = "_diff";

/// One IPC stream.
struct Stream {
    ipc: u32,
    schema: SchemaRef,
    writer: StreamWriter<Vec<u8>>,
}

/// Writes the frames of one file.
#[derive(Default)]
pub struct Encoder {
    /// By name and whether there are weights.
    streams: HashMap<(String, bool), Stream>,
    next: u32,
    body: Vec<u8>,
}

impl Encoder {
    /// Appends the frame of a tick that is written when all ticks up to `durable` are.
    pub fn tick(&mut self, tick: &Tick, durable: u64, out: &mut Vec<u8>) -> Result<(), LogError> {
        self.body.clear();
        let mut batches = Vec::with_capacity(tick.batches.len());
        // Arrow's decoder waits for the content of a message that has none.
        for batch in tick.batches.iter().filter(|b| b.rows.num_rows() > 0) {
            let before = self.body.len();
            let ipc = self.batch(batch)?;
            let bytes = (self.body.len() - before) as u64;
            batches.push(BatchHeader { stream: batch.stream.clone(), ipc, place: batch.place, bytes });
        }
        let marks = tick.marks.iter().map(|mark| {
            self.body.extend_from_slice(&mark.note);
            let Mark { stream, first, count, done, note } = mark;
            MarkHeader { stream: stream.clone(), first: *first, count: *count, done: *done, bytes: note.len() as u64 }
        });
        let marks = marks.collect();
        let delivered = tick.delivered.clone();
        let (time, previous) = (tick.time, tick.previous);
        self.put(&Header::Tick { time, previous, durable, batches, marks, delivered }, out)
    }
    pub fn state(&mut self, state: &State, out: &mut Vec<u8>) -> Result<(), LogError> {
        self.body.clear();
        let blobs = state.blobs.iter().map(|blob| {
            self.body.extend_from_slice(&blob.bytes);
            BlobHeader { name: blob.name.clone(), bytes: blob.bytes.len() as u64 }
        });
        let blobs = blobs.collect();
        self.put(&Header::State { time: state.time, blobs }, out)
    }
    pub fn end(&mut self, ticks: u64, out: &mut Vec<u8>) -> Result<(), LogError> {
        self.body.clear();
        self.put(&Header::End { ticks }, out)
    }
    fn put(&self, header: &Header, out: &mut Vec<u8>) -> Result<(), LogError> {
        let json = serde_json::to_vec(header).map_err(|e| ArrowError::JsonError(e.to_string()))?;
        frame::put(out, &json, &self.body).map_err(|e: io::Error| ArrowError::from(e).into())
    }
    /// Appends a batch to the body; returns the number of its IPC stream.
    fn batch(&mut self, batch: &Batch) -> Result<u32, ArrowError> {
        let weighted = batch.diffs.iter().any(|d| *d != 1);
        let rows = if weighted { with_diffs(batch)? } else { batch.rows.clone() };
        let key = (batch.stream.clone(), weighted);
        let fits = self.streams.get(&key).is_some_and(|s| s.schema == rows.schema());
        if !fits {
            let (schema, ipc) = (rows.schema(), self.next);
            let writer = StreamWriter::try_new(vec![], &schema)?;
            self.next += 1;
            self.streams.insert(key.clone(), Stream { ipc, schema, writer });
        }
        let Some(stream) = self.streams.get_mut(&key) else { return Ok(0) };
        stream.writer.write(&rows)?;
        self.body.append(stream.writer.get_mut());
        Ok(stream.ipc)
    }
}

fn with_diffs(batch: &Batch) -> Result<RecordBatch, ArrowError> {
    let schema = batch.rows.schema();
    let fields = schema.fields().iter().cloned().chain([Arc::new(Field::new(DIFF, DataType::Int64, false))]);
    let diffs: ArrayRef = Arc::new(Int64Array::from(batch.diffs.clone()));
    let columns = batch.rows.columns().iter().cloned().chain([diffs]);
    RecordBatch::try_new(Arc::new(Schema::new(fields.collect::<Vec<_>>())), columns.collect())
}

/// Reads the frames of one file.
#[derive(Default)]
pub struct Decoder {
    streams: HashMap<u32, StreamDecoder>,
}

/// What a frame says.
pub enum Content {
    Tick(Tick),
    State(State),
    End { ticks: u64 },
}

impl Decoder {
    /// # Errors
    /// In words, what is wrong with a frame whose checksum is right.
    pub fn read(&mut self, frame: &Frame) -> Result<Content, String> {
        let header: Header = serde_json::from_slice(frame.header()).map_err(|e| e.to_string())?;
        let mut body = frame.body();
        match header {
            Header::Tick { time, previous, durable: _, batches, marks, delivered } => {
                let mut tick = Tick { time, previous, delivered, ..Default::default() };
                for header in batches {
                    tick.batches.push(self.batch(header, &mut body)?);
                }
                for MarkHeader { stream, first, count, done, bytes } in marks {
                    let note = part(&mut body, bytes)?.to_vec();
                    tick.marks.push(Mark { stream, first, count, done, note });
                }
                Ok(Content::Tick(tick))
            }
            Header::State { time, blobs } => {
                let blob = |BlobHeader { name, bytes }| Ok(Blob { name, bytes: part(&mut body, bytes)?.to_vec() });
                Ok(Content::State(State { time, blobs: blobs.into_iter().map(blob).collect::<Result<_, String>>()? }))
            }
            Header::End { ticks } => Ok(Content::End { ticks }),
        }
    }
    fn batch(&mut self, header: BatchHeader, body: &mut &[u8]) -> Result<Batch, String> {
        let BatchHeader { stream, ipc, place, bytes } = header;
        let mut bytes = Buffer::from(part(body, bytes)?);
        let decoded = self.streams.entry(ipc).or_default().decode(&mut bytes);
        let rows = decoded.map_err(|e| e.to_string())?.ok_or_else(|| format!("rows of {stream} are missing"))?;
        let last = rows.num_columns().saturating_sub(1);
        if rows.schema().fields().last().is_none_or(|f| f.name() != DIFF) {
            let diffs = vec![1; rows.num_rows()];
            return Ok(Batch { stream, place, rows, diffs });
        }
        let diffs = rows.column(last).as_primitive_opt::<Int64Type>().ok_or("weights are no integers")?;
        let diffs = diffs.values().to_vec();
        let rows = rows.project(&(0..last).collect::<Vec<_>>()).map_err(|e| e.to_string())?;
        Ok(Batch { stream, place, rows, diffs })
    }
}

/// How the header of a tick begins.
pub const TICK: &[u8] = br#"{"tick":"#;

/// Up to which time ticks were durable when the frame of a tick was written.
pub fn durable_before(frame: &Frame) -> Option<u64> {
    match serde_json::from_slice(frame.header()) {
        Ok(Header::Tick { durable, .. }) => Some(durable),
        _ => None,
    }
}

/// The next bytes of a body.
fn part<'a>(body: &mut &'a [u8], bytes: u64) -> Result<&'a [u8], String> {
    let bytes =
        usize::try_from(bytes).ok().filter(|b| *b <= body.len()).ok_or("its parts are longer than the frame")?;
    let (part, rest) = body.split_at(bytes);
    *body = rest;
    Ok(part)
}
