//! Batch mode: bounded sources only. The workers read the files in parallel, the clock follows the event time of the
//! rows, and the run ends with the input.

pub mod feeder;
mod sinks;
mod worker;

use crate::echoes::Echoes;
use crate::kinds::SourcePlan;
use crate::project::Project;
use feeder::{Feeder, Source};
use jarvis_plan::{Graph, Op};
use jarvis_spec::OnError;
use sinks::SinkThread;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// How a batch runs.
#[derive(Clone, Debug)]
pub struct BatchOptions {
    pub workers: usize,
    /// How much of the clock one tick covers.
    pub tick: Duration,
}

/// What a batch did.
#[derive(Clone, Debug)]
pub struct BatchReport {
    pub rows_read: u64,
    pub rows_written: u64,
    /// Rows that could not be read or computed.
    pub errors: u64,
    /// The first of them, as text.
    pub samples: Vec<String>,
    pub seconds: f64,
    /// A step with `on_error: fail` has failed.
    pub failed: bool,
}

/// What the workers share.
pub(crate) struct Run {
    pub graph: Graph,
    pub echoes: Echoes,
    pub feeder: Mutex<Feeder>,
    /// Source → position in the graph's inputs.
    pub inputs: Vec<usize>,
    pub uses_clock: bool,
    pub stop: AtomicBool,
    pub failure: Mutex<Option<String>>,
    pub errors: Errors,
}

/// Rows that failed.
#[derive(Default)]
pub(crate) struct Errors {
    count: AtomicU64,
    failed: AtomicBool,
    samples: Mutex<Vec<String>>,
}

impl Errors {
    pub fn add(&self, stream: &str, code: &str, message: &str, input: &str, on_error: OnError) {
        if on_error == OnError::Drop {
            return;
        }
        self.count.fetch_add(1, Ordering::Relaxed);
        if on_error == OnError::Fail {
            self.failed.store(true, Ordering::Relaxed);
        }
        if let Ok(mut samples) = self.samples.lock()
            && samples.len() < 10
        {
            samples.push(format!("{stream}: {code}: {message}: {input}"));
        }
    }
}

/// Runs a bounded project to its end.
///
/// # Errors
/// A sink that cannot write, or a worker that failed.
pub fn run_batch(project: Project, options: &BatchOptions) -> anyhow::Result<BatchReport> {
    let begun = Instant::now();
    let Project { mut compiled, sources, sinks, .. } = project;
    let mut readers = vec![];
    let mut inputs = vec![];
    for source in sources {
        let SourcePlan::Bounded(reader) = source.plan else {
            anyhow::bail!("{} does not end: this is not a batch", source.spec.name);
        };
        let index = compiled.graph.inputs.iter().position(|i| i.name == source.spec.name);
        let index = index.ok_or_else(|| anyhow::anyhow!("{} is no input of the graph", source.spec.name))?;
        let (keyed, stamps_arrival) = (!source.spec.key.is_empty(), compiled.graph.inputs[index].stamps_arrival);
        inputs.push(index);
        readers.push(Source::new(reader, source.spec.time, source.spec.lateness, keyed, stamps_arrival));
    }
    for sink in &sinks {
        compiled.read_sink(&sink.name);
    }
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_micros() as u64;
    let run = Arc::new(Run {
        uses_clock: uses_clock(&compiled.graph),
        echoes: Echoes::of(&compiled.graph),
        graph: compiled.graph,
        feeder: Mutex::new(Feeder::new(readers, options.tick, now)),
        inputs,
        stop: AtomicBool::new(false),
        failure: Mutex::new(None),
        errors: Errors::default(),
    });
    let sink_thread = SinkThread::start(sinks, options.workers)?;
    let outcome = work(&run, &sink_thread, options.workers);
    if outcome.is_err() {
        run.stop.store(true, Ordering::SeqCst);
    }
    // Workers know of a sink only that it takes nothing more; why, the sink says itself.
    let rows_written = sink_thread.finish(outcome.is_ok())?;
    outcome?;
    let feeder = run.feeder.lock().map_err(|_| anyhow::anyhow!("a worker failed"))?;
    let samples = run.errors.samples.lock().map(|s| s.clone()).unwrap_or_default();
    Ok(BatchReport {
        rows_read: feeder.sources.iter().map(|s| s.rows).sum(),
        rows_written,
        errors: run.errors.count.load(Ordering::Relaxed),
        samples,
        seconds: begun.elapsed().as_secs_f64(),
        failed: run.errors.failed.load(Ordering::Relaxed),
    })
}

fn work(run: &Arc<Run>, sinks: &SinkThread, workers: usize) -> anyhow::Result<()> {
    let (shared, senders) = (run.clone(), Arc::new(Mutex::new(sinks.senders())));
    let guards = jarvis_dataflow::workers::execute(workers, move |timely_worker| {
        let sender = senders.lock().ok().and_then(|mut s| s.pop());
        let Some(sender) = sender else { return };
        let result = catch_unwind(AssertUnwindSafe(|| worker::work(timely_worker, &shared, &sender)));
        let message = match result {
            Ok(Ok(())) => return,
            Ok(Err(e)) => format!("{e:#}"),
            Err(panic) => crate::panics::message(panic),
        };
        if let Ok(mut failure) = shared.failure.lock() {
            failure.get_or_insert(message);
        }
        shared.stop.store(true, Ordering::SeqCst);
        for dataflow in timely_worker.installed_dataflows() {
            timely_worker.drop_dataflow(dataflow);
        }
    })
    .map_err(|e| anyhow::anyhow!("the workers did not start: {e}"))?;
    drop(guards);
    match run.failure.lock().ok().and_then(|f| f.clone()) {
        Some(message) => Err(anyhow::anyhow!("a worker of the dataflow failed: {message}")),
        None => Ok(()),
    }
}

/// Whether ticks without rows can change a result.
fn uses_clock(graph: &Graph) -> bool {
    graph.live().into_iter().any(|n| match &graph.nodes[n].op {
        Op::Temporal { .. } => true,
        Op::Aggregate(a) => a.expire.or(a.settle).is_some() || a.keys.is_empty(),
        _ => false,
    })
}
