//! Putting a project in place: at the start, and again when its files have changed.
//!
//! A changed graph starts empty and is filled from what has arrived and still counts; then every sink is told only the
//! difference between what it was told last and what is true now. Sources and sinks that did not change keep running.

use super::bridges::{SinkTask, SourceTask};
use super::conductor::{Conductor, Entry, Outlet, now};
use super::ending::give;
use super::history::History;
use super::intake::Gate;
use super::views::View;
use crate::arrival::Arrival;
use crate::cluster::Rows;
use crate::echoes::Echoes;
use crate::kinds::{BoundedSource, SourcePlan};
use crate::project::{PlannedSource, Project};
use jarvis_plan::{Graph, NodeId, Output};
use jarvis_spec::{Pipeline, Retain};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

/// The graph with all views and sinks as outputs, one for each node.
pub(super) fn outlets(project: &Project) -> (Arc<Graph>, Vec<Outlet>) {
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
            if let Some(info) = project.compiled.streams.get(&name) {
                let at = place(&mut graph, &mut outlets, info.node, &name);
                outlets[at].names.push((name, operator.kind.value.clone()));
            }
        }
    }
    for (name, node) in &project.compiled.sinks {
        let at = place(&mut graph, &mut outlets, *node, name);
        outlets[at].sinks.push(name.clone());
    }
    (Arc::new(graph), outlets)
}

/// What must be equal for a source to go on as it is.
fn source_fingerprint(pipelines: &[Pipeline], source: &PlannedSource) -> String {
    let written = pipelines
        .iter()
        .flat_map(|p| p.sources.iter().map(move |s| (p, s)))
        .find(|(p, s)| format!("{}.{}", p.name.value, s.name.value) == source.spec.name);
    let options = written.map(|(p, s)| (p.text.path.clone(), s.options.to_json(), s.retain.as_ref().map(|r| r.value)));
    format!("{} {:?} {:?}", source.kind, options, source.spec)
}

fn sink_fingerprint(pipelines: &[Pipeline], name: &str, kind: &str, schema: &arrow::datatypes::Schema) -> String {
    let written = pipelines
        .iter()
        .flat_map(|p| p.sinks.iter().map(move |s| (p, s)))
        .find(|(p, s)| format!("{}.{}", p.name.value, s.name.value) == name);
    format!("{kind} {:?} {schema:?}", written.map(|(p, s)| (p.text.path.clone(), s.options.to_json())))
}

fn retention(pipelines: &[Pipeline], stream: &str) -> Option<Duration> {
    let source = pipelines
        .iter()
        .flat_map(|p| p.sources.iter().map(move |s| (p, s)))
        .find(|(p, s)| format!("{}.{}", p.name.value, s.name.value) == stream)?;
    match source.1.retain.as_ref()?.value {
        Retain::For(d) => Some(d),
        Retain::Forever => None,
    }
}

