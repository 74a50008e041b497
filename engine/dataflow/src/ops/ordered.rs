//! State machines over events: what a key's state says follows from the events of the key in the order of their ticks.
//!
//! Within a tick, events of a key are handed over in the order of their bytes: by stream, then by column. So it makes no
//! difference how they were dealt to workers or cut into batches. Each tick, what a state says is compared with what
//! it said before, and only the difference is put out.

use super::parcel::{Dealer, Owner, Run, exchange, parcels};
use super::pending::Pending;
use super::{Clock, DeltaBuilder, Deltas, Shared, StepError};
use crate::columns::{Codec, Layout};
use crate::delta::Delta;
use crate::row::Row;
use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{Int32Type, SchemaRef};
use hashbrown::HashMap;
use jarvis_plan::{Event, Node, Ordered, State};
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::operator::Operator;

/// Events have whole milliseconds: the times of ticks differ by microseconds where nothing else does.
const GRAIN: u64 = 1_000;

/// What waits for its time to close.
enum Work {
    Events(Run),
    Tick,
}

impl From<Run> for Work {
    fn from(run: Run) -> Self {
        Work::Events(run)
    }
}

/// A key's state, and what it said last.
struct Kept {
    state: Box<dyn State>,
    told: Vec<Row>,
    wake: Option<u64>,
}

/// All states of one worker.
struct States {
    ordered: Ordered,
    owner: String,
    on_error: jarvis_spec::OnError,
    /// Of an event.
    events: Codec,
    layout: Layout,
    /// Of what is put out.
    results: Codec,
    kept: HashMap<Row, Kept, foldhash::fast::FixedState>,
    due: BTreeSet<(u64, Row)>,
    wake: Rc<Cell<u64>>,
    shared: Shared,
}

/// Renders a state machine per key.
pub fn ordered<'s>(
    input: Deltas<'s>,
    clock: Clock<'s>,
    name: &str,
    node: &Node,
    ordered: &Ordered,
    schema: &SchemaRef,
    shared: Shared,
) -> Deltas<'s> {
    let codec =
        |schema: &SchemaRef| Codec::new(schema.clone()).expect("planning refuses columns that cannot be encoded");
    let columns: Vec<usize> = (0..schema.fields().len()).collect();
    let dealer = Dealer::new(codec(schema), columns, Owner::Key(ordered.keys), input.scope().peers());
    let gauge = shared.gauge(format!("{}/{name}", node.owner));
    let mut states = States {
        ordered: ordered.clone(),
        owner: node.owner.clone(),
        on_error: node.on_error,
        layout: codec(schema).layout(),
        events: codec(schema),
        results: codec(&node.schema),
        kept: HashMap::default(),
        due: BTreeSet::new(),
        wake: shared.wake(),
        shared,
    };
    let input = parcels(input, name, dealer);
    input.binary_frontier::<_, DeltaBuilder, _, _, _, _>(clock, exchange(), Pipeline, name, move |_, _| {
        let mut pending: Pending<Work> = Pending::default();
        move |(input, input_frontier), (clock, clock_frontier), output| {
            input.for_each_stamp(|capability, data| {
                pending.retain(&capability, output.output_index());
                data.flat_map(|d| d.drain(..)).for_each(|parcel| pending.push_parcel(parcel));
            });
            clock.for_each_stamp(|capability, data| {
                pending.retain(&capability, output.output_index());
                data.flat_map(|d| d.drain(..)).for_each(|tick| pending.push(tick, Work::Tick));
            });
            if let Some((capability, closed)) = pending.closed(&[input_frontier, clock_frontier]) {
                let mut session = output.session(&capability);
                for (time, work) in closed {
                    if let Some(delta) = states.tick(time, &work) {
                        session.give(delta);
                    }
                }
            }
            states.wake.set(states.due.first().map_or(u64::MAX, |(wake, _)| *wake));
            gauge.rows.set(states.kept.len() as u64);
            gauge
                .bytes
                .set(states.kept.iter().map(|(key, kept)| key.bytes().len() + told_bytes(kept)).sum::<usize>() as u64);
        }
    })
}

fn told_bytes(kept: &Kept) -> usize {
    kept.told.iter().map(|row| row.bytes().len()).sum()
}

impl States {
    /// Takes the events of a tick, lets time pass where it is due, and says what changed.
    fn tick(&mut self, time: u64, work: &[Work]) -> Option<Delta> {
        let now = time.div_ceil(GRAIN) * GRAIN;
        let mut events = self.gather(time, work);
        let due: Vec<Row> = self.due.iter().take_while(|(wake, _)| *wake <= now).map(|(_, key)| key.clone()).collect();
        for key in due {
            events.entry(key).or_default();
        }
        if events.is_empty() {
            return None;
        }
        let rows: Vec<&Row> = events.values().flatten().collect();
        let count = rows.len();
        let batch = self.events.decode_batch(rows.into_iter().map(Row::bytes), count);
        let batch = batch.expect("rows were encoded by this codec");
        let (mut first, mut told) = (0, Told::default());
        for (key, own) in events {
            self.follow(key, now, &batch, first..first + own.len(), &mut told);
            first += own.len();
        }
        told.into_delta(&self.results, time)
    }

