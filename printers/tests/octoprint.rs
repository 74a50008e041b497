//! OctoPrint, the real one, with its virtual printer.

mod common;
#[path = "../../tests/common/octoprint.rs"]
mod octoprint;

use common::proxy::{Fault, Proxy};
use common::{Watched, command, within};
use jarvis_printers::{
    Action, Connection, Ending, JobId, OctoPrint, Phase, Printer, Report, Secret, WebSettings, What,
};
use octoprint::{OctoPrint as Server, gcode};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(2);

fn printer_at(url: url::Url, key: &str) -> Printer {
    let mut settings = WebSettings::new(url, Some(Secret::new(key)));
    settings.interval = Duration::from_millis(500);
    Printer::OctoPrint(OctoPrint::new(&settings).unwrap())
}

fn printer(server: &Server) -> Printer {
    printer_at(server.url().parse().unwrap(), server.key())
}

fn done(already: bool) -> What {
    What::Done { already }
}

fn id(report: &Report) -> JobId {
    report.job.as_ref().expect("a print").id.clone()
}

async fn first(printer: Printer) -> (Watched, Report) {
    let mut watched = Watched::new(printer, PATIENCE);
    let report = watched.until("anything", |_| true).await;
    (watched, report)
}

#[tokio::test]
async fn reports_follow_a_print_to_its_end() {
    let server = Server::start();
    server.upload("short.gcode", &gcode(8));
    let (mut watched, idle) = first(printer(&server)).await;
    assert_eq!((idle.connection, idle.phase, idle.job), (Connection::Online, Phase::Idle, None));

    let start = Action::Start { file: "short.gcode".to_owned() };
    assert_eq!(watched.command(start.clone()).await.what, done(false));
    let printing = watched.until("printing", |report| report.phase == Phase::Printing && report.z.is_some()).await;
    let job = printing.job.clone().expect("a print");
    assert_eq!((job.file.as_str(), job.size), ("short.gcode", Some(gcode(8).len() as u64)));
    assert_eq!(printing.z, Some(0.2));
    assert_eq!(watched.command(start).await.what, done(true));

    let paused = watched.command(Action::Pause).await;
    assert_eq!((paused.what, paused.seen, paused.sent), (done(false), Phase::Paused, true));
    let report = watched.until("the pause", |report| report.phase == Phase::Paused).await;
    assert_eq!(id(&report), job.id);
    let again = watched.command(Action::Pause).await;
    assert_eq!((again.what, again.sent), (done(true), false));

    assert_eq!(watched.command(Action::Resume).await.what, done(false));
    let report = watched.until("the resumed print", |report| report.phase == Phase::Printing).await;
    assert_eq!(id(&report), job.id);
    let report = watched.until("the end", |report| report.phase == Phase::Idle).await;
    assert_eq!((id(&report), report.ending, report.progress), (job.id.clone(), Some(Ending::Done), Some(1.0)));

    // The same file once more is another print.
    server.print("short.gcode");
    let report = watched.until("the next print", |report| report.phase.is_active()).await;
    assert_ne!(id(&report), job.id);
    // And whoever comes later gives it the same name.
    let (_other, later) = first(printer(&server)).await;
    assert_eq!(id(&later), id(&report));
    // But for the first sight of an idle printer, all reports are of these two.
    let mut ids: Vec<_> = watched.seen.iter().filter_map(|report| report.job.as_ref()).map(|job| &job.id).collect();
    ids.dedup();
    assert_eq!(ids.len(), 2, "{ids:?}");
}

#[tokio::test]
async fn a_print_has_one_name_through_pauses_whoever_asks() {
    let server = Server::start();
    server.upload("long.gcode", &gcode(60));
    server.print("long.gcode");
    let (_first, before) = first(printer(&server)).await;
    server.pause();
    tokio::time::sleep(Duration::from_secs(2)).await;
    let (_second, after) = first(printer(&server)).await;
    assert_eq!((after.phase, id(&after)), (Phase::Paused, id(&before)));
    server.cancel();
    let (_third, ended) = first(printer(&server)).await;
    assert_eq!((ended.phase, ended.ending, id(&ended)), (Phase::Idle, Some(Ending::Cancelled), id(&before)));
}

