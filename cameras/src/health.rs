//! Whether a camera can be believed.
//!
//! A camera fails without ending its stream: the sensor hangs and the encoder repeats the last picture, somebody hangs
//! a coat over it, the light goes out. [`Diagnosis`] tells these apart by what every picture has: how light it is, how
//! much it varies, and whether it is the same as the one before. It is a pure state machine: time comes from the
//! caller.
//!
//! * *black*: the picture has next to no contrast. A covered lens gives an even picture whatever its mean: tape lets
//!   light through, a hand is red, a closed lid is black. An uncovered camera sees edges. Contrast is measured on
//!   averages of areas, which takes the sensor's noise out of it: that alone would otherwise pass for contrast where the
//!   gain is high.
//! * *dark*: there is some contrast, yet the mean is so low that whatever is looked for could be there unseen. A lamp
//!   on a device in a dark room is contrast, and no view.
//! * *frozen*: nothing new was seen for long: each picture is exactly one of the few before it. A sensor's noise always
//!   changes something, even where nothing moves, so that equality is the test: a threshold on difference would call a
//!   quiet room frozen. Equality is that of decoded luminance, not of bytes, for a hung sensor's picture may be encoded
//!   anew each time; and it is with any of the few before, not with the last one only, for an encoder of video then goes
//!   round: its key picture is coarser than those that refine it. A short loop of recorded pictures is found too. An
//!   encoder that never ceases to adapt its rate hides a hung sensor: a camera's constant quality is better than its
//!   constant rate.
//! * *gone*: no picture came for as long as one's patience lasts.
//!
//! Light crosses thresholds back and forth at dusk, so each has two of them, and a new state must hold for some seconds
//! before it is told. *Gone* and *frozen* have their own waiting times, and are told at once.

use crate::picture::{Fingerprint, Light};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::fmt;
use std::time::{Duration, Instant, SystemTime};

/// What can be expected of a camera's pictures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It shows what is there.
    Live,
    /// It shows the same picture again and again.
    Frozen,
    /// It shows nothing: it is covered, or there is no light at all.
    Black,
    /// It is too dark to tell what is there.
    Dark,
    /// It sends nothing.
    Gone,
}

impl State {
    pub const ALL: [Self; 5] = [Self::Live, Self::Frozen, Self::Black, Self::Dark, Self::Gone];

    /// As it is written: `live`, `frozen`, `black`, `dark`, `gone`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Frozen => "frozen",
            Self::Black => "black",
            Self::Dark => "dark",
            Self::Gone => "gone",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A report of how a camera fares: when its state changes, and as a sign of life in between.
#[derive(Clone, Debug, PartialEq)]
pub struct Health {
    pub at: SystemTime,
    pub state: State,
    /// In words, for a person.
    pub reason: String,
    /// Since when it is in this state.
    pub since: SystemTime,
    /// Pictures that were looked at since watching began.
    pub frames: u64,
    /// Pictures that were due and did not reach the receiver, because it was slow, since watching began.
    pub skipped: u64,
    /// Pictures a second that were looked at lately.
    pub rate: f64,
}

/// When a camera counts as what.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Criteria {
    /// For how long a change of light must hold until it is told.
    pub hold: Duration,
    /// For how long the picture may stay the same; `None`: for ever.
    pub frozen: Option<Duration>,
    /// The time between two reports while nothing changes.
    pub heartbeat: Duration,
    /// Pictures of less contrast are black (covered).
    pub flat: f32,
    /// Pictures with a lower mean are black where they have less than twice the contrast of `flat`.
    pub black: f32,
    /// Pictures with a lower mean are dark.
    pub dark: f32,
}

impl Default for Criteria {
    fn default() -> Self {
        Self {
            hold: Duration::from_secs(3),
            frozen: Some(Duration::from_secs(30)),
            heartbeat: Duration::from_secs(10),
            flat: 4.0,
            black: 16.0,
            dark: 32.0,
        }
    }
}

