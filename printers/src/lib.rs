//! Printers and their protocols: what they say now, and how they are told to do something else.
//!
//! Every printer is one [`Printer`]. [`Printer::reports`] follows it for ever and sends a [`Report`] whenever something
//! has changed, the printer's absence included. [`Printer::command`] carries out one [`Command`] and returns an
//! [`Outcome`] within its deadline. What all protocols have in common is here once: the patience with a silent printer
//! in `watch`, the conduct of a command in `conduct`. A protocol's own folder says how a state is read, how an
//! action is sent, and how news arrive (`wire::Wire`).
//!
//! An answer is never taken for an effect: OctoPrint's 204 means queued, Moonraker's answer comes when a macro ends,
//! and a Bambu printer does not answer at all. A command is done when the state that it aims at has been read back.
//!
//! Absent on purpose: no toggles, for a repeated pause must not resume; no G-code from outside; no keys of vendors.

mod bambu;
mod command;
mod conduct;
mod http;
mod json;
mod judge;
mod login;
mod moonraker;
mod octoprint;
pub mod orders;
mod prusalink;
mod report;
pub mod roster;
mod secret;
mod socket;
mod start;
mod upload;
mod watch;
mod wire;
mod words;

pub use bambu::{Bambu, BambuSettings};
pub use command::{Action, Command, Outcome, What};
pub use http::WebSettings;
pub use login::Login;
pub use moonraker::Moonraker;
pub use octoprint::OctoPrint;
pub use prusalink::PrusaLink;
pub use report::{Connection, Ending, Job, JobId, Phase, Report, Temperature};
pub use secret::Secret;
pub use wire::BadSettings;

use std::time::Duration;
use tokio::sync::mpsc;
use wire::Wire;

/// After this silence a printer is reported to be offline.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// A printer, whatever it speaks.
#[derive(Debug)]
pub enum Printer {
    OctoPrint(OctoPrint),
    Moonraker(Moonraker),
    PrusaLink(PrusaLink),
    Bambu(Bambu),
}

impl Printer {
    /// Follows the printer until the receiver is dropped: a report at once, then one at every change. A printer that is
    /// silent for `patience` yields a report that says so and why; the search for it goes on.
    pub async fn reports(&self, patience: Duration, to: mpsc::Sender<Report>) {
        match self {
            Self::OctoPrint(printer) => watch::watch(printer, patience, to).await,
            Self::Moonraker(printer) => watch::watch(printer, patience, to).await,
            Self::PrusaLink(printer) => watch::watch(printer, patience, to).await,
            Self::Bambu(printer) => watch::watch(printer, patience, to).await,
        }
    }

    /// Carries out a command; returns before its deadline has passed, give or take the scheduling of tasks.
    pub async fn command(&self, command: &Command) -> Outcome {
        match self {
            Self::OctoPrint(printer) => conduct::conduct(printer, command).await,
            Self::Moonraker(printer) => conduct::conduct(printer, command).await,
            Self::PrusaLink(printer) => conduct::conduct(printer, command).await,
            Self::Bambu(printer) => conduct::conduct(printer, command).await,
        }
    }

    /// Why the printer takes no commands, if it is known to take none.
    pub fn observe_only(&self) -> Option<String> {
        match self {
            Self::OctoPrint(printer) => printer.observe_only(),
            Self::Moonraker(printer) => printer.observe_only(),
            Self::PrusaLink(printer) => printer.observe_only(),
            Self::Bambu(printer) => printer.observe_only(),
        }
    }
}

#[cfg(test)]
mod hostile;
