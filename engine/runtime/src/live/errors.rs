//! `system.errors`: what sources could not read and steps could not compute, as a stream that stays small.
//!
//! A step takes an error back when the row that failed is taken back, but often that never happens: retention is
//! applied behind projections, and a row that fails in one goes no further; a late row is dropped for good. So every
//! error leaves after an hour, or when there are too many newer ones. A retraction that comes after that finds nothing,
//! and says nothing.

use super::views::View;
use arrow::array::{ArrayRef, StringArray};
use arrow::record_batch::RecordBatch;
use jarvis_dataflow::{Delta, StepError};
use jarvis_plan::compile::errors_schema;
use std::borrow::Borrow;
use std::collections::{BTreeMap, BTreeSet, HashMap, btree_map::Entry};
use std::sync::Arc;
use std::time::Duration;

/// How long an error stays.
pub(super) const KEPT: Duration = Duration::from_secs(3600);
/// How many of them stay: a device that sends nothing but nonsense must not fill the memory.
const MOST: usize = 100_000;

/// (stream, code, message, input)
pub type ErrorRow = [String; 4];

/// The µs at which an error leaves, and its number: the first to leave comes first.
type Place = (u64, u64);

struct Kept {
    row: Arc<ErrorRow>,
    copies: i64,
    /// A source reported it: a new graph does not bring it forth again.
    of_source: bool,
}

/// What `system.errors` holds, and what is still to be told of it.
pub(crate) struct SystemErrors {
    kept: BTreeMap<Place, Kept>,
    /// Where in `kept` a row stands.
    places: HashMap<Arc<ErrorRow>, BTreeSet<Place>>,
    next: u64,
    /// Changes for the next tick.
    pending: BTreeMap<Arc<ErrorRow>, i64>,
    /// What has been told, as rows.
    view: View,
    /// How many changes have been told.
    told: u64,
}

impl SystemErrors {
    pub fn new() -> Self {
        SystemErrors {
            kept: BTreeMap::new(),
            places: HashMap::new(),
            next: 0,
            pending: BTreeMap::new(),
            view: View::new(errors_schema()),
            told: 0,
        }
    }
    pub fn view(&self) -> &View {
        &self.view
    }
    pub fn told(&self) -> u64 {
        self.told
    }
    /// Whether nothing is to be told.
    pub fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }
    /// When the next error leaves.
    pub fn due(&self) -> u64 {
        self.kept.first_key_value().map_or(u64::MAX, |((until, _), _)| *until)
    }

    /// A source could not read something at `time`.
    pub fn of_source(&mut self, row: ErrorRow, time: u64) {
        self.keep(Kept { row: Arc::new(row), copies: 1, of_source: true }, time);
    }
    /// A step could not compute a row, or takes back that it could not.
    pub fn of_step(&mut self, error: StepError) {
        let StepError { step, code, message, input, time, diff, .. } = error;
        let row = [step, code.to_owned(), message, input];
        match diff {
            1.. => self.keep(Kept { row: Arc::new(row), copies: diff, of_source: false }, time),
            _ => self.take_back(&row, -diff),
        }
    }

    /// The rows that `system.errors` gains and loses at `time`.
    pub fn changes(&mut self, time: u64) -> Option<Delta> {
        while let Some((&place, _)) = self.kept.first_key_value().filter(|((until, _), _)| *until <= time) {
            self.remove(place, i64::MAX);
        }
        if self.pending.is_empty() {
            return None;
        }
        let (rows, diffs): (Vec<Arc<ErrorRow>>, Vec<i64>) = std::mem::take(&mut self.pending).into_iter().unzip();
        let delta = Delta::new(batch(&rows), vec![time; diffs.len()], diffs);
        self.view.apply(&delta.rows, &delta.diffs);
        self.told += delta.len() as u64;
        Some(delta)
    }

    /// The graph has been replaced: its steps fail anew, and what sources could not read is still so. Returns what had
    /// been told before.
    pub fn begin_anew(&mut self) -> View {
        self.pending.clear();
        self.places.clear();
        self.kept.retain(|_, kept| kept.of_source);
        for (place, kept) in &self.kept {
            self.places.entry(kept.row.clone()).or_default().insert(*place);
            *self.pending.entry(kept.row.clone()).or_default() += kept.copies;
        }
        std::mem::replace(&mut self.view, View::new(errors_schema()))
    }

    fn keep(&mut self, error: Kept, time: u64) {
        let place = (time + KEPT.as_micros() as u64, self.next);
        self.next += 1;
        self.tell(error.row.clone(), error.copies);
        self.places.entry(error.row.clone()).or_default().insert(place);
        self.kept.insert(place, error);
        while self.kept.len() > MOST
            && let Some((&oldest, _)) = self.kept.first_key_value()
        {
            self.remove(oldest, i64::MAX);
        }
    }
    fn take_back(&mut self, row: &ErrorRow, mut copies: i64) {
        while copies > 0
            && let Some(&oldest) = self.places.get(row).and_then(BTreeSet::first)
        {
            copies -= self.remove(oldest, copies);
        }
    }
    /// Removes `copies` of the error at a place, or all that there are; returns how many.
    fn remove(&mut self, place: Place, copies: i64) -> i64 {
        let Entry::Occupied(mut entry) = self.kept.entry(place) else { return 0 };
        let row = entry.get().row.clone();
        let gone = copies.min(entry.get().copies);
        entry.get_mut().copies -= gone;
        if entry.get().copies == 0 {
            entry.remove();
            let rest = self.places.get_mut(&row).map_or(0, |places| {
                places.remove(&place);
                places.len()
            });
            if rest == 0 {
                self.places.remove(&row);
            }
        }
        self.tell(row, -gone);
        gone
    }
    fn tell(&mut self, row: Arc<ErrorRow>, diff: i64) {
        match self.pending.entry(row) {
            Entry::Vacant(entry) => {
                entry.insert(diff);
            }
            Entry::Occupied(entry) if *entry.get() == -diff => {
                entry.remove();
            }
            Entry::Occupied(mut entry) => *entry.get_mut() += diff,
        }
    }
}

