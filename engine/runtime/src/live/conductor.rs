//! The conductor: mints ticks, and answers what is asked of the graph that runs.

use super::LiveOptions;
use super::bridges::{Arrivals, Fatal, SinkTask, SourceTask};
use super::clock::{Clock, wall};
use super::ending::{Stopping, give};
use super::errors::SystemErrors;
use super::history::{History, Keep};
use super::intake::Gate;
use super::journal::{Entering, Journal};
use super::states::StateUnderWay;
use super::views::View;
use crate::arrival::Arrival;
use crate::closed::ClosedBatch;
use crate::cluster::{Cluster, Rows, TickResult};
use crate::control::{Control, StreamStatus, Tap};
use crate::echoes::Echoes;
use crate::floors::Floors;
use crate::project::Project;
use crate::versions::texts;
use anyhow::{Context, anyhow};
use arrow::datatypes::SchemaRef;
use jarvis_dataflow::{Delta, StepError};
use jarvis_log::Batch;
use jarvis_plan::compile::{ERRORS, errors_schema};
use jarvis_spec::OnError;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// How long after the last tick the log notes what sinks have delivered, if no tick comes anyway.
const NEWS: Duration = Duration::from_millis(50);
/// Rows taken into one tick at most.
const TICK_ROWS: usize = 50_000;

/// A source as the conductor sees it.
pub(super) struct Entry {
    pub name: String,
    pub kind: String,
    pub schema: SchemaRef,
    pub gate: Gate,
    /// Kept here where there is no log.
    pub history: Option<History>,
    pub keep: Keep,
    pub place: u64,
    pub rows: u64,
    pub errors: u64,
    pub newest: Option<i64>,
    pub task: SourceTask,
}

/// A stream that the graph puts out: a view, or what a sink is given.
pub(crate) struct Outlet {
    pub view: View,
    /// `pipeline.view` names that it is known by, with their kind.
    pub names: Vec<(String, String)>,
    /// Sinks that are given its changes.
    pub sinks: Vec<String>,
    pub rows: u64,
}

struct Listener {
    stream: String,
    sender: mpsc::Sender<ClosedBatch>,
    missed: Arc<AtomicU64>,
}

pub(super) struct Conductor {
    pub options: LiveOptions,
    pub echoes: Echoes,
    pub cluster: Cluster,
    pub sources: BTreeMap<usize, Entry>,
    pub sinks: HashMap<String, (String, SinkTask)>,
    pub outlets: Vec<Outlet>,
    pub sender: mpsc::Sender<(usize, Arrival)>,
    pub fatal: Fatal,
    pub next_number: usize,
    pub arrivals: Arrivals,
    pub failures: mpsc::UnboundedReceiver<anyhow::Error>,
    listeners: Vec<Listener>,
    /// The time of the last tick, µs since 1970.
    pub last: u64,
    clock: Clock,
    pub wake: u64,
    pub errors: SystemErrors,
    sampled: Instant,
    /// The end was asked for.
    pub stopping: Stopping,
    /// `None`: the run keeps nothing.
    pub journal: Option<Journal>,
    pub states: StateUnderWay,
    /// The texts of the pipelines, until they are logged.
    pub texts: Vec<Batch>,
    /// Of the graph that runs.
    pub fingerprint: String,
    /// What earlier edits have left behind.
    pub floors: Floors,
}

