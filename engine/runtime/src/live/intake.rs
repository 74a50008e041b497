//! From arrivals to the rows of a tick.

use crate::arrival::{Arrival, RowError};
use crate::cluster::Rows;
use arrow::array::{Array, AsArray, BooleanArray};
use arrow::datatypes::TimestampMicrosecondType;
use jarvis_dataflow::Delta;
use std::time::Duration;

/// How far ahead of the clock an event may be: a row with a wrong clock would otherwise count for very long.
const FUTURE: Duration = Duration::from_secs(3600);

/// What an input checks before rows enter.
#[derive(Clone, Debug)]
pub struct Gate {
    pub input: usize,
    pub time: Option<usize>,
    pub lateness: Option<Duration>,
    pub keyed: bool,
    /// Rows count from their arrival.
    pub stamps_arrival: bool,
}

/// Rows that go in, and rows that do not.
pub struct Taken {
    pub rows: Option<Rows>,
    pub errors: Vec<RowError>,
    /// µs of the newest event.
    pub newest: Option<i64>,
}

impl Gate {
    /// Gives an arrival the tick's time; `place` counts the rows of the source.
    pub fn take(&self, arrival: &mut Arrival, now: u64, place: &mut u64) -> Taken {
        let decoded = &mut arrival.decoded;
        if self.stamps_arrival && !self.keyed {
            decoded.refuse_removals();
        }
        let mut errors = std::mem::take(&mut decoded.errors);
        let n = decoded.rows.num_rows();
        let diffs = decoded.weights.take().unwrap_or_else(|| vec![1; n]);
        let mut delta = Delta::new(decoded.rows.clone(), vec![now; n], diffs);
        let newest = self.check_times(&mut delta, now, &mut errors);
        let first = *place;
        *place += delta.len() as u64;
        let rows = (!delta.is_empty()).then_some(Rows { input: self.input, delta, place: first });
        Taken { rows, errors, newest }
    }
    fn check_times(&self, delta: &mut Delta, now: u64, errors: &mut Vec<RowError>) -> Option<i64> {
        let column = self.time?;
        let at = delta.rows.column(column).as_primitive::<TimestampMicrosecondType>().clone();
        let earliest = self.lateness.map_or(i64::MIN, |l| now as i64 - l.as_micros() as i64);
        let latest = now as i64 + FUTURE.as_micros() as i64;
        let fault = |i: usize| {
            // Removing a key needs no event time.
            if self.keyed && delta.diffs[i] < 0 {
                return None;
            }
            if at.is_null(i) || at.value(i) < 0 {
                return Some(("no_event_time", "the event time is missing or lies before 1970".to_string()));
            }
            if at.value(i) < earliest {
                return Some((
                    "late",
                    format!(
                        "the row is {:?} old, which is more than the stream's lateness",
                        Duration::from_micros((now as i64 - at.value(i)) as u64)
                    ),
                ));
            }
            (at.value(i) > latest)
                .then(|| ("future", format!("the event time is more than {FUTURE:?} ahead of the clock")))
        };
        let faults: Vec<Option<(&'static str, String)>> = (0..delta.len()).map(fault).collect();
        let keep: BooleanArray = faults.iter().map(|f| Some(f.is_none())).collect();
        for (i, fault) in faults.into_iter().enumerate() {
            if let Some((code, message)) = fault {
                errors.push(RowError { code, message, input: jarvis_dataflow::ops::map::describe(&delta.rows, i) });
            }
        }
        if keep.true_count() < delta.len() {
            *delta = delta.filter(&keep).expect("the mask is as long as the batch");
        }
        delta.rows.column(column).as_primitive::<TimestampMicrosecondType>().iter().flatten().max()
    }
}
