//! Worker threads that run one graph in step: a tick goes in on all of them, and comes back when all have finished it.

use jarvis_dataflow::workers::{Worker, WorkerGuards, execute};
use jarvis_dataflow::{Closed, Delta, Instance, StepError};
use jarvis_plan::Graph;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

/// Rows for one input.
#[derive(Clone, Debug)]
pub struct Rows {
    /// Position in `Graph::inputs`.
    pub input: usize,
    pub delta: Delta,
    /// Place of the first row in its source.
    pub place: u64,
}

/// What a tick made.
#[derive(Debug, Default)]
pub struct TickResult {
    pub outputs: Vec<Closed>,
    pub errors: Vec<StepError>,
    /// When the clock must next strike even without input, µs; `u64::MAX`: not at all.
    pub next_wake: u64,
}

/// (operator, rows held, bytes held), summed over the workers.
pub type StateSizes = Vec<(String, u64, u64)>;

enum Command {
    Tick { time: u64, rows: Vec<Rows> },
    Sizes,
    Replace(Arc<Graph>),
    Stop,
}

enum Answer {
    Done(TickResult),
    Sizes(StateSizes),
    Replaced,
}

/// A worker has panicked; the graph is gone.
#[derive(Debug, Clone, thiserror::Error)]
#[error("a worker of the dataflow failed: {0}")]
pub struct WorkerFailed(pub String);

/// The workers of one process.
pub struct Cluster {
    commands: Vec<mpsc::Sender<Command>>,
    answers: Vec<mpsc::Receiver<Answer>>,
    failure: Arc<Failure>,
    threads: Option<WorkerGuards<()>>,
}

#[derive(Default)]
struct Failure {
    happened: AtomicBool,
    message: Mutex<Option<String>>,
}

impl Failure {
    fn set(&self, message: String) {
        if let Ok(mut m) = self.message.lock() {
            m.get_or_insert(message);
        }
        self.happened.store(true, Ordering::SeqCst);
    }
    fn get(&self) -> WorkerFailed {
        let message = self.message.lock().ok().and_then(|m| m.clone());
        WorkerFailed(message.unwrap_or_else(|| "it ended without a message".into()))
    }
}

impl Cluster {
    /// Starts `workers` threads, each with the whole graph.
    pub fn start(graph: Arc<Graph>, workers: usize) -> Result<Self, WorkerFailed> {
        let (mut commands, mut answers, mut ends) = (vec![], vec![], vec![]);
        for _ in 0..workers {
            let (command, inbox) = mpsc::channel();
            let (outbox, answer) = mpsc::channel();
            commands.push(command);
            answers.push(answer);
            ends.push(Some((inbox, outbox)));
        }
        let failure = Arc::new(Failure::default());
        let (ends, shared) = (Arc::new(Mutex::new(ends)), failure.clone());
        let threads = execute(workers, move |worker| {
            let end = ends.lock().ok().and_then(|mut e| e[worker.index()].take());
            let Some((inbox, outbox)) = end else { return };
            let run = AssertUnwindSafe(|| serve(worker, &graph, &inbox, &outbox, &shared));
            if let Err(panic) = catch_unwind(run) {
                shared.set(crate::panics::message(panic));
                // Its siblings may wait for this worker's progress for ever; dataflows that are dropped wait for nothing.
                for dataflow in worker.installed_dataflows() {
                    worker.drop_dataflow(dataflow);
                }
            }
        })
        .map_err(WorkerFailed)?;
        Ok(Cluster { commands, answers, failure, threads: Some(threads) })
    }
    pub fn workers(&self) -> usize {
        self.commands.len()
    }
    /// Runs one tick; `rows[w]` enter on worker `w`. Times must rise from call to call.
    pub fn tick(&mut self, time: u64, rows: Vec<Vec<Rows>>) -> Result<TickResult, WorkerFailed> {
        let mut rows = rows.into_iter();
        for command in &self.commands {
            let rows = rows.next().unwrap_or_default();
            command.send(Command::Tick { time, rows }).map_err(|_| self.failure.get())?;
        }
        let mut all = TickResult { next_wake: u64::MAX, ..Default::default() };
        for answer in &self.answers {
            if let Answer::Done(one) = self.wait(answer)? {
                all.outputs.extend(one.outputs);
                all.errors.extend(one.errors);
                all.next_wake = all.next_wake.min(one.next_wake);
            }
        }
        Ok(all)
    }
    pub fn state_sizes(&mut self) -> Result<StateSizes, WorkerFailed> {
        for command in &self.commands {
            command.send(Command::Sizes).map_err(|_| self.failure.get())?;
        }
        let mut all: StateSizes = vec![];
        for answer in &self.answers {
            let Answer::Sizes(sizes) = self.wait(answer)? else { continue };
            for (i, (name, rows, bytes)) in sizes.into_iter().enumerate() {
                match all.get_mut(i) {
                    Some(sum) => {
                        sum.1 += rows;
                        sum.2 += bytes;
                    }
                    None => all.push((name, rows, bytes)),
                }
            }
        }
        Ok(all)
    }
    /// Puts another graph in place of the one that runs; its state starts empty.
    pub fn replace(&mut self, graph: Arc<Graph>) -> Result<(), WorkerFailed> {
        for command in &self.commands {
            command.send(Command::Replace(graph.clone())).map_err(|_| self.failure.get())?;
        }
        for answer in &self.answers {
            self.wait(answer)?;
        }
        Ok(())
    }
    fn wait(&self, answer: &mpsc::Receiver<Answer>) -> Result<Answer, WorkerFailed> {
        loop {
            match answer.recv_timeout(Duration::from_millis(200)) {
                Ok(answer) => return Ok(answer),
                Err(mpsc::RecvTimeoutError::Disconnected) => return Err(self.failure.get()),
                Err(mpsc::RecvTimeoutError::Timeout) if self.failure.happened.load(Ordering::SeqCst) => {
                    return Err(self.failure.get());
                }
                Err(mpsc::RecvTimeoutError::Timeout) => {}
            }
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for command in &self.commands {
            // A worker that is gone needs no word.
            let _ = command.send(Command::Stop);
        }
        drop(self.threads.take());
    }
}

/// One worker's life.
fn serve(
    worker: &mut Worker,
    graph: &Graph,
    inbox: &mpsc::Receiver<Command>,
    outbox: &mpsc::Sender<Answer>,
    failure: &Failure,
) {
    let mut instance = Instance::new(worker, graph);
    while let Ok(command) = inbox.recv() {
        let answer = match command {
            Command::Tick { time, rows } => {
                for Rows { input, delta, place } in rows {
                    instance.advance_input(input, time);
                    instance.feed(input, delta, place);
                }
                instance.close(time);
                while !instance.is_done(time) {
                    worker.step_or_park(Some(Duration::from_millis(10)));
                    if failure.happened.load(Ordering::Relaxed) {
                        break;
                    }
                }
                if failure.happened.load(Ordering::Relaxed) {
                    break;
                }
                Answer::Done(TickResult {
                    outputs: instance.take_outputs(),
                    errors: instance.take_errors(),
                    next_wake: instance.next_wake(),
                })
            }
            Command::Sizes => Answer::Sizes(instance.state_sizes()),
            Command::Replace(graph) => {
                instance.remove(worker);
                instance = Instance::new(worker, &graph);
                Answer::Replaced
            }
            Command::Stop => break,
        };
        if outbox.send(answer).is_err() {
            break;
        }
    }
    instance.remove(worker);
}