impl Conductor {
    pub async fn start(project: Project, options: LiveOptions, stopping: Stopping) -> anyhow::Result<Self> {
        let (sender, arrivals) = mpsc::channel(1024);
        let (fatal, failures) = mpsc::unbounded_channel();
        let mut log = options.data.as_deref().map(super::recovery::open).transpose()?;
        let former = log.as_mut().and_then(|log| log.take_former(&project, &options));
        let (graph, outlets) = super::reload::outlets(former.as_ref().unwrap_or(&project));
        let echoes = Echoes::of(&graph);
        let fingerprint = super::reload::fingerprint(&graph);
        let texts = vec![texts(&project.pipelines)];
        let cluster = Cluster::start(graph, options.workers)?;
        let mut conductor = Conductor {
            options,
            echoes,
            cluster,
            sources: BTreeMap::new(),
            sinks: HashMap::new(),
            outlets,
            sender,
            fatal,
            next_number: 0,
            arrivals,
            failures,
            listeners: vec![],
            last: 0,
            clock: Clock::start(),
            wake: u64::MAX,
            errors: SystemErrors::new(),
            sampled: Instant::now(),
            stopping,
            journal: None,
            states: StateUnderWay::default(),
            texts,
            fingerprint,
            floors: Floors::default(),
        };
        let tables = match (log, former) {
            (None, _) => conductor.install(project)?,
            (Some(log), None) => conductor.recover(log, project).await?,
            (Some(log), Some(former)) => {
                conductor.recover_edited(log, former, project).await?;
                return Ok(conductor);
            }
        };
        conductor.tick(tables).await?;
        Ok(conductor)
    }

    /// The loop of the run.
    pub async fn run(mut self, mut control: mpsc::Receiver<Control>) -> anyhow::Result<()> {
        loop {
            match self.turn(&mut control).await {
                Ok(true) => {}
                Ok(false) => return self.stop(None).await,
                Err(error) => return self.stop(Some(error)).await,
            }
        }
    }

    /// What comes next, be it a request, rows or the clock. False: the end was asked for.
    async fn turn(&mut self, control: &mut mpsc::Receiver<Control>) -> anyhow::Result<bool> {
        self.sample()?;
        self.follow_states()?;
        let mut arrived = vec![];
        let rest = self.rest();
        tokio::select! {
            biased;
            Some(error) = self.failures.recv() => return Err(error),
            request = control.recv() => match request {
                None | Some(Control::Stop) => return Ok(false),
                Some(request) => self.answer(request).await?,
            },
            Some(first) = self.arrivals.recv() => arrived.push(first),
            _ = tokio::time::sleep(rest) => {}
        }
        self.drain(&mut arrived);
        if !arrived.is_empty() || self.is_due() || self.has_news_of_sinks() {
            self.tick(arrived).await?;
        }
        Ok(true)
    }

    /// µs since 1970; not before the last tick.
    fn now(&mut self) -> u64 {
        self.clock.pass(self.last);
        self.clock.now()
    }
    /// The time of a tick that comes now.
    pub fn next_time(&mut self) -> u64 {
        self.now().max(self.last + 1)
    }
    /// How long nothing is due.
    fn rest(&mut self) -> Duration {
        if !self.errors.is_empty() {
            return Duration::ZERO;
        }
        let tick = self.options.tick.as_micros() as u64;
        let due = self.wake.div_ceil(tick.max(1)).saturating_mul(tick.max(1));
        let due = due.min(self.errors.due());
        let rest = Duration::from_micros(due.saturating_sub(self.now()).min(1_000_000));
        if self.waits_for_sinks() || self.states.is_asking() { rest.min(NEWS) } else { rest }
    }
    /// Whether a sink was given something that the log does not know to be delivered.
    fn waits_for_sinks(&self) -> bool {
        let Some(journal) = &self.journal else { return false };
        self.sinks.iter().any(|(name, (_, task))| task.given() > journal.delivered(name))
    }
    /// Whether it is worth a tick to note what sinks have delivered, so that a restart does not tell it again.
    fn has_news_of_sinks(&mut self) -> bool {
        let is_old = self.now().saturating_sub(self.last) >= NEWS.as_micros() as u64;
        let Some(journal) = &self.journal else { return false };
        is_old && self.sinks.iter().any(|(name, (_, task))| task.delivered() > journal.delivered(name))
    }
    fn is_due(&mut self) -> bool {
        !self.errors.is_empty() || self.rest().is_zero()
    }
    pub fn drain(&mut self, arrived: &mut Vec<(usize, Arrival)>) {
        let mut rows: usize = arrived.iter().map(|(_, a)| a.decoded.rows.num_rows()).sum();
        while rows < TICK_ROWS {
            let Ok(next) = self.arrivals.try_recv() else { return };
            rows += next.1.decoded.rows.num_rows();
            arrived.push(next);
        }
    }

