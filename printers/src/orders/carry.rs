//! How an order is carried out: again and again, but never when it might undo what somebody has done since.
//!
//! An order is never given when it is older than [`Policy::ttl`], however it was delayed. Its age is told by the clock of
//! this machine, which may be put right at any time: one from the future counts as new, since after a clock was set back
//! every order is one until it has caught up, and nothing is tried for longer than the ttl by a clock that nobody sets.
//!
//! Some commands may have reached the printer though nobody says so. What would then be done twice (a print begun, a file
//! that is then printed) is not given again. A pause, a resume, a cancel or a temperature is sent again for [`SOON`] only;
//! from then on the printer is only looked at, until it is as the order wants it or the order is too old. A file that is
//! not printed, and an emergency stop, are never wrong.

use super::{Order, Told};
use crate::{Action, Command, Outcome, Printer, What};
use std::future::Future;
use std::time::{Duration, Instant, SystemTime};
use tokio::time::sleep;

/// The pace of the attempts.
#[derive(Clone, Copy, Debug)]
struct Pace {
    /// Between two of them.
    again: Duration,
    /// From the beginning of the first one that may have reached the printer to the last sending.
    soon: Duration,
}

/// A lost answer is made up for within some seconds. Later, a person who stands at the printer may have seen the effect
/// and resumed the print, or paused it: nobody gets there, looks and decides sooner.
const SOON: Duration = Duration::from_secs(15);
const PACE: Pace = Pace { again: Duration::from_secs(2), soon: SOON };
/// No order is carried out for longer.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

/// For how long an order is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// From one attempt to its outcome.
    pub deadline: Duration,
    /// From the order on; an older one is not given any more.
    pub ttl: Duration,
}

/// Whether an order that may have reached the printer is given again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Again {
    Never,
    Soon,
    Always,
}

impl Order {
    fn again(&self) -> Again {
        match self.action {
            Action::Start { .. } | Action::Upload { print: true, .. } => Again::Never,
            Action::Pause | Action::Resume | Action::Cancel | Action::Heat { .. } => Again::Soon,
            Action::Upload { print: false, .. } | Action::EmergencyStop => Again::Always,
        }
    }

    /// For how long it is still to be given; why it is not.
    fn left(&self, ttl: Duration) -> Result<Duration, String> {
        let age = SystemTime::now().duration_since(self.given).unwrap_or_default();
        ttl.checked_sub(age).ok_or_else(|| format!("it is {age:.0?} old, and commands are given for {ttl:?}"))
    }

    /// When sending it must have begun. A file takes its time, and what is there in the end is the same; only whether it is
    /// printed then depends on it.
    fn send_before(&self, received: Option<Instant>, end: Instant, pace: &Pace) -> Option<Instant> {
        let soon = received.filter(|_| self.again() == Again::Soon).map(|received| received + pace.soon);
        let is_file_alone = matches!(self.action, Action::Upload { print: false, .. });
        (!is_file_alone).then(|| soon.map_or(end, |soon| soon.min(end)))
    }
}

/// Gives an order, again and again if need be, and tells what came of it in the end. Orders of one printer are to be given
/// one after the other.
pub async fn carry_out(printer: &Printer, order: &Order, policy: &Policy) -> Told {
    carry(|command| async move { printer.command(&command).await }, order, policy, &PACE).await
}

async fn carry<F: Future<Output = Outcome>>(
    give: impl Fn(Command) -> F,
    order: &Order,
    policy: &Policy,
    pace: &Pace,
) -> Told {
    let left = match order.left(policy.ttl) {
        Ok(left) => left,
        Err(why) => return Told::unsent("expired", why),
    };
    let end = Instant::now() + left.min(LONGEST);
    // The first attempt that may have reached the printer.
    let mut received = None;
    loop {
        let begun = Instant::now();
        let Order { id, action, job, given } = order.clone();
        let send_before = order.send_before(received, end, pace);
        let outcome = give(Command { id, action, job, given, deadline: policy.deadline, send_before }).await;
        let told = Told::of(&outcome, received.is_some());
        received = received.or_else(|| outcome.sent.then_some(begun));
        let may_come = match &outcome.what {
            What::Unreachable { .. } | What::NotConfirmed { .. } => order.again() != Again::Never || received.is_none(),
            _ => false,
        };
        let is_late = Instant::now() + pace.again >= end || order.left(policy.ttl).is_err();
        if !may_come || is_late {
            return told;
        }
        sleep(pace.again).await;
    }
}

#[cfg(test)]
mod tests;
