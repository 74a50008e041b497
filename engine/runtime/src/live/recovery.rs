//! Going on after a restart, however the last run has ended.
//!
//! The log holds what entered, tick by tick, and now and then what sinks had been told by some tick. The ticks up to
//! there fill the graph again; that is silent. The ticks after it run as they ran, at their own times, so that what they
//! bring forth has the times and ids that it had: a sink that had delivered it takes note of it, one that had not is
//! given it. Then the clock goes on.
//!
//! Ticks run again through the pipelines that they ran through then. What was edited since the process ended takes their
//! place afterwards, as if it had been edited now.

use super::LiveOptions;
use super::conductor::Conductor;
use super::ending::{Handing, give, hand};
use super::history::History;
use super::journal::{Before, Journal, Marks};
use super::reload::{Told, keeps, outlets, sink_fingerprint};
use super::states::Sinks;
use super::views::View;
use crate::again::{Again, Entrance, entrances};
use crate::arrival::Arrival;
use crate::cluster::Rows;
use crate::floors::{COUNTING, Floors};
use crate::kinds::{Restored, SourcePlan};
use crate::project::{PlannedSink, PlannedSource, Project};
use crate::versions::{Version, begun, versions};
use anyhow::Context;
use jarvis_dataflow::Closed;
use jarvis_log::{Entry, Folder, Locked, LogError, Options, State, Tick, read};
use jarvis_plan::compile::ERRORS;
use jarvis_spec::Diagnostics;
use std::collections::{HashMap, HashSet, VecDeque};
use std::path::Path;
use std::time::Instant;

/// The log of a data folder, and the right to write it.
pub(super) struct Log {
    folder: Folder,
    lock: Locked,
    begun: Instant,
    overview: Overview,
    /// Pipelines that take others' place in the ticks that follow the state, and from which tick on.
    edits: VecDeque<(u64, Project)>,
    /// Whether its ticks run through the pipelines that they ran through.
    is_as_it_ran: bool,
}

/// What is to be known of a log before its ticks are run.
#[derive(Default)]
struct Overview {
    /// What sinks had been told.
    state: Option<State>,
    before: Before,
    /// The pipelines that ran when the state was written and those that took their place, and from which tick on.
    versions: Vec<(u64, Vec<Version>)>,
    /// What edits before the state have left behind.
    floors: Floors,
    /// Of the edits since, only what they say about that.
    later_floors: Vec<Tick>,
}

/// Also cuts off what a killed process has left half-written.
///
/// # Errors
/// The folder cannot be made, another process uses it, or it cannot be read.
pub(super) fn open(data: &Path) -> Result<Log, LogError> {
    let folder = Folder::below(data);
    let lock = folder.lock()?;
    let begun = Instant::now();
    let overview = overview(&folder)?;
    Ok(Log { folder, lock, begun, overview, edits: VecDeque::new(), is_as_it_ran: true })
}

impl Log {
    /// The project that ran when the log's state was written. `None`: today's is the one that ran, or none can be made of
    /// the texts that ran.
    pub fn take_former(&mut self, now: &Project, options: &LiveOptions) -> Option<Project> {
        let ran = std::mem::take(&mut self.overview.versions);
        let today = versions(&now.pipelines);
        if ran.iter().all(|(_, ran)| *ran == today) {
            return None;
        }
        self.is_as_it_ran = false;
        let former = options.former.as_ref()?;
        let projects = ran.iter().map(|(from, ran)| Ok((*from, former.project(ran)?)));
        match projects.collect::<Result<VecDeque<_>, Diagnostics>>() {
            Ok(projects) => (self.edits, self.is_as_it_ran) = (projects, true),
            Err(findings) => tracing::warn!(
                "the pipelines have been edited, and as they ran they are wrong now: what ran last runs again through them as they are, \
                 and sinks may be told what they knew ({})",
                findings.to_string().lines().next().unwrap_or_default()
            ),
        }
        self.edits.pop_front().map(|(_, project)| project)
    }
}

