//! Drives a graph by a clock of its own: ticks at the times given, and in between when an operator must wake.

use crate::cluster::{Cluster, Rows, WorkerFailed};
use jarvis_dataflow::{Closed, StepError};
use jarvis_plan::Graph;
use std::sync::Arc;

/// The raster of ticks that nobody's input asked for, µs.
pub const RASTER: u64 = 10_000;

/// A graph under a virtual clock.
pub struct Driver {
    cluster: Cluster,
    now: u64,
    next_wake: u64,
}

/// What one tick told.
#[derive(Debug)]
pub struct Tick {
    /// µs since the epoch.
    pub time: u64,
    pub outputs: Vec<Closed>,
    pub errors: Vec<StepError>,
}

impl Driver {
    /// # Errors
    /// The threads could not be started.
    pub fn start(graph: Arc<Graph>, workers: usize) -> Result<Self, WorkerFailed> {
        Ok(Driver { cluster: Cluster::start(graph, workers)?, now: 0, next_wake: u64::MAX })
    }
    /// Starts over with a graph whose state is empty, on the same threads.
    ///
    /// # Errors
    /// A worker has failed.
    pub fn restart(&mut self, graph: Arc<Graph>) -> Result<(), WorkerFailed> {
        self.cluster.replace(graph)?;
        (self.now, self.next_wake) = (0, u64::MAX);
        Ok(())
    }
    pub fn workers(&self) -> usize {
        self.cluster.workers()
    }
    /// The time of the last tick, µs; 0 before the first.
    pub fn now(&self) -> u64 {
        self.now
    }
    /// When the clock must next strike without input, on the raster.
    pub fn wake(&self) -> Option<u64> {
        let wake = self.next_wake.max(self.now + 1);
        (self.next_wake != u64::MAX).then(|| wake.div_ceil(RASTER) * RASTER)
    }
    /// Ticks at every wake before `time`.
    ///
    /// # Errors
    /// A worker has failed.
    pub fn advance(&mut self, time: u64) -> Result<Vec<Tick>, WorkerFailed> {
        let mut ticks = vec![];
        while let Some(wake) = self.wake().filter(|w| *w < time) {
            ticks.push(self.tick(wake, vec![])?);
        }
        Ok(ticks)
    }
    /// One tick, later than the last one; `rows[w]` enter on worker `w`.
    ///
    /// # Errors
    /// A worker has failed.
    pub fn tick(&mut self, time: u64, rows: Vec<Vec<Rows>>) -> Result<Tick, WorkerFailed> {
        debug_assert!(time > self.now, "ticks rise");
        let result = self.cluster.tick(time, rows)?;
        (self.now, self.next_wake) = (time, result.next_wake);
        Ok(Tick { time, outputs: result.outputs, errors: result.errors })
    }
    /// Rows held by operators, over all workers, with the operator's name.
    ///
    /// # Errors
    /// A worker has failed.
    pub fn sizes(&mut self) -> Result<crate::cluster::StateSizes, WorkerFailed> {
        self.cluster.state_sizes()
    }
}

/// Spreads rows over workers: each batch is cut in as many parts, the last part to the first worker in odd turns, so
/// that a row and its retraction meet different workers.
pub fn spread(rows: &[Rows], workers: usize, turn: usize) -> Vec<Vec<Rows>> {
    let mut out = vec![vec![]; workers];
    for r in rows {
        let (n, mut start) = (r.delta.len(), 0);
        for part in 0..workers {
            let end = n * (part + 1) / workers;
            if end > start {
                let piece =
                    Rows { input: r.input, delta: r.delta.slice(start, end - start), place: r.place + start as u64 };
                out[(part + turn) % workers].push(piece);
            }
            start = end;
        }
    }
    out
}
