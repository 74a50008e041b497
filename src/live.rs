//! A run without an end, and what goes on beside the dataflow: signals, the watched files, the answers over HTTP.
//!
//! The dataflow has the main thread and a tokio runtime of its own; what is here has another one, so that a long query
//! holds back no row.

use crate::housekeeping::House;
use crate::http::{self, Instance, Listen};
use crate::postgres::Postgres;
use crate::project_arguments::{AsTheyRan, ProjectArguments, keep_decisions};
use crate::{signals, terminal, watch};
use anyhow::Context;
use jarvis_lineage::InputArchive;
use jarvis_runtime::versions::FormerProjects;
use jarvis_runtime::{Archive, Control, Kinds, LiveOptions, Project, run_live};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::{Builder, Handle};
use tokio::sync::mpsc;

/// How many requests may wait for the conductor.
const WAITING_REQUESTS: usize = 64;
/// For a thread that reads and plans what clients ask, bytes. Only what is used of it takes memory.
const STACK: usize = 32 << 20;
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
    /// `None`, and so below: as the engine thinks best.
    pub sync: Option<Duration>,
    pub checkpoint: Option<Duration>,
    pub compact: Option<u64>,
    pub sign: Option<Duration>,
    /// How long history is kept where a source does not say; `None`: for ever.
    pub history: Option<Duration>,
    pub postgres: Option<Postgres>,
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
    mut project: Project,
    setup: Setup,
    beside: impl FnOnce(&Scene<'_>) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let listener = setup.listen.bind()?;
    let postgres = setup.postgres.as_ref().map(|postgres| postgres.bind(setup.data.as_deref())).transpose()?;
    let runtime = Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("beside")
        .thread_stack_size(STACK)
        .enable_all()
        .build()?;
    let (control, requests) = mpsc::channel(WAITING_REQUESTS);
    let address = listener.as_ref().map(std::net::TcpListener::local_addr).transpose()?;
    {
        let _entered = runtime.enter();
        let stops = signals::stops().context("cannot listen for signals")?;
        let asked_twice = stop_when_asked(stops, control.clone());
        runtime.spawn(async {
            if asked_twice.await {
                std::process::exit(130);
            }
        });
    }
    let mut for_clients = None;
    if listener.is_some() || postgres.is_some() {
        let instance = Instance::new(control.clone(), setup.data.clone())?;
        if let Some(postgres) = postgres {
            terminal::say(&postgres.about()?);
            // On threads of their own: a long statement holds back nothing else.
            let clients = Builder::new_multi_thread()
                .worker_threads(2)
                .thread_name("postgres")
                .thread_stack_size(STACK)
                .enable_all()
                .build()?;
            clients.spawn(postgres.serve(instance.clone()));
            for_clients = Some(clients);
        }
        if let Some(listener) = listener {
            runtime.spawn(http::serve(listener, instance));
        }
    }
    if let Some(data) = &setup.data {
        let house = House {
            data: data.clone(),
            history: setup.history,
            arguments: setup.arguments.clone(),
            kinds: setup.kinds.clone(),
        };
        runtime.spawn(house.keep());
    }
    if setup.watch {
        let paths = setup.arguments.paths(setup.data.as_deref())?;
        runtime.spawn(watch::follow(paths, setup.kinds.clone(), control.clone()));
    }
    keep_decisions(&mut project, setup.data.as_deref());
    beside(&Scene { runtime: runtime.handle(), control, http: address })?;
    let archive = setup.data.as_deref().map(|data| {
        let archive = InputArchive::new(data);
        let archive = if let Some(sign) = setup.sign { archive.signing_every(sign) } else { archive };
        Arc::new(archive) as Arc<dyn Archive>
    });
    let former = AsTheyRan { paths: setup.arguments.paths(setup.data.as_deref())?, kinds: setup.kinds };
    let former = Some(Arc::new(former) as Arc<dyn FormerProjects>);
    let mut options =
        LiveOptions { workers: setup.workers, data: setup.data, archive, former, ..LiveOptions::default() };
    options.tick = setup.tick.unwrap_or(options.tick);
    options.sync = setup.sync.unwrap_or(options.sync);
    options.compact = setup.compact.unwrap_or(options.compact);
    options.checkpoint = setup.checkpoint.unwrap_or(options.checkpoint);
    let ended = run_live(project, options, requests);
    for_clients.into_iter().for_each(tokio::runtime::Runtime::shutdown_background);
    runtime.shutdown_timeout(LAST_ANSWERS);
    ended
}

/// Stops gracefully the first time. True: there was a second time, which is to end the process at once.
async fn stop_when_asked(mut stops: mpsc::Receiver<()>, control: mpsc::Sender<Control>) -> bool {
    if stops.recv().await.is_none() {
        return false;
    }
    terminal::say("stopping: what has arrived is worked off; once more stops at once");
    // The second time does not wait until this has been taken. A dataflow that is gone has stopped.
    tokio::spawn(async move { control.send(Control::Stop).await });
    stops.recv().await.is_some()
}

/// Starts an MQTT broker in this process.
///
/// # Errors
/// The address is taken.
pub fn start_broker(address: SocketAddr) -> anyhow::Result<()> {
    jarvis_sources::start_embedded_broker(address).context("there is no MQTT broker")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_second_time_counts_even_if_nobody_takes_the_first() {
        let (control, _requests) = mpsc::channel(1);
        assert!(control.try_send(Control::Stop).is_ok(), "there is room for one");
        let (asker, stops) = mpsc::channel(2);
        asker.send(()).await.unwrap();
        asker.send(()).await.unwrap();
        assert!(tokio::time::timeout(Duration::from_secs(10), stop_when_asked(stops, control)).await.unwrap());
    }
}
