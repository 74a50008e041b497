//! `camera`: pictures of cameras as rows, and how the cameras fare.
//!
//! A row carries a frame's hash (SHA-256 of its JPEG); the pixels lie in a bounded ring, in memory and then below the
//! data folder, where `infer` and sinks find them by the hash. A source tells either the frames or the health of its
//! cameras; two sources of the same camera share one connection. What cannot be delivered in time is dropped, the newest
//! frame last: a camera never makes the graph wait, nor the graph the camera.
//!
//! Each camera connects, fails and comes back on its own. [`jarvis_cameras`] speaks the protocols.

mod entry;
mod hub;
mod rows;

use entry::{Written, entry};
use futures::future::BoxFuture;
use hub::watched;
use jarvis_cameras::{Seen, Settings};
use jarvis_runtime::arrival::Arrival;
use jarvis_runtime::kinds::{Feed, LiveSource, PlanContext, SourceKind, SourcePlan, StreamSpec};
use jarvis_runtime::roster::roster;
use jarvis_spec::{Diagnostic, Diagnostics, Node};
use rows::{frame_row, frame_schema, health_row, health_schema};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::PathBuf;

use tokio::sync::broadcast::error::RecvError;
use tokio::task::JoinSet;

/// The kind `camera`.
#[derive(Clone, Copy, Debug, Default)]
pub struct CameraSource;

/// Frames of cameras, or how the cameras fare. The source brings its own schema:
///
/// * frames: `camera: utf8`, `printer: utf8?`, `at: timestamp`, `frame: utf8` (the hash of the JPEG), `width: int32`,
///   `height: int32`, `luminance: float64` and `contrast: float64` (mean and standard deviation, 0 to 255)
/// * health: `camera: utf8`, `printer: utf8?`, `at: timestamp`, `state: utf8` (`live`, `frozen`, `black`, `dark`, `gone`),
///   `reason: utf8`, `since: timestamp`, `rate: float64` (frames a second), `skipped: int64`
#[derive(Clone, Debug, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct Options {
    /// The cameras by name, or the path of a YAML file with them.
    #[schemars(with = "Cameras")]
    cameras: Node,
    /// What its rows tell: `frames` (unless set) or `health`.
    #[serde(default)]
    tell: Tell,
}

/// What `cameras` may be, for the JSON schema.
#[derive(schemars::JsonSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "only described, never made")]
enum Cameras {
    File(String),
    Here(BTreeMap<String, Written>),
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Tell {
    #[default]
    Frames,
    Health,
}

impl SourceKind for CameraSource {
    fn name(&self) -> &'static str {
        "camera"
    }

    fn options(&self) -> schemars::Schema {
        schemars::schema_for!(Options)
    }

    fn infer_schema(
        &self,
        options: &Node,
        _: &PlanContext,
    ) -> Option<Result<arrow::datatypes::SchemaRef, Diagnostics>> {
        let read: Result<Options, Diagnostic> = options.parse();
        Some(read.map(|options| schema(options.tell)).map_err(Diagnostics::from))
    }

    fn plan(&self, stream: &StreamSpec, options: &Node, context: &PlanContext) -> Result<SourcePlan, Diagnostics> {
        let read: Options = options.parse()?;
        if *stream.schema != *schema(read.tell) {
            return Err(Diagnostic::error("wrong_schema", "a camera brings its own columns")
                .at(options.span())
                .help("remove `schema`, and choose columns in a view")
                .into());
        }
        let mut found = Diagnostics::default();
        let mut cameras = vec![];
        for written in roster(&read.cameras, context)? {
            match entry(&written, context) {
                Ok(camera) => cameras.push(camera),
                Err(d) => found.push(d),
            }
        }
        if found.has_errors() {
            return Err(found);
        }
        let frames = context.data.as_ref().map(|data| data.join(jarvis_cameras::FOLDER));
        Ok(SourcePlan::Live(Box::new(Watching { cameras, tell: read.tell, frames })))
    }
}

fn schema(tell: Tell) -> arrow::datatypes::SchemaRef {
    match tell {
        Tell::Frames => frame_schema(),
        Tell::Health => health_schema(),
    }
}

/// A camera, and what it looks at.
#[derive(Clone, Debug)]
pub(crate) struct Camera {
    pub name: String,
    pub printer: Option<String>,
    pub settings: Settings,
}

/// Ready to run.
struct Watching {
    cameras: Vec<Camera>,
    tell: Tell,
    /// Where pixels go; `None`: they stay in memory.
    frames: Option<PathBuf>,
}

impl LiveSource for Watching {
    fn marks(&self) -> String {
        let words = |camera: &Camera| (camera.settings.address.mark(), format!("{camera:?}"));
        format!("{:?}", self.cameras.iter().map(words).collect::<Vec<_>>())
    }
    fn run(self: Box<Self>, feed: Feed) -> BoxFuture<'static, anyhow::Result<()>> {
        Box::pin(async move {
            let mut following = JoinSet::new();
            for camera in self.cameras {
                following.spawn(follow(camera, self.tell, self.frames.clone(), feed.clone()));
            }
            // A recording ends; the others go on.
            while let Some(ended) = following.join_next().await {
                ended??;
            }
            feed.closed().await;
            Ok(())
        })
    }
}

/// Hands over what one camera shows, until the graph is gone.
async fn follow(camera: Camera, tell: Tell, frames: Option<PathBuf>, feed: Feed) -> anyhow::Result<()> {
    let watched = watched(&camera, frames.as_deref());
    let mut seen = watched.subscribe();
    loop {
        let next = tokio::select! {
            next = seen.recv() => next,
            () = feed.closed() => return Ok(()),
        };
        let row = match next {
            Ok(seen) => match (&*seen, tell) {
                (Seen::Frame(frame), Tell::Frames) => frame_row(&camera, frame)?,
                (Seen::Health(health), Tell::Health) => health_row(&camera, health)?,
                _ => continue,
            },
            Err(RecvError::Lagged(missed)) => {
                metrics::counter!("jarvis_frames_skipped_total", "camera" => camera.name.clone()).increment(missed);
                continue;
            }
            Err(RecvError::Closed) => return Ok(()),
        };
        if feed.send(Arrival::new(row)).await.is_err() {
            return Ok(());
        }
    }
}
