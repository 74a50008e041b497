//! Follows people from frame to frame.
//!
//! # How
//!
//! It is ByteTrack (Y. Zhang et al., ByteTrack: Multi-Object Tracking by Associating Every Detection Box, ECCV 2022) made for
//! a frame per second. Boxes are given to tracks by the cheapest assignment (`assignment`), in three rounds: known people
//! get boxes of high scores, then those left over get boxes of low scores, which start nobody; then tracks that were
//! seen once get what is left of the high ones. What nobody got is somebody new, unless it lies upon a box that was given
//! away (a detector draws two boxes around one person more often than two people stand in one place).
//!
//! The cost is how unlikely a box is for a person: the square of its distance from where the person should be (`motion`), in
//! standard deviations, and the logarithm of the uncertainty itself, or whoever was out of sight for long would be near
//! everybody and take the boxes of those who are seen; and the change in size. SORT and ByteTrack take the overlap of boxes instead: at a frame per second a person who
//! walks has left the box of the frame before. Beyond `NEAR_M` and `FASTEST` nobody is the same, however uncertain the
//! place is.
//!
//! How long a metre is in the picture is guessed from the box, taken for somebody 1.7 m tall and 0.6 m wide: a person who
//! is half hidden is short but no narrower, one who walks past is wider than one who comes near.
//!
//! A track is tentative until it is seen a second time, or once with a high score. A tentative one is dropped after a second
//! and two frames without it, another after `hold`.
//!
//! # Ids
//!
//! An id is the time of the first sighting in µs, or the next free number where several were first seen on one
//! frame. So it depends on the frames since then only: a restart that still knows them gives the same ids. If the log was
//! cut in between, somebody who was there before the cut has a new id, of the first sighting that is known.
//!
//! # Laws
//!
//! The order of boxes in a frame does not matter; the mirrored scene has mirrored tracks; there are no more than `TRACKS`.

use super::assignment::assign;
use super::boxes::{Findings, Found, Rect};
use super::motion::{Axis, ln};
use super::settings::{SECOND, Settings};

/// More people are not followed.
pub const TRACKS: usize = 64;
/// A box is off by so much of its size, one standard deviation.
const NOISE: f64 = 0.08;
/// The size of a person, m.
const TALL_M: f64 = 1.7;
const WIDE_M: f64 = 0.6;
/// Nobody is farther than this from where the motion leads, m, and m/s since the last sighting.
const NEAR_M: f64 = 0.8;
const FASTEST: f64 = 2.5;
/// Nor is anybody who would be so many times as tall or wide.
const GROWTH: f64 = 3.0;
/// What a change in size costs: one deviation of the place for one of half or double.
const SIZE_COST: f64 = 9.0;
/// Pairs that cost more are not made: five standard deviations off, or four after a second out of sight.
const GATE: f64 = 25.0;
/// A box that overlaps with one that was given away by this much is nobody new.
const SAME: f64 = 0.6;
/// A tentative track is dropped after so long and so many frames.
const FLASH: u64 = SECOND;
const FLASH_FRAMES: u32 = 2;
/// What is learnt of somebody's proportions from one box.
const LEARNS: f64 = 0.2;
/// A box that is shorter than this share of the whole person, or reaches the lower edge of the picture, is cut off below.
const SHORT: f64 = 0.75;
const EDGE: f64 = 0.985;

/// Somebody who is followed.
#[derive(Clone, Debug, PartialEq)]
pub struct Track {
    pub id: i64,
    /// µs: first and last sighting.
    pub born: u64,
    pub seen: u64,
    /// Of the last sighting.
    pub rect: Rect,
    pub score: f64,
    pub confirmed: bool,
    /// Frames since the last sighting.
    missed: u32,
    x: Axis,
    y: Axis,
    /// The tallest box.
    tallest: f64,
    /// Height by width, of boxes that are not cut off.
    slender: f64,
}

impl Track {
    fn new(id: i64, at: u64, found: &Found, sure: f64) -> Self {
        let (rect, [x, y]) = (found.rect, found.rect.centre());
        let [mx, my] = metre(&rect);
        Track {
            id,
            born: at,
            seen: at,
            rect,
            score: found.score,
            confirmed: found.score >= sure,
            missed: 0,
            x: Axis::new(x, NOISE * rect.width, mx),
            y: Axis::new(y, NOISE * rect.height, my),
            tallest: rect.height,
            slender: rect.height / rect.width,
        }
    }

