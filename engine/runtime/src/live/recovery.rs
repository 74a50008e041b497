//! Going on after a restart, however the last run has ended.
//!
//! The log holds what entered, tick by tick, and now and then what sinks had been told by some tick. The ticks up to
//! there fill the graph again; that is silent. The ticks after it run as they ran, at their own times, so that what they
//! bring forth has the times and ids that it had: a sink that had delivered it takes note of it, one that had not is
//! given it. Then the clock goes on.

use super::LiveOptions;
use super::conductor::Conductor;
use super::ending::{Handing, give, hand};
use super::history::History;
use super::journal::{Before, Journal, Marks};
use super::states::Sinks;
use super::views::View;
use crate::again::{Again, Entrance, entrances};
use crate::arrival::Arrival;
use crate::closed::ClosedBatch;
use crate::cluster::Rows;
use crate::kinds::{Restored, SourcePlan};
use crate::project::{PlannedSource, Project};
use anyhow::Context;
use jarvis_dataflow::Closed;
use jarvis_log::{Entry, Folder, Locked, LogError, Options, State, Tick, read};
use jarvis_plan::compile::ERRORS;
use std::collections::HashMap;
use std::path::Path;
use std::time::Instant;

/// The log of a data folder, and the right to write it.
pub(super) struct Log {
    folder: Folder,
    lock: Locked,
}

/// # Errors
/// The folder cannot be made, or another process uses it.
pub(super) fn open(data: &Path) -> Result<Log, LogError> {
    let folder = Folder::below(data);
    let lock = folder.lock()?;
    Ok(Log { folder, lock })
}

/// What is to be known of a log before its ticks are run. Also cuts off what a killed process has left half-written.
fn overview(folder: &Folder) -> Result<(Option<State>, Before), LogError> {
    let (mut newest, mut before) = (None, Before::default());
    for entry in read(folder, true)? {
        match entry? {
            Entry::State(state) => newest = Some(state),
            Entry::Tick(tick) => {
                before.last = tick.time;
                for (sink, until) in tick.delivered {
                    let known = before.delivered.entry(sink).or_default();
                    *known = until.max(*known);
                }
                tick.marks.into_iter().for_each(|mark| before.marks.add(mark));
            }
        }
    }
    Ok((newest, before))
}

/// What the log holds of the streams whose sources need it.
struct Gathered {
    /// The rows of sources that are read whole at the start.
    whole: HashMap<String, History>,
    places: HashMap<String, u64>,
}

impl Gathered {
    fn new(sources: &[PlannedSource]) -> Self {
        let is_whole = |s: &&PlannedSource| match &s.plan {
            SourcePlan::Bounded(_) => true,
            SourcePlan::Live(live) => live.is_whole(),
        };
        let history = |s: &PlannedSource| (s.spec.name.clone(), History::new(&s.spec.schema, &s.spec.key, None, None));
        Gathered { whole: sources.iter().filter(is_whole).map(history).collect(), places: HashMap::new() }
    }
    fn add(&mut self, stream: &str, rows: &Rows) {
        let place = self.places.entry(stream.to_owned()).or_default();
        *place = (*place).max(rows.place + rows.delta.len() as u64);
        if let Some(history) = self.whole.get_mut(stream) {
            history.add(&rows.delta, rows.place);
        }
    }
    fn restored(&self, sources: &[PlannedSource], marks: &Marks) -> HashMap<String, Restored> {
        let known = |PlannedSource { spec, .. }: &PlannedSource| {
            let notes = marks.notes(&spec.name);
            let rows = self.whole.get(&spec.name).map(|history| history.content(&spec.schema));
            let place = self.places.get(&spec.name).copied().unwrap_or(0);
            (spec.name.clone(), Restored { notes, rows, place })
        };
        sources.iter().map(known).collect()
    }
}

/// How ticks are run again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Only the graph and its views follow.
    Filling,
    /// Sinks follow too.
    Following,
}

impl Conductor {
    /// Starts a project on what its log holds; returns what has changed since in sources that are read whole.
    pub(super) async fn recover(&mut self, log: Log, project: Project) -> anyhow::Result<Vec<(usize, Arrival)>> {
        let Log { folder, lock } = log;
        let begun = Instant::now();
        let (state, before) = overview(&folder)?;
        let (last, marks, delivered) = (before.last, before.marks.clone(), before.delivered.clone());
        let LiveOptions { sync, compact, .. } = self.options;
        let options = Options { sync, segment: Options::default().segment.min(compact) };
        let witness = self.options.archive.as_ref().map(|archive| archive.witness()).transpose()?.flatten();
        self.journal = Some(Journal::start(folder.clone(), lock, before, options, self.fatal.clone(), witness)?);

        let Project { pipelines, compiled, sources, sinks, .. } = project;
        self.install_sinks(&pipelines, sinks);
        if last > 0 {
            for (_, task) in self.sinks.values() {
                task.restore(vec![]).await;
            }
        }
        let entrances = entrances(&compiled.graph, &sources);
        let mut gathered = Gathered::new(&sources);
        let since = state.as_ref().map_or(0, |s| s.time);
        let mut told = state.map(Sinks::of).transpose()?;
        let known = match &told {
            Some(told) => self.known(told, delivered),
            None => HashMap::new(),
        };
        let mut ticks = 0_u64;
        for entry in read(&folder, false)? {
            let Entry::Tick(tick) = entry? else { continue };
            ticks += 1;
            let phase = if tick.time <= since { Phase::Filling } else { Phase::Following };
            if phase == Phase::Following
                && let Some(told) = told.take()
            {
                self.go_on_from(told, since).await?;
            }
            self.run_again(tick, phase, &entrances, &known, &mut gathered).await?;
        }
        self.last = last;
        if let Some(told) = told {
            // No tick follows, so that the difference has a time of its own.
            self.last += 1;
            self.go_on_from(told, self.last).await?;
        }
        self.tell_forgetful().await?;
        if ticks > 0 {
            tracing::info!(ticks, took = ?begun.elapsed(), "went on from the log");
        }
        let restored = gathered.restored(&sources, &marks);
        self.install_sources(&pipelines, &compiled.graph, sources, restored)
    }

