//! The past as it was decided: every tick runs through the pipelines that ran then.

use crate::floors::Floors;
use crate::project::Project;
use crate::replay::{Decision, Replay};
use crate::versions::{FormerProjects, Version, begun};
use anyhow::anyhow;
use jarvis_log::{State, Tick};

/// Ticks of the past, in order.
pub type Ticks = Box<dyn Iterator<Item = anyhow::Result<Tick>>>;
/// The pipelines that ran, and from which tick on, in order.
pub type Texts = [(u64, Vec<Version>)];

/// Runs the past as it ran, edits included, and tells nobody.
pub struct Rerun<'a> {
    replay: Replay,
    former: &'a dyn FormerProjects,
    running: Vec<Version>,
    floors: Floors,
    /// The same ticks from their beginning: an edited graph is filled with them.
    past: Box<dyn Fn() -> anyhow::Result<Ticks> + 'a>,
}

impl<'a> Rerun<'a> {
    /// Begins with the pipelines that ran at the tick `begins`, or else with the first.
    ///
    /// # Errors
    /// They cannot be run by this build, or in the facility as it is now.
    pub fn start(
        former: &'a dyn FormerProjects,
        texts: &Texts,
        begins: u64,
        workers: usize,
        past: impl Fn() -> anyhow::Result<Ticks> + 'a,
    ) -> anyhow::Result<Self> {
        let running = ran_at(texts, begins).to_vec();
        let is_edited = texts.iter().any(|(from, ran)| *from > begins && *ran != running);
        let project = project(former, &running)?;
        let replay = if is_edited { Replay::editable(project, workers) } else { Replay::start(project, workers) };
        Ok(Rerun { replay: replay?, former, running, floors: Floors::default(), past: Box::new(past) })
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
        self.floors.follow(tick);
        if let Some(edited) = begun(tick).filter(|begun| *begun != self.running) {
            let project = project(self.former, &edited)?;
            decisions = self.replay.change_to(project, (self.past)()?, &self.floors, tick)?;
            self.running = edited;
        }
        decisions.extend(self.replay.tick(tick)?);
        Ok(decisions)
    }
}

/// The pipelines that ran at a time, or else the first that did.
pub fn ran_at(texts: &Texts, time: u64) -> &[Version] {
    let then = texts.partition_point(|(from, _)| *from <= time).saturating_sub(1);
    texts.get(then).map_or(&[], |(_, ran)| ran)
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