/// Thresholds are this much higher for leaving a state.
const LEAVING: f32 = 1.25;
/// The rate is measured over this many pictures at most.
const RECENT: usize = 64;
/// A picture is new if it is none of so many before it.
const REMEMBERED: usize = 32;

impl Criteria {
    /// The state that a picture's light suggests, from a state that is left with reluctance.
    fn of_light(&self, light: Light, now: State) -> State {
        let leave = |state: State| if now == state { LEAVING } else { 1.0 };
        let black = leave(State::Black);
        let is_flat = light.contrast < self.flat * black;
        let is_black = light.mean < self.black * black && light.contrast < 2.0 * self.flat * black;
        // From black to dark is no way into the light.
        let dark = leave(State::Dark).max(black);
        match () {
            () if is_flat || is_black => State::Black,
            () if light.mean < self.dark * dark => State::Dark,
            () => State::Live,
        }
    }
}

/// Decides on a camera's state from its pictures and their absence.
pub struct Diagnosis {
    criteria: Criteria,
    patience: Duration,
    begun: Instant,
    state: Option<(State, Instant)>,
    /// The state that the light suggests, and since when it does.
    light: Option<(State, Instant)>,
    newest: Option<Light>,
    /// What the latest different pictures looked like; the newest is the last.
    looks: VecDeque<Fingerprint>,
    /// When something new was last seen.
    novel: Option<Instant>,
    /// Whether there was more than one picture since.
    goes_round: bool,
    seen: Option<Instant>,
    recent: VecDeque<Instant>,
    frames: u64,
    trouble: Option<String>,
    told: Option<(State, Instant)>,
}

/// What is to be told.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    pub state: State,
    pub reason: String,
    /// For how long.
    pub lasting: Duration,
    pub frames: u64,
    pub rate: f64,
}

impl Diagnosis {
    /// A camera counts as gone after `patience` without a picture.
    pub fn new(criteria: Criteria, patience: Duration, now: Instant) -> Self {
        Self {
            criteria,
            patience,
            begun: now,
            state: None,
            light: None,
            newest: None,
            looks: VecDeque::new(),
            novel: None,
            goes_round: false,
            seen: None,
            recent: VecDeque::new(),
            frames: 0,
            trouble: None,
            told: None,
        }
    }

    /// A picture came.
    pub fn frame(&mut self, now: Instant, light: Light, fingerprint: Fingerprint) {
        self.frames += 1;
        self.seen = Some(now);
        self.newest = Some(light);
        self.trouble = None;
        self.recent.push_back(now);
        if self.recent.len() > RECENT {
            self.recent.pop_front();
        }
        self.remember(fingerprint, now);
        let before = self.light.map_or(State::Live, |(state, _)| state);
        let suggested = self.criteria.of_light(light, before);
        if self.light.is_none_or(|(state, _)| state != suggested) {
            self.light = Some((suggested, now));
        }
        self.decide(now);
    }

    fn remember(&mut self, look: Fingerprint, now: Instant) {
        let known = self.looks.iter().rposition(|known| *known == look);
        self.goes_round = known.is_some_and(|at| self.goes_round || at + 1 < self.looks.len());
        match known {
            Some(at) => drop(self.looks.remove(at)),
            None => self.novel = Some(now),
        }
        self.looks.push_back(look);
        if self.looks.len() > REMEMBERED {
            self.looks.pop_front();
        }
    }

    /// An attempt to read the camera has failed, or what it sends is not a picture. A camera that has shown something
    /// may still come back before one's patience ends; one that never has is gone.
    pub fn trouble(&mut self, now: Instant, reason: impl Into<String>) {
        self.trouble = Some(reason.into());
        if self.seen.is_none() {
            self.enter(State::Gone, now);
        }
    }

