//! One connection to a camera, however many sources read it.

use super::Camera;
use jarvis_cameras::{Address, Frames, Health, Seen, State, watch};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::SystemTime;
use tokio::sync::{broadcast, mpsc};
use tokio::task::JoinHandle;

/// What may wait for a source before it misses some.
const WAITING: usize = 16;

/// A camera that is watched.
pub(super) struct Watched {
    address: Address,
    /// What else must be equal.
    settings: String,
    seen: broadcast::Sender<Arc<Seen>>,
    task: JoinHandle<()>,
}

impl Watched {
    pub fn subscribe(&self) -> broadcast::Receiver<Arc<Seen>> {
        self.seen.subscribe()
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// All cameras that this process watches.
static WATCHED: Mutex<Vec<Weak<Watched>>> = Mutex::new(vec![]);

/// Watches a camera, or joins those who do; the last one to leave ends it. `folder`: where pixels go.
pub(super) fn watched(camera: &Camera, folder: Option<&Path>) -> Arc<Watched> {
    let address = &camera.settings.address;
    let settings = format!("{:?} {folder:?}", camera.settings);
    let mut all = WATCHED.lock().unwrap_or_else(PoisonError::into_inner);
    all.retain(|watched| watched.strong_count() > 0);
    let is_same = |watched: &Arc<Watched>| {
        watched.address == *address && watched.settings == settings && !watched.task.is_finished()
    };
    if let Some(found) = all.iter().filter_map(Weak::upgrade).find(is_same) {
        return found;
    }
    let (seen, _) = broadcast::channel(WAITING);
    let task = tokio::spawn(run(camera.clone(), Frames::shared(folder), seen.clone()));
    let watched = Arc::new(Watched { address: address.clone(), settings, seen, task });
    all.push(Arc::downgrade(&watched));
    watched
}

/// Puts pixels into the ring before anybody hears of the frame.
async fn run(camera: Camera, pictures: Arc<Frames>, to: broadcast::Sender<Arc<Seen>>) {
    let (sender, mut seen) = mpsc::channel(2);
    let watching = watch(camera.settings.clone(), sender);
    let telling = async {
        while let Some(one) = seen.recv().await {
            if let Seen::Frame(frame) = &one {
                let (pictures, hash, jpeg) = (pictures.clone(), frame.hash, frame.jpeg.clone());
                let put = tokio::task::spawn_blocking(move || pictures.put(&hash, jpeg));
                if let Err(error) = put.await {
                    tracing::warn!(camera = camera.name, "a frame could not be kept: {error}");
                    continue;
                }
                metrics::counter!("jarvis_frames_total", "camera" => camera.name.clone()).increment(1);
            }
            if let Seen::Health(health) = &one {
                let is_live = f64::from(u8::from(health.state == State::Live));
                metrics::gauge!("jarvis_camera_live", "camera" => camera.name.clone()).set(is_live);
            }
            // Nobody listens only while sources are exchanged.
            let _ = to.send(Arc::new(one));
        }
    };
    let (watched, ()) = tokio::join!(watching, telling);
    if let Err(error) = watched {
        tracing::error!(camera = camera.name, "cannot be watched: {error}");
        let (at, reason) = (SystemTime::now(), format!("it cannot be watched: {error}"));
        let gone = Health { at, state: State::Gone, reason, since: at, frames: 0, skipped: 0, rate: 0.0 };
        // Nobody listens only while sources are exchanged.
        let _ = to.send(Arc::new(Seen::Health(gone)));
    }
}
