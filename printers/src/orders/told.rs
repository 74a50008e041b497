//! What is told of an order, in the end.

use crate::{JobId, Outcome, What};
use std::time::Duration;

/// What is told of an order.
#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    /// `done`, `other_job`, `wrong_state`, `refused`, `not_confirmed`, `unreachable`, `observe_only`, `unsupported`,
    /// `unknown_printer` or `expired`.
    pub outcome: &'static str,
    /// It was so before.
    pub already: bool,
    /// The phase that was read last.
    pub phase: Option<&'static str>,
    /// For people.
    pub detail: String,
    /// The time of the last attempt.
    pub took: Duration,
}

impl Told {
    /// Of an order that was not given.
    pub fn unsent(outcome: &'static str, detail: impl Into<String>) -> Self {
        Self { outcome, already: false, phase: None, detail: detail.into(), took: Duration::ZERO }
    }

    /// Of an order to a printer that nobody knows.
    pub fn unknown(printer: &str) -> Self {
        Self::unsent("unknown_printer", format!("there is no printer {printer:?} in `printers`"))
    }

    pub fn is_done(&self) -> bool {
        self.outcome == "done"
    }

    /// Of the last attempt. `was_sent`: whether an earlier one may have reached the printer.
    pub(super) fn of(outcome: &Outcome, was_sent: bool) -> Self {
        let (name, already, detail) = described(outcome, was_sent);
        Self { outcome: name, already, phase: Some(outcome.seen.name()), detail, took: outcome.took }
    }
}

fn described(outcome: &Outcome, was_sent: bool) -> (&'static str, bool, String) {
    let is_sent = outcome.sent || was_sent;
    match &outcome.what {
        What::Done { already: true } if !was_sent => ("done", true, "it was so before".to_owned()),
        What::Done { .. } => ("done", false, "carried out, and read back".to_owned()),
        What::OtherJob { running } => {
            let running = running.as_ref().map_or_else(|| "one that it does not name".to_owned(), JobId::to_string);
            ("other_job", false, format!("another print is being made: {running}"))
        }
        What::WrongState { phase } => ("wrong_state", false, format!("the printer is {}", phase.name())),
        What::Refused { status: 0, message } => ("refused", false, message.clone()),
        What::Refused { status, message } => ("refused", false, format!("{message} (status {status})")),
        What::NotConfirmed { seen, why } => {
            let why = why.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
            let sent = if is_sent { "the printer was told" } else { "nothing was sent" };
            ("not_confirmed", false, format!("{sent}, and it is still {}{why}", seen.name()))
        }
        What::Unreachable { why } => {
            let sent = if is_sent { "it may have been told" } else { "nothing was sent" };
            ("unreachable", false, format!("{why}; {sent}"))
        }
        What::ObserveOnly { why } => ("observe_only", false, why.clone()),
        What::Unsupported => ("unsupported", false, "the printer has no such command".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Phase;

    #[test]
    fn what_an_earlier_attempt_has_sent_is_not_forgotten() {
        let told = |what, was_sent| {
            let outcome = Outcome { what, sent: false, took: Duration::ZERO, seen: Phase::Paused };
            Told::of(&outcome, was_sent)
        };
        let done = || What::Done { already: true };
        assert_eq!((told(done(), false).already, told(done(), true).already), (true, false));
        for what in
            [What::Unreachable { why: "away".to_owned() }, What::NotConfirmed { seen: Phase::Printing, why: None }]
        {
            assert!(told(what.clone(), false).detail.contains("nothing was sent"));
            assert!(!told(what, true).detail.contains("nothing was sent"));
        }
    }
}
