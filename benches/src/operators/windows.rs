//! Tumbling windows of an append-only stream, told once, when they cannot change any more.
//!
//! Each worker adds its rows up in a hash map per open window; only the sums travel, when the window closes. A window
//! closes at the first tick that starts at or after its end plus the lateness. Rows for a window that has closed are
//! dropped. Windows that would close after the last tick are never told: the clock stops at the latest event time.

use super::{Pending, route};
use crate::clock::{Clock, Tick};
use hashbrown::HashMap;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::hash::Hash;
use timely::ExchangeData;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::{Exchange, Pipeline};
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::Operator;

/// The windows' form. Times are µs.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    pub size: u64,
    /// How far a row may be behind the clock.
    pub lateness: u64,
    pub clock: Clock,
    /// The last tick of the input.
    pub last: Tick,
}

impl Shape {
    fn start_of(&self, at: u64) -> u64 {
        at - at % self.size
    }

    fn closes_at(&self, start: u64) -> Tick {
        self.clock.tick_from(start + self.size + self.lateness)
    }
}

/// What is known of one key in one window.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Window {
    /// µs since the epoch.
    pub start: u64,
    pub count: u64,
    pub sum: f64,
    pub max: f64,
}

impl Window {
    fn empty(start: u64) -> Self {
        Window { start, count: 0, sum: 0.0, max: f64::NEG_INFINITY }
    }

    #[inline]
    fn add(&mut self, value: f64) {
        self.count += 1;
        self.sum += value;
        self.max = self.max.max(value);
    }

    fn merge(&mut self, other: &Window) {
        self.count += other.count;
        self.sum += other.sum;
        self.max = self.max.max(other.max);
    }
}

struct Open<K> {
    start: u64,
    closes: Tick,
    capability: Capability<Tick>,
    groups: HashMap<K, Window>,
}

/// The open windows of a worker, by start.
struct OpenWindows<K> {
    shape: Shape,
    windows: VecDeque<Open<K>>,
}

impl<K: Hash + Eq> OpenWindows<K> {
    /// The place of a row's window, opened if need be; `None` for a row that is too late.
    #[inline]
    fn place(&mut self, tick: Tick, at: u64, capability: impl FnOnce(Tick) -> Capability<Tick>) -> Option<usize> {
        let covers = |open: &Open<K>| open.start <= at && at < open.start + self.shape.size;
        // Nearly every row belongs to one of the last two.
        if let Some(place) = self.windows.iter().rposition(covers) {
            return (tick < self.windows[place].closes).then_some(place);
        }
        let start = self.shape.start_of(at);
        let closes = self.shape.closes_at(start);
        if tick >= closes {
            return None;
        }
        let place = self.windows.partition_point(|open| open.start < start);
        self.windows.insert(place, Open { start, closes, capability: capability(closes), groups: HashMap::new() });
        Some(place)
    }
}

/// Count, sum and maximum per key and window of `(key, event time in µs, value)`.
pub fn windows<'s, K>(rows: StreamVec<'s, Tick, (K, u64, f64)>, shape: Shape) -> StreamVec<'s, Tick, (K, Window)>
where
    K: ExchangeData + Hash + Eq,
{
    merge(partial_windows(rows, shape))
}

/// The windows of each worker's rows, as they close.
fn partial_windows<'s, K>(rows: StreamVec<'s, Tick, (K, u64, f64)>, shape: Shape) -> StreamVec<'s, Tick, (K, Window)>
where
    K: ExchangeData + Hash + Eq,
{
    rows.unary_frontier(Pipeline, "Windows", move |_, _| {
        let mut open = OpenWindows { shape, windows: VecDeque::new() };
        move |(input, frontier), output| {
            input.for_each_stamp(|cap, data| {
                let Some(tick) = cap.least().copied() else { return };
                for (key, at, value) in data.flat_map(|rows: &mut Vec<(K, u64, f64)>| rows.drain(..)) {
                    if let Some(place) = open.place(tick, at, |closes| cap.delayed(&closes, output.output_index())) {
                        let window = &mut open.windows[place];
                        window.groups.entry(key).or_insert_with(|| Window::empty(window.start)).add(value);
                    }
                }
            });
            while let Some(first) = open.windows.front()
                && !frontier.less_than(&first.closes)
                && let Some(closed) = open.windows.pop_front()
            {
                if closed.closes <= shape.last {
                    output.session(&closed.capability).give_iterator(closed.groups.into_iter());
                }
            }
        }
    })
    .container::<Vec<_>>()
}

/// Brings the workers' shares of each window together.
fn merge<'s, K>(partials: StreamVec<'s, Tick, (K, Window)>) -> StreamVec<'s, Tick, (K, Window)>
where
    K: ExchangeData + Hash + Eq,
{
    let by_key = Exchange::new(|(key, _): &(K, Window)| route(key));
    partials
        .unary_frontier(by_key, "MergeWindows", move |_, _| {
            let mut pending = Pending::new();
            move |(input, frontier), output| {
                input.for_each_stamp(|cap, data| {
                    let Some(tick) = cap.least().copied() else { return };
                    let rows = pending.at(tick, || cap.delayed(&tick, output.output_index()));
                    data.for_each(|arrived: &mut Vec<(K, Window)>| rows.append(arrived));
                });
                while let Some((cap, rows)) = pending.next_complete(frontier) {
                    let mut whole: HashMap<(K, u64), Window> = HashMap::with_capacity(rows.len());
                    for (key, part) in rows {
                        let window = whole.entry((key, part.start)).or_insert_with(|| Window::empty(part.start));
                        window.merge(&part);
                    }
                    output.session(&cap).give_iterator(whole.into_iter().map(|((key, _), window)| (key, window)));
                }
            }
        })
        .container::<Vec<_>>()
}
