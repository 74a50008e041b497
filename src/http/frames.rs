//! `GET /frames/HASH.jpg`: the picture that a row names.

use super::{Instance, Refusal};
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use jarvis_cameras::{Frames, Hash};

/// What a hash names never changes.
const FOREVER: &str = "private, max-age=31536000, immutable";

pub async fn frame(State(instance): State<Instance>, Path(name): Path<String>) -> Result<Response, Refusal> {
    let hash = name.strip_suffix(".jpg").unwrap_or(&name).parse::<Hash>();
    let hash = hash.map_err(|error| Refusal(StatusCode::BAD_REQUEST, error.to_string()))?;
    // Opening the ring and reading a picture may touch the disk.
    let find = move || {
        let folder = instance.data().map(|data| data.join(jarvis_cameras::FOLDER));
        instance.frames.get_or_init(|| Frames::shared(folder.as_deref())).get(&hash)
    };
    let found = tokio::task::spawn_blocking(find).await;
    let gone = || Refusal(StatusCode::NOT_FOUND, format!("no picture {hash} is kept, or not any more"));
    let picture = found.ok().flatten().ok_or_else(gone)?;
    Ok(([(header::CONTENT_TYPE, "image/jpeg"), (header::CACHE_CONTROL, FOREVER)], picture).into_response())
}
