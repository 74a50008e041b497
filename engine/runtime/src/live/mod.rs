//! Live mode: sources that go on, a clock that is the wall's and never goes back, sinks that keep up or make the sources
//! wait.
//!
//! One conductor mints ticks: it takes what has arrived, gives it a time, runs it through the workers, hands the results
//! to the sinks, and only then lets the sources acknowledge. A tick closes as soon as what has arrived is drained, so
//! latency is work and not waiting; without arrivals the clock strikes only when something falls due.

mod bridges;
mod clock;
mod compaction;
mod conductor;
mod ending;
pub mod errors;
mod history;
mod intake;
mod journal;
mod recovery;
mod reload;
mod states;
pub(crate) mod views;

pub(crate) use conductor::Outlet;
pub(crate) use history::Keep;
pub(crate) use reload::{fingerprint, outlets, sink_fingerprint};
pub(crate) use states::Sinks;

use crate::control::Control;
use crate::project::Project;
use crate::versions::FormerProjects;
use conductor::Conductor;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// What keeps the ticks that the log no longer needs.
pub trait Archive: std::fmt::Debug + Send + Sync {
    /// Keeps the ticks of the log that it does not have yet, up to `upto`.
    ///
    /// # Errors
    /// The disk refuses: the log then keeps them.
    fn keep(&self, log: &jarvis_log::Folder, upto: u64) -> anyhow::Result<()>;

    /// The log has a new checkpoint, which will be removed for the next one.
    ///
    /// # Errors
    /// The disk refuses; nothing is lost.
    fn has_checkpoint(&self, log: &jarvis_log::Folder) -> anyhow::Result<()>;

    /// Who is to see every tick on its way to the disk; the log has been read and repaired.
    ///
    /// # Errors
    /// What it has seen in earlier runs cannot be read.
    fn witness(&self) -> anyhow::Result<Option<Box<dyn jarvis_log::Witness>>>;
}

/// How a live run works.
#[derive(Clone, Debug)]
pub struct LiveOptions {
    pub workers: usize,
    /// What falls due is rounded up to this, so that many rows share a tick.
    pub tick: Duration,
    /// Where the log is kept; `None`: nowhere.
    pub data: Option<PathBuf>,
    /// Syncs to the disk are at least this far apart.
    pub sync: Duration,
    /// How often is written down what sinks have been told.
    pub checkpoint: Duration,
    /// The log is made smaller when it has grown by so many bytes since it was, or by as much as was left then.
    pub compact: u64,
    /// What came before; `None`: it is forgotten.
    pub archive: Option<Arc<dyn Archive>>,
    /// Who makes projects of pipelines that have been edited since the log was written; `None`: ticks run again through
    /// them as they are now.
    pub former: Option<Arc<dyn FormerProjects>>,
}

impl Default for LiveOptions {
    fn default() -> Self {
        LiveOptions {
            workers: 1,
            tick: Duration::from_millis(10),
            data: None,
            sync: Duration::ZERO,
            checkpoint: Duration::from_secs(60),
            compact: 64 << 20,
            archive: None,
            former: None,
        }
    }
}

/// Runs until it is told to stop.
///
/// # Errors
/// A worker, a source or a sink that failed for good, or a step with `on_error: fail`.
pub fn run_live(project: Project, options: LiveOptions, control: mpsc::Receiver<Control>) -> anyhow::Result<()> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().thread_name("io").build()?;
    let result = runtime.block_on(async {
        let (control, stopping) = ending::announced(control);
        let conductor = Conductor::start(project, options, stopping).await?;
        conductor.run(control).await
    });
    runtime.shutdown_timeout(Duration::from_secs(2));
    result
}
