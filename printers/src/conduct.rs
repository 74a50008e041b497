//! How a command is carried out, whatever the protocol: look, send once, and look again until it is so.
//!
//! The state is read right before sending, and nothing is sent for another print or in a phase where it makes no sense.
//! From the moment of sending on the state is read again and again beside it, for some printers answer only when a
//! whole macro has ended. What the printer answers is a hint; the state decides. A command is sent a second time only
//! if the first one has certainly not reached the printer, and everything is looked at afresh before. When it is too late
//! to send it ([`Command::send_before`]), the state is read all the same: it may have been sent before.
//!
//! What becomes of a print is one command's to decide at a time: between the look of a pause and its sending, nobody else's
//! resume is sent. An emergency stop waits for nobody, and neither heaters nor files have to do with that.

use crate::command::{Action, Command, Outcome, What};
use crate::judge::{self, Verdict};
use crate::report::{Phase, Report};
use crate::wire::{Fault, Unsent, Wire};
use crate::words;
use std::pin::pin;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout_at};

/// Between two readings while an effect is waited for.
const FIRST_LOOK: Duration = Duration::from_millis(50);
const LONGEST_LOOK: Duration = Duration::from_secs(1);
/// A printer that has not been read for so long has vanished.
const SILENCE: Duration = Duration::from_secs(3);
/// Between two attempts to reach a printer.
pub(crate) const AGAIN: Duration = Duration::from_millis(250);

pub(crate) async fn conduct(wire: &impl Wire, command: &Command) -> Outcome {
    let begun = Instant::now();
    let mut course = Course { wire, command, end: begun + command.deadline, sent: false, seen: Phase::Unknown };
    let what = match &command.action {
        Action::Upload { path, name, print } => course.upload(path, name, *print).await,
        _ => course.run().await,
    };
    let what = words::what(what, wire.secret());
    let outcome = Outcome { what, sent: course.sent, took: begun.elapsed(), seen: course.seen };
    let (id, printer) = (command.id.as_str(), wire.name());
    if outcome.what.is_done() {
        tracing::info!(command = id, printer, action = ?command.action, ?outcome, "a printer has done a command");
    } else {
        tracing::warn!(command = id, printer, action = ?command.action, ?outcome, "a printer has not done a command");
    }
    outcome
}

/// A command on its way.
pub(crate) struct Course<'a, W> {
    pub wire: &'a W,
    pub command: &'a Command,
    pub end: Instant,
    /// As in [`Outcome`].
    pub sent: bool,
    pub seen: Phase,
}

/// What sending has come to.
enum Step {
    Over(What),
    /// It has not reached the printer.
    Again(String),
}

