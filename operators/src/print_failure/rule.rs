//! When a print fails: the decision, from what cameras and the printer say.
//!
//! A [`Watch`] follows one print of one printer. It is told of frames that a judge has scored, of how well cameras see,
//! of what the printer says of itself, and of what people answer; and it says how the print fares, why, and whether to pause
//! it. It is a function of what it was told, and of the time: it has no clock, draws no lots and uses no arithmetic that two
//! machines could do differently. A clone that is told the same says the same, so a row that comes late is dealt with by
//! telling an older clone again.
//!
//! # What is asked of it
//!
//! Three frames of spaghetti are enough for a person, and a hand in the picture is none. So the rule has to be as fast
//! as three or four frames, and as slow as is needed for weak signs; it must not be blind while the first layer
//! goes wrong; it must not get used to a failure; and when a person has said "go on", it must not stop the print
//! again for the same sight. Everything is counted in seconds: it works at a frame in ten seconds, and at ten a second.
//!
//! # What cameras see
//!
//! Each camera has two lines, at which a score says nothing. They stand 0.10 above its usual score in this print, which is
//! the 90th percentile of the last half hour of quiet (see `baseline`). Two of Page's sums run against them (1954; see
//! `cusum` for the table of `g`):
//!
//! ```text
//! w = min(seconds since the last frame, 1.25)           0 for the first frame, and the first after a gap
//! S ← min(max(0, S + g(score − line) · w), 2 h)         h = 4.5 nats for the proof, 6.0 for the hint
//! E = the largest S/h of all cameras + 0.35 · the sum of the others
//! spaghetti = max( E ≤ 1: 0.80 E, beyond: 0.80 + 0.18 (E − 1), of the proof;   0.60 · min(E, 1), of the hint )
//! ```
//!
//! | | hint | proof |
//! |---|---|---|
//! | leads to | a word to people | a pause |
//! | line before there are three minutes of quiet | 0.58 | 0.58 |
//! | line afterwards, usual score + 0.10, at least | 0.42 | 0.55 |
//! | and at most (the usual score is capped at 0.60, and at 0.15 above that of the first ten minutes) | 0.70 | 0.70 |
//! | evidence at which it has all its weight | 6.0 nats | 4.5 nats |
//!
//! Until a sum rests on three bad frames that stand for 2.2 s, it weighs 0.35 at most and counts nothing towards a pause:
//! one frame, or two, or a flash of two seconds at ten frames a second is no failure, however high it scores. A score of
//! 0.9 is worth 1.15 nats per second after a clean quarter of an hour: a pause at the fourth frame. One of 0.6 is worth 0.1:
//! three quarters of a minute. A sensitivity k divides both thresholds and shifts the lines by `0.2 (1 − k)/(1 + k)`; low
//! is 0.6 and high 1.4. Scores that flicker around 0.5 are worth nothing to the proof, and a word at most.
//!
//! Learning stops while either sum is beyond half of its threshold or the level is not calm, and the minutes before are
//! thrown away with it. So a failure never becomes its own measure, which is what silences rules with an adaptive mean.
//!
//! A camera that is frozen, dark, black or gone, or has sent no frame for 60 s, is no evidence. What it had begun to suspect is
//! dropped, since the last frames before the light goes out are worth little; what it saw of a print that was failing
//! already is held for ten minutes, since nothing became better by not being seen.
//!
//! # What the printer says
//!
//! | reason | holds when | weight |
//! |---|---|---|
//! | `firmware_error` | it reports an error, or that the print has failed; in every phase | 0.98 |
//! | `nozzle_heat_fault` | 20 K above the target and the lowest reading since it was set, for 10 s; 80 K if off | 0.95 |
//! | | 10 K below the target for 30 s, printing, once it was reached | 0.90 |
//! | | no Kelvin gained in 5 min on the way up, printing | 0.60 |
//! | `bed_heat_fault` | 15 K above for 30 s; 8 K below for 90 s; no Kelvin in 10 min | 0.95, 0.90, 0.60 |
//! | `filament_out` | the sensor says so for 10 s, and the printer prints on | 0.85 |
//! | `no_movement` | progress, height and layer stand for max(30 min, 3 × the longest so far), growing until twice that | 0.60 to 0.85 |
//! | `progress_stall`, `layer_stall` | it alone stands for max(60 min, 4 × the longest so far) | 0.30 |
//! | `camera_blind` | a camera is no evidence | 0.05, counted nowhere |
//!
//! All but the first and a heater that runs away are judged only while the phase is printing, and start afresh with a new
//! target, after a pause (a change of filament is one), and after 60 s without a word of the printer.
//!
//! # The level
//!
//! The confidence is the noisy-or of all weights. Two others decide: `alarm` leaves out what a person has accepted a short
//! while ago, `proof` what was ever accepted, and what may be a flash.
//!
//! | from | to | when |
//! |---|---|---|
//! | watching, resolved | suspect | `alarm` ≥ 0.50 |
//! | any but failing | failing | `proof` ≥ 0.80: an episode begins, and a pause is asked for if the print runs |
//! | suspect | watching | `alarm` < 0.30 for 30 s; at once if the print does not run, alarms are muted, or it is acknowledged |
//! | failing | resolved | `alarm` < 0.50 for 60 s; at once as above |
//! | resolved | watching | after 5 min |
//!
//! A pause is asked for as long as the episode lasts, once per episode: there is no second episode before the first is
//! resolved, and none of the same evidence after a person's answer.
//!
//! # What people answer
//!
//! *It is fine*, and a resume after a pause, accept what is seen. Of each camera it is the highest mean of three scores
//! since its evidence began. For a quarter of an hour (it can be set) only scores 0.08 above that count at all. Afterwards
//! the hint has its usual line again, and speaks up if the sight is as bad as ever; the proof keeps the raised one until
//! the camera has seen a minute of good frames: what comes then is new. Signs of the printer count towards a
//! pause if they began after the answer. *It is fine* is learnt, too: the usual score may then rise to what was accepted,
//! but not beyond 0.75. After a resume frames count for nothing for 10 s, while hands leave and the nozzle primes.
//!
//! *Mute* holds back level and pause for a time, or to the end of the print; evidence and confidence are shown as ever.
//!
//! # How good it is
//!
//! Simulated cameras at a frame per second (`tests/simulation.rs`): false pauses and words in camera-days of good prints,
//! and seconds from the first frame that the judge takes for a failure to the pause, of failures that are there at once or
//! grow to their strength in 5 to 60 s, and are hidden in one frame of 25.
//!
//! | sensitivity | false pauses in 1200 camera-days | false words | pause after, sudden 0.95 | sudden 0.7 | growing 0.95 | growing 0.7 | growing 0.6 |
//! |---|---|---|---|---|---|---|---|
//! | low | 0 | 0 | 6 s (10 s) | 42 s (70 s) | 20 s (36 s) | 53 s (81 s) | never; a word |
//! | normal | 0 | 142 | 3 s (5 s) | 13 s (24 s) | 14 s (29 s) | 23 s (42 s) | 74 s (165 s) |
//! | high | 141 | 1112 | 2 s (4 s) | 7 s (12 s) | 11 s (25 s) | 15 s (33 s) | 28 s (55 s) |
//!
//! The seconds are the median, and the 95th percentile. A quarter of the days are clean, a quarter restless in their light,
//! a quarter biased to 0.5 all day, and a quarter busy, with hands and flashes up to 0.9 every two minutes, from which
//! nearly all false alarms come. In front of a camera that is biased to 0.5 a failure that scores 0.6 is never found, and
//! one of 0.95 takes twice as long.
//!
//! # Laws
//!
//! Asking changes nothing; rows that say nothing new change nothing; the order of cameras at one time does not
//! matter. With the same lines, higher scores never give a later pause (the lines follow the past, so that a camera which
//! always scored high is less easily alarmed; they take no notice of the last minute). Quiet frames of more than half an
//! hour ago are forgotten entirely, but for the usual score of the first ten minutes. A watch holds eight cameras with at
//! most 5 kB each, mostly shared between clones.

