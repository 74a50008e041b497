//! What the rule says of a print, and why.
//!
//! Reasons are weighed between 0 and 1 and combined as a noisy-or (Pearl, Probabilistic Reasoning in Intelligent
//! Systems, 1988, 4.3.2): `1 − Π (1 − wᵢ)`, the chance that at least one of several independent causes is at work.

use std::fmt;

/// How a print fares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Nothing to be told.
    Watching,
    /// A failing episode is over: the evidence has gone, or the print stands still, or a person has seen it.
    Resolved,
    /// Somebody should have a look.
    Suspect,
    /// The print should not go on like this.
    Failing,
}

impl Level {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Level::Watching => "watching",
            Level::Resolved => "resolved",
            Level::Suspect => "suspect",
            Level::Failing => "failing",
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What speaks for a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum What {
    /// Cameras see a failed print: spaghetti, a part that came loose, a blob.
    Spaghetti,
    NozzleHeatFault,
    BedHeatFault,
    /// Progress, height and layer all stand still.
    NoMovement,
    /// The printer moves, and its progress stands still.
    ProgressStall,
    /// The progress grows, and the layer stays.
    LayerStall,
    FilamentOut,
    /// The firmware says so itself.
    FirmwareError,
    /// No evidence at all: a camera sees nothing. Not counted in the confidence.
    CameraBlind,
}

impl What {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            What::Spaghetti => "spaghetti",
            What::NozzleHeatFault => "nozzle_heat_fault",
            What::BedHeatFault => "bed_heat_fault",
            What::NoMovement => "no_movement",
            What::ProgressStall => "progress_stall",
            What::LayerStall => "layer_stall",
            What::FilamentOut => "filament_out",
            What::FirmwareError => "firmware_error",
            What::CameraBlind => "camera_blind",
        }
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One reason, for people.
#[derive(Clone, Debug, PartialEq)]
pub struct Reason {
    pub what: What,
    /// How strongly it speaks for a failure, 0 to 1.
    pub weight: f64,
    /// µs.
    pub since: u64,
    /// A clause with numbers and units.
    pub detail: String,
}

/// What the rule says of a print at a time.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    pub level: Level,
    /// All the evidence together, 0 to 1, muted or accepted or not.
    pub confidence: f64,
    /// Heaviest first.
    pub reasons: Vec<Reason>,
    /// The ids of the few frames that weigh most, heaviest first.
    pub frames: Vec<String>,
    /// µs: since when the level holds.
    pub since: u64,
    /// Failing episodes of this print so far; the current one is counted.
    pub episode: u32,
    /// A pause should be asked for. It rises once per episode, and falls when the printer is seen to stand still, a
    /// person has acknowledged or muted the alarm, or the episode ends.
    pub pause: bool,
    /// Alarms are muted.
    pub muted: bool,
}

/// The weights of independent reasons together.
#[must_use]
pub fn noisy_or(weights: impl IntoIterator<Item = f64>) -> f64 {
    1.0 - weights.into_iter().fold(1.0, |none, weight| none * (1.0 - weight))
}

/// µs as seconds.
pub fn seconds(us: u64) -> f64 {
    us as f64 / 1e6
}

/// A duration for people: `40 s`, `12 min`, `3.5 h`.
pub fn duration(us: u64) -> String {
    let s = seconds(us);
    if s < 120.0 {
        format!("{s:.0} s")
    } else if s < 7_200.0 {
        format!("{:.0} min", s / 60.0)
    } else {
        format!("{:.1} h", s / 3_600.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_reason_adds_what_the_first_left_open() {
        assert_eq!(noisy_or([]), 0.0);
        assert_eq!(noisy_or([0.5]), 0.5);
        assert_eq!(noisy_or([0.5, 0.5]), 0.75);
        assert_eq!(noisy_or([1.0, 0.3]), 1.0);
    }

    #[test]
    fn durations_are_told_in_the_unit_that_fits() {
        assert_eq!(duration(40_000_000), "40 s");
        assert_eq!(duration(12 * 60_000_000), "12 min");
        assert_eq!(duration(210 * 60_000_000), "3.5 h");
    }
}
