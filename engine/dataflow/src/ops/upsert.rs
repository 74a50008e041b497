//! Upserts: of the rows of a key, the newest counts. What arrives is "this key is now that row" (+1) or "this key is
//! gone" (−1); what goes on is −old +new. Of several changes of a key at one time the last one wins.

use super::pending::Pending;
use super::{DeltaBuilder, Deltas, Fed, Shared};
use crate::columns::Codec;
use crate::delta::Delta;
use crate::row::{Row, hash};
use hashbrown::HashMap;
use hashbrown::hash_map::Entry;
use jarvis_plan::Input;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::Stream;
use timely::dataflow::channels::pact::{Exchange, Pipeline};
use timely::dataflow::operators::generic::operator::Operator;

/// (key, position in the input, the row or nothing)
type Change = (Row, u64, Option<Row>);
/// A change with its time.
type Timed = (u64, Change);

/// Renders an upsert. Rows reach the worker that owns their key; the place of a row in its source decides which is newer.
pub fn upsert<'s>(
    input: Stream<'s, u64, Vec<Fed>>,
    name: &str,
    input_plan: &Input,
    owner: &str,
    shared: Shared,
) -> Deltas<'s> {
    let schema = &input_plan.schema;
    let held: Vec<usize> = input_plan.held.clone().unwrap_or_else(|| (0..schema.fields().len()).collect());
    let key = input_plan.key.clone();
    let keys = Codec::of(schema, &key).expect("planning refuses keys that cannot be encoded");
    let rows = Codec::of(schema, &held).expect("planning refuses columns that cannot be encoded");
    let codec =
        Codec::of(&jarvis_plan::lower::loose(schema), &held).expect("planning refuses columns that cannot be encoded");
    let changes = input.unary::<CapacityContainerBuilder<Vec<Timed>>, _, _, _>(
        Pipeline,
        &format!("{name}: encode"),
        move |_, _| {
            move |input, output| {
                input.for_each_stamp(|capability, data| {
                    let mut session = output.session(&capability);
                    for Fed { delta, place } in data.flat_map(|d| d.drain(..)) {
                        let delta = delta.canonical();
                        let keys =
                            keys.encode(&delta.columns(&key), delta.len()).expect("keys have the stream's schema");
                        let values =
                            rows.encode(&delta.columns(&held), delta.len()).expect("rows have the stream's schema");
                        for (i, (k, v)) in keys.into_iter().zip(values).enumerate() {
                            session.give((delta.times[i], (k, place + i as u64, (delta.diffs[i] > 0).then_some(v))));
                        }
                    }
                });
            }
        },
    );
    let gauge = shared.gauge(format!("{owner}/{name}"));
    let exchange = Exchange::new(|c: &Timed| hash(c.1.0.bytes()));
    changes.unary_frontier::<DeltaBuilder, _, _, _>(exchange, name, move |_, _| {
        let mut newest: HashMap<Row, Row, foldhash::fast::FixedState> = HashMap::default();
        let mut pending: Pending<Change> = Pending::default();
        let mut heap = 0;
        move |(input, frontier), output| {
            input.for_each_stamp(|capability, data| {
                pending.retain(&capability, output.output_index());
                for (time, change) in data.flat_map(|d| d.drain(..)) {
                    pending.push(time, change);
                }
            });
            let Some((capability, closed)) = pending.closed(&[frontier]) else { return };
            let mut told = Told::default();
            for (time, changes) in closed {
                apply(changes, &mut newest, &mut heap, |row, diff| told.push(row, time, diff));
            }
            if let Some(delta) = told.into_delta(&codec) {
                output.session(&capability).give(delta);
            }
            gauge.rows.set(newest.len() as u64);
            gauge.bytes.set((newest.capacity() * (2 * size_of::<Row>() + 1) + heap) as u64);
        }
    })
}

/// Applies the changes of one time.
fn apply(
    mut changes: Vec<Change>,
    newest: &mut HashMap<Row, Row, foldhash::fast::FixedState>,
    heap: &mut usize,
    mut tell: impl FnMut(Row, i64),
) {
    changes.sort_unstable_by(|a, b| (&a.0, a.1).cmp(&(&b.0, b.1)));
    let mut changes = changes.into_iter().peekable();
    while let Some((key, _, new)) = changes.next() {
        if changes.peek().is_some_and(|next| next.0 == key) {
            continue;
        }
        match (newest.entry(key), new) {
            (Entry::Occupied(mut held), Some(row)) => {
                if *held.get() != row {
                    *heap += row.heap();
                    let old = held.insert(row.clone());
                    *heap -= old.heap();
                    tell(old, -1);
                    tell(row, 1);
                }
            }
            (Entry::Vacant(place), Some(row)) => {
                *heap += place.key().heap() + row.heap();
                place.insert(row.clone());
                tell(row, 1);
            }
            (Entry::Occupied(held), None) => {
                let (key, old) = held.remove_entry();
                *heap -= key.heap() + old.heap();
                tell(old, -1);
            }
            (Entry::Vacant(_), None) => {}
        }
    }
}

/// Encoded changes on their way back to columns.
#[derive(Default)]
pub struct Told {
    rows: Vec<Row>,
    times: Vec<u64>,
    diffs: Vec<i64>,
}

impl Told {
    pub fn push(&mut self, row: Row, time: u64, diff: i64) {
        self.rows.push(row);
        self.times.push(time);
        self.diffs.push(diff);
    }
    pub fn into_delta(self, codec: &Codec) -> Option<Delta> {
        if self.rows.is_empty() {
            return None;
        }
        let batch = codec
            .decode_batch(self.rows.iter().map(Row::bytes), self.rows.len())
            .expect("rows were encoded by this codec");
        Some(Delta::new(batch, self.times, self.diffs))
    }
}
