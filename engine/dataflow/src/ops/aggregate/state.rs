//! After the exchange: the groups that a worker owns.

use super::bag::Bag;
use super::partial::Partial;
use super::results::Results;
use super::{Event, Layout, Plan};
use crate::delta::Delta;
use crate::ops::{Gauge, Shared, StepError};
use crate::row::{Row, hash};
use hashbrown::HashTable;
use jarvis_plan::Moment;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;

/// Keys that are looked up together.
const BLOCK: usize = 32;

/// All groups of one worker, in slots: words and bags lie in flat vectors, slot by slot.
pub struct Groups {
    layout: Rc<Layout>,
    table: HashTable<u32>,
    keys: Vec<Row>,
    words: Vec<i64>,
    bags: Vec<Bag>,
    free: Vec<u32>,
    /// When groups leave as a whole.
    leaving: Agenda,
    /// When groups are told first.
    showing: Agenda,
    /// When groups cannot change any more.
    settling: Agenda,
    /// Groups that are not told yet.
    hidden: Vec<bool>,
    /// The last tick of the clock.
    passed: u64,
    wake: Rc<Cell<u64>>,
    /// A global aggregate that has not told its first row yet.
    unborn: bool,
    touched: Touched,
    results: Results,
    shared: Shared,
    heap: usize,
}

/// Groups that change at the time under way, each as it was before.
#[derive(Default)]
struct Touched {
    slots: Vec<u32>,
    /// Which entry of `slots` a slot is, plus one.
    mark: Vec<u32>,
}

