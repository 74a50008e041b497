//! Rows of results: what a group says before and after a time, gathered into columns.

use super::bag::Bag;
use super::words::{Sum, decimal, float};
use super::{Layout, Plan};
use crate::delta::Delta;
use crate::row::Row;
use arrow::array::{
    Array, ArrayRef, BooleanArray, Decimal128Array, Float64Array, Int64Array, ListArray, RecordBatch,
    RecordBatchOptions, UInt64Array, new_null_array,
};
use arrow::buffer::OffsetBuffer;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field};
use jarvis_plan::{Call, Function};
use std::rc::Rc;
use std::sync::Arc;

/// What a bag comes to.
#[derive(Clone, Debug, PartialEq)]
enum Picked {
    Nothing,
    One(Row),
    Two(Row, Row),
    Many(Vec<Row>),
    Number(i64),
}

/// What groups say, one after the other: their words, and what each of their bags comes to.
#[derive(Default)]
struct Said {
    words: Vec<i64>,
    picked: Vec<Picked>,
}

impl Said {
    fn clear(&mut self) {
        self.words.clear();
        self.picked.clear();
    }
}

/// A group at one moment: its words and bags; `None` while it has no rows.
pub type Group<'a> = Option<(&'a [i64], &'a [Bag])>;

/// Gathers changes.
pub struct Results {
    layout: Rc<Layout>,
    /// The first word that results show: without a count of rows, two groups of different size may say the same.
    first_word: usize,
    before: Said,
    /// Which of the touched groups were there before.
    were: Vec<bool>,
    keys: Vec<Row>,
    told: Said,
    times: Vec<u64>,
    diffs: Vec<i64>,
    now: Vec<Picked>,
}

impl Results {
    pub fn new(layout: Rc<Layout>) -> Self {
        let counts = layout.calls.iter().any(|(_, p)| matches!(p, Plan::Sum { at: 0, .. }));
        Results {
            layout,
            first_word: usize::from(!counts),
            before: Said::default(),
            were: vec![],
            keys: vec![],
            told: Said::default(),
            times: vec![],
            diffs: vec![],
            now: vec![],
        }
    }
    /// How the next touched group was.
    pub fn before(&mut self, group: Group<'_>) {
        self.were.push(group.is_some());
        match group {
            Some((words, bags)) => {
                self.before.words.extend_from_slice(words);
                pick_all(&self.layout, bags, &mut self.before.picked);
            }
            None => {
                let (words, bags) = (self.before.words.len(), self.before.picked.len());
                self.before.words.resize(words + self.layout.words, 0);
                self.before.picked.resize(bags + self.layout.bags, Picked::Nothing);
            }
        }
    }
    /// How touched group number `i` is now.
    pub fn tell(&mut self, i: usize, key: &Row, after: Group<'_>, time: u64) {
        let (stride, bags) = (self.layout.words, self.layout.bags);
        let was = self.were[i];
        let words = &self.before.words[i * stride..][..stride];
        let picked = &mut self.before.picked[i * bags..][..bags];
        self.now.clear();
        if let Some((now, bags)) = after {
            pick_all(&self.layout, bags, &mut self.now);
            if was && now[self.first_word..] == words[self.first_word..] && self.now == picked {
                return;
            }
        }
        if was {
            self.told.words.extend_from_slice(words);
            self.told.picked.extend(picked.iter_mut().map(|p| std::mem::replace(p, Picked::Nothing)));
            self.keys.push(key.clone());
            self.times.push(time);
            self.diffs.push(-1);
        }
        if let Some((now, _)) = after {
            self.told.words.extend_from_slice(now);
            self.told.picked.append(&mut self.now);
            self.keys.push(key.clone());
            self.times.push(time);
            self.diffs.push(1);
        }
    }
    pub fn end_of_time(&mut self) {
        self.before.clear();
        self.were.clear();
    }
    pub fn take(&mut self) -> Option<Delta> {
        if self.keys.is_empty() {
            return None;
        }
        let n = self.keys.len();
        let codec = &self.layout.key_codec;
        let mut columns = codec.decode(self.keys.iter().map(Row::bytes)).expect("keys were encoded by this codec");
        let words = Words { words: &self.told.words, stride: self.layout.words };
        let mut bag = 0;
        for (call, plan) in &self.layout.calls {
            let column = match plan {
                Plan::Sum { sum, at } => sums(call, *sum, *at, words),
                Plan::Bag { codec, .. } | Plan::Best { codec, .. } => {
                    bag += 1;
                    let decode = |rows: Vec<&[u8]>| {
                        codec
                            .decode(rows.into_iter())
                            .expect("values were encoded by this codec")
                            .pop()
                            .expect("a value has at least one column")
                    };
                    let picked: Vec<&Picked> =
                        self.told.picked.iter().skip(bag - 1).step_by(self.layout.bags).collect();
                    picks(call, &picked, decode)
                }
            };
            columns.push(column);
        }
        self.keys.clear();
        self.told.clear();
        let options = RecordBatchOptions::new().with_row_count(Some(n));
        let rows = RecordBatch::try_new_with_options(self.layout.schema.clone(), columns, &options)
            .expect("results have the step's schema");
        Some(Delta::new(rows, std::mem::take(&mut self.times), std::mem::take(&mut self.diffs)))
    }
}

