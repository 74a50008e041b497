//! What a protocol must be able to do; everything else is the same for all of them.

use crate::command::Action;
use crate::report::{JobId, Report};
use crate::secret::Secret;
use std::future::Future;
use std::path::Path;
use tokio::sync::{Mutex, mpsc};

/// A protocol's way to one printer.
pub(crate) trait Wire: Send + Sync {
    /// For logs: what and where it is, without secrets.
    fn name(&self) -> &str;

    /// Reads the state now: not a remembered one, unless the printer's messages keep the memory true.
    fn read(&self) -> impl Future<Output = Result<Report, Fault>> + Send;

    /// Sends an action, once; an upload only stores the file. That it has an effect is for the caller to find out. May be
    /// dropped at any time, which leaves open whether the printer has taken it. `about`: the print that was being made
    /// when the action was judged; where the protocol lets a print be named, this is the one to name.
    fn send(&self, action: &Action, about: Option<&JobId>) -> impl Future<Output = Result<(), Unsent>> + Send;

    /// Whether the printer lists a file of this name and of the size of the one at `path`; if `is_sure`, also of the same
    /// contents, and `false` if that cannot be told.
    fn has(&self, path: &Path, name: &str, is_sure: bool) -> impl Future<Output = Result<bool, Fault>> + Send;

    /// What must not be repeated, whoever says it.
    fn secret(&self) -> Option<&Secret>;

    /// Gives every reading to `seen` until the connection fails, at least one every few seconds: silence is taken for
    /// absence. Returns as well when nobody listens any more.
    fn follow(&self, seen: &mpsc::Sender<Report>) -> impl Future<Output = Fault> + Send;

    /// Held by the one command that may change what becomes of the print.
    fn turn(&self) -> &Mutex<()>;

    fn observe_only(&self) -> Option<String> {
        None
    }
}

/// Gives a reading to whoever listens.
pub(crate) async fn tell(seen: &mpsc::Sender<Report>, report: Report) -> Result<(), Fault> {
    seen.send(report).await.map_err(|_| Fault::Away("nobody listens".to_owned()))
}

/// Why there is no reading.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fault {
    #[error("{message} (status {status})")]
    Refused { status: u32, message: String },
    /// It did not answer, or not as the protocol has it.
    #[error("{0}")]
    Away(String),
}

/// What came of sending an action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unsent {
    /// The printer has certainly not taken it: it was never reached.
    NotTaken(String),
    /// Nobody knows.
    Unclear(String),
    /// The printer says no.
    Refused {
        status: u32,
        message: String,
    },
    ObserveOnly(String),
    Unsupported,
}

/// Settings of a printer with which it can never be reached.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadSettings(pub(crate) String);
