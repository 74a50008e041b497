//! Groups: one row per key with its aggregates, kept right under inserts and retractions.
//!
//! Two steps. On the worker where rows arise, [`partial`] adds up a batch per group; what travels is one partial per
//! group, time and batch; rows of windows that overlap are added up per pane, and the sums are then dealt out to the
//! windows (Li et al., "No pane, no gain", SIGMOD Record 2005). On the worker that owns the group, [`state`] adds partials to the group and tells the
//! difference: −old +new, once per group and time. Counts, sums and averages cost the same whatever the size of the
//! group; minima, maxima and the like hold the group's values in order, and cost the logarithm of its size.
//!
//! Sums of floats are exact (see [`words`]): a float sum that rounds at every step could not be taken back, and would
//! depend on the order of arrival.

pub mod bag;
pub mod partial;
pub mod results;
pub mod state;
pub mod words;

use super::{Clock, DeltaBuilder, Deltas, Shared};
use crate::columns::Codec;
use crate::row::{Row, hash};
use arrow::datatypes::{DataType, SchemaRef};
use jarvis_plan::{Aggregate, Call, Function, Moment, Node, Panes};
use partial::{Partial, Partials};
use state::Groups;
use std::rc::Rc;
use std::sync::Arc;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::Stream;
use timely::dataflow::channels::pact::{Exchange, Pipeline};
use timely::dataflow::operators::generic::operator::Operator;
use words::Sum;

/// How one aggregate is computed.
pub enum Plan {
    /// Adds up in words from `at` on; `at = 0` is the number of rows of the group.
    Sum { sum: Sum, at: usize },
    /// Holds values in order, in bag number `bag`.
    Bag { bag: usize, codec: Arc<Codec>, keeps_nulls: bool },
    /// Holds the least (or greatest) value only: for inputs that never take a row back.
    Best { bag: usize, codec: Arc<Codec>, greatest: bool },
}

/// An aggregate step, laid out.
pub struct Layout {
    pub keys: Vec<usize>,
    pub key_codec: Codec,
    /// Where each key column lies in an encoded key; needed for windows only.
    pub key_widths: crate::columns::Layout,
    pub calls: Vec<(Call, Plan)>,
    /// Words per group; word 0 counts its rows.
    pub words: usize,
    /// Bags per group.
    pub bags: usize,
    /// By bag: whether it holds but one value, and if so, whether the greatest.
    pub best: Vec<Option<bool>>,
    pub schema: SchemaRef,
    /// When groups leave, when they cannot change any more, when they are told first: see [`Aggregate`].
    pub expire: Option<Moment>,
    pub settle: Option<Moment>,
    pub hold: Option<Moment>,
    pub panes: Option<Panes>,
    pub owner: String,
    pub on_error: jarvis_spec::OnError,
}

impl Layout {
    pub fn new(node: &Node, aggregate: &Aggregate, input: &SchemaRef) -> Self {
        let (mut words, mut bags) = (1, 0);
        let calls: Vec<(Call, Plan)> = aggregate
            .calls
            .iter()
            .map(|call| (call.clone(), Self::plan(call, aggregate.append_only, input, &mut words, &mut bags)))
            .collect();
        let best = calls.iter().filter_map(|(_, plan)| match plan {
            Plan::Sum { .. } => None,
            Plan::Bag { .. } => Some(None),
            Plan::Best { greatest, .. } => Some(Some(*greatest)),
        });
        Layout {
            best: best.collect(),
            keys: aggregate.keys.clone(),
            key_codec: Codec::of(input, &aggregate.keys).expect("planning refuses keys that cannot be encoded"),
            key_widths: crate::columns::Layout::of(aggregate.keys.iter().map(|k| input.field(*k).data_type()))
                .expect("planning refuses keys that cannot be sliced"),
            calls,
            words,
            bags,
            schema: node.schema.clone(),
            expire: aggregate.expire,
            settle: aggregate.settle,
            hold: aggregate.hold,
            panes: aggregate.panes.clone(),
            owner: node.owner.clone(),
            on_error: node.on_error,
        }
    }
    fn plan(call: &Call, append_only: bool, input: &SchemaRef, words: &mut usize, bags: &mut usize) -> Plan {
        let argument = call.argument.map(|a| input.field(a).data_type().clone());
        if !call.distinct
            && let Some(sum) = Sum::of(call.function, argument.as_ref())
        {
            if sum == Sum::Rows && call.filter.is_none() {
                return Plan::Sum { sum, at: 0 };
            }
            let at = *words;
            *words += sum.width();
            return Plan::Sum { sum, at };
        }
        let bag = *bags;
        *bags += 1;
        let codec = Arc::new(value_codec(call, input));
        match call.function {
            Function::Min | Function::Max if append_only => {
                Plan::Best { bag, codec, greatest: call.function == Function::Max }
            }
            function => Plan::Bag {
                bag,
                codec,
                keeps_nulls: matches!(function, Function::ArrayAgg | Function::FirstValue | Function::LastValue),
            },
        }
    }
    /// How many groups a row counts in.
    pub fn windows(&self) -> usize {
        self.panes.as_ref().map_or(1, |p| p.windows)
    }
    /// The key of the window before the one of `key`.
    pub fn window_before(&self, key: &Row) -> Row {
        let mut bytes = key.bytes().to_vec();
        if let Some(panes) = &self.panes {
            for place in &panes.keys {
                crate::columns::lower_i64(&mut bytes, &self.key_widths, *place, panes.slide);
            }
        }
        Row::new(&bytes)
    }
    /// Whether there is always one row. Without aggregates it is a DISTINCT of no columns: a row only while there is input.
    pub fn is_global(&self) -> bool {
        self.keys.is_empty() && !self.calls.is_empty()
    }
}