    /// One tick: everything in, everything out, then the acknowledgements.
    pub async fn tick(&mut self, arrived: Vec<(usize, Arrival)>) -> anyhow::Result<()> {
        let time = self.next_time();
        self.tick_at(time, arrived).await
    }

    pub async fn tick_at(&mut self, time: u64, arrived: Vec<(usize, Arrival)>) -> anyhow::Result<()> {
        let begun = Instant::now();
        self.last = time;
        let mut rows: Vec<Vec<Rows>> = vec![vec![]; self.cluster.workers()];
        let mut entering = Entering::default();
        for (number, arrival) in arrived {
            self.take(number, arrival, time, &mut rows, &mut entering);
        }
        self.error_rows(time, &mut rows);
        let mut safe = vec![];
        match &mut self.journal {
            // The disk works while the graph does; sinks wait for it.
            Some(journal) => {
                entering.batches.append(&mut self.texts);
                let delivered = self.sinks.iter().map(|(name, (_, task))| (name.clone(), task.delivered()));
                journal.append(time, entering, delivered)?;
            }
            None => safe = entering.safe,
        }
        let result = self.cluster.tick(time, rows)?;
        self.finish_tick(result).await?;
        safe.into_iter().for_each(|f| f());
        metrics::counter!("jarvis_ticks_total").increment(1);
        metrics::histogram!("jarvis_tick_seconds").record(begun.elapsed().as_secs_f64());
        Ok(())
    }

    fn take(
        &mut self,
        number: usize,
        mut arrival: Arrival,
        time: u64,
        rows: &mut [Vec<Rows>],
        entering: &mut Entering,
    ) {
        // A source that a reload has removed may still have something under way, which is not acknowledged.
        let Some(entry) = self.sources.get_mut(&number) else { return };
        entering.safe.extend(arrival.on_safe.take());
        metrics::counter!("jarvis_bytes_in_total", "stream" => entry.name.clone()).increment(arrival.decoded.bytes);
        let taken = entry.gate.take(&mut arrival, time, &mut entry.place);
        entry.newest = entry.newest.max(taken.newest);
        entering.notes.extend(arrival.note.take().map(|note| (entry.name.clone(), note)));
        let mut failed = vec![];
        for e in taken.errors {
            entry.errors += 1;
            metrics::counter!("jarvis_errors_total", "stream" => entry.name.clone(), "code" => e.code).increment(1);
            failed.push([entry.name.clone(), e.code.to_string(), e.message, e.input]);
        }
        if self.journal.is_some() && !failed.is_empty() {
            let diffs = vec![1; failed.len()];
            let rows = super::errors::batch(&failed);
            entering.batches.push(Batch { stream: ERRORS.to_owned(), place: 0, rows, diffs });
        }
        failed.into_iter().for_each(|row| self.errors.of_source(row, time));
        let Some(taken) = taken.rows else { return };
        entry.rows += taken.delta.len() as u64;
        metrics::counter!("jarvis_rows_in_total", "stream" => entry.name.clone()).increment(taken.delta.len() as u64);
        if let Some(history) = &mut entry.history {
            history.forget(time);
            history.add(&taken.delta, taken.place);
        }
        if self.journal.is_some() {
            let (rows, diffs) = (taken.delta.rows.clone(), taken.delta.diffs.clone());
            entering.batches.push(Batch { stream: entry.name.clone(), place: taken.place, rows, diffs });
        }
        listen(&mut self.listeners, &entry.name, &taken.delta);
        let worker = number % rows.len();
        rows[worker].push(taken);
    }

