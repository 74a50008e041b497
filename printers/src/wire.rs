//! What a protocol must be able to do; everything else is the same for all of them.

use crate::command::Action;
use crate::report::Report;
use std::future::Future;
use tokio::sync::mpsc;

/// A protocol's way to one printer.
pub(crate) trait Wire: Send + Sync {
    /// For logs: what and where it is, without secrets.
    fn name(&self) -> &str;

    /// Reads the state now: not a remembered one, unless the printer's messages keep the memory true.
    fn read(&self) -> impl Future<Output = Result<Report, Fault>> + Send;

    /// Sends an action, once. That it has an effect is for the caller to find out, but for an upload without a print,
    /// which is done when this returns. May be dropped at any time, which leaves open whether the printer has taken it.
    fn send(&self, action: &Action) -> impl Future<Output = Result<(), Unsent>> + Send;

    /// Gives every reading to `seen` until the connection fails, at least one every few seconds: silence is taken for
    /// absence. Returns as well when nobody listens any more.
    fn follow(&self, seen: &mpsc::Sender<Report>) -> impl Future<Output = Fault> + Send;

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
