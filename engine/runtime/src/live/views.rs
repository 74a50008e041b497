//! The content of streams, held for those who ask: taps, live SQL, and a reload that must tell sinks only what differs.

use arrow::array::ArrayRef;
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use jarvis_dataflow::Delta;
use jarvis_dataflow::columns::Codec;
use jarvis_dataflow::row::Row;
use std::collections::{BTreeMap, HashSet};

/// A stream's rows as a multiset.
pub struct View {
    codec: Codec,
    rows: BTreeMap<Row, i64>,
}

impl View {
    pub fn new(schema: SchemaRef) -> Self {
        View {
            codec: Codec::new(schema).expect("planning refuses columns that cannot be encoded"),
            rows: BTreeMap::new(),
        }
    }
    pub fn schema(&self) -> &SchemaRef {
        self.codec.schema()
    }
    pub fn apply(&mut self, rows: &RecordBatch, diffs: &[i64]) {
        let encoded = self.codec.encode(rows.columns(), rows.num_rows()).expect("rows have the stream's schema");
        for (row, diff) in encoded.into_iter().zip(diffs) {
            use std::collections::btree_map::Entry;
            match self.rows.entry(row) {
                Entry::Vacant(e) => {
                    e.insert(*diff);
                }
                Entry::Occupied(mut e) => {
                    *e.get_mut() += diff;
                    if *e.get() == 0 {
                        e.remove();
                    }
                }
            }
        }
    }
    /// All rows, n copies n times.
    pub fn content(&self) -> RecordBatch {
        let rows: Vec<&[u8]> = self
            .rows
            .iter()
            .filter(|(_, n)| **n > 0)
            .flat_map(|(r, n)| std::iter::repeat_n(r.bytes(), *n as usize))
            .collect();
        let n = rows.len();
        self.codec.decode_batch(rows.into_iter(), n).expect("rows were encoded by this codec")
    }
    /// Those of its rows that agree with a row of `other` in the columns `about`, or where none are named in all that both have.
    /// None do if one of these is missing, or of another type.
    pub fn agreeing(&self, other: &View, about: &[String]) -> View {
        let mut agreeing = View::new(self.schema().clone());
        let (own, others) = (self.schema().clone(), other.schema());
        let place = |name: &str| {
            let (here, there) = (own.index_of(name).ok()?, others.index_of(name).ok()?);
            (own.field(here).data_type() == others.field(there).data_type()).then_some((here, there))
        };
        let named: Option<Vec<(usize, usize)>> = match about {
            [] => Some(own.fields().iter().filter_map(|field| place(field.name())).collect()),
            about => about.iter().map(|name| place(name)).collect(),
        };
        let Some((here, there)) = named.filter(|named| !named.is_empty()).map(pairs) else {
            return agreeing;
        };
        let stood: HashSet<Row> = other.content_of(&there).1.into_iter().collect();
        let (rows, said) = self.content_of(&here);
        let diffs: Vec<i64> = said.iter().map(|said| i64::from(stood.contains(said))).collect();
        agreeing.apply(&rows, &diffs);
        agreeing.rows.retain(|_, count| *count != 0);
        agreeing
    }
    /// All rows, and what each says in some columns.
    fn content_of(&self, columns: &[usize]) -> (RecordBatch, Vec<Row>) {
        let rows = self.content();
        let codec = Codec::of(self.schema(), columns).expect("planning refuses columns that cannot be encoded");
        let picked: Vec<ArrayRef> = columns.iter().map(|column| rows.column(*column).clone()).collect();
        let said = codec.encode(&picked, rows.num_rows()).expect("rows have the stream's schema");
        (rows, said)
    }
    /// The changes that turn `self` into `new`, at `time`; retractions first. `None` if there are none.
    pub fn changes_to(&self, new: &View, time: u64) -> Option<Delta> {
        let mut changes: Vec<(Row, i64)> = self
            .rows
            .iter()
            .map(|(r, n)| (r.clone(), -n))
            .chain(new.rows.iter().map(|(r, n)| (r.clone(), *n)))
            .collect();
        changes.sort_unstable();
        let mut merged: Vec<(Row, i64)> = vec![];
        for (row, n) in changes {
            match merged.last_mut() {
                Some((last, sum)) if *last == row => *sum += n,
                _ => merged.push((row, n)),
            }
        }
        merged.retain(|(_, n)| *n != 0);
        merged.sort_by_key(|(_, n)| *n > 0);
        if merged.is_empty() {
            return None;
        }
        let n = merged.len();
        let rows =
            self.codec.decode_batch(merged.iter().map(|(r, _)| r.bytes()), n).expect("rows were encoded by this codec");
        Some(Delta::new(rows, vec![time; n], merged.into_iter().map(|(_, d)| d).collect()))
    }
}

