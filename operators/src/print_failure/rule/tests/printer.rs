//! Telemetry, and what it does to the level.

use super::stage::{MINUTE, SECOND, Stage, printing};
use crate::print_failure::heater::Heat;
use crate::print_failure::reasons::{Level, What};
use crate::print_failure::rule::Event;
use crate::print_failure::telemetry::{Phase, Telemetry};

impl Stage {
    /// Rows two seconds apart.
    fn rows(&mut self, seconds: u64, mut row: impl FnMut(f64) -> Telemetry) -> &mut Self {
        for second in (0..seconds).step_by(2) {
            self.row(row(second as f64)).pass(2 * SECOND);
        }
        self
    }

    fn row(&mut self, row: Telemetry) -> &mut Self {
        self.tell(&Event::Telemetry(row))
    }
}

fn nozzle(actual: f64, target: f64) -> Telemetry {
    Telemetry { nozzle: Heat { actual: Some(actual), target: Some(target) }, ..printing() }
}

#[test]
fn a_nozzle_that_cools_while_printing_pauses() {
    let mut stage = Stage::new();
    stage.rows(600, |_| printing()).rows(60, |s| nozzle(215.0 - s, 215.0));
    let verdict = stage.verdict();
    assert!(verdict.pause);
    assert_eq!(verdict.reasons[0].what, What::NozzleHeatFault);
    assert_eq!(verdict.reasons[0].detail, "the nozzle is at 157 °C, 58 K below its 215 °C, for 46 s");
}

#[test]
fn a_print_with_its_usual_life_is_left_alone() {
    let mut stage = Stage::new();
    stage.rows(190, |s| Telemetry { phase: Phase::Preparing, ..nozzle(25.0 + s, 215.0) });
    stage.rows(300, |s| Telemetry { progress: Some(s / 1e4), layer: Some((s / 60.0) as u32), ..printing() });
    // A temperature tower, a draught, a pause that cools, a change of filament, and heating up again.
    stage.rows(120, |s| nozzle(215.0 + (s / 2.0).min(20.0), 235.0));
    stage.rows(20, |_| nozzle(222.0, 235.0)).rows(120, |_| nozzle(235.0, 235.0));
    stage.rows(600, |s| Telemetry { phase: Phase::Paused, filament: Some(s < 60.0), ..nozzle(235.0 - s / 4.0, 235.0) });
    stage.rows(300, |s| nozzle((85.0 + s).min(235.0), 235.0));
    stage.rows(60, |_| nozzle(235.0, 235.0));
    stage.rows(600, |s| Telemetry { phase: Phase::Finished, ..nozzle(235.0 - s / 4.0, 0.0) });
    assert_eq!(stage.story(), [Level::Watching]);
    assert_eq!(stage.reasons(), []);
}

#[test]
fn a_standstill_is_told_and_after_as_long_again_pauses() {
    let mut stage = Stage::new();
    let row = |s: f64| Telemetry { progress: Some(s.min(600.0) / 1e4), layer: Some(3), ..printing() };
    stage.rows(600 + 29 * 60, row);
    assert_eq!(stage.level(), Level::Watching);
    stage.rows(4 * 60, |_| row(1e4));
    assert_eq!((stage.level(), stage.reasons()), (Level::Suspect, vec![What::NoMovement]));
    stage.rows(30 * 60, |_| row(1e4));
    assert!(stage.verdict().pause);
}

#[test]
fn a_printer_that_waits_for_heat_does_not_stand_still() {
    let mut stage = Stage::new();
    stage.rows(3600, |s| Telemetry { progress: Some(0.0), ..nozzle(25.0 + s / 30.0, 215.0) });
    assert_eq!(stage.story(), [Level::Watching]);
}

#[test]
fn an_error_of_the_firmware_fails_at_once_and_is_quiet_when_acknowledged() {
    let mut stage = Stage::new();
    let error = |text: &str| Telemetry { error: Some(text.to_owned()), ..printing() };
    stage.rows(60, |_| printing()).row(error("nozzle clogged")).pass(SECOND);
    assert!(stage.verdict().pause && stage.verdict().confidence > 0.9);
    stage.tell(&Event::Acknowledge).rows(600, |_| error("nozzle clogged"));
    assert_eq!((stage.pauses.len(), stage.verdict().pause), (1, false));
    // It is told again after a while, and another one pauses.
    stage.rows(600, |_| error("nozzle clogged"));
    assert_eq!((stage.level(), stage.pauses.len()), (Level::Suspect, 1));
    stage.row(error("thermistor open")).pass(SECOND);
    assert_eq!((stage.level(), stage.pauses.len()), (Level::Failing, 2));
}

#[test]
fn a_failed_print_is_told_and_not_paused() {
    let mut stage = Stage::new();
    stage.rows(60, |_| printing()).phase(Phase::Failed);
    assert_eq!((stage.level(), stage.verdict().pause), (Level::Failing, false));
}

#[test]
fn a_row_that_stays_the_last_is_not_judged_by_the_clock() {
    let mut stage = Stage::new();
    stage.rows(60, |_| printing()).row(Telemetry { filament: Some(false), ..nozzle(150.0, 215.0) });
    stage.pass(60 * MINUTE);
    assert_eq!(stage.story(), [Level::Watching]);
}

#[test]
fn doubts_of_eye_and_machine_add_up() {
    // A bed that gets no warmer is worth a look, and so are these frames: together they pause.
    let colder = |_| Telemetry { bed: Heat { actual: Some(40.0), target: Some(65.0) }, ..printing() };
    let both = |score: f64| {
        let mut stage = Stage::new();
        stage.hold(0.1, 600.0).rows(60, |_| printing());
        for second in 0..700 {
            stage.row(colder(0.0)).frames("bed", [if second < 660 { 0.1 } else { score }]);
        }
        stage
    };
    assert_eq!((both(0.1).level(), both(0.1).pauses.len()), (Level::Suspect, 0));
    assert_eq!((both(0.5).level(), both(0.5).pauses.len()), (Level::Failing, 1));
}