impl Groups {
    pub fn new(layout: Rc<Layout>, wake: Rc<Cell<u64>>, owns_global: bool, shared: Shared) -> Self {
        if owns_global {
            wake.set(0);
        }
        Groups {
            results: Results::new(layout.clone()),
            layout,
            table: HashTable::new(),
            keys: vec![],
            words: vec![],
            bags: vec![],
            free: vec![],
            leaving: Agenda::default(),
            showing: Agenda::default(),
            settling: Agenda::default(),
            hidden: vec![],
            passed: 0,
            wake,
            unborn: owns_global,
            touched: Touched::default(),
            shared,
            heap: 0,
        }
    }
    /// Whether ticks without rows matter.
    pub fn wants_clock(&self) -> bool {
        self.unborn || self.layout.expire.or(self.layout.settle).or(self.layout.hold).is_some()
    }
    /// Applies everything that happens at `time`.
    pub fn advance(&mut self, time: u64, events: Vec<Event>) {
        if self.unborn {
            self.unborn = false;
            self.wake.set(u64::MAX);
            let slot = self.create(Row::default(), hash(&[]));
            self.mark(slot, false);
        }
        let mut ticked = false;
        for event in events {
            match event {
                Event::Rows(partial) => self.apply(partial),
                Event::Tick => ticked = true,
            }
        }
        if ticked {
            self.expire(time);
            self.show(time);
        }
        self.tell(time);
        if ticked {
            self.settle(time);
            self.passed = time;
        }
    }
    fn apply(&mut self, partial: Partial) {
        let stride = self.layout.words;
        let mut slots = Vec::with_capacity(partial.keys.len());
        let mut places = vec![];
        for (i, key) in partial.keys.iter().enumerate() {
            if i % BLOCK == 0 {
                places = self.touch(&partial.keys[i..partial.keys.len().min(i + BLOCK)]);
            }
            let slot = self.slot(key, places[i % BLOCK], partial.time, partial.words[i * stride]);
            slots.push(slot);
            if let Some(slot) = slot {
                let target = &mut self.words[slot as usize * stride..][..stride];
                for (w, add) in target.iter_mut().zip(&partial.words[i * stride..]) {
                    *w = w.wrapping_add(*add);
                }
            }
        }
        for (position, bag, row, diff) in partial.values {
            let Some(slot) = slots[position as usize] else { continue };
            let target = &mut self.bags[slot as usize * self.layout.bags + bag as usize];
            self.heap -= target.bytes();
            match self.layout.best[bag as usize] {
                Some(greatest) => target.keep_best(row, greatest),
                None if self.hidden[slot as usize] => target.add_unread(row, diff),
                None => target.add(row, diff),
            }
            self.heap += target.bytes();
        }
    }
    /// Loads the places of some keys, whose hashes it returns: loads that do not wait for each other are under way
    /// together.
    fn touch(&self, keys: &[Row]) -> Vec<u64> {
        let mut seen = 0;
        let touch = |key: &Row| {
            let place = hash(key.bytes());
            if let Some(slot) = self.table.find(place, |_| true) {
                seen ^= self.words[*slot as usize * self.layout.words] ^ self.keys[*slot as usize].heap() as i64;
            }
            place
        };
        let places = keys.iter().map(touch).collect();
        std::hint::black_box(seen);
        places
    }
    /// The slot of a key, made if it is new; `None` for a window that is already gone.
    fn slot(&mut self, key: &Row, place: u64, time: u64, rows: i64) -> Option<u32> {
        let keys = &self.keys;
        if let Some(slot) = self.table.find(place, |s| keys[*s as usize] == *key) {
            let slot = *slot;
            self.mark(slot, true);
            return Some(slot);
        }
        let moments = Moments::of(&self.layout, key);
        let has_left = moments.leave.is_some_and(|t| t <= time);
        let is_settled = moments.settle.is_some_and(|t| t <= self.passed);
        if has_left || is_settled {
            // What is taken back from a window that has left is gone already; one that is settled can't follow.
            if rows > 0 || is_settled {
                self.late(key, time);
            }
            return None;
        }
        let slot = self.create(key.clone(), place);
        self.leaving.add(moments.leave, slot);
        self.settling.add(moments.settle, slot);
        let show = moments.show.filter(|t| *t > self.passed);
        self.showing.add(show, slot);
        self.hidden[slot as usize] = show.is_some();
        self.mark(slot, false);
        Some(slot)
    }
    fn create(&mut self, key: Row, place: u64) -> u32 {
        self.heap += key.heap();
        let slot = match self.free.pop() {
            Some(slot) => {
                self.keys[slot as usize] = key;
                slot
            }
            None => {
                self.keys.push(key);
                self.words.resize(self.keys.len() * self.layout.words, 0);
                self.bags.resize_with(self.keys.len() * self.layout.bags, Bag::default);
                self.touched.mark.push(0);
                self.hidden.push(false);
                (self.keys.len() - 1) as u32
            }
        };
        let keys = &self.keys;
        self.table.insert_unique(place, slot, |s| hash(keys[*s as usize].bytes()));
        slot
    }
    /// Remembers how a group was, once per time.
    fn mark(&mut self, slot: u32, existed: bool) {
        if self.touched.mark[slot as usize] != 0 {
            return;
        }
        self.touched.slots.push(slot);
        self.touched.mark[slot as usize] = self.touched.slots.len() as u32;
        if existed && !self.hidden[slot as usize] {
            let (w, b) = (self.layout.words, self.layout.bags);
            let words = &self.words[slot as usize * w..][..w];
            let is_there = words[0] > 0 || self.layout.is_global();
            self.results.before(is_there.then(|| (words, &self.bags[slot as usize * b..][..b])));
        } else {
            self.results.before(None);
        }
    }
    fn late(&mut self, key: &Row, time: u64) {
        let input = match self.layout.key_codec.decode_batch(std::iter::once(key.bytes()), 1) {
            Ok(batch) => crate::ops::map::describe(&batch, 0),
            Err(e) => e.to_string(),
        };
        self.shared.error(StepError {
            step: self.layout.owner.clone(),
            code: "late",
            message: "the window of this row has passed, and its lateness or its retention too".into(),
            input,
            time,
            diff: 1,
            on_error: self.layout.on_error,
        });
    }
    /// Forgets the groups whose time is over.
    fn expire(&mut self, now: u64) {
        for slot in self.leaving.take(now) {
            self.mark(slot, true);
            let (w, b) = (self.layout.words, self.layout.bags);
            self.words[slot as usize * w..][..w].fill(0);
            for bag in &mut self.bags[slot as usize * b..][..b] {
                self.heap -= bag.bytes();
                *bag = Bag::default();
            }
        }
    }
    /// Lets the groups be told whose time has come.
    fn show(&mut self, now: u64) {
        for slot in self.showing.take(now) {
            // Nothing was told of it so far, whether it is touched at this time or not.
            self.mark(slot, true);
            self.hidden[slot as usize] = false;
            let b = self.layout.bags;
            for bag in &mut self.bags[slot as usize * b..][..b] {
                self.heap -= bag.bytes();
                bag.close();
                self.heap += bag.bytes();
            }
        }
    }
    /// Forgets how the groups came about that cannot change any more.
    fn settle(&mut self, now: u64) {
        for slot in self.settling.take(now) {
            if self.hidden[slot as usize] {
                // It is told later than it is ready, and forgotten then.
                let show = Moments::of(&self.layout, &self.keys[slot as usize]).show;
                self.settling.add(show, slot);
            } else {
                self.remove(slot);
            }
        }
    }
    /// Puts out −old +new of every touched group, and forgets those that are empty.
    fn tell(&mut self, time: u64) {
        let slots = std::mem::take(&mut self.touched.slots);
        for (i, slot) in slots.iter().enumerate() {
            let (w, b) = (self.layout.words, self.layout.bags);
            let words = &mut self.words[*slot as usize * w..][..w];
            for (_, plan) in &self.layout.calls {
                if let Plan::Sum { sum, at } = plan {
                    sum.normalise(&mut words[*at..*at + sum.width()]);
                }
            }
            let exists = words[0] > 0 || self.layout.is_global();
            let empty = words[0] == 0 && !self.layout.is_global();
            let bags = &self.bags[*slot as usize * b..][..b];
            let told = exists && !self.hidden[*slot as usize];
            let key = &self.keys[*slot as usize];
            self.results.tell(i, key, told.then_some((&*words, bags)), time);
            self.touched.mark[*slot as usize] = 0;
            if empty {
                self.remove(*slot);
            }
        }
        self.touched.slots = slots;
        self.touched.slots.clear();
        self.results.end_of_time();
    }
    fn remove(&mut self, slot: u32) {
        let place = hash(self.keys[slot as usize].bytes());
        if let Ok(entry) = self.table.find_entry(place, |s| *s == slot) {
            entry.remove();
        }
        self.heap -= self.keys[slot as usize].heap();
        let moments = Moments::of(&self.layout, &self.keys[slot as usize]);
        self.leaving.remove(moments.leave, slot);
        self.settling.remove(moments.settle, slot);
        self.settling.remove(moments.show, slot);
        self.showing.remove(moments.show, slot);
        self.hidden[slot as usize] = false;
        self.keys[slot as usize] = Row::default();
        let (w, b) = (self.layout.words, self.layout.bags);
        self.words[slot as usize * w..][..w].fill(0);
        for bag in &mut self.bags[slot as usize * b..][..b] {
            self.heap -= bag.bytes();
            *bag = Bag::default();
        }
        self.free.push(slot);
    }
    /// The changes since the last call.
    pub fn take(&mut self) -> Option<Delta> {
        self.results.take()
    }
    pub fn publish(&self, gauge: &Gauge) {
        if !self.unborn {
            self.wake.set(self.leaving.next().min(self.showing.next()));
        }
        gauge.rows.set(self.table.len() as u64);
        let flat = self.keys.capacity() * size_of::<Row>()
            + self.words.capacity() * 8
            + self.bags.capacity() * size_of::<Bag>()
            + self.table.capacity() * 5;
        gauge.bytes.set((flat + self.heap) as u64);
    }
}

