//! What one camera has to say about a print.
//!
//! Two cumulative sums run beside each other over its scores, each against a line of its own (see `baseline`): the
//! hint, whose line is lower, leads to a word to people; the proof leads to a pause. Both start afresh when they
//! fall to zero, and the frames that made them are remembered until then.
//!
//! What a person has accepted ("it is fine", or a resume after a pause) raises the lines above what was seen then: the
//! line of the hint for a while, that of the proof until the camera has seen a good print for a minute. Then what comes
//! is new.

use super::baseline::{Baseline, Lines};
use super::cusum::{Cusum, LONGEST_S, gain};
use super::reasons::seconds;
pub use crate::seen::Health;
use std::sync::Arc;

/// Frames remembered per camera.
pub const FRAMES: usize = 4;
/// A camera without frames for so long is as good as gone, µs.
pub const STALE: u64 = 60_000_000;
/// What a camera has seen of a failing print is forgotten so long after it last saw anything, µs.
pub const FORGOTTEN: u64 = 600_000_000;
/// New evidence has to exceed what was accepted by this.
const WORSE: f64 = 0.08;
/// So many seconds of good frames end what was accepted.
const CLEAN_S: f64 = 60.0;
/// In these, a frame that comes late stands for no longer than this.
const LONGEST_CLEAN_S: f64 = 15.0;
/// Sums end at so many times their threshold.
pub const CAP: f64 = 2.0;
/// Above this part of a threshold nothing is learnt.
const DOUBT: f64 = 0.5;

/// How much evidence is enough.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Thresholds {
    /// Nats.
    pub hint: f64,
    pub proof: f64,
    /// Added to the lines.
    pub shift: f64,
}

/// What the rule makes of frames at the moment.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    pub thresholds: Thresholds,
    /// The print runs: frames are evidence.
    pub judging: bool,
    /// All is quiet: frames may be learnt.
    pub calm: bool,
}

/// A frame that speaks for a failure.
#[derive(Clone, Debug, PartialEq)]
pub struct Weighed {
    pub score: f64,
    pub at: u64,
    pub id: Arc<str>,
}

/// What a person has accepted.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Accepted {
    /// The score that was held then.
    height: f64,
    /// Until when people are not told of it either, µs.
    quiet_until: u64,
}

/// One camera that looks at the print.
#[derive(Clone, Debug, PartialEq)]
pub struct Camera {
    pub name: Arc<str>,
    pub health: Health,
    /// µs: since when it is blind, or has not sent a frame.
    pub blind_since: Option<u64>,
    /// µs: when it last sent a frame that could be judged.
    pub last: Option<u64>,
    pub hint: Cusum,
    pub proof: Cusum,
    pub frames: Vec<Weighed>,
    baseline: Baseline,
    accepted: Option<Accepted>,
    /// Seconds of good frames in a row.
    clean: f64,
    /// The last three scores.
    recent: [f64; 3],
    /// The highest mean of three scores since the sums were last zero.
    height: f64,
}

impl Camera {
    #[must_use]
    pub fn new(name: Arc<str>) -> Self {
        Camera {
            name,
            health: Health::Live,
            blind_since: None,
            last: None,
            hint: Cusum::default(),
            proof: Cusum::default(),
            frames: vec![],
            baseline: Baseline::default(),
            accepted: None,
            clean: 0.0,
            recent: [0.0; 3],
            height: 0.0,
        }
    }

    /// A frame and its score, which is a number between 0 and 1. A second one of the same time is a repetition.
    pub fn frame(&mut self, at: u64, score: f64, id: &str, look: Look) {
        if self.health != Health::Live || self.last == Some(at) {
            return;
        }
        self.blind_since = None;
        // The first frame after a gap says how things are, not for how long they have been so.
        let gap = self.last.map_or(0.0, |last| seconds(at.saturating_sub(last)));
        self.last = Some(at);
        let [_, second, third] = self.recent;
        self.recent = [second, third, score];
        let mut lines = self.baseline.lines();
        lines.hint += look.thresholds.shift;
        lines.proof += look.thresholds.shift;
        self.notice_clean(score, gap, lines);
        if !look.judging {
            return;
        }
        self.weigh(at, score, gap, lines, look.thresholds);
        self.remember(at, score, id);
        if look.calm && self.hint.sum < DOUBT * look.thresholds.hint && self.proof.sum < DOUBT * look.thresholds.proof {
            self.baseline.learn(score, gap);
        } else {
            self.baseline.doubt();
        }
    }

    /// How well it sees from now on. What it saw of a failing print is held; the beginning of a suspicion is not, since
    /// the last frames before a light goes out or a camera falls are worth little.
    pub fn turn(&mut self, at: u64, health: Health, hold: bool) {
        self.health = health;
        if health == Health::Live {
            // Whether it sees again its next frame tells.
            return;
        }
        self.lose_sight(at, hold);
    }

    /// No frame has come for too long, or none that can be judged.
    pub fn lose_sight(&mut self, at: u64, hold: bool) {
        self.blind_since.get_or_insert(at);
        self.last = None;
        self.clean = 0.0;
        self.baseline.doubt();
        if !hold {
            self.forget();
        }
    }

    /// Drops the evidence.
    pub fn forget(&mut self) {
        self.hint = Cusum::default();
        self.proof = Cusum::default();
        self.frames.clear();
        self.height = 0.0;
    }

