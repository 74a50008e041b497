//! A Bambu printer's status as a report. Nothing here fails: what is missing or of another type is unknown.

use crate::json;
use crate::report::{Ending, Job, JobId, Phase, Report, Temperature};
use crate::start::{self, Start};
use crate::words::sentence;
use serde_json::Value;

/// The printer's own code for a print that somebody has cancelled.
const CANCELLED: u64 = 0x0300_400C;

/// The fields of the `print` object that a report is made of.
pub(super) fn is_state(field: &str) -> bool {
    const FIELDS: [&str; 21] = [
        "gcode_state",
        "gcode_file",
        "gcode_start_time",
        "subtask_name",
        "subtask_id",
        "task_id",
        "layer_num",
        "total_layer_num",
        "mc_percent",
        "mc_remaining_time",
        "print_error",
        "hw_switch_state",
        "nozzle_temper",
        "nozzle_target_temper",
        "bed_temper",
        "bed_target_temper",
        "chamber_temper",
        "chamber_target_temper",
        "command",
        "print",
        "sequence_id",
    ];
    FIELDS.contains(&field)
}

/// The fields of an answer to a command.
pub(super) fn is_answer(field: &str) -> bool {
    ["print", "sequence_id", "command", "result", "reason", "err_code"].contains(&field)
}

/// The merged `print` object as a report.
pub(super) fn report(print: &Value, starts: &Start) -> Report {
    let state = json::text(print, "/gcode_state").unwrap_or_default();
    let layer = json::small(print, "/layer_num");
    let mut report = Report::online(phase(state, layer));
    let error = json::whole(print, "/print_error").unwrap_or(0);
    report.ending = match state {
        "FINISH" => Some(Ending::Done),
        "FAILED" if error == CANCELLED => Some(Ending::Cancelled),
        "FAILED" => Some(Ending::Failed),
        _ => None,
    };
    report.progress = json::number(print, "/mc_percent").map(|percent| (percent / 100.0).clamp(0.0, 1.0));
    report.left = json::number(print, "/mc_remaining_time").map(|minutes| minutes * 60.0);
    report.layer = layer.filter(|layer| *layer > 0);
    report.layers = json::small(print, "/total_layer_num").filter(|layers| *layers > 0);
    let heaters = [("tool0", "nozzle"), ("bed", "bed"), ("chamber", "chamber")];
    let heaters = heaters.into_iter().filter_map(|(name, theirs)| {
        let actual = Some(json::number(print, &format!("/{theirs}_temper"))?);
        Some(Temperature {
            name: name.to_owned(),
            actual,
            target: json::number(print, &format!("/{theirs}_target_temper")),
        })
    });
    report.tools = heaters.collect();
    report.filament_present = json::whole(print, "/hw_switch_state").map(|state| state > 0);
    report.error =
        (error != 0 && error != CANCELLED).then(|| format!("error {:04X}-{:04X}", error >> 16, error & 0xFFFF));
    report.job = job(print, &report, starts);
    if report.job.is_none() {
        report.ending = None;
    }
    report
}

/// A print that came through the vendor's cloud has a number; one from the card or the network has none, but newer
/// firmware tells when it began. Of the rest only the moment of their first sight is known, for there is no clock that
/// says how long they have been going on.
fn job(print: &Value, report: &Report, starts: &Start) -> Option<Job> {
    let known = |pointer: &str| json::text(print, pointer).filter(|text| *text != "0");
    let file = known("/gcode_file").or_else(|| known("/subtask_name"))?;
    let number = known("/task_id").or_else(|| known("/subtask_id"));
    let id = match (number, known("/gcode_start_time")) {
        (Some(number), _) => format!("{file}#{number}"),
        (None, Some(began)) => format!("{file}@{began}"),
        (None, None) => start::named(file, starts.of(file, report)?),
    };
    let name = known("/subtask_name").unwrap_or(file).to_owned();
    Some(Job { id: JobId(id), file: file.to_owned(), name, size: None, estimated: None, began_by: None })
}

fn phase(state: &str, layer: Option<u32>) -> Phase {
    match state {
        "IDLE" | "FINISH" | "FAILED" => Phase::Idle,
        "INIT" | "PREPARE" | "SLICING" => Phase::Preparing,
        // It heats, levels and cleans before there is a layer.
        "RUNNING" if layer == Some(0) => Phase::Preparing,
        "RUNNING" => Phase::Printing,
        "PAUSE" => Phase::Paused,
        "OFFLINE" => Phase::Offline,
        _ => Phase::Unknown,
    }
}

/// What the printer says to a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Taken,
    /// It wants commands to be signed with the vendor's key.
    Unsigned(String),
    Declined(u32, String),
}

/// The answer to the command with this number, if the message is one.
pub(super) fn answer(message: &Value, sequence: &str) -> Option<Answer> {
    const UNSIGNED: u64 = 84_033_543;
    let print = json::at(message, "/print")?;
    if json::text(print, "/sequence_id") != Some(sequence) || json::text(print, "/command") == Some("push_status") {
        return None;
    }
    let code = json::whole(print, "/err_code").unwrap_or(0);
    let reason = sentence(json::text(print, "/reason").unwrap_or("no reason given"), None);
    if code == UNSIGNED || reason.to_lowercase().contains("verify failed") {
        return Some(Answer::Unsigned(reason));
    }
    match json::text(print, "/result")?.to_lowercase().as_str() {
        "success" => Some(Answer::Taken),
        _ => Some(Answer::Declined(u32::try_from(code).unwrap_or(u32::MAX), reason)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_print_is_read() {
        let print = json!({
            "gcode_state": "RUNNING", "gcode_file": "/data/part.gcode", "subtask_name": "part", "task_id": "0",
            "gcode_start_time": "1795422360", "mc_percent": 12, "mc_remaining_time": 5, "layer_num": 3,
            "total_layer_num": 40, "nozzle_temper": 219.9, "nozzle_target_temper": 220.0, "bed_temper": 55.0,
            "bed_target_temper": 55.0, "hw_switch_state": 1, "print_error": 0,
        });
        let report = report(&print, &Start::default());
        assert_eq!((report.phase, report.layer, report.left), (Phase::Printing, Some(3), Some(300.0)));
        assert_eq!(report.job.map(|job| job.id.0), Some("/data/part.gcode@1795422360".to_owned()));
        assert_eq!((report.filament_present, report.error), (Some(true), None));
    }

    #[test]
    fn an_unsigned_command_is_told_from_one_that_was_declined() {
        let said = |extra: Value| {
            let mut print = json!({"sequence_id": "7", "command": "pause"});
            crate::json::merge(&mut print, extra);
            answer(&json!({ "print": print }), "7")
        };
        assert_eq!(said(json!({"result": "SUCCESS"})), Some(Answer::Taken));
        assert_eq!(
            said(json!({"result": "failed", "reason": "mqtt message verify failed", "err_code": 84_033_543})),
            Some(Answer::Unsigned("mqtt message verify failed".to_owned()))
        );
        assert_eq!(said(json!({"result": "fail", "reason": "busy"})), Some(Answer::Declined(0, "busy".to_owned())));
        assert_eq!(answer(&json!({"print": {"sequence_id": "8", "result": "success"}}), "7"), None);
    }
}
