//! PrusaLink, the real one for a Raspberry Pi, with a pretended printer at its serial line.

mod common;
#[path = "../../tests/common/octoprint.rs"]
mod octoprint;
#[path = "common/prusalink_server.rs"]
mod server;

use common::{Watched, within};
use jarvis_printers::{
    Action, Connection, Ending, JobId, Login, Outcome, Phase, Printer, PrusaLink, Secret, Temperature, WebSettings,
    What,
};
use reqwest::Method;
use serde_json::{Value, json};
use server::{KEY, PASSWORD, PrusaLink as Server, USER, gcode};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(5);

fn settings(server: &Server, key: Option<&str>) -> WebSettings {
    let mut settings = WebSettings::new(server.url(), key.map(Secret::new));
    settings.interval = Duration::from_millis(200);
    settings
}

fn printer(settings: &WebSettings) -> Printer {
    Printer::PrusaLink(PrusaLink::new(settings).unwrap())
}

fn watched(server: &Server) -> Watched {
    Watched::new(printer(&settings(server, Some(KEY))), PATIENCE)
}

fn done(already: bool) -> What {
    What::Done { already }
}

fn temperature(name: &str, actual: f64, target: f64) -> Temperature {
    Temperature { name: name.to_owned(), actual: Some(actual), target: Some(target) }
}

/// Carries out a command, with more time than a printer of one's own would get: this one runs beside other tests.
async fn command(printer: &Printer, action: Action, job: Option<&JobId>) -> Outcome {
    within(printer, action, job, Duration::from_secs(40)).await
}

/// Stores G-code under a name on the server, or prints it.
async fn upload(printer: &Printer, gcode: &str, name: &str, print: bool) -> What {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), gcode).unwrap();
    let upload = Action::Upload { path: file.path().to_owned(), name: name.to_owned(), print };
    command(printer, upload, None).await.what
}

#[tokio::test]
async fn a_file_is_stored_printed_paused_resumed_and_cancelled() {
    let server = Server::start().await;
    let mut watched = watched(&server);
    let idle = watched.until("an idle printer", |report| report.phase == Phase::Idle).await;
    assert_eq!(idle.tools, [temperature("tool0", 21.0, 0.0), temperature("bed", 21.0, 0.0)]);
    assert_eq!(idle.job, None);

    let name = "local/parts/a part.gcode";
    assert_eq!(upload(&watched.printer, &gcode(60), name, false).await, done(false));
    assert_eq!(upload(&watched.printer, &gcode(60), name, false).await, done(true));
    let start = Action::Start { file: name.to_owned() };
    assert_eq!(command(&watched.printer, start.clone(), None).await.what, done(false));
    assert_eq!(command(&watched.printer, start, None).await.what, done(true));
    let printing = watched.until("warm printing", |report| report.z == Some(0.2)).await;
    assert_eq!(printing.tools, [temperature("tool0", 120.0, 120.0), temperature("bed", 40.0, 40.0)]);
    let job = printing.job.unwrap();
    assert_eq!((printing.phase, job.id.0.as_str(), job.name.as_str()), (Phase::Printing, "#42", "a part.gcode"));
    assert_eq!((job.size, job.estimated), (Some(gcode(60).len() as u64), Some(60.0)));

    for already in [false, true] {
        assert_eq!(command(&watched.printer, Action::Pause, Some(&job.id)).await.what, done(already));
    }
    server.is_state("PAUSED").await;
    let other = command(&watched.printer, Action::Resume, Some(&JobId("#41".to_owned()))).await;
    assert_eq!((other.what, other.sent), (What::OtherJob { running: Some(job.id.clone()) }, false));
    // Whoever is late is turned down by the server itself.
    let not_it = json!("Given job id does not belong to current job");
    for (method, path) in [(Method::PUT, "41/resume"), (Method::PUT, "43/resume"), (Method::DELETE, "41")] {
        let (status, said) = server.ask(method, &format!("/api/v1/job/{path}")).await.unwrap();
        assert_eq!((status, &said["message"]), (404, &not_it), "{path}");
    }
    server.is_state("PAUSED").await;
    assert_eq!(command(&watched.printer, Action::Resume, Some(&job.id)).await.what, done(false));
    server.is_state("PRINTING").await;
    assert_eq!(command(&watched.printer, Action::Cancel, Some(&job.id)).await.what, done(false));
    let ended = watched.until("the end", |report| report.ending.is_some()).await;
    assert_eq!((ended.phase, ended.ending), (Phase::Idle, Some(Ending::Cancelled)));
    assert_eq!(ended.job.map(|job| job.id), Some(job.id));
}

