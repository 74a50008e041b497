//! Whether a heater does what it is told.
//!
//! Firmware has guards of its own, and stops at once when they speak: Klipper's `verify_heater` allows 120 K·s of error
//! beyond 5 K and wants 2 K of gain in 20 s (nozzle) or 60 s (bed); Marlin's defaults are 4 K for 40 s and 2 K for 20 s. This
//! one is wider and slower. It is for printers whose guard is switched off or missing, and for the cold nozzle that is
//! still within it.

use super::telemetry::sane;

/// A heater's state, °C.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Heat {
    pub actual: Option<f64>,
    /// 0 is off.
    pub target: Option<f64>,
}

/// What is asked of a heater.
#[derive(Debug, PartialEq)]
pub struct Limits {
    /// Kelvin below the target, once it was reached,
    low: f64,
    /// for so long, µs.
    low_for: u64,
    /// Kelvin above the target, or above the lowest reading since the target was set,
    high: f64,
    /// for so long, µs.
    high_for: u64,
    /// A Kelvin has to be gained in so much time, µs, on the way up.
    gain_for: u64,
}

/// A draught or a fan takes a nozzle 5 K down for some seconds.
pub const NOZZLE: Limits =
    Limits { low: 10.0, low_for: 30_000_000, high: 20.0, high_for: 10_000_000, gain_for: 300_000_000 };
/// A big bed near its limit is slow, and an open door cools it.
pub const BED: Limits =
    Limits { low: 8.0, low_for: 90_000_000, high: 15.0, high_for: 30_000_000, gain_for: 600_000_000 };

/// A heater that is off may be warmed by the other one, in a closed chamber by tens of Kelvin.
const HIGH_OFF: f64 = 80.0;
/// A target is reached at so many Kelvin below.
const REACHED: f64 = 3.0;
/// Below this a heater is off, °C.
const OFF: f64 = 20.0;
/// Targets closer than this are the same.
const SAME: f64 = 0.5;

const LOW_WEIGHT: f64 = 0.90;
const HIGH_WEIGHT: f64 = 0.95;
const NO_GAIN_WEIGHT: f64 = 0.60;

/// A heater, and what it did with its last target.
#[derive(Clone, Debug, PartialEq)]
pub struct Heater {
    limits: &'static Limits,
    target: f64,
    actual: f64,
    /// µs.
    at: u64,
    reached: bool,
    /// The lowest reading since the target was set.
    lowest: f64,
    low_since: Option<u64>,
    high_since: Option<u64>,
    /// The highest reading on the way up, and when it was last exceeded by a Kelvin.
    best: Option<(f64, u64)>,
}

impl Heater {
    #[must_use]
    pub fn new(limits: &'static Limits) -> Self {
        Heater {
            limits,
            target: 0.0,
            actual: 0.0,
            at: 0,
            reached: false,
            lowest: f64::MAX,
            low_since: None,
            high_since: None,
            best: None,
        }
    }

    /// A reading. Only while printing a heater has to keep or to reach its target; it must never run away.
    pub fn hear(&mut self, at: u64, heat: Heat, printing: bool) {
        let (Some(actual), Some(target)) = (sane(heat.actual, -60.0, 700.0), sane(heat.target, 0.0, 700.0)) else {
            return;
        };
        if (target - self.target).abs() > SAME {
            self.restart(at);
            self.high_since = None;
            self.lowest = actual;
            self.target = target;
        }
        self.at = at;
        self.actual = actual;
        self.lowest = self.lowest.min(actual);
        self.reached |= self.is_on() && actual >= target - REACHED;
        let is_low = printing && self.reached && actual < target - self.limits.low;
        self.low_since = is_low.then(|| self.low_since.unwrap_or(at));
        let margin = if self.is_on() { self.limits.high } else { HIGH_OFF };
        let is_high = actual > target.max(self.lowest) + margin;
        self.high_since = is_high.then(|| self.high_since.unwrap_or(at));
        self.best = match self.best {
            _ if !(printing && self.is_heating()) => None,
            Some((best, since)) if actual < best + 1.0 => Some((best, since)),
            _ => Some((actual, at)),
        };
    }

    /// What was seen so far is not held against it: the print stood, or the printer was silent. It has to reach its
    /// target first.
    pub fn restart(&mut self, at: u64) {
        self.at = at;
        self.reached = false;
        self.low_since = None;
        self.best = None;
    }

