//! Whether a printer that says it prints gets on.
//!
//! Prints differ: a progress in whole percent stands for a quarter of an hour in a long one, and so does a layer. The limits
//! are therefore the longer of a fixed time and a multiple of the longest standstill that this print has come through.

use super::telemetry::sane;

const MINUTE: u64 = 60_000_000;
/// Nothing at all changes.
const NO_MOVEMENT: Limit = Limit { least: 30 * MINUTE, factor: 3 };
/// The progress alone, or the layer alone, stands still.
const PART: Limit = Limit { least: 60 * MINUTE, factor: 4 };
/// At the limit, and at twice the limit and later.
const NO_MOVEMENT_WEIGHT: (f64, f64) = (0.60, 0.85);
const PART_WEIGHT: f64 = 0.30;
/// Smaller changes are none.
const SAME: f64 = 1e-6;

struct Limit {
    least: u64,
    factor: u64,
}

impl Limit {
    fn of(&self, longest: u64) -> u64 {
        self.least.max(longest.saturating_mul(self.factor))
    }
}

/// Something that should change now and then.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Track {
    value: Option<f64>,
    /// µs: when it last changed, or began to be judged.
    changed: u64,
    /// The longest it has stood still before a change, µs.
    longest: u64,
}

impl Track {
    /// Whether it has changed.
    fn hear(&mut self, at: u64, value: Option<f64>) -> bool {
        let Some(value) = value else { return false };
        let changed = self.value.is_none_or(|before| (value - before).abs() > SAME);
        if changed {
            self.longest = self.longest.max(at.saturating_sub(self.changed));
            self.changed = at;
            self.value = Some(value);
        }
        changed
    }

    fn is_over(&self, at: u64, limit: &Limit) -> bool {
        self.value.is_some() && at.saturating_sub(self.changed) >= limit.of(self.longest)
    }
}

/// How a print gets on.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stall {
    progress: Track,
    z: Track,
    layer: Track,
    /// Any of them.
    any: Track,
    changes: u32,
}

impl Stall {
    /// What the printer says; with `restart` the standstill so far is not held against it.
    pub fn hear(&mut self, at: u64, progress: Option<f64>, z_mm: Option<f64>, layer: Option<u32>, restart: bool) {
        if restart {
            for track in [&mut self.progress, &mut self.z, &mut self.layer, &mut self.any] {
                track.changed = at;
            }
        }
        let progress = self.progress.hear(at, sane(progress, 0.0, 1.0));
        let z = self.z.hear(at, sane(z_mm, -1e4, 1e4));
        let layer = self.layer.hear(at, layer.map(f64::from));
        if progress || z || layer {
            self.changes = self.changes.wrapping_add(1);
            self.any.hear(at, Some(f64::from(self.changes)));
        }
    }

    /// The weight, and since when nothing has changed.
    #[must_use]
    pub fn no_movement(&self, at: u64) -> Option<(f64, u64)> {
        if !self.any.is_over(at, &NO_MOVEMENT) {
            return None;
        }
        let limit = NO_MOVEMENT.of(self.any.longest) as f64;
        let beyond = (at.saturating_sub(self.any.changed) as f64 / limit - 1.0).min(1.0);
        let (first, last) = NO_MOVEMENT_WEIGHT;
        Some((first + (last - first) * beyond, self.any.changed))
    }

    /// The progress alone stands still.
    #[must_use]
    pub fn progress(&self, at: u64) -> Option<(f64, u64)> {
        let moves = self.z.changed > self.progress.changed || self.layer.changed > self.progress.changed;
        (moves && !self.stands(at) && self.progress.is_over(at, &PART)).then_some((PART_WEIGHT, self.progress.changed))
    }

    /// The layer alone stands still.
    #[must_use]
    pub fn layer(&self, at: u64) -> Option<(f64, u64)> {
        let grows = self.progress.changed > self.layer.changed;
        (grows && !self.stands(at) && self.layer.is_over(at, &PART)).then_some((PART_WEIGHT, self.layer.changed))
    }

    fn stands(&self, at: u64) -> bool {
        self.any.is_over(at, &NO_MOVEMENT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Progress and layer, a minute apart.
    fn stall(minutes: u64, progress: impl Fn(u64) -> f64, layer: impl Fn(u64) -> u32) -> (Stall, u64) {
        let mut stall = Stall::default();
        (0..=minutes).for_each(|m| stall.hear(m * MINUTE, Some(progress(m)), None, Some(layer(m)), m == 0));
        (stall, minutes * MINUTE)
    }

    #[test]
    fn a_print_that_gets_on_is_not_stalled() {
        let (stall, now) = stall(600, |m| m as f64 / 1000.0, |m| (m / 10) as u32);
        assert_eq!((stall.no_movement(now), stall.progress(now), stall.layer(now)), (None, None, None));
    }

    #[test]
    fn a_standstill_weighs_more_the_longer_it_lasts() {
        let at = |minutes| {
            let (stall, now) = stall(minutes, |m| m.min(60) as f64 / 1000.0, |m| m.min(60) as u32);
            stall.no_movement(now).map(|(weight, since)| ((weight * 1e6) as u32, since))
        };
        assert_eq!(at(89), None);
        assert_eq!(at(90), Some((600_000, 60 * MINUTE)));
        assert_eq!(at(120), Some((850_000, 60 * MINUTE)));
        assert_eq!(at(500), Some((850_000, 60 * MINUTE)));
    }

    #[test]
    fn a_print_with_long_layers_may_stand_for_longer() {
        let slow = |m: u64| m.min(60) / 20;
        let (stall, now) = stall(119, |m| slow(m) as f64 / 100.0, |m| slow(m) as u32);
        assert_eq!(stall.no_movement(now), None);
        assert!(stall.no_movement(now + MINUTE).is_some());
    }

    #[test]
    fn the_layer_alone_may_stand_still() {
        let (stall, now) = stall(120, |m| m as f64 / 1000.0, |m| m.min(50) as u32);
        assert_eq!(stall.layer(now), Some((PART_WEIGHT, 50 * MINUTE)));
        assert_eq!((stall.no_movement(now), stall.progress(now)), (None, None));
    }
}
