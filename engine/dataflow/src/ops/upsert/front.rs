//! The first of the newest rows, by an order: what a step that takes the first rows of all needs to see of an upsert.
//!
//! Only a reserve of the first rows stands in order. Most changes lie behind it and cost one comparison; when removals
//! have used it up, it is filled again from the rows that the upsert holds anyway.

use super::Newest;
use crate::columns::{Layout, Width};
use crate::encoded::Encoded;
use crate::row::Row;
use arrow::datatypes::DataType;
use std::collections::{BTreeMap, BinaryHeap};

/// Rows that are kept in order at least, and twice as many at most.
const RESERVE: usize = 1024;

/// Which rows are first: the order by columns of the step, and how many of them are wanted.
#[derive(Clone, Debug)]
pub struct FrontPlan {
    pub order: Vec<FrontOrder>,
    pub wanted: usize,
}

/// One column of an order.
#[derive(Clone, Copy, Debug)]
pub struct FrontOrder {
    pub column: usize,
    pub descending: bool,
    pub nulls_first: bool,
}

/// Whether encoded rows can be put in order by a column of this type.
pub fn orders(t: &DataType) -> bool {
    matches!(Width::of(t), Some(Width::Fixed(_) | Width::Variable))
}

/// The first rows of one worker.
pub struct Front {
    order: Vec<FrontOrder>,
    wanted: usize,
    size: usize,
    layout: Layout,
    key: usize,
    /// By rank; a rank ends with the key, so no two rows share one.
    reserve: BTreeMap<Row, Row>,
    /// The last rank that the reserve would hold; `None`: it holds all rows.
    floor: Option<Row>,
    told: Vec<(Row, Row)>,
    changed: bool,
    rank: Vec<u8>,
}

impl Front {
    /// `stored` says where the columns of the step are in the rows, the first `key` columns of which are the key.
    pub fn new(plan: &FrontPlan, stored: &[usize], key: usize, layout: Layout) -> Self {
        let order = plan.order.iter().map(|o| FrontOrder { column: stored[o.column], ..*o }).collect();
        Front {
            order,
            wanted: plan.wanted,
            size: RESERVE.max(2 * plan.wanted),
            layout,
            key,
            reserve: BTreeMap::new(),
            floor: None,
            told: vec![],
            changed: false,
            rank: vec![],
        }
    }
    pub fn bytes(&self) -> usize {
        (self.reserve.len() + self.told.len()) * 2 * size_of::<Row>()
    }
    /// A row has come or gone.
    #[inline]
    pub fn change(&mut self, row: &[u8], diff: i64) {
        let mut rank = std::mem::take(&mut self.rank);
        write_rank(row, &self.order, self.key, &self.layout, &mut rank);
        if self.floor.as_ref().is_none_or(|floor| is_within(&rank, floor.bytes())) {
            self.change_reserve(&rank, row, diff);
        }
        self.rank = rank;
    }
    fn change_reserve(&mut self, rank: &[u8], row: &[u8], diff: i64) {
        let rank = Row::new(rank);
        self.changed |= self.told.len() < self.wanted || self.told.last().is_some_and(|(last, _)| rank <= *last);
        if diff < 0 {
            self.reserve.remove(&rank);
            return;
        }
        self.reserve.insert(rank, Row::new(row));
        if self.reserve.len() > 2 * self.size {
            while self.reserve.len() > self.size {
                self.reserve.pop_last();
            }
            self.floor = self.reserve.last_key_value().map(|(rank, _)| rank.clone());
        }
    }
    /// The time is over: tells how the first rows differ from those last told.
    pub fn tell(&mut self, newest: &Newest, time: u64, out: &mut Encoded) {
        if !std::mem::take(&mut self.changed) {
            return;
        }
        if self.reserve.len() < self.wanted && self.floor.is_some() {
            self.refill(newest);
        }
        let first = self.reserve.iter().take(self.wanted);
        let now: Vec<(Row, Row)> = first.map(|(rank, row)| (rank.clone(), row.clone())).collect();
        // Both lists are in order, and a rank stands in each of them once.
        for (_, row) in self.told.iter().filter(|old| now.binary_search(old).is_err()) {
            out.push(row.bytes(), time, -1);
        }
        for (_, row) in now.iter().filter(|new| self.told.binary_search(new).is_err()) {
            out.push(row.bytes(), time, 1);
        }
        self.told = now;
    }
    /// Finds the first rows among all.
    fn refill(&mut self, newest: &Newest) {
        let mut first: BinaryHeap<(Row, Row)> = BinaryHeap::with_capacity(self.size + 1);
        for row in newest.rows() {
            write_rank(row.bytes(), &self.order, self.key, &self.layout, &mut self.rank);
            if first.len() == self.size && first.peek().is_some_and(|(last, _)| self.rank.as_slice() > last.bytes()) {
                continue;
            }
            first.push((Row::new(&self.rank), row.clone()));
            if first.len() > self.size {
                first.pop();
            }
        }
        let all = first.len() < self.size;
        self.reserve = first.into_iter().collect();
        self.floor = if all { None } else { self.reserve.last_key_value().map(|(rank, _)| rank.clone()) };
    }
}

/// Whether a rank does not lie behind the last one; most do, and show it in their first bytes.
#[inline]
fn is_within(rank: &[u8], last: &[u8]) -> bool {
    match (rank.first_chunk::<8>(), last.first_chunk::<8>()) {
        (Some(a), Some(b)) if a != b => u64::from_be_bytes(*a) < u64::from_be_bytes(*b),
        _ => rank <= last,
    }
}

