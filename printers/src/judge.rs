//! Whether a command makes sense in a state, and whether a state is what a command aims at.
//!
//! Two functions without a clock or a wire: [`before`] decides before anything is sent, [`after`] looks at each reading
//! from then on.

use crate::command::{Action, Command, What};
use crate::report::{Ending, Job, JobId, Phase, Report};
use crate::start;
use std::time::Duration;

/// Targets are whole degrees with most firmware.
const SAME_TEMPERATURE: f64 = 0.51;
/// Clocks of printers tell whole seconds, and count from a moment after the beginning.
const SLACK: Duration = Duration::from_secs(10);

/// What to do with a command.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Verdict {
    Send,
    /// The printer is on its way there: nothing is to be sent, only waited.
    Wait,
    Settled(What),
}

/// Judges the state right before sending.
pub(crate) fn before(command: &Command, now: &Report) -> Verdict {
    let phase = now.phase;
    if matches!(phase, Phase::Offline | Phase::Unknown) && !matches!(command.action, Action::EmergencyStop) {
        return Verdict::Settled(What::WrongState { phase });
    }
    if let Some(what) = another_job(command, now) {
        return Verdict::Settled(what);
    }
    let already = Verdict::Settled(What::Done { already: true });
    let wrong = Verdict::Settled(What::WrongState { phase });
    match &command.action {
        Action::Pause => match phase {
            Phase::Printing | Phase::Preparing => Verdict::Send,
            Phase::Pausing => Verdict::Wait,
            Phase::Paused => already,
            _ => wrong,
        },
        Action::Resume => match phase {
            Phase::Paused => Verdict::Send,
            Phase::Printing | Phase::Preparing => already,
            _ => wrong,
        },
        Action::Cancel => match phase {
            Phase::Cancelling => Verdict::Wait,
            Phase::Error if now.job.is_none() => already,
            Phase::Idle => already,
            _ => Verdict::Send,
        },
        Action::Start { file } => match now.running() {
            Some(job) if is_of(job, file) => already,
            Some(job) => Verdict::Settled(What::OtherJob { running: Some(job.id.clone()) }),
            None if phase == Phase::Idle => Verdict::Send,
            None => wrong,
        },
        Action::Heat { tool, celsius } if has_target(now, tool, *celsius) => already,
        Action::Upload { .. } | Action::Heat { .. } | Action::EmergencyStop => Verdict::Send,
    }
}

/// Whether another print is being made than the one that the command is about. A start brings its own.
fn another_job(command: &Command, now: &Report) -> Option<What> {
    let meant = command.job.as_ref()?;
    if matches!(command.action, Action::Start { .. } | Action::Upload { .. }) || !now.phase.is_active() {
        return None;
    }
    let running = now.running();
    let is_it = running.is_some_and(|job| is_named(job, meant) && !is_younger(job, command));
    (!is_it).then(|| What::OtherJob { running: running.map(|job| job.id.clone()) })
}

fn is_same(one: &JobId, other: &JobId) -> bool {
    start::is_same(&one.0, &other.0)
}

/// Whether it is the name of a print. Who has seen the print before it, which had the same name, adds a start to the
/// name; who has not, knows it without. A start that is added is never left out: who has seen both means the one before.
fn is_named(job: &Job, meant: &JobId) -> bool {
    is_same(&job.id, meant) || job.began_by.is_some_and(|by| start::is_with_start(&meant.0, &job.id.0, by + SLACK))
}

/// Whether a print began after a command was given, where only this tells it from the print before it.
fn is_younger(job: &Job, command: &Command) -> bool {
    let later = job.began_by.and_then(|by| by.duration_since(command.given).ok());
    later.is_some_and(|later| later > SLACK)
}

/// Judges a state after sending: `None` while it is not settled. `is_accepted`: the printer has said that it took the
/// command; a state that was there before shows nothing.
pub(crate) fn after(action: &Action, before: &Report, now: &Report, is_accepted: bool) -> Option<What> {
    let phase = now.phase;
    let has_failed = phase == Phase::Error && (is_accepted || !matches!(before.phase, Phase::Error | Phase::Unknown));
    let done = Some(What::Done { already: false });
    let same = same_job(before, now);
    match action {
        // The next print is not the one that was to be cancelled.
        Action::Cancel if !same || phase == Phase::Idle || has_failed => done,
        Action::Pause | Action::Resume if !same => {
            Some(What::OtherJob { running: now.running().map(|job| job.id.clone()) })
        }
        Action::Pause if phase == Phase::Paused => done,
        Action::Resume if matches!(phase, Phase::Printing | Phase::Preparing) => done,
        // It has ended, and neither pauses nor resumes any more.
        Action::Pause | Action::Resume if is_over(phase) => Some(What::WrongState { phase }),
        Action::Start { file } => begun(file, before, now).then_some(What::Done { already: false }),
        Action::Heat { tool, celsius } if has_target(now, tool, *celsius) => done,
        Action::EmergencyStop if has_failed || is_accepted && phase == Phase::Offline => done,
        _ => None,
    }
}

