//! The rows of a stream and how they change, as JSON lines.
//!
//! A row that is there now has `_diff: 1`; a change has also its `_time`, and `_diff` is how many copies came or, if
//! negative, went. The dataflow does not wait for a slow reader: `{"_missed": N}` says that N batches are lacking.

use super::{Instance, JSON_LINES, Refusal};
use axum::body::{Body, Bytes};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use jarvis_runtime::Control;
use jarvis_runtime::control::Tap;
use jarvis_runtime::json_out::{JsonCell, JsonRow};
use serde::Deserialize;
use std::convert::Infallible;
use std::sync::atomic::Ordering;

#[derive(Deserialize)]
pub(super) struct Ask {
    /// Just the rows now.
    #[serde(default)]
    once: bool,
}

pub(super) async fn tap(
    State(instance): State<Instance>,
    Path(stream): Path<String>,
    Query(ask): Query<Ask>,
) -> Result<Response, Refusal> {
    let name = stream.clone();
    let tap = instance.ask(|reply| Control::Tap { stream: name, reply }).await?;
    let Some(tap) = tap else {
        return Err(Refusal(StatusCode::NOT_FOUND, format!("there is no stream {stream}; /streams lists them")));
    };
    let row =
        JsonRow::new(&tap.schema).map_err(|error| Refusal(StatusCode::UNPROCESSABLE_ENTITY, error.to_string()))?;
    let body = match (&tap.now, ask.once) {
        (None, true) => {
            let message = format!("jarvis holds no copy of {stream}: its rows are only seen as they come");
            return Err(Refusal(StatusCode::CONFLICT, message));
        }
        (now, true) => Body::from(now.as_ref().map(|rows| lines_now(&row, rows)).unwrap_or_default()),
        (_, false) => Body::from_stream(changes(row, tap)),
    };
    Ok(([(CONTENT_TYPE, JSON_LINES)], body).into_response())
}

fn lines_now(row: &JsonRow, rows: &arrow::record_batch::RecordBatch) -> Vec<u8> {
    let mut out = Vec::new();
    for i in 0..rows.num_rows() {
        row.write(rows, i, &[("_diff", JsonCell::Int(1))], &mut out);
        out.push(b'\n');
    }
    out
}

/// Ends when the dataflow does, or when another project takes its place.
fn changes(row: JsonRow, mut tap: Tap) -> impl futures::Stream<Item = Result<Bytes, Infallible>> + Send {
    let first = tap.now.take().map(|rows| lines_now(&row, &rows)).unwrap_or_default();
    futures::stream::unfold((row, tap, Some(first), 0), |(row, mut tap, first, told_missed)| async move {
        if let Some(first) = first {
            return Some((Ok(Bytes::from(first)), (row, tap, None, told_missed)));
        }
        let batch = tap.changes.recv().await?;
        let mut out = Vec::new();
        let missed = tap.missed.load(Ordering::Relaxed);
        if missed > told_missed {
            out.extend_from_slice(format!("{{\"_missed\":{}}}\n", missed - told_missed).as_bytes());
        }
        for i in 0..batch.rows.num_rows() {
            let extra = [("_time", JsonCell::Time(batch.times[i])), ("_diff", JsonCell::Int(batch.diffs[i]))];
            row.write(&batch.rows, i, &extra, &mut out);
            out.push(b'\n');
        }
        Some((Ok(Bytes::from(out)), (row, tap, None, missed)))
    })
}
