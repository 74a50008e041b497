//! PrusaLink, against a small server that follows its published description; not against a printer.

mod common;

use common::web::{Answer, Request, Web};
use common::{Watched, command};
use jarvis_printers::{Action, Connection, Ending, JobId, Phase, Printer, PrusaLink, Secret, WebSettings, What};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const KEY: &str = "a-key-of-prusa-link";

/// The short and the long name of its file.
const FILES: [&str; 2] = ["/api/v1/files/usb/A.BGC", "/api/v1/files/usb/a.bgcode"];

/// A printer in one state, with one file on its stick.
struct Device {
    state: &'static str,
    job: Option<u64>,
    stored: Vec<u8>,
}

impl Device {
    fn answer(&mut self, request: &Request) -> Answer {
        if !request.head.contains(&format!("x-api-key: {KEY}\r\n")) {
            return (401, json!({"title": "401: Unauthorized"}));
        }
        let of_the_job = |action: &str| self.job.map(|job| format!("/api/v1/job/{job}{action}"));
        match (request.method.as_str(), Some(request.path.clone())) {
            ("GET", Some(path)) if path == "/api/v1/status" => (200, self.status()),
            ("GET", Some(path)) if path == "/api/v1/job" => match self.job {
                Some(job) => (
                    200,
                    json!({"id": job, "state": self.state,
                    "file": {"name": "A.BGC", "display_name": "a.bgcode", "path": "/usb", "size": 10}}),
                ),
                None => (204, Value::Null),
            },
            ("PUT", path) if path == of_the_job("/pause") => self.turn("PRINTING", "PAUSED"),
            ("PUT", path) if path == of_the_job("/resume") => self.turn("PAUSED", "PRINTING"),
            ("DELETE", path) if path == of_the_job("") => {
                self.state = "STOPPED";
                (204, Value::Null)
            }
            // It knows a file by both of its names.
            ("POST", Some(path)) if FILES.contains(&path.as_str()) => self.begin(),
            ("GET", Some(path)) if path == FILES[0] && !self.stored.is_empty() => (
                200,
                json!({"name": "A.BGC", "display_name": "a.bgcode", "size": self.stored.len(),
                "refs": {"download": "/usb/A.BGC"}}),
            ),
            ("GET", Some(path)) if path == "/usb/A.BGC" => {
                (200, serde_json::from_slice(&self.stored).unwrap_or(Value::Null))
            }
            ("PUT", Some(path)) if path == FILES[0] => {
                self.stored.clone_from(&request.body);
                (201, Value::Null)
            }
            _ => (404, json!({"title": "404: Not Found"})),
        }
    }

    fn status(&self) -> Value {
        let mut status = json!({"printer": {"state": self.state, "temp_nozzle": 20.0, "target_nozzle": 0.0}});
        if let Some(job) = self.job {
            status["job"] = json!({"id": job, "progress": 50.0, "time_remaining": 60, "time_printing": 60});
        }
        status
    }

    fn begin(&mut self) -> Answer {
        self.job = Some(self.job.unwrap_or(40) + 1);
        self.state = "PRINTING";
        (204, Value::Null)
    }

    fn turn(&mut self, from: &str, to: &'static str) -> Answer {
        if self.state != from {
            return (409, json!({"title": "409: Conflict"}));
        }
        self.state = to;
        (204, Value::Null)
    }
}

async fn device() -> (Web, Arc<Mutex<Device>>) {
    let device = Arc::new(Mutex::new(Device { state: "IDLE", job: None, stored: vec![] }));
    let shared = Arc::clone(&device);
    (Web::start(move |request| shared.lock().unwrap().answer(request)).await, device)
}

fn printer(web: &Web, key: &str) -> Printer {
    let url = format!("http://127.0.0.1:{}", web.port).parse().unwrap();
    let mut settings = WebSettings::new(url, Some(Secret::new(key)));
    settings.interval = Duration::from_millis(50);
    Printer::PrusaLink(PrusaLink::new(&settings).unwrap())
}