impl Conductor {
    /// Starts the sources and sinks of a project, keeping those that are there already; returns what bounded sources
    /// hold.
    pub(super) fn install(&mut self, project: Project) -> anyhow::Result<Vec<(usize, Arrival)>> {
        let Project { pipelines, compiled, sources, sinks, .. } = project;
        let mut tables = vec![];
        let mut old: HashMap<String, Entry> =
            std::mem::take(&mut self.sources).into_values().map(|e| (e.name.clone(), e)).collect();
        for source in sources {
            let fingerprint = source_fingerprint(&pipelines, &source);
            let input = compiled.graph.inputs.iter().position(|i| i.name == source.spec.name);
            let input = input.ok_or_else(|| anyhow::anyhow!("{} is no input of the graph", source.spec.name))?;
            let gate = Gate {
                input,
                time: source.spec.time,
                lateness: source.spec.lateness,
                keyed: !source.spec.key.is_empty(),
                stamps_arrival: compiled.graph.inputs[input].stamps_arrival,
            };
            if let Some(kept) = old.remove(&source.spec.name).filter(|e| e.task.fingerprint == fingerprint) {
                self.sources.insert(kept.task.number, Entry { gate, ..kept });
                continue;
            }
            let number = self.next_number;
            self.next_number += 1;
            let spec = source.spec.clone();
            let retain = retention(&pipelines, &spec.name);
            let task = match source.plan {
                SourcePlan::Live(live) => {
                    SourceTask::live(live, source.spec, number, fingerprint, self.sender.clone(), self.fatal.clone())
                }
                SourcePlan::Bounded(bounded) => {
                    tables.extend(read_all(&*bounded).into_iter().map(|a| (number, a)));
                    SourceTask::read(number, fingerprint)
                }
            };
            let history = History::new(&spec.schema, &spec.key, spec.time, retain);
            let entry = Entry {
                name: spec.name.clone(),
                kind: source.kind,
                schema: spec.schema.clone(),
                gate,
                history,
                place: 0,
                rows: 0,
                errors: 0,
                newest: None,
                task,
            };
            self.sources.insert(number, entry);
        }
        let mut old = std::mem::take(&mut self.sinks);
        for sink in sinks {
            let fingerprint = sink_fingerprint(&pipelines, &sink.name, &sink.kind, &sink.spec.schema);
            let kept = old.remove(&sink.name).filter(|(_, t)| t.fingerprint == fingerprint);
            let task = match kept {
                Some((_, task)) => task,
                None => SinkTask::start(sink.name.clone(), sink.plan.driver, fingerprint, self.fatal.clone()),
            };
            self.sinks.insert(sink.name, (sink.kind, task));
        }
        for (_, (_, gone)) in old {
            tokio::spawn(gone.finish());
        }
        Ok(tables)
    }

    /// Puts another project, which has passed every check, in place.
    ///
    /// # Errors
    /// A worker has failed, or a sink that took nothing to the end of the run: there is nothing to go back to.
    pub(super) async fn reload(&mut self, project: Project) -> anyhow::Result<()> {
        let (graph, outlets) = outlets(&project);
        let told: HashMap<String, View> = self.told();
        let kept: Vec<String> = self.sinks.iter().map(|(n, (_, t))| format!("{n} {}", t.fingerprint)).collect();
        self.echoes = Echoes::of(&graph);
        self.cluster.replace(graph)?;
        self.outlets = outlets;
        let tables = self.install(project)?;
        self.refill()?;
        self.tell_differences(told, &kept).await?;
        self.tick(tables).await
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
    fn refill(&mut self) -> anyhow::Result<()> {
        let errors_before = self.errors.begin_anew();
        let mut ticks: BTreeMap<u64, Vec<(usize, Rows)>> = BTreeMap::new();
        for (number, entry) in &self.sources {
            for (time, deltas) in entry.history.replay() {
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
        self.last = now().max(self.last + 1);
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

    /// Tells every sink how its view differs from what it was told.
    async fn tell_differences(&mut self, mut told: HashMap<String, View>, kept: &[String]) -> anyhow::Result<()> {
        for outlet in &self.outlets {
            for sink in &outlet.sinks {
                let Some((_, task)) = self.sinks.get(sink) else { continue };
                let same = kept.contains(&format!("{sink} {}", task.fingerprint));
                let before =
                    told.remove(sink).filter(|_| same).unwrap_or_else(|| View::new(outlet.view.schema().clone()));
                if let Some(delta) = before.changes_to(&outlet.view, self.last) {
                    give(&self.sinks, sink, &delta, &self.stopping, &mut self.failures).await?;
                }
            }
        }
        Ok(())
    }
}

/// Everything that a bounded source holds.
fn read_all(source: &dyn BoundedSource) -> Vec<Arrival> {
    let chunks = std::iter::from_fn(|| source.next_chunk());
    chunks.map(|c| Arrival { decoded: source.decode(&c), on_safe: None }).collect()
}
