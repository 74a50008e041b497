//! Commands to a printer that is made of one phase.

use super::*;
use crate::command::Outcome;
use crate::report::JobId;
use crate::secret::Secret;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;
use tokio::sync::{Notify, mpsc};

/// What has become of a printer.
pub(crate) struct Fake {
    state: Mutex<State>,
    turn: tokio::sync::Mutex<()>,
    taken: Arc<Notify>,
}

struct State {
    phase: Phase,
    /// What it does with the next command: it comes to a phase, and cannot be read from then on.
    takes: Option<Phase>,
    is_hidden: bool,
    /// Who has done what.
    log: Vec<(usize, Deed)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Deed {
    Read,
    Sent,
}

/// The same printer, as one of its users sees it.
pub(crate) struct View<'a> {
    pub who: usize,
    pub fake: &'a Fake,
}

impl Fake {
    pub fn new(phase: Phase) -> Self {
        let state = State { phase, takes: None, is_hidden: false, log: vec![] };
        Self { state: Mutex::new(state), turn: tokio::sync::Mutex::default(), taken: Arc::default() }
    }

    /// The next command brings it into a phase, and then it cannot be read.
    pub fn take(fake: &Self, phase: Phase) -> Arc<Notify> {
        fake.state().takes = Some(phase);
        fake.taken.clone()
    }

    /// From now on it can be read, and is in this phase.
    pub fn show(&self, phase: Phase) {
        let mut state = self.state();
        (state.phase, state.is_hidden) = (phase, false);
    }

    pub fn sent(&self) -> usize {
        self.state().log.iter().filter(|(_, deed)| *deed == Deed::Sent).count()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wire for View<'_> {
    fn name(&self) -> &str {
        "fake"
    }

    async fn read(&self) -> Result<Report, Fault> {
        sleep(Duration::from_millis(3)).await;
        let mut state = self.fake.state();
        state.log.push((self.who, Deed::Read));
        match state.is_hidden {
            true => Err(Fault::Away("hidden".to_owned())),
            false => Ok(Report::online(state.phase)),
        }
    }

    async fn send(&self, action: &Action, _: Option<&JobId>) -> Result<(), Unsent> {
        self.fake.state().log.push((self.who, Deed::Sent));
        sleep(Duration::from_millis(3)).await;
        let mut state = self.fake.state();
        if let Some(phase) = state.takes.take() {
            (state.phase, state.is_hidden) = (phase, true);
            self.fake.taken.notify_one();
            return Err(Unsent::Unclear("no answer".to_owned()));
        }
        match action {
            Action::Pause => state.phase = Phase::Paused,
            Action::Resume => state.phase = Phase::Printing,
            Action::EmergencyStop => state.phase = Phase::Error,
            _ => return Err(Unsent::Unsupported),
        }
        Ok(())
    }

    async fn has(&self, _: &Path, _: &str, _: bool) -> Result<bool, Fault> {
        Ok(false)
    }

    fn secret(&self) -> Option<&Secret> {
        None
    }

    fn turn(&self) -> &tokio::sync::Mutex<()> {
        &self.fake.turn
    }

    async fn follow(&self, _: &mpsc::Sender<Report>) -> Fault {
        Fault::Away("it is not followed".to_owned())
    }
}

async fn given(fake: &Fake, who: usize, action: Action, send_before: Option<std::time::Instant>) -> Outcome {
    let (id, given, deadline) = (who.to_string(), SystemTime::now(), Duration::from_millis(400));
    conduct(&View { who, fake }, &Command { id, action, job: None, given, deadline, send_before }).await
}

#[tokio::test]
async fn nobody_else_sends_between_a_look_and_its_command() {
    for phase in [Phase::Printing, Phase::Paused] {
        let fake = Fake::new(phase);
        let actions = [Action::Pause, Action::Resume, Action::Pause, Action::Resume];
        let all = actions.into_iter().enumerate().map(|(who, action)| given(&fake, who, action, None));
        let outcomes = futures::future::join_all(all).await;
        assert!(outcomes.iter().all(|outcome| outcome.what.is_done()), "{outcomes:?}");
        let mut users: Vec<usize> = fake.state().log.iter().map(|(who, _)| *who).collect();
        users.dedup();
        let log = &fake.state().log;
        assert_eq!(users, [0, 1, 2, 3], "their commands overlap: {log:?}");
        assert!(log.iter().filter(|(_, deed)| *deed == Deed::Sent).count() >= 3, "{log:?}");
    }
}

#[tokio::test]
async fn an_emergency_stop_waits_for_nobody() {
    let fake = Fake::new(Phase::Printing);
    let _held = fake.turn.lock().await;
    let pause = given(&fake, 0, Action::Pause, None).await;
    assert!(matches!(pause.what, What::Unreachable { .. }) && !pause.sent, "{pause:?}");
    let stop = given(&fake, 1, Action::EmergencyStop, None).await;
    assert!(stop.sent, "{stop:?}");
}

#[tokio::test]
async fn when_it_is_too_late_to_send_the_printer_is_only_looked_at() {
    let past = Some(std::time::Instant::now());
    for (before, after, expected) in [
        (Phase::Printing, Phase::Printing, What::NotConfirmed { seen: Phase::Printing, why: None }),
        (Phase::Printing, Phase::Paused, What::Done { already: false }),
        (Phase::Unknown, Phase::Paused, What::Done { already: false }),
        (Phase::Paused, Phase::Printing, What::Done { already: true }),
        (Phase::Printing, Phase::Idle, What::WrongState { phase: Phase::Idle }),
        (Phase::Idle, Phase::Idle, What::WrongState { phase: Phase::Idle }),
    ] {
        let fake = Fake::new(before);
        let somebody = async {
            sleep(Duration::from_millis(100)).await;
            fake.show(after);
        };
        let (outcome, ()) = futures::join!(given(&fake, 0, Action::Pause, past), somebody);
        assert_eq!((outcome.what, outcome.sent, fake.sent()), (expected, false, 0), "{before:?} {after:?}");
    }
}
