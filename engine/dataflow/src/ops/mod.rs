//! The operators, one file each. Every operator is correct for any number of times per activation, keeps results right
//! under inserts and retractions in any order within a time, and puts out nothing for times that are not closed.

pub mod aggregate;
pub mod clocked;
pub mod edge;
pub mod joined;
pub mod map;
pub mod ordered;
pub mod parcel;
pub mod pending;
pub mod session;
pub mod temporal;
pub mod topk;
pub mod unnest;
pub mod upsert;

use crate::delta::Delta;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::Stream;

/// Changes in columns; the edge between steps.
pub type Deltas<'s> = Stream<'s, u64, Vec<Delta>>;
/// One record per tick, at the tick's own time: what `now()` is.
pub type Clock<'s> = Stream<'s, u64, Vec<u64>>;
/// Builder of [`Deltas`].
pub type DeltaBuilder = CapacityContainerBuilder<Vec<Delta>>;

/// Rows as they are fed, with the place of the first one in its source: later rows have greater places, on every worker.
#[derive(Clone, Debug)]
pub struct Fed {
    pub delta: Delta,
    pub place: u64,
}

/// A row that a step could not compute; `diff` −1 when the row that failed was taken back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepError {
    /// `pipeline.operator`
    pub step: String,
    pub code: &'static str,
    pub message: String,
    pub input: String,
    pub time: u64,
    pub diff: i64,
    pub on_error: jarvis_spec::OnError,
}

/// What the operators of one worker share with the loop that drives it.
#[derive(Clone, Default)]
pub struct Shared {
    errors: Rc<RefCell<Vec<StepError>>>,
    wakes: Rc<RefCell<Vec<Rc<Cell<u64>>>>>,
    gauges: Rc<RefCell<Vec<Measure>>>,
}

/// Says an operator's name, and how many rows and bytes it holds now.
type Measure = (String, Box<dyn Fn() -> (u64, u64)>);

/// Sizes that an operator reports about its state.
#[derive(Debug, Default)]
pub struct Gauge {
    /// Rows held.
    pub rows: Cell<u64>,
    /// Bytes held, estimated from the lengths of the rows and the size of their entries.
    pub bytes: Cell<u64>,
}

impl Shared {
    pub fn error(&self, error: StepError) {
        self.errors.borrow_mut().push(error);
    }
    pub fn take_errors(&self) -> Vec<StepError> {
        std::mem::take(&mut self.errors.borrow_mut())
    }
    /// A cell in which an operator says when the clock must next tick for it (`u64::MAX`: not at all).
    pub fn wake(&self) -> Rc<Cell<u64>> {
        let cell = Rc::new(Cell::new(u64::MAX));
        self.wakes.borrow_mut().push(cell.clone());
        cell
    }
    /// The earliest time at which an operator has something to do without new input.
    pub fn next_wake(&self) -> u64 {
        self.wakes.borrow().iter().map(|c| c.get()).min().unwrap_or(u64::MAX)
    }
    /// A gauge that an operator sets.
    pub fn gauge(&self, name: String) -> Rc<Gauge> {
        let gauge = Rc::new(Gauge::default());
        let read = gauge.clone();
        self.measure(name, move || (read.rows.get(), read.bytes.get()));
        gauge
    }
    /// State that is measured when somebody asks.
    pub fn measure(&self, name: String, measure: impl Fn() -> (u64, u64) + 'static) {
        self.gauges.borrow_mut().push((name, Box::new(measure)));
    }
    pub fn gauges(&self) -> Vec<(String, u64, u64)> {
        let gauges = self.gauges.borrow();
        gauges.iter().map(|(name, measure)| (name.clone(), measure())).map(|(n, (r, b))| (n, r, b)).collect()
    }
}
