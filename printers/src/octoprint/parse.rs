//! OctoPrint's JSON as reports. Nothing here fails: what is missing or of another type is unknown.

use super::refine;
use crate::json;
use crate::report::{Phase, Report, Temperature};
use serde_json::Value;
use std::time::{SystemTime, UNIX_EPOCH};

/// What stands before the name of a file on the printer's own card.
const CARD: &str = "sdcard:";

/// A state as it was read, and the file that it is about.
#[derive(Clone, Debug)]
pub(super) struct Sight {
    pub report: Report,
    pub file: Option<Loaded>,
}

/// The file that OctoPrint has selected.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Loaded {
    /// As a command names it.
    pub file: String,
    pub name: String,
    pub size: Option<u64>,
    /// When it was uploaded, seconds since 1970.
    pub date: Option<u64>,
    pub estimated: Option<f64>,
}

/// What one message of the socket says and the next ones may leave out.
#[derive(Clone, Debug, Default)]
pub(super) struct Live {
    temperatures: Vec<Temperature>,
    z: Option<f64>,
}

/// The storage and the path in it of a file's name.
pub(super) fn storage(file: &str) -> (&'static str, &str) {
    file.strip_prefix(CARD).map_or(("local", file), |path| ("sdcard", path))
}

/// The answers of `/api/job` and `/api/printer`; the latter is `null` without a connected printer.
pub(super) fn asked(job: &Value, printer: &Value, live: &Live) -> Sight {
    let text = json::text(printer, "/state/text").or_else(|| json::text(job, "/state"));
    let error = json::text(printer, "/state/error").or_else(|| json::text(job, "/error"));
    let flags = printer.pointer("/state/flags").unwrap_or(&Value::Null);
    let mut now = live.clone();
    let temperatures = temperatures(printer.pointer("/temperature").unwrap_or(&Value::Null));
    if !temperatures.is_empty() {
        now.temperatures = temperatures;
    }
    sight(text.unwrap_or_default(), flags, error, job, now)
}

/// A message of the push socket: `current`, or `history`, which comes first. `None`: it is about something else.
pub(super) fn pushed(message: &Value, live: &mut Live) -> Option<Sight> {
    let current = json::at(message, "/current").or_else(|| json::at(message, "/history"))?;
    // The state is never left out; without it this is not what we know.
    let text = json::text(current, "/state/text")?;
    let latest = current.pointer("/temps").and_then(Value::as_array).and_then(|temps| temps.last());
    let temperatures = temperatures(latest.unwrap_or(&Value::Null));
    if !temperatures.is_empty() {
        live.temperatures = temperatures;
    }
    live.z = json::number(current, "/currentZ");
    let flags = current.pointer("/state/flags").unwrap_or(&Value::Null);
    Some(sight(text, flags, json::text(current, "/state/error"), current, live.clone()))
}

/// A mark of a print's beginning.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Mark {
    /// Seconds since 1970, by OctoPrint's clock.
    pub at: f64,
    /// Seconds since then.
    pub age: f64,
}

/// When the last print began, as a message of the push socket has it: OctoPrint remembers the marks of its temperature
/// chart for half an hour. Of a print that has just begun there is none yet, and the last one is that of the print before.
pub(super) fn began(message: &Value) -> Option<Mark> {
    let current = json::at(message, "/current").or_else(|| json::at(message, "/history"))?;
    let marks = current.pointer("/markings")?.as_array()?;
    let start = marks.iter().rev().find(|mark| json::text(mark, "/type") == Some("print"))?;
    let at = json::number(start, "/time")?;
    // It tells the time in every message; our own clock may be another one.
    let ours = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
    let now = json::number(current, "/serverTime").unwrap_or_else(ours);
    Some(Mark { at, age: (now - at).max(0.0) })
}

/// `body` has `job` and `progress`.
fn sight(text: &str, flags: &Value, error: Option<&str>, body: &Value, live: Live) -> Sight {
    let mut report = Report::online(phase(text, flags));
    report.error = error.map(str::to_owned);
    report.progress = json::number(body, "/progress/completion").map(|percent| (percent / 100.0).clamp(0.0, 1.0));
    report.elapsed = json::number(body, "/progress/printTime");
    report.left = json::number(body, "/progress/printTimeLeft");
    report.z = live.z;
    report.tools = live.temperatures;
    refine(&mut report);
    Sight { report, file: loaded(body.pointer("/job").unwrap_or(&Value::Null)) }
}

fn loaded(job: &Value) -> Option<Loaded> {
    let path = json::text(job, "/file/path").or_else(|| json::text(job, "/file/name"))?;
    // Version 2 calls it storage.
    let origin = json::text(job, "/file/origin").or_else(|| json::text(job, "/file/storage")).unwrap_or("local");
    let name = json::text(job, "/file/display").or_else(|| json::text(job, "/file/name")).unwrap_or(path);
    Some(Loaded {
        file: if origin == "local" { path.to_owned() } else { format!("{CARD}{path}") },
        name: name.to_owned(),
        size: json::whole(job, "/file/size"),
        date: json::whole(job, "/file/date"),
        estimated: json::number(job, "/estimatedPrintTime"),
    })
}

