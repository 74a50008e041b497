//! One worker of a batch: reads chunks, feeds them, moves the clock, steps the dataflow.

use super::Run;
use super::feeder::Admitted;
use super::sinks::Sender;
use crate::closed::ClosedBatch;
use jarvis_dataflow::workers::Worker;
use jarvis_dataflow::{Closed, Delta, Instance};
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{MutexGuard, PoisonError};
use std::time::Duration;

/// Rows in the graph at which a worker stops reading until some are worked off.
const IN_FLIGHT: usize = 200_000;

struct State<'r> {
    run: &'r Run,
    instance: Instance,
    /// Rows fed and not yet finished, by time.
    in_flight: BTreeMap<u64, usize>,
    rows: usize,
    /// The last tick of the clock.
    struck: u64,
}

/// Works until all sources are read and all results are out.
pub(super) fn work(worker: &mut Worker, run: &Run, sinks: &Sender) -> anyhow::Result<()> {
    let instance = Instance::new(worker, &run.graph);
    let mut state = State { run, instance, in_flight: BTreeMap::new(), rows: 0, struck: 0 };
    // Time 0 is over before anything happens.
    state.instance.advance_clock(1);
    loop {
        if run.stop.load(Ordering::Relaxed) {
            state.instance.remove(worker);
            return Ok(());
        }
        let read = !state.is_full() && state.read_chunk();
        let end = state.advance();
        let busy = worker.step();
        state.deliver(sinks)?;
        state.forget_finished();
        if let Some(end) = end {
            return state.finish(worker, end, sinks);
        }
        if !read && !busy {
            worker.step_or_park(Some(Duration::from_micros(200)));
        }
    }
}

