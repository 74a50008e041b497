//! Putting a project in place: at the start, and again when its files have changed.
//!
//! A changed graph starts empty and is filled from what has arrived and still counts; then every sink is told only the
//! difference between what it was told last and what is true now. Sources and sinks that did not change keep running.

use super::bridges::{SinkTask, SourceTask};
use super::conductor::{Conductor, Entry, Outlet};
use super::ending::{Handing, hand};
use super::history::{History, Keep};
use super::intake::Gate;
use super::journal::Journal;
use super::views::View;
use crate::again::entrances;
use crate::arrival::{Arrival, Decoded};
use crate::cluster::Rows;
use crate::echoes::Echoes;
use crate::floors::{counting, logged};
use crate::kinds::{BoundedSource, Restored, SourcePlan, StreamSpec};
use crate::project::{PlannedSink, PlannedSource, Project};
use crate::versions::texts;
use arrow::record_batch::RecordBatch;
use jarvis_dataflow::Delta;
use jarvis_plan::compile::ERRORS;
use jarvis_plan::lower::StreamInfo;
use jarvis_plan::{Graph, NodeId, Op, Output};
use jarvis_spec::{Operator, Pipeline, Retain};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, HashMap};
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

/// What sinks know.
pub(super) struct Told {
    /// By sink, the content of its view.
    pub views: HashMap<String, View>,
    /// Those that know it, with their fingerprints.
    pub kept: Vec<String>,
    /// Whether sinks that forget with their run are told now; otherwise they are told everything later.
    pub forgetful: bool,
}

/// The graph with all views and sinks as outputs, one for each node; and `system.errors`, of which a run may keep a record
/// by a sink of that name.
pub(crate) fn outlets(project: &Project) -> (Arc<Graph>, Vec<Outlet>) {
    let mut graph = project.compiled.graph.clone();
    let mut places: HashMap<NodeId, usize> = HashMap::new();
    let mut outlets: Vec<Outlet> = vec![];
    let mut place = |graph: &mut Graph, outlets: &mut Vec<Outlet>, node: NodeId, name: &str| {
        *places.entry(node).or_insert_with(|| {
            graph.outputs.push(Output { name: name.into(), node });
            outlets.push(Outlet { view: View::new(graph.schema(node).clone()), names: vec![], sinks: vec![], rows: 0 });
            outlets.len() - 1
        })
    };
    for pipeline in &project.pipelines {
        for operator in &pipeline.operators {
            let name = format!("{}.{}", pipeline.name.value, operator.name.value);
            // Answers are an input of the operator's name. A view may be another input, word for word.
            let is_view = |info: &&StreamInfo| !matches!(graph.nodes[info.node].op, Op::Input(input) if graph.inputs[input].name == name);
            if let Some(info) = project.compiled.streams.get(&name).filter(is_view) {
                let at = place(&mut graph, &mut outlets, info.node, &name);
                outlets[at].names.push((name, operator.kind.value.clone()));
            }
        }
    }
    for (name, node) in &project.compiled.sinks {
        let at = place(&mut graph, &mut outlets, *node, name);
        outlets[at].sinks.push(name.clone());
    }
    let is_kept = project.sinks.iter().any(|sink| sink.name == ERRORS);
    if let Some(errors) =
        graph.nodes.iter().position(|n| matches!(n.op, Op::Input(i) if graph.inputs[i].name == ERRORS))
        && is_kept
    {
        let at = place(&mut graph, &mut outlets, errors, ERRORS);
        outlets[at].sinks.push(ERRORS.to_owned());
    }
    (Arc::new(graph), outlets)
}