/// Slots by the time at which something happens to them.
#[derive(Default)]
struct Agenda(BTreeMap<u64, Vec<u32>>);

impl Agenda {
    fn add(&mut self, time: Option<u64>, slot: u32) {
        if let Some(time) = time {
            self.0.entry(time).or_default().push(slot);
        }
    }
    fn remove(&mut self, time: Option<u64>, slot: u32) {
        let Some(time) = time else { return };
        if let Some(slots) = self.0.get_mut(&time) {
            slots.retain(|s| *s != slot);
            if slots.is_empty() {
                self.0.remove(&time);
            }
        }
    }
    /// The slots whose time has come, in its order.
    fn take(&mut self, now: u64) -> Vec<u32> {
        let mut slots = vec![];
        while let Some(entry) = self.0.first_entry().filter(|e| *e.key() <= now) {
            slots.append(&mut entry.remove());
        }
        slots
    }
    /// `u64::MAX`: nothing happens.
    fn next(&self) -> u64 {
        self.0.first_key_value().map_or(u64::MAX, |(time, _)| *time)
    }
}

/// When something happens to the group of a key.
struct Moments {
    leave: Option<u64>,
    settle: Option<u64>,
    show: Option<u64>,
}

impl Moments {
    fn of(layout: &Layout, key: &Row) -> Self {
        let at = |moment: Moment| {
            let start = crate::columns::read_i64(key.bytes(), &layout.key_widths, moment.key)?;
            Some((start.max(0) as u64).saturating_add(moment.after))
        };
        // Without a window a row has no time at which it would count, and a group none at which it would close.
        let never = u64::MAX;
        Moments {
            leave: layout.expire.map(|m| at(m).unwrap_or(0)),
            settle: layout.settle.map(|m| at(m).unwrap_or(never)),
            show: layout.hold.map(|m| at(m).unwrap_or(never)),
        }
    }
}
