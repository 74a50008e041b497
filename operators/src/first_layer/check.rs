//! The check of one print's first layer, from its first line to the word that it holds, or does not.
//!
//! | verdict | |
//! |---|---|
//! | `checking` | the layer is being laid down, or a doubt at its end is waited for |
//! | `failed` | some camera has enough evidence of a failing layer; a pause is asked for until the print stands still |
//! | `holds` | the layer is over; a camera has seen most of it and has enough evidence that it holds, and none doubts it |
//! | `doubtful` | it is over and some camera doubts it, or none is sure |
//! | `unseen` | it is over, and no camera has seen most of it: nothing is known |
//!
//! That nothing was seen is never taken for that nothing is wrong. A person who says that it is fine, or resumes a print that
//! there was any doubt of when it was paused, by whomever, has seen it: then it is not paused for its first layer again, and
//! `accepted` says so. While alarms are muted no pause is asked for.

use super::layer::{Layer, Stage};
use super::sight::{FAILS, HOLDS, Sight};
use crate::print_failure::cameras::CAMERAS;
use crate::print_failure::evidence::Health;
use crate::print_failure::telemetry::{Phase, Telemetry};

/// A doubt at the end of the layer is waited for so long, µs: the next layer shows it.
const WAIT: u64 = 60_000_000;
/// Sums end at so many times what is enough.
const CAP: f64 = 2.0;
/// The part of the evidence that suffices at which there is a doubt.
const DOUBT: f64 = 0.5;
/// The part of the layer's time that a camera has to have seen.
const MOST_OF_IT: f64 = 0.6;

/// What is known of a first layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Checking,
    Failed,
    Holds,
    Doubtful,
    Unseen,
    Accepted,
}

impl Verdict {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Verdict::Checking => "checking",
            Verdict::Failed => "failed",
            Verdict::Holds => "holds",
            Verdict::Doubtful => "doubtful",
            Verdict::Unseen => "unseen",
            Verdict::Accepted => "accepted",
        }
    }
}

/// What is told of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    pub verdict: Verdict,
    /// Since when, µs.
    pub since: u64,
    /// A pause should be asked for.
    pub pause: bool,
    /// How sure a failure is, 0 to 1; 0.8 is enough.
    pub confidence: f64,
    /// In one line, for people.
    pub message: String,
    /// The frames that it rests on, heaviest first.
    pub frames: Vec<String>,
}

/// The check of one print.
#[derive(Clone, Debug)]
pub struct Check {
    layer: Layer,
    /// Evidence that is enough, nats.
    fails: f64,
    sights: Vec<Sight>,
    phase: Phase,
    /// What it has come to, if it has, and since when.
    settled: Option<Told>,
    /// The print stands still, or has and does not print again yet; and whether there was a doubt when it began to.
    stood_still: Option<bool>,
    /// It has stood still since it was said to fail: nobody needs to be asked for a pause any more.
    was_paused: bool,
    /// No pause is asked for until then, µs.
    muted_until: u64,
    /// How long the printer printed during the layer, µs: pauses are not to be seen.
    printed: u64,
    now: u64,
}

impl Check {
    /// `untold`: how long a first layer lasts of which the printer tells nothing, µs. A sensitivity of 2 asks for half of the
    /// usual evidence.
    #[must_use]
    pub fn new(untold: u64, sensitivity: f64) -> Self {
        Check {
            layer: Layer::new(untold),
            fails: FAILS / sensitivity,
            sights: vec![],
            phase: Phase::Unknown,
            settled: None,
            stood_still: None,
            was_paused: false,
            muted_until: 0,
            printed: 0,
            now: 0,
        }
    }

    /// The check of the next print, by the same cameras.
    #[must_use]
    pub fn next(&self, untold: u64, sensitivity: f64) -> Self {
        let mut next = Check::new(untold, sensitivity);
        next.sights = self.sights.iter().map(Sight::afresh).collect();
        next.now = self.now;
        next
    }

    /// What the printer does, as far as is known.
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// What the printer says. Times are in µs and do not fall.
    pub fn hear(&mut self, at: u64, said: &Telemetry) {
        self.advance(at);
        self.phase = if said.phase == Phase::Unknown { self.phase } else { said.phase };
        if self.phase != Phase::Printing {
            self.sights.iter_mut().for_each(Sight::interrupt);
        }
        self.layer.hear(at, said);
        match self.phase {
            Phase::Paused => {
                self.stood_still = self.stood_still.or(Some(self.is_doubted()));
                self.was_paused |= self.has_failed();
            }
            // On the way some printers prepare once more.
            Phase::Printing => {
                if self.stood_still.take() == Some(true) {
                    self.accept(at);
                }
            }
            Phase::Unknown | Phase::Preparing => {}
            Phase::Idle | Phase::Finished | Phase::Cancelled | Phase::Failed => self.stood_still = None,
        }
        self.settle();
    }

    fn has_failed(&self) -> bool {
        matches!(&self.settled, Some(told) if told.verdict == Verdict::Failed)
    }

    fn is_doubted(&self) -> bool {
        self.has_failed() || self.settled.is_none() && self.sights.iter().any(|sight| sight.failing > 0.0)
    }

    /// A camera's frame that a judge has scored.
    pub fn frame(&mut self, at: u64, camera: &str, score: f64, frame: &str) {
        self.advance(at);
        if self.is_open() && self.phase == Phase::Printing {
            let most = CAP * self.fails;
            self.sight(camera).frame(at, score, frame, most);
            self.settle();
        }
    }

