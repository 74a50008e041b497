//! Page's cumulative sum (E. S. Page, Continuous Inspection Schemes, Biometrika 41, 1954): `S ← max(0, S + g·w)`, a
//! sequential probability ratio test (A. Wald, 1945) that starts afresh whenever the evidence speaks for a good print.
//!
//! `g(x)` is the log-likelihood ratio, in nats per second, of a score that lies `x` above the line where it says nothing.
//! It is tabulated and straight in between, so that every machine computes the same, and bounded at both ends: no
//! frame is worth more than the few seconds' evidence that any frame can be. Good frames weigh a little more
//! than bad ones equally far from the line, since spaghetti does not vanish, while hands and flashes come and go.

/// (score above the line, nats per second), straight in between.
const GAIN: [(f64, f64); 11] = [
    (-0.60, -1.60),
    (-0.40, -1.30),
    (-0.30, -1.00),
    (-0.10, -0.30),
    (0.00, 0.00),
    (0.05, 0.10),
    (0.10, 0.22),
    (0.20, 0.50),
    (0.30, 0.95),
    (0.35, 1.15),
    (0.40, 1.25),
];
/// Neighbouring frames repeat one another: a frame counts for the time since the last one, and for no more than this.
pub const LONGEST_S: f64 = 1.25;
/// So many bad frames,
const SURE_FRAMES: u32 = 3;
/// over so many seconds, make a sum more than a flash.
const SURE_S: f64 = 2.2;

/// The log-likelihood ratio per second of a score so far above the line.
#[must_use]
pub fn gain(above: f64) -> f64 {
    let [first, .., last] = GAIN;
    if above <= first.0 {
        return first.1;
    }
    for pair in GAIN.windows(2) {
        let [low, high] = [pair[0], pair[1]];
        if above < high.0 {
            return low.1 + (high.1 - low.1) * ((above - low.0) / (high.0 - low.0));
        }
    }
    last.1
}

/// A sum of evidence, and what it is made of.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cusum {
    /// Nats.
    pub sum: f64,
    /// Bad frames since it was last zero.
    pub frames: u32,
    /// The time that they stand for.
    pub seconds: f64,
    /// µs: when it was last zero.
    pub since: u64,
}

impl Cusum {
    /// A frame that stands for so many seconds. The sum ends at the cap: what can be piled up can be taken down again in
    /// foreseeable time.
    pub fn add(&mut self, at: u64, gain: f64, seconds: f64, cap: f64) {
        let sum = self.sum + gain * seconds;
        if sum <= 0.0 {
            *self = Cusum::default();
            return;
        }
        if self.sum == 0.0 {
            self.since = at;
        }
        self.sum = sum.min(cap);
        if gain > 0.0 && seconds > 0.0 {
            self.frames = self.frames.saturating_add(1);
            self.seconds += seconds;
        }
    }

    /// Whether there are more bad frames than one or two flashes make.
    #[must_use]
    pub fn is_sure(&self) -> bool {
        self.frames >= SURE_FRAMES && self.seconds >= SURE_S
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gain_grows_with_the_score() {
        let gains: Vec<f64> = (-110..=110).map(|x| gain(f64::from(x) / 100.0)).collect();
        assert!(gains.is_sorted());
        assert_eq!((gain(0.0), gain(-1.0), gain(1.0)), (0.0, -1.6, 1.25));
        assert!((gain(0.15) - 0.36).abs() < 1e-12);
    }

    #[test]
    fn good_frames_weigh_more_than_bad_ones_as_far_from_the_line() {
        assert!((1..=60).map(|x| f64::from(x) / 100.0).all(|x| gain(x) + gain(-x) <= 0.0));
    }

    #[test]
    fn two_frames_are_never_sure_however_long_they_stand() {
        let mut sum = Cusum::default();
        sum.add(0, 1.25, LONGEST_S, 10.0);
        sum.add(1, 1.25, LONGEST_S, 10.0);
        assert!(!sum.is_sure());
        sum.add(2, 0.1, LONGEST_S, 10.0);
        assert!(sum.is_sure());
    }

    #[test]
    fn many_frames_within_two_seconds_are_not_sure() {
        let mut sum = Cusum::default();
        (0..20).for_each(|at| sum.add(at, 1.25, 0.1, 10.0));
        assert!(!sum.is_sure());
        (0..3).for_each(|at| sum.add(at, 1.25, 0.1, 10.0));
        assert!(sum.is_sure());
    }
}
