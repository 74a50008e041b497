//! What a printer says of itself, and what in it speaks for a failure.
//!
//! Only what is said counts: a printer that falls silent is not judged by the clock, since its silence is an affair of
//! the connection. After a minute of it all clocks start afresh.

use super::heater::{self, Heat, Heater};
use super::reasons::{What, duration};
use super::stall::Stall;

/// What the printer does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Nothing is known: frames are judged, for a print may well be under way.
    #[default]
    Unknown,
    Idle,
    /// Heating up, homing, levelling, purging.
    Preparing,
    Printing,
    /// Stopped by a person, a command, or the printer: for a change of filament, too.
    Paused,
    Finished,
    Cancelled,
    Failed,
}

impl Phase {
    /// Frames are evidence.
    #[must_use]
    pub fn is_watched(self) -> bool {
        matches!(self, Phase::Unknown | Phase::Printing)
    }
}

/// The whole state of a printer at a time, as far as it is known. Numbers that are not finite count as not known.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Telemetry {
    pub phase: Phase,
    /// 0 to 1.
    pub progress: Option<f64>,
    pub z_mm: Option<f64>,
    pub layer: Option<u32>,
    pub nozzle: Heat,
    pub bed: Heat,
    /// Whether the sensor sees filament; `None` without a sensor.
    pub filament: Option<bool>,
    /// The firmware's error; nothing, or blank, if there is none.
    pub error: Option<String>,
    /// Seconds of printing.
    pub elapsed_s: Option<f64>,
}

/// After so much silence, µs, nothing is concluded from what was said before.
pub const SILENCE: u64 = 60_000_000;
/// Firmware with a sensor stops by itself within this time, µs.
const OUT_FOR: u64 = 10_000_000;
const OUT_WEIGHT: f64 = 0.85;
const ERROR_WEIGHT: f64 = 0.98;
/// Characters of an error that are kept.
const LONGEST_ERROR: usize = 200;

/// Something in the telemetry that speaks for a failure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sign {
    pub what: What,
    pub weight: f64,
    pub since: u64,
}

/// What the printer has said so far.
#[derive(Clone, Debug, PartialEq)]
pub struct Machine {
    phase: Phase,
    last: Option<u64>,
    nozzle: Heater,
    bed: Heater,
    stall: Stall,
    out_since: Option<u64>,
    /// µs, and what it says.
    error: Option<(u64, String)>,
    elapsed_s: f64,
}

impl Default for Machine {
    fn default() -> Self {
        Machine {
            phase: Phase::Unknown,
            last: None,
            nozzle: Heater::new(&heater::NOZZLE),
            bed: Heater::new(&heater::BED),
            stall: Stall::default(),
            out_since: None,
            error: None,
            elapsed_s: 0.0,
        }
    }
}