/// The flags say it for programs; the text says what the flags do not, and is all there is without a printer.
fn phase(text: &str, flags: &Value) -> Phase {
    let is = |flag: &str| flags.get(flag).and_then(Value::as_bool) == Some(true);
    // A file on its way to the card is no print, though the flags say that it is.
    if text.contains(" file to SD") {
        return Phase::Unknown;
    }
    match () {
        () if is("cancelling") => Phase::Cancelling,
        () if is("pausing") => Phase::Pausing,
        () if is("finishing") => Phase::Finishing,
        () if is("paused") => Phase::Paused,
        () if text.starts_with("Starting") => Phase::Preparing,
        () if is("printing") || is("resuming") => Phase::Printing,
        () if is("error") => Phase::Error,
        () if is("ready") => Phase::Idle,
        () => phase_of_text(text),
    }
}

fn phase_of_text(text: &str) -> Phase {
    match text {
        "Operational" => Phase::Idle,
        "Starting" | "Starting print from SD" => Phase::Preparing,
        "Printing" | "Printing from SD" | "Resuming" => Phase::Printing,
        "Pausing" => Phase::Pausing,
        "Paused" => Phase::Paused,
        "Cancelling" => Phase::Cancelling,
        "Finishing" => Phase::Finishing,
        "Offline" | "Closed" | "Connecting" | "Opening serial connection" | "Detecting serial connection" => {
            Phase::Offline
        }
        _ if text.starts_with("Error") || text == "Offline after error" => Phase::Error,
        _ => Phase::Unknown,
    }
}

/// Heaters that report a temperature: `{"tool0": {"actual": 210.1, "target": 210}, "bed": …}`.
fn temperatures(value: &Value) -> Vec<Temperature> {
    let heaters = value.as_object().into_iter().flatten().filter_map(|(name, heater)| {
        let actual = Some(json::number(heater, "/actual")?);
        Some(Temperature { name: name.clone(), actual, target: json::number(heater, "/target") })
    });
    let mut heaters: Vec<Temperature> = heaters.collect();
    let rank = |name: &str| (!name.starts_with("tool"), name == "chamber");
    heaters.sort_by(|a, b| (rank(&a.name), &a.name).cmp(&(rank(&b.name), &b.name)));
    heaters
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_message_of_the_socket_is_a_report() {
        let current = json!({
            "state": {"text": "Printing", "flags": {"operational": true, "printing": true}, "error": ""},
            "job": {"file": {"name": "a.gcode", "path": "f/a.gcode", "display": "A", "origin": "local", "size": 2434,
                "date": 1_795_422_360}, "estimatedPrintTime": 17.78},
            "currentZ": 0.2,
            "progress": {"completion": 28.18, "printTime": 4, "printTimeLeft": 13},
            "temps": [{"time": 1, "bed": {"actual": 30.0, "target": 30.0}, "tool0": {"actual": 60.0, "target": 60.0},
                "chamber": {"actual": null, "target": null}}],
        });
        let mut live = Live::default();
        let sight = pushed(&json!({"current": current}), &mut live).expect("a report");
        assert_eq!(sight.report.phase, Phase::Printing);
        assert_eq!(sight.report.progress, Some(0.2818));
        assert_eq!(sight.report.z, Some(0.2));
        let heaters: Vec<&str> = sight.report.tools.iter().map(|tool| tool.name.as_str()).collect();
        assert_eq!(heaters, ["tool0", "bed"]);
        let file = sight.file.expect("a file");
        assert_eq!((file.file.as_str(), file.name.as_str(), file.size), ("f/a.gcode", "A", Some(2434)));
        // Temperatures that a message leaves out are the last ones.
        let next = pushed(&json!({"current": {"state": {"text": "Operational"}, "temps": []}}), &mut live);
        assert_eq!(next.map(|sight| sight.report.tools.len()), Some(2));
    }

    #[test]
    fn a_print_is_prepared_while_the_nozzle_is_cold() {
        let printer = json!({
            "state": {"text": "Printing", "flags": {"printing": true}},
            "temperature": {"tool0": {"actual": 30.0, "target": 210.0}},
        });
        let sight = asked(&json!({"progress": {"completion": 0.4}}), &printer, &Live::default());
        assert_eq!((sight.report.phase, sight.report.extruding), (Phase::Preparing, Some(false)));
    }

    #[test]
    fn a_stopped_printer_is_in_error() {
        let job = json!({"state": "Offline after error", "error": "Closing serial port due to emergency stop M112."});
        let report = asked(&job, &Value::Null, &Live::default()).report;
        assert_eq!(report.phase, Phase::Error);
        assert!(report.error.is_some_and(|error| error.contains("M112")));
    }

    #[test]
    fn a_file_that_is_sent_to_the_card_is_no_print() {
        assert_eq!(phase("Sending file to SD", &json!({"printing": true})), Phase::Unknown);
    }
}