fn pairs(list: Vec<(usize, usize)>) -> (Vec<usize>, Vec<usize>) {
    list.into_iter().unzip()
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::Int64Array;
    use arrow::datatypes::{DataType, Field, Schema};
    use proptest::prelude::*;
    use std::collections::BTreeSet;
    use std::sync::Arc;

    fn view(columns: &[&str], rows: &[Vec<i64>]) -> View {
        let fields: Vec<Field> = columns.iter().map(|name| Field::new(*name, DataType::Int64, true)).collect();
        let mut view = View::new(Arc::new(Schema::new(fields)));
        let column = |at: usize| Arc::new(rows.iter().map(|row| row[at]).collect::<Int64Array>()) as ArrayRef;
        let rows = RecordBatch::try_new(view.schema().clone(), (0..columns.len()).map(column).collect());
        let rows = rows.expect("the columns are those of the schema");
        view.apply(&rows, &vec![1; rows.num_rows()]);
        view
    }

    fn rows(view: &View) -> Vec<Vec<i64>> {
        let content = view.content();
        let column = |at: usize| {
            let column = content.column(at).as_any().downcast_ref::<Int64Array>();
            column.expect("a column of numbers").values().to_vec()
        };
        let columns: Vec<Vec<i64>> = (0..content.num_columns()).map(column).collect();
        (0..content.num_rows()).map(|row| columns.iter().map(|column| column[row]).collect()).collect()
    }

    fn some(width: usize) -> impl Strategy<Value = Vec<Vec<i64>>> {
        proptest::collection::vec(proptest::collection::vec(0_i64..3, width), 0..12)
    }

    proptest! {
        #[test]
        fn rows_agree_that_say_the_same_in_what_both_have(before in some(2), mut now in some(3)) {
            let old = view(&["a", "b"], &before);
            let new = view(&["b", "more", "a"], &now);
            let stood: BTreeSet<(i64, i64)> = before.iter().map(|row| (row[0], row[1])).collect();
            now.sort();
            let expected: Vec<Vec<i64>> = now.iter().filter(|r| stood.contains(&(r[2], r[0]))).cloned().collect();
            prop_assert_eq!(rows(&new.agreeing(&old, &[])), expected);
            let about: BTreeSet<i64> = before.iter().map(|row| row[0]).collect();
            let expected: Vec<Vec<i64>> = now.iter().filter(|r| about.contains(&r[2])).cloned().collect();
            prop_assert_eq!(rows(&new.agreeing(&old, &["a".to_owned()])), expected);
        }
    }

    #[test]
    fn nothing_agrees_in_what_only_one_has() {
        let (old, new) = (view(&["a"], &[vec![1]]), view(&["a", "b"], &[vec![1, 2]]));
        assert!(rows(&new.agreeing(&old, &["b".to_owned()])).is_empty());
        assert!(rows(&new.agreeing(&view(&["c"], &[vec![1]]), &[])).is_empty());
        assert_eq!(rows(&new.agreeing(&old, &[])), [[1, 2]]);
    }
}