/// Whether no print goes on, for certain.
pub(crate) fn is_over(phase: Phase) -> bool {
    matches!(phase, Phase::Idle | Phase::Error)
}

/// Whether the print that was being made still is, as far as the printer tells.
fn same_job(before: &Report, now: &Report) -> bool {
    match (before.running(), now.running()) {
        (Some(before), Some(now)) => is_same(&before.id, &now.id),
        _ => true,
    }
}

/// Whether a print of the file began since: it is being made, or was so short that it is over.
fn begun(file: &str, before: &Report, now: &Report) -> bool {
    let is_new = before.job.as_ref().map(|job| &job.id) != now.job.as_ref().map(|job| &job.id);
    now.job.as_ref().is_some_and(|job| is_of(job, file))
        && is_new
        && (now.phase.is_active() || now.ending == Some(Ending::Done))
}

/// Whether it is a print of a file that a command names. The printer may have put the file into a folder on the way, or
/// name it by a short form of its name (8.3) and show the long one to people.
fn is_of(job: &Job, file: &str) -> bool {
    let is_it = |path: &str| path == file || path.strip_suffix(file).is_some_and(|folder| folder.ends_with('/'));
    let folder = job.file.rsplit_once('/').map_or("", |(folder, _)| folder);
    is_it(&job.file) || !job.name.is_empty() && is_it(format!("{folder}/{}", job.name).trim_start_matches('/'))
}

fn has_target(now: &Report, tool: &str, celsius: f64) -> bool {
    let target = now.temperature(tool).and_then(|temperature| temperature.target);
    target.is_some_and(|target| (target - celsius).abs() < SAME_TEMPERATURE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::{SystemTime, UNIX_EPOCH};

    fn job(id: &str, file: &str, name: &str, began_by: Option<SystemTime>) -> Job {
        let (id, file, name) = (JobId(id.to_owned()), file.to_owned(), name.to_owned());
        Job { id, file, name, size: None, estimated: None, began_by }
    }

    /// A pause of a print that was given at a moment, while another one or the same is being made.
    fn judged(meant: &str, given: SystemTime, running: Job) -> Verdict {
        let now = Report { job: Some(running), ..Report::online(Phase::Printing) };
        let (id, job, deadline) = ("test".to_owned(), Some(JobId(meant.to_owned())), Duration::from_secs(4));
        before(&Command { id, action: Action::Pause, job, given, deadline, send_before: None }, &now)
    }

    proptest! {
        /// A print that may have the name of the one before it is left alone by commands that are older than it, and by no
        /// others; one whose name is its own is never left alone.
        #[test]
        fn an_older_command_is_not_about_a_younger_print(
            given in 0_u64..1 << 20, began in 0_u64..1 << 20, may_repeat in any::<bool>(),
        ) {
            let at = |second| UNIX_EPOCH + Duration::from_secs(second);
            let is_older = began > given + SLACK.as_secs();
            match judged("a#1", at(given), job("a#1", "a", "a", may_repeat.then_some(at(began)))) {
                Verdict::Send => prop_assert!(!(may_repeat && is_older)),
                Verdict::Settled(What::OtherJob { .. }) => prop_assert!(may_repeat && is_older),
                verdict => prop_assert!(false, "{:?}", verdict),
            }
        }

        /// A print that got its start as part of its name is still known when that has been forgotten, by commands that
        /// were given since; and where it has not been forgotten, the name without a start is the lost print's.
        #[test]
        fn a_start_in_a_name_may_be_forgotten_but_not_ignored(began in 0_u64..1 << 20, paused in 0_u64..1 << 20) {
            let at = |second| UNIX_EPOCH + Duration::from_secs(second);
            let name = start::named("a#1", began);
            let by = at(began + paused);
            prop_assert_eq!(judged(&name, by, job("a#1", "a", "a", Some(by))), Verdict::Send);
            let other = |verdict| matches!(verdict, Verdict::Settled(What::OtherJob { .. }));
            // One that may not repeat has its own name, and one that began before is not it.
            prop_assert!(other(judged(&name, by, job("a#1", "a", "a", None))));
            let Some(before) = at(began).checked_sub(SLACK + Duration::from_secs(1 + paused)) else { return Ok(()) };
            prop_assert!(other(judged(&name, by, job("a#1", "a", "a", Some(before)))));
            prop_assert!(other(judged("a#1", by, job(&name, "a", "a", Some(by)))));
        }
    }

    #[test]
    fn a_file_is_known_by_its_short_and_its_long_name_in_its_own_folder() {
        let part = job("#1", "usb/parts/A~1.BGC", "A part.bgcode", None);
        for file in ["usb/parts/A~1.BGC", "parts/A~1.BGC", "A~1.BGC", "usb/parts/A part.bgcode", "A part.bgcode"] {
            assert!(is_of(&part, file), "{file}");
        }
        for file in ["part.bgcode", "usb/A part.bgcode", "other/A part.bgcode", "B~1.BGC", ""] {
            assert!(!is_of(&part, file), "{file}");
        }
        let at_the_top = job("#1", "A~1.BGC", "A part.bgcode", None);
        assert!(is_of(&at_the_top, "A part.bgcode"));
    }
}