/// The columns of a value in a bag: what it is ordered by, then the value.
fn value_codec(call: &Call, input: &SchemaRef) -> Codec {
    use arrow::datatypes::{Field, Schema};
    let column = |i: usize| Field::new("v", input.field(i).data_type().clone(), true);
    let mut fields: Vec<Field> = call.order.iter().map(|o| column(o.column)).collect();
    let value = call.argument.map_or(Field::new("v", DataType::Boolean, true), column);
    fields.push(value);
    let options = call.order.iter().map(|o| (o.descending, o.nulls_first)).chain([(false, true)]).collect::<Vec<_>>();
    Codec::ordered(Arc::new(Schema::new(fields)), &options).expect("planning refuses values that cannot be encoded")
}

/// Groups on their way to the workers that own them.
pub type PartialStream<'s> = Stream<'s, u64, Vec<Partial>>;

/// Adds up batches on the worker where they are.
pub fn partials<'s>(input: Deltas<'s>, name: &str, layout: Rc<Layout>, shared: Shared) -> PartialStream<'s> {
    let peers = input.scope().peers();
    input.unary::<CapacityContainerBuilder<Vec<Partial>>, _, _, _>(
        Pipeline,
        &format!("{name}: partial"),
        move |_, _| {
            let mut gather = Partials::new(layout, peers, shared);
            move |input, output| {
                input.for_each_stamp(|capability, data| {
                    for delta in data.flat_map(|d| d.drain(..)) {
                        gather.add(&delta);
                    }
                    let mut session = output.session(&capability);
                    for partial in gather.take() {
                        session.give(partial);
                    }
                });
            }
        },
    )
}

/// Adds partials to the groups that this worker owns.
pub fn aggregate<'s>(
    partials: PartialStream<'s>,
    clock: Clock<'s>,
    name: &str,
    layout: Rc<Layout>,
    shared: Shared,
) -> Deltas<'s> {
    let peers = partials.scope().peers();
    let index = partials.scope().index();
    let gauge = shared.gauge(format!("{}/{name}", layout.owner));
    let owns_global = layout.is_global() && hash(&[]) as usize % peers == index;
    let exchange = Exchange::new(|p: &Partial| p.worker as u64);
    partials.binary_frontier::<_, DeltaBuilder, _, _, _, _>(clock, exchange, Pipeline, name, move |_, _| {
        let mut groups = Groups::new(layout, shared.wake(), owns_global, shared);
        let mut pending: super::pending::Pending<Event> = Default::default();
        move |(input, input_frontier), (clock, clock_frontier), output| {
            input.for_each_stamp(|capability, data| {
                pending.retain(&capability, output.output_index());
                for partial in data.flat_map(|d| d.drain(..)) {
                    pending.push(partial.time, Event::Rows(partial));
                }
            });
            clock.for_each_stamp(|capability, data| {
                if groups.wants_clock() {
                    pending.retain(&capability, output.output_index());
                    for tick in data.flat_map(|d| d.drain(..)) {
                        pending.push(tick, Event::Tick);
                    }
                }
            });
            if let Some((capability, closed)) = pending.closed(&[input_frontier, clock_frontier]) {
                for (time, events) in closed {
                    groups.advance(time, events);
                }
                if let Some(delta) = groups.take() {
                    output.session(&capability).give(delta);
                }
                groups.publish(&gauge);
            }
        }
    })
}

/// What happens to groups at one time.
pub enum Event {
    Rows(Partial),
    Tick,
}
