//! Gives every row of bounded sources its logical time, whichever worker decoded it.
//!
//! The clock of a source is the greatest event time read so far, in the order of its rows, and never goes back. A row's
//! logical time is the end of the tick that this clock stands in; in the very last tick of the run it is the latest
//! event time of all, so that a run stops there and not at the end of a tick. Rows of sources without event time
//! come first, at the earliest event time; if no source has one, every chunk is a tick, counted from now.

use crate::arrival::{Decoded, RowError};
use crate::kinds::{BoundedSource, Chunk};
use arrow::array::{Array, AsArray, BooleanArray};
use arrow::datatypes::TimestampMicrosecondType;
use jarvis_dataflow::Delta;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// Rows that may enter the graph.
pub struct Admitted {
    pub source: usize,
    pub delta: Delta,
    pub place: u64,
}

/// A source of the run.
pub struct Source {
    pub reader: Arc<dyn BoundedSource>,
    pub time: Option<usize>,
    pub lateness: Option<Duration>,
    keyed: bool,
    /// Rows count from their arrival.
    stamps_arrival: bool,
    /// Chunks that came back before an earlier one.
    parked: BTreeMap<u64, Decoded>,
    next: u64,
    in_flight: usize,
    exhausted: bool,
    /// Greatest event time so far, µs.
    clock: u64,
    /// Its first event time.
    first: Option<u64>,
    /// Rows of the tick that is still open.
    carry: Vec<(Delta, u64)>,
    place: u64,
    pub rows: u64,
    pub bytes: u64,
}

impl Source {
    pub fn new(
        reader: Arc<dyn BoundedSource>,
        time: Option<usize>,
        lateness: Option<Duration>,
        keyed: bool,
        stamps_arrival: bool,
    ) -> Self {
        Source {
            keyed,
            stamps_arrival,
            reader,
            time,
            lateness,
            parked: BTreeMap::new(),
            next: 0,
            in_flight: 0,
            exhausted: false,
            clock: 0,
            first: None,
            carry: vec![],
            place: 0,
            rows: 0,
            bytes: 0,
        }
    }
    fn is_read(&self) -> bool {
        self.exhausted && self.in_flight == 0 && self.parked.is_empty()
    }
    fn is_over(&self) -> bool {
        self.is_read() && self.carry.is_empty()
    }
}

/// The shared state of a batch run.
pub struct Feeder {
    pub sources: Vec<Source>,
    /// µs
    tick: u64,
    /// When rows without event time come; known once every source with event time has shown its first row.
    start: Option<u64>,
    timed: bool,
    /// Ticks that hold rows.
    ticks: BTreeSet<u64>,
    pub errors: Vec<(usize, RowError)>,
}