    /// The silence up to this moment is not the camera's.
    pub fn excuse(&mut self, now: Instant) {
        self.seen = self.seen.map(|_| now);
    }

    /// There will be no picture any more.
    pub fn end(&mut self, now: Instant, reason: impl Into<String>) {
        self.trouble = Some(reason.into());
        self.enter(State::Gone, now);
        // It is told even if it was gone before.
        self.told = None;
    }

    /// What is to be told at this moment: a new state, or a sign of life. Call it after everything that happens, and
    /// about every second.
    pub fn report(&mut self, now: Instant) -> Option<Report> {
        self.decide(now);
        let (state, since) = self.state?;
        let is_due = |(told, at): (State, Instant)| told != state || now >= at + self.criteria.heartbeat;
        if !self.told.is_none_or(is_due) {
            return None;
        }
        self.told = Some((state, now));
        let (lasting, rate) = (now.saturating_duration_since(since), self.rate(now));
        Some(Report { state, reason: self.reason(state, now), lasting, frames: self.frames, rate })
    }

    fn decide(&mut self, now: Instant) {
        let quiet = now.saturating_duration_since(self.seen.unwrap_or(self.begun));
        if quiet >= self.patience {
            self.enter(State::Gone, now);
            return;
        }
        let (Some(novel), Some((light, light_since))) = (self.novel, self.light) else { return };
        let current = self.state.map(|(state, _)| state);
        if current == Some(State::Gone) && self.trouble.is_some() {
            return;
        }
        // A black picture may well stay the same: that it is black says more.
        if light != State::Black
            && self.criteria.frozen.is_some_and(|frozen| self.seen.is_some_and(|seen| seen >= novel + frozen))
        {
            self.enter(State::Frozen, now);
            return;
        }
        // The first picture, and the first after a silence, decide at once.
        let is_settled = now >= light_since + self.criteria.hold;
        let was_blind = matches!(current, None | Some(State::Gone | State::Frozen));
        if was_blind || is_settled {
            self.enter(light, now);
        }
    }

    fn enter(&mut self, state: State, now: Instant) {
        if self.state.is_some_and(|(current, _)| current == state) {
            return;
        }
        self.state = Some((state, now));
        if state == State::Gone {
            // What it shows when it comes back is news.
            (self.novel, self.light) = (None, None);
            self.looks.clear();
            self.recent.clear();
        }
    }

    fn rate(&self, now: Instant) -> f64 {
        let window = self.criteria.heartbeat.max(Duration::from_secs(1));
        let recent = || self.recent.iter().filter(|at| now.saturating_duration_since(**at) < window);
        let (Some(first), Some(last)) = (recent().next(), recent().next_back()) else { return 0.0 };
        let span = last.saturating_duration_since(*first).as_secs_f64();
        if span > 0.0 { (recent().count() - 1) as f64 / span } else { 1.0 / window.as_secs_f64() }
    }

    fn reason(&self, state: State, now: Instant) -> String {
        let light = self.newest.unwrap_or_default();
        let measured = format!("mean {:.0}, contrast {:.1} of 255", light.mean, light.contrast);
        match state {
            State::Live => "pictures come, and change".to_owned(),
            State::Black if light.mean < self.criteria.black => format!("the picture is black: {measured}"),
            State::Black => format!("the picture has no contrast, something covers the camera: {measured}"),
            State::Dark => format!("it is too dark to see anything: {measured}"),
            State::Frozen => {
                let seconds = now.saturating_duration_since(self.novel.unwrap_or(now)).as_secs();
                if self.goes_round {
                    format!("the same pictures have come again and again for {seconds} s")
                } else {
                    format!("the picture has not changed at all for {seconds} s")
                }
            }
            State::Gone => self.trouble.clone().unwrap_or_else(|| {
                format!("no picture for {} s", now.saturating_duration_since(self.seen.unwrap_or(self.begun)).as_secs())
            }),
        }
    }
}

#[cfg(test)]
mod tests;
