//! Bambu Lab's printers, over the MQTT broker in the printer.
//!
//! The protocol is not documented by the vendor; this follows what is known of it in public. The state is what the
//! printer has said since the connection began, merged; when it has said nothing for a moment it is asked for its
//! version, which costs it nothing.
//!
//! Since 2025 firmware takes commands only if they are signed with the vendor's key, unless the printer is set to LAN
//! only and developer mode. That key is not ours to use. A printer that turns an unsigned command down is from then on
//! one to observe: [`crate::What::ObserveOnly`], until this program is started again. Files cannot be uploaded, and
//! there is no emergency stop: a `M112` would wait in the printer's queue like any line.

mod link;
mod parse;
mod verifier;

use crate::command::Action;
use crate::json;
use crate::report::{JobId, Report};
use crate::secret::Secret;
use crate::start::Start;
use crate::wire::{BadSettings, Fault, Unsent, Wire, tell};
use link::{Known, Link};
use parse::Answer;
use serde_json::{Value, json};
use std::path::Path;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout};

pub const PORT: u16 = 8883;
/// For the first words of a printer, and for a sign of life.
const PATIENCE: Duration = Duration::from_secs(4);
/// After so much silence it is asked for a sign of life.
const SILENCE: Duration = Duration::from_secs(3);

/// How a printer is reached.
#[derive(Clone, Debug)]
pub struct BambuSettings {
    /// A name or an address.
    pub host: String,
    /// [`BambuSettings::new`] takes the one that all printers have.
    pub port: u16,
    pub serial: String,
    /// From the printer's screen.
    pub code: Secret,
}

impl BambuSettings {
    pub fn new(host: impl Into<String>, serial: impl Into<String>, code: Secret) -> Self {
        Self { host: host.into(), port: PORT, serial: serial.into(), code }
    }
}

/// A printer of Bambu Lab.
#[derive(Debug)]
pub struct Bambu {
    settings: BambuSettings,
    name: String,
    /// Made when it is first needed, for it takes a runtime.
    link: OnceLock<Link>,
    starts: Start,
    /// Why it takes no commands.
    observe_only: Mutex<Option<String>>,
    /// As in [`Wire::turn`].
    turn: tokio::sync::Mutex<()>,
}

impl Bambu {
    /// # Errors
    /// The serial number cannot be one. Nothing is connected yet.
    pub fn new(settings: &BambuSettings) -> Result<Self, BadSettings> {
        let serial = &settings.serial;
        // It becomes part of topics.
        if serial.is_empty() || !serial.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err(BadSettings(format!("`{serial}` is no serial number of a printer: letters and digits")));
        }
        if settings.host.is_empty() {
            return Err(BadSettings(format!("the printer {serial} has no host")));
        }
        let name = format!("bambu {serial} at {}:{}", settings.host, settings.port);
        let (link, starts, turn) = (OnceLock::new(), Start::default(), tokio::sync::Mutex::default());
        Ok(Self { settings: settings.clone(), name, link, starts, observe_only: Mutex::default(), turn })
    }

    fn link(&self) -> &Link {
        self.link.get_or_init(|| Link::new(self.settings.clone()))
    }

    /// Waits for the state of a printer that has given a sign of life a moment ago.
    async fn look(&self) -> Result<Report, Fault> {
        let mut view = self.link().known.clone();
        let known = self.wait(&mut view, is_told).await?;
        if known.heard.elapsed() <= SILENCE {
            return Ok(self.report(&known));
        }
        let asked = Instant::now();
        self.link().send("info", json!({"command": "get_version"})).await?;
        let known = self.wait(&mut view, |known| known.heard >= asked && is_told(known)).await?;
        Ok(self.report(&known))
    }

    /// Waits until it is so, unless there is no way to the printer.
    async fn wait(&self, view: &mut watch::Receiver<Known>, is_so: impl Fn(&Known) -> bool) -> Result<Known, Fault> {
        let mut waiting = None;
        let found = timeout(PATIENCE, async {
            loop {
                let known = view.borrow_and_update().clone();
                match &known.line {
                    Ok(_) if is_so(&known) => return Ok(known),
                    Ok(_) => waiting = Some(Fault::Away("it is connected, but says nothing".to_owned())),
                    Err(refused @ Fault::Refused { .. }) => return Err(refused.clone()),
                    Err(fault) => waiting = Some(fault.clone()),
                }
                if view.changed().await.is_err() {
                    return Err(Fault::Away("the connection's task has ended".to_owned()));
                }
            }
        });
        let found = found.await;
        found.unwrap_or_else(|_| Err(waiting.unwrap_or_else(|| Fault::Away("it does not answer".to_owned()))))
    }

    fn report(&self, known: &Known) -> Report {
        parse::report(&known.print, &self.starts)
    }

    /// Sends a command and waits for its answer, which some models never give.
    async fn act(&self, request: Value) -> Result<(), Unsent> {
        let link = self.link();
        let mut messages = link.messages.subscribe();
        let sequence = link.send("print", request).await.map_err(|fault| Unsent::NotTaken(fault.to_string()))?;
        loop {
            let message = match messages.recv().await {
                Ok(message) => message,
                Err(RecvError::Lagged(_)) => continue,
                Err(RecvError::Closed) => return Err(Unsent::Unclear("the connection's task has ended".to_owned())),
            };
            match parse::answer(&message, &sequence) {
                None => {}
                Some(Answer::Taken) => return Ok(()),
                Some(Answer::Declined(status, message)) => return Err(Unsent::Refused { status, message }),
                Some(Answer::Unsigned(reason)) => return Err(Unsent::ObserveOnly(self.note(&reason))),
            }
        }
    }

    /// From now on this printer is only observed.
    fn note(&self, reason: &str) -> String {
        let why = format!("it takes only signed commands ({reason}): set it to LAN only and developer mode");
        tracing::warn!(printer = self.name, why, "a printer takes no commands");
        *self.observe_only.lock().unwrap_or_else(PoisonError::into_inner) = Some(why.clone());
        why
    }

    async fn gcode(&self, line: String) -> Result<(), Unsent> {
        self.act(json!({"command": "gcode_line", "param": line})).await
    }
}

