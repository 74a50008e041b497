//! What one camera says of its zones, from frame to frame and in between.
//!
//! | status | when |
//! |---|---|
//! | `present` | somebody has been seen in the zone for `enter`, and missed for less than `leave` |
//! | `vacated` | the zone was seen to be empty for `empty_after`, on `empty_frames` at least (see `zone`) |
//! | `unknown` | anything else, and whatever was seen before when the newest frame is older than `fresh`, the picture stands still, or the camera is not known to be live |
//!
//! *Unknown* is neither of the others, and neither of the others turns into the other by time alone: what is no longer seen
//! is no longer known.
//!
//! A frame counts from when it was taken, not from when it was judged: one that a busy model judges late is as old as it
//! is. A frame taken before the camera was known to be live, or by one that does not count as live, shows who is there and
//! does not show that nobody is.
//!
//! # Laws
//!
//! Time passes in one step or many; asking changes nothing; events of one time may come in any order of their streams.
//! Nothing here knows a clock: the same events at the same times give the same answers.

use super::boxes::Findings;
use super::settings::Settings;
use super::tracker::Tracker;
use super::zone::{Doubt, FrameId, Look, Says, Zone};
pub use crate::seen::Health;
use std::collections::VecDeque;

/// Why nothing that a camera has seen counts now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blind {
    /// It is not known how it fares: never heard, or not for long.
    NoWord,
    /// It does not show what is there.
    Is(Health),
    /// No frame that is fresh.
    NoFrame,
    /// It shows the same picture again and again.
    Still,
}

/// What is said of a zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    Present,
    Vacated,
    Unknown(Why),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    Blind(Blind),
    Zone(Doubt),
}

impl Status {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Status::Present => "present",
            Status::Vacated => "vacated",
            Status::Unknown(_) => "unknown",
        }
    }
}

/// A status and since when it has been told, whatever the reason, µs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    pub status: Status,
    pub since: u64,
}

/// How the camera fares, as far as was heard.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Word {
    /// `None`: nothing heard, or not for too long.
    state: Option<Health>,
    heard: u64,
    /// µs: live without a break since then.
    live_since: Option<u64>,
}

/// The pictures of late, and when there was last a new one.
#[derive(Clone, Debug, Default, PartialEq)]
struct Pictures {
    recent: VecDeque<FrameId>,
    changed: u64,
    is_still: bool,
}

/// A camera that repeats itself goes round through no more pictures than this.
const RECENT: usize = 8;
/// Longer hashes are not remembered, bytes.
const LONGEST_ID: usize = 256;

impl Pictures {
    fn take(&mut self, at: u64, id: &FrameId, still: u64) {
        if id.is_empty() || !self.recent.contains(id) {
            self.changed = at;
            self.recent.truncate(RECENT - 1);
            self.recent.push_front(id.clone());
        }
        self.is_still = at - self.changed > still;
    }
}

/// A camera over its zones.
#[derive(Clone, Debug, PartialEq)]
pub struct View {
    settings: Settings,
    zones: Vec<Zone>,
    tracker: Tracker,
    word: Word,
    pictures: Pictures,
    /// The newest frame: when it was taken, and its hash.
    newest: Option<(u64, FrameId)>,
    is_stale: bool,
    now: u64,
    /// Something was told at `now` and not considered yet.
    undecided: bool,
    /// Of each zone, before the time of the last decision and since then.
    before: Vec<Standing>,
    standings: Vec<Standing>,
    decided: u64,
}

impl View {
    #[must_use]
    pub fn new(settings: Settings, zones: Vec<Zone>, now: u64) -> Self {
        let unknown = Standing { status: Status::Unknown(Why::Blind(Blind::NoWord)), since: now };
        let standings = vec![unknown; zones.len()];
        View {
            settings,
            zones,
            tracker: Tracker::default(),
            word: Word::default(),
            pictures: Pictures::default(),
            newest: None,
            is_stale: false,
            now,
            undecided: false,
            before: standings.clone(),
            standings,
            decided: now,
        }
    }

    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    pub fn tracker(&self) -> &Tracker {
        &self.tracker
    }

    /// The newest frame that was tracked: when it was taken, µs, and its hash.
    pub fn newest(&self) -> Option<&(u64, FrameId)> {
        self.newest.as_ref()
    }

    /// Zones and what is said of them, as of the last time that passed.
    pub fn tell(&self) -> impl Iterator<Item = (&Zone, Standing)> {
        self.zones.iter().zip(self.standings.iter().copied())
    }

