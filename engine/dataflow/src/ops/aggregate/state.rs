//! After the exchange: the groups that a worker owns.

use super::bag::Bag;
use super::partial::Partial;
use super::results::Results;
use super::{Event, Layout, Plan};
use crate::delta::Delta;
use crate::ops::{Gauge, Shared, StepError};
use crate::row::{Row, hash};
use hashbrown::HashTable;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;

/// All groups of one worker, in slots: words and bags lie in flat vectors, slot by slot.
pub struct Groups {
    layout: Rc<Layout>,
    table: HashTable<u32>,
    keys: Vec<Row>,
    words: Vec<i64>,
    bags: Vec<Bag>,
    free: Vec<u32>,
    /// When groups leave as a whole.
    due: BTreeMap<u64, Vec<u32>>,
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
            due: BTreeMap::new(),
            wake,
            unborn: owns_global,
            touched: Touched::default(),
            shared,
            heap: 0,
        }
    }
    /// Whether ticks without rows matter.
    pub fn wants_clock(&self) -> bool {
        self.unborn || self.layout.expire.is_some()
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
        }
        self.tell(time);
    }
    fn apply(&mut self, partial: Partial) {
        let stride = self.layout.words;
        let mut slots = Vec::with_capacity(partial.keys.len());
        for (i, key) in partial.keys.into_iter().enumerate() {
            let slot = self.slot(key, partial.time, partial.words[i * stride]);
            slots.push(slot);
            if let Some(slot) = slot {
                let target = &mut self.words[slot as usize * stride..][..stride];
                for (w, add) in target.iter_mut().zip(&partial.words[i * stride..]) {
                    *w = w.wrapping_add(*add);
                }
            }
        }
        let greatest =
            self.layout.calls.iter().find_map(|(_, p)| if let Plan::Best { .. } = p { Some(()) } else { None });
        for (position, bag, row, diff) in partial.values {
            let Some(slot) = slots[position as usize] else { continue };
            let target = &mut self.bags[slot as usize * self.layout.bags + bag as usize];
            self.heap -= target.bytes();
            match greatest.and_then(|_| self.layout.best(bag as usize)) {
                Some(greatest) => target.keep_best(row, greatest),
                None => target.add(row, diff),
            }
            self.heap += target.bytes();
        }
    }
    /// The slot of a key, made if it is new; `None` for a window that is already gone.
    fn slot(&mut self, key: Row, time: u64, rows: i64) -> Option<u32> {
        let place = hash(key.bytes());
        let keys = &self.keys;
        if let Some(slot) = self.table.find(place, |s| keys[*s as usize] == key) {
            let slot = *slot;
            self.mark(slot, true);
            return Some(slot);
        }
        if let Some(expire) = &self.layout.expire {
            let due = self.layout.due(&key, expire);
            if due <= time {
                // Rows that are taken back from a window that has passed are no news.
                if rows > 0 {
                    self.late(&key, time);
                }
                return None;
            }
            let slot = self.create(key, place);
            self.due.entry(due).or_default().push(slot);
            self.mark(slot, false);
            return Some(slot);
        }
        let slot = self.create(key, place);
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
        if existed {
            let (words, bags) = self.of(slot);
            let row = self.results.snapshot(words, bags);
            self.results.before(row);
        } else {
            self.results.before(None);
        }
    }
    fn of(&self, slot: u32) -> (&[i64], &[Bag]) {
        let (w, b) = (self.layout.words, self.layout.bags);
        (&self.words[slot as usize * w..][..w], &self.bags[slot as usize * b..][..b])
    }
    fn late(&mut self, key: &Row, time: u64) {
        let input = match self.layout.key_codec.decode_batch(std::iter::once(key.bytes()), 1) {
            Ok(batch) => crate::ops::map::describe(&batch, 0),
            Err(e) => e.to_string(),
        };
        self.shared.error(StepError {
            step: self.layout.owner.clone(),
            code: "late",
            message: "the window of this row has passed its retention".into(),
            input,
            time,
            diff: 1,
            on_error: self.layout.on_error,
        });
    }
    /// Forgets the groups whose time is over.
    fn expire(&mut self, now: u64) {
        while let Some(entry) = self.due.first_entry() {
            if *entry.key() > now {
                break;
            }
            for slot in entry.remove() {
                self.mark(slot, true);
                let (w, b) = (self.layout.words, self.layout.bags);
                self.words[slot as usize * w..][..w].fill(0);
                for bag in &mut self.bags[slot as usize * b..][..b] {
                    self.heap -= bag.bytes();
                    *bag = Bag::default();
                }
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
            let after = if exists { self.results.snapshot(words, bags) } else { None };
            let key = &self.keys[*slot as usize];
            self.results.tell(i, key, after, time);
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
        if let Some(expire) = &self.layout.expire {
            let due = self.layout.due(&self.keys[slot as usize], expire);
            if let Some(slots) = self.due.get_mut(&due) {
                slots.retain(|s| *s != slot);
                if slots.is_empty() {
                    self.due.remove(&due);
                }
            }
        }
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
        if let (Some((due, _)), false) = (self.due.first_key_value(), self.unborn) {
            self.wake.set(*due);
        } else if !self.unborn {
            self.wake.set(u64::MAX);
        }
        gauge.rows.set(self.table.len() as u64);
        let flat = self.keys.capacity() * size_of::<Row>()
            + self.words.capacity() * 8
            + self.bags.capacity() * size_of::<Bag>()
            + self.table.capacity() * 5;
        gauge.bytes.set((flat + self.heap) as u64);
    }
}

impl Layout {
    /// When the window of a key has passed.
    fn due(&self, key: &Row, expire: &jarvis_plan::Expire) -> u64 {
        let start = crate::columns::read_i64(key.bytes(), &self.key_widths, expire.key).unwrap_or(0);
        (start.max(0) as u64).saturating_add(expire.after)
    }
    /// Whether a bag holds only the best value, and which is best.
    fn best(&self, bag: usize) -> Option<bool> {
        self.calls.iter().find_map(|(_, p)| match p {
            Plan::Best { bag: b, greatest, .. } if *b == bag => Some(*greatest),
            _ => None,
        })
    }
}