use super::cameras::{Cameras, Sight};
use super::evidence::{FORGOTTEN, Health, Look, STALE};
use super::reasons::{Level, Reason, Verdict, What, noisy_or};
use super::settings::{Sensitivity, Settings};
use super::telemetry::{Machine, Phase, Sign, Telemetry};
use standing::Standing;

mod standing;

/// For so long after a resume frames are no evidence, µs: hands leave, the nozzle returns and primes.
const RESUMING: u64 = 10_000_000;
/// Evidence that weighs less is not told as a reason.
const NEGLIGIBLE: f64 = 0.05;
/// A camera that sees nothing is told with this weight, which counts nowhere.
const BLIND: f64 = 0.05;

/// What is told to a watch.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A judge's score of a camera's frame: from 0.5 on it takes the frame for a failure.
    Frame {
        camera: String,
        score: f64,
        frame: String,
    },
    /// How well a camera sees from now on.
    Health {
        camera: String,
        health: Health,
    },
    Telemetry(Telemetry),
    /// A person says: it is fine.
    Acknowledge,
    /// No alarm until a time, µs, or for the rest of the print.
    Mute {
        until: Option<u64>,
    },
    Unmute,
    Tune(Sensitivity),
}

/// The watch over one print.
#[derive(Clone, Debug, PartialEq)]
pub struct Watch {
    settings: Settings,
    now: u64,
    /// Something was told at `now` and not considered yet.
    undecided: bool,
    cameras: Cameras,
    machine: Machine,
    standing: Standing,
    muted_until: u64,
    /// µs: signs up to then were accepted by a person,
    accepted: Option<u64>,
    /// and nothing is said of them until then.
    quiet_until: u64,
    resuming_until: u64,
    /// Of the episode, heaviest first.
    frames: Vec<String>,
}