/// Words of groups, `stride` each.
#[derive(Clone, Copy)]
struct Words<'a> {
    words: &'a [i64],
    stride: usize,
}

impl<'a> Words<'a> {
    fn groups(self) -> impl Iterator<Item = &'a [i64]> {
        self.words.chunks_exact(self.stride)
    }
}

/// What each bag of a group comes to, in the order of the bags.
fn pick_all(layout: &Layout, bags: &[Bag], out: &mut Vec<Picked>) {
    for (call, plan) in &layout.calls {
        if let Plan::Bag { bag, .. } | Plan::Best { bag, .. } = plan {
            out.push(pick(call, &bags[*bag]));
        }
    }
}

fn pick(call: &Call, bag: &Bag) -> Picked {
    let one = |row: Option<&Row>| row.map_or(Picked::Nothing, |r| Picked::One(r.clone()));
    match call.function {
        Function::Count => Picked::Number(bag.iter().count() as i64),
        Function::Min | Function::FirstValue => one(bag.first()),
        Function::Max | Function::LastValue => one(bag.last()),
        Function::Median if call.distinct => {
            let all: Vec<&Row> = bag.iter().map(|(r, _)| r).collect();
            if all.is_empty() {
                Picked::Nothing
            } else {
                Picked::Two(all[(all.len() - 1) / 2].clone(), all[all.len() / 2].clone())
            }
        }
        Function::Median => bag.middle().map_or(Picked::Nothing, |(a, b)| Picked::Two(a.clone(), b.clone())),
        _ if bag.is_empty() => Picked::Nothing,
        _ if call.distinct => Picked::Many(bag.iter().map(|(r, _)| r.clone()).collect()),
        _ => Picked::Many(bag.iter().flat_map(|(r, n)| std::iter::repeat_n(r.clone(), n as usize)).collect()),
    }
}

/// A column of results that add up.
fn sums(call: &Call, sum: Sum, at: usize, told: Words<'_>) -> ArrayRef {
    let words = || told.groups().map(move |w| &w[at..at + sum.width()]);
    let some = |w: &[i64]| w[0] != 0;
    let average = call.function == Function::Avg;
    let column: ArrayRef = match sum {
        Sum::Rows | Sum::Values => Arc::new(words().map(|w| Some(w[0])).collect::<Int64Array>()),
        Sum::Integer if average => {
            Arc::new(words().map(|w| some(w).then(|| w[1] as f64 / w[0] as f64)).collect::<Float64Array>())
        }
        Sum::Integer if call.output == DataType::UInt64 => {
            Arc::new(words().map(|w| some(w).then_some(w[1] as u64)).collect::<UInt64Array>())
        }
        Sum::Integer => Arc::new(words().map(|w| some(w).then_some(w[1])).collect::<Int64Array>()),
        Sum::Float if average => {
            Arc::new(words().map(|w| some(w).then(|| float(w) / w[0] as f64)).collect::<Float64Array>())
        }
        Sum::Float => Arc::new(words().map(|w| some(w).then(|| float(w))).collect::<Float64Array>()),
        Sum::Decimal => return decimals(call, told, at),
        Sum::Truth => {
            let truth = |w: &[i64]| if call.function == Function::BoolAnd { w[0] == w[1] } else { w[1] > 0 };
            Arc::new(words().map(|w| some(w).then(|| truth(w))).collect::<BooleanArray>())
        }
    };
    to_output(column, &call.output)
}

fn to_output(column: ArrayRef, output: &DataType) -> ArrayRef {
    if column.data_type() == output {
        column
    } else {
        cast(&column, output).expect("planning allows only results that can be cast")
    }
}

fn decimals(call: &Call, told: Words<'_>, at: usize) -> ArrayRef {
    let DataType::Decimal128(precision, scale) = call.output else {
        return new_null_array(&call.output, told.groups().count());
    };
    let values = told.groups().map(|w| {
        let w = &w[at..at + 5];
        (w[0] != 0).then(|| match call.function {
            // DataFusion's avg of decimal(p, s) is decimal(p + 4, s + 4), cut off.
            Function::Avg => decimal(w).saturating_mul(10_000) / w[0] as i128,
            _ => decimal(w),
        })
    });
    let column = values.collect::<Decimal128Array>().with_precision_and_scale(precision, scale);
    Arc::new(column.expect("planning gives a valid precision"))
}

/// A column of results from bags.
fn picks<'a>(call: &Call, picked: &[&'a Picked], decode: impl Fn(Vec<&'a [u8]>) -> ArrayRef) -> ArrayRef {
    match call.function {
        Function::Count => {
            let numbers = picked.iter().map(|p| if let Picked::Number(n) = p { Some(*n) } else { Some(0) });
            to_output(Arc::new(numbers.collect::<Int64Array>()), &call.output)
        }
        Function::Median => median(call, picked, decode),
        Function::ArrayAgg => lists(call, picked, decode),
        Function::Sum | Function::Avg => distinct_sums(call, picked, decode),
        _ => {
            let rows: Vec<&[u8]> =
                picked.iter().filter_map(|p| if let Picked::One(r) = p { Some(r.bytes()) } else { None }).collect();
            let missing = picked.iter().map(|p| !matches!(p, Picked::One(_)));
            spread(decode(rows), missing, &call.output)
        }
    }
}