/// (stream, code, message, input) as a batch.
pub fn batch<R: Borrow<ErrorRow>>(rows: &[R]) -> RecordBatch {
    let columns = (0..4)
        .map(|c| Arc::new(rows.iter().map(|r| Some(r.borrow()[c].as_str())).collect::<StringArray>()) as ArrayRef)
        .collect();
    RecordBatch::try_new(errors_schema(), columns).expect("four columns of text")
}

#[cfg(test)]
mod tests {
    use super::*;
    use jarvis_spec::OnError;

    const HOUR: u64 = 3_600_000_000;

    fn failed(input: impl ToString, time: u64, diff: i64) -> StepError {
        let (step, message) = ("p.o".to_owned(), "no number".to_owned());
        StepError { step, code: "cast", message, input: input.to_string(), time, diff, on_error: OnError::Route }
    }
    fn rows(errors: &SystemErrors) -> usize {
        errors.view().content().num_rows()
    }

    #[test]
    fn errors_that_no_step_takes_back_leave_for_newer_ones() {
        let mut errors = SystemErrors::new();
        for n in 0..MOST + 10 {
            errors.of_step(failed(n, n as u64, 1));
            if n % 1000 == 0 {
                errors.changes(n as u64);
            }
            assert!(errors.kept.len() <= MOST && errors.pending.len() <= 1100);
        }
        errors.changes(MOST as u64 + 10);
        assert_eq!((rows(&errors), errors.places.len(), errors.due()), (MOST, MOST, HOUR + 10));
    }

    #[test]
    fn an_error_leaves_after_an_hour_and_its_retraction_then_says_nothing() {
        let mut errors = SystemErrors::new();
        errors.of_step(failed("x", 0, 2));
        errors.changes(0);
        assert_eq!((rows(&errors), errors.due()), (2, HOUR));
        let gone = errors.changes(HOUR).expect("they leave");
        assert_eq!((gone.diffs.as_slice(), rows(&errors), errors.due()), ([-2].as_slice(), 0, u64::MAX));
        errors.of_step(failed("x", HOUR + 1, -2));
        assert!(errors.is_empty() && errors.changes(HOUR + 1).is_none());
        errors.of_step(failed("x", HOUR + 2, 1));
        errors.changes(HOUR + 2);
        assert_eq!(rows(&errors), 1);
    }

    #[test]
    fn a_retraction_takes_back_as_many_as_it_says() {
        let mut errors = SystemErrors::new();
        errors.of_step(failed("x", 0, 2));
        errors.of_step(failed("x", 5, 2));
        errors.of_step(failed("x", 6, -3));
        errors.changes(6);
        assert_eq!((rows(&errors), errors.due()), (1, HOUR + 5));
        errors.of_step(failed("x", 7, -1));
        errors.changes(7);
        assert_eq!((rows(&errors), errors.places.len(), errors.due()), (0, 0, u64::MAX));
    }

    #[test]
    fn a_new_graph_fails_anew_and_sources_do_not() {
        let mut errors = SystemErrors::new();
        errors.of_source(["p.a", "json_syntax", "no JSON", "{"].map(str::to_owned), 0);
        errors.of_step(failed("x", 0, 1));
        errors.changes(0);
        let before = errors.begin_anew();
        let told = errors.changes(1).expect("the new graph is told");
        assert_eq!((before.content().num_rows(), told.diffs.as_slice(), rows(&errors)), (2, [1].as_slice(), 1));
        errors.of_step(failed("x", 2, -1));
        assert!(errors.is_empty());
    }
}