    /// A person accepts what is seen: until `quiet_until` nothing is said of the like. With `learn` the judge is told to
    /// be wrong here.
    pub fn accept(&mut self, quiet_until: u64, learn: bool) {
        let before = self.accepted.map_or(0.0, |accepted| accepted.height);
        let height = self.height.max(before);
        if height > 0.0 {
            self.accepted = Some(Accepted { height, quiet_until });
        }
        if learn {
            self.baseline.accept(height);
        }
        self.forget();
    }

    /// The usual score of this camera in this print, once it is known.
    #[must_use]
    pub fn usual(&self) -> Option<f64> {
        self.baseline.usual()
    }

    /// What there is of evidence: for order among cameras.
    #[must_use]
    pub fn evidence(&self) -> f64 {
        self.proof.sum + self.hint.sum
    }

    /// The highest score that was held for three frames since the evidence began.
    #[must_use]
    pub fn height(&self) -> f64 {
        self.height
    }

    fn notice_clean(&mut self, score: f64, gap: f64, lines: Lines) {
        if score >= lines.proof {
            self.clean = 0.0;
            return;
        }
        self.clean += gap.min(LONGEST_CLEAN_S);
        if self.clean >= CLEAN_S {
            self.accepted = None;
        }
    }

    fn weigh(&mut self, at: u64, score: f64, gap: f64, lines: Lines, thresholds: Thresholds) {
        let bar = self.accepted.map_or(0.0, |accepted| accepted.height + WORSE);
        let quiet = self.accepted.is_some_and(|accepted| at < accepted.quiet_until);
        let hint = if quiet { lines.hint.max(bar) } else { lines.hint };
        let weight = gap.min(LONGEST_S);
        self.hint.add(at, gain(score - hint), weight, CAP * thresholds.hint);
        self.proof.add(at, gain(score - lines.proof.max(bar)), weight, CAP * thresholds.proof);
    }

    /// Keeps the frame if it is one of those that weigh most; drops all when the evidence has gone.
    fn remember(&mut self, at: u64, score: f64, id: &str) {
        if self.hint.sum == 0.0 && self.proof.sum == 0.0 {
            self.frames.clear();
            self.height = 0.0;
            return;
        }
        let [a, b, c] = self.recent;
        self.height = self.height.max((a + b + c) / 3.0);
        let place = self.frames.partition_point(|frame| frame.score >= score);
        if place < FRAMES && !id.is_empty() {
            self.frames.truncate(FRAMES - 1);
            self.frames.insert(place, Weighed { score, at, id: id.into() });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const THRESHOLDS: Thresholds = Thresholds { hint: 6.0, proof: 3.6, shift: 0.0 };
    const LOOK: Look = Look { thresholds: THRESHOLDS, judging: true, calm: true };

    fn feed(camera: &mut Camera, from_s: u64, scores: impl IntoIterator<Item = f64>) {
        for (second, score) in scores.into_iter().enumerate() {
            let at = (from_s + second as u64) * 1_000_000;
            camera.frame(at, score, &format!("{at}"), LOOK);
        }
    }

    fn camera() -> Camera {
        Camera::new("bed".into())
    }

    #[test]
    fn the_frames_that_weigh_most_are_kept() {
        let mut camera = camera();
        feed(&mut camera, 0, [0.1, 0.7, 0.9, 0.8, 0.95, 0.7, 0.9]);
        let scores: Vec<f64> = camera.frames.iter().map(|frame| frame.score).collect();
        assert_eq!(scores, [0.95, 0.9, 0.9, 0.8]);
        assert_eq!(camera.frames[1].at, 2_000_000);
        feed(&mut camera, 7, [0.0; 10]);
        assert!(camera.frames.is_empty());
    }

    #[test]
    fn a_blind_camera_adds_nothing() {
        let mut camera = camera();
        feed(&mut camera, 0, [0.1; 10]);
        camera.turn(10_000_000, Health::Black, false);
        feed(&mut camera, 11, [1.0; 60]);
        assert_eq!((camera.proof.sum, camera.blind_since), (0.0, Some(10_000_000)));
        camera.turn(80_000_000, Health::Live, false);
        feed(&mut camera, 80, [0.1; 2]);
        assert_eq!(camera.blind_since, None);
    }

    #[test]
    fn sight_lost_ends_a_suspicion_and_holds_a_failure() {
        let mut camera = camera();
        feed(&mut camera, 0, [0.1, 0.9, 0.9]);
        let mut failing = camera.clone();
        camera.turn(3_000_000, Health::Gone, false);
        failing.turn(3_000_000, Health::Gone, true);
        assert_eq!(camera.proof.sum, 0.0);
        assert!(failing.proof.sum > 2.0);
    }

    #[test]
    fn what_was_accepted_is_evidence_again_only_when_clearly_worse() {
        let mut camera = camera();
        feed(&mut camera, 0, [0.1, 0.7, 0.7, 0.7, 0.7, 0.7]);
        camera.accept(u64::MAX, false);
        feed(&mut camera, 10, [0.7; 100]);
        assert_eq!((camera.hint.sum, camera.proof.sum), (0.0, 0.0));
        feed(&mut camera, 110, [0.95; 10]);
        assert!(camera.proof.sum > 3.6);
    }

    #[test]
    fn after_a_minute_of_good_frames_evidence_is_new() {
        let mut camera = camera();
        feed(&mut camera, 0, [0.1, 0.9, 0.9, 0.9, 0.9]);
        camera.accept(u64::MAX, false);
        feed(&mut camera, 10, [0.1; 62]);
        feed(&mut camera, 72, [0.9; 5]);
        assert!(camera.proof.sum > 3.6);
    }
}
