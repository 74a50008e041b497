//! What a slow receiver has still to be given: every change of health, and the newest frame.

use crate::health::Health;
use crate::watch::{Frame, Seen};
use std::collections::VecDeque;

/// Changes of health that are remembered; the oldest go first.
const LONGEST: usize = 32;

/// Things on their way to the receiver, in order.
#[derive(Default)]
pub(crate) struct Outbox {
    waiting: VecDeque<Seen>,
    skipped: u64,
}

impl Outbox {
    /// It takes the place of a frame that still waits, which is skipped.
    pub fn add_frame(&mut self, frame: Frame) {
        let before = self.waiting.len();
        self.waiting.retain(|seen| !matches!(seen, Seen::Frame(_)));
        self.skipped += (before - self.waiting.len()) as u64;
        self.waiting.push_back(Seen::Frame(frame));
    }

    /// It takes the place of a report of the same state that still waits, if no other state came in between.
    pub fn add_health(&mut self, health: Health) {
        let last = self.waiting.iter().rposition(|seen| matches!(seen, Seen::Health(_)));
        if let Some(last) = last
            && matches!(&self.waiting[last], Seen::Health(before) if before.state == health.state)
        {
            self.waiting.remove(last);
        }
        if self.waiting.len() >= LONGEST
            && let Some(first) = self.waiting.iter().position(|seen| matches!(seen, Seen::Health(_)))
        {
            self.waiting.remove(first);
        }
        self.waiting.push_back(Seen::Health(health));
    }

    pub fn next(&mut self) -> Option<Seen> {
        self.waiting.pop_front()
    }

    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub fn has_frame(&self) -> bool {
        self.waiting.iter().any(|seen| matches!(seen, Seen::Frame(_)))
    }

    /// Frames that others took the place of, in all.
    pub fn skipped(&self) -> u64 {
        self.skipped
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::Hash;
    use crate::health::State;
    use crate::picture::Light;
    use std::time::SystemTime;

    const AT: SystemTime = SystemTime::UNIX_EPOCH;

    fn frame(sequence: u64) -> Frame {
        let (jpeg, hash) = (bytes::Bytes::new(), Hash::of(b""));
        Frame { taken: AT, sequence, width: 1, height: 1, jpeg, hash, light: Light::default() }
    }

    fn health(state: State, frames: u64) -> Health {
        Health { at: AT, state, reason: String::new(), since: AT, frames, skipped: 0, rate: 0.0 }
    }

    fn rest(outbox: &mut Outbox) -> Vec<String> {
        let name = |seen| match seen {
            Seen::Frame(frame) => frame.sequence.to_string(),
            Seen::Health(health) => format!("{} {}", health.state, health.frames),
        };
        std::iter::from_fn(|| outbox.next()).map(name).collect()
    }

    #[test]
    fn only_the_newest_frame_waits() {
        let mut outbox = Outbox::default();
        (0..5).for_each(|n| outbox.add_frame(frame(n)));
        assert_eq!((outbox.skipped(), outbox.has_frame()), (4, true));
        assert_eq!(rest(&mut outbox), ["4"]);
    }

    #[test]
    fn every_change_of_health_waits_and_of_signs_of_life_the_newest() {
        let mut outbox = Outbox::default();
        outbox.add_health(health(State::Live, 1));
        outbox.add_frame(frame(1));
        outbox.add_health(health(State::Live, 2));
        outbox.add_health(health(State::Gone, 3));
        outbox.add_health(health(State::Gone, 4));
        outbox.add_health(health(State::Live, 5));
        outbox.add_frame(frame(2));
        assert_eq!(rest(&mut outbox), ["live 2", "gone 4", "live 5", "2"]);
    }

    #[test]
    fn what_waits_is_bounded() {
        let mut outbox = Outbox::default();
        for n in 0..1000 {
            outbox.add_health(health(if n % 2 == 0 { State::Live } else { State::Gone }, n));
            outbox.add_frame(frame(n));
        }
        let rest = rest(&mut outbox);
        assert!(rest.len() <= LONGEST + 1 && rest.last().is_some_and(|last| last == "999"), "{rest:?}");
    }
}