impl<'r> State<'r> {
    fn feeder(&self) -> MutexGuard<'r, super::Feeder> {
        // A worker that panicked while it held the feeder ends the run, and says why: the others need not.
        self.run.feeder.lock().unwrap_or_else(PoisonError::into_inner)
    }
    /// Whether enough rows wait that can be finished without reading more.
    fn is_full(&self) -> bool {
        if self.rows < IN_FLIGHT {
            return false;
        }
        let low = self.feeder().low();
        self.in_flight.keys().next().is_some_and(|first| low.is_none_or(|low| *first < low))
    }
    /// Decodes one chunk, if there is one; returns whether there was.
    fn read_chunk(&mut self) -> bool {
        let mut feeder = self.feeder();
        let Some((source, chunk)) = feeder.claim() else {
            let rest = feeder.settle_end();
            drop(feeder);
            self.feed(rest);
            return false;
        };
        let reader = feeder.sources[source].reader.clone();
        drop(feeder);
        let decoded = reader.decode(&chunk);
        let mut feeder = self.feeder();
        let admitted = feeder.admit(source, &chunk, decoded);
        let errors = std::mem::take(&mut feeder.errors);
        drop(feeder);
        for (source, e) in errors {
            let stream = &self.run.graph.inputs[self.run.inputs[source]].name;
            self.run.errors.add(stream, e.code, &e.message, &e.input, jarvis_spec::OnError::Route);
            let row = [stream.as_str(), e.code, &e.message, &e.input].map(String::from);
            self.feed_error(row, 1);
        }
        self.feed(admitted);
        true
    }
    fn feed(&mut self, admitted: Vec<Admitted>) {
        for Admitted { source, delta, place } in admitted {
            if delta.is_empty() {
                continue;
            }
            let first = delta.times[0];
            let last = delta.times.last().copied().unwrap_or(first);
            *self.in_flight.entry(last).or_default() += delta.len();
            self.rows += delta.len();
            let input = self.run.inputs[source];
            self.instance.advance_input(input, first.min(last));
            self.instance.feed(input, delta, place);
        }
    }
    /// Errors become rows of `system.errors` at the next time.
    fn feed_error(&mut self, row: [String; 4], diff: i64) {
        let time = self.struck.max(self.instance.input_time(0));
        let rows = crate::live::errors::batch(&[row]);
        self.instance.feed(0, Delta::new(rows, vec![time], vec![diff]), 0);
    }
    /// Promises what can be promised; returns the end of the run once everything has been fed.
    fn advance(&mut self) -> Option<u64> {
        let feeder = self.feeder();
        let low = feeder.low();
        let floors: Vec<Option<u64>> = (0..feeder.sources.len()).map(|s| feeder.floor(s)).collect();
        let end = feeder.end();
        let tick = feeder.tick_len();
        drop(feeder);
        for (source, floor) in floors.iter().enumerate() {
            self.instance.advance_input(self.run.inputs[source], floor.unwrap_or(end));
        }
        let bound = low.unwrap_or(end);
        if self.run.uses_clock {
            self.strike(bound, tick);
        } else {
            self.instance.advance_clock(bound);
        }
        // Inputs that no source of this run feeds hold nothing back.
        for input in (0..self.run.graph.inputs.len()).filter(|i| !self.run.inputs.contains(i)) {
            self.instance.advance_input(input, bound);
        }
        // All is fed once every source is over; the clock may still have to catch up.
        let caught_up = !self.run.uses_clock || self.struck >= end / tick * tick;
        (low.is_none() && caught_up).then_some(end)
    }
    /// Lets the clock strike the ticks up to `bound`, leaving out those at which nothing can happen.
    fn strike(&mut self, bound: u64, tick: u64) {
        let target = bound / tick * tick;
        for _ in 0..1024 {
            if self.struck >= target {
                return;
            }
            let rows = self.feeder().next_tick(self.struck).unwrap_or(u64::MAX);
            let grid = (self.struck / tick + 1) * tick;
            if rows <= target && (rows <= grid || self.struck == 0) {
                self.instance.tick(rows);
                self.struck = rows;
                continue;
            }
            // Nothing comes in for a while: the next thing to happen is what falls due, known once all before is done.
            if !self.instance.is_done(self.struck) {
                return;
            }
            let wake = self.instance.next_wake();
            let due = if wake > self.struck { wake.div_ceil(tick).saturating_mul(tick) } else { u64::MAX };
            let next = due.min(rows);
            if next > target {
                self.instance.advance_clock(target + 1);
                self.struck = target;
            } else {
                self.instance.tick(next);
                self.struck = next;
            }
        }
    }
    fn forget_finished(&mut self) {
        while let Some(first) = self.in_flight.first_entry() {
            if !self.instance.is_done(*first.key()) {
                break;
            }
            self.rows -= first.remove();
        }
    }
    /// Hands on what is closed.
    fn deliver(&mut self, sinks: &Sender) -> anyhow::Result<()> {
        for Closed { output, delta } in self.instance.take_outputs() {
            let lower = delta.times.first().copied().unwrap_or(0);
            let upper = delta.times.last().copied().unwrap_or(0) + 1;
            sinks
                .send(output, ClosedBatch { lower, upper, rows: delta.rows, times: delta.times, diffs: delta.diffs })?;
        }
        for e in self.instance.take_errors() {
            if e.diff > 0 {
                self.run.errors.add(&e.step, e.code, &e.message, &e.input, e.on_error);
            }
            if e.on_error != jarvis_spec::OnError::Drop && !self.run.echoes.holds(&e) {
                self.feed_error([e.step, e.code.into(), e.message, e.input], e.diff);
            }
        }
        Ok(())
    }
    /// The last tick, at the latest event time, and what it leaves to be told.
    fn finish(mut self, worker: &mut Worker, end: u64, sinks: &Sender) -> anyhow::Result<()> {
        let end = end.max(1);
        self.instance.close(end);
        self.deliver_until(end, worker, sinks)?;
        // What failed in the last tick is a row of `system.errors` after it; the clock does not strike again for that.
        let after = end + 1;
        self.instance.advance_clock(after + 1);
        for input in 0..self.run.graph.inputs.len() {
            self.instance.advance_input(input, after + 1);
        }
        self.deliver_until(after, worker, sinks)?;
        self.instance.remove(worker);
        Ok(())
    }
    /// Hands on what comes until everything at `time` is out, or the run has failed.
    fn deliver_until(&mut self, time: u64, worker: &mut Worker, sinks: &Sender) -> anyhow::Result<()> {
        while !self.run.stop.load(Ordering::Relaxed) {
            let done = self.instance.is_done(time);
            self.deliver(sinks)?;
            if done {
                break;
            }
            worker.step_or_park(Some(Duration::from_millis(1)));
        }
        Ok(())
    }
}