impl<W: Wire> Course<'_, W> {
    /// Takes a command to its end; an upload has its own way.
    pub async fn run(&mut self) -> What {
        if let Some(why) = self.wire.observe_only() {
            return What::ObserveOnly { why };
        }
        // Held from the look to the outcome: its purpose is that others wait.
        let wire = self.wire;
        let _turn = match is_about_a_print(&self.command.action) {
            false => None,
            true => match timeout_at(self.end, wire.turn().lock()).await {
                Ok(turn) => Some(turn),
                Err(_) => return What::Unreachable { why: "it was busy with another command".to_owned() },
            },
        };
        loop {
            let before = match self.look().await {
                Ok(before) => before,
                Err(what) => return what,
            };
            let may_send = self.may_send();
            let step = match judge::before(self.command, &before) {
                // It may have been sent before, and the printer may come to know again what it does.
                Verdict::Settled(What::WrongState { phase }) if !may_send && !judge::is_over(phase) => {
                    self.wait(&before).await
                }
                Verdict::Settled(what) => return what,
                Verdict::Send if may_send => self.send(&before).await,
                Verdict::Send | Verdict::Wait => self.wait(&before).await,
            };
            match step {
                Step::Over(what) => return what,
                Step::Again(why) if Instant::now() + AGAIN >= self.end => return What::Unreachable { why },
                Step::Again(_) => sleep(AGAIN).await,
            }
        }
    }

    fn may_send(&self) -> bool {
        self.command.send_before.is_none_or(|limit| std::time::Instant::now() < limit)
    }

    /// The state right before sending; tries until the deadline.
    pub async fn look(&mut self) -> Result<Report, What> {
        if self.command.action == Action::EmergencyStop && self.command.job.is_none() {
            // Every moment counts, and there is no state in which it would be wrong.
            return Ok(Report::online(Phase::Unknown));
        }
        let mut why = "it did not answer in time".to_owned();
        loop {
            match timeout_at(self.end, read(self.wire)).await {
                Ok(Ok(report)) => {
                    self.seen = report.phase;
                    return Ok(report);
                }
                Ok(Err(Fault::Refused { status, message })) => return Err(What::Refused { status, message }),
                Ok(Err(Fault::Away(reason))) => why = reason,
                Err(_) => return Err(What::Unreachable { why }),
            }
            if Instant::now() + AGAIN >= self.end {
                return Err(What::Unreachable { why });
            }
            sleep(AGAIN).await;
        }
    }

    /// Sends the command, and reads the state beside and after it until it is settled or the deadline has passed.
    async fn send(&mut self, before: &Report) -> Step {
        let (wire, action) = (self.wire, &self.command.action);
        let mut sending = pin!(wire.send(action, before.running().map(|job| &job.id)));
        let mut pause = FIRST_LOOK;
        let mut looking = pin!(look_after(wire, pause));
        let mut evidence = Evidence::default();
        let mut is_sending = true;
        self.sent = true;
        loop {
            tokio::select! {
                answer = &mut sending, if is_sending => {
                    is_sending = false;
                    match answer {
                        Ok(()) => evidence.accepted = true,
                        Err(Unsent::NotTaken(why)) => {
                            self.sent = false;
                            return Step::Again(why);
                        }
                        Err(Unsent::Unclear(why)) => evidence.doubt = Some(why),
                        Err(Unsent::Refused { status, message }) => {
                            return Step::Over(self.refused(before, status, message).await);
                        }
                        Err(Unsent::ObserveOnly(why)) => return Step::Over(What::ObserveOnly { why }),
                        Err(Unsent::Unsupported) => {
                            self.sent = false;
                            return Step::Over(What::Unsupported);
                        }
                    }
                    // Its effect may be there already.
                    pause = FIRST_LOOK;
                    looking.set(look_after(wire, Duration::ZERO));
                }
                read = &mut looking => {
                    if let Some(what) = self.weigh(before, read, &mut evidence) {
                        return Step::Over(what);
                    }
                    pause = (pause * 2).min(LONGEST_LOOK);
                    looking.set(look_after(wire, pause));
                }
                () = tokio::time::sleep_until(self.end) => return Step::Over(evidence.verdict(self.seen)),
            }
        }
    }

    /// Waits for what somebody else has begun, or an earlier attempt.
    async fn wait(&mut self, before: &Report) -> Step {
        // It has just been read.
        let mut evidence = Evidence { heard: Some(Instant::now()), ..Evidence::default() };
        let mut pause = FIRST_LOOK;
        loop {
            let Ok(read) = timeout_at(self.end, look_after(self.wire, pause)).await else {
                return Step::Over(evidence.verdict(self.seen));
            };
            if let Some(what) = self.weigh(before, read, &mut evidence) {
                return Step::Over(what);
            }
            pause = (pause * 2).min(LONGEST_LOOK);
        }
    }

    /// Whether a reading settles the command.
    fn weigh(&mut self, before: &Report, read: Result<Report, Fault>, evidence: &mut Evidence) -> Option<What> {
        match read {
            Ok(now) => {
                self.seen = now.phase;
                evidence.away = None;
                evidence.heard = Some(Instant::now());
                judge::after(&self.command.action, before, &now, evidence.accepted)
            }
            Err(fault) => {
                evidence.away = Some(fault.to_string());
                None
            }
        }
    }

    /// The printer has declined. If the state has changed since it was read, that is the better answer: somebody else
    /// has paused it, or another print has begun.
    async fn refused(&mut self, before: &Report, status: u32, message: String) -> What {
        let declined = What::Refused { status, message };
        let Ok(Ok(now)) = timeout_at(self.end, read(self.wire)).await else { return declined };
        self.seen = now.phase;
        judge::after(&self.command.action, before, &now, false).unwrap_or(declined)
    }
}

/// Whether an action changes what becomes of a print, and depends on it.
fn is_about_a_print(action: &Action) -> bool {
    matches!(action, Action::Start { .. } | Action::Pause | Action::Resume | Action::Cancel)
}

/// What is known while the state is not the one that is waited for.
#[derive(Default)]
struct Evidence {
    accepted: bool,
    /// Why it is not known whether the printer has taken the command.
    doubt: Option<String>,
    /// Why the last reading failed.
    away: Option<String>,
    /// When the last reading succeeded.
    heard: Option<Instant>,
}

impl Evidence {
    fn verdict(self, seen: Phase) -> What {
        let is_silent = self.heard.is_none_or(|heard| heard.elapsed() > SILENCE);
        let away = self.away.or_else(|| is_silent.then(|| "it does not answer".to_owned()));
        match (away, self.doubt) {
            (Some(away), _) if self.accepted => {
                What::Unreachable { why: format!("it took the command, and then it could not be read: {away}") }
            }
            (Some(away), _) => What::Unreachable { why: away },
            (None, why) => What::NotConfirmed { seen, why },
        }
    }
}

async fn look_after(wire: &impl Wire, pause: Duration) -> Result<Report, Fault> {
    sleep(pause).await;
    read(wire).await
}

/// A reading as whoever gave the command has been shown the last one.
async fn read(wire: &impl Wire) -> Result<Report, Fault> {
    wire.read().await.map(|report| words::report(report, wire.secret()))
}

#[cfg(test)]
pub(crate) mod tests;
