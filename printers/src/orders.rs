//! Orders: commands as rows give them, carried out until they are done or too old.
//!
//! What a row must hold follows from the [`Verb`]; [`Verb::order`] reads it. [`carry_out`] gives the command, and gives it
//! again while the printer cannot be reached or does not do it, as `carry` says.

mod carry;
mod told;

pub use carry::{Policy, carry_out};
pub use told::Told;

use crate::{Action, JobId};
use serde::Deserialize;
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, SystemTime};

/// The actions as they are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verb {
    Pause,
    Resume,
    Cancel,
    Start,
    Heat,
    Upload,
    EmergencyStop,
}

/// What a column of an order holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Text,
    /// A floating-point number.
    Number,
    Flag,
}

/// A column that an order is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column {
    pub name: &'static str,
    pub kind: Kind,
    pub is_needed: bool,
}

const PRINTER: Column = needed("printer", Kind::Text);
const JOB: Column = needed("job", Kind::Text);
const FILE: Column = needed("file", Kind::Text);
const TOOL: Column = needed("tool", Kind::Text);
const CELSIUS: Column = needed("celsius", Kind::Number);
const NAME: Column = optional("name", Kind::Text);
const PRINT: Column = optional("print", Kind::Flag);

const fn needed(name: &'static str, kind: Kind) -> Column {
    Column { name, kind, is_needed: true }
}

const fn optional(name: &'static str, kind: Kind) -> Column {
    Column { name, kind, is_needed: false }
}

/// A row that is an order, whatever holds it. `None`: there is no such column, or it is null.
pub trait Row {
    fn text(&self, column: &str) -> Option<String>;
    fn number(&self, column: &str) -> Option<f64>;
    fn flag(&self, column: &str) -> Option<bool>;
}

impl Verb {
    /// As they are written, for the description of an option.
    pub const NAMES: [&str; 7] = ["pause", "resume", "cancel", "start", "heat", "upload", "emergency_stop"];

    /// As it is written.
    pub fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }

    /// The columns that its rows must have, and those that they may have.
    pub fn columns(self) -> &'static [Column] {
        match self {
            Verb::Pause | Verb::Resume | Verb::Cancel => &[PRINTER, JOB],
            Verb::Start => &[PRINTER, FILE],
            Verb::Heat => &[PRINTER, TOOL, CELSIUS],
            Verb::Upload => &[PRINTER, FILE, NAME, PRINT],
            Verb::EmergencyStop => &[PRINTER],
        }
    }

    /// Whether it is about a print, and nothing without one.
    fn is_about_a_print(self) -> bool {
        matches!(self, Verb::Pause | Verb::Resume | Verb::Cancel)
    }

    /// For how long it is tried, where nothing else is said: a file takes its time.
    pub fn policy(self) -> Policy {
        let seconds = |deadline, ttl| Policy { deadline: Duration::from_secs(deadline), ttl: Duration::from_secs(ttl) };
        if self == Verb::Upload { seconds(120, 600) } else { seconds(4, 60) }
    }

    /// The order that a row is. `files`: the folder of what is uploaded; without one nothing is.
    ///
    /// # Errors
    /// It is none: what is to be told of it.
    pub async fn order(
        self,
        id: String,
        given: SystemTime,
        row: &(impl Row + Sync),
        files: Option<&Files>,
    ) -> Result<Order, Told> {
        let action = self.action(row, files).await?;
        let job = row.text("job").map(JobId).filter(|_| self.is_about_a_print());
        if self.is_about_a_print() && job.is_none() {
            return Err(Told::unsent("wrong_state", "it does not say which print it is about"));
        }
        Ok(Order { id, action, job, given })
    }

    async fn action(self, row: &(impl Row + Sync), files: Option<&Files>) -> Result<Action, Told> {
        let null = |column: &str| Told::unsent("wrong_state", format!("its column `{column}` is null"));
        let text = |column: &str| row.text(column).ok_or_else(|| null(column));
        Ok(match self {
            Verb::Pause => Action::Pause,
            Verb::Resume => Action::Resume,
            Verb::Cancel => Action::Cancel,
            Verb::Start => Action::Start { file: text("file")? },
            Verb::Heat => {
                let celsius = row.number("celsius").ok_or_else(|| null("celsius"))?;
                if !celsius.is_finite() || celsius < 0.0 {
                    return Err(Told::unsent("refused", format!("{celsius} °C is no temperature to heat to")));
                }
                Action::Heat { tool: text("tool")?, celsius }
            }
            Verb::Upload => {
                let file = text("file")?;
                let name = row.text("name").unwrap_or_else(|| file.clone());
                let print = row.flag("print").unwrap_or(false);
                let refused = |why: String| Told::unsent("refused", why);
                steps(&name).map_err(refused)?;
                let files = files.cloned().ok_or_else(|| refused("no folder is set (`files`)".to_owned()))?;
                // A disk may take its time.
                let found = tokio::task::spawn_blocking(move || files.find(&file)).await;
                let path = found.unwrap_or_else(|error| Err(error.to_string())).map_err(refused)?;
                Action::Upload { path, name, print }
            }
            Verb::EmergencyStop => Action::EmergencyStop,
        })
    }
}

/// The folder of the files that may be uploaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files(PathBuf);

impl Files {
    pub fn new(folder: PathBuf) -> Self {
        Self(folder)
    }

    /// The file of a name in the folder. Nothing leads out of it: no absolute path, no `..`, no link. Who may write in the
    /// folder itself is trusted.
    ///
    /// # Errors
    /// There is none; why.
    pub fn find(&self, name: &str) -> Result<PathBuf, String> {
        let folder = self.0.canonicalize().map_err(|error| format!("{}: {error}", self.0.display()))?;
        let path = folder.join(steps(name)?).canonicalize().map_err(|error| format!("{name:?}: {error}"))?;
        if !path.starts_with(&folder) {
            return Err(format!("{name:?} leads out of the folder of files"));
        }
        if !path.is_file() {
            return Err(format!("{name:?} is no file"));
        }
        Ok(path)
    }
}

/// A path that only goes down.
fn steps(name: &str) -> Result<&Path, String> {
    let path = Path::new(name);
    let is_down = path.components().all(|step| matches!(step, Component::Normal(_)));
    // Printers may take other characters for a way up than this machine does.
    let is_plain = !name.contains(['\\', '\0']) && !name.split('/').any(|step| matches!(step, "" | "." | ".."));
    if is_down && is_plain { Ok(path) } else { Err(format!("{name:?} is not a path within a folder")) }
}

/// A command that somebody has given.
#[derive(Clone, Debug, PartialEq)]
pub struct Order {
    /// As in [`crate::Command`].
    pub id: String,
    pub action: Action,
    /// The print that it is about.
    pub job: Option<JobId>,
    pub given: SystemTime,
}

#[cfg(test)]
mod tests;
