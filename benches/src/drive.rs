//! Drives a twin: reads each worker's lines, sends the rows of a tick, and goes on when the tick is through.

use crate::clock::{Clock, Tick};
use crate::mapped::{Lines, Mapped};
use anyhow::{Context, Result, anyhow};
use serde::Deserialize;
use std::collections::VecDeque;
use std::marker::PhantomData;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use timely::dataflow::{InputHandleVec, ProbeHandle};
use timely::worker::Worker;

/// Where a twin reads and writes, and how.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The folder of the data set.
    pub data: PathBuf,
    /// The file of the results.
    pub out: PathBuf,
    /// Threads.
    pub workers: usize,
    /// Event time per commit, µs.
    pub tick: u64,
}

/// A row with an event time.
pub trait Timed {
    /// µs since the epoch.
    fn at(&self) -> u64;
}

/// What one worker did.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Rows read.
    pub events: u64,
    /// Seconds from the first read of each commit to the moment its results were written.
    pub commits: Vec<f64>,
}

/// Parses one line.
pub fn parse<'a, R: Deserialize<'a>>(line: &'a str) -> Result<R> {
    sonic_rs::from_str(line).map_err(|error| anyhow!("{error} in the line {line:.200}"))
}

/// The event time of a file's first row.
pub fn first_at<'a, R: Deserialize<'a> + Timed>(file: &'a Mapped) -> Result<Option<u64>> {
    file.lines(0, 1).next().map(|line| Ok(parse::<R>(line?)?.at())).transpose()
}

/// The latest event time in the last MiB of a file: of the whole file where rows are out of order by less than that.
pub fn latest_at<'a, R: Deserialize<'a> + Timed>(file: &'a Mapped) -> Result<Option<u64>> {
    const TAIL: usize = 1 << 20;
    let bytes = file.bytes();
    let from = bytes.len().saturating_sub(TAIL);
    let from = if from == 0 { 0 } else { memchr::memchr(b'\n', &bytes[from..]).map_or(bytes.len(), |n| from + n + 1) };
    let mut latest = None;
    for line in std::str::from_utf8(&bytes[from..])?.lines() {
        latest = latest.max(Some(parse::<R>(line)?.at()));
    }
    Ok(latest)
}

/// A bounded input, read tick by tick.
pub trait Source {
    /// The tick of the next row; `None` at the end.
    fn next_tick(&self) -> Option<Tick>;
    /// Sends all rows up to the end of a tick; returns how many were read.
    fn send_through(&mut self, tick: Tick) -> Result<u64>;
    /// Promises that no row before a tick will follow.
    fn advance_to(&mut self, tick: Tick);
    /// Promises that no row will follow.
    fn close(&mut self);
}

/// A worker's part of a file, on its way into a dataflow.
///
/// The clock never goes back: a row that is out of order belongs to the tick that is open when it is read.
pub struct Feed<'a, R, D: Clone + 'static, F> {
    lines: Lines<'a>,
    next: Option<(Tick, R)>,
    clock: Clock,
    input: Option<InputHandleVec<Tick, D>>,
    record: F,
    row: PhantomData<R>,
}

impl<'a, R, D, F> Feed<'a, R, D, F>
where
    R: Deserialize<'a> + Timed,
    D: Clone + 'static,
    F: FnMut(R, Tick) -> Option<D>,
{
    /// `record` turns a row into what the dataflow takes, or into nothing.
    pub fn new(lines: Lines<'a>, clock: Clock, input: InputHandleVec<Tick, D>, record: F) -> Result<Self> {
        let mut feed = Feed { lines, next: None, clock, input: Some(input), record, row: PhantomData };
        feed.next = feed.read(0)?;
        Ok(feed)
    }

    #[inline]
    fn read(&mut self, open: Tick) -> Result<Option<(Tick, R)>> {
        let Some(line) = self.lines.next() else { return Ok(None) };
        let row: R = parse(line?)?;
        Ok(Some((self.clock.tick_of(row.at()).max(open), row)))
    }
}

impl<'a, R, D, F> Source for Feed<'a, R, D, F>
where
    R: Deserialize<'a> + Timed,
    D: Clone + 'static,
    F: FnMut(R, Tick) -> Option<D>,
{
    fn next_tick(&self) -> Option<Tick> {
        self.next.as_ref().map(|(tick, _)| *tick)
    }

    fn send_through(&mut self, tick: Tick) -> Result<u64> {
        let mut rows = 0;
        while let Some((at, row)) = self.next.take_if(|(at, _)| *at <= tick) {
            rows += 1;
            if let (Some(record), Some(input)) = ((self.record)(row, at), &mut self.input) {
                input.send(record);
            }
            self.next = self.read(at)?;
        }
        Ok(rows)
    }

    fn advance_to(&mut self, tick: Tick) {
        if let Some(input) = &mut self.input {
            input.advance_to(tick);
        }
    }

    fn close(&mut self) {
        self.input = None;
    }
}

/// How long a worker may sleep without looking whether there is work: a wake-up that got lost costs at most this.
const NAP: Duration = Duration::from_millis(5);

/// With one worker a commit is through before the next is read. Several workers would wait for each other at every
/// commit; they may be this many commits ahead.
const AHEAD: usize = 2;

/// Reads the sources to their ends, a commit per tick.
pub fn drive(worker: &mut Worker, sources: &mut [&mut dyn Source], probe: &ProbeHandle<Tick>) -> Result<Report> {
    let ahead = if worker.peers() == 1 { 0 } else { AHEAD };
    let mut report = Report::default();
    let mut running: VecDeque<(Tick, Instant)> = VecDeque::new();
    while let Some(tick) = sources.iter().filter_map(|source| source.next_tick()).min() {
        running.push_back((tick, Instant::now()));
        for source in sources.iter_mut() {
            report.events += source.send_through(tick)?;
        }
        let next = sources.iter().filter_map(|source| source.next_tick()).min().unwrap_or(tick + 1);
        for source in sources.iter_mut() {
            source.advance_to(next);
        }
        finish(worker, probe, &mut running, ahead, &mut report.commits);
        if running.len() > 1 {
            worker.step();
        }
    }
    for source in sources.iter_mut() {
        source.close();
    }
    finish(worker, probe, &mut running, 0, &mut report.commits);
    worker.step_or_park_while(Some(NAP), || !probe.done());
    Ok(report)
}

/// Works until at most `ahead` commits are running.
fn finish(
    worker: &mut Worker,
    probe: &ProbeHandle<Tick>,
    running: &mut VecDeque<(Tick, Instant)>,
    ahead: usize,
    commits: &mut Vec<f64>,
) {
    while running.len() > ahead
        && let Some((tick, started)) = running.pop_front()
    {
        worker.step_or_park_while(Some(NAP), || probe.less_equal(&tick));
        commits.push(started.elapsed().as_secs_f64());
    }
}

/// Runs a twin's worker function on every worker.
pub fn execute(settings: &Settings, work: fn(&mut Worker, &Settings) -> Result<Report>) -> Result<Vec<Report>> {
    let config = match settings.workers {
        0 | 1 => timely::Config::thread(),
        workers => timely::Config::process(workers),
    };
    let shared = settings.clone();
    let guards = timely::execute(config, move |worker| work(worker, &shared)).map_err(|error| anyhow!(error))?;
    guards
        .join()
        .into_iter()
        .enumerate()
        .map(|(index, report)| report.map_err(|error| anyhow!(error))?.with_context(|| format!("worker {index}")))
        .collect()
}
