//! The past once more: what entered then, through pipelines of today or others.

use crate::again::{Again, Entrance, entrances};
use crate::closed::ClosedBatch;
use crate::cluster::Cluster;
use crate::echoes::Echoes;
use crate::floors::Floors;
use crate::json_out::JsonRow;
use crate::live::errors::SystemErrors;
use crate::live::views::View;
use crate::live::{Outlet, Sinks, fingerprint, outlets, sink_fingerprint};
use crate::project::{PlannedSink, Project};
use crate::publish::{Publication, Publisher, What};
use arrow::datatypes::{Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use jarvis_dataflow::Closed;
use jarvis_log::{State, Tick};
use jarvis_plan::compile::ERRORS;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

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

impl Decision {
    /// Whether it takes something back: then it rests on what was before.
    pub fn goes(&self) -> bool {
        matches!(self.what.as_str(), "cleared" | "removed") || self.what.starts_with('-')
    }
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
    /// Of the row.
    schema: SchemaRef,
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
    /// By output, what its sinks were told: known where pipelines are edited on the way.
    views: Option<Vec<View>>,
}

impl Replay {
    /// # Errors
    /// The workers cannot be started.
    pub fn start(project: Project, workers: usize) -> anyhow::Result<Self> {
        let (graph, outlets) = outlets(&project);
        Ok(Replay {
            cluster: Cluster::start(graph.clone(), workers)?,
            errors: SystemErrors::new(),
            echoes: Echoes::of(&graph),
            entrances: entrances(&graph, &project.sources),
            tellers: tellers(project, outlets)?,
            last: 0,
            wake: u64::MAX,
            silent: 0,
            fingerprint: fingerprint(&graph),
            views: None,
        })
    }

    /// As [`Replay::start`], and ready for [`Replay::change_to`].
    ///
    /// # Errors
    /// The workers cannot be started.
    pub(crate) fn editable(project: Project, workers: usize) -> anyhow::Result<Self> {
        let replay = Replay::start(project, workers)?;
        let views = contents(&replay.tellers);
        Ok(Replay { views: Some(views), ..replay })
    }

    /// Lets another project take the place of the one that runs, as a live run does at the tick that logs its texts: it is
    /// filled with what `floors` leave of the ticks of `past` before that one. Returns what sinks are told of the difference.
    pub(crate) fn change_to(
        &mut self,
        project: Project,
        past: impl Iterator<Item = anyhow::Result<Tick>>,
        floors: &Floors,
        tick: &Tick,
    ) -> anyhow::Result<Vec<Decision>> {
        let at = tick.time.saturating_sub(1);
        let (graph, outlets) = outlets(&project);
        self.cluster.replace(graph.clone())?;
        self.echoes = Echoes::of(&graph);
        self.entrances = entrances(&graph, &project.sources);
        self.fingerprint = fingerprint(&graph);
        let tellers_before = std::mem::replace(&mut self.tellers, tellers(project, outlets)?);
        let views = contents(&self.tellers);
        let before = self.views.replace(views).unwrap_or_default();
        let mut known: HashMap<String, (Teller, usize)> = HashMap::new();
        for (output, here) in tellers_before.into_iter().enumerate() {
            known.extend(here.into_iter().map(|teller| (teller.name.clone(), (teller, output))));
        }

        self.errors.begin_anew();
        self.last = 0;
        for earlier in past {
            let mut earlier = earlier?;
            if earlier.time > tick.previous {
                break;
            }
            floors.sieve(&mut earlier);
            // What sources could not read is still known.
            earlier.batches.retain(|batch| batch.stream != ERRORS);
            self.again(&earlier)?;
        }
        let Replay { cluster, errors, echoes, last, wake, .. } = self;
        let outputs = Again { cluster, errors, echoes, last, wake }.end_refill(at)?;
        self.follow(&outputs);

        let mut decisions = vec![];
        let now = self.views.as_ref().map_or(&[][..], Vec::as_slice);
        for (here, view) in self.tellers.iter_mut().zip(now) {
            for teller in here {
                let known = known.remove(&teller.name).filter(|(old, _)| old.fingerprint == teller.fingerprint);
                let told = known.and_then(|(old, output)| {
                    *teller = old;
                    before.get(output)
                });
                let nothing = View::new(view.schema().clone());
                if let Some(delta) = told.unwrap_or(&nothing).changes_to(view, at) {
                    let told = teller.publisher.next(&ClosedBatch::of(&delta))?;
                    decisions.extend(teller.decisions(&told)?);
                }
            }
        }
        decisions.sort_by(|a, b| a.sink.cmp(&b.sink));
        Ok(if tick.time <= self.silent { vec![] } else { decisions })
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

    fn again(&mut self, tick: &Tick) -> anyhow::Result<Vec<Closed>> {
        let Replay { cluster, errors, echoes, last, wake, .. } = self;
        let outputs = Again { cluster, errors, echoes, last, wake }.run(tick, &self.entrances, |_, _| {})?;
        self.follow(&outputs);
        Ok(outputs)
    }

    fn follow(&mut self, outputs: &[Closed]) {
        let Some(views) = &mut self.views else { return };
        for Closed { output, delta } in outputs {
            // Nobody is told of the others.
            if !self.tellers[*output].is_empty() {
                views[*output].apply(&delta.rows, &delta.diffs);
            }
        }
    }

    /// Runs the next tick; what sinks would tell, in the order of sinks.
    ///
    /// # Errors
    /// A worker has failed, or a stream has columns that do not fit those it had.
    pub fn tick(&mut self, tick: &Tick) -> anyhow::Result<Vec<Decision>> {
        let is_silent = tick.time <= self.silent;
        let outputs = self.again(tick)?;
        let mut decisions = vec![];
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

/// By output, nothing yet.
fn contents(tellers: &[Vec<Teller>]) -> Vec<View> {
    let schema = |here: &Vec<Teller>| here.first().map(|teller| teller.schema.clone());
    tellers.iter().map(|here| View::new(schema(here).unwrap_or_else(|| Arc::new(Schema::empty())))).collect()
}

/// By output, what its sinks tell.
fn tellers(project: Project, outlets: Vec<Outlet>) -> anyhow::Result<Vec<Vec<Teller>>> {
    let pipelines = project.pipelines;
    let mut plans: HashMap<String, PlannedSink> = project.sinks.into_iter().map(|s| (s.name.clone(), s)).collect();
    let mut tellers = vec![];
    for outlet in outlets {
        let mut here = vec![];
        for name in outlet.sinks {
            // What is asked is no decision: the answers are in the log.
            let Some(sink) = plans.remove(&name).filter(|sink| sink.asks.is_none()) else { continue };
            let fingerprint = sink_fingerprint(&pipelines, &sink);
            let identity = sink.plan.publish.identity.clone();
            let schema = sink.spec.schema.clone();
            let publisher = Publisher::new(sink.plan.publish, &schema)?;
            let row = JsonRow::new(&schema)?;
            here.push(Teller { name, fingerprint, publisher, identity, row, schema, is_restored: false });
        }
        tellers.push(here);
    }
    Ok(tellers)
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
