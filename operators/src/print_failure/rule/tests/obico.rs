//! The rule of the project that most people use, as an oracle, and this one on the same frames.
//!
//! Theirs: an exponential mean `e` of the scores over 12 frames, a running mean `s` of 310 and one of 7200 frames, `l`. A
//! frame is `(e − l) · sensitivity / escalation` bad; it fails from frame 30 on when that is beyond 0.38, and beyond 0.78 or
//! beyond `3.8 (s − l)`. Frames come every 10 s. The escalation is 1 for an alert and 1.75 for a pause.

use super::stage::{MINUTE, Stage};
use crate::print_failure::reasons::Level;
use crate::print_failure::settings::Sensitivity;
use crate::print_failure::telemetry::Phase;

struct Obico {
    n: f64,
    e: f64,
    s: f64,
    l: f64,
    lifetime: f64,
}

impl Obico {
    fn new() -> Self {
        Obico { n: 0.0, e: 0.0, s: 0.0, l: 0.02, lifetime: 100_000.0 }
    }

    /// Whether the frame alerts, and whether it pauses.
    fn frame(&mut self, p: f64) -> (bool, bool) {
        self.n += 1.0;
        self.lifetime += 1.0;
        let alpha = 2.0 / 13.0;
        self.e = alpha * p + (1.0 - alpha) * self.e;
        self.s += (p - self.s) / if self.n >= 310.0 { 310.0 } else { self.n + 1.0 };
        self.l += (p - self.l) / if self.lifetime >= 7200.0 { 7200.0 } else { self.lifetime + 1.0 };
        (self.fails(1.0), self.fails(1.75))
    }

    fn fails(&self, escalation: f64) -> bool {
        let bad = (self.e - self.l) / escalation;
        self.n >= 30.0 && bad >= 0.38 && (bad > 0.78 || bad > 3.8 * (self.s - self.l))
    }

    /// Numbers of the first frame that alerts, the last one, and the first one that pauses.
    fn play(&mut self, scores: impl Iterator<Item = f64>) -> (Option<usize>, Option<usize>, Option<usize>) {
        let frames: Vec<(bool, bool)> = scores.map(|score| self.frame(score)).collect();
        let number = |place: Option<usize>| place.map(|place| place + 1);
        let alert = |frame: &(bool, bool)| frame.0;
        let first_pause = number(frames.iter().position(|frame| frame.1));
        (number(frames.iter().position(alert)), number(frames.iter().rposition(alert)), first_pause)
    }
}

fn constant(score: f64, frames: usize) -> impl Iterator<Item = f64> {
    std::iter::repeat_n(score, frames)
}

/// Frames that our rule needs for a word and for a pause.
fn ours(clean: usize, score: f64, frames: usize) -> (Stage, Option<usize>, Option<usize>) {
    let mut stage = Stage::with(Sensitivity::NORMAL, 0.1);
    stage.frames("bed", constant(0.0, clean));
    let (mut told, mut paused) = (None, None);
    for number in 1..=frames {
        stage.frames("bed", [score]);
        told = told.or((stage.level() >= Level::Suspect).then_some(number));
        paused = paused.or(stage.verdict().pause.then_some(number));
    }
    (stage, told, paused)
}

#[test]
fn the_oracle_does_what_is_known_of_it() {
    for (score, expected) in
        [(0.5, (Some(10), Some(77), None)), (0.6, (Some(7), Some(75), None)), (0.8, (Some(5), Some(73), Some(12)))]
    {
        let mut obico = Obico::new();
        obico.play(constant(0.0, 180));
        assert_eq!(obico.play(constant(score, 720)), expected, "{score}");
    }
}

#[test]
fn it_is_blind_for_thirty_frames_and_ours_is_not() {
    let (theirs, ..) = Obico::new().play(constant(1.0, 100));
    assert_eq!(theirs, Some(30));
    let (_, told, paused) = ours(0, 1.0, 100);
    assert!(told <= Some(5) && paused <= Some(5) && paused.is_some(), "{told:?} {paused:?}");
}

#[test]
fn it_falls_silent_on_a_moderate_failure_and_ours_does_not() {
    for score in [0.5, 0.6, 0.8] {
        let mut obico = Obico::new();
        obico.play(constant(0.0, 180));
        let (_, last, _) = obico.play(constant(score, 720));
        assert!(last < Some(80));
        let (stage, told, _) = ours(180, score, 720);
        assert!(told.is_some() && stage.level() >= Level::Suspect, "{score}");
        assert_eq!(stage.story().iter().filter(|level| **level == Level::Watching).count(), 1, "{score}");
    }
}

#[test]
fn it_takes_longer_on_the_same_frames() {
    for score in [0.6, 0.8, 0.9, 1.0] {
        let mut obico = Obico::new();
        obico.play(constant(0.0, 180));
        let (alert, _, pause) = obico.play(constant(score, 720));
        let (_, told, paused) = ours(180, score, 720);
        println!("{score}: theirs alert {alert:?} pause {pause:?}, ours {told:?} {paused:?}");
        let never = usize::MAX;
        assert!(paused.unwrap_or(never) < pause.unwrap_or(never), "{score}: {paused:?} {pause:?}");
        if score >= 0.8 {
            assert!(told <= alert, "{score}: {told:?} {alert:?}");
        }
    }
}

#[test]
fn it_would_pause_again_after_a_resume_and_ours_does_not() {
    // While a print stands no frames are judged: the exponential mean is what it was.
    let mut obico = Obico::new();
    obico.play(constant(0.0, 180));
    let (.., pause) = obico.play(constant(0.95, 20));
    assert!(pause.is_some());
    assert!(obico.frame(0.95).1);

    let (mut stage, _, paused) = ours(180, 0.95, 20);
    assert!(paused.is_some());
    stage.phase(Phase::Paused).pass(10 * MINUTE).phase(Phase::Printing);
    stage.frames("bed", constant(0.95, 360));
    assert_eq!(stage.pauses.len(), 1);
}