fn overview(folder: &Folder) -> Result<Overview, LogError> {
    let mut found = Overview::default();
    for entry in read(folder, true)? {
        let Overview { state: newest, before, versions, floors, later_floors } = &mut found;
        match entry? {
            Entry::State(state) => {
                // What ran before it is of no interest but for the last.
                let ran = versions.partition_point(|(from, _)| *from <= state.time);
                versions.drain(..ran.saturating_sub(1));
                let left = later_floors.partition_point(|tick| tick.time <= state.time);
                later_floors.drain(..left).for_each(|tick| floors.follow(&tick));
                *newest = Some(state);
            }
            Entry::Tick(tick) => {
                if let Some(begun) = begun(&tick)
                    && versions.last().is_none_or(|(_, last)| *last != begun)
                {
                    versions.push((tick.time, begun));
                }
                if tick.batches.iter().any(|batch| batch.stream == COUNTING) {
                    let batches = tick.batches.iter().filter(|batch| batch.stream == COUNTING).cloned().collect();
                    later_floors.push(Tick { time: tick.time, batches, ..Tick::default() });
                }
                before.last = tick.time;
                for (sink, until) in tick.delivered {
                    let known = before.delivered.entry(sink).or_default();
                    *known = until.max(*known);
                }
                tick.marks.into_iter().for_each(|mark| before.marks.add(mark));
            }
        }
    }
    Ok(found)
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
        self.pass(stream, rows.place + rows.delta.len() as u64);
        if let Some(history) = self.whole.get_mut(stream) {
            history.add(&rows.delta, rows.place);
        }
    }
    /// Takes out of a tick what earlier edits have left behind; its places are known all the same.
    fn sieve(&mut self, tick: &mut Tick, floors: &Floors) {
        for batch in &tick.batches {
            self.pass(&batch.stream, batch.place + batch.rows.num_rows() as u64);
        }
        floors.sieve(tick);
    }
    /// The rows of a stream before this place are known.
    fn pass(&mut self, stream: &str, place: u64) {
        let known = self.places.entry(stream.to_owned()).or_default();
        *known = place.max(*known);
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

/// The sinks of a project, each with what must be equal for it to go on as it is.
fn sinks_of(project: &Project) -> Vec<(String, String)> {
    let fingerprint = |s: &PlannedSink| sink_fingerprint(&project.pipelines, s);
    project.sinks.iter().map(|sink| (sink.name.clone(), fingerprint(sink))).collect()
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
        let (project, restored) = self.run_log(log, project).await?;
        let (graph, _) = outlets(&project);
        self.install_sources(&project.pipelines, &graph, project.sources, restored)
    }

    /// Starts the project that its log speaks of, and puts the one of today in its place.
    pub(super) async fn recover_edited(
        &mut self,
        mut log: Log,
        mut former: Project,
        now: Project,
    ) -> anyhow::Result<()> {
        // A sink that was edited away may have been the trouble; it is not begun again. What one has been asked is asked of its
        // successor, and until then of nobody.
        let today = sinks_of(&now);
        let asking: HashSet<&str> = now.sinks.iter().filter(|s| s.asks.is_some()).map(|s| s.name.as_str()).collect();
        for project in log.edits.iter_mut().map(|(_, project)| project).chain([&mut former]) {
            let same = sinks_of(project).into_iter().map(|sink| today.contains(&sink));
            let mut same = same.collect::<Vec<_>>().into_iter();
            project.sinks.retain(|sink| {
                let is_same = same.next().unwrap_or_default();
                is_same || sink.asks.is_some() && asking.contains(sink.name.as_str())
            });
        }
        let (ran, restored) = self.run_log(log, former).await?;
        if versions(&ran.pipelines) == versions(&now.pipelines) {
            // It was edited before the end.
            let (graph, _) = outlets(&ran);
            let tables = self.install_sources(&ran.pipelines, &graph, ran.sources, restored)?;
            return self.tick(tables).await;
        }
        tracing::info!("the pipelines have been edited since the log was written");
        self.reload_from(now, keeps(&ran)).await
    }

    /// Runs the ticks of the log; returns the project that it has come to, which has no sinks any more, and what its sources
    /// must know.
    async fn run_log(
        &mut self,
        log: Log,
        mut project: Project,
    ) -> anyhow::Result<(Project, HashMap<String, Restored>)> {
        let Log { folder, lock, begun, overview, mut edits, is_as_it_ran } = log;
        let Overview { state, before, mut floors, later_floors, .. } = overview;
        if edits.is_empty() {
            // One graph runs all ticks: it is the last one's.
            later_floors.iter().for_each(|tick| floors.follow(tick));
        }
        let (last, marks, delivered) = (before.last, before.marks.clone(), before.delivered.clone());
        let LiveOptions { sync, compact, .. } = self.options;
        let options = Options { sync, segment: Options::default().segment.min(compact) };
        let witness = self.options.archive.as_ref().map(|archive| archive.witness()).transpose()?.flatten();
        self.journal = Some(Journal::start(folder.clone(), lock, before, options, self.fatal.clone(), witness)?);

        self.install_sinks(&project.pipelines, std::mem::take(&mut project.sinks));
        if last > 0 {
            for (_, task) in self.sinks.values() {
                task.restore(vec![]).await;
            }
        }
        let mut entrances_now = entrances(&project.compiled.graph, &project.sources);
        let mut gathered = Gathered::new(&project.sources);
        let since = state.as_ref().map_or(0, |s| s.time);
        self.floors = floors;
        let mut told = state.map(Sinks::of).transpose()?;
        // What another graph has delivered says nothing about this one.
        let is_trusted = is_as_it_ran && told.as_ref().is_some_and(|told| told.graph == self.fingerprint);
        let mut known = match &told {
            Some(told) if is_trusted => self.known(told, &delivered),
            _ => HashMap::new(),
        };
        let mut ticks = 0_u64;
        for entry in read(&folder, false)? {
            let Entry::Tick(mut tick) = entry? else { continue };
            ticks += 1;
            let phase = if tick.time <= since { Phase::Filling } else { Phase::Following };
            if phase == Phase::Following
                && let Some(told) = told.take()
            {
                self.go_on_from(told, since).await?;
            }
            if edits.front().is_some_and(|(from, _)| *from <= tick.time)
                && let Some((_, edited)) = edits.pop_front()
            {
                self.floors.follow(&tick);
                project = edited;
                let before = Told { forgetful: false, ..self.take_place(&project)? };
                for begun in self.install_sinks(&project.pipelines, std::mem::take(&mut project.sinks)) {
                    self.sinks[&begun].1.restore(vec![]).await;
                    let until = delivered.get(&begun).filter(|_| is_trusted);
                    known.extend(until.map(|until| (begun.clone(), *until)));
                }
                entrances_now = entrances(&project.compiled.graph, &project.sources);
                // What the edit changed was told just before the tick that logged the texts.
                let at = tick.time.saturating_sub(1);
                gathered = self.refill_upto(&entrances_now, &project.sources, tick.previous, at)?;
                self.tell_differences(before, &known).await?;
            }
            gathered.sieve(&mut tick, &self.floors);
            self.run_again(tick, phase, &entrances_now, &known, &mut gathered).await?;
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
        let restored = gathered.restored(&project.sources, &marks);
        Ok((project, restored))
    }

    /// By sink, up to when what the ticks bring forth is known to be delivered: as long as the sink is the one that delivered
    /// it. Otherwise it is given again; what is the same has the same ids.
    fn known(&self, told: &Sinks, delivered: &HashMap<String, u64>) -> HashMap<String, u64> {
        let is_same = |sink: &str| {
            let before = told.sinks.get(sink).map(|s| &s.fingerprint);
            before.is_some() && before == self.sinks.get(sink).map(|(_, task)| &task.fingerprint)
        };
        delivered.iter().filter(|(sink, _)| is_same(sink)).map(|(sink, until)| (sink.clone(), *until)).collect()
    }

    /// Fills a changed graph from the log; returns what sources that are started anew must know.
    pub(super) fn refill_from_log(
        &mut self,
        entrances: &HashMap<String, Entrance>,
        sources: &[PlannedSource],
        at: u64,
    ) -> anyhow::Result<HashMap<String, Restored>> {
        let Some(journal) = &self.journal else { return Ok(HashMap::new()) };
        journal.writer().flush()?;
        let marks = journal.marks().clone();
        let gathered = self.refill_upto(entrances, sources, u64::MAX, at)?;
        Ok(gathered.restored(sources, &marks))
    }

    /// Fills a changed graph with what the ticks up to one have left, and puts the clock to `at`.
    fn refill_upto(
        &mut self,
        entrances: &HashMap<String, Entrance>,
        sources: &[PlannedSource],
        upto: u64,
        at: u64,
    ) -> anyhow::Result<Gathered> {
        let mut gathered = Gathered::new(sources);
        // It takes files away.
        self.states.wait_for_compaction();
        let Some(journal) = &self.journal else { return Ok(gathered) };
        let folder = journal.writer().folder().clone();
        let errors_before = self.errors.begin_anew();
        self.last = 0;
        for entry in read(&folder, false)? {
            let Entry::Tick(mut tick) = entry? else { continue };
            if tick.time > upto {
                break;
            }
            gathered.sieve(&mut tick, &self.floors);
            // What sources could not read is still known.
            tick.batches.retain(|b| b.stream != ERRORS);
            for closed in self.enter_again(&tick, entrances, |stream, rows| gathered.add(stream, rows))? {
                self.outlets[closed.output].view.apply(&closed.delta.rows, &closed.delta.diffs);
            }
        }
        self.end_refill(errors_before, at)?;
        Ok(gathered)
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
                let changes = Handing::of(&delta, delivered.get(name));
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
            // A question that has been asked is not asked again, whoever answers it now.
            if !task.is_lasting || task.between.is_none() && task.fingerprint != before.fingerprint {
                continue;
            }
            let Some(outlet) = self.outlets.iter().find(|o| o.sinks.contains(&name)) else { continue };
            let told = before.told().unwrap_or_else(|| Ok(outlet.view.content()));
            let Ok(rows) = told.inspect_err(|error| {
                tracing::warn!(sink = name, %error, "what the sink was told cannot be read: it is told everything");
            }) else {
                continue;
            };
            kept.push(format!("{name} {}", task.fingerprint));
            task.restore(before.snapshot).await;
            let mut view = View::new(rows.schema());
            view.apply(&rows, &vec![1; rows.num_rows()]);
            views.insert(name, view);
        }
        self.tell_differences(Told { views, kept, forgetful: false }, &HashMap::new())
            .await
            .context("sinks could not be told what has changed")
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
