//! What a publisher has told, to be kept across a restart.

use super::As;
use arrow::datatypes::{Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use arrow::record_batch::RecordBatch;
use serde::{Deserialize, Serialize};

/// What a publisher has told. The rows are an Arrow IPC stream, so a later version can read them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    mode: As,
    told: Vec<u8>,
}

/// A snapshot does not fit the publisher.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    #[error("the snapshot was taken with `as: {0:?}` and the sink now says `as: {1:?}`: start without the snapshot")]
    OtherMode(As, As),
    #[error("the snapshot has the columns {0}, the view now has {1}: start without the snapshot")]
    OtherColumns(String, String),
    #[error("this is no snapshot of what a sink was told")]
    NoSnapshot,
    #[error("the snapshot cannot be read: {0}")]
    Arrow(#[from] ArrowError),
}

impl Snapshot {
    pub(super) fn empty(mode: As) -> Self {
        Self { mode, told: Vec::new() }
    }

    pub(super) fn new(mode: As, rows: &RecordBatch) -> Result<Self, ArrowError> {
        let mut writer = StreamWriter::try_new(Vec::new(), &rows.schema())?;
        writer.write(rows)?;
        Ok(Self { mode, told: writer.into_inner()? })
    }

    /// For files; a later version reads it.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = format!("{}\n", mode_name(self.mode)).into_bytes();
        bytes.extend_from_slice(&self.told);
        bytes
    }

    /// What [`Snapshot::to_bytes`] gave.
    ///
    /// # Errors
    /// It is something else.
    pub(super) fn from_bytes(bytes: Vec<u8>) -> Result<Self, RestoreError> {
        let modes = [As::Events, As::State, As::Changes];
        let read = |mode: As| {
            let told = bytes.strip_prefix(mode_name(mode).as_bytes())?.strip_prefix(b"\n")?;
            Some(Self { mode, told: told.to_vec() })
        };
        modes.into_iter().find_map(read).ok_or(RestoreError::NoSnapshot)
    }

    pub(super) fn check_mode(&self, mode: As) -> Result<(), RestoreError> {
        if self.mode == mode { Ok(()) } else { Err(RestoreError::OtherMode(self.mode, mode)) }
    }

    /// The rows, if they have the columns that are expected.
    pub(super) fn rows(&self, expected: &SchemaRef) -> Result<Vec<RecordBatch>, RestoreError> {
        let reader = StreamReader::try_new(self.told.as_slice(), None)?;
        let found = reader.schema();
        if found.fields() != expected.fields() {
            return Err(RestoreError::OtherColumns(columns(&found), columns(expected)));
        }
        Ok(reader.collect::<Result<_, _>>()?)
    }
}

fn mode_name(mode: As) -> &'static str {
    match mode {
        As::Events => "events",
        As::State => "state",
        As::Changes => "changes",
    }
}

fn columns(schema: &Schema) -> String {
    let columns: Vec<_> = schema.fields().iter().map(|f| format!("{} {}", f.name(), f.data_type())).collect();
    columns.join(", ")
}
