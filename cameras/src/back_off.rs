//! How long to wait before a camera is tried again.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(30);

/// One second, doubling to thirty, each shortened by up to a quarter by chance: cameras that were lost together, with
/// their switch, do not come back together.
#[derive(Default)]
pub(crate) struct BackOff {
    failures: u32,
}

impl BackOff {
    pub fn next(&mut self) -> Duration {
        let pause = (FIRST * 2_u32.pow(self.failures.min(5))).min(LONGEST);
        self.failures += 1;
        // The keys of the standard library's hash maps are random; that is chance enough.
        let chance = (RandomState::new().hash_one(self.failures) % 1000) as f64 / 1000.0;
        pause.mul_f64(1.0 - chance / 4.0)
    }

    /// The camera has shown something.
    pub fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_to_thirty_seconds_and_begins_anew() {
        let mut back_off = BackOff::default();
        for most in [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0] {
            let pause = back_off.next().as_secs_f64();
            assert!((most * 0.75..=most).contains(&pause), "{pause} of {most}");
        }
        back_off.reset();
        assert!(back_off.next() <= FIRST);
    }
}
