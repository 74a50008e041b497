//! A print that is played to a watch.

use crate::print_failure::evidence::Health;
use crate::print_failure::heater::Heat;
use crate::print_failure::reasons::{Level, Verdict, What};
use crate::print_failure::rule::{Event, Watch};
use crate::print_failure::settings::{Sensitivity, Settings};
use crate::print_failure::telemetry::{Phase, Telemetry};

pub const SECOND: u64 = 1_000_000;
pub const MINUTE: u64 = 60 * SECOND;
pub const HOUR: u64 = 60 * MINUTE;

/// A watch, the time, and what was said so far.
pub struct Stage {
    pub watch: Watch,
    pub now: u64,
    /// Between frames, µs.
    step: u64,
    /// Times at which a pause began to be asked for.
    pub pauses: Vec<u64>,
    levels: Vec<Level>,
    asks: bool,
}

impl Stage {
    pub fn new() -> Self {
        Stage::with(Sensitivity::NORMAL, 1.0)
    }

    /// `rate`: frames per second.
    pub fn with(sensitivity: Sensitivity, rate: f64) -> Self {
        Stage {
            watch: Watch::new(Settings { sensitivity, ..Settings::default() }),
            now: 1_700_000_000 * SECOND,
            step: (1e6 / rate) as u64,
            pauses: vec![],
            levels: vec![Level::Watching],
            asks: false,
        }
    }

    /// Frames of these scores, one after the other.
    pub fn frames(&mut self, camera: &str, scores: impl IntoIterator<Item = f64>) -> &mut Self {
        for score in scores {
            let step = self.step;
            self.frame(camera, score).pass(step);
        }
        self
    }

    /// Frames of one score for so many seconds.
    pub fn hold(&mut self, score: f64, seconds: f64) -> &mut Self {
        let frames = (seconds * 1e6 / self.step as f64).round() as usize;
        self.frames("bed", std::iter::repeat_n(score, frames))
    }

    /// A frame now.
    pub fn frame(&mut self, camera: &str, score: f64) -> &mut Self {
        let frame = format!("{camera}@{}", self.now / SECOND);
        self.tell(&Event::Frame { camera: camera.to_owned(), score, frame })
    }

    pub fn tell(&mut self, event: &Event) -> &mut Self {
        self.watch.feed(self.now, event);
        self
    }

    pub fn health(&mut self, camera: &str, health: Health) -> &mut Self {
        self.tell(&Event::Health { camera: camera.to_owned(), health })
    }

    pub fn phase(&mut self, phase: Phase) -> &mut Self {
        self.tell(&Event::Telemetry(Telemetry { phase, ..Telemetry::default() }))
    }

    /// Time passes. The verdict is asked for as an engine would: when something was told, and when the watch wakes.
    pub fn pass(&mut self, time: u64) -> &mut Self {
        let end = self.now + time;
        self.note();
        while let Some(wake) = self.watch.wake_after(self.now).filter(|wake| *wake < end) {
            self.now = wake;
            self.note();
        }
        self.now = end;
        self
    }

    pub fn verdict(&self) -> Verdict {
        self.watch.verdict(self.now)
    }

    pub fn level(&self) -> Level {
        self.verdict().level
    }

    pub fn reasons(&self) -> Vec<What> {
        self.verdict().reasons.iter().map(|reason| reason.what).collect()
    }

    /// Levels as they followed one another.
    pub fn story(&self) -> &[Level] {
        &self.levels
    }

    fn note(&mut self) {
        let verdict = self.verdict();
        if verdict.pause && !self.asks {
            self.pauses.push(self.now);
        }
        self.asks = verdict.pause;
        if self.levels.last() != Some(&verdict.level) {
            self.levels.push(verdict.level);
        }
    }
}

/// A printer that prints at its temperatures.
pub fn printing() -> Telemetry {
    Telemetry {
        phase: Phase::Printing,
        nozzle: Heat { actual: Some(215.0), target: Some(215.0) },
        bed: Heat { actual: Some(60.0), target: Some(60.0) },
        filament: Some(true),
        ..Telemetry::default()
    }
}