    /// Events by key, in their order; what is taken back is refused.
    fn gather(&self, time: u64, work: &[Work]) -> BTreeMap<Row, Vec<Row>> {
        let mut events: BTreeMap<Row, BTreeMap<Row, i64>> = BTreeMap::new();
        let runs = work.iter().filter_map(|work| if let Work::Events(run) = work { Some(run) } else { None });
        for (row, diff) in runs.flat_map(Run::rows) {
            let key = Row::new(&row[..self.layout.start(row, self.ordered.keys)]);
            *events.entry(key).or_default().entry(Row::new(row)).or_default() += diff;
        }
        let mut kept = BTreeMap::new();
        for (key, rows) in events {
            let mut own = vec![];
            for (row, count) in rows {
                if count < 0 {
                    self.refuse(&row, time, "cannot_take_back", "an event that has been followed is taken back");
                }
                own.extend(std::iter::repeat_n(row, usize::try_from(count).unwrap_or(0)));
            }
            if !own.is_empty() {
                kept.insert(key, own);
            }
        }
        kept
    }

    /// One key's part of a tick.
    fn follow(&mut self, key: Row, now: u64, batch: &RecordBatch, own: std::ops::Range<usize>, told: &mut Told) {
        let mut kept = self.kept.remove(&key);
        if let Some(wake) = kept.as_ref().and_then(|kept| kept.wake) {
            self.due.remove(&(wake, key.clone()));
        }
        for row in own {
            let event = self.event(batch, row, now);
            let state = match &mut kept {
                Some(kept) => &mut kept.state,
                empty => {
                    let state = self.ordered.machine.start(&event);
                    &mut empty.insert(Kept { state, told: vec![], wake: None }).state
                }
            };
            if let Err(why) = state.take(&event) {
                let row = self.events.encode(batch.slice(row, 1).columns(), 1).map(|mut rows| rows.remove(0));
                self.refuse(&row.expect("it was decoded from such a row"), now, "no_such_event", &why);
            }
        }
        let Some(mut kept) = kept else { return };
        kept.state.advance(now);
        let is_over = kept.state.is_over();
        let says = if is_over { vec![] } else { self.says(&*kept.state) };
        told.change(&kept.told, &says);
        if is_over {
            return;
        }
        // What has come is not due again before the clock has moved.
        kept.wake = kept.state.wake().map(|wake| wake.max(now + 1));
        kept.told = says;
        self.due.extend(kept.wake.map(|wake| (wake, key.clone())));
        self.kept.insert(key, kept);
    }

    fn event<'b>(&self, batch: &'b RecordBatch, row: usize, time: u64) -> Event<'b> {
        let stream = batch.column(self.ordered.keys).as_primitive::<Int32Type>().value(row) as usize;
        Event { stream, time, rows: batch, row, first: self.ordered.streams[stream].start }
    }

    /// The rows of a state, in order.
    fn says(&self, state: &dyn State) -> Vec<Row> {
        let rows = state.rows().expect("a machine's rows have its own columns");
        let rows = self.results.encode(rows.columns(), rows.num_rows());
        let mut rows = rows.expect("planning refuses columns that cannot be encoded");
        rows.sort_unstable();
        rows
    }

    fn refuse(&self, row: &Row, time: u64, code: &'static str, message: &str) {
        let shown = self.events.decode_batch(std::iter::once(row.bytes()), 1).expect("it was encoded by this codec");
        self.shared.error(StepError {
            step: self.owner.clone(),
            code,
            message: message.to_owned(),
            input: super::map::describe(&shown, 0),
            time,
            diff: 1,
            on_error: self.on_error,
        });
    }
}

/// Changes of a tick.
#[derive(Default)]
struct Told {
    rows: Vec<Row>,
    diffs: Vec<i64>,
}

impl Told {
    /// From what a key said to what it says; both are in order.
    fn change(&mut self, before: &[Row], now: &[Row]) {
        if before == now {
            return;
        }
        let mut counts: BTreeMap<&Row, i64> = BTreeMap::new();
        before.iter().for_each(|row| *counts.entry(row).or_default() -= 1);
        now.iter().for_each(|row| *counts.entry(row).or_default() += 1);
        for (row, diff) in counts.into_iter().filter(|(_, diff)| *diff != 0) {
            self.rows.push(row.clone());
            self.diffs.push(diff);
        }
    }

    fn into_delta(self, codec: &Codec, time: u64) -> Option<Delta> {
        if self.rows.is_empty() {
            return None;
        }
        let count = self.rows.len();
        let batch =
            codec.decode_batch(self.rows.iter().map(Row::bytes), count).expect("rows were encoded by this codec");
        Some(Delta::new(batch, vec![time; count], self.diffs))
    }
}