impl Feeder {
    /// `now`: µs, used when no source has event time.
    pub fn new(sources: Vec<Source>, tick: Duration, now: u64) -> Self {
        let timed = sources.iter().any(|s| s.time.is_some());
        Feeder {
            sources,
            tick: (tick.as_micros() as u64).max(1),
            start: (!timed).then_some(now),
            timed,
            ticks: BTreeSet::new(),
            errors: vec![],
        }
    }
    pub fn tick_len(&self) -> u64 {
        self.tick
    }
    /// Takes a chunk of the source that is furthest behind.
    pub fn claim(&mut self) -> Option<(usize, Chunk)> {
        loop {
            // Event time first: until it is known, rows without it must wait in memory.
            let behind =
                (0..self.sources.len()).filter(|s| !self.sources[*s].exhausted && self.sources[*s].in_flight < 8);
            let order = |s: &usize| {
                (
                    self.start.is_none() && self.sources[*s].time.is_none(),
                    self.sources[*s].clock,
                    self.sources[*s].in_flight,
                )
            };
            let source = behind.min_by_key(order)?;
            match self.sources[source].reader.next_chunk() {
                Some(chunk) => {
                    self.sources[source].in_flight += 1;
                    return Some((source, chunk));
                }
                None => self.sources[source].exhausted = true,
            }
        }
    }
    /// Takes back a decoded chunk; returns the rows whose time is now known.
    pub fn admit(&mut self, source: usize, chunk: &Chunk, decoded: Decoded) -> Vec<Admitted> {
        let s = &mut self.sources[source];
        s.in_flight -= 1;
        s.parked.insert(chunk.index, decoded);
        let mut out = vec![];
        loop {
            let s = &mut self.sources[source];
            let Some(decoded) = s.parked.remove(&s.next) else { break };
            s.next += 1;
            self.place_rows(source, decoded, &mut out);
        }
        self.settle(&mut out);
        out
    }
    /// Called when there is nothing left to claim: rows that waited for the end get their time.
    pub fn settle_end(&mut self) -> Vec<Admitted> {
        let mut out = vec![];
        self.settle(&mut out);
        out
    }
    fn place_rows(&mut self, source: usize, mut decoded: Decoded, out: &mut Vec<Admitted>) {
        let s = &mut self.sources[source];
        if s.stamps_arrival && !s.keyed {
            decoded.refuse_removals();
        }
        s.bytes += decoded.bytes;
        self.errors.extend(decoded.errors.into_iter().map(|e| (source, e)));
        let n = decoded.rows.num_rows();
        s.rows += n as u64;
        if n == 0 {
            return;
        }
        let diffs = decoded.weights.unwrap_or_else(|| vec![1; n]);
        let place = s.place;
        s.place += n as u64;
        let delta = Delta::new(decoded.rows, vec![0; n], diffs);
        match s.time {
            None if self.timed => s.carry.push((delta, place)),
            None => {
                let time = self.start.unwrap_or(0) + s.next;
                s.clock = time;
                self.ticks.insert(time);
                out.push(Admitted { source, delta: Delta { times: vec![time; n], ..delta }, place });
            }
            Some(time) => self.place_timed(source, time, delta, place, out),
        }
    }
    fn place_timed(&mut self, source: usize, time: usize, delta: Delta, place: u64, out: &mut Vec<Admitted>) {
        let (delta, ticks) = self.clock_rows(source, time, delta);
        let Some(last) = ticks.last().copied() else { return };
        let open = ticks.partition_point(|t| *t < last);
        let delta = Delta { times: ticks, ..delta };
        let s = &mut self.sources[source];
        // What was open is closed by the first row of a later tick.
        if s.carry.first().is_some_and(|(held, _)| held.times[0] < last) {
            for (held, place) in std::mem::take(&mut s.carry) {
                self.ticks.insert(held.times[0]);
                out.push(Admitted { source, delta: held, place });
            }
        }
        if open > 0 {
            let ready = delta.slice(0, open);
            self.ticks.extend(ready.times.iter().copied());
            out.push(Admitted { source, delta: ready, place });
        }
        s.carry.push((delta.slice(open, delta.len() - open), place + open as u64));
    }
    /// Moves the source's clock over the rows; drops those that are late or have no time.
    fn clock_rows(&mut self, source: usize, time: usize, delta: Delta) -> (Delta, Vec<u64>) {
        let s = &mut self.sources[source];
        let at = delta.rows.column(time).as_primitive::<TimestampMicrosecondType>().clone();
        let lateness = s.lateness.map_or(u64::MAX, |l| l.as_micros() as u64);
        let (mut ticks, mut keep, mut refused) = (Vec::with_capacity(delta.len()), vec![true; delta.len()], vec![]);
        for (i, kept) in keep.iter_mut().enumerate() {
            let event = if at.is_valid(i) { at.value(i) } else { -1 };
            let late = event < 0 || (event as u64).saturating_add(lateness) < s.clock;
            if late && s.keyed && delta.diffs[i] < 0 {
                // Removing a key needs no event time, and before the first row there is nothing to remove.
                *kept = s.clock > 0;
                ticks.extend(kept.then(|| s.clock.div_ceil(self.tick) * self.tick));
                continue;
            }
            if late {
                *kept = false;
                refused.push((i, event));
                continue;
            }
            s.clock = s.clock.max(event as u64);
            s.first = Some(s.first.map_or(event as u64, |f| f.min(event as u64)));
            ticks.push(s.clock.div_ceil(self.tick) * self.tick);
        }
        if ticks.len() == delta.len() {
            return (delta, ticks);
        }
        for (i, event) in refused {
            self.errors.push((source, refusal(&delta, i, event, s.clock)));
        }
        let kept = delta.filter(&BooleanArray::from(keep)).expect("the mask is as long as the batch");
        (kept, ticks)
    }
    /// Releases what waited for other sources.
    fn settle(&mut self, out: &mut Vec<Admitted>) {
        let mut timed = self.sources.iter().filter(|s| s.time.is_some());
        if self.start.is_none() && timed.all(|s| s.first.is_some() || s.is_read()) {
            self.start = Some(self.sources.iter().filter_map(|s| s.first).min().unwrap_or(0));
        }
        if let (Some(start), true) = (self.start, self.timed) {
            self.release_untimed(start, out);
        }
        self.release_ended(out);
    }
    fn release_untimed(&mut self, start: u64, out: &mut Vec<Admitted>) {
        for source in 0..self.sources.len() {
            let s = &mut self.sources[source];
            if s.time.is_some() {
                continue;
            }
            if !s.carry.is_empty() {
                self.ticks.insert(start);
            }
            for (mut delta, place) in std::mem::take(&mut s.carry) {
                delta.times.fill(start);
                out.push(Admitted { source, delta, place });
            }
        }
    }
    /// The last open tick of a source that has ended.
    fn release_ended(&mut self, out: &mut Vec<Admitted>) {
        let open = self.sources.iter().filter(|s| s.time.is_some() && !s.is_read()).map(|s| s.clock).min();
        let end = self.end();
        for source in 0..self.sources.len() {
            let s = &mut self.sources[source];
            if s.time.is_none() || !s.is_read() || s.carry.is_empty() {
                continue;
            }
            let tick = s.carry[0].0.times[0];
            let time = match open {
                Some(clock) if clock > tick => tick,
                Some(_) => continue,
                None => tick.min(end),
            };
            self.ticks.insert(time);
            for (mut delta, place) in std::mem::take(&mut s.carry) {
                delta.times.fill(time);
                out.push(Admitted { source, delta, place });
            }
        }
    }
    /// The latest event time so far (or the last counted tick).
    pub fn end(&self) -> u64 {
        self.sources.iter().map(|s| s.clock).max().unwrap_or(0).max(self.start.unwrap_or(0))
    }
    /// No row of the source will have an earlier time than this; `None` when it is over.
    pub fn floor(&self, source: usize) -> Option<u64> {
        let s = &self.sources[source];
        if s.is_over() {
            return None;
        }
        let Some(start) = self.start else { return Some(0) };
        Some(if s.time.is_some() || !self.timed { s.clock.max(start) } else { start })
    }
    /// The least floor; `None` when all sources are over.
    pub fn low(&self) -> Option<u64> {
        (0..self.sources.len()).filter_map(|s| self.floor(s)).min()
    }
    /// The first tick with rows after `time`.
    pub fn next_tick(&self, time: u64) -> Option<u64> {
        self.ticks.range(time + 1..).next().copied()
    }
}

fn refusal(delta: &Delta, row: usize, event: i64, clock: u64) -> RowError {
    let input = jarvis_dataflow::ops::map::describe(&delta.rows, row);
    if event < 0 {
        return RowError {
            code: "no_event_time",
            message: "the event time is missing or lies before 1970".into(),
            input,
        };
    }
    let behind = Duration::from_micros(clock.saturating_sub(event as u64));
    RowError {
        code: "late",
        message: format!("the row is {behind:?} behind the clock, which is more than the stream's lateness"),
        input,
    }
}
