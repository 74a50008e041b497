//! Klipper's objects as a report. Nothing here fails: what is missing or of another type is unknown.

use crate::json;
use crate::report::{Ending, Phase, Report, Temperature};
use serde_json::{Map, Value, json};

/// Below this speed the extruder only makes up for pressure, mm/s.
const EXTRUDING: f64 = 0.05;
/// A printer has some ten; one that has more is not asked about them.
const MOST_OBJECTS: usize = 100;
/// What a printer may have besides.
const SENSORS: [&str; 2] = ["filament_switch_sensor ", "filament_motion_sensor "];
const CHAMBERS: [&str; 3] = ["heater_generic chamber", "temperature_sensor chamber", "temperature_fan chamber"];

/// What to ask for, of all that the printer has: its fields, or all of them.
pub(super) fn objects(list: Option<&Value>) -> Value {
    let mut wanted = Map::new();
    let names = list.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    for name in names {
        let fields = match name {
            "webhooks" => json!(["state", "state_message"]),
            "print_stats" => Value::Null,
            "virtual_sdcard" => json!(["progress", "is_active"]),
            "pause_resume" => json!(["is_paused"]),
            "gcode_move" => json!(["gcode_position"]),
            "motion_report" => json!(["live_extruder_velocity"]),
            name if is_heater(name) || CHAMBERS.contains(&name) => json!(["temperature", "target"]),
            name if is_sensor(name) => json!(["filament_detected", "enabled"]),
            _ => continue,
        };
        wanted.insert(name.to_owned(), fields);
        if wanted.len() >= MOST_OBJECTS {
            break;
        }
    }
    Value::Object(wanted)
}

/// Whether a state may have an object, or an object a field, of this name: what else is said is not remembered.
pub(super) fn is_state(name: &str) -> bool {
    const NAMES: [&str; 24] = [
        "webhooks",
        "state",
        "state_message",
        "print_stats",
        "filename",
        "print_duration",
        "total_duration",
        "message",
        "info",
        "current_layer",
        "total_layer",
        "virtual_sdcard",
        "progress",
        "is_active",
        "pause_resume",
        "is_paused",
        "gcode_move",
        "gcode_position",
        "motion_report",
        "live_extruder_velocity",
        "temperature",
        "target",
        "filament_detected",
        "enabled",
    ];
    NAMES.contains(&name) || is_heater(name) || CHAMBERS.contains(&name) || is_sensor(name)
}

fn is_sensor(name: &str) -> bool {
    SENSORS.iter().any(|kind| name.starts_with(kind))
}

fn is_heater(name: &str) -> bool {
    name == "heater_bed"
        || name.strip_prefix("extruder").is_some_and(|number| number.bytes().all(|b| b.is_ascii_digit()))
}

/// Klipper's name of a heater.
pub(super) fn heater(tool: &str) -> Option<String> {
    match tool {
        "bed" => Some("heater_bed".to_owned()),
        "chamber" => Some("chamber".to_owned()),
        "tool0" => Some("extruder".to_owned()),
        _ => {
            let number = tool.strip_prefix("tool").filter(|number| !number.is_empty())?;
            number.bytes().all(|byte| byte.is_ascii_digit()).then(|| format!("extruder{number}"))
        }
    }
}

/// A report without the print, and the file that is being printed or was last.
pub(super) fn report(status: &Value) -> (Report, Option<String>) {
    let mut report = Report::online(phase(status));
    let state = json::text(status, "/print_stats/state");
    report.ending = match state {
        Some("complete") => Some(Ending::Done),
        Some("cancelled") => Some(Ending::Cancelled),
        Some("error") => Some(Ending::Failed),
        _ => None,
    };
    let progress = json::number(status, "/virtual_sdcard/progress").map(|progress| progress.clamp(0.0, 1.0));
    report.progress = if report.ending == Some(Ending::Done) { Some(1.0) } else { progress };
    report.elapsed = json::number(status, "/print_stats/print_duration");
    report.z = json::number(status, "/gcode_move/gcode_position/2");
    report.layer = json::small(status, "/print_stats/info/current_layer");
    report.layers = json::small(status, "/print_stats/info/total_layer");
    report.tools = temperatures(status);
    report.filament_present = filament(status);
    report.extruding = json::number(status, "/motion_report/live_extruder_velocity").map(|speed| speed > EXTRUDING);
    report.error = match report.phase {
        Phase::Error => json::text(status, "/webhooks/state_message"),
        _ => json::text(status, "/print_stats/message"),
    }
    .map(str::to_owned);
    (report, json::text(status, "/print_stats/filename").map(str::to_owned))
}

/// Seconds, from what the slicer thought it would take, or else from the share that is done.
pub(super) fn left(report: &Report, estimated: Option<f64>) -> Option<f64> {
    const TOO_EARLY: f64 = 0.02;
    let elapsed = report.elapsed.filter(|_| report.phase.is_active())?;
    match (estimated, report.progress) {
        (Some(estimated), _) => Some((estimated - elapsed).max(0.0)),
        (None, Some(progress)) if progress > TOO_EARLY => Some(elapsed * (1.0 - progress) / progress),
        _ => None,
    }
}

