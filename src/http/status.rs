//! How an instance is.

use super::{Instance, Refusal};
use axum::Json;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use jarvis_runtime::Control;
use jarvis_runtime::control::StreamStatus;
use serde::{Deserialize, Serialize};

/// What an operator holds, over all workers.
#[derive(Debug, Serialize, Deserialize)]
pub struct Size {
    pub operator: String,
    pub rows: u64,
    pub bytes: u64,
}

pub(super) async fn health(State(instance): State<Instance>) -> Result<&'static str, Refusal> {
    instance.ask(|reply| Control::Streams { reply }).await?;
    Ok("ok\n")
}

pub(super) async fn metrics(State(instance): State<Instance>) -> impl IntoResponse {
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], instance.metrics.render())
}

pub(super) async fn streams(State(instance): State<Instance>) -> Result<Json<Vec<StreamStatus>>, Refusal> {
    Ok(Json(instance.ask(|reply| Control::Streams { reply }).await?))
}

pub(super) async fn sizes(State(instance): State<Instance>) -> Result<Json<Vec<Size>>, Refusal> {
    let sizes = instance.ask(|reply| Control::Sizes { reply }).await?;
    Ok(Json(sizes.into_iter().map(|(operator, rows, bytes)| Size { operator, rows, bytes }).collect()))
}
