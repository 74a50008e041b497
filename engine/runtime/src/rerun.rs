//! The past as it was decided: every tick runs through the pipelines that ran then.

use crate::project::Project;
use crate::replay::{Decision, Replay};
use crate::versions::{FormerProjects, Version, begun};
use anyhow::anyhow;
use jarvis_log::{State, Tick};

/// Ticks of the past, in order.
pub type Ticks = Box<dyn Iterator<Item = anyhow::Result<Tick>>>;

/// Runs the past as it ran, edits included, and tells nobody.
pub struct Rerun<'a> {
    replay: Replay,
    former: &'a dyn FormerProjects,
    running: Vec<Version>,
    /// The same ticks from their beginning: an edited graph is filled with them.
    past: Box<dyn Fn() -> anyhow::Result<Ticks> + 'a>,
}

impl<'a> Rerun<'a> {
    /// Begins with the pipelines that ran before the first tick of `past`, or came with it.
    ///
    /// # Errors
    /// They cannot be run by this build, or in the facility as it is now.
    pub fn start(
        former: &'a dyn FormerProjects,
        running: Vec<Version>,
        workers: usize,
        past: impl Fn() -> anyhow::Result<Ticks> + 'a,
    ) -> anyhow::Result<Self> {
        let replay = Replay::start(project(former, &running)?, workers)?.editable();
        Ok(Rerun { replay, former, running, past: Box::new(past) })
    }

    /// As [`Replay::go_on_from`].
    ///
    /// # Errors
    /// The state is of another form.
    pub fn go_on_from(&mut self, state: &State) -> anyhow::Result<()> {
        self.replay.go_on_from(state)
    }

    /// Runs the next tick; what sinks were told then, in the order of sinks.
    ///
    /// # Errors
    /// As [`Rerun::start`] and [`Replay::tick`].
    pub fn tick(&mut self, tick: &Tick) -> anyhow::Result<Vec<Decision>> {
        let mut decisions = vec![];
        if let Some(edited) = begun(tick).filter(|begun| *begun != self.running) {
            let project = project(self.former, &edited)?;
            decisions = self.replay.change_to(project, (self.past)()?, tick)?;
            self.running = edited;
        }
        decisions.extend(self.replay.tick(tick)?);
        Ok(decisions)
    }
}

/// The project of pipelines as they ran.
///
/// # Errors
/// They cannot be run by this build, or in the facility as it is now.
pub fn project(former: &dyn FormerProjects, versions: &[Version]) -> anyhow::Result<Project> {
    former.project(versions).map_err(|findings| {
        let names: Vec<String> = versions.iter().map(|v| format!("{} {}", v.pipeline, v.version)).collect();
        anyhow!(
            "the pipelines that ran then ({}) cannot be run by this build, or in the facility as it is now:\n{findings}",
            names.join(", ")
        )
    })
}