    /// Feeds `system.errors` with what failed since the last tick, and takes back what is old.
    fn error_rows(&mut self, time: u64, rows: &mut [Vec<Rows>]) {
        if let Some(delta) = self.errors.changes(time) {
            listen(&mut self.listeners, ERRORS, &delta);
            rows[0].push(Rows { input: 0, delta, place: 0 });
        }
    }

    /// Those who listen to `system.errors` are told how it differs from what it was before a reload.
    pub fn tell_errors_since(&mut self, before: &View) {
        if let Some(delta) = before.changes_to(self.errors.view(), self.last) {
            listen(&mut self.listeners, ERRORS, &delta);
        }
    }

    /// Counts what steps could not compute, and keeps it for `system.errors`.
    ///
    /// # Errors
    /// A step with `on_error: fail` has failed.
    pub fn take_failed(&mut self, mut failed: Vec<StepError>) -> anyhow::Result<()> {
        // A worker may take back what another one has reported in this tick.
        failed.sort_by_key(|e| e.diff < 0);
        for e in failed {
            if e.diff > 0 {
                metrics::counter!("jarvis_errors_total", "stream" => e.step.clone(), "code" => e.code).increment(1);
            }
            match e.on_error {
                OnError::Drop => {}
                OnError::Fail if e.diff > 0 => {
                    anyhow::bail!("{}: {}: {} in {} (on_error: fail)", e.step, e.code, e.message, e.input)
                }
                _ if self.echoes.holds(&e) => {}
                _ => self.errors.of_step(e),
            }
        }
        Ok(())
    }

    async fn finish_tick(&mut self, result: TickResult) -> anyhow::Result<()> {
        self.wake = result.next_wake;
        self.take_failed(result.errors)?;
        for closed in result.outputs {
            self.put_out(closed.output, closed.delta).await?;
        }
        Ok(())
    }

    /// Gives changes of one outlet to its view, its sinks and those who listen.
    async fn put_out(&mut self, output: usize, delta: Delta) -> anyhow::Result<()> {
        let outlet = &mut self.outlets[output];
        outlet.view.apply(&delta.rows, &delta.diffs);
        outlet.rows += delta.len() as u64;
        for (name, _) in &outlet.names {
            metrics::counter!("jarvis_rows_out_total", "stream" => name.clone()).increment(delta.len() as u64);
            listen(&mut self.listeners, name, &delta);
        }
        for sink in &outlet.sinks {
            metrics::counter!("jarvis_rows_out_total", "stream" => sink.clone()).increment(delta.len() as u64);
            give(&self.sinks, sink, &delta, &self.stopping, &mut self.failures).await?;
        }
        Ok(())
    }

    async fn answer(&mut self, request: Control) -> anyhow::Result<()> {
        // Those who asked may have gone: then the answer is for nobody.
        match request {
            Control::Stop => {}
            Control::Reload { project, reply } => {
                let result = self.reload(*project).await.context("the changed pipelines were not taken over");
                let _ = reply.send(result.as_ref().map_err(|error| anyhow!("{error:#}")).copied());
                result?;
            }
            Control::Tap { stream, reply } => {
                let _ = reply.send(self.tap(&stream));
            }
            Control::Views { reply } => {
                let views = self.outlets.iter().flat_map(|o| o.names.iter().map(|(n, _)| (n.as_str(), &o.view)));
                let views = views.chain([(ERRORS, self.errors.view())]);
                let _ = reply.send(views.map(|(name, view)| (name.to_owned(), view.content())).collect());
            }
            Control::Streams { reply } => {
                let _ = reply.send(self.status());
            }
            Control::Sizes { reply } => {
                let _ = reply.send(self.cluster.state_sizes()?);
            }
        }
        Ok(())
    }