impl Machine {
    /// What the printer does, or did when that was last known.
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.phase
    }

    pub fn hear(&mut self, at: u64, said: &Telemetry) {
        let printing = said.phase == Phase::Printing;
        let is_fresh = self.last.is_none_or(|last| at.saturating_sub(last) > SILENCE);
        let elapsed = said.elapsed_s.filter(|s| s.is_finite());
        // Time that runs backwards is another run.
        let is_another = elapsed.is_some_and(|s| s < self.elapsed_s - 60.0);
        let restart = is_fresh || is_another || !printing || self.phase != Phase::Printing;
        if said.phase != Phase::Unknown {
            self.phase = said.phase;
        }
        self.last = Some(at);
        self.elapsed_s = elapsed.unwrap_or(self.elapsed_s);
        if restart {
            self.nozzle.restart(at);
            self.bed.restart(at);
            self.out_since = None;
        }
        self.nozzle.hear(at, said.nozzle, printing);
        self.bed.hear(at, said.bed, printing);
        let heating = self.nozzle.is_heating() || self.bed.is_heating();
        self.stall.hear(at, said.progress, said.z_mm, said.layer, restart || heating);
        if !(printing && said.filament == Some(false)) {
            self.out_since = None;
        } else if self.out_since.is_none() {
            self.out_since = Some(at);
        }
        self.hear_error(at, said);
    }

    /// What speaks for a failure now; at most one sign of a kind.
    pub fn signs(&self) -> impl Iterator<Item = Sign> {
        let sign = |what, fault: Option<(f64, u64)>| fault.map(|(weight, since)| Sign { what, weight, since });
        let last = self.last.unwrap_or_default();
        let out = self.out_since.filter(|since| last - since >= OUT_FOR).map(|since| (OUT_WEIGHT, since));
        [
            sign(What::FirmwareError, self.error.as_ref().map(|(since, _)| (ERROR_WEIGHT, *since))),
            sign(What::NozzleHeatFault, self.nozzle.fault()),
            sign(What::BedHeatFault, self.bed.fault()),
            sign(What::FilamentOut, out),
            sign(What::NoMovement, self.stall.no_movement(last)),
            sign(What::ProgressStall, self.stall.progress(last)),
            sign(What::LayerStall, self.stall.layer(last)),
        ]
        .into_iter()
        .flatten()
    }

    /// The sign in words.
    #[must_use]
    pub fn detail(&self, sign: &Sign) -> String {
        let span = duration(self.last.unwrap_or_default().saturating_sub(sign.since));
        match sign.what {
            What::FirmwareError => match &self.error {
                Some((_, text)) if !text.is_empty() => format!("the printer reports: {text}"),
                _ => "the printer says that the print has failed".to_owned(),
            },
            What::NozzleHeatFault => self.nozzle.detail("nozzle", &span),
            What::BedHeatFault => self.bed.detail("bed", &span),
            What::FilamentOut => format!("no filament at the sensor for {span}, and the printer goes on"),
            What::NoMovement => format!("progress, height and layer have stood still for {span}{}", self.at_elapsed()),
            What::ProgressStall => format!("the printer moves, and its progress has stood still for {span}"),
            What::LayerStall => format!("the progress grows, and the layer has stayed for {span}"),
            What::Spaghetti | What::CameraBlind => String::new(),
        }
    }

    fn at_elapsed(&self) -> String {
        if self.elapsed_s > 0.0 {
            return format!(", after {} of printing", duration((self.elapsed_s.min(1e9) * 1e6) as u64));
        }
        String::new()
    }

    fn hear_error(&mut self, at: u64, said: &Telemetry) {
        let text = said.error.as_deref().map(str::trim).unwrap_or_default();
        if text.is_empty() && said.phase != Phase::Failed {
            self.error = None;
            return;
        }
        let text: String = text.chars().take(LONGEST_ERROR).collect();
        if self.error.as_ref().is_none_or(|(_, before)| *before != text) {
            self.error = Some((at, text));
        }
    }
}

/// A number, if it is one and lies within sane bounds.
pub fn sane(value: Option<f64>, low: f64, high: f64) -> Option<f64> {
    value.filter(|value| (low..=high).contains(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printing() -> Telemetry {
        Telemetry { phase: Phase::Printing, ..Telemetry::default() }
    }

    fn signs(machine: &Machine) -> Vec<What> {
        machine.signs().map(|sign| sign.what).collect()
    }

    #[test]
    fn filament_that_is_out_is_told_only_while_the_printer_goes_on() {
        let mut machine = Machine::default();
        let out = Telemetry { filament: Some(false), ..printing() };
        (0..=9).for_each(|s| machine.hear(s * 1_000_000, &out));
        assert_eq!(signs(&machine), []);
        machine.hear(10_000_000, &out);
        assert_eq!(signs(&machine), [What::FilamentOut]);
        machine.hear(11_000_000, &Telemetry { phase: Phase::Paused, ..out });
        assert_eq!(signs(&machine), []);
    }

    #[test]
    fn an_error_is_told_at_once_in_any_phase_and_until_it_is_gone() {
        let mut machine = Machine::default();
        let error = Some("MAXTEMP triggered".to_owned());
        machine.hear(5, &Telemetry { phase: Phase::Idle, error, ..Telemetry::default() });
        let sign = machine.signs().next().unwrap();
        assert_eq!(machine.detail(&sign), "the printer reports: MAXTEMP triggered");
        machine.hear(6, &Telemetry { error: Some("  ".to_owned()), ..printing() });
        assert_eq!(signs(&machine), []);
    }

    #[test]
    fn silence_is_no_sign() {
        let mut machine = Machine::default();
        let out = Telemetry { filament: Some(false), ..printing() };
        machine.hear(0, &out);
        machine.hear(100_000_000, &out);
        assert_eq!(signs(&machine), []);
    }
}