#[tokio::test]
async fn another_print_is_left_alone() {
    let server = Server::start();
    let proxy = Proxy::start(server.port()).await;
    server.upload("long.gcode", &gcode(60));
    server.print("long.gcode");
    let printer = printer_at(proxy.url(), server.key());
    let mut watched = Watched::new(printer, PATIENCE);
    let yesterday = id(&watched.until("the print", |report| report.phase.is_active()).await);
    server.cancel();
    server.print("long.gcode");
    let today = id(&watched.until("the next one", |r| r.phase.is_active() && id(r) != yesterday).await);

    for action in [Action::Pause, Action::Cancel, Action::EmergencyStop] {
        let outcome = command(&watched.printer, action, Some(&yesterday)).await;
        assert_eq!((outcome.what, outcome.sent), (What::OtherJob { running: Some(today.clone()) }, false));
    }
    assert_eq!(proxy.count("POST /api/job"), 0);
    assert_eq!(proxy.count("POST /api/printer"), 0);
    assert!(server.flag("printing"));
    // Of its own print it is obeyed, and stays so when asked twice.
    assert_eq!(command(&watched.printer, Action::Cancel, Some(&today)).await.what, done(false));
    assert_eq!(command(&watched.printer, Action::Cancel, Some(&today)).await.what, done(true));
    assert_eq!(proxy.count("POST /api/job"), 1);
    let outcome = command(&watched.printer, Action::Pause, Some(&today)).await;
    assert_eq!((outcome.what, outcome.sent), (What::WrongState { phase: Phase::Idle }, false));
}

#[tokio::test]
async fn a_wrong_key_is_refused_and_not_told() {
    let server = Server::start();
    let printer = printer_at(server.url().parse().unwrap(), "not-the-key-at-all");
    assert!(!format!("{printer:?}").contains("not-the-key"));
    let (watched, report) = first(printer).await;
    assert_eq!((report.connection, report.phase), (Connection::Refused, Phase::Offline));
    assert!(report.error.as_ref().is_some_and(|error| error.contains("403")), "{report:?}");
    let outcome = watched.command(Action::Pause).await;
    assert!(matches!(outcome.what, What::Refused { status: 403, .. }), "{outcome:?}");
    let told = format!("{report:?} {outcome:?}");
    assert!(!told.contains("not-the-key"), "{told}");
}

#[tokio::test]
async fn a_server_that_dies_is_offline_and_unreachable() {
    let mut server = Server::start();
    server.upload("long.gcode", &gcode(60));
    server.print("long.gcode");
    let (mut watched, report) = first(printer(&server)).await;
    server.kill();
    let offline = watched.until("its absence", |report| report.connection == Connection::Offline).await;
    assert_eq!((offline.phase, id(&offline)), (Phase::Offline, id(&report)));
    assert!(offline.error.is_some());
    let outcome = within(&watched.printer, Action::Pause, None, Duration::from_secs(2)).await;
    assert!(matches!(outcome.what, What::Unreachable { .. }) && !outcome.sent, "{outcome:?}");
}

#[tokio::test]
async fn a_server_that_freezes_is_offline_and_comes_back() {
    let server = Server::start();
    let (mut watched, _) = first(printer(&server)).await;
    server.freeze();
    watched.until("its absence", |report| report.connection == Connection::Offline).await;
    let outcome = within(&watched.printer, Action::EmergencyStop, None, Duration::from_secs(2)).await;
    assert!(matches!(outcome.what, What::Unreachable { .. }) && outcome.sent, "{outcome:?}");
    server.thaw();
    // And when it comes to itself, it takes the emergency stop that it had been sent.
    watched.until("its return", |report| report.connection == Connection::Online).await;
    watched.until("the stop", |report| report.phase == Phase::Error).await;
}