    /// Seconds since the last sighting.
    fn unseen_s(&self, at: u64) -> f64 {
        at.saturating_sub(self.seen) as f64 / SECOND as f64
    }

    fn ahead(&self, at: u64) -> (Axis, Axis) {
        let ([mx, my], seconds) = (metre(&self.rect), self.unseen_s(at));
        (self.x.ahead(seconds, mx), self.y.ahead(seconds, my))
    }

    /// What it costs to take a box for this one; `None` if it cannot be.
    fn cost(&self, at: u64, rect: &Rect) -> Option<f64> {
        let ([mx, my], (x, y)) = (metre(&self.rect), self.ahead(at));
        let [dx, dy] = [rect.centre()[0] - x.place, self.descent(rect, y.place)];
        let far = NEAR_M + FASTEST * self.unseen_s(at);
        if (dx / mx) * (dx / mx) + (dy / my) * (dy / my) > far * far {
            return None;
        }
        let grown = |a: f64, b: f64| a > GROWTH * b || b > GROWTH * a;
        if grown(rect.width, self.rect.width) || grown(rect.height, self.rect.height) {
            return None;
        }
        let change = |a: f64, b: f64| ((a - b) / (a + b)) * ((a - b) / (a + b));
        let size = change(rect.width, self.rect.width) + change(rect.height, self.rect.height);
        let off = |d: f64, axis: &Axis, size: f64| {
            let noise = NOISE * NOISE * size * size;
            d * d / (axis.variance + noise) + ln(1.0 + axis.variance / noise)
        };
        Some(off(dx, &x, rect.width) + off(dy, &y, rect.height) + SIZE_COST * size)
    }

    /// How far down a box is from where it should be. Of somebody who crouches the feet stay, of somebody who steps behind a
    /// bench the head: where the height changes much, what moved least counts.
    fn descent(&self, rect: &Rect, centre: f64) -> f64 {
        let moved = rect.centre()[1] - centre;
        if rect.height.min(self.rect.height) > SHORT * rect.height.max(self.rect.height) {
            return moved;
        }
        let grown = (rect.height - self.rect.height) / 2.0;
        [moved - grown, moved + grown]
            .into_iter()
            .fold(moved, |least, by| if by.abs() < least.abs() { by } else { least })
    }

    fn meet(&mut self, at: u64, found: &Found) {
        let ([mx, my], (x, y), rect) = (metre(&self.rect), self.ahead(at), found.rect);
        self.x = x.seen(rect.centre()[0], NOISE * rect.width, mx);
        self.y = y.seen(rect.centre()[1], NOISE * rect.height, my);
        (self.seen, self.rect, self.score) = (at, rect, found.score);
        (self.missed, self.confirmed) = (0, true);
        self.tallest = self.tallest.max(rect.height);
        if !self.is_cut() {
            self.slender += LEARNS * (rect.height / rect.width - self.slender);
        }
    }

    /// How tall the whole person would be in the picture: as tall as before, or less at a distance, where the box is
    /// narrower, too. Somebody who turns becomes wider, and no taller.
    fn stature(&self) -> f64 {
        self.tallest.min(self.slender * self.rect.width)
    }

    fn is_cut(&self) -> bool {
        self.rect.height < SHORT * self.stature() || self.rect.bottom() >= EDGE
    }

    fn is_over(&self, at: u64, hold: u64) -> bool {
        let unseen = at.saturating_sub(self.seen);
        if self.confirmed { unseen > hold } else { self.missed >= FLASH_FRAMES && unseen >= FLASH }
    }

    /// Where the feet are behind what hides them: if the box is cut off below, as far from its top as the person is tall.
    #[must_use]
    pub fn hidden_foot(&self) -> Option<[f64; 2]> {
        let below = (self.rect.top + self.stature()).max(self.rect.bottom()).min(1.0);
        self.is_cut().then_some([self.rect.centre()[0], below])
    }

