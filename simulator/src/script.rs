//! What goes wrong, and when.

use crate::facility::{Facility, PrinterModel};
use std::fmt;

/// Something that happens to a device.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// The printer is in the middle of a job, if it was not.
    BeAtWork {
        printer: String,
    },
    /// Its nozzle heats to so many °C, whatever the target.
    RunAway {
        printer: String,
        to: f64,
    },
    /// Its nozzle heater stops heating.
    BreakHeater {
        printer: String,
    },
    MendHeater {
        printer: String,
    },
    /// It says that it prints, but nothing moves.
    Stall {
        printer: String,
    },
    Unstall {
        printer: String,
    },
    LoadSpool {
        printer: String,
        grams: f64,
    },
    /// The door is opened and kept open.
    HoldDoor {
        door: String,
    },
    ReleaseDoor {
        door: String,
    },
    /// The device stops talking.
    Silence {
        device: String,
    },
    Wake {
        device: String,
    },
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BeAtWork { printer } => write!(f, "{printer} is printing"),
            Self::RunAway { printer, to } => write!(f, "{printer}: the nozzle runs away towards {to:.0} °C"),
            Self::BreakHeater { printer } => write!(f, "{printer}: the nozzle heater breaks"),
            Self::MendHeater { printer } => write!(f, "{printer}: the nozzle heater is mended"),
            Self::Stall { printer } => write!(f, "{printer}: the print stalls"),
            Self::Unstall { printer } => write!(f, "{printer}: the print goes on"),
            Self::LoadSpool { printer, grams } => write!(f, "{printer}: a spool with {grams:.1} g is loaded"),
            Self::HoldDoor { door } => write!(f, "{door} is opened and left open"),
            Self::ReleaseDoor { door } => write!(f, "{door} is closed"),
            Self::Silence { device } => write!(f, "{device} falls silent"),
            Self::Wake { device } => write!(f, "{device} is back"),
        }
    }
}

/// Actions by time, over and over.
#[derive(Clone, Debug, Default)]
pub struct Script {
    /// In the order of time: seconds after the start of a round, and what happens then.
    steps: Vec<(f64, Action)>,
    /// The length of a round, seconds.
    round_s: f64,
    /// Seconds since the start of this round.
    elapsed: f64,
    /// The next step.
    next: usize,
}

impl Script {
    /// Nothing goes wrong.
    pub fn calm() -> Self {
        Self::default()
    }

    /// In every round of two minutes each kind of trouble comes and goes once: a nozzle runs away, a heater breaks, a
    /// print stalls, a spool runs low, a door is left open, a camera falls silent and a sensor is not plugged in. Which
    /// devices have it depends only on the facility; a facility without some kind of device is spared its trouble.
    pub fn demo(facility: &Facility) -> Self {
        let mut steps = printer_troubles(facility);
        if let Some(door) = facility.doors.iter().min_by(|a, b| a.allowed_open_s.total_cmp(&b.allowed_open_s)) {
            steps.push((10.0, Action::HoldDoor { door: door.id.clone() }));
            steps.push((10.0 + door.allowed_open_s + 25.0, Action::ReleaseDoor { door: door.id.clone() }));
        }
        if let Some(camera) = facility.devices.iter().find(|d| d.kind == "camera") {
            steps.push((5.0, Action::Silence { device: camera.id.clone() }));
            steps.push((60.0, Action::Wake { device: camera.id.clone() }));
        }
        if let Some(sensor) = facility.devices.iter().rfind(|d| d.kind == "sensor") {
            steps.push((0.0, Action::Silence { device: sensor.id.clone() }));
            steps.push((65.0, Action::Wake { device: sensor.id.clone() }));
        }
        steps.sort_by(|a, b| a.0.total_cmp(&b.0));
        Self { steps, round_s: 120.0, elapsed: 0.0, next: 0 }
    }

    /// Lets time pass and says what happens in it.
    pub fn advance(&mut self, seconds: f64) -> Vec<Action> {
        if self.steps.is_empty() {
            return Vec::new();
        }
        self.elapsed += seconds;
        let mut due = Vec::new();
        loop {
            match self.steps.get(self.next) {
                Some((at, action)) if *at <= self.elapsed => {
                    due.push(action.clone());
                    self.next += 1;
                }
                None if self.elapsed >= self.round_s => {
                    self.elapsed -= self.round_s;
                    self.next = 0;
                }
                _ => return due,
            }
        }
    }
}