    /// How a camera sees from now on.
    pub fn turn(&mut self, at: u64, camera: &str, health: Health) {
        self.advance(at);
        self.sight(camera).turn(health);
    }

    /// A person has seen it, and says that it is fine. Of a layer that is not there yet, or was found to hold, nobody says so.
    pub fn accept(&mut self, at: u64) {
        self.advance(at);
        if !self.is_open() && !self.has_failed() {
            return;
        }
        let message = "a person has seen it, and let it go on".to_owned();
        let told =
            Told { verdict: Verdict::Accepted, since: at, pause: false, confidence: 0.0, message, frames: vec![] };
        self.settled = Some(told);
    }

    /// No pause is asked for until a time, µs; 0 ends it.
    pub fn mute(&mut self, at: u64, until: u64) {
        self.advance(at);
        self.muted_until = until;
    }

    /// Another sensitivity, from now on.
    pub fn tune(&mut self, at: u64, sensitivity: f64) {
        self.advance(at);
        self.fails = FAILS / sensitivity;
        self.settle();
    }

    /// Time has passed, up to `now`, µs.
    pub fn advance(&mut self, now: u64) {
        if now <= self.now {
            return;
        }
        if self.is_during() && self.phase == Phase::Printing {
            self.printed += now - self.now;
        }
        self.now = now;
        self.layer.advance(now);
        self.settle();
    }

    /// When it changes next although nothing is told, µs.
    #[must_use]
    pub fn wake(&self) -> Option<u64> {
        let later = |wake: &u64| *wake > self.now && *wake < u64::MAX;
        if self.settled.is_some() {
            return Some(self.muted_until).filter(later).filter(|_| self.has_failed());
        }
        let waits = if let Stage::Over { at, .. } = self.layer.stage() { Some(at.saturating_add(WAIT)) } else { None };
        self.layer.ends().or(waits).filter(later)
    }

    /// `None`: there is nothing to tell yet, or the print was under way before.
    #[must_use]
    pub fn told(&self) -> Option<Told> {
        if let Some(settled) = &self.settled {
            let may = self.phase == Phase::Printing && !self.was_paused && self.now >= self.muted_until;
            let pause = settled.pause && may;
            return Some(Told { pause, ..settled.clone() });
        }
        let (Stage::During { since } | Stage::Over { since, .. }) = self.layer.stage() else { return None };
        let message = "the first layer is being laid down".to_owned();
        let told = Told { verdict: Verdict::Checking, since, pause: false, confidence: 0.0, message, frames: vec![] };
        Some(told)
    }

    /// The print is being made, or waits to go on.
    #[must_use]
    pub fn is_under_way(&self) -> bool {
        matches!(self.phase, Phase::Preparing | Phase::Printing | Phase::Paused)
    }

    fn is_during(&self) -> bool {
        matches!(self.layer.stage(), Stage::During { .. })
    }

    /// Frames still count.
    fn is_open(&self) -> bool {
        self.settled.is_none() && matches!(self.layer.stage(), Stage::During { .. } | Stage::Over { .. })
    }

    fn sight(&mut self, camera: &str) -> &mut Sight {
        let place = match self.sights.binary_search_by(|sight| (*sight.name).cmp(camera)) {
            Ok(place) => place,
            Err(_) => {
                if self.sights.len() == CAMERAS {
                    let least = (0..CAMERAS).min_by_key(|place| self.sights[*place].seen).unwrap_or_default();
                    self.sights.remove(least);
                }
                let place = self.sights.partition_point(|sight| &*sight.name < camera);
                self.sights.insert(place, Sight::new(camera.into()));
                place
            }
        };
        &mut self.sights[place]
    }

    /// Comes to a verdict, if it is time.
    fn settle(&mut self) {
        if !self.is_open() {
            return;
        }
        let worst = self.sights.iter().max_by(|a, b| a.failing.total_cmp(&b.failing));
        if let Some(worst) = worst.filter(|worst| worst.failing >= self.fails) {
            let highest = worst.frames().next().map_or(0.0, |(score, _)| *score);
            let message = format!("{} sees a first layer that fails, scores up to {highest:.2}", worst.name);
            let frames = worst.frames().map(|(_, frame)| frame.clone()).filter(|frame| !frame.is_empty()).collect();
            let confidence = 0.8 + 0.18 * (worst.failing / self.fails - 1.0).min(1.0);
            let told = Told { verdict: Verdict::Failed, since: worst.since, pause: true, confidence, message, frames };
            self.settled = Some(told);
            return;
        }
        let Stage::Over { at, .. } = self.layer.stage() else { return };
        let doubts = worst.is_some_and(|worst| worst.failing >= DOUBT * self.fails);
        let is_waiting = self.phase == Phase::Printing && self.now < at.saturating_add(WAIT);
        let sure = self.sights.iter().any(|sight| sight.holding >= HOLDS && self.has_seen_it(sight));
        let (verdict, message) = if !self.sights.iter().any(|sight| self.has_seen_it(sight)) {
            (Verdict::Unseen, "no camera has seen most of the first layer".to_owned())
        } else if sure && !doubts {
            (Verdict::Holds, "the first layer holds".to_owned())
        } else if is_waiting {
            return;
        } else {
            (Verdict::Doubtful, "it is not sure that the first layer holds".to_owned())
        };
        let since = self.now.max(at);
        self.settled = Some(Told { verdict, since, pause: false, confidence: 0.0, message, frames: vec![] });
    }

    fn has_seen_it(&self, sight: &Sight) -> bool {
        sight.seen > 0 && sight.seen as f64 >= MOST_OF_IT * self.printed as f64
    }
}
