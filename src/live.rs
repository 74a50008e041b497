//! A run without an end, and what goes on beside the dataflow: signals, the watched files, the answers over HTTP.
//!
//! The dataflow has the main thread and a tokio runtime of its own; what is here has another one, so that a long query
//! holds back no row.

use crate::http::{self, Instance, Listen};
use crate::project_arguments::ProjectArguments;
use crate::{signals, terminal, watch};
use anyhow::Context;
use jarvis_runtime::{Control, Kinds, LiveOptions, Project, run_live};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::{Builder, Handle};
use tokio::sync::mpsc;

/// How many requests may wait for the conductor.
const WAITING_REQUESTS: usize = 64;
/// How long those who are being answered may still take when the dataflow has ended.
const LAST_ANSWERS: Duration = Duration::from_secs(1);

/// How to run.
pub struct Setup {
    pub arguments: ProjectArguments,
    pub kinds: Arc<Kinds>,
    pub workers: usize,
    /// `None`: as the engine thinks best.
    pub tick: Option<Duration>,
    pub data: Option<PathBuf>,
    pub listen: Listen,
    /// Reload pipelines whose files change.
    pub watch: bool,
}

/// What others can use that run beside the dataflow.
pub struct Scene<'a> {
    pub runtime: &'a Handle,
    pub control: mpsc::Sender<Control>,
    /// Where HTTP is answered.
    pub http: Option<SocketAddr>,
}

/// Runs until it is told to stop; `beside` may start tasks of its own before.
///
/// # Errors
/// The address is taken, or the run has failed: a worker panicked, a source or a sink gave up.
pub fn run(
    project: Project,
    setup: Setup,
    beside: impl FnOnce(&Scene<'_>) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let listener = setup.listen.bind()?;
    let runtime = Builder::new_multi_thread().worker_threads(2).thread_name("beside").enable_all().build()?;
    let (control, requests) = mpsc::channel(WAITING_REQUESTS);
    let address = listener.as_ref().map(std::net::TcpListener::local_addr).transpose()?;
    {
        let _entered = runtime.enter();
        let stops = signals::stops().context("cannot listen for signals")?;
        runtime.spawn(stop_when_asked(stops, control.clone()));
    }
    if let Some(listener) = listener {
        let instance = Instance::new(control.clone(), setup.data.clone())?;
        runtime.spawn(http::serve(listener, instance));
    }
    if setup.watch {
        let paths = setup.arguments.paths(setup.data.as_deref())?;
        runtime.spawn(watch::follow(paths, setup.kinds.clone(), control.clone()));
    }
    beside(&Scene { runtime: runtime.handle(), control, http: address })?;
    let mut options = LiveOptions { workers: setup.workers, data: setup.data, ..LiveOptions::default() };
    if let Some(tick) = setup.tick {
        options.tick = tick;
    }
    let ended = run_live(project, options, requests);
    runtime.shutdown_timeout(LAST_ANSWERS);
    ended
}

/// The first time gracefully, the second time at once.
async fn stop_when_asked(mut stops: mpsc::Receiver<()>, control: mpsc::Sender<Control>) {
    if stops.recv().await.is_none() {
        return;
    }
    terminal::say("stopping: what has arrived is worked off; once more stops at once");
    // A dataflow that is gone has stopped.
    let _ = control.send(Control::Stop).await;
    if stops.recv().await.is_some() {
        std::process::exit(130);
    }
}

/// Starts an MQTT broker in this process.
///
/// # Errors
/// The address is taken.
pub fn start_broker(address: SocketAddr) -> anyhow::Result<()> {
    jarvis_sources::start_embedded_broker(address).context("there is no MQTT broker")?;
    Ok(())
}
