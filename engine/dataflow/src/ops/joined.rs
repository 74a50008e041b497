//! Keyed edges, arrangements and the join of two of them.

use super::aggregate::partial::{Gathered, Partial};
use super::aggregate::words::add_encoded;
use super::aggregate::{Layout as Groups, PartialStream, Plan};
use super::edge::{Edge, RowEdge};
use super::{DeltaBuilder, Deltas, Shared, StepError};
use crate::columns::{Codec, Layout, Picker};
use crate::encoded::Encoded;
use crate::join::{Matches, TotalJoin};
use crate::row::{Row, hash};
use crate::spine::{ByteBatcher, ByteSpine, Keyed, size};
use arrow::array::Array;
use arrow::datatypes::{DataType, SchemaRef};
use differential_dataflow::operators::arrange::arrangement::arrange_core;
use differential_dataflow::operators::arrange::{Arranged, TraceAgent};
use differential_dataflow::operators::join::join_with_tactic;
use differential_dataflow::trace::TraceReader;
use jarvis_plan::JoinColumn;
use std::rc::Rc;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::Stream;
use timely::dataflow::channels::pact::{Exchange, Pipeline};
use timely::dataflow::operators::generic::operator::Operator;
use timely::progress::Antichain;

/// A stream arranged by a key: the batches of a trace, shared by all joins that want the same.
pub type Arrangement<'s> = Arranged<'s, TraceAgent<ByteSpine>>;

/// Which columns of a stream an arrangement holds.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Wanted {
    pub key: Vec<usize>,
    pub value: Vec<usize>,
    /// Rows with a null in the key are left out.
    pub skip_null_keys: bool,
}

/// Splits rows into key and value and arranges them by key, on the worker that owns the key.
pub fn arrange<'s>(
    input: &Edge<'s>,
    name: &str,
    schema: &SchemaRef,
    wanted: &Wanted,
    shared: &Shared,
) -> Arrangement<'s> {
    let keyed = match input {
        Edge::Columns(deltas) => encoded(deltas.clone(), name, schema, wanted),
        Edge::Rows(rows) => sliced(rows, name, wanted),
    };
    let exchange = Exchange::new(|x: &Keyed| hash(x.0.0.bytes()));
    let arranged = arrange_core::<_, _, ByteBatcher, ByteSpine>(keyed, exchange, name, ByteBatcher::new);
    // A reader that asks for no history holds nothing back; the joins keep what they need.
    let mut trace = arranged.trace.clone();
    trace.set_logical_compaction(Antichain::new().borrow());
    trace.set_physical_compaction(Antichain::new().borrow());
    shared.measure(name.to_string(), move || {
        let (mut rows, mut bytes) = (0, 0);
        trace.map_spans(|span| {
            if let Some(batch) = &span.inner {
                let (r, b) = size(batch);
                rows += r;
                bytes += b;
            }
        });
        (rows, bytes)
    });
    arranged
}

type KeyedStream<'s> = Stream<'s, u64, Vec<Keyed>>;
type KeyedBuilder = CapacityContainerBuilder<Vec<Keyed>>;

/// Keys and values of columns.
fn encoded<'s>(input: Deltas<'s>, name: &str, schema: &SchemaRef, wanted: &Wanted) -> KeyedStream<'s> {
    let keys = Codec::of(schema, &wanted.key).expect("planning refuses keys that cannot be encoded");
    let values = Codec::of(schema, &wanted.value).expect("planning refuses columns that cannot be encoded");
    let Wanted { key, value, skip_null_keys } = wanted.clone();
    input.unary::<KeyedBuilder, _, _, _>(Pipeline, &format!("{name}: encode"), move |_, _| {
        move |input, output| {
            input.for_each_stamp(|capability, data| {
                let mut session = output.session(&capability);
                for delta in data.flat_map(|d| d.drain(..)) {
                    let key_columns = delta.columns(&key);
                    let any_null = skip_null_keys && key_columns.iter().any(|c| c.null_count() > 0);
                    let null = |i: usize| any_null && key_columns.iter().any(|c| c.is_null(i));
                    let keys = keys.encode(&key_columns, delta.len()).expect("keys have the step's schema");
                    let values =
                        values.encode(&delta.columns(&value), delta.len()).expect("values have the step's schema");
                    for (i, pair) in keys.into_iter().zip(values).enumerate() {
                        if !null(i) {
                            session.give((pair, delta.times[i], delta.diffs[i]));
                        }
                    }
                }
            });
        }
    })
}

