//! What one camera has seen of one zone.
//!
//! # Who is in it
//!
//! A zone is drawn on the floor, so it is the feet that count: the middle of the lower side of the box. Where the box is
//! cut off below (by the lower edge of the picture, by a bench, by someone who stands in front) the feet are lower than it
//! ends. Then the place that lies as far below its top as the person should be tall may be where they are: who is in the
//! zone stays in it there, and of somebody else it is not said that the zone is empty. Who is in the zone also stays in it as
//! long as a quarter of the lower side on either side of the middle is, so that a box that trembles on the border does not go
//! in and out.
//!
//! # When it is empty
//!
//! That nobody is found is no proof that nobody is there. A zone is empty when a *run* of frames in a row says so: every
//! one of them judged, complete, newly taken, by a camera that was live, with nobody touching the zone, and no gap longer
//! than `fresh` between them. Somebody touches it who is seen with any part of the lower side in it or next to it, known or
//! not; and also somebody out of sight, for as long as the tracker remembers them, who could have walked there meanwhile.
//!
//! Somebody who was last seen inside and never seen leaving is *missing*: behind a machine, on the floor, or gone through a
//! door that lies in the zone. Then the run has to be longer, unless the same track is seen again. Somebody new who turns up
//! inside does not make up for somebody who is missing: it may be another person.

use super::boxes::Found;
use super::polygon::Polygon;
use super::settings::Settings;
use super::tracker::{Track, Tracker};
use std::sync::Arc;

/// Who is out of sight walks so fast, m/s.
const WALK: f64 = 1.2;
/// Who is seen may be so far from there, m of a person's height: boxes tremble.
const TREMBLE_M: f64 = 0.2;
/// More people are not told apart; it is enough to know that some are there, or missing.
const MEMBERS: usize = 128;

/// The hash of a frame's picture; empty where it is not known.
pub type FrameId = Arc<str>;

/// Somebody in the zone.
#[derive(Clone, Debug, PartialEq)]
pub struct Member {
    pub track: i64,
    /// µs: since when in the zone, and when last seen in it.
    pub since: u64,
    pub last: u64,
    /// In it for long enough to be told.
    pub counted: bool,
    known: bool,
    /// Seen outside since.
    is_outside: bool,
    /// The first and the last frame in the zone.
    pub frames: [FrameId; 2],
}

impl Member {
    fn new(track: i64, look: &Look<'_>) -> Self {
        let frames = [look.id.clone(), look.id.clone()];
        Member { track, since: look.at, last: look.at, counted: false, known: false, is_outside: false, frames }
    }

    /// Seen on this frame, in the zone or beyond it.
    fn look(&mut self, track: &Track, is_near: bool, look: &Look<'_>) {
        self.is_outside = !is_near;
        self.known |= track.confirmed;
        if is_near {
            self.last = look.at;
            self.frames[1] = look.id.clone();
            self.counted |= track.confirmed && look.at - self.since >= look.settings.enter;
        }
    }
}

/// Frames in a row that show nobody.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// µs: of the first and of the last.
    pub since: u64,
    pub last: u64,
    pub frames: u32,
    pub first: FrameId,
}

/// Why a zone is neither occupied nor empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doubt {
    /// Not seen empty for long enough yet.
    NotYet,
    /// Somebody may be there, or have gone there out of sight.
    Maybe,
    /// Somebody was last seen inside, and never leaving.
    Missing,
}

/// What the frames say of a zone, provided that they may be believed now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Says {
    Present,
    Vacated,
    Unknown(Doubt),
}

/// A frame that was tracked.
#[derive(Clone, Copy, Debug)]
pub struct Look<'l> {
    /// µs.
    pub at: u64,
    pub id: &'l FrameId,
    pub tracker: &'l Tracker,
    /// Everything that was found, followed or not.
    pub found: &'l [Found],
    /// That nobody is on it means that nobody is there.
    pub proves: bool,
    pub settings: &'l Settings,
}

