//! SQL over the views as they are now, and over the lineage if the run keeps one.

use super::{ARROW_STREAM, Instance, JSON_LINES, Refusal};
use crate::views;
use arrow::ipc::writer::StreamWriter;
use arrow::record_batch::RecordBatch;
use axum::extract::State;
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use jarvis_lineage::ResultFormat;
use jarvis_lineage::encode::Format;
use jarvis_runtime::Control;

pub(super) async fn sql(
    State(instance): State<Instance>,
    headers: HeaderMap,
    query: String,
) -> Result<Response, Refusal> {
    let views = instance.ask(|reply| Control::Views { reply }).await?;
    let views = views.into_iter().map(|(name, rows)| (name, vec![rows])).collect();
    let answer = views::query(views, instance.data(), &query).await;
    let rows = answer.map_err(|error| Refusal(StatusCode::BAD_REQUEST, views::reason(&error)))?;
    let wants_json = headers.get(ACCEPT).and_then(|a| a.to_str().ok()).is_some_and(|accept| accept.contains("json"));
    let (kind, body) = if wants_json { (JSON_LINES, as_json(&rows)) } else { (ARROW_STREAM, as_arrow(&rows)) };
    let body = body.map_err(|error| Refusal(StatusCode::UNPROCESSABLE_ENTITY, error.to_string()))?;
    Ok(([(CONTENT_TYPE, kind)], body).into_response())
}

fn as_json(rows: &[RecordBatch]) -> anyhow::Result<Vec<u8>> {
    let mut out = Vec::new();
    jarvis_lineage::write(ResultFormat::File(Format::JsonLines), rows, &mut out)?;
    Ok(out)
}

fn as_arrow(rows: &[RecordBatch]) -> anyhow::Result<Vec<u8>> {
    let mut out = Vec::new();
    if let Some(first) = rows.first() {
        let mut writer = StreamWriter::try_new(&mut out, &first.schema())?;
        for batch in rows {
            writer.write(batch)?;
        }
        writer.finish()?;
    }
    Ok(out)
}
