//! The time of ticks.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How far the wall's clock may be behind before it is said.
const WORTH_SAYING: Duration = Duration::from_secs(1);

/// The wall's clock, but for this: it never goes back and never stands still.
///
/// Somebody sets the clock of the machine back, or a machine without a clock of its own starts with a wrong one. What
/// falls due must fall due all the same, so time then goes on at half its pace until the wall has caught up. Faster, it
/// would be ahead of what devices say for longer; slower, what is to happen after seconds would take minutes. Forwards
/// it leaps with the wall.
#[derive(Debug)]
pub(super) struct Clock {
    /// A time that was right, µs since 1970, and when that was.
    right: (u64, Instant),
    /// The wall is behind, and it was said.
    is_behind: bool,
}

impl Clock {
    pub fn start() -> Self {
        Self { right: (wall(), Instant::now()), is_behind: false }
    }

    /// Makes it at least this late, µs since 1970: a tick has had that time.
    pub fn pass(&mut self, time: u64) {
        let now = Instant::now();
        if self.without_wall(now) < time {
            self.right = (time, now);
        }
    }

    /// µs since 1970.
    pub fn now(&mut self) -> u64 {
        let wall = wall();
        let time = self.read(wall, Instant::now());
        let behind = Duration::from_micros(time - wall);
        if behind > WORTH_SAYING && !self.is_behind {
            tracing::warn!(
                "the clock of this machine is {behind:.0?} behind what ran before: time goes on at half its pace until the clock \
                 has caught up, in {:.0?}",
                behind * 2
            );
        }
        self.is_behind = !behind.is_zero() && (self.is_behind || behind > WORTH_SAYING);
        time
    }

    fn read(&mut self, wall: u64, now: Instant) -> u64 {
        let least = self.without_wall(now);
        if wall >= least {
            self.right = (wall, now);
        }
        wall.max(least)
    }

    /// The least that it can be at that moment.
    fn without_wall(&self, now: Instant) -> u64 {
        let (time, then) = self.right;
        let passed = now.saturating_duration_since(then) / 2;
        time.saturating_add(u64::try_from(passed.as_micros()).unwrap_or(u64::MAX))
    }
}

/// What the clock of this machine says, µs since 1970.
pub(super) fn wall() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_micros() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const DAY: u64 = 86_400_000_000;

    #[test]
    fn it_goes_on_when_the_wall_is_set_back_and_meets_it_again() {
        let begun = Instant::now();
        let after = |seconds: u64| begun + Duration::from_secs(seconds);
        let mut clock = Clock { right: (DAY, begun), is_behind: false };
        assert_eq!(clock.read(DAY + 10_000_000, after(10)), DAY + 10_000_000, "as the wall");
        // Set back by 30 s.
        let back = |seconds: u64| DAY + seconds * 1_000_000 - 30_000_000;
        assert_eq!(clock.read(back(10), after(10)), DAY + 10_000_000, "not back");
        assert_eq!(clock.read(back(20), after(20)), DAY + 15_000_000, "half of it");
        assert_eq!(clock.read(back(70), after(70)), DAY + 40_000_000, "met");
        assert_eq!(clock.read(back(71), after(71)), DAY + 41_000_000, "as the wall");
        // Set right again.
        assert_eq!(clock.read(DAY + 72_000_000, after(72)), DAY + 72_000_000);
    }

    #[test]
    fn a_log_may_be_ahead_of_the_wall() {
        let ahead = wall() + DAY;
        let mut clock = Clock::start();
        clock.pass(ahead);
        let first = clock.now();
        assert!((ahead..ahead + 10_000_000).contains(&first), "{first} and {ahead}");
        clock.pass(ahead - DAY / 2);
        assert!(clock.now() >= first);
    }

    proptest! {
        #[test]
        fn it_never_goes_back_and_never_stands_still(
            steps in proptest::collection::vec((0_u64..5_000_000, -10_000_000_i64..10_000_000), 1..100),
        ) {
            let mut moment = Instant::now();
            let mut clock = Clock { right: (DAY, moment), is_behind: false };
            let (mut wall, mut last) = (DAY, DAY);
            for (passed, leap) in steps {
                moment += Duration::from_micros(passed);
                // Most steps leave the wall alone.
                wall = wall.saturating_add(passed).saturating_add_signed(if leap % 4 == 0 { leap } else { 0 });
                let time = clock.read(wall, moment);
                prop_assert!(time >= last + passed / 2 - u64::from(passed > 0), "{} after {}", time, last);
                prop_assert!(time >= wall);
                last = time;
            }
        }
    }
}