impl Watch {
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Watch {
            settings,
            now: 0,
            undecided: false,
            cameras: Cameras::default(),
            machine: Machine::default(),
            standing: Standing::new(),
            muted_until: 0,
            accepted: None,
            quiet_until: 0,
            resuming_until: 0,
            frames: vec![],
        }
    }

    /// Takes an event. Times, in µs, do not fall: an earlier one counts as the last one. Events of the same time are
    /// considered together, when time moves on.
    pub fn feed(&mut self, at: u64, event: &Event) {
        self.advance(at);
        match event {
            Event::Frame { camera, score, frame } => {
                let look = self.look();
                self.cameras.frame(self.now, camera, *score, frame, look);
            }
            Event::Health { camera, health } => self.cameras.turn(self.now, camera, *health, self.holds()),
            Event::Telemetry(said) => self.hear(said),
            Event::Acknowledge => self.accept(true),
            Event::Mute { until } => self.muted_until = until.unwrap_or(u64::MAX),
            Event::Unmute => self.muted_until = 0,
            Event::Tune(sensitivity) => self.settings.sensitivity = *sensitivity,
        }
        self.undecided = true;
    }

    /// The verdict at a time, in µs: what was told until then, and the time since. Asking changes nothing.
    #[must_use]
    pub fn verdict(&self, at: u64) -> Verdict {
        let mut then = self.clone();
        then.settle(at.max(self.now), true);
        then.now = then.now.max(at);
        then.tell()
    }

    /// The first time after another one, in µs, at which the verdict may change although nothing is told.
    #[must_use]
    pub fn wake_after(&self, at: u64) -> Option<u64> {
        let mut then = self.clone();
        then.settle(at.max(self.now), true);
        then.next()
    }

    /// The next time at which something happens by itself; everything that was told is considered.
    fn next(&self) -> Option<u64> {
        let watched = self.machine.phase().is_watched();
        let forgotten = self.cameras.iter().filter(|camera| watched && camera.evidence() > 0.0);
        let forgotten = forgotten.filter_map(|camera| Some(camera.blind_since?.saturating_add(FORGOTTEN)));
        let fixed = [self.quiet_until, self.muted_until];
        let times = self.cameras.stale().chain(forgotten).chain(self.standing.wakes()).chain(fixed);
        times.filter(|time| (self.now + 1..u64::MAX).contains(time)).min()
    }

    /// Considers everything before a time, and moves to it.
    fn advance(&mut self, at: u64) {
        if at > self.now {
            self.settle(at, false);
            self.now = at;
        }
    }

    /// Considers what was told, and then goes from one wake to the next, up to a time. The result does not depend on how
    /// often it is asked for.
    fn settle(&mut self, at: u64, inclusive: bool) {
        loop {
            if self.undecided {
                self.undecided = false;
                self.decide();
            }
            match self.next() {
                Some(wake) if wake < at || inclusive && wake == at => {
                    self.now = wake;
                    self.undecided = true;
                }
                _ => return,
            }
        }
    }

    fn hear(&mut self, said: &Telemetry) {
        let before = self.machine.phase();
        self.machine.hear(self.now, said);
        if before == Phase::Paused && self.machine.phase() == Phase::Printing {
            // Somebody has looked and said: go on.
            self.accept(false);
            self.resuming_until = self.now.saturating_add(RESUMING);
        }
    }

    fn accept(&mut self, learn: bool) {
        self.quiet_until = self.now.saturating_add(self.settings.quiet_for);
        self.accepted = Some(self.now);
        self.cameras.iter_mut().for_each(|camera| camera.accept(self.quiet_until, learn));
        self.standing.answered(self.now);
    }

    fn look(&self) -> Look {
        let judging = self.machine.phase().is_watched() && self.now >= self.resuming_until;
        Look { thresholds: self.settings.sensitivity.thresholds(), judging, calm: self.standing.is_calm() }
    }

    /// What cameras have seen is kept although they see no more.
    fn holds(&self) -> bool {
        self.standing.level == Level::Failing || !self.machine.phase().is_watched()
    }

    fn decide(&mut self) {
        let (now, hold) = (self.now, self.holds());
        let watched = self.machine.phase().is_watched();
        for camera in self.cameras.iter_mut() {
            if let Some(last) = camera.last.filter(|last| now - last >= STALE) {
                camera.lose_sight(last, hold);
            }
            if watched && camera.blind_since.is_some_and(|since| now - since >= FORGOTTEN) {
                camera.forget();
            }
        }
        let muted = self.is_muted();
        let (alarm, proof) = if muted { (0.0, 0.0) } else { self.alarm_and_proof() };
        let episode = self.standing.episode;
        self.standing.step(now, alarm, proof, muted || !watched);
        self.keep_frames(episode);
    }

    /// The frames of an episode are told as long as it is spoken of, also when the evidence has gone.
    fn keep_frames(&mut self, episode_before: u32) {
        match self.standing.level {
            Level::Failing => {
                let frames = self.frames_now();
                if !frames.is_empty() || self.standing.episode > episode_before {
                    self.frames = frames;
                }
            }
            Level::Resolved => {}
            Level::Suspect | Level::Watching => self.frames.clear(),
        }
    }

    fn is_muted(&self) -> bool {
        self.now < self.muted_until
    }

    fn sight(&self) -> Option<Sight> {
        self.cameras.sight(&self.settings.sensitivity.thresholds())
    }

    /// The confidence that counts for telling people, and the one that counts for a pause: without what was accepted a
    /// short while ago, and without what was ever accepted.
    fn alarm_and_proof(&self) -> (f64, f64) {
        let sight = self.sight().filter(|_| self.machine.phase().is_watched());
        let seen = sight.map_or(0.0, |sight| sight.weight);
        let proven = sight.filter(|sight| sight.sure).map_or(0.0, |sight| sight.weight);
        let is_new = |sign: &Sign| self.accepted.is_none_or(|accepted| sign.since > accepted);
        let is_told = |sign: &Sign| is_new(sign) || self.now >= self.quiet_until;
        let told = self.machine.signs().filter(is_told).map(|sign| sign.weight);
        let new = self.machine.signs().filter(is_new).map(|sign| sign.weight);
        (noisy_or(told.chain([seen])), noisy_or(new.chain([proven])))
    }

    fn frames_now(&self) -> Vec<String> {
        self.cameras.frames().iter().map(|frame| frame.id.as_ref().to_owned()).collect()
    }

    fn tell(&self) -> Verdict {
        let sight = self.sight().filter(|sight| sight.weight >= NEGLIGIBLE);
        let signs = self.machine.signs();
        let confidence = noisy_or(signs.map(|sign| sign.weight).chain(sight.map(|sight| sight.weight)));
        let is_episode = matches!(self.standing.level, Level::Failing | Level::Resolved);
        Verdict {
            level: self.standing.level,
            confidence,
            reasons: self.reasons(sight),
            frames: if is_episode { self.frames.clone() } else { self.frames_now() },
            since: self.standing.since,
            episode: self.standing.episode,
            pause: self.standing.level == Level::Failing && self.machine.phase().is_watched(),
            muted: self.is_muted(),
        }
    }

    fn reasons(&self, sight: Option<Sight>) -> Vec<Reason> {
        let told = |sign: Sign| {
            let detail = self.machine.detail(&sign);
            Reason { what: sign.what, weight: sign.weight, since: sign.since, detail }
        };
        let seen = sight.map(|Sight { weight, since, .. }| Reason {
            what: What::Spaghetti,
            weight,
            since,
            detail: self.cameras.detail(),
        });
        let blind = self.cameras.blind(self.now).map(|(since, detail)| Reason {
            what: What::CameraBlind,
            weight: BLIND,
            since,
            detail,
        });
        let mut reasons: Vec<Reason> = self.machine.signs().map(told).chain(seen).chain(blind).collect();
        reasons.sort_by(|a, b| b.weight.total_cmp(&a.weight).then(a.what.cmp(&b.what)));
        reasons
    }
}

#[cfg(test)]
mod tests;