fn phase(status: &Value) -> Phase {
    match json::text(status, "/webhooks/state") {
        Some("shutdown" | "error") => return Phase::Error,
        Some("startup") => return Phase::Unknown,
        _ => {}
    }
    let is_paused = json::flag(status, "/pause_resume/is_paused") == Some(true);
    match json::text(status, "/print_stats/state") {
        // The macro is running.
        Some("printing") if is_paused => Phase::Pausing,
        // This clock starts with the first extrusion.
        Some("printing") if json::number(status, "/print_stats/print_duration") == Some(0.0) => Phase::Preparing,
        Some("printing") => Phase::Printing,
        Some("paused") => Phase::Paused,
        // The printer itself is ready again, however the print ended.
        Some("standby" | "complete" | "cancelled" | "error") => Phase::Idle,
        _ => Phase::Unknown,
    }
}

fn temperatures(status: &Value) -> Vec<Temperature> {
    let Some(objects) = status.as_object() else { return vec![] };
    let read = |name: String, object: &Value| {
        let actual = Some(json::number(object, "/temperature")?);
        Some(Temperature { name, actual, target: json::number(object, "/target") })
    };
    let mut nozzles: Vec<(u32, &Value)> = objects
        .iter()
        .filter_map(|(name, object)| {
            let number = name.strip_prefix("extruder")?;
            Some((if number.is_empty() { 0 } else { number.parse().ok()? }, object))
        })
        .collect();
    nozzles.sort_by_key(|(number, _)| *number);
    let nozzles = nozzles.into_iter().filter_map(|(number, object)| read(format!("tool{number}"), object));
    let bed = objects.get("heater_bed").and_then(|object| read("bed".to_owned(), object));
    let chamber = CHAMBERS.iter().find_map(|name| read("chamber".to_owned(), objects.get(*name)?));
    nozzles.chain(bed).chain(chamber).collect()
}

/// Whether all sensors that are switched on see filament.
fn filament(status: &Value) -> Option<bool> {
    let objects = status.as_object()?.iter();
    let sensors = objects.filter(|(name, _)| is_sensor(name));
    let seen = sensors
        .filter(|(_, sensor)| json::flag(sensor, "/enabled") != Some(false))
        .filter_map(|(_, sensor)| json::flag(sensor, "/filament_detected"));
    seen.reduce(|all, one| all && one)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_asked_for_only_if_they_are_there() {
        let list =
            json!(["webhooks", "extruder", "extruder1", "extruder_stepper x", "fan", "filament_switch_sensor a"]);
        let wanted = objects(Some(&list));
        let names: Vec<&String> = wanted.as_object().unwrap().keys().collect();
        assert_eq!(names, ["webhooks", "extruder", "extruder1", "filament_switch_sensor a"]);
    }

    #[test]
    fn a_printing_printer_is_read() {
        let (report, file) = report(&json!({
            "webhooks": {"state": "ready"},
            "print_stats": {"state": "printing", "filename": "a/b.gcode", "print_duration": 12.5, "total_duration": 60.0,
                "message": "", "info": {"current_layer": 2, "total_layer": 10}},
            "virtual_sdcard": {"progress": 0.25}, "pause_resume": {"is_paused": false},
            "gcode_move": {"gcode_position": [1.0, 2.0, 0.4, 5.0]},
            "extruder1": {"temperature": 25.0, "target": 0.0}, "extruder": {"temperature": 210.0, "target": 210.0},
            "heater_bed": {"temperature": 60.0, "target": 60.0}, "temperature_sensor chamber": {"temperature": 31.0},
            "filament_switch_sensor a": {"filament_detected": true, "enabled": true},
            "filament_motion_sensor b": {"filament_detected": false, "enabled": false},
            "motion_report": {"live_extruder_velocity": 1.5},
        }));
        assert_eq!((report.phase, file.as_deref()), (Phase::Printing, Some("a/b.gcode")));
        assert_eq!((report.layer, report.layers, report.z), (Some(2), Some(10), Some(0.4)));
        let tools: Vec<&str> = report.tools.iter().map(|tool| tool.name.as_str()).collect();
        assert_eq!(tools, ["tool0", "tool1", "bed", "chamber"]);
        assert_eq!((report.filament_present, report.extruding, report.error.clone()), (Some(true), Some(true), None));
        assert_eq!(left(&report, None), Some(37.5));
        assert_eq!(left(&report, Some(100.0)), Some(87.5));
    }

    #[test]
    fn only_heaters_can_be_heated() {
        assert_eq!(heater("tool2").as_deref(), Some("extruder2"));
        assert_eq!(heater("tool1 M112"), None);
        assert_eq!(heater("fan"), None);
    }
}