#[tokio::test]
async fn files_and_heaters_do_what_they_are_told() {
    let server = Server::start();
    let (mut watched, _) = first(printer(&server)).await;
    let heat = Action::Heat { tool: "tool0".to_owned(), celsius: 50.0 };
    assert_eq!(watched.command(heat.clone()).await.what, done(false));
    assert_eq!(watched.command(heat).await.what, done(true));
    let chamber = watched.command(Action::Heat { tool: "chamber".to_owned(), celsius: 50.0 }).await;
    assert!(matches!(chamber.what, What::Refused { status: 409, .. }), "{chamber:?}");

    let missing = watched.command(Action::Start { file: "missing.gcode".to_owned() }).await;
    assert!(matches!(missing.what, What::Refused { status: 404, .. }), "{missing:?}");
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), gcode(30)).unwrap();
    let upload = |print| Action::Upload { path: file.path().to_owned(), name: "parts/a part.gcode".to_owned(), print };
    assert_eq!(watched.command(upload(false)).await.what, done(false));
    assert_eq!(server.job()["job"]["file"]["path"], serde_json::Value::Null);
    assert_eq!(watched.command(upload(true)).await.what, done(false));
    let report = watched.until("the print", |report| report.phase.is_active()).await;
    assert_eq!(report.job.map(|job| job.file), Some("parts/a part.gcode".to_owned()));
    // It is there and being printed: nothing is sent.
    let again = watched.command(upload(true)).await;
    assert_eq!((again.what, again.sent), (done(true), false));
    // Another file is not to take its place.
    std::fs::write(file.path(), gcode(31)).unwrap();
    let outcome = watched.command(upload(true)).await;
    assert!(matches!(outcome.what, What::WrongState { .. }) && !outcome.sent, "{outcome:?}");

    assert_eq!(watched.command(Action::EmergencyStop).await.what, done(false));
    let stopped = watched.until("the stop", |report| report.phase == Phase::Error).await;
    assert!(stopped.error.is_some_and(|error| error.contains("M112")));
}

#[tokio::test]
async fn the_state_decides_whatever_the_answer() {
    let server = Server::start();
    server.upload("long.gcode", &gcode(120));
    server.print("long.gcode");
    let proxy = Proxy::start(server.port()).await;
    let printer = printer_at(proxy.url(), server.key());
    let posted = "POST /api/job";
    let deadline = Duration::from_secs(2);

    // Nothing got through, and the answer says that it was declined.
    proxy.fault(posted, Fault::Answer(409));
    let outcome = within(&printer, Action::Pause, None, deadline).await;
    assert!(matches!(outcome.what, What::Refused { status: 409, .. }), "{outcome:?}");
    assert!(outcome.took < Duration::from_secs(1));
    proxy.heal();

    // Nothing got through, and an answer that can mean anything.
    proxy.fault(posted, Fault::Answer(500));
    let outcome = within(&printer, Action::Pause, None, deadline).await;
    assert!(matches!(&outcome.what, What::NotConfirmed { why: Some(why), .. } if why.contains("500")), "{outcome:?}");
    proxy.heal();

    // A 204 that is a lie.
    proxy.fault(posted, Fault::Answer(204));
    let outcome = within(&printer, Action::Pause, None, deadline).await;
    assert_eq!(outcome.what, What::NotConfirmed { seen: Phase::Printing, why: None });
    proxy.heal();

    // It got through, and the answers say nothing of it.
    let faults = [Fault::AnswerAfter(500), Fault::AnswerAfter(409), Fault::Swallow];
    for (fault, action) in faults.into_iter().zip([Action::Pause, Action::Resume, Action::Pause]) {
        proxy.fault(posted, fault.clone());
        let before = proxy.count(posted);
        let outcome = within(&printer, action, None, deadline).await;
        assert_eq!(outcome.what, done(false), "{fault:?}");
        assert_eq!(proxy.count(posted), before + 1, "{fault:?}");
        proxy.heal();
    }

    // It takes long, but not too long.
    proxy.fault(posted, Fault::Delay(Duration::from_millis(700)));
    assert_eq!(within(&printer, Action::Resume, None, deadline).await.what, done(false));
    proxy.heal();

    // Not even an answer.
    proxy.fault(posted, Fault::Silence);
    let outcome = within(&printer, Action::Pause, None, deadline).await;
    assert_eq!(outcome.what, What::NotConfirmed { seen: Phase::Printing, why: None });
    proxy.heal();

    // Nothing can be read: nothing is sent.
    proxy.fault("GET /api/job", Fault::Drop);
    let before = proxy.count(posted);
    let outcome = within(&printer, Action::Pause, None, deadline).await;
    assert!(matches!(outcome.what, What::Unreachable { .. }) && !outcome.sent, "{outcome:?}");
    assert_eq!(proxy.count(posted), before);
}