    /// Where somebody should have the feet, and how far from there they may be, who is seen to so many metres and out of
    /// sight walks at such a speed, m/s: half the axes of an ellipse.
    #[must_use]
    pub fn whereabouts(&self, at: u64, off: f64, speed: f64) -> ([f64; 2], [f64; 2]) {
        let (x, y) = self.ahead(at);
        let below = self.hidden_foot().map_or(self.rect.bottom(), |[_, below]| below) - self.rect.centre()[1];
        let reach = metre(&self.rect).map(|metre| metre * (off + speed * self.unseen_s(at)));
        ([x.place, (y.place + below).min(1.0)], reach)
    }
}

/// How long a metre is at the place of a box, across and down.
fn metre(rect: &Rect) -> [f64; 2] {
    let (by_width, by_height) = (rect.width / WIDE_M, rect.height / TALL_M);
    // Pictures are wider than high, so that a metre is a smaller share of the width.
    [by_width.max(by_height / 2.0), by_height.max(by_width)]
}

/// Everybody in front of a camera.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tracker {
    /// In the order of their ids.
    tracks: Vec<Track>,
    last_id: i64,
    /// Everybody on the last frame is followed.
    whole: bool,
}

impl Tracker {
    pub fn tracks(&self) -> &[Track] {
        &self.tracks
    }

    #[must_use]
    pub fn get(&self, id: i64) -> Option<&Track> {
        self.tracks.binary_search_by_key(&id, |track| track.id).ok().map(|place| &self.tracks[place])
    }

    /// Whether everybody who was found on the last frame is followed.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.whole
    }

    /// Takes a frame; `at`, in µs, is after that of the one before.
    pub fn frame(&mut self, at: u64, findings: &Findings, settings: &Settings) {
        self.whole = findings.whole;
        self.tracks.retain(|track| !track.is_over(at, settings.hold));
        self.tracks.iter_mut().for_each(|track| track.missed = track.missed.saturating_add(1));
        let (high, low): (Vec<&Found>, Vec<&Found>) =
            findings.found.iter().filter(|f| f.score >= settings.keep).partition(|f| f.score >= settings.threshold);
        let mut given: Vec<Rect> = vec![];
        let high = self.round(at, high, true, &mut given);
        self.round(at, low, true, &mut given);
        let high = self.round(at, high, false, &mut given);
        for found in high {
            if given.iter().all(|rect| rect.overlap(&found.rect) < SAME) {
                self.begin(at, found, settings.sure);
                given.push(found.rect);
            }
        }
    }

    /// Gives boxes to those of the known, or of the tentative, who have none yet; the boxes that are left.
    fn round<'f>(&mut self, at: u64, boxes: Vec<&'f Found>, known: bool, given: &mut Vec<Rect>) -> Vec<&'f Found> {
        let mut waiting: Vec<&mut Track> =
            self.tracks.iter_mut().filter(|track| track.confirmed == known && track.seen < at).collect();
        let costs = |track: &Track| boxes.iter().map(|found| track.cost(at, &found.rect)).collect();
        let costs: Vec<Vec<Option<f64>>> = waiting.iter().map(|track| costs(track)).collect();
        let assigned = assign(&costs, GATE);
        for (track, column) in waiting.iter_mut().zip(&assigned) {
            if let Some(column) = column {
                track.meet(at, boxes[*column]);
                given.push(boxes[*column].rect);
            }
        }
        let is_left = |place: &usize| !assigned.contains(&Some(*place));
        (0..boxes.len()).filter(is_left).map(|place| boxes[place]).collect()
    }

    /// Somebody new. Where there is no room, the tentative one that was not seen for longest makes some.
    fn begin(&mut self, at: u64, found: &Found, sure: f64) {
        if self.tracks.len() == TRACKS {
            let flashes = self.tracks.iter().enumerate().filter(|(_, track)| !track.confirmed && track.seen < at);
            match flashes.min_by_key(|(_, track)| track.seen).map(|(place, _)| place) {
                Some(place) => drop(self.tracks.remove(place)),
                None => return self.whole = false,
            }
        }
        self.last_id = i64::try_from(at).unwrap_or(i64::MAX).max(self.last_id.saturating_add(1));
        self.tracks.push(Track::new(self.last_id, at, found, sure));
    }
}
