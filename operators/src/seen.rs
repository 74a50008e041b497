//! What operators have in common that follow cameras: how well one sees, and which events a row rests on that names its
//! frames.

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::TimestampMicrosecondType;

/// How well a camera sees.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Health {
    #[default]
    Live,
    /// The same picture again and again.
    Frozen,
    Black,
    Dark,
    Gone,
}

impl Health {
    const ALL: [Health; 5] = [Health::Live, Health::Frozen, Health::Black, Health::Dark, Health::Gone];

    /// # Errors
    /// The word is none of those that cameras are told of by.
    pub fn parse(word: &str) -> Result<Self, String> {
        Health::ALL.into_iter().find(|health| health.name() == word).ok_or_else(|| {
            let known = Health::ALL.map(Health::name).join(", ");
            format!("{word:?} is no state of a camera: {known}")
        })
    }

    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Health::Live => "live",
            Health::Frozen => "frozen",
            Health::Black => "black",
            Health::Dark => "dark",
            Health::Gone => "gone",
        }
    }
}

/// The events that a row rests on which names its frames in a column `frames`, by their places. Of a stream of frames they
/// are those that the row names; of another one the newest. `frame` and `time` are the columns of `events` with the hash of a
/// frame, and with the event time.
pub fn rests_on(row: &RecordBatch, events: &RecordBatch, frame: Option<usize>, time: Option<usize>) -> Vec<usize> {
    if let Some(frame) = frame {
        let named = row.column_by_name("frames").and_then(|frames| frames.as_list_opt::<i32>());
        let named = named.filter(|frames| frames.is_valid(0)).map(|frames| frames.value(0));
        let named = named.as_ref().and_then(|frames| frames.as_string_opt::<i32>());
        let Some(frames) = events.column(frame).as_string_opt::<i32>() else { return vec![] };
        let is_named = |frame: &str| named.is_some_and(|named| named.iter().flatten().any(|n| n == frame));
        return (0..frames.len()).filter(|r| frames.is_valid(*r) && is_named(frames.value(*r))).collect();
    }
    let times = time.and_then(|column| events.column(column).as_primitive_opt::<TimestampMicrosecondType>());
    let newest = times.and_then(|times| (0..times.len()).max_by_key(|r| (times.is_valid(*r), times.value(*r))));
    newest.into_iter().collect()
}