/// Values with nulls put in where `missing` says so.
fn spread(values: ArrayRef, missing: impl Iterator<Item = bool>, output: &DataType) -> ArrayRef {
    let mut next = 0u64;
    let positions: UInt64Array = missing
        .map(|m| {
            if m {
                return None;
            }
            next += 1;
            Some(next - 1)
        })
        .collect();
    to_output(arrow::compute::take(&values, &positions, None).expect("positions lie within the values"), output)
}

fn lists<'a>(call: &Call, picked: &[&'a Picked], decode: impl Fn(Vec<&'a [u8]>) -> ArrayRef) -> ArrayRef {
    let many = |p: &&'a Picked| -> &'a [Row] { if let Picked::Many(rows) = p { rows } else { &[] } };
    let values = decode(picked.iter().flat_map(many).map(Row::bytes).collect());
    let offsets = OffsetBuffer::from_lengths(picked.iter().map(|p| many(p).len()));
    let present = picked.iter().map(|p| matches!(p, Picked::Many(_))).collect::<Vec<_>>();
    let field = match &call.output {
        DataType::List(field) => field.clone(),
        _ => Arc::new(Field::new_list_field(values.data_type().clone(), true)),
    };
    Arc::new(ListArray::new(field, offsets, values, Some(present.into())))
}

/// DataFusion's median: the middle value, or the mean of the two middle ones in the type of the argument.
fn median<'a>(call: &Call, picked: &[&'a Picked], decode: impl Fn(Vec<&'a [u8]>) -> ArrayRef) -> ArrayRef {
    let pairs: Vec<(&Row, &Row)> =
        picked.iter().filter_map(|p| if let Picked::Two(a, b) = p { Some((a, b)) } else { None }).collect();
    let low = decode(pairs.iter().map(|p| p.0.bytes()).collect());
    let high = decode(pairs.iter().map(|p| p.1.bytes()).collect());
    let middle: ArrayRef = match low.data_type() {
        DataType::Float64 | DataType::Float32 => {
            let wide = |a: &ArrayRef| cast(a, &DataType::Float64).expect("a widening cast");
            let (low, high) = (wide(&low), wide(&high));
            let (low, high) =
                (low.as_any().downcast_ref::<Float64Array>(), high.as_any().downcast_ref::<Float64Array>());
            let (low, high) = (low.expect("cast to float64"), high.expect("cast to float64"));
            Arc::new(
                (0..low.len())
                    .map(|i| {
                        Some(if low.value(i) == high.value(i) {
                            low.value(i)
                        } else {
                            (low.value(i) + high.value(i)) / 2.0
                        })
                    })
                    .collect::<Float64Array>(),
            )
        }
        t => {
            let wide = |a: &ArrayRef| cast(a, &DataType::Int64).expect("planning allows numbers only");
            let given = t.clone();
            let (low, high) = (wide(&low), wide(&high));
            let (low, high) = (low.as_any().downcast_ref::<Int64Array>(), high.as_any().downcast_ref::<Int64Array>());
            let (low, high) = (low.expect("cast to int64"), high.expect("cast to int64"));
            let means: Int64Array =
                (0..low.len()).map(|i| Some(((low.value(i) as i128 + high.value(i) as i128) / 2) as i64)).collect();
            cast(&means, &given).expect("a mean lies between its two values")
        }
    };
    spread(middle, picked.iter().map(|p| !matches!(p, Picked::Two(..))), &call.output)
}

/// `sum(DISTINCT x)` and `avg(DISTINCT x)`: each value once, added up exactly.
fn distinct_sums<'a>(call: &Call, picked: &[&'a Picked], decode: impl Fn(Vec<&'a [u8]>) -> ArrayRef) -> ArrayRef {
    let many = |p: &&'a Picked| -> &'a [Row] { if let Picked::Many(rows) = p { rows } else { &[] } };
    let values = decode(picked.iter().flat_map(many).map(Row::bytes).collect());
    let groups: Vec<u32> =
        picked.iter().enumerate().flat_map(|(i, p)| std::iter::repeat_n(i as u32, many(p).len())).collect();
    let Some(sum) = Sum::of(call.function, Some(values.data_type())) else {
        return new_null_array(&call.output, picked.len());
    };
    let stride = sum.width();
    let mut words = vec![0; stride * picked.len()];
    let column = cast(&values, &sum.column(values.data_type())).expect("a widening cast");
    let diffs = vec![1; groups.len()];
    let mut target = super::words::Target { words: &mut words, stride, at: 0, groups: &groups, diffs: &diffs };
    super::words::add(sum, Some(&column), |_| true, &mut target);
    words.chunks_mut(stride).for_each(|w| sum.normalise(w));
    sums(call, sum, 0, Words { words: &words, stride })
}