/// A zone before a camera.
#[derive(Clone, Debug, PartialEq)]
pub struct Zone {
    pub name: Arc<str>,
    polygon: Polygon,
    members: Vec<Member>,
    missing: Vec<i64>,
    touched: bool,
    run: Option<Run>,
}

impl Zone {
    #[must_use]
    pub fn new(name: Arc<str>, polygon: Polygon) -> Self {
        Zone { name, polygon, members: vec![], missing: vec![], touched: false, run: None }
    }

    /// Those who are told.
    pub fn people(&self) -> impl Iterator<Item = &Member> {
        self.members.iter().filter(|member| member.counted)
    }

    pub fn run(&self) -> Option<&Run> {
        self.run.as_ref()
    }

    /// What was seen so far no longer counts towards an empty zone.
    pub fn begin_anew(&mut self) {
        self.run = None;
    }

    pub fn frame(&mut self, look: &Look<'_>) {
        // They have left unseen; nothing was to be seen of them for long.
        if self.is_empty_for(look.settings.vanished_after, look.settings) {
            self.missing.clear();
        }
        // A weak box follows nobody who is not known, and still may be somebody.
        let is_touching = |found: &Found| found.score >= look.settings.keep && self.polygon.contains(found.rect.foot());
        self.touched = look.found.iter().any(is_touching);
        for track in look.tracker.tracks() {
            self.touched |= self.follow(track, look);
        }
        self.part(look);
        let is_gap = |run: &Run| look.at - run.last > look.settings.fresh;
        self.run = match self.run.take().filter(|run| !is_gap(run)) {
            _ if !look.proves || self.touched => None,
            Some(run) => Some(Run { last: look.at, frames: run.frames.saturating_add(1), ..run }),
            None => Some(Run { since: look.at, last: look.at, frames: 1, first: look.id.clone() }),
        };
    }

    /// Takes note of where somebody is; whether that touches the zone.
    fn follow(&mut self, track: &Track, look: &Look<'_>) -> bool {
        if track.seen < look.at {
            let (place, reach) = track.whereabouts(look.at, TREMBLE_M, WALK);
            return self.polygon.is_within_reach(place, reach);
        }
        self.missing.retain(|id| *id != track.id);
        let foot = track.rect.foot();
        let is_in = self.polygon.contains(foot);
        let may_be_in = track.hidden_foot().is_some_and(|hidden| self.polygon.contains(hidden));
        let quarter = track.rect.width / 4.0;
        let is_near =
            is_in || may_be_in || [-quarter, quarter].iter().any(|by| self.polygon.contains([foot[0] + by, foot[1]]));
        let place = self.members.iter().position(|member| member.track == track.id);
        match place {
            Some(place) => self.members[place].look(track, is_near, look),
            None if is_in && self.members.len() < MEMBERS => {
                let mut member = Member::new(track.id, look);
                member.look(track, true, look);
                self.members.push(member);
            }
            None => {}
        }
        is_near || self.polygon.is_within_reach(foot, track.whereabouts(look.at, TREMBLE_M, WALK).1)
    }

    /// Lets those go who were not in the zone for long enough.
    fn part(&mut self, look: &Look<'_>) {
        let Zone { members, missing, .. } = self;
        members.retain(|member| {
            if member.last == look.at || look.at - member.last < look.settings.leave {
                return true;
            }
            if !member.is_outside && member.known && missing.len() < MEMBERS {
                missing.push(member.track);
            }
            false
        });
    }

    fn is_empty_for(&self, time: u64, settings: &Settings) -> bool {
        self.run.as_ref().is_some_and(|run| run.last - run.since >= time && run.frames >= settings.empty_frames)
    }

    #[must_use]
    pub fn says(&self, settings: &Settings) -> Says {
        if self.people().next().is_some() {
            return Says::Present;
        }
        if self.touched || !self.members.is_empty() {
            return Says::Unknown(Doubt::Maybe);
        }
        if !self.missing.is_empty() && !self.is_empty_for(settings.vanished_after, settings) {
            return Says::Unknown(Doubt::Missing);
        }
        if self.is_empty_for(settings.empty_after, settings) { Says::Vacated } else { Says::Unknown(Doubt::NotYet) }
    }
}
