//! One run of a test: the clock, what enters, what comes out, and restarts.

use super::answers::Answers;
use super::expectation::Wanted;
use super::given::{Given, Rows, errors_batch};

pub(super) use super::given::Rows as Input;
use super::report::Variant;
use super::told::{Ear, EarError, Told};
use crate::cluster::{self, WorkerFailed};
use crate::content::{BelowZero, Content};
use crate::driver::{Driver, RASTER, Tick, spread};
use crate::value::{Row, rows};
use arrow::error::ArrowError;
use jarvis_dataflow::{Delta, StepError};
use jarvis_plan::Graph;
use jarvis_spec::OnError;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What was seen in a run.
#[derive(Debug, Default)]
pub(super) struct Trace {
    /// (time, output) → the rows of the view at the end of that time's tick.
    pub views: BTreeMap<(u64, usize), Vec<Row>>,
    /// Output → what its sink was told.
    pub told: BTreeMap<usize, Vec<Told>>,
    /// Rows that must never be: (time, which pattern, row).
    pub forbidden: Vec<(u64, usize, Row)>,
}

/// Why a run could not go on.
#[derive(Debug, thiserror::Error)]
pub(super) enum RunError {
    #[error(transparent)]
    Worker(#[from] WorkerFailed),
    #[error(transparent)]
    Ear(#[from] EarError),
    #[error(transparent)]
    Arrow(#[from] ArrowError),
    #[error(transparent)]
    BelowZero(#[from] BelowZero),
    #[error("{} stops the process: {} ({}) of {}", .0.step, .0.message, .0.code, .0.input)]
    Stopped(Box<StepError>),
    #[error("{0}")]
    Unanswered(String),
    #[error("after a restart the views are not what they were before it")]
    Restored,
}

/// A run under way.
pub(super) struct Run<'a> {
    driver: &'a mut Driver,
    graph: Arc<Graph>,
    wanted: &'a Wanted,
    answers: &'a Answers,
    variant: Variant,
    /// Times at which something happens, and the rows that enter then.
    agenda: BTreeMap<u64, Vec<Rows>>,
    kills: BTreeSet<u64>,
    contents: Vec<Content>,
    ears: BTreeMap<usize, Ear>,
    places: Vec<u64>,
    /// Everything that entered: a restored engine reads it again.
    log: Vec<(u64, Vec<Vec<cluster::Rows>>)>,
    trace: Trace,
    turn: usize,
}

impl<'a> Run<'a> {
    pub fn new(
        driver: &'a mut Driver,
        graph: Arc<Graph>,
        (given, answers): (&Given, &'a Answers),
        wanted: &'a Wanted,
        variant: Variant,
        kills: Vec<u64>,
    ) -> Result<Self, RunError> {
        let mut agenda: BTreeMap<u64, Vec<Rows>> = BTreeMap::new();
        for time in wanted.times().chain(kills.iter().copied()) {
            agenda.entry(time).or_default();
        }
        let mut last = 0;
        for (time, rows) in &given.at {
            match variant {
                Variant::OneRowPerTick => one_by_one(rows, *time, last, &mut agenda),
                _ => agenda.entry(*time).or_default().extend(rows.iter().cloned()),
            }
            last = *time;
        }
        let mut ears = BTreeMap::new();
        for (output, publish) in &wanted.sinks {
            let schema = graph.schema(graph.outputs[*output].node);
            ears.insert(*output, Ear::new(publish, schema)?);
        }
        Ok(Run {
            contents: vec![Content::default(); graph.outputs.len()],
            places: vec![0; graph.inputs.len()],
            driver,
            graph,
            wanted,
            answers,
            variant,
            agenda,
            kills: kills.into_iter().collect(),
            ears,
            log: vec![],
            trace: Trace::default(),
            turn: 0,
        })
    }

    pub fn finish(mut self) -> Result<Trace, RunError> {
        while let Some((time, rows)) = self.agenda.pop_first() {
            while let Some(wake) = self.driver.wake().filter(|w| *w < time) {
                let tick = self.driver.tick(wake, vec![])?;
                self.see(tick)?;
            }
            // Errors of a wake may have come onto the agenda before this.
            if self.agenda.first_key_value().is_some_and(|(t, _)| *t < time) {
                self.agenda.insert(time, rows);
                continue;
            }
            let fed = self.feed(time, &rows);
            self.log.push((time, fed.clone()));
            let tick = self.driver.tick(time, fed)?;
            self.see(tick)?;
            for output in self.wanted.viewed_at(time) {
                let rows = self.contents[output].rows()?;
                self.trace.views.insert((time, output), rows);
            }
            if self.kills.contains(&time) {
                self.restart()?;
            }
        }
        self.trace.told = self.ears.into_iter().map(|(output, ear)| (output, ear.told)).collect();
        Ok(self.trace)
    }

    fn feed(&mut self, time: u64, rows: &[Rows]) -> Vec<Vec<cluster::Rows>> {
        let fed: Vec<cluster::Rows> = rows
            .iter()
            .map(|r| {
                let n = r.diffs.len();
                let place = self.places[r.input];
                self.places[r.input] += n as u64;
                cluster::Rows {
                    input: r.input,
                    delta: Delta::new(r.rows.clone(), vec![time; n], r.diffs.clone()),
                    place,
                }
            })
            .collect();
        self.turn += 1;
        spread(&fed, self.driver.workers(), self.turn)
    }

    /// Takes in what a tick told.
    fn see(&mut self, tick: Tick) -> Result<(), RunError> {
        for closed in &tick.outputs {
            self.contents[closed.output].apply(&closed.delta)?;
            if let Some(ear) = self.ears.get_mut(&closed.output) {
                ear.hear(closed, tick.time)?;
            }
            let answers = self.answers.to(closed.output, &closed.delta, tick.time).map_err(RunError::Unanswered)?;
            for (at, rows) in answers {
                self.agenda.entry(at).or_default().push(rows);
            }
            // Between the rows of one time, states may pass that no run sees.
            if self.variant != Variant::OneRowPerTick {
                self.watch(closed, tick.time)?;
            }
        }
        self.errors(tick)
    }

    /// Every row that appears must match no pattern of its stream.
    fn watch(&mut self, closed: &jarvis_dataflow::Closed, time: u64) -> Result<(), RunError> {
        let patterns = self.wanted.never.iter().enumerate().filter(|(_, n)| n.output == closed.output);
        for (index, never) in patterns {
            for (row, diff) in rows(&closed.delta.rows)?.into_iter().zip(&closed.delta.diffs) {
                if *diff > 0 && never.pattern.matches(&row) {
                    self.trace.forbidden.push((time, index, row));
                }
            }
        }
        Ok(())
    }

    /// Errors of steps enter the stream of errors at the next tick.
    fn errors(&mut self, tick: Tick) -> Result<(), RunError> {
        let routed: Vec<StepError> = tick.errors.into_iter().filter(|e| e.on_error != OnError::Drop).collect();
        if let Some(fatal) = routed.iter().find(|e| e.on_error == OnError::Fail) {
            return Err(RunError::Stopped(Box::new(fatal.clone())));
        }
        if !routed.is_empty() {
            let cells: Vec<[&str; 4]> =
                routed.iter().map(|e| [e.step.as_str(), e.code, e.message.as_str(), e.input.as_str()]).collect();
            let rows = errors_batch(&cells, routed.iter().map(|e| e.diff).collect());
            let next = (tick.time + 1).div_ceil(RASTER) * RASTER;
            self.agenda.entry(next).or_default().push(rows);
        }
        Ok(())
    }

    /// A new engine reads everything that entered once more, at the times it entered; what it says about them has been
    /// told already.
    fn restart(&mut self) -> Result<(), RunError> {
        for ear in self.ears.values_mut() {
            ear.restart()?;
        }
        self.driver.restart(self.graph.clone())?;
        let mut contents = vec![Content::default(); self.contents.len()];
        for (time, rows) in &self.log {
            let tick = self.driver.tick(*time, rows.clone())?;
            for closed in &tick.outputs {
                contents[closed.output].apply(&closed.delta)?;
            }
        }
        if contents != self.contents {
            return Err(RunError::Restored);
        }
        Ok(())
    }
}

/// Spreads the rows of a time over the µs before it, the last one at the time itself; where the time before is too
/// near, several share a µs.
fn one_by_one(rows: &[Rows], time: u64, last: u64, agenda: &mut BTreeMap<u64, Vec<Rows>>) {
    let single = |r: &Rows, i: usize| Rows { input: r.input, rows: r.rows.slice(i, 1), diffs: vec![r.diffs[i]] };
    let singles: Vec<Rows> = rows.iter().flat_map(|r| (0..r.diffs.len()).map(move |i| single(r, i))).collect();
    let n = singles.len() as u64;
    for (row, left) in singles.into_iter().zip((0..n).rev()) {
        agenda.entry((time - left).max(last + 1)).or_default().push(row);
    }
}