/// Bytes that stand in the order of the rows: the columns of the order, then the key.
#[inline]
fn write_rank(row: &[u8], order: &[FrontOrder], key: usize, layout: &Layout, rank: &mut Vec<u8>) {
    rank.clear();
    for o in order {
        let bytes = layout.column(row, o.column);
        let Some((tag, value)) = bytes.split_first() else { continue };
        if *tag == 0 {
            rank.push(if o.nulls_first { 0 } else { 0xff });
            rank.extend_from_slice(value);
        } else if !o.descending {
            rank.extend_from_slice(bytes);
        } else {
            // Tags of values turn with their order but stay between those of nulls.
            rank.push(!*tag);
            let start = rank.len();
            rank.extend_from_slice(value);
            rank[start..].iter_mut().for_each(|b| *b = !*b);
        }
    }
    rank.extend_from_slice(&row[..layout.start(row, key)]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::columns::Codec;
    use arrow::array::{ArrayRef, Float64Array, Int64Array, StringArray};
    use arrow::datatypes::{Field, Schema};
    use hashbrown::HashTable;
    use proptest::prelude::*;
    use std::collections::HashMap;
    use std::sync::Arc;

    fn schema() -> Schema {
        Schema::new(vec![
            Field::new("key", DataType::Int64, true),
            Field::new("text", DataType::Utf8, true),
            Field::new("number", DataType::Float64, true),
        ])
    }

    fn encode(key: i64, text: Option<&str>, number: Option<f64>) -> Row {
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from(vec![key])),
            Arc::new(StringArray::from(vec![text])),
            Arc::new(Float64Array::from(vec![number])),
        ];
        Codec::new(schema().into()).unwrap().encode(&columns, 1).unwrap().remove(0)
    }

    type Values = (Option<String>, Option<f64>);

    /// The order as SQL has it, over values.
    fn compare(a: &(i64, Values), b: &(i64, Values), order: &[FrontOrder]) -> std::cmp::Ordering {
        fn one<T: PartialOrd>(a: &Option<T>, b: &Option<T>, o: &FrontOrder) -> std::cmp::Ordering {
            use std::cmp::Ordering::*;
            match (a, b) {
                (None, None) => Equal,
                (None, Some(_)) => {
                    if o.nulls_first {
                        Less
                    } else {
                        Greater
                    }
                }
                (Some(_), None) => {
                    if o.nulls_first {
                        Greater
                    } else {
                        Less
                    }
                }
                (Some(a), Some(b)) => {
                    let c = a.partial_cmp(b).unwrap();
                    if o.descending { c.reverse() } else { c }
                }
            }
        }
        order
            .iter()
            .map(|o| if o.column == 1 { one(&a.1.0, &b.1.0, o) } else { one(&a.1.1, &b.1.1, o) })
            .fold(std::cmp::Ordering::Equal, |x, y| x.then(y))
            .then(a.0.cmp(&b.0))
    }

    proptest! {
        #[test]
        fn what_is_told_adds_up_to_the_first_rows(
            changes in proptest::collection::vec((0i64..40, proptest::option::of((proptest::option::of("[a-c]{0,12}"), proptest::option::of(-3i32..3)))), 1..300),
            every in 1usize..9, wanted in 1usize..5, size in 5usize..9,
            order in proptest::collection::vec((1usize..3, any::<bool>(), any::<bool>()), 1..3),
        ) {
            let order: Vec<FrontOrder> = order.into_iter().map(|(column, descending, nulls_first)| FrontOrder { column, descending, nulls_first }).collect();
            let layout = Layout::of(schema().fields().iter().map(|f| f.data_type())).unwrap();
            let mut newest = Newest { table: HashTable::new(), layout: layout.clone(), key: 1, heap: 0 };
            let mut front = Front::new(&FrontPlan { order: order.clone(), wanted }, &[0, 1, 2], 1, layout);
            front.size = size;
            let mut model: HashMap<i64, Values> = HashMap::new();
            let mut told: BTreeMap<Vec<u8>, i64> = BTreeMap::new();
            for (i, (key, values)) in changes.into_iter().enumerate() {
                let row = match &values {
                    Some((text, number)) => encode(key, text.as_deref(), number.map(f64::from)),
                    None => encode(key, None, None),
                };
                let place = newest.hash(row.bytes());
                newest.set(row.bytes(), place, values.is_some(), |row, diff| front.change(row, diff));
                match values {
                    Some((text, number)) => { model.insert(key, (text, number.map(f64::from))); }
                    None => { model.remove(&key); }
                }
                if i % every != 0 { continue; }
                let mut out = Encoded::default();
                front.tell(&newest, i as u64, &mut out);
                for (j, row) in out.rows().enumerate() { *told.entry(row.to_vec()).or_default() += out.diffs[j]; }
                told.retain(|_, n| *n != 0);
                let mut rows: Vec<(i64, Values)> = model.clone().into_iter().collect();
                rows.sort_by(|a, b| compare(a, b, &order));
                let expected: BTreeMap<Vec<u8>, i64> =
                    rows.into_iter().take(wanted).map(|(k, (t, n))| (encode(k, t.as_deref(), n).bytes().to_vec(), 1)).collect();
                prop_assert_eq!(&told, &expected);
            }
        }
    }
}
