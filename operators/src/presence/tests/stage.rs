//! A scene that is played to a camera.

use crate::presence::boxes::{Findings, Found, Rect};
use crate::presence::polygon::Polygon;
use crate::presence::settings::{SECOND, Settings};
use crate::presence::view::{Health, Status, View, Why};
use crate::presence::zone::{Doubt, Zone};

/// When scenes begin, µs.
pub const BEGIN: u64 = 1_700_000_000 * SECOND;

/// Two zones: `cell` on the right half of the floor, `hall` on the left.
pub const CELL: [[f64; 2]; 4] = [[0.5, 0.5], [0.9, 0.5], [0.9, 0.95], [0.5, 0.95]];
pub const HALL: [[f64; 2]; 4] = [[0.1, 0.5], [0.45, 0.5], [0.45, 0.95], [0.1, 0.95]];

pub fn zone(name: &str, corners: &[[f64; 2]]) -> Zone {
    Zone::new(name.into(), Polygon::new(corners.to_vec()).expect("it is simple"))
}

/// A box of somebody with such feet.
pub fn body(x: f64, foot: f64, height: f64, score: f64) -> Option<Found> {
    let width = height * 0.3;
    Some(Found { score, rect: Rect::new(x - width / 2.0, foot - height, width, height)? })
}

pub struct Stage {
    pub view: View,
    pub now: u64,
    frames: u32,
    heard: u64,
    is_live: bool,
}

impl Stage {
    pub fn new() -> Self {
        Stage::with(Settings::default())
    }

    /// A camera that has said that it is live.
    pub fn with(settings: Settings) -> Self {
        let mut view = View::new(settings, vec![zone("cell", &CELL), zone("hall", &HALL)], BEGIN);
        view.health(BEGIN, Health::Live);
        Stage { view, now: BEGIN, frames: 0, heard: BEGIN, is_live: true }
    }

    pub fn health(&mut self, health: Health) -> &mut Self {
        (self.heard, self.is_live) = (self.now, health == Health::Live);
        self.view.health(self.now, health);
        self.view.advance(self.now);
        self
    }

    /// Time passes, with signs of life every ten seconds.
    pub fn pass(&mut self, seconds: f64) -> &mut Self {
        let end = self.now + (seconds * 1e6).round() as u64;
        while self.is_live && self.heard + 10 * SECOND <= end {
            self.heard += 10 * SECOND;
            self.view.health(self.heard, Health::Live);
        }
        self.now = end;
        self.view.advance(self.now);
        self
    }

    /// A frame with such boxes, now.
    pub fn frame(&mut self, boxes: &[Option<Found>]) -> &mut Self {
        self.frames += 1;
        let id = format!("f{}", self.frames);
        self.view.frame(self.now, self.now, &id, &Findings::new(boxes.iter().copied()));
        self.view.advance(self.now);
        self
    }

    /// The same boxes on frames of a second for so many.
    pub fn hold(&mut self, seconds: u32, boxes: &[Option<Found>]) -> &mut Self {
        (0..seconds).for_each(|_| {
            self.pass(1.0).frame(boxes);
        });
        self
    }

    pub fn status(&self, zone: &str) -> Status {
        let told = self.view.tell().find(|(told, _)| *told.name == *zone);
        told.expect("there is such a zone").1.status
    }

    pub fn cell(&self) -> Status {
        self.status("cell")
    }

    pub fn people(&self, zone: &str) -> usize {
        self.view.tell().filter(|(told, _)| *told.name == *zone).map(|(told, _)| told.people().count()).sum()
    }
}

pub fn doubt(doubt: Doubt) -> Status {
    Status::Unknown(Why::Zone(doubt))
}
