//! Joins of two arrangements for totally ordered times: a gallop over the keys and a cross product of the values,
//! without cursors, histories or cloned values. `join_with_tactic` brings the frontiers, the capabilities and the
//! compaction of the traces.

use crate::spine::{ByteBatch, ByteLayout};
use differential_dataflow::operators::join::{Fresh, JoinTactic};
use differential_dataflow::trace::implementations::BatchContainer;
use differential_dataflow::trace::implementations::ord_neu::OrdValBatch;
use std::cell::RefCell;
use std::rc::Rc;

/// Receives the matches of a join and turns them into containers of type `C`.
pub trait Matches<C>: 'static {
    /// Key, left value, right value, the time and weight of the pair.
    fn pair(&mut self, key: &[u8], left: &[u8], right: &[u8], time: u64, diff: i64);
    /// What was gathered, as far as it fills a container; called at the end of each round of work.
    fn take(&mut self) -> Option<C>;
}

/// Pairs that one activation may produce before other operators get their turn.
const FUEL: usize = 100_000;

/// The join of totally ordered times.
pub struct TotalJoin<M>(Rc<RefCell<M>>);

impl<M> TotalJoin<M> {
    pub fn new(matches: M) -> Self {
        TotalJoin(Rc::new(RefCell::new(matches)))
    }
}

impl<C: 'static, M: Matches<C>> JoinTactic<u64, ByteBatch, ByteBatch, C> for TotalJoin<M> {
    fn prep(
        &mut self,
        input0: Vec<ByteBatch>,
        input1: Vec<ByteBatch>,
        fresh: Fresh,
        _meet: u64,
    ) -> Box<dyn Iterator<Item = C>> {
        let (fresh, held, fresh_is_left) = match fresh {
            Fresh::Input0 => (input0, input1, true),
            Fresh::Input1 => (input1, input0, false),
        };
        let at = vec![0; held.len()];
        Box::new(Work {
            fresh,
            held,
            fresh_is_left,
            batch: 0,
            key: 0,
            at,
            matches: self.0.clone(),
            container: std::marker::PhantomData,
        })
    }
}

/// A join under way: where it stands in the fresh batches and in each held one.
struct Work<C, M> {
    fresh: Vec<ByteBatch>,
    held: Vec<ByteBatch>,
    fresh_is_left: bool,
    batch: usize,
    key: usize,
    at: Vec<usize>,
    matches: Rc<RefCell<M>>,
    container: std::marker::PhantomData<C>,
}

impl<C, M: Matches<C>> Work<C, M> {
    /// Joins until the work or the fuel ends.
    fn advance(&mut self, matches: &mut M) {
        let mut made = 0;
        while self.batch < self.fresh.len() {
            let keys = self.fresh[self.batch].storage.keys.len();
            while self.key < keys {
                if made >= FUEL {
                    return;
                }
                made += self.one_key(matches);
                self.key += 1;
            }
            self.batch += 1;
            self.key = 0;
            self.at.fill(0);
        }
    }
    /// Joins the key at hand with every held batch; returns the number of pairs.
    #[inline]
    fn one_key(&mut self, matches: &mut M) -> usize {
        let fresh = &self.fresh[self.batch].storage;
        let key = fresh.keys.index(self.key);
        let mut made = 1;
        for (held, at) in self.held.iter().zip(&mut self.at) {
            let keys = &held.storage.keys;
            *at += keys.advance(*at, keys.len(), |k| k < key);
            if keys.get(*at) == Some(key) {
                made += cross(key, (&self.fresh[self.batch], self.key), (held, *at), self.fresh_is_left, matches);
            }
        }
        made
    }
}

/// Every update of one key in one batch with every update of it in another.
#[inline]
fn cross<C, M: Matches<C>>(
    key: &[u8],
    fresh: (&OrdValBatch<ByteLayout>, usize),
    held: (&OrdValBatch<ByteLayout>, usize),
    fresh_is_left: bool,
    matches: &mut M,
) -> usize {
    let (f, h) = (&fresh.0.storage, &held.0.storage);
    let ((f_low, f_high), (h_low, h_high)) = (f.vals.bounds(fresh.1), h.vals.bounds(held.1));
    let mut made = 0;
    for fv in f_low..f_high {
        let value = f.vals.get_abs(fv);
        let (u_low, u_high) = f.upds.bounds(fv);
        for hv in h_low..h_high {
            let other = h.vals.get_abs(hv);
            let (left, right) = if fresh_is_left { (value, other) } else { (other, value) };
            let (x_low, x_high) = h.upds.bounds(hv);
            for u in u_low..u_high {
                let (t0, d0) = f.upds.get_abs(u);
                for x in x_low..x_high {
                    let (t1, d1) = h.upds.get_abs(x);
                    matches.pair(key, left, right, *t0.max(t1), d0 * d1);
                    made += 1;
                }
            }
        }
    }
    made
}

impl<C, M: Matches<C>> Iterator for Work<C, M> {
    type Item = C;
    fn next(&mut self) -> Option<C> {
        let shared = self.matches.clone();
        let mut matches = shared.borrow_mut();
        while self.batch < self.fresh.len() {
            self.advance(&mut matches);
            if let Some(container) = matches.take() {
                return Some(container);
            }
        }
        matches.take()
    }
}
