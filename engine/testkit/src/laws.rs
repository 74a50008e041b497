//! The laws that every graph keeps, whatever its operators do:
//!
//! * **undo**: feeding X and then −X leaves what was there before anything was fed
//! * **cut**: one row per tick comes to the same as all rows in one tick
//! * **workers**: two workers come to the same as one
//! * **restore**: killed after any tick and fed the same again, the graph is as if it had not been killed
//! * **scratch**: at every tick the views are what a new graph says that is fed everything at that tick; so nothing is
//!   late, also where only one of the inputs speaks

use crate::cluster::{Rows, WorkerFailed};
use crate::content::{BelowZero, Content};
use crate::driver::{Driver, spread};
use arrow::error::ArrowError;
use jarvis_dataflow::Delta;
use jarvis_plan::Graph;
use std::sync::Arc;

/// Rows that enter at one time.
#[derive(Clone, Debug)]
pub struct Feed {
    /// µs since the epoch; later than that of the feed before by more than it has rows.
    pub time: u64,
    /// All `times` are that time.
    pub rows: Vec<Rows>,
}

/// Which law is broken, and where.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    #[error("{law}: after feed {feed}, output {output} is {found:?} and should be {wanted:?}")]
    Law { law: &'static str, feed: usize, output: usize, found: Content, wanted: Content },
    #[error("{law}: after feed {feed}: {error}")]
    BelowZero { law: &'static str, feed: usize, error: BelowZero },
    #[error(transparent)]
    Worker(#[from] WorkerFailed),
    #[error(transparent)]
    Arrow(#[from] ArrowError),
}

/// Which laws to hold a graph against.
#[derive(Clone, Copy, Debug)]
pub struct Laws {
    /// Off for graphs that look at when rows arrive: there, everything at once is something else.
    pub scratch: bool,
    /// Off for graphs in which rows are lost that arrive too late: they cannot be taken back.
    pub undo: bool,
}

impl Default for Laws {
    fn default() -> Self {
        Laws { scratch: true, undo: true }
    }
}

/// Holds a graph against the laws; all of its outputs are looked at.
///
/// # Errors
/// The first law that is broken.
pub fn check_laws(graph: &Arc<Graph>, feeds: &[Feed], laws: Laws) -> Result<(), Broken> {
    let mut one = Bench::new(graph, 1)?;
    let wanted = one.run(feeds, "one worker")?;
    let mut two = Bench::new(graph, 2)?;
    same("workers", &two.run(feeds, "workers")?, &wanted)?;
    one.reset()?;
    same("cut", &one.cut(feeds)?, &wanted)?;
    one.reset()?;
    same("restore", &one.killed(feeds)?, &wanted)?;
    if laws.scratch {
        one.scratch("scratch", feeds, &wanted)?;
        for input in 0..graph.inputs.len() {
            let alone = only(feeds, input);
            if alone.iter().any(|f| !f.rows.is_empty()) {
                one.reset()?;
                let wanted = one.run(&alone, "one input alone")?;
                one.scratch("one input alone", &alone, &wanted)?;
            }
        }
    }
    if laws.undo {
        for bench in [&mut one, &mut two] {
            bench.undo(feeds)?;
        }
    }
    Ok(())
}

/// The same feeds with rows of one input only.
fn only(feeds: &[Feed], input: usize) -> Vec<Feed> {
    let mine = |f: &Feed| f.rows.iter().filter(|r| r.input == input).cloned().collect();
    feeds.iter().map(|f| Feed { time: f.time, rows: mine(f) }).collect()
}

fn same(law: &'static str, found: &[Vec<Content>], wanted: &[Vec<Content>]) -> Result<(), Broken> {
    for (feed, (found, wanted)) in found.iter().zip(wanted).enumerate() {
        compare(law, feed, found, wanted)?;
    }
    Ok(())
}

fn compare(law: &'static str, feed: usize, found: &[Content], wanted: &[Content]) -> Result<(), Broken> {
    match found.iter().zip(wanted).position(|(f, w)| !f.is_close(w)) {
        None => Ok(()),
        Some(output) => {
            let (found, wanted) = (found[output].clone(), wanted[output].clone());
            Err(Broken::Law { law, feed, output, found, wanted })
        }
    }
}

/// A running graph and what its outputs hold.
struct Bench {
    graph: Arc<Graph>,
    driver: Driver,
    contents: Vec<Content>,
}

impl Bench {
    fn new(graph: &Arc<Graph>, workers: usize) -> Result<Self, Broken> {
        let contents = vec![Content::default(); graph.outputs.len()];
        Ok(Bench { graph: graph.clone(), driver: Driver::start(graph.clone(), workers)?, contents })
    }
    fn reset(&mut self) -> Result<(), Broken> {
        self.driver.restart(self.graph.clone())?;
        self.contents.fill(Content::default());
        Ok(())
    }
    /// Ticks at `time`, and before it wherever the graph must wake.
    fn tick(&mut self, time: u64, rows: &[Rows], turn: usize) -> Result<(), Broken> {
        let mut ticks = self.driver.advance(time)?;
        let rows = spread(rows, self.driver.workers(), turn);
        ticks.push(self.driver.tick(time, rows)?);
        for closed in ticks.iter().flat_map(|t| &t.outputs) {
            self.contents[closed.output].apply(&closed.delta)?;
        }
        Ok(())
    }
    /// The outputs after each feed.
    fn run(&mut self, feeds: &[Feed], law: &'static str) -> Result<Vec<Vec<Content>>, Broken> {
        let mut out = vec![];
        for (i, feed) in feeds.iter().enumerate() {
            self.tick(feed.time, &feed.rows, i)?;
            self.above_zero(law, i)?;
            out.push(self.contents.clone());
        }
        Ok(out)
    }
    fn above_zero(&self, law: &'static str, feed: usize) -> Result<(), Broken> {
        for content in &self.contents {
            content.rows().map_err(|error| Broken::BelowZero { law, feed, error })?;
        }
        Ok(())
    }
    fn cut(&mut self, feeds: &[Feed]) -> Result<Vec<Vec<Content>>, Broken> {
        let mut out = vec![];
        for feed in feeds {
            let singles: Vec<Rows> = feed.rows.iter().flat_map(|r| (0..r.delta.len()).map(|i| single(r, i))).collect();
            let first = feed.time + 1 - (singles.len() as u64).max(1);
            for (row, time) in singles.into_iter().zip(first..) {
                self.tick(time, &[at(row, time)], 0)?;
            }
            if self.driver.now() < feed.time {
                self.tick(feed.time, &[], 0)?;
            }
            self.above_zero("cut", out.len())?;
            out.push(self.contents.clone());
        }
        Ok(out)
    }
    fn killed(&mut self, feeds: &[Feed]) -> Result<Vec<Vec<Content>>, Broken> {
        let mut out = vec![];
        for (i, feed) in feeds.iter().enumerate() {
            self.reset()?;
            for earlier in &feeds[..i] {
                self.tick(earlier.time, &earlier.rows, 0)?;
            }
            self.tick(feed.time, &feed.rows, 0)?;
            out.push(self.contents.clone());
        }
        Ok(out)
    }
    fn scratch(&mut self, law: &'static str, feeds: &[Feed], wanted: &[Vec<Content>]) -> Result<(), Broken> {
        for (i, wanted) in wanted.iter().enumerate() {
            self.reset()?;
            let time = feeds[i].time;
            let all: Vec<Rows> = feeds[..=i].iter().flat_map(|f| &f.rows).map(|r| at(r.clone(), time)).collect();
            self.tick(time, &all, i)?;
            compare(law, i, &self.contents, wanted)?;
        }
        Ok(())
    }
    fn undo(&mut self, feeds: &[Feed]) -> Result<(), Broken> {
        let Some(last) = feeds.last() else { return Ok(()) };
        self.reset()?;
        let before = last.time + 1_000_000;
        self.tick(before, &[], 0)?;
        let wanted = self.contents.clone();
        self.reset()?;
        self.run(feeds, "undo")?;
        let places = feeds.iter().flat_map(|f| &f.rows).map(|r| r.place + r.delta.len() as u64).max().unwrap_or(0);
        let back: Vec<Rows> =
            feeds.iter().rev().flat_map(|f| &f.rows).map(|r| self.taken_back(r, before, places)).collect();
        self.tick(before, &back, 1)?;
        compare("undo", feeds.len(), &self.contents, &wanted)
    }
    /// The opposite of rows: with a key, every key that was named is removed.
    fn taken_back(&self, rows: &Rows, time: u64, places: u64) -> Rows {
        let keyed = !self.graph.inputs[rows.input].key.is_empty();
        let mut back = at(rows.clone(), time);
        back.delta.diffs.iter_mut().for_each(|d| *d = if keyed { -1 } else { -*d });
        back.place += places;
        back
    }
}

fn single(rows: &Rows, i: usize) -> Rows {
    Rows { input: rows.input, delta: rows.delta.slice(i, 1), place: rows.place + i as u64 }
}

fn at(rows: Rows, time: u64) -> Rows {
    let n = rows.delta.len();
    Rows { delta: Delta::new(rows.delta.rows, vec![time; n], rows.delta.diffs), ..rows }
}