#[tokio::test]
async fn a_print_comes_to_its_end_and_the_next_one_is_another() {
    let server = Server::start().await;
    let mut watched = watched(&server);
    assert_eq!(upload(&watched.printer, &gcode(3), "local/short.gcode", true).await, done(false));
    let half = watched.until("some of it", |report| report.progress.is_some_and(|done| done > 0.3)).await;
    let job = half.job.unwrap();
    let ended = watched.until("the end", |report| report.ending.is_some()).await;
    assert_eq!((ended.phase, ended.ending), (Phase::Idle, Some(Ending::Done)));
    assert_eq!(ended.job.as_ref(), Some(&job));

    // For some seconds it shows how the print ended, and takes no other.
    let start = Action::Start { file: "local/short.gcode".to_owned() };
    let declined = command(&watched.printer, start.clone(), None).await;
    let message = "Printer is not in state to print.";
    assert_eq!(declined.what, What::Refused { status: 409, message: message.to_owned() });
    server.is_state("IDLE").await;
    assert_eq!(command(&watched.printer, start, None).await.what, done(false));
    let next = watched.until("the next print", |report| report.phase.is_active()).await;
    assert_ne!(next.job.map(|job| job.id), Some(job.id));
}

#[tokio::test]
async fn a_user_logs_in_and_strangers_are_refused_in_clear_words() {
    let server = Server::start().await;
    let mut login = settings(&server, None);
    login.login = Some(Login { user: USER.to_owned(), password: Secret::new(PASSWORD) });
    let mut maker = Watched::new(printer(&login), PATIENCE);
    maker.until("an idle printer", |report| report.phase == Phase::Idle).await;
    let name = "local/a part.gcode";
    assert_eq!(upload(&maker.printer, &gcode(60), name, false).await, done(false));
    let printed = upload(&maker.printer, &gcode(60), name, true).await;
    assert_eq!(printed, done(false));
    assert_eq!(command(&maker.printer, Action::Cancel, None).await.what, done(false));

    login.login = Some(Login { user: USER.to_owned(), password: Secret::new("not-by-a-maker") });
    let strangers = [(login, 401), (settings(&server, Some("wrong")), 403), (settings(&server, None), 401)];
    for (settings, expected) in strangers {
        let mut stranger = Watched::new(printer(&settings), PATIENCE);
        let refused = stranger.until("the refusal", |report| report.connection == Connection::Refused).await;
        let error = refused.error.unwrap();
        assert!(!error.contains('<') && !error.contains("not-by-a-maker"), "{error}");
        let outcome = command(&stranger.printer, Action::Cancel, None).await;
        assert!(matches!(outcome.what, What::Refused { status, .. } if status == expected), "{outcome:?}");
    }
}

#[tokio::test]
async fn a_printer_that_waits_for_somebody_or_has_halted_says_so() {
    let mut server = Server::start().await;
    let mut watched = watched(&server);
    let asking = gcode(60).replacen("G28\n", "G28\nM0 look at it\n", 1);
    assert_eq!(upload(&watched.printer, &asking, "local/asking.gcode", true).await, done(false));
    let waiting = watched.until("a printer that waits", |report| report.error.is_some()).await;
    assert_eq!((waiting.phase, waiting.job.is_some()), (Phase::Paused, true));
    assert_eq!(waiting.error.as_deref(), Some("it needs somebody's attention"));
    server.at_the_printer("click");
    watched.until("the print", |report| report.phase == Phase::Printing && report.z == Some(0.2)).await;
    server.at_the_printer("kill");
    let halted = watched.until("a halted printer", |report| report.phase == Phase::Error).await;
    assert_eq!(halted.error.as_deref(), Some("Firmware detected a hardware issue"));
    let (status, job) = server.ask(Method::GET, "/api/v1/job").await.unwrap();
    assert_eq!((status, job), (204, Value::String(String::new())));
}
