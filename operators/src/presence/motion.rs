//! How something moves along one axis of the picture: a Kalman filter of place and speed (R. E. Kalman, 1960), as in SORT
//! (A. Bewley et al., Simple Online and Realtime Tracking, ICIP 2016), but in seconds instead of frames.
//!
//! Speed is a random walk in continuous time (the white-noise acceleration of Y. Bar-Shalom et al., Estimation with
//! Applications to Tracking and Navigation, 2001, ch. 6): over `t` seconds the covariance of place and speed grows by
//! `q·[t³/3, t²/2; t²/2, t]`, whether that time is one step or many. So a camera of one frame in two seconds is
//! followed with the same constants as one of ten a second. Lengths are shares of the picture; how long a metre is there
//! comes from the size of the thing (see `tracker`). Nothing but sums, products, quotients and square roots is used, which
//! every machine rounds alike.

/// How much the speed of a person changes, (m/s)² per second: from a stand to a walk within a second or two.
const Q: f64 = 0.5;
/// How fast somebody may be who was just seen for the first time, m/s, one standard deviation.
const FIRST_SPEED: f64 = 1.0;
/// Nobody is believed to be faster, m/s.
const FASTEST: f64 = 2.5;
/// Who is out of sight walks on for so long, s; people stop and turn, so that then only the uncertainty grows.
const WALKS_ON_S: f64 = 2.0;
/// Uncertainty grows for no longer than this, s.
const LONGEST_S: f64 = 30.0;

/// Place and speed along one axis, in shares of the picture and of it per second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Axis {
    pub place: f64,
    pub speed: f64,
    /// Variances of the place, of both together, and of the speed.
    pub variance: f64,
    covariance: f64,
    speed_variance: f64,
}

impl Axis {
    /// Seen for the first time, with such a standard deviation.
    #[must_use]
    pub fn new(place: f64, noise: f64, metre: f64) -> Self {
        let fast = FIRST_SPEED * metre;
        Axis { place, speed: 0.0, variance: noise * noise, covariance: 0.0, speed_variance: fast * fast }
    }

    /// Where it will be after so many seconds.
    #[must_use]
    pub fn ahead(&self, seconds: f64, metre: f64) -> Self {
        let t = seconds.clamp(0.0, LONGEST_S);
        let q = Q * metre * metre;
        let variance = self.variance + 2.0 * t * self.covariance + t * t * self.speed_variance + q * t * t * t / 3.0;
        let fastest = FASTEST * metre;
        let speed_variance = (self.speed_variance + q * t).min(fastest * fastest);
        // No more than goes together with a speed that has an end.
        let covariance =
            (self.covariance + t * self.speed_variance + q * t * t / 2.0).min((variance * speed_variance).sqrt());
        let place = self.place + self.speed * t.min(WALKS_ON_S);
        Axis { place, speed: self.speed, variance, covariance, speed_variance }
    }

    /// Seen again, with such a standard deviation.
    #[must_use]
    pub fn seen(&self, place: f64, noise: f64, metre: f64) -> Self {
        let total = self.variance + noise * noise;
        let (gain, speed_gain) = (self.variance / total, self.covariance / total);
        let surprise = place - self.place;
        let fastest = FASTEST * metre;
        Axis {
            place: self.place + gain * surprise,
            speed: (self.speed + speed_gain * surprise).clamp(-fastest, fastest),
            variance: (1.0 - gain) * self.variance,
            covariance: (1.0 - gain) * self.covariance,
            speed_variance: (self.speed_variance - speed_gain * self.covariance).max(0.0),
        }
    }
}

/// The natural logarithm of a number above 0, by the series of the area tangent: a library's own may differ in its
/// last digit from machine to machine.
#[must_use]
pub fn ln(number: f64) -> f64 {
    let (mut mantissa, mut doublings) = (number.clamp(f64::MIN_POSITIVE, f64::MAX), 0.0);
    while mantissa >= 2.0 {
        (mantissa, doublings) = (mantissa / 2.0, doublings + 1.0);
    }
    while mantissa < 1.0 {
        (mantissa, doublings) = (mantissa * 2.0, doublings - 1.0);
    }
    let t = (mantissa - 1.0) / (mantissa + 1.0);
    let series = (0..16).rev().fold(0.0, |sum, n| sum * t * t + 1.0 / (2.0 * f64::from(n) + 1.0));
    doublings * std::f64::consts::LN_2 + 2.0 * t * series
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const METRE: f64 = 0.2;
    const NOISE: f64 = 0.02;

    proptest! {
        #[test]
        fn the_logarithm_is_one(number in prop_oneof![1e-9..1e9_f64, 0.5..2.0_f64]) {
            prop_assert!((ln(number) - number.ln()).abs() < 1e-12 * (1.0 + number.ln().abs()));
        }

        /// As long as the speed has not reached its end: the growth of uncertainty is that of time, not of steps.
        #[test]
        fn many_steps_ahead_are_one(seconds in 0.01..2.0_f64, steps in 1..20_usize) {
            let start = Axis::new(0.5, NOISE, METRE).ahead(0.3, METRE).seen(0.54, NOISE, METRE);
            let one = start.ahead(seconds, METRE);
            let many = (0..steps).fold(start, |axis, _| axis.ahead(seconds / steps as f64, METRE));
            for (a, b) in [(one.place, many.place), (one.variance, many.variance), (one.covariance, many.covariance)] {
                prop_assert!((a - b).abs() < 1e-9, "{one:?} {many:?}");
            }
        }

        #[test]
        fn variances_stay_sound(steps in prop::collection::vec((0.0..40.0_f64, -3.0..3.0_f64), 1..60)) {
            let mut axis = Axis::new(0.5, NOISE, METRE);
            for (seconds, place) in steps {
                axis = axis.ahead(seconds, METRE);
                prop_assert!(axis.covariance * axis.covariance <= axis.variance * axis.speed_variance * (1.0 + 1e-9));
                axis = axis.seen(place, NOISE, METRE);
                prop_assert!(axis.variance >= 0.0 && axis.speed_variance >= 0.0 && axis.place.is_finite());
                prop_assert!(axis.speed.abs() <= FASTEST * METRE);
            }
        }

        #[test]
        fn a_steady_walk_is_learnt_at_any_rate(rate in 0.5..10.0_f64, speed in -0.3..0.3_f64) {
            let mut axis = Axis::new(0.0, NOISE, METRE);
            for frame in 1..=(6.0 * rate).ceil() as u32 {
                axis = axis.ahead(1.0 / rate, METRE).seen(speed * f64::from(frame) / rate, NOISE, METRE);
            }
            prop_assert!((axis.speed - speed).abs() < 0.02, "{axis:?}");
        }
    }
}
