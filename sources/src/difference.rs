//! A small table as it was told last, and what changes when it is read again.

use arrow::array::{Array, RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow::row::{RowConverter, SortField};
use jarvis_runtime::arrival::Decoded;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

/// A row, or a key, as bytes that compare like it (`arrow-row`). They live as long as this process.
type RowBytes = Box<[u8]>;

/// What the stream holds.
pub(crate) struct Told {
    schema: SchemaRef,
    key: Vec<usize>,
    rows: RowConverter,
    keys: RowConverter,
    contents: Contents,
}

#[derive(Debug, PartialEq, Eq)]
enum Contents {
    /// In a stream with a key: the row of each key.
    Upserts(BTreeMap<RowBytes, RowBytes>),
    /// In one without: how often each row is there.
    Multiset(BTreeMap<RowBytes, i64>),
}

impl Contents {
    fn new(keyed: bool) -> Self {
        if keyed { Self::Upserts(BTreeMap::new()) } else { Self::Multiset(BTreeMap::new()) }
    }
}

impl Told {
    /// Nothing told yet.
    ///
    /// # Errors
    /// A column of a type that has no order, which no type of the language is.
    pub fn new(schema: SchemaRef, key: Vec<usize>) -> Result<Self, ArrowError> {
        let field = |index: usize| SortField::new(schema.field(index).data_type().clone());
        Ok(Self {
            rows: RowConverter::new((0..schema.fields().len()).map(field).collect())?,
            keys: RowConverter::new(key.iter().map(|index| field(*index)).collect())?,
            contents: Contents::new(!key.is_empty()),
            schema,
            key,
        })
    }

    /// Takes what the table holds now and returns what changed: retractions and removals first. Errors in the input
    /// are not looked at.
    ///
    /// # Errors
    /// Only if the batches do not have the table's columns.
    pub fn replace(&mut self, now: &[Decoded]) -> Result<Decoded, ArrowError> {
        let mut contents = Contents::new(!self.key.is_empty());
        for decoded in now {
            self.add(&mut contents, decoded)?;
        }
        let changes = match (&self.contents, &contents) {
            (Contents::Upserts(old), Contents::Upserts(new)) => {
                let gone = old.iter().filter(|(key, _)| !new.contains_key(*key)).map(|(_, row)| (row, -1));
                let come = new.iter().filter(|(key, row)| old.get(*key) != Some(*row)).map(|(_, row)| (row, 1));
                gone.chain(come).collect::<Vec<_>>()
            }
            (Contents::Multiset(old), Contents::Multiset(new)) => {
                let gone = old.iter().filter(|(row, _)| !new.contains_key(*row)).map(|(row, n)| (row, -n));
                let now = new.iter().map(|(row, n)| (row, n - old.get(row).copied().unwrap_or(0)));
                let mut changes: Vec<_> = gone.chain(now).filter(|(_, n)| *n != 0).collect();
                changes.sort_by_key(|(row, n)| (*n > 0, *row));
                changes
            }
            _ => unreachable!("one table has one kind of contents"),
        };
        let decoded = self.decoded(&changes)?;
        self.contents = contents;
        Ok(decoded)
    }

    fn add(&self, contents: &mut Contents, decoded: &Decoded) -> Result<(), ArrowError> {
        let columns = decoded.rows.columns();
        let rows = self.rows.convert_columns(columns)?;
        let weight = |row: usize| decoded.weights.as_ref().map_or(1, |weights| weights[row]);
        match contents {
            Contents::Upserts(upserts) => {
                let key_columns: Vec<_> = self.key.iter().map(|index| columns[*index].clone()).collect();
                let keys = self.keys.convert_columns(&key_columns)?;
                for row in 0..decoded.rows.num_rows() {
                    let key = keys.row(row).data().into();
                    if weight(row) > 0 {
                        upserts.insert(key, rows.row(row).data().into());
                    } else {
                        upserts.remove(&key);
                    }
                }
            }
            Contents::Multiset(counts) => {
                for row in 0..decoded.rows.num_rows() {
                    match counts.entry(rows.row(row).data().into()) {
                        Entry::Vacant(entry) => {
                            entry.insert(weight(row));
                        }
                        Entry::Occupied(mut entry) => {
                            *entry.get_mut() += weight(row);
                            if *entry.get() == 0 {
                                entry.remove();
                            }
                        }
                    }
                }
            }
        }
        Ok(())
    }

    fn decoded(&self, changes: &[(&RowBytes, i64)]) -> Result<Decoded, ArrowError> {
        let parser = self.rows.parser();
        let columns = self.rows.convert_rows(changes.iter().map(|(row, _)| parser.parse(row)))?;
        let options = RecordBatchOptions::new().with_row_count(Some(changes.len()));
        let rows = RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)?;
        let weights: Vec<i64> = changes.iter().map(|(_, weight)| *weight).collect();
        let bytes = rows.columns().iter().map(|column| column.get_array_memory_size() as u64).sum();
        Ok(Decoded { rows, weights: weights.iter().any(|w| *w != 1).then_some(weights), errors: Vec::new(), bytes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{AsArray, Int64Array, StringArray};
    use arrow::datatypes::{DataType, Field, Int64Type, Schema};
    use proptest::prelude::*;
    use std::sync::Arc;

    type Row = (String, Option<i64>);

    fn schema() -> SchemaRef {
        Arc::new(Schema::new(vec![Field::new("k", DataType::Utf8, false), Field::new("v", DataType::Int64, true)]))
    }

    fn batch(rows: &[(Row, i64)]) -> Decoded {
        let keys = StringArray::from_iter_values(rows.iter().map(|((k, _), _)| k));
        let values = rows.iter().map(|((_, v), _)| *v).collect::<Int64Array>();
        let rows_ = RecordBatch::try_new(schema(), vec![Arc::new(keys), Arc::new(values)]).expect("a batch");
        Decoded { rows: rows_, weights: Some(rows.iter().map(|(_, w)| *w).collect()), errors: Vec::new(), bytes: 0 }
    }

    /// What somebody holds who follows the changes.
    fn follow(held: &mut BTreeMap<Row, i64>, changes: &Decoded, keyed: bool) {
        for row in 0..changes.rows.num_rows() {
            let key = changes.rows.column(0).as_string::<i32>().value(row).to_owned();
            let value = changes.rows.column(1).as_primitive::<Int64Type>();
            let value = value.is_valid(row).then(|| value.value(row));
            let weight = changes.weights.as_ref().map_or(1, |w| w[row]);
            if keyed {
                held.retain(|(k, _), _| *k != key);
            }
            if !keyed || weight > 0 {
                *held.entry((key, value)).or_default() += weight;
            }
        }
        held.retain(|_, weight| *weight != 0);
    }

    fn rows() -> impl Strategy<Value = Vec<(Row, i64)>> {
        prop::collection::vec((("[abc]", prop::option::of(0_i64..3)), prop_oneof![3 => Just(1), 1 => Just(-1)]), 0..10)
    }

    proptest! {
        #[test]
        fn whoever_follows_the_changes_holds_the_table(tables in prop::collection::vec(rows(), 1..6), keyed in any::<bool>()) {
            let key = if keyed { vec![0] } else { vec![] };
            let mut told = Told::new(schema(), key).expect("a table");
            let mut held = BTreeMap::new();
            for rows in tables {
                let (first, second) = rows.split_at(rows.len() / 2);
                let changes = told.replace(&[batch(first), batch(second)]).expect("changes");
                follow(&mut held, &changes, keyed);
                let mut expected = BTreeMap::new();
                follow(&mut expected, &batch(&rows), keyed);
                prop_assert_eq!(&held, &expected);
                let again = told.replace(&[batch(&rows)]).expect("changes");
                prop_assert_eq!(again.rows.num_rows(), 0);
            }
        }
    }
}