#[tokio::test]
async fn without_its_push_socket_it_is_asked() {
    let server = Server::start();
    let proxy = Proxy::start(server.port()).await;
    proxy.fault("GET /sockjs", Fault::Answer(502));
    let (mut watched, _) = first(printer_at(proxy.url(), server.key())).await;
    server.upload("short.gcode", &gcode(3));
    server.print("short.gcode");
    let begun = id(&watched.until("the print", |report| report.phase.is_active()).await);
    let ended = watched.until("its end", |report| report.ending.is_some()).await;
    assert_eq!((ended.ending, id(&ended)), (Some(Ending::Done), begun));
    assert_eq!(proxy.count("GET /sockjs"), 1);
}

#[tokio::test]
async fn a_file_is_sent_only_if_it_is_not_there_and_believed_only_if_it_is_listed() {
    let server = Server::start();
    let proxy = Proxy::start(server.port()).await;
    let printer = printer_at(proxy.url(), server.key());
    let file = tempfile::NamedTempFile::new().unwrap();
    let upload =
        || Action::Upload { path: file.path().to_owned(), name: "parts/a part.gcode".to_owned(), print: false };
    let posted = "POST /api/files/local";
    std::fs::write(file.path(), "G28\nM104 S200\n").unwrap();
    for already in [false, true, true] {
        let outcome = command(&printer, upload(), None).await;
        assert_eq!((outcome.what, outcome.sent), (done(already), !already));
    }
    assert_eq!(proxy.count(posted), 1);
    // Ten degrees more: another file of the same length.
    std::fs::write(file.path(), "G28\nM104 S210\n").unwrap();
    assert_eq!(command(&printer, upload(), None).await.what, done(false));
    assert_eq!(proxy.count(posted), 2);

    // It says that it has stored the file, and has not.
    std::fs::write(file.path(), "G28\nM104 S220 ; longer\n").unwrap();
    proxy.fault(posted, Fault::Answer(201));
    let outcome = within(&printer, upload(), None, Duration::from_secs(2)).await;
    assert!(matches!(outcome.what, What::NotConfirmed { .. }), "{outcome:?}");
    // It has stored it, and says nothing.
    proxy.heal();
    proxy.fault(posted, Fault::Swallow);
    assert_eq!(command(&printer, upload(), None).await.what, done(false));
    proxy.heal();
    assert_eq!(command(&printer, upload(), None).await.what, done(true));
    let gone = Action::Upload { path: "/nowhere/a.gcode".into(), name: "a.gcode".to_owned(), print: false };
    let outcome = command(&printer, gone, None).await;
    assert!(matches!(outcome.what, What::Refused { status: 0, .. }) && !outcome.sent, "{outcome:?}");
}

#[tokio::test]
async fn a_file_whose_name_is_not_kept_is_sent_once_and_refused() {
    let server = Server::start();
    let proxy = Proxy::start(server.port()).await;
    let printer = printer_at(proxy.url(), server.key());
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), gcode(1)).unwrap();
    let order = jarvis_printers::orders::Order {
        id: "test".to_owned(),
        action: Action::Upload { path: file.path().to_owned(), name: "parts/a:b?.gcode".to_owned(), print: false },
        job: None,
        given: std::time::SystemTime::now(),
    };
    let policy = jarvis_printers::orders::Policy { deadline: Duration::from_secs(4), ttl: Duration::from_secs(20) };
    let told = jarvis_printers::orders::carry_out(&printer, &order, &policy).await;
    assert_eq!(told.outcome, "refused", "{told:?}");
    assert!(told.detail.contains("parts/a:b?.gcode") && told.detail.contains("parts/ab.gcode"), "{told:?}");
    assert_eq!(proxy.count("POST /api/files/local"), 1);
}