    /// On its way to a target.
    #[must_use]
    pub fn is_heating(&self) -> bool {
        self.is_on() && !self.reached
    }

    /// The weight of what is wrong, and since when.
    #[must_use]
    pub fn fault(&self) -> Option<(f64, u64)> {
        let lasting = |since: Option<u64>, long: u64| since.filter(|since| self.at.saturating_sub(*since) >= long);
        if let Some(since) = lasting(self.high_since, self.limits.high_for) {
            return Some((HIGH_WEIGHT, since));
        }
        if let Some(since) = lasting(self.low_since, self.limits.low_for) {
            return Some((LOW_WEIGHT, since));
        }
        let no_gain = lasting(self.best.map(|(_, since)| since), self.limits.gain_for)?;
        Some((NO_GAIN_WEIGHT, no_gain))
    }

    #[must_use]
    pub fn detail(&self, name: &str, span: &str) -> String {
        let Heater { actual, target, .. } = self;
        if self.high_since.is_some() && !self.is_on() {
            return format!("the {name} is off and has risen from {:.0} °C to {actual:.0} °C for {span}", self.lowest);
        }
        let difference = (actual - target).abs();
        let side = if actual > target { "above" } else { "below" };
        let reached = if self.is_heating() { ", and does not get warmer" } else { "" };
        format!("the {name} is at {actual:.0} °C, {difference:.0} K {side} its {target:.0} °C, for {span}{reached}")
    }

    fn is_on(&self) -> bool {
        self.target > OFF
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Readings a second apart, with their target; the fault after the last.
    fn fault(readings: impl IntoIterator<Item = (f64, f64)>) -> Option<f64> {
        let mut heater = Heater::new(&NOZZLE);
        for (second, (actual, target)) in readings.into_iter().enumerate() {
            let heat = Heat { actual: Some(actual), target: Some(target) };
            heater.hear(second as u64 * 1_000_000, heat, true);
        }
        heater.fault().map(|(weight, _)| weight)
    }

    fn steady(seconds: usize, actual: f64, target: f64) -> impl Iterator<Item = (f64, f64)> + Clone {
        std::iter::repeat_n((actual, target), seconds)
    }

    #[test]
    fn a_nozzle_that_cools_from_its_target_is_faulty() {
        assert_eq!(fault(steady(60, 215.0, 215.0).chain(steady(30, 200.0, 215.0))), None);
        assert_eq!(fault(steady(60, 215.0, 215.0).chain(steady(31, 200.0, 215.0))), Some(LOW_WEIGHT));
    }

    #[test]
    fn heating_up_and_new_targets_are_fine() {
        let up = (0..200).map(|second| (25.0 + f64::from(second), 215.0));
        let higher = steady(60, 215.0, 215.0).chain((0..60).map(|second| (215.0 + f64::from(second), 260.0)));
        let cooling = steady(60, 215.0, 215.0).chain((0..600).map(|second| (215.0 - f64::from(second) / 4.0, 60.0)));
        assert_eq!((fault(up), fault(higher), fault(cooling)), (None, None, None));
    }

    #[test]
    fn a_heater_that_runs_away_is_faulty_on_or_off() {
        let on = steady(60, 215.0, 215.0).chain((0..60).map(|second| (215.0 + f64::from(second), 215.0)));
        let off = (0..200).map(|second| (25.0 + f64::from(second), 0.0));
        assert_eq!((fault(on), fault(off)), (Some(HIGH_WEIGHT), Some(HIGH_WEIGHT)));
    }

    #[test]
    fn a_heater_that_does_not_get_warmer_is_faulty() {
        assert_eq!(fault(steady(300, 150.0, 215.0)), None);
        assert_eq!(fault(steady(302, 150.0, 215.0)), Some(NO_GAIN_WEIGHT));
    }

    #[test]
    fn readings_that_are_none_are_left_out() {
        let mut heater = Heater::new(&BED);
        for value in [f64::NAN, f64::INFINITY, -1e300, 1e9] {
            heater.hear(1, Heat { actual: Some(value), target: Some(60.0) }, true);
            heater.hear(2, Heat { actual: Some(60.0), target: Some(value) }, true);
        }
        assert_eq!(heater, Heater::new(&BED));
    }
}
