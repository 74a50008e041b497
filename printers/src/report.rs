//! What a printer says of itself, in the same words for all protocols.

use serde::{Serialize, Serializer};
use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

/// A printer at one moment.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// When it was read; as a number: microseconds since 1970.
    #[serde(serialize_with = "microseconds")]
    pub at: SystemTime,
    pub connection: Connection,
    pub phase: Phase,
    /// The print that is being made, or the last one while nothing else is. While the printer is away: the one that was
    /// being made when it was last seen.
    pub job: Option<Job>,
    /// How that print ended, if it has.
    pub ending: Option<Ending>,
    /// 0 to 1.
    pub progress: Option<f64>,
    /// Seconds since the print began, as the printer counts them: most do not count pauses.
    pub elapsed: Option<f64>,
    /// Seconds.
    pub left: Option<f64>,
    /// Height of the nozzle, mm.
    pub z: Option<f64>,
    /// The first one is 1.
    pub layer: Option<u32>,
    pub layers: Option<u32>,
    /// Nozzles are `tool0`, `tool1`…; then `bed` and `chamber`.
    pub tools: Vec<Temperature>,
    pub filament_present: Option<bool>,
    /// Whether filament is being pushed out; unknown with most printers.
    pub extruding: Option<bool>,
    /// The firmware's own words, or why the printer cannot be reached.
    pub error: Option<String>,
}

/// Whether the printer, or the server in front of it, answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Connection {
    Online,
    Offline,
    /// It answers, but not to us: a wrong key, or one without the permission.
    Refused,
}

impl Connection {
    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Self::Online => "online",
            Self::Offline => "offline",
            Self::Refused => "refused",
        }
    }
}

/// What the printer is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    Idle,
    /// A print has begun, but nothing is laid down yet.
    Preparing,
    Printing,
    Pausing,
    Paused,
    Cancelling,
    Finishing,
    Error,
    /// Not reachable, or not connected to the server that is.
    Offline,
    /// It says something that this version does not know, or nothing yet.
    Unknown,
}

impl Phase {
    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Preparing => "preparing",
            Self::Printing => "printing",
            Self::Pausing => "pausing",
            Self::Paused => "paused",
            Self::Cancelling => "cancelling",
            Self::Finishing => "finishing",
            Self::Error => "error",
            Self::Offline => "offline",
            Self::Unknown => "unknown",
        }
    }

    /// Whether a print has begun and is not over.
    pub fn is_active(self) -> bool {
        matches!(
            self,
            Self::Preparing | Self::Printing | Self::Pausing | Self::Paused | Self::Cancelling | Self::Finishing
        )
    }
}

/// Tells one print from all others of the same printer, those of the same file included. It is the same in all reports
/// of the print, and after a restart of this program too wherever the printer itself counts or dates its prints. Where
/// it does not, its start is inferred, and `file~start` may be another one after a restart (see `start`).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct JobId(pub String);

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One print of a file.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Job {
    pub id: JobId,
    /// As a command names it.
    pub file: String,
    /// As people name it.
    pub name: String,
    /// Bytes.
    pub size: Option<u64>,
    /// Seconds that the print should take.
    pub estimated: Option<f64>,
    /// Where a later print of the file may have the same id, because the printer can lose count of this one: it began
    /// no later than this. A command that is older is then not about it.
    #[serde(skip)]
    pub began_by: Option<SystemTime>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    Done,
    Cancelled,
    Failed,
}

impl Ending {
    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Cancelled => "cancelled",
            Self::Failed => "failed",
        }
    }
}

/// Degrees Celsius.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Temperature {
    pub name: String,
    pub actual: Option<f64>,
    pub target: Option<f64>,
}

impl Report {
    /// A report of a printer that answers, of which nothing else is known yet.
    pub fn online(phase: Phase) -> Self {
        Self {
            at: SystemTime::now(),
            connection: Connection::Online,
            phase,
            job: None,
            ending: None,
            progress: None,
            elapsed: None,
            left: None,
            z: None,
            layer: None,
            layers: None,
            tools: vec![],
            filament_present: None,
            extruding: None,
            error: None,
        }
    }

    /// A report of a printer that is out of reach; its print, as far as anybody knows, goes on.
    pub fn out_of_reach(connection: Connection, why: String, last: Option<&Self>) -> Self {
        let job = last.and_then(|last| last.job.clone());
        let ending = last.and_then(|last| last.ending);
        Self { connection, job, ending, error: Some(why), ..Self::online(Phase::Offline) }
    }

    /// Whether it says the same as another one, at whatever time.
    pub fn says_the_same(&self, other: &Self) -> bool {
        let Self { at: _, .. } = self;
        Self { at: other.at, ..self.clone() } == *other
    }

    /// The print that is being made now.
    pub fn running(&self) -> Option<&Job> {
        self.job.as_ref().filter(|_| self.phase.is_active())
    }

    pub fn temperature(&self, tool: &str) -> Option<&Temperature> {
        self.tools.iter().find(|temperature| temperature.name == tool)
    }
}

fn microseconds<S: Serializer>(at: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    serializer.serialize_u64(u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
}
