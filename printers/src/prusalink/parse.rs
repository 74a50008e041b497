//! PrusaLink's JSON as reports. Nothing here fails: what is missing or of another type is unknown.

use crate::json;
use crate::report::{Ending, Job, JobId, Phase, Report, Temperature};
use serde_json::Value;

/// What stands before a print's number in its id.
const NUMBER: char = '#';

/// The fields of `/api/v1/job` that a report is made of.
pub(super) fn is_job(field: &str) -> bool {
    const FIELDS: [&str; 8] = ["id", "file", "path", "name", "display_name", "size", "meta", "estimated_print_time"];
    FIELDS.contains(&field)
}

/// The answers of `/api/v1/status` and `/api/v1/job`; the latter is `null` if there is no print.
pub(super) fn report(status: &Value, job: &Value) -> Report {
    let state = json::text(status, "/printer/state").unwrap_or_default();
    let number = json::whole(status, "/job/id");
    let mut report = Report::online(phase(state, number.is_some()));
    report.ending = match state {
        "FINISHED" => Some(Ending::Done),
        "STOPPED" => Some(Ending::Cancelled),
        "ERROR" if number.is_some() => Some(Ending::Failed),
        _ => None,
    };
    report.progress = json::number(status, "/job/progress").map(|percent| (percent / 100.0).clamp(0.0, 1.0));
    report.elapsed = json::number(status, "/job/time_printing");
    report.left = json::number(status, "/job/time_remaining");
    report.z = json::number(status, "/printer/axis_z");
    report.tools = [("tool0", "nozzle"), ("bed", "bed"), ("chamber", "chamber")]
        .into_iter()
        .filter_map(|(name, theirs)| {
            let actual = Some(json::number(status, &format!("/printer/temp_{theirs}"))?);
            let target = json::number(status, &format!("/printer/target_{theirs}"));
            Some(Temperature { name: name.to_owned(), actual, target })
        })
        .collect();
    report.error = match state {
        "ERROR" | "ATTENTION" => {
            // Whoever only waits for somebody is "OK".
            let is_ok = json::flag(status, "/printer/status_printer/ok") == Some(true);
            let said = json::text(status, "/printer/status_printer/message").filter(|_| !is_ok);
            Some(said.unwrap_or("it needs somebody's attention").to_owned())
        }
        _ => None,
    };
    // On a Raspberry Pi it forgets the number at once when a print has ended, but shows for some seconds how.
    let last = json::whole(job, "/id").filter(|_| report.ending.is_some());
    report.job = number.or(last).map(|number| the_job(number, status, job));
    report
}

/// The number that an id was made of.
pub(super) fn number(id: &JobId) -> Option<u64> {
    id.0.strip_prefix(NUMBER)?.parse().ok()
}

fn the_job(number: u64, status: &Value, job: &Value) -> Job {
    let short = json::text(job, "/file/name").unwrap_or_default();
    let file = file(status, json::text(job, "/file/path").unwrap_or_default().trim_matches('/'), short);
    Job {
        // Its number alone: the file's name comes in another answer, which may be missing.
        id: JobId(format!("{NUMBER}{number}")),
        name: json::text(job, "/file/display_name").unwrap_or(short).to_owned(),
        file,
        size: json::whole(job, "/file/size"),
        estimated: json::number(job, "/file/meta/estimated_print_time"),
        began_by: None,
    }
}

/// A printed file as a command names it: `usb/A~1.BGC`. Its path is the folder's in the printer itself; on a Raspberry Pi
/// it is the file's own, below what people call the storage.
fn file(status: &Value, path: &str, short: &str) -> String {
    let is_whole = path.rsplit('/').next() == Some(short);
    let path = match path {
        "" => short.to_owned(),
        path if is_whole => path.to_owned(),
        path => format!("{path}/{short}"),
    };
    let storages = json::at(status, "/storage").and_then(Value::as_array);
    let named = storages.into_iter().flatten().find_map(|storage| {
        let rest = path.strip_prefix(json::text(storage, "/name")?)?.strip_prefix('/')?;
        Some(format!("{}/{rest}", json::text(storage, "/path")?.trim_matches('/')))
    });
    named.unwrap_or(path)
}

fn phase(state: &str, has_job: bool) -> Phase {
    match state {
        "IDLE" | "READY" | "FINISHED" | "STOPPED" => Phase::Idle,
        "PRINTING" => Phase::Printing,
        "PAUSED" => Phase::Paused,
        // It moves or heats for a print that is about to begin.
        "BUSY" if has_job => Phase::Preparing,
        // It stands still and waits for somebody, with a print in hand.
        "ATTENTION" if has_job => Phase::Paused,
        "ERROR" | "ATTENTION" => Phase::Error,
        _ => Phase::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_print_is_read() {
        let status = json!({
            "job": {"id": 297, "progress": 12.0, "time_remaining": 3600, "time_printing": 600},
            "printer": {"state": "PRINTING", "temp_nozzle": 214.9, "target_nozzle": 215.0, "temp_bed": 60.0,
                "target_bed": 60.0, "axis_z": 1.4},
        });
        let job =
            json!({"id": 297, "file": {"name": "A~1.BGC", "display_name": "A part.bgcode", "path": "/usb", "size": 7}});
        let report = report(&status, &job);
        assert_eq!((report.phase, report.progress, report.z), (Phase::Printing, Some(0.12), Some(1.4)));
        let job = report.job.unwrap();
        assert_eq!((job.id.0.as_str(), job.file.as_str(), job.name.as_str()), ("#297", "usb/A~1.BGC", "A part.bgcode"));
    }
}
