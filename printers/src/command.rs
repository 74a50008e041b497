//! What a printer can be told, and what came of it.

use crate::report::{JobId, Phase};
use serde::Serialize;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

/// Something to do.
#[derive(Clone, Debug, PartialEq)]
pub struct Command {
    /// Whose command it is, for the log: a command has the same one however often it is given.
    pub id: String,
    pub action: Action,
    /// The print that it is about: if another one is being made, nothing is sent.
    pub job: Option<JobId>,
    /// When it was given: it is about no print that began later.
    pub given: SystemTime,
    /// From now on. The outcome is there when it has passed.
    pub deadline: Duration,
    /// From then on nothing is sent any more: the printer is only looked at, until it is as the command wants it. A file
    /// is sent whenever it is not there.
    pub send_before: Option<Instant>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Prints a file that the printer has.
    Start {
        file: String,
    },
    Pause,
    Resume,
    Cancel,
    /// Sets a target temperature; 0 switches the heater off.
    Heat {
        tool: String,
        celsius: f64,
    },
    /// Gives the printer a file, unless it has an equal one of this name; prints it if `print`. It is believed when the
    /// printer lists it.
    Upload {
        path: PathBuf,
        name: String,
        print: bool,
    },
    /// Stops motors and heaters at once. Without a print that it is about it is sent before anything is read.
    EmergencyStop,
}

/// What came of a command.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Outcome {
    #[serde(flatten)]
    pub what: What,
    /// Whether anything may have reached the printer.
    pub sent: bool,
    /// From the command to the outcome.
    pub took: Duration,
    /// The phase that was read last.
    pub seen: Phase,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum What {
    /// The printer is in the state that the command aims at.
    Done {
        /// It was so before, and nothing was sent.
        already: bool,
    },
    /// Another print is being made than the one that the command is about; nothing was sent after that was seen.
    OtherJob {
        /// `None`: the printer does not say which.
        running: Option<JobId>,
    },
    /// In this phase the command makes no sense: there is nothing to pause.
    WrongState { phase: Phase },
    /// The printer has declined; its own words.
    Refused {
        /// HTTP's, or the protocol's own code.
        status: u32,
        message: String,
    },
    /// It was sent, but within the deadline the printer did not come to the state. It may still.
    NotConfirmed {
        seen: Phase,
        /// What is known of the reason.
        why: Option<String>,
    },
    /// The printer did not answer, or no longer; [`Outcome::sent`] tells whether it may have taken the command.
    Unreachable { why: String },
    /// The printer lets itself be watched, but takes no commands.
    ObserveOnly { why: String },
    /// This protocol has no such command.
    Unsupported,
}

impl What {
    pub fn is_done(&self) -> bool {
        matches!(self, Self::Done { .. })
    }
}