#[tokio::test]
async fn a_print_after_one_that_was_never_counted_is_another_one() {
    let mut server = Server::start();
    server.upload("long.gcode", &gcode(120));
    server.print("long.gcode");
    let printer = printer(&server);
    let mut watched = Watched::new(printer, PATIENCE);
    let lost = id(&watched.until("the print", |report| report.elapsed.is_some_and(|elapsed| elapsed >= 3.0)).await);
    let given = std::time::SystemTime::now();
    // A power cut: OctoPrint has no time to count.
    server.kill();
    watched.until("its absence", |report| report.connection == Connection::Offline).await;
    server.start_again();
    assert_eq!(server.prints("long.gcode"), 0);
    server.print("long.gcode");
    let next = id(&watched.until("the next print", |r| r.phase.is_active() && id(r) != lost).await);
    let late = command(&watched.printer, Action::Cancel, Some(&lost)).await;
    assert_eq!((late.what, late.sent), (What::OtherJob { running: Some(next) }, false));

    // Whoever was not there gives both one name; but the old command is not about the new print.
    let stranger = printer_at(server.url().parse().unwrap(), server.key());
    let (_watched, seen) = first(stranger).await;
    assert_eq!(id(&seen), lost);
    let stranger = printer_at(server.url().parse().unwrap(), server.key());
    let cancel = jarvis_printers::Command {
        id: "given before the power cut".to_owned(),
        action: Action::Cancel,
        job: Some(lost.clone()),
        given: given - Duration::from_secs(10),
        deadline: Duration::from_secs(5),
        send_before: None,
    };
    let outcome = stranger.command(&cancel).await;
    assert!(matches!(outcome.what, What::OtherJob { .. }) && !outcome.sent, "{outcome:?}");
    assert!(server.flag("printing"));
}

#[tokio::test]
async fn a_print_that_is_started_anew_is_another_one() {
    let server = Server::start();
    server.upload("long.gcode", &gcode(120));
    server.print("long.gcode");
    let mut watched = Watched::new(printer(&server), PATIENCE);
    let started = |report: &Report| report.phase.is_active() && report.elapsed.is_some_and(|elapsed| elapsed >= 7.0);
    let first = id(&watched.until("some of it", started).await);
    server.pause();
    watched.until("the pause", |report| report.phase == Phase::Paused).await;
    server.post("/api/job", &serde_json::json!({"command": "restart"}));
    let next = id(&watched.until("the new start", |r| r.phase == Phase::Printing && id(r) != first).await);
    let outcome = command(&watched.printer, Action::Pause, Some(&first)).await;
    assert_eq!((outcome.what, outcome.sent), (What::OtherJob { running: Some(next.clone()) }, false));
    // As after a restart of this program: it was not there before, and does not know that there was another start.
    let later = printer(&server);
    assert_eq!(command(&later, Action::Pause, Some(&next)).await.what, done(false));
    assert_eq!(command(&later, Action::Pause, Some(&next)).await.what, done(true));
}

#[tokio::test]
async fn a_print_from_the_card_is_commanded_by_whoever_comes_later() {
    let server = Server::start();
    let file = server.put_on_card("a file on the card.gcode", &gcode(300));
    let mut watched = Watched::new(printer(&server), PATIENCE);
    watched.until("an idle printer", |report| report.phase == Phase::Idle).await;
    let start = Action::Start { file: format!("sdcard:{file}") };
    assert_eq!(watched.command(start.clone()).await.what, done(false));
    let job = id(&watched.until("some of it", |report| report.elapsed.is_some_and(|elapsed| elapsed >= 4.0)).await);
    // As after a restart of this program: it was not there when the print began.
    let later = printer(&server);
    assert_eq!(command(&later, Action::Cancel, Some(&job)).await.what, done(false));
    watched.until("the end", |report| report.phase == Phase::Idle).await;
    assert_eq!(watched.command(start).await.what, done(false));
    // The virtual printer ends it at once; it has a name of its own all the same.
    watched.until("the next print", |report| report.job.is_some() && id(report) != job).await;
}
