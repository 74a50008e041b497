//! When something that recurs is due.

use crate::rng::Rng;

/// Every so many seconds, starting somewhere within the first period, so that not all devices speak at once.
#[derive(Clone, Debug)]
pub struct Cadence {
    period: f64,
    left: f64,
}

impl Cadence {
    /// `period` in seconds, above zero.
    pub fn new(period: f64, rng: &mut Rng) -> Self {
        Self { period, left: rng.between(0.0, period) }
    }

    /// Lets `seconds` pass; true if it became due in them (once, however often).
    pub fn due(&mut self, seconds: f64) -> bool {
        self.left -= seconds;
        if self.left > 0.0 {
            return false;
        }
        self.left = self.period + self.left % self.period;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_due_once_a_period_and_keeps_its_phase() {
        let mut cadence = Cadence::new(2.0, &mut Rng::of(1, "c"));
        let due: Vec<usize> = (0..200).filter(|_| cadence.due(0.1)).collect();
        assert!((9..=11).contains(&due.len()), "{due:?}");
        assert!(due.windows(2).all(|pair| (19..=21).contains(&(pair[1] - pair[0]))), "{due:?}");
    }

    #[test]
    fn a_step_longer_than_the_period_is_due_once() {
        let mut cadence = Cadence::new(2.0, &mut Rng::of(1, "c"));
        assert!(cadence.due(60.0));
        assert!(!cadence.due(0.0));
    }
}