/// Keys and values of rows that are encoded already.
fn sliced<'s>(input: &RowEdge<'s>, name: &str, wanted: &Wanted) -> KeyedStream<'s> {
    let keys = Picker::new(input.layout(), &input.stored(&wanted.key));
    let values = Picker::new(input.layout(), &input.stored(&wanted.value));
    let skip_null_keys = wanted.skip_null_keys;
    input.rows.clone().unary::<KeyedBuilder, _, _, _>(Pipeline, &format!("{name}: slice"), move |_, _| {
        let mut scratch = vec![];
        move |input, output| {
            input.for_each_stamp(|capability, data| {
                let mut session = output.session(&capability);
                for encoded in data.flat_map(|d| d.drain(..)) {
                    for (i, row) in encoded.rows().enumerate() {
                        if skip_null_keys && keys.any_null(row) {
                            continue;
                        }
                        let key = Row::new(keys.pick(row, &mut scratch));
                        let value = Row::new(values.pick(row, &mut scratch));
                        session.give(((key, value), encoded.times[i], encoded.diffs[i]));
                    }
                }
            });
        }
    })
}

/// Where an output column of a join lies.
#[derive(Clone, Copy, Debug)]
pub enum Part {
    Key(usize),
    Left(usize),
    Right(usize),
}

/// The layouts of both sides of a join, and the columns that come out.
pub struct JoinShape {
    pub parts: Vec<Part>,
    key: Layout,
    left: Layout,
    right: Layout,
    pub left_value: Vec<usize>,
    pub right_value: Vec<usize>,
}

impl JoinShape {
    /// Splits both sides into key and value: what is in the key is not held again in the value, and what is not put out
    /// is not held at all.
    pub fn new(output: &[JoinColumn], left: (&SchemaRef, &[usize]), right: (&SchemaRef, &[usize])) -> Self {
        let (mut left_value, mut right_value) = (vec![], vec![]);
        let place = |column: usize, key: &[usize], value: &mut Vec<usize>| match key.iter().position(|k| *k == column) {
            Some(k) => Ok(k),
            None => Err(value.iter().position(|v| *v == column).unwrap_or_else(|| {
                value.push(column);
                value.len() - 1
            })),
        };
        let parts = output
            .iter()
            .map(|o| match o {
                JoinColumn::Left(c) => place(*c, left.1, &mut left_value).map_or_else(Part::Left, Part::Key),
                JoinColumn::Right(c) => place(*c, right.1, &mut right_value).map_or_else(Part::Right, Part::Key),
            })
            .collect();
        let layout = |schema: &SchemaRef, columns: &[usize]| {
            let types: Vec<&DataType> = columns.iter().map(|c| schema.field(*c).data_type()).collect();
            Layout::of(types.into_iter()).expect("planning refuses columns that cannot be sliced")
        };
        JoinShape {
            parts,
            key: layout(left.0, left.1),
            left: layout(left.0, &left_value),
            right: layout(right.0, &right_value),
            left_value,
            right_value,
        }
    }
    /// The bytes of one part of a pair.
    #[inline]
    pub fn slice<'a>(&self, part: Part, key: &'a [u8], left: &'a [u8], right: &'a [u8]) -> &'a [u8] {
        match part {
            Part::Key(c) => self.key.column(key, c),
            Part::Left(c) => self.left.column(left, c),
            Part::Right(c) => self.right.column(right, c),
        }
    }
}

/// Pairs, put together of slices of both rows; nothing is decoded.
struct Pairs {
    shape: JoinShape,
    rows: Encoded,
}

impl Matches<Vec<Encoded>> for Pairs {
    #[inline]
    fn pair(&mut self, key: &[u8], left: &[u8], right: &[u8], time: u64, diff: i64) {
        for part in &self.shape.parts {
            self.rows.part(self.shape.slice(*part, key, left, right));
        }
        self.rows.end(time, diff);
    }
    fn take(&mut self) -> Option<Vec<Encoded>> {
        if self.rows.is_empty() {
            return None;
        }
        Some(vec![std::mem::take(&mut self.rows)])
    }
}

