//! The past once more: what entered then, through pipelines of today or others.

use crate::again::{Again, Entrance, entrances};
use crate::closed::ClosedBatch;
use crate::cluster::Cluster;
use crate::echoes::Echoes;
use crate::json_out::JsonRow;
use crate::live::errors::SystemErrors;
use crate::live::{Sinks, fingerprint, outlets, sink_fingerprint};
use crate::project::Project;
use crate::publish::{Publication, Publisher, What};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use jarvis_log::{State, Tick};
use std::collections::{BTreeMap, HashMap};

/// Something that a sink would tell.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// µs since the epoch.
    pub time: u64,
    /// `pipeline.sink`
    pub sink: String,
    /// `raised`, `cleared`, `put`, `removed`, `+1`, `-1`, ...
    pub what: String,
    /// Of an event.
    pub id: Option<String>,
    /// JSON.
    pub row: String,
    /// The row; where an event clears, its identity.
    pub values: RecordBatch,
}

/// What one sink tells.
struct Teller {
    name: String,
    /// What must be equal for it to go on from what it had been told.
    fingerprint: String,
    publisher: Publisher,
    /// The columns of an event's identity; `None`: all.
    identity: Option<Vec<usize>>,
    row: JsonRow,
    /// It knows what it had been told when the ticks begin.
    is_restored: bool,
}

/// A project that runs on what entered in the past, and tells nobody.
pub struct Replay {
    cluster: Cluster,
    errors: SystemErrors,
    echoes: Echoes,
    entrances: HashMap<String, Entrance>,
    /// By output, the sinks that read it.
    tellers: Vec<Vec<Teller>>,
    last: u64,
    wake: u64,
    /// Up to this tick only the graph follows: what sinks had been told by then is known, or of no interest.
    silent: u64,
    /// Of the graph.
    fingerprint: String,
}

impl Replay {
    /// # Errors
    /// The workers cannot be started.
    pub fn start(project: Project, workers: usize) -> anyhow::Result<Self> {
        let (graph, outlets) = outlets(&project);
        let entrances = entrances(&graph, &project.sources);
        let graph_is = fingerprint(&graph);
        let pipelines = project.pipelines;
        let mut plans: HashMap<String, _> = project.sinks.into_iter().map(|s| (s.name.clone(), s)).collect();
        let mut tellers = vec![];
        for outlet in outlets {
            let mut here = vec![];
            for name in outlet.sinks {
                let Some(sink) = plans.remove(&name) else { continue };
                let identity = sink.plan.publish.identity.clone();
                let publisher = Publisher::new(sink.plan.publish, &sink.spec.schema)?;
                let row = JsonRow::new(&sink.spec.schema)?;
                let fingerprint = sink_fingerprint(&pipelines, &name, &sink.kind, &sink.spec.schema);
                here.push(Teller { name, fingerprint, publisher, identity, row, is_restored: false });
            }
            tellers.push(here);
        }
        let echoes = Echoes::of(&graph);
        let cluster = Cluster::start(graph, workers)?;
        let errors = SystemErrors::new();
        Ok(Replay {
            cluster,
            errors,
            echoes,
            entrances,
            tellers,
            last: 0,
            wake: u64::MAX,
            silent: 0,
            fingerprint: graph_is,
        })
    }

    /// Goes on from a state of the log instead of the beginning: the ticks up to it say what still counted, and sinks had
    /// been told what it says. Sinks and pipelines that were edited since are taken to have been told what was true.
    ///
    /// # Errors
    /// The state is of another form.
    pub fn go_on_from(&mut self, state: &State) -> anyhow::Result<()> {
        self.silent = state.time;
        let Sinks { graph, mut sinks, .. } = Sinks::of(state.clone())?;
        let is_same = graph == self.fingerprint;
        for teller in self.tellers.iter_mut().flatten() {
            let known = sinks.remove(&teller.name).filter(|known| is_same && known.fingerprint == teller.fingerprint);
            teller.is_restored = known.is_some_and(|known| teller.publisher.restore_bytes(known.snapshot).is_ok());
        }
        Ok(())
    }

    /// Runs the next tick; what sinks would tell, in the order of sinks.
    ///
    /// # Errors
    /// A worker has failed, or a stream has columns that do not fit those it had.
    pub fn tick(&mut self, tick: &Tick) -> anyhow::Result<Vec<Decision>> {
        let Replay { cluster, errors, echoes, last, wake, .. } = self;
        let outputs = Again { cluster, errors, echoes, last, wake }.run(tick, &self.entrances, |_, _| {})?;
        let mut decisions = vec![];
        let is_silent = tick.time <= self.silent;
        for closed in outputs {
            let batch = ClosedBatch::of(&closed.delta);
            for teller in &mut self.tellers[closed.output] {
                if is_silent {
                    if !teller.is_restored {
                        teller.publisher.next(&batch)?;
                    }
                    continue;
                }
                let told = teller.publisher.next(&batch)?;
                decisions.extend(teller.decisions(&told)?);
            }
        }
        // What one sink tells at one time has its order.
        decisions.sort_by(|a, b| (a.time, &a.sink).cmp(&(b.time, &b.sink)));
        Ok(decisions)
    }
}

impl Teller {
    /// Copies of a row that change at one time are one decision, however many workers found them.
    fn decisions(&self, told: &[Publication]) -> Result<Vec<Decision>, ArrowError> {
        let mut decisions = vec![];
        let mut changes: BTreeMap<(u64, bool, String), (i64, RecordBatch)> = BTreeMap::new();
        for told in told {
            let mut row = vec![];
            self.row.write(&told.rows, told.row, &[], &mut row);
            let row = String::from_utf8_lossy(&row).into_owned();
            let values = told.rows.slice(told.row, 1);
            let what = match told.what {
                What::Raised => "raised",
                What::Cleared => "cleared",
                What::Put => "put",
                What::Remove => "removed",
                What::Change(diff) => {
                    changes.entry((told.time, diff > 0, row)).or_insert((0, values)).0 += diff;
                    continue;
                }
            };
            let values = match (told.what, &self.identity) {
                (What::Cleared, Some(identity)) => values.project(identity)?,
                _ => values,
            };
            let (sink, what, id) = (self.name.clone(), what.to_owned(), told.id.clone());
            decisions.push(Decision { time: told.time, sink, what, id, row, values });
        }
        for ((time, _, row), (diff, values)) in changes {
            let (sink, what) = (self.name.clone(), format!("{diff:+}"));
            decisions.push(Decision { time, sink, what, id: None, row, values });
        }
        Ok(decisions)
    }
}
