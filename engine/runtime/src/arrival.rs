//! Rows on their way in.

use arrow::array::BooleanArray;
use arrow::compute::filter_record_batch;
use arrow::record_batch::RecordBatch;

/// Rows that a source decoded, and the ones that it could not.
#[derive(Clone, Debug)]
pub struct Decoded {
    /// Columns as declared in the YAML, in that order.
    pub rows: RecordBatch,
    /// One weight per row; `None` = every row is +1. In a stream with a key, +1 is an upsert and −1 removes the
    /// key (the other columns are then not read and may hold any placeholder).
    pub weights: Option<Vec<i64>>,
    pub errors: Vec<RowError>,
    /// Bytes read from the outside, for the metrics.
    pub bytes: u64,
}

impl Decoded {
    /// Turns removals into errors. A row that counts from its arrival for some time has a moment of its own at which it
    /// leaves; what takes it back would have another one.
    pub fn refuse_removals(&mut self) {
        let Some(weights) = self.weights.take_if(|w| w.iter().any(|w| *w < 0)) else { return };
        let message = "a row is taken back in a stream that counts rows from their arrival: declare `time`, a `key`, or \
                       `retain: forever`";
        for row in (0..weights.len()).filter(|i| weights[*i] < 0) {
            let input = jarvis_dataflow::ops::map::describe(&self.rows, row);
            self.errors.push(RowError { code: "cannot_take_back", message: message.into(), input });
        }
        let keep: BooleanArray = weights.iter().map(|w| Some(*w > 0)).collect();
        self.rows = filter_record_batch(&self.rows, &keep).expect("the mask is as long as the batch");
        self.weights = Some(weights.into_iter().filter(|w| *w > 0).collect());
    }
}

/// A row that could not be decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowError {
    /// A stable name: `json_syntax`, `wrong_type`, `missing_field`, `invalid_utf8`, `too_large`, `not_finite`, `out_of_range`, ...
    pub code: &'static str,
    /// What happened to which field, and what was expected.
    pub message: String,
    /// The input as it came, at most 1 KiB of it, lossily as text.
    pub input: String,
}

/// What a live source hands over at once.
pub struct Arrival {
    pub decoded: Decoded,
    /// What the source must know of it after a restart.
    pub note: Option<Note>,
    /// Called once the tick that holds these rows is safe: the moment to acknowledge.
    pub on_safe: Option<Box<dyn FnOnce() + Send>>,
}

impl Arrival {
    /// Rows that nobody waits for.
    pub fn new(decoded: Decoded) -> Self {
        Arrival { decoded, note: None, on_safe: None }
    }
}

/// What a source remembers of things that it has handed over and not yet confirmed to the outside. The log keeps it until
/// they are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Note {
    /// The number of the first of these things; a source numbers all that it receives.
    pub first: u64,
    pub count: u64,
    /// All things with a lower number have been confirmed.
    pub done: u64,
    /// The source's own words.
    pub words: Vec<u8>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::Int64Array;
    use std::sync::Arc;

    #[test]
    fn removals_become_errors_and_the_rest_stays() {
        let rows = RecordBatch::try_from_iter([("n", Arc::new(Int64Array::from(vec![1, 2, 3])) as _)]);
        let rows = rows.expect("one column");
        let mut decoded = Decoded { rows: rows.clone(), weights: Some(vec![1, -1, 2]), errors: vec![], bytes: 0 };
        decoded.refuse_removals();
        assert_eq!((decoded.rows.num_rows(), decoded.weights), (2, Some(vec![1, 2])));
        assert_eq!(decoded.errors.len(), 1);
        assert_eq!((decoded.errors[0].code, decoded.errors[0].input.as_str()), ("cannot_take_back", "{n: 2}"));
        let mut plain = Decoded { rows, weights: None, errors: vec![], bytes: 0 };
        plain.refuse_removals();
        assert_eq!((plain.rows.num_rows(), plain.errors.len()), (3, 0));
    }
}
