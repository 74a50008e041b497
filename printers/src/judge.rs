//! Whether a command makes sense in a state, and whether a state is what a command aims at.
//!
//! Two functions without a clock or a wire: [`before`] decides before anything is sent, [`after`] looks at each reading
//! from then on.

use crate::command::{Action, Command, What};
use crate::report::{Ending, Phase, Report};

/// Targets are whole degrees with most firmware.
const SAME_TEMPERATURE: f64 = 0.51;

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
            Some(job) if job.file == *file => already,
            Some(job) => Verdict::Settled(What::OtherJob { running: Some(job.id.clone()) }),
            None if phase == Phase::Idle => Verdict::Send,
            None => wrong,
        },
        Action::Upload { print: true, .. } if phase != Phase::Idle => wrong,
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
    let running = now.running().map(|job| &job.id);
    (running != Some(meant)).then(|| What::OtherJob { running: running.cloned() })
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
        Action::Pause | Action::Resume if matches!(phase, Phase::Idle | Phase::Error) => {
            Some(What::WrongState { phase })
        }
        Action::Start { file } => begun(file, before, now).then_some(What::Done { already: false }),
        Action::Upload { name, print: true, .. } => begun(name, before, now).then_some(What::Done { already: false }),
        Action::Heat { tool, celsius } if has_target(now, tool, *celsius) => done,
        Action::EmergencyStop if has_failed || is_accepted && phase == Phase::Offline => done,
        _ => None,
    }
}

/// Whether the print that was being made still is, as far as the printer tells.
fn same_job(before: &Report, now: &Report) -> bool {
    match (before.running(), now.running()) {
        (Some(before), Some(now)) => before.id == now.id,
        _ => true,
    }
}

/// Whether a print of the file began since: it is being made, or was so short that it is over. A file may have been put
/// into a folder on the way.
fn begun(file: &str, before: &Report, now: &Report) -> bool {
    let is_new = before.job.as_ref().map(|job| &job.id) != now.job.as_ref().map(|job| &job.id);
    let is_it = now.job.as_ref().is_some_and(|job| {
        let path = job.file.as_str();
        path == file || path.strip_suffix(file).is_some_and(|folder| folder.ends_with('/'))
    });
    is_it && is_new && (now.phase.is_active() || now.ending == Some(Ending::Done))
}

fn has_target(now: &Report, tool: &str, celsius: f64) -> bool {
    let target = now.temperature(tool).and_then(|temperature| temperature.target);
    target.is_some_and(|target| (target - celsius).abs() < SAME_TEMPERATURE)
}
