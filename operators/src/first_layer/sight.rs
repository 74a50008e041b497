//! What one camera says of a first layer: two sums of evidence, one for a layer that fails and one for a layer that holds.
//!
//! Both are tests of Wald's kind (Sequential Analysis, 1947) restarted by Page's rule (1954), on the same numbers:
//!
//! ```text
//! g(score) = −0.865 up to 0.48, +2.485 from 0.68 on, and a straight line between      nats
//! w        = seconds since the last frame / 3, at most 1; 0 for the first frame after a gap
//! failing ← max(0, failing + g w)        holding ← max(0, holding − g w)
//! ```
//!
//! The ends are the two likelihood ratios of a frame that a judge takes for a failure or not, where it takes one in
//! twenty frames of good layers for failures and six in ten of bad ones: ln(0.60/0.05) and ln(0.40/0.95). Frames a second
//! apart show nearly the same thing, and three seconds count as one look. From 0.532 on a frame speaks for a failure; it takes
//! four looks at the worst score, and half a minute at 0.58, to come to 9.2 nats, Wald's ln(1/α) for one false alarm in ten
//! thousand, and 16 s of good ones to come to 4.6, his ln(1/β) for one in a hundred.

use crate::print_failure::evidence::Health;
use std::sync::Arc;

/// Nats for a frame that shows nothing, and for one that shows a failure.
const AGAINST: f64 = -0.865;
const FOR: f64 = 2.485;
/// The scores between which the line runs.
const LOW: f64 = 0.48;
const HIGH: f64 = 0.68;
/// What counts as one look, µs.
const LOOK: u64 = 3_000_000;
/// Frames that are further apart leave a gap, µs.
const GAP: u64 = 15_000_000;
/// Evidence of a failing layer that is enough, at the usual sensitivity, nats.
pub const FAILS: f64 = 9.2;
/// Evidence of a holding one.
pub const HOLDS: f64 = 4.6;
/// Frames that are remembered.
const FRAMES: usize = 4;

/// One camera's evidence.
#[derive(Clone, Debug, PartialEq)]
pub struct Sight {
    pub name: Arc<str>,
    pub failing: f64,
    pub holding: f64,
    /// How long it has looked, µs.
    pub seen: u64,
    /// Since when there is evidence of a failure, µs.
    pub since: u64,
    /// The highest scores since then, with their frames.
    frames: Vec<(f64, String)>,
    last: Option<u64>,
    is_live: bool,
}

impl Sight {
    #[must_use]
    pub fn new(name: Arc<str>) -> Self {
        Sight { name, failing: 0.0, holding: 0.0, seen: 0, since: 0, frames: vec![], last: None, is_live: true }
    }

    /// The same camera, which sees as well as before, and has seen nothing yet.
    #[must_use]
    pub fn afresh(&self) -> Self {
        Sight { is_live: self.is_live, ..Sight::new(self.name.clone()) }
    }

    /// A frame, µs and 0 to 1; there is no evidence beyond `most`. While the camera is known not to see, it is none.
    pub fn frame(&mut self, at: u64, score: f64, frame: &str, most: f64) {
        if score.is_nan() || !self.is_live {
            return;
        }
        let apart = self.last.map(|last| at.saturating_sub(last)).filter(|apart| *apart <= GAP);
        self.last = Some(at);
        let Some(apart) = apart else { return };
        self.seen = self.seen.saturating_add(apart);
        let evidence = gain(score.clamp(0.0, 1.0)) * (apart.min(LOOK) as f64 / LOOK as f64);
        let before = self.failing;
        self.failing = (self.failing + evidence).clamp(0.0, most);
        self.holding = (self.holding - evidence).clamp(0.0, most);
        if self.failing == 0.0 {
            self.frames.clear();
        } else if before == 0.0 {
            self.since = at;
        }
        if evidence > 0.0 {
            let place = self.frames.partition_point(|(other, _)| *other >= score);
            self.frames.insert(place, (score, frame.to_owned()));
            self.frames.truncate(FRAMES);
        }
    }

    /// How it sees from now on. What it has seen of a failing layer is dropped when it stops to see: the last frames
    /// before the light goes out are worth little.
    pub fn turn(&mut self, health: Health) {
        self.is_live = health == Health::Live;
        if !self.is_live {
            (self.failing, self.holding, self.last) = (0.0, 0.0, None);
            self.frames.clear();
        }
    }

    /// Frames that come next do not belong to those before: the printer stood still.
    pub fn interrupt(&mut self) {
        self.last = None;
    }

    /// The frames that weigh most, heaviest first.
    pub fn frames(&self) -> impl Iterator<Item = &(f64, String)> {
        self.frames.iter()
    }
}

fn gain(score: f64) -> f64 {
    let part = ((score - LOW) / (HIGH - LOW)).clamp(0.0, 1.0);
    AGAINST + (FOR - AGAINST) * part
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: u64 = 1_000_000;
    const MOST: f64 = 2.0 * FAILS;

    /// Seconds of a score until there is enough evidence of a failure, at so many frames a second.
    fn seconds_until(score: f64, rate: f64) -> Option<u64> {
        let mut sight = Sight::new("bed".into());
        let step = (SECOND as f64 / rate) as u64;
        let times = (0_u64..).map(|n| n * step).take_while(|at| *at < 600 * SECOND);
        let mut times = times.inspect(|at| sight.frame(*at, score, "f", MOST)).collect::<Vec<_>>().into_iter();
        let mut again = Sight::new("bed".into());
        times
            .find(|at| {
                again.frame(*at, score, "f", MOST);
                again.failing >= FAILS
            })
            .map(|at| at / SECOND)
    }

    #[test]
    fn the_seconds_that_are_claimed() {
        assert!((10..=12).contains(&seconds_until(0.95, 1.0).unwrap()));
        assert!((28..=36).contains(&seconds_until(0.58, 1.0).unwrap()));
        assert_eq!(seconds_until(0.53, 1.0), None);
        assert!(seconds_until(0.95, 10.0).unwrap().abs_diff(seconds_until(0.95, 0.5).unwrap()) <= 4);
    }

    #[test]
    fn a_camera_that_goes_dark_has_seen_nothing() {
        let mut sight = Sight::new("bed".into());
        (0..9).for_each(|second| sight.frame(second * SECOND, 0.95, "f", MOST));
        sight.turn(Health::Dark);
        assert_eq!((sight.failing, sight.frames().count()), (0.0, 0));
        sight.frame(10 * SECOND, 0.95, "f", MOST);
        assert_eq!(sight.failing, 0.0);
    }

    proptest! {
        #[test]
        fn higher_scores_are_never_less_evidence(
            scores in prop::collection::vec((0.0..=1.0_f64, 1_u64..20), 1..60), more in 0.0..0.3_f64
        ) {
            let (mut one, mut worse) = (Sight::new("a".into()), Sight::new("a".into()));
            let mut at = 0;
            for (score, seconds) in scores {
                at += seconds * SECOND;
                one.frame(at, score, "f", MOST);
                worse.frame(at, (score + more).min(1.0), "f", MOST);
                prop_assert!(worse.failing >= one.failing && worse.holding <= one.holding);
            }
        }

        #[test]
        fn any_numbers_are_borne(scores: Vec<(f64, u32)>) {
            let mut sight = Sight::new("a".into());
            let mut at = 0;
            for (score, micros) in scores {
                at += u64::from(micros);
                sight.frame(at, score, "f", MOST);
                prop_assert!((0.0..=MOST).contains(&sight.failing) && (0.0..=MOST).contains(&sight.holding));
                prop_assert!(sight.frames.len() <= FRAMES);
            }
        }
    }
}
