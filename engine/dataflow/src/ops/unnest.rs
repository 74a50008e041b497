//! One row per element of a list.

use super::{DeltaBuilder, Deltas};
use crate::delta::Delta;
use arrow::array::{Array, ArrayRef, AsArray, UInt64Array};
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::operator::Operator;

/// The elements of `column`, each beside the other columns of its row; null and empty lists give nothing.
pub fn explode(delta: &Delta, column: usize, schema: &SchemaRef) -> Result<Delta, ArrowError> {
    let list: ArrayRef =
        arrow::compute::cast(delta.rows.column(column), &list_type(delta.rows.column(column).data_type()))?;
    let list = list.as_list::<i32>();
    let (mut rows, mut elements) = (vec![], vec![]);
    for row in (0..list.len()).filter(|r| list.is_valid(*r)) {
        let (start, end) = (list.value_offsets()[row], list.value_offsets()[row + 1]);
        rows.extend((start..end).map(|_| row));
        elements.extend((start..end).map(|e| e as u64));
    }
    let values = arrow::compute::take(list.values(), &UInt64Array::from(elements), None)?;
    let repeated = delta.take(&rows)?;
    let mut columns = repeated.rows.columns().to_vec();
    columns[column] = values;
    repeated.with_columns(schema.clone(), columns)
}

fn list_type(given: &arrow::datatypes::DataType) -> arrow::datatypes::DataType {
    use arrow::datatypes::DataType::*;
    match given {
        LargeList(f) | FixedSizeList(f, _) => List(f.clone()),
        other => other.clone(),
    }
}

/// Renders an unnest.
pub fn unnest<'s>(input: Deltas<'s>, name: &str, column: usize, schema: SchemaRef) -> Deltas<'s> {
    input.unary::<DeltaBuilder, _, _, _>(Pipeline, name, move |_, _| {
        move |input, output| {
            input.for_each_stamp(|capability, data| {
                let mut session = output.session(&capability);
                for delta in data.flat_map(|d| d.drain(..)) {
                    let out = explode(&delta, column, &schema).expect("planning allows lists only");
                    if !out.is_empty() {
                        session.give(out);
                    }
                }
            });
        }
    })
}