fn is_told(known: &Known) -> bool {
    json::text(&known.print, "/gcode_state").is_some()
}

impl Wire for Bambu {
    fn name(&self) -> &str {
        &self.name
    }

    async fn read(&self) -> Result<Report, Fault> {
        self.look().await
    }

    async fn send(&self, action: &Action, _: Option<&JobId>) -> Result<(), Unsent> {
        let simple = |command: &str| json!({"command": command, "param": ""});
        match action {
            Action::Pause => self.act(simple("pause")).await,
            Action::Resume => self.act(simple("resume")).await,
            Action::Cancel => self.act(simple("stop")).await,
            Action::Start { file } if file.ends_with(".gcode") => {
                self.act(json!({"command": "gcode_file", "param": file})).await
            }
            Action::Heat { tool, celsius } if tool == "tool0" => self.gcode(format!("M104 S{celsius:.0}\n")).await,
            Action::Heat { tool, celsius } if tool == "bed" => self.gcode(format!("M140 S{celsius:.0}\n")).await,
            Action::Start { .. } | Action::Heat { .. } | Action::Upload { .. } | Action::EmergencyStop => {
                Err(Unsent::Unsupported)
            }
        }
    }

    /// It takes no files over this protocol, and lists none.
    async fn has(&self, _: &Path, _: &str, _: bool) -> Result<bool, Fault> {
        Ok(false)
    }

    fn secret(&self) -> Option<&Secret> {
        Some(&self.settings.code)
    }

    fn turn(&self) -> &tokio::sync::Mutex<()> {
        &self.turn
    }

    async fn follow(&self, seen: &mpsc::Sender<Report>) -> Fault {
        let mut view = self.link().known.clone();
        loop {
            view.mark_unchanged();
            let told = match self.look().await {
                Ok(report) => tell(seen, report).await,
                Err(fault) => Err(fault),
            };
            if let Err(fault) = told {
                return fault;
            }
            // With or without news: silence is to be noticed.
            let _ = timeout(SILENCE, view.changed()).await;
        }
    }

    fn observe_only(&self) -> Option<String> {
        self.observe_only.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
pub(crate) fn read_anything(value: &Value, starts: &Start) {
    let _ = (parse::report(value, starts), parse::answer(value, "1"));
}