    /// By sink, up to when what the ticks bring forth is known to be delivered: as long as the graph and the sink are the
    /// ones that delivered it. Otherwise it is given again; what is the same has the same ids.
    fn known(&self, told: &Sinks, delivered: HashMap<String, u64>) -> HashMap<String, u64> {
        let is_same = |sink: &str| {
            let before = told.sinks.get(sink).map(|s| &s.fingerprint);
            before.is_some() && before == self.sinks.get(sink).map(|(_, task)| &task.fingerprint)
        };
        delivered.into_iter().filter(|(sink, _)| told.graph == self.fingerprint && is_same(sink)).collect()
    }

    /// Fills a changed graph from the log; returns what sources that are started anew must know.
    pub(super) fn refill_from_log(
        &mut self,
        entrances: &HashMap<String, Entrance>,
        sources: &[PlannedSource],
    ) -> anyhow::Result<HashMap<String, Restored>> {
        let mut gathered = Gathered::new(sources);
        // It takes files away.
        self.states.wait_for_compaction();
        let Some(journal) = &self.journal else { return Ok(HashMap::new()) };
        journal.writer().flush()?;
        let marks = journal.marks().clone();
        let folder = journal.writer().folder().clone();
        let errors_before = self.errors.begin_anew();
        let last = std::mem::replace(&mut self.last, 0);
        for entry in read(&folder, false)? {
            let Entry::Tick(mut tick) = entry? else { continue };
            // What sources could not read is still known.
            tick.batches.retain(|b| b.stream != ERRORS);
            for closed in self.enter_again(&tick, entrances, |stream, rows| gathered.add(stream, rows))? {
                self.outlets[closed.output].view.apply(&closed.delta.rows, &closed.delta.diffs);
            }
        }
        self.last = last;
        self.end_refill(errors_before)?;
        Ok(gathered.restored(sources, &marks))
    }

    async fn run_again(
        &mut self,
        tick: Tick,
        phase: Phase,
        entrances: &HashMap<String, Entrance>,
        delivered: &HashMap<String, u64>,
        gathered: &mut Gathered,
    ) -> anyhow::Result<()> {
        for Closed { output, delta } in self.enter_again(&tick, entrances, |stream, rows| gathered.add(stream, rows))? {
            self.outlets[output].view.apply(&delta.rows, &delta.diffs);
            if phase == Phase::Filling {
                continue;
            }
            for name in &self.outlets[output].sinks {
                if !self.sinks.get(name).is_some_and(|(_, task)| task.is_lasting) {
                    continue;
                }
                let changes = ClosedBatch::of(&delta);
                let is_known = delivered.get(name).is_some_and(|until| changes.upper <= *until);
                let changes = if is_known { Handing::Known(changes) } else { Handing::New(changes) };
                hand(&self.sinks, name, changes, &self.stopping, &mut self.failures).await?;
            }
        }
        Ok(())
    }

    fn enter_again(
        &mut self,
        tick: &Tick,
        entrances: &HashMap<String, Entrance>,
        seen: impl FnMut(&str, &Rows),
    ) -> anyhow::Result<Vec<Closed>> {
        let Conductor { cluster, errors, echoes, last, wake, .. } = self;
        Again { cluster, errors, echoes, last, wake }.run(tick, entrances, seen)
    }

    /// Sinks go on from what they had been told, and are told what the graph says otherwise now.
    async fn go_on_from(&mut self, told: Sinks, time: u64) -> anyhow::Result<()> {
        let Sinks { sinks, .. } = told;
        self.last = self.last.max(time);
        let mut views: HashMap<String, View> = HashMap::new();
        let mut kept = vec![];
        for (name, before) in sinks {
            let Some((_, task)) = self.sinks.get(&name) else { continue };
            if !task.is_lasting || task.fingerprint != before.fingerprint {
                continue;
            }
            let Some(outlet) = self.outlets.iter().find(|o| o.sinks.contains(&name)) else { continue };
            let Ok(rows) = before.told(outlet.view.schema()).inspect_err(|error| {
                tracing::warn!(sink = name, %error, "what the sink was told cannot be read: it is told everything");
            }) else {
                continue;
            };
            kept.push(format!("{name} {}", task.fingerprint));
            task.restore(before.snapshot).await;
            let mut view = View::new(outlet.view.schema().clone());
            view.apply(&rows, &vec![1; rows.num_rows()]);
            views.insert(name, view);
        }
        self.tell_differences(views, &kept).await.context("sinks could not be told what has changed")
    }

    /// What a sink wrote into a file of its run is gone: it is told the whole view.
    async fn tell_forgetful(&mut self) -> anyhow::Result<()> {
        for outlet in &self.outlets {
            let Some(all) = View::new(outlet.view.schema().clone()).changes_to(&outlet.view, self.last) else {
                continue;
            };
            for sink in &outlet.sinks {
                if self.sinks.get(sink).is_some_and(|(_, task)| !task.is_lasting) {
                    give(&self.sinks, sink, &all, &self.stopping, &mut self.failures).await?;
                }
            }
        }
        Ok(())
    }
}
