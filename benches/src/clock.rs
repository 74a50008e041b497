//! Event time cut into ticks.

/// The number of a commit, counted from the first event's. 32 bits keep the traces small.
pub type Tick = u32;

/// How a record's multiplicity changes.
pub type Diff = isize;

/// Maps event time (µs since the epoch) to ticks and back. A tick covers `[start_of(t), start_of(t + 1))`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clock {
    length: u64,
    origin: u64,
}

impl Clock {
    /// Ticks of `length` µs (at least 1), number 0 being the one that holds `first`.
    pub fn new(length: u64, first: u64) -> Self {
        let length = length.max(1);
        Clock { length, origin: first / length }
    }

    /// The tick that holds a moment; moments before the origin belong to tick 0.
    #[inline]
    pub fn tick_of(&self, at: u64) -> Tick {
        Tick::try_from((at / self.length).saturating_sub(self.origin)).unwrap_or(Tick::MAX)
    }

    /// The first tick that starts at or after a moment.
    pub fn tick_from(&self, at: u64) -> Tick {
        Tick::try_from(at.div_ceil(self.length).saturating_sub(self.origin)).unwrap_or(Tick::MAX)
    }

    /// The moment at which a tick starts, µs since the epoch.
    pub fn start_of(&self, tick: Tick) -> u64 {
        (self.origin + u64::from(tick)) * self.length
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tick_holds_its_start_and_not_its_end() {
        let clock = Clock::new(1000, 5_500);
        assert_eq!(clock.start_of(0), 5_000);
        assert_eq!(clock.tick_of(5_999), 0);
        assert_eq!(clock.tick_of(6_000), 1);
        assert_eq!(clock.tick_from(6_000), 1);
        assert_eq!(clock.tick_from(6_001), 2);
        assert_eq!(clock.tick_of(1), 0);
    }
}