#[tokio::test]
async fn a_print_is_told_and_followed() {
    let (web, device) = device().await;
    let mut watched = Watched::new(printer(&web, KEY), Duration::from_secs(1));
    watched.until("an idle printer", |report| report.phase == Phase::Idle && report.job.is_none()).await;
    let start = Action::Start { file: "usb/A.BGC".to_owned() };
    assert_eq!(watched.command(start).await.what, What::Done { already: false });
    let job = watched.until("the print", |report| report.job.is_some()).await.job.unwrap();
    assert_eq!((job.id.0.as_str(), job.name.as_str()), ("#41", "a.bgcode"));
    for already in [false, true] {
        assert_eq!(command(&watched.printer, Action::Pause, Some(&job.id)).await.what, What::Done { already });
    }
    assert_eq!(web.count("PUT /api/v1/job/41/pause"), 1);
    let other = command(&watched.printer, Action::Resume, Some(&JobId("#40".to_owned()))).await;
    assert_eq!((other.what, other.sent), (What::OtherJob { running: Some(job.id.clone()) }, false));
    assert_eq!(watched.command(Action::Resume).await.what, What::Done { already: false });
    device.lock().unwrap().state = "FINISHED";
    let end = watched.until("the end", |report| report.ending.is_some()).await;
    assert_eq!((end.ending, end.phase), (Some(Ending::Done), Phase::Idle));
    assert_eq!(watched.command(Action::EmergencyStop).await.what, What::Unsupported);
}

#[tokio::test]
async fn a_file_is_stored_and_printed() {
    let (web, device) = device().await;
    let printer = printer(&web, KEY);
    let file = tempfile::NamedTempFile::new().unwrap();
    // The test's server hands out JSON only.
    std::fs::write(file.path(), "[28]").unwrap();
    let upload = |print| Action::Upload { path: file.path().to_owned(), name: "A.BGC".to_owned(), print };
    assert_eq!(command(&printer, upload(false), None).await.what, What::Done { already: false });
    assert_eq!(device.lock().unwrap().stored, b"[28]");
    let again = command(&printer, upload(false), None).await;
    assert_eq!((again.what, again.sent), (What::Done { already: true }, false));
    std::fs::write(file.path(), "[29]").unwrap();
    assert_eq!(command(&printer, upload(true), None).await.what, What::Done { already: false });
    assert_eq!(command(&printer, Action::Cancel, None).await.what, What::Done { already: false });
}

#[tokio::test]
async fn a_wrong_key_is_refused() {
    let (web, _device) = device().await;
    let mut watched = Watched::new(printer(&web, "wrong"), Duration::from_secs(1));
    watched.until("the refusal", |report| report.connection == Connection::Refused).await;
    let outcome = watched.command(Action::Pause).await;
    assert!(matches!(outcome.what, What::Refused { status: 401, .. }), "{outcome:?}");
}

#[tokio::test]
async fn a_file_is_known_by_its_long_name_too() {
    let (web, _device) = device().await;
    let printer = printer(&web, KEY);
    let start = Action::Start { file: "usb/a.bgcode".to_owned() };
    assert_eq!(command(&printer, start.clone(), None).await.what, What::Done { already: false });
    assert_eq!(command(&printer, start, None).await.what, What::Done { already: true });
    assert_eq!(web.count("POST /api/v1/files"), 1);
    let other = Action::Start { file: "usb/b.bgcode".to_owned() };
    assert!(matches!(command(&printer, other, None).await.what, What::OtherJob { .. }));
}

#[tokio::test]
async fn a_print_that_begins_after_the_last_look_is_not_paused() {
    let (web, device) = device().await;
    let printer = Arc::new(printer(&web, KEY));
    command(&printer, Action::Start { file: "usb/A.BGC".to_owned() }, None).await;
    // Somebody follows the printer all the time, and may be the first to see the next print.
    let (reports, mut seen) = tokio::sync::mpsc::channel(1000);
    let follower = Arc::clone(&printer);
    let following = tokio::spawn(async move { follower.reports(Duration::from_secs(1), reports).await });
    let listening = tokio::spawn(async move { while seen.recv().await.is_some() {} });
    let job = JobId("#41".to_owned());
    for next in 42..60_u64 {
        // The next print begins somewhere between the look and the command.
        let begin = async {
            tokio::time::sleep(Duration::from_millis(next % 6)).await;
            let mut device = device.lock().unwrap();
            (device.job, device.state) = (Some(next), "PRINTING");
        };
        let (outcome, ()) = futures::join!(command(&printer, Action::Pause, Some(&job)), begin);
        let paused = web.count("PUT /api/v1/job/") - web.count("PUT /api/v1/job/41/pause");
        assert_eq!(paused, 0, "{outcome:?}");
        let mut device = device.lock().unwrap();
        (device.job, device.state) = (Some(41), "PRINTING");
    }
    following.abort();
    listening.abort();
}