    /// A judged frame, told at a time and taken at another one, µs; what was taken before the newest one says nothing.
    pub fn frame(&mut self, now: u64, taken: u64, id: &str, findings: &Findings) {
        self.pass(now);
        let taken = taken.min(self.now);
        if self.newest.as_ref().is_some_and(|(newest, _)| taken <= *newest) {
            return;
        }
        let id: FrameId = if id.len() > LONGEST_ID { "".into() } else { id.into() };
        self.pictures.take(taken, &id, self.settings.still);
        self.tracker.frame(taken, findings, &self.settings);
        let is_live = self.word.live_since.is_some_and(|since| taken > since);
        let proves = is_live && self.tracker.is_whole() && !self.pictures.is_still;
        let (tracker, found) = (&self.tracker, &findings.found);
        let look = Look { at: taken, id: &id, tracker, found, proves, settings: &self.settings };
        self.zones.iter_mut().for_each(|zone| zone.frame(&look));
        self.newest = Some((taken, id));
        self.is_stale = taken.saturating_add(self.settings.fresh) < self.now;
        self.undecided = true;
    }

    pub fn health(&mut self, now: u64, health: Health) {
        self.pass(now);
        let since = self.word.live_since.unwrap_or(self.now);
        let live_since = (health == Health::Live).then_some(since);
        if live_since != self.word.live_since {
            self.zones.iter_mut().for_each(Zone::begin_anew);
        }
        self.word = Word { state: Some(health), heard: self.now, live_since };
        self.undecided = true;
    }

    /// Time has passed, up to `now`, and what was told by then is considered.
    pub fn advance(&mut self, now: u64) {
        self.pass(now);
        self.decide();
    }

    /// When something happens by itself, µs.
    #[must_use]
    pub fn wake(&self) -> Option<u64> {
        // A limit is kept up to its last µs.
        self.expiry().map(|expiry| expiry.saturating_add(1))
    }

    /// The time up to which what was told holds.
    fn expiry(&self) -> Option<u64> {
        let word = self.word.state.map(|_| self.word.heard.saturating_add(self.settings.health));
        let frame = self.newest.as_ref().filter(|_| !self.is_stale);
        let frame = frame.map(|(taken, _)| taken.saturating_add(self.settings.fresh));
        word.into_iter().chain(frame).min()
    }

    /// Considers everything before a time, and moves to it.
    fn pass(&mut self, now: u64) {
        if now <= self.now {
            return;
        }
        if self.undecided {
            self.decide();
        }
        while let Some(expiry) = self.expiry().filter(|expiry| *expiry < now) {
            self.now = self.now.max(expiry);
            self.expire(expiry);
            self.decide();
        }
        self.now = now;
    }

    fn expire(&mut self, expiry: u64) {
        if self.word.state.is_some() && self.word.heard.saturating_add(self.settings.health) <= expiry {
            self.word = Word { state: None, live_since: None, ..self.word };
        }
        if self.newest.as_ref().is_some_and(|(taken, _)| taken.saturating_add(self.settings.fresh) <= expiry) {
            self.is_stale = true;
        }
    }

    fn decide(&mut self) {
        self.undecided = false;
        let told = self.statuses();
        if self.now > self.decided {
            self.before.clone_from(&self.standings);
            self.decided = self.now;
        }
        for ((standing, before), status) in self.standings.iter_mut().zip(&self.before).zip(told) {
            let since = if before.status.name() == status.name() { before.since } else { self.now };
            *standing = Standing { status, since };
        }
    }

    fn statuses(&self) -> Vec<Status> {
        let blind = self.blind();
        let status = |zone: &Zone| match (blind, zone.says(&self.settings)) {
            (Some(blind), _) => Status::Unknown(Why::Blind(blind)),
            (None, Says::Present) => Status::Present,
            (None, Says::Vacated) => Status::Vacated,
            (None, Says::Unknown(doubt)) => Status::Unknown(Why::Zone(doubt)),
        };
        self.zones.iter().map(status).collect()
    }

    fn blind(&self) -> Option<Blind> {
        match self.word.state {
            None => return Some(Blind::NoWord),
            Some(Health::Live) => {}
            Some(health) => return Some(Blind::Is(health)),
        }
        if self.newest.is_none() || self.is_stale {
            return Some(Blind::NoFrame);
        }
        self.pictures.is_still.then_some(Blind::Still)
    }
}