/// Renders an inner join.
pub fn join<'s>(
    left: Arrangement<'s>,
    right: Arrangement<'s>,
    name: &str,
    shape: JoinShape,
    schema: SchemaRef,
) -> RowEdge<'s> {
    let columns = (0..schema.fields().len()).collect();
    let matches = Pairs { shape, rows: Encoded::default() };
    let rows = join_with_tactic::<_, _, _, Vec<Encoded>>(left, right, name, TotalJoin::new(matches));
    RowEdge::new(rows, schema, columns)
}

/// Pairs, added up per group as they are found: no row is made of a pair, nothing is decoded.
struct Sums {
    shape: JoinShape,
    layout: Rc<Groups>,
    workers: usize,
    shared: Shared,
    key: Vec<u8>,
    gathered: Gathered,
    words: Vec<i64>,
}

impl Sums {
    fn flush(&mut self, out: &mut Vec<Partial>) {
        let gathered = std::mem::take(&mut self.gathered);
        gathered.deal(&self.layout, self.workers, &self.words, vec![], out);
        self.words.clear();
    }
    #[cold]
    fn refuse(&self, time: u64, diff: i64) {
        self.shared.error(StepError {
            step: self.layout.owner.clone(),
            code: "sum_range",
            message: "a value of 2^125 or more does not fit a sum".into(),
            input: "a pair of joined rows".into(),
            time,
            diff,
            on_error: self.layout.on_error,
        });
    }
}

impl Matches<Vec<Partial>> for Sums {
    #[inline]
    fn pair(&mut self, key: &[u8], left: &[u8], right: &[u8], time: u64, diff: i64) {
        self.key.clear();
        for column in &self.layout.keys {
            self.key.extend_from_slice(self.shape.slice(self.shape.parts[*column], key, left, right));
        }
        let group = self.gathered.group(&self.key, time) as usize;
        let stride = self.layout.words;
        if self.words.len() < (group + 1) * stride {
            self.words.resize((group + 1) * stride, 0);
        }
        let words = &mut self.words[group * stride..][..stride];
        words[0] += diff;
        let mut fits = true;
        for (call, plan) in &self.layout.calls {
            let Plan::Sum { sum, at } = plan else { continue };
            if *at > 0 {
                let value = call.argument.map(|a| self.shape.slice(self.shape.parts[a], key, left, right));
                fits &= add_encoded(*sum, value, diff, &mut words[*at..*at + sum.width()]);
            }
        }
        if !fits {
            self.refuse(time, diff);
        }
    }
    fn take(&mut self) -> Option<Vec<Partial>> {
        let mut out = vec![];
        self.flush(&mut out);
        (!out.is_empty()).then_some(out)
    }
}

/// Whether pairs of a join can be added up without being decoded.
pub fn adds_up(layout: &Groups, pairs: &SchemaRef) -> bool {
    layout.calls.iter().all(|(call, plan)| match plan {
        Plan::Sum { sum, .. } => {
            call.filter.is_none() && sum.sliceable(call.argument.map(|a| pairs.field(a).data_type()))
        }
        _ => false,
    })
}

/// Renders an inner join whose pairs are only added up.
pub fn join_sums<'s>(
    left: Arrangement<'s>,
    right: Arrangement<'s>,
    name: &str,
    shape: JoinShape,
    layout: Rc<Groups>,
    shared: Shared,
) -> PartialStream<'s> {
    let workers = left.stream.scope().peers();
    let matches = Sums { shape, layout, workers, shared, key: vec![], gathered: Gathered::default(), words: vec![] };
    join_with_tactic::<_, _, _, Vec<Partial>>(left, right, name, TotalJoin::new(matches))
}

/// The same rows with weights of opposite sign.
pub fn negate<'s>(input: Deltas<'s>, name: &str) -> Deltas<'s> {
    input.unary::<DeltaBuilder, _, _, _>(Pipeline, name, |_, _| {
        |input, output| {
            input.for_each_stamp(|capability, data| {
                let mut session = output.session(&capability);
                for mut delta in data.flat_map(|d| d.drain(..)) {
                    delta.diffs.iter_mut().for_each(|d| *d = -*d);
                    session.give(delta);
                }
            });
        }
    })
}