    fn tap(&mut self, stream: &str) -> Option<Tap> {
        let (schema, now) = match self.outlets.iter().find(|o| o.names.iter().any(|(n, _)| n == stream)) {
            Some(outlet) => (outlet.view.schema().clone(), Some(outlet.view.content())),
            None if stream == ERRORS => (errors_schema(), Some(self.errors.view().content())),
            None => (self.sources.values().find(|s| s.name == stream)?.schema.clone(), None),
        };
        let (sender, changes) = mpsc::channel(1024);
        let missed = Arc::new(AtomicU64::new(0));
        self.listeners.retain(|l| !l.sender.is_closed());
        self.listeners.push(Listener { stream: stream.to_string(), sender, missed: missed.clone() });
        Some(Tap { schema, now, changes, missed })
    }

    fn status(&self) -> Vec<StreamStatus> {
        let now = wall() as i64;
        let columns = |schema: &SchemaRef| {
            schema
                .fields()
                .iter()
                .map(|f| format!("{}: {}", f.name(), jarvis_spec::schema::field_type_name(f)))
                .collect()
        };
        let mut all: Vec<StreamStatus> = vec![];
        for s in self.sources.values() {
            let lag_us = s.newest.map(|t| now - t);
            all.push(StreamStatus {
                name: s.name.clone(),
                role: "source",
                kind: s.kind.clone(),
                columns: columns(&s.schema),
                rows_in: s.rows,
                rows_out: s.rows,
                errors: s.errors,
                lag_us,
                queued: 0,
            });
        }
        for o in &self.outlets {
            for (name, kind) in &o.names {
                all.push(StreamStatus {
                    name: name.clone(),
                    role: "view",
                    kind: kind.clone(),
                    columns: columns(o.view.schema()),
                    rows_in: 0,
                    rows_out: o.rows,
                    errors: 0,
                    lag_us: None,
                    queued: 0,
                });
            }
            for name in &o.sinks {
                let Some((kind, task)) = self.sinks.get(name) else { continue };
                let rows_out = task.written.load(Ordering::Relaxed);
                all.push(StreamStatus {
                    name: name.clone(),
                    role: "sink",
                    kind: kind.clone(),
                    columns: columns(o.view.schema()),
                    rows_in: o.rows,
                    rows_out,
                    errors: 0,
                    lag_us: None,
                    queued: task.queued(),
                });
            }
        }
        all.push(StreamStatus {
            name: ERRORS.to_owned(),
            role: "view",
            kind: "system".to_owned(),
            columns: columns(self.errors.view().schema()),
            rows_in: 0,
            rows_out: self.errors.told(),
            errors: 0,
            lag_us: None,
            queued: 0,
        });
        all
    }

    /// Sizes and lags for the metrics, every few seconds.
    fn sample(&mut self) -> anyhow::Result<()> {
        if self.sampled.elapsed() < Duration::from_secs(5) {
            return Ok(());
        }
        self.sampled = Instant::now();
        for (name, rows, bytes) in self.cluster.state_sizes()? {
            metrics::gauge!("jarvis_state_rows", "operator" => name.clone()).set(rows as f64);
            metrics::gauge!("jarvis_state_bytes", "operator" => name).set(bytes as f64);
        }
        for status in self.status() {
            if let Some(lag) = status.lag_us {
                metrics::gauge!("jarvis_lag_seconds", "stream" => status.name.clone()).set(lag as f64 / 1e6);
            }
            if status.role == "sink" {
                metrics::gauge!("jarvis_queue_depth", "sink" => status.name).set(status.queued as f64);
            }
        }
        metrics::gauge!("jarvis_queue_depth", "sink" => "arrivals").set((1024 - self.sender.capacity()) as f64);
        Ok(())
    }
}

/// Gives changes to those who listen to a stream; who is too slow misses some, and is told how many.
fn listen(listeners: &mut [Listener], stream: &str, delta: &Delta) {
    for listener in listeners.iter_mut().filter(|l| l.stream == stream) {
        if listener.sender.try_send(ClosedBatch::of(delta)).is_err() {
            listener.missed.fetch_add(delta.len() as u64, Ordering::Relaxed);
        }
    }
}