/// Tells graphs apart, whether or not a record of `system.errors` is kept. Another build may give another text to the same
/// graph; then sinks are told some things again.
pub(crate) fn fingerprint(graph: &Graph) -> String {
    let mut hasher = std::hash::DefaultHasher::new();
    let mut graph = graph.clone();
    graph.outputs.retain(|output| output.name != ERRORS);
    format!("{graph:?}").hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

/// What must be equal for a source to go on as it is.
fn source_fingerprint(pipelines: &[Pipeline], source: &PlannedSource) -> String {
    let written = pipelines
        .iter()
        .flat_map(|p| p.sources.iter().map(move |s| (p, s)))
        .find(|(p, s)| format!("{}.{}", p.name.value, s.name.value) == source.spec.name);
    let options = written.map(|(p, s)| (p.text.path.clone(), s.options.to_json(), s.retain.as_ref().map(|r| r.value)));
    let marks = match &source.plan {
        SourcePlan::Live(live) => live.marks(),
        SourcePlan::Bounded(_) => String::new(),
    };
    format!("{} {options:?} {:?} {:?} {marks}", source.kind, asking(pipelines, &source.spec.name), source.spec)
}

/// What must be equal for a sink to go on as it is.
pub(crate) fn sink_fingerprint(pipelines: &[Pipeline], sink: &PlannedSink) -> String {
    let PlannedSink { name, kind, spec, asks, .. } = sink;
    let written = pipelines
        .iter()
        .flat_map(|p| p.sinks.iter().map(move |s| (p, s)))
        .find(|(p, s)| format!("{}.{}", p.name.value, s.name.value) == *name);
    let options = written.map(|(p, s)| (p.text.path.clone(), s.options.to_json()));
    // It goes into the log, and options may hold passwords.
    let words = format!("{kind} {options:?} {:?} {asks:?} {:?}", asking(pipelines, name), spec.schema);
    Sha256::digest(words.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What must be equal for both ends of an operator that asks to go on as they are.
fn asking(pipelines: &[Pipeline], name: &str) -> Option<String> {
    let (pipeline, operator) = operator(pipelines, name)?;
    let (path, retain) = (&pipeline.text.path, operator.retain.as_ref().map(|r| r.value));
    let from: Vec<&str> = operator.from.iter().map(|stream| stream.value.as_str()).collect();
    Some(format!("{path:?} {from:?} {:?} {retain:?}", operator.options.to_json()))
}

fn operator<'p>(pipelines: &'p [Pipeline], name: &str) -> Option<(&'p Pipeline, &'p Operator)> {
    let mut all = pipelines.iter().flat_map(|p| p.operators.iter().map(move |o| (p, o)));
    all.find(|(p, o)| format!("{}.{}", p.name.value, o.name.value) == name)
}

fn retention(pipelines: &[Pipeline], stream: &str) -> Option<Duration> {
    let source = pipelines
        .iter()
        .flat_map(|p| p.sources.iter().map(move |s| (p, s)))
        .find(|(p, s)| format!("{}.{}", p.name.value, s.name.value) == stream);
    let retain = match source {
        Some((_, source)) => source.retain.as_ref(),
        None => operator(pipelines, stream)?.1.retain.as_ref(),
    };
    match retain?.value {
        Retain::For(d) => Some(d),
        Retain::Forever => None,
    }
}

/// What makes the rows of an input count, and for how long.
fn keep(pipelines: &[Pipeline], graph: &Graph, stream: &StreamSpec, input: usize) -> Keep {
    let retain = retention(pipelines, &stream.name);
    let retain = retain.map(|r| r.max(Duration::from_micros(graph.lasts(input))));
    Keep { schema: stream.schema.clone(), key: stream.key.clone(), time: stream.time, retain }
}

/// What makes the rows of a project's inputs count, by stream.
pub(super) fn keeps(project: &Project) -> HashMap<String, Keep> {
    // How long windows hold rows is known of a graph that somebody reads.
    let (graph, _) = outlets(project);
    let graph = &graph;
    let of = |source: &PlannedSource| {
        let name = &source.spec.name;
        let input = graph.inputs.iter().position(|input| input.name == *name)?;
        Some((name.clone(), keep(&project.pipelines, graph, &source.spec, input)))
    };
    project.sources.iter().filter_map(of).collect()
}

impl Conductor {
    /// Starts the sources and sinks of a project, keeping those that are there already; returns what bounded sources
    /// hold.
    pub(super) fn install(&mut self, project: Project) -> anyhow::Result<Vec<(usize, Arrival)>> {
        let (graph, _) = outlets(&project);
        let Project { pipelines, sources, sinks, .. } = project;
        self.install_sinks(&pipelines, sinks);
        self.install_sources(&pipelines, &graph, sources, HashMap::new())
    }

    /// Starts sources, which are told what the log knows of them; keeps those that are there already.
    pub(super) fn install_sources(
        &mut self,
        pipelines: &[Pipeline],
        graph: &Graph,
        sources: Vec<PlannedSource>,
        mut restored: HashMap<String, Restored>,
    ) -> anyhow::Result<Vec<(usize, Arrival)>> {
        let mut tables = vec![];
        let mut old: HashMap<String, Entry> =
            std::mem::take(&mut self.sources).into_values().map(|e| (e.name.clone(), e)).collect();
        for source in sources {
            let fingerprint = source_fingerprint(pipelines, &source);
            let input = graph.inputs.iter().position(|i| i.name == source.spec.name);
            let input = input.ok_or_else(|| anyhow::anyhow!("{} is no input of the graph", source.spec.name))?;
            let gate = Gate {
                input,
                time: source.spec.time,
                lateness: source.spec.lateness,
                keyed: !source.spec.key.is_empty(),
                stamps_arrival: graph.inputs[input].stamps_arrival,
            };
            let keep = keep(pipelines, graph, &source.spec, input);
            if let Some(mut kept) = old.remove(&source.spec.name).filter(|e| e.task.fingerprint == fingerprint) {
                kept.history.iter_mut().for_each(|history| history.keep_for(keep.retain));
                self.sources.insert(kept.task.number, Entry { gate, keep, ..kept });
                continue;
            }
            let number = self.next_number;
            self.next_number += 1;
            let spec = source.spec.clone();
            let before = restored.remove(&spec.name).unwrap_or_default();
            let place = before.place;
            let task = match source.plan {
                SourcePlan::Live(live) => {
                    let (sender, fatal) = (self.sender.clone(), self.fatal.clone());
                    SourceTask::live(live, source.spec, number, fingerprint, before, sender, fatal)
                }
                SourcePlan::Bounded(bounded) => {
                    let read = match &before.rows {
                        Some(rows) => read_again(&*bounded, rows, &spec.key),
                        None => read_all(&*bounded),
                    };
                    tables.extend(read.into_iter().map(|a| (number, a)));
                    SourceTask::read(number, fingerprint)
                }
            };
            let history = self.journal.is_none().then(|| keep.history());
            let entry = Entry {
                name: spec.name.clone(),
                kind: source.kind,
                schema: spec.schema.clone(),
                gate,
                history,
                keep,
                place,
                rows: 0,
                errors: 0,
                newest: None,
                task,
            };
            self.sources.insert(number, entry);
        }
        Ok(tables)
    }

    /// Starts sinks, and returns which; keeps those that are there already, and lets the others finish.
    pub(super) fn install_sinks(&mut self, pipelines: &[Pipeline], sinks: Vec<PlannedSink>) -> Vec<String> {
        let mut started = vec![];
        let durable = self.journal.as_ref().map(Journal::durable);
        let mut old = std::mem::take(&mut self.sinks);
        for sink in sinks {
            let fingerprint = sink_fingerprint(pipelines, &sink);
            let is_answered = sink.asks.is_none() || self.sources.values().any(|source| source.name == sink.name);
            let before = old.remove(&sink.name);
            let is_kept = before.as_ref().is_some_and(|(_, t)| t.fingerprint == fingerprint && is_answered);
            let (kept, replaced) = if is_kept { (before, None) } else { (None, before) };
            let task = match kept {
                Some((_, task)) => task,
                None => {
                    started.push(sink.name.clone());
                    let (name, fatal) = (sink.name.clone(), self.fatal.clone());
                    SinkTask::start(name, sink.plan.driver, fingerprint, durable.clone(), fatal)
                }
            };
            if let Some((_, gone)) = replaced {
                if let (Some(before), Some(now)) = (&gone.between, &task.between) {
                    before.hand_over_to(now);
                }
                tokio::spawn(gone.finish());
            }
            self.sinks.insert(sink.name, (sink.kind, task));
        }
        for (_, (_, gone)) in old {
            tokio::spawn(gone.finish());
        }
        started
    }

    /// Puts another project, which has passed every check, in place.
    ///
    /// # Errors
    /// A worker has failed, or a sink that took nothing to the end of the run: there is nothing to go back to.
    pub(super) async fn reload(&mut self, project: Project) -> anyhow::Result<()> {
        let keeps = self.sources.values().map(|e| (e.name.clone(), e.keep.clone())).collect();
        self.reload_from(project, keeps).await
    }

    /// `keeps`: what made rows count for the project before; what no longer did is not seen by this one.
    pub(super) async fn reload_from(&mut self, project: Project, keeps: HashMap<String, Keep>) -> anyhow::Result<()> {
        let before = self.take_place(&project)?;
        // What the edit changes is told at a time of its own, just before the tick that logs the texts: so it can be found
        // again.
        let at = self.next_time();
        let since = counting(&keeps, at);
        self.texts = vec![texts(&project.pipelines), logged(&since)];
        let tables = match &self.journal {
            None => {
                let tables = self.install(project)?;
                self.refill(at)?;
                tables
            }
            Some(_) => {
                let (graph, _) = outlets(&project);
                let Project { pipelines, sources, sinks, .. } = project;
                let inputs = entrances(&graph, &sources);
                self.install_sinks(&pipelines, sinks);
                self.floors.rise(&since, at + 1);
                let restored = self.refill_from_log(&inputs, &sources, at)?;
                self.install_sources(&pipelines, &graph, sources, restored)?
            }
        };
        self.tell_differences(before, &HashMap::new()).await?;
        self.tick_at(at + 1, tables).await?;
        // One that is under way speaks of the graph that was.
        self.states.forget();
        self.begin_state();
        Ok(())
    }

    /// Lets another graph, which is empty yet, take the place of the one that ran.
    pub(super) fn take_place(&mut self, project: &Project) -> anyhow::Result<Told> {
        let (graph, outlets) = outlets(project);
        let views = self.told();
        let kept = self.sinks.iter().map(|(n, (_, t))| format!("{n} {}", t.fingerprint)).collect();
        self.echoes = Echoes::of(&graph);
        self.cluster.replace(graph.clone())?;
        self.fingerprint = fingerprint(&graph);
        self.outlets = outlets;
        Ok(Told { views, kept, forgetful: true })
    }

    /// What each sink has been told, as the content of its view.
    fn told(&mut self) -> HashMap<String, View> {
        let mut told = HashMap::new();
        for outlet in std::mem::take(&mut self.outlets) {
            let content = outlet.view.content();
            for sink in outlet.sinks {
                let mut view = View::new(outlet.view.schema().clone());
                view.apply(&content, &vec![1; content.num_rows()]);
                told.insert(sink, view);
            }
        }
        told
    }

    /// Runs what has arrived and still counts through the new graph.
    fn refill(&mut self, at: u64) -> anyhow::Result<()> {
        let errors_before = self.errors.begin_anew();
        let mut ticks: BTreeMap<u64, Vec<(usize, Rows)>> = BTreeMap::new();
        for (number, entry) in &self.sources {
            let Some(history) = &entry.history else { continue };
            for (time, deltas) in history.replay() {
                let rows =
                    deltas.into_iter().map(|(delta, place)| (*number, Rows { input: entry.gate.input, delta, place }));
                ticks.entry(time).or_default().extend(rows);
            }
        }
        let workers = self.cluster.workers();
        for (time, list) in ticks {
            let mut rows = vec![vec![]; workers];
            for (number, row) in list {
                rows[number % workers].push(row);
            }
            self.refill_tick(time, rows)?;
        }
        self.end_refill(errors_before, at)
    }

    /// After all that counted has entered again: what failed is told, and the clock is put to `at`.
    pub(super) fn end_refill(&mut self, errors_before: View, at: u64) -> anyhow::Result<()> {
        self.last = at;
        let failed = self.errors.changes(self.last).map(|delta| Rows { input: 0, delta, place: 0 });
        self.tell_errors_since(&errors_before);
        self.refill_tick(self.last, vec![failed.into_iter().collect()])
    }

    fn refill_tick(&mut self, time: u64, rows: Vec<Vec<Rows>>) -> anyhow::Result<()> {
        let result = self.cluster.tick(time, rows)?;
        self.wake = result.next_wake;
        self.take_failed(result.errors)?;
        for closed in result.outputs {
            self.outlets[closed.output].view.apply(&closed.delta.rows, &closed.delta.diffs);
        }
        Ok(())
    }

    /// Tells every sink how its view differs from what it was told; `delivered` says, by sink, up to when it knows already.
    pub(super) async fn tell_differences(
        &mut self,
        before: Told,
        delivered: &HashMap<String, u64>,
    ) -> anyhow::Result<()> {
        let Told { mut views, kept, forgetful } = before;
        for outlet in &self.outlets {
            for sink in &outlet.sinks {
                let Some((_, task)) = self.sinks.get(sink).filter(|(_, t)| forgetful || t.is_lasting) else { continue };
                let same = kept.contains(&format!("{sink} {}", task.fingerprint));
                let before = match (views.remove(sink), &task.between) {
                    // What has been asked is not asked again because an edit says it otherwise.
                    (Some(before), Some(between)) => outlet.view.agreeing(&before, between.about()),
                    (Some(before), None) if same => before,
                    _ => View::new(outlet.view.schema().clone()),
                };
                if let Some(delta) = before.changes_to(&outlet.view, self.last) {
                    let changes = Handing::of(&delta, delivered.get(sink));
                    hand(&self.sinks, sink, changes, &self.stopping, &mut self.failures).await?;
                }
            }
        }
        Ok(())
    }
}

/// How what a bounded source holds differs from what it held before a restart.
fn read_again(source: &dyn BoundedSource, before: &RecordBatch, key: &[usize]) -> Vec<Arrival> {
    let schema = before.schema();
    let mut now = History::new(&schema, key, None, None);
    let (mut errors, mut bytes, mut place) = (vec![], 0, 0);
    for Arrival { decoded, .. } in read_all(source) {
        let count = decoded.rows.num_rows();
        let weights = decoded.weights.unwrap_or_else(|| vec![1; count]);
        now.add(&Delta::new(decoded.rows, vec![0; count], weights), place);
        place += count as u64;
        errors.extend(decoded.errors);
        bytes += decoded.bytes;
    }
    let (mut old, mut new) = (View::new(schema.clone()), View::new(schema.clone()));
    let now = now.content(&schema);
    old.apply(before, &vec![1; before.num_rows()]);
    new.apply(&now, &vec![1; now.num_rows()]);
    let changes = old.changes_to(&new, 0).map(|delta| (delta.rows, delta.diffs));
    let (rows, diffs) = changes.unwrap_or_else(|| (RecordBatch::new_empty(before.schema()), vec![]));
    vec![Arrival::new(Decoded { rows, weights: Some(diffs), errors, bytes })]
}

/// Everything that a bounded source holds.
fn read_all(source: &dyn BoundedSource) -> Vec<Arrival> {
    let chunks = std::iter::from_fn(|| source.next_chunk());
    chunks.map(|c| Arrival::new(source.decode(&c))).collect()
}
