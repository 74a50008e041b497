//! What a running instance answers over HTTP, for the other commands, for Prometheus and for scripts.
//!
//! | request | answer |
//! |---|---|
//! | `GET /healthz` | `ok` while the dataflow answers |
//! | `GET /metrics` | Prometheus text |
//! | `GET /streams` | every stream with its columns and counts, JSON |
//! | `GET /sizes` | rows and bytes held per operator, JSON |
//! | `GET /tap/PIPELINE.STREAM` | JSON lines: the rows now, then every change; with `?once=true` just the rows now |
//! | `GET /frames/HASH.jpg` | the camera picture of that hash, JPEG |
//! | `POST /sql` | the query in the body over views and lineage: Arrow IPC, or JSON lines if `Accept` asks for JSON |
//!
//! There is no password, so it belongs on loopback; requests that a web page of somebody else may have caused are refused.

mod frames;
mod guard;
mod sql;
mod status;
pub use status::Size;
mod tap;

use anyhow::Context;
use axum::Router;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use guard::Hosts;
use jarvis_cameras::Frames;
use jarvis_runtime::Control;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// The type of Arrow's streaming format.
pub const ARROW_STREAM: &str = "application/vnd.apache.arrow.stream";
/// The type of JSON lines.
pub const JSON_LINES: &str = "application/x-ndjson";

/// How long the conductor may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often histograms are tidied up.
const UPKEEP: Duration = Duration::from_secs(5);

/// Where to listen: an address, or `none`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listen {
    Nowhere,
    At(SocketAddr),
}

impl FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "none" => Ok(Self::Nowhere),
            text => text.parse().map(Self::At).map_err(|_| "write IP:PORT, such as 127.0.0.1:7470, or none".to_owned()),
        }
    }
}

impl Listen {
    /// # Errors
    /// The address is taken or not of this machine.
    pub fn bind(self) -> anyhow::Result<Option<TcpListener>> {
        let Self::At(address) = self else { return Ok(None) };
        if !address.ip().is_loopback() {
            tracing::warn!("{address} can be reached from other machines, and there is no password");
        }
        let listener = TcpListener::bind(address).with_context(|| {
            format!("cannot listen on {address}: choose another address with --listen ADDRESS, or --listen none")
        })?;
        listener.set_nonblocking(true)?;
        Ok(Some(listener))
    }
}

/// What the answers are made from.
#[derive(Clone)]
pub struct Instance {
    control: mpsc::Sender<Control>,
    metrics: PrometheusHandle,
    data: Option<Arc<PathBuf>>,
    /// The pixels of cameras, once somebody has asked for one.
    frames: Arc<OnceLock<Arc<Frames>>>,
}

impl Instance {
    /// From now on metrics are kept.
    ///
    /// # Errors
    /// Something else keeps them already.
    pub fn new(control: mpsc::Sender<Control>, data: Option<PathBuf>) -> anyhow::Result<Self> {
        let recorder = PrometheusBuilder::new().build_recorder();
        let metrics = recorder.handle();
        metrics::set_global_recorder(recorder).context("metrics are kept twice")?;
        Ok(Self { control, metrics, data: data.map(Arc::new), frames: Arc::default() })
    }

    pub fn data(&self) -> Option<&Path> {
        self.data.as_deref().map(PathBuf::as_path)
    }

    /// Asks the conductor.
    ///
    /// # Errors
    /// The run is ending, or its dataflow is busy.
    pub async fn ask<T>(&self, request: impl FnOnce(oneshot::Sender<T>) -> Control) -> Result<T, Refusal> {
        let (reply, answer) = oneshot::channel();
        let ended = || Refusal(StatusCode::SERVICE_UNAVAILABLE, "jarvis is stopping".to_owned());
        let asked = async {
            self.control.send(request(reply)).await.map_err(|_| ended())?;
            answer.await.map_err(|_| ended())
        };
        let busy = Refusal(StatusCode::SERVICE_UNAVAILABLE, format!("the dataflow has not answered for {PATIENCE:?}"));
        tokio::time::timeout(PATIENCE, asked).await.map_err(|_| busy)?
    }
}

/// Why there is no answer.
#[derive(Debug)]
pub struct Refusal(StatusCode, String);

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.1)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.0, format!("{}\n", self.1)).into_response()
    }
}

/// Answers until the runtime ends.
pub async fn serve(listener: TcpListener, instance: Instance) {
    let served = async {
        let address = listener.local_addr()?;
        let listener = tokio::net::TcpListener::from_std(listener)?;
        tokio::spawn(keep_up(instance.metrics.clone()));
        axum::serve(listener, router(instance, Hosts::of(address))).await
    };
    if let Err(error) = served.await {
        tracing::error!(%error, "nothing is answered over HTTP any more");
    }
}

async fn keep_up(metrics: PrometheusHandle) {
    loop {
        tokio::time::sleep(UPKEEP).await;
        metrics.run_upkeep();
    }
}

fn router(instance: Instance, hosts: Hosts) -> Router {
    Router::new()
        .route("/healthz", get(status::health))
        .route("/metrics", get(status::metrics))
        .route("/streams", get(status::streams))
        .route("/sizes", get(status::sizes))
        .route("/frames/{name}", get(frames::frame))
        .route("/tap/{stream}", get(tap::tap))
        .route("/sql", post(sql::sql))
        .layer(axum::middleware::from_fn(move |request, next| guard::only(hosts, request, next)))
        .with_state(instance)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_or_none() {
        assert_eq!("none".parse(), Ok(Listen::Nowhere));
        assert_eq!("127.0.0.1:7470".parse(), Ok(Listen::At(([127, 0, 0, 1], 7470).into())));
        assert!("localhost".parse::<Listen>().is_err());
    }
}
