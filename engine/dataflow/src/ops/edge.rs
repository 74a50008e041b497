//! What a step puts out, in the form in which it has it: columns, or encoded rows. A step that wants the other form
//! gets it; where both want rows, nothing is decoded and encoded again.

use super::{DeltaBuilder, Deltas};
use crate::columns::{Codec, Layout};
use crate::delta::Delta;
use crate::encoded::Encoded;
use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{Field, Schema, SchemaRef};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::Stream;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::operator::Operator;

/// Changes as encoded rows.
pub type Rows<'s> = Stream<'s, u64, Vec<Encoded>>;
pub type RowsBuilder = CapacityContainerBuilder<Vec<Encoded>>;

/// A step's output.
#[derive(Clone)]
pub enum Edge<'s> {
    Columns(Deltas<'s>),
    Rows(RowEdge<'s>),
}

/// Encoded rows, of which the step's columns are some, in some order.
#[derive(Clone)]
pub struct RowEdge<'s> {
    pub rows: Rows<'s>,
    /// The columns of the rows.
    stored: SchemaRef,
    /// Where each of the step's columns is in the rows.
    columns: Vec<usize>,
}

impl<'s> RowEdge<'s> {
    pub fn new(rows: Rows<'s>, stored: SchemaRef, columns: Vec<usize>) -> Self {
        RowEdge { rows, stored, columns }
    }
    /// The same rows, of which other columns are the step's.
    pub fn pick(&self, columns: &[usize]) -> Self {
        RowEdge { columns: self.stored(columns), ..self.clone() }
    }
    /// Where these columns of the step are in the rows.
    pub fn stored(&self, columns: &[usize]) -> Vec<usize> {
        columns.iter().map(|c| self.columns[*c]).collect()
    }
    pub fn layout(&self) -> Layout {
        let layout = Layout::of(self.stored.fields().iter().map(|f| f.data_type()));
        layout.expect("planning refuses columns that cannot be sliced")
    }
    /// The rows in columns.
    pub fn decode(&self, name: &str, schema: SchemaRef) -> Deltas<'s> {
        let fields: Vec<Field> = self.stored.fields().iter().map(|f| f.as_ref().clone().with_nullable(true)).collect();
        let codec = Codec::new(Schema::new(fields).into()).expect("planning refuses columns that cannot be encoded");
        let columns = self.columns.clone();
        self.rows.clone().unary::<DeltaBuilder, _, _, _>(Pipeline, &format!("{name}: decode"), move |_, _| {
            move |input, output| {
                input.for_each_stamp(|capability, data| {
                    let mut session = output.session(&capability);
                    for encoded in data.flat_map(|d| d.drain(..)) {
                        session.give(decoded(encoded, &codec, &columns, &schema));
                    }
                });
            }
        })
    }
}

fn decoded(encoded: Encoded, codec: &Codec, columns: &[usize], schema: &SchemaRef) -> Delta {
    let stored = codec.decode(encoded.rows()).expect("rows were encoded with these columns");
    let columns: Vec<ArrayRef> = columns.iter().map(|c| stored[*c].clone()).collect();
    let options = RecordBatchOptions::new().with_row_count(Some(encoded.len()));
    let rows = RecordBatch::try_new_with_options(schema.clone(), columns, &options);
    Delta::new(rows.expect("the columns have the step's types"), encoded.times, encoded.diffs)
}
