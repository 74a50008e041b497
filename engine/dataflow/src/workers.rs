//! Worker threads.

pub use timely::communication::WorkerGuards;
pub use timely::worker::Worker;

/// Runs `work` on `workers` threads that exchange rows with each other; the guards wait for them when dropped.
///
/// # Errors
/// The threads could not be started.
pub fn execute(workers: usize, work: impl Fn(&mut Worker) + Send + Sync + 'static) -> Result<WorkerGuards<()>, String> {
    let config = if workers == 1 { timely::Config::thread() } else { timely::Config::process(workers) };
    timely::execute(config, work)
}
