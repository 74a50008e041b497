//! Rows on their way to the workers that own their keys. A batch of columns is encoded once and dealt out: one parcel
//! per worker, so that what an exchange moves is a buffer and not a row.

use super::Deltas;
use super::pending::Pending;
use crate::columns::{Codec, Layout};
use crate::delta::Delta;
use crate::encoded::Encoded;
use crate::row::hash;
use serde::{Deserialize, Serialize};
use std::ops::Range;
use std::rc::Rc;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::Stream;
use timely::dataflow::channels::pact::{Exchange, Pipeline};
use timely::dataflow::operators::generic::operator::Operator;

/// Rows for one worker.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Parcel {
    worker: u32,
    pub rows: Encoded,
    /// The place of each row in its source, where the order of rows matters; else empty.
    pub places: Vec<u64>,
}

pub type Parcels<'s> = Stream<'s, u64, Vec<Parcel>>;
pub type ParcelBuilder = CapacityContainerBuilder<Vec<Parcel>>;

/// To the worker that each parcel is for.
pub fn exchange() -> Exchange<Parcel, impl FnMut(&Parcel) -> u64> {
    Exchange::new(|p: &Parcel| p.worker.into())
}

/// Who gets a row.
#[derive(Clone, Debug)]
pub enum Owner {
    /// The worker that owns the key, which is this many columns at the start of the row.
    Key(usize),
    /// One worker for all.
    Worker(usize),
}

/// Encodes batches and deals their rows out.
pub struct Dealer {
    codec: Codec,
    columns: Vec<usize>,
    layout: Layout,
    owner: Owner,
    workers: usize,
}

impl Dealer {
    /// `columns` of a batch, in this order, become the row that `codec` encodes.
    pub fn new(codec: Codec, columns: Vec<usize>, owner: Owner, workers: usize) -> Self {
        let types = codec.schema().clone();
        let layout = Layout::of(types.fields().iter().map(|f| f.data_type()));
        Dealer {
            codec,
            columns,
            layout: layout.expect("planning refuses columns that cannot be sliced"),
            owner,
            workers,
        }
    }
    /// Deals out a batch; `place` is that of its first row.
    pub fn deal(&self, delta: &Delta, place: Option<u64>) -> Vec<Parcel> {
        let mut parcels: Vec<Parcel> =
            (0..self.workers).map(|w| Parcel { worker: w as u32, ..Default::default() }).collect();
        let mut give = |i: usize, row: &[u8]| {
            let parcel = &mut parcels[self.worker(row)];
            parcel.rows.push(row, delta.times[i], delta.diffs[i]);
            if let Some(first) = place {
                parcel.places.push(first + i as u64);
            }
        };
        if self.columns.is_empty() {
            (0..delta.len()).for_each(|i| give(i, &[]));
        } else {
            let rows = self.codec.encode_flat(&delta.columns(&self.columns)).expect("rows have the step's schema");
            rows.iter().enumerate().for_each(|(i, row)| give(i, row.data()));
        }
        parcels.retain(|p| !p.rows.is_empty());
        parcels
    }
    #[inline]
    fn worker(&self, row: &[u8]) -> usize {
        match self.owner {
            _ if self.workers == 1 => 0,
            Owner::Key(columns) => hash(&row[..self.layout.start(row, columns)]) as usize % self.workers,
            Owner::Worker(w) => w % self.workers,
        }
    }
}

/// Parcels of everything that comes.
pub fn parcels<'s>(input: Deltas<'s>, name: &str, dealer: Dealer) -> Parcels<'s> {
    input.unary::<ParcelBuilder, _, _, _>(Pipeline, &format!("{name}: encode"), move |_, _| {
        move |input, output| {
            input.for_each_stamp(|capability, data| {
                let mut session = output.session(&capability);
                for delta in data.flat_map(|d| d.drain(..)) {
                    session.give_iterator(dealer.deal(&delta, None).into_iter());
                }
            });
        }
    })
}

/// Rows of a parcel that follow each other and have one time.
pub struct Run {
    parcel: Rc<Parcel>,
    range: Range<usize>,
}

impl Run {
    /// Each row with its weight.
    pub fn rows(&self) -> impl Iterator<Item = (&[u8], i64)> {
        self.range.clone().map(|i| (self.parcel.rows.row(i), self.parcel.rows.diffs[i]))
    }
    /// The place of each row, if places were dealt out.
    pub fn places(&self) -> &[u64] {
        self.parcel.places.get(self.range.clone()).unwrap_or_default()
    }
}

impl<T: From<Run>> Pending<T> {
    /// Keeps the rows of a parcel until their times are closed.
    pub fn push_parcel(&mut self, parcel: Parcel) {
        let parcel = Rc::new(parcel);
        let times = &parcel.rows.times;
        let mut start = 0;
        for run in times.chunk_by(|a, b| a == b) {
            let range = start..start + run.len();
            start = range.end;
            self.push(run[0], Run { parcel: parcel.clone(), range }.into());
        }
    }
}