/// The troubles of printers, each on another one.
fn printer_troubles(facility: &Facility) -> Vec<(f64, Action)> {
    let mut free: Vec<&PrinterModel> = facility.printers.iter().collect();
    let mut steps = Vec::new();
    // The coolest rating is the soonest exceeded.
    if let Some(model) = take_least(&mut free, |p| p.max_nozzle) {
        let printer = model.id.clone();
        steps.push((0.0, Action::BeAtWork { printer: printer.clone() }));
        steps.push((8.0, Action::RunAway { printer: printer.clone(), to: model.max_nozzle + 6.0 }));
        steps.push((45.0, Action::MendHeater { printer }));
    }
    // The widest nozzle uses filament the fastest: its spool crosses the level within a quarter of a minute.
    if let Some(model) = take_least(&mut free, |p| -p.nozzle_mm) {
        let printer = model.id.clone();
        steps.push((0.0, Action::BeAtWork { printer: printer.clone() }));
        steps.push((0.0, Action::LoadSpool { printer: printer.clone(), grams: model.low_filament_g + 0.3 }));
        steps.push((50.0, Action::LoadSpool { printer, grams: 1000.0 }));
    }
    if let Some(model) = take_least(&mut free, |p| p.stall_after_s) {
        let printer = model.id.clone();
        steps.push((0.0, Action::BeAtWork { printer: printer.clone() }));
        steps.push((10.0, Action::Stall { printer: printer.clone() }));
        steps.push((10.0 + model.stall_after_s + 18.0, Action::Unstall { printer }));
    }
    if let Some(model) = take_least(&mut free, |_| 0.0) {
        let printer = model.id.clone();
        steps.push((0.0, Action::BeAtWork { printer: printer.clone() }));
        steps.push((5.0, Action::BreakHeater { printer: printer.clone() }));
        steps.push((60.0, Action::MendHeater { printer }));
    }
    steps
}

/// Takes out the first printer with the least rank.
fn take_least<'f>(free: &mut Vec<&'f PrinterModel>, rank: impl Fn(&PrinterModel) -> f64) -> Option<&'f PrinterModel> {
    let least = (0..free.len()).min_by(|a, b| rank(free[*a]).total_cmp(&rank(free[*b])))?;
    Some(free.remove(least))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facility() -> Facility {
        Facility::parse(
            "devices: [ { id: cam, kind: camera }, { id: air, kind: sensor } ]\n\
             doors: [ { id: gate, allowed_open_s: 600 }, { id: cell, allowed_open_s: 20 } ]\n\
             printers:\n\
             - { id: a, tools: 1, max_nozzle: 300, max_bed: 100, nozzle_mm: 0.4, stall_after_s: 60, low_filament_g: 100 }\n\
             - { id: b, tools: 1, max_nozzle: 280, max_bed: 100, nozzle_mm: 0.4, stall_after_s: 40, low_filament_g: 100 }\n\
             - { id: c, tools: 1, max_nozzle: 300, max_bed: 100, nozzle_mm: 1.0, stall_after_s: 40, low_filament_g: 400 }\n\
             - { id: d, tools: 1, max_nozzle: 300, max_bed: 100, nozzle_mm: 0.4, stall_after_s: 40, low_filament_g: 100 }\n",
        )
        .unwrap()
    }

    #[test]
    fn each_trouble_has_its_own_device_and_ends_within_the_round() {
        let mut script = Script::demo(&facility());
        let told: Vec<String> = script.advance(119.0).iter().map(ToString::to_string).collect();
        assert_eq!(
            told,
            [
                "b is printing",
                "c is printing",
                "c: a spool with 400.3 g is loaded",
                "d is printing",
                "a is printing",
                "air falls silent",
                "a: the nozzle heater breaks",
                "cam falls silent",
                "b: the nozzle runs away towards 286 °C",
                "d: the print stalls",
                "cell is opened and left open",
                "b: the nozzle heater is mended",
                "c: a spool with 1000.0 g is loaded",
                "cell is closed",
                "a: the nozzle heater is mended",
                "cam is back",
                "air is back",
                "d: the print goes on",
            ]
        );
    }

    #[test]
    fn the_next_round_tells_the_same() {
        let mut script = Script::demo(&facility());
        // Quarters of a second add up exactly.
        let rounds: Vec<Vec<Action>> = (0..3).map(|_| (0..480).flat_map(|_| script.advance(0.25)).collect()).collect();
        assert_eq!(rounds[1], rounds[2]);
        assert_eq!(rounds.concat().iter().filter(|a| matches!(a, Action::Stall { .. })).count(), 3);
    }

    #[test]
    fn a_facility_without_devices_has_no_trouble() {
        assert!(Script::demo(&Facility::default()).advance(1000.0).is_empty());
        assert!(Script::calm().advance(1000.0).is_empty());
    }
}
