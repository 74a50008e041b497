//! Moonraker, the real one, with a scripted Klipper behind it.

mod common;
#[path = "../../tests/common/octoprint.rs"]
mod peers;

use common::klipper::Klipper;
use common::{Watched, command, within};
use jarvis_printers::{Action, Connection, Ending, JobId, Moonraker, Phase, Printer, Secret, WebSettings, What};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const VERSION: &str = "0.11.0";
const PATIENCE: Duration = Duration::from_secs(60);

struct Server {
    port: u16,
    key: String,
    klipper: Klipper,
    process: Child,
    folder: tempfile::TempDir,
}

impl Server {
    async fn start() -> Self {
        let python = peers::environment(&format!("moonraker-{VERSION}"), &format!("moonraker=={VERSION}"));
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir_all(at("data/gcodes")).unwrap();
        let klipper = Klipper::start(&at("klippy.sock"), &at("data/gcodes"));
        let port = peers::free_port();
        let settings = format!(
            "[server]\nhost: 127.0.0.1\nport: {port}\nklippy_uds_address: {}\n[machine]\nprovider: none\n\
             validate_service: False\n[authorization]\n[history]\n",
            at("klippy.sock").display()
        );
        std::fs::write(at("moonraker.conf"), settings).unwrap();
        let log = std::fs::File::create(at("out.log")).unwrap();
        let process = Command::new(python.join("bin/moonraker"))
            .arg("-n")
            .arg("-d")
            .arg(at("data"))
            .arg("-c")
            .arg(at("moonraker.conf"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .process_group(0)
            .spawn()
            .unwrap();
        let mut server = Self { port, key: String::new(), klipper, process, folder };
        let begun = Instant::now();
        // A Moonraker that is only starting up refuses connections.
        while server.ask("server.info").await.is_none_or(|info| info["klippy_state"] != "ready") {
            let log = || std::fs::read_to_string(server.folder.path().join("out.log")).unwrap_or_default();
            assert!(begun.elapsed() < PATIENCE, "no Moonraker:\n{}", log());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        server.key = server.ask("access.get_api_key").await.unwrap().as_str().unwrap().to_owned();
        server
    }

    /// Over its own socket, which wants no key.
    async fn ask(&self, method: &str) -> Option<Value> {
        let socket = self.folder.path().join("data/comms/moonraker.sock");
        let method = method.to_owned();
        tokio::task::spawn_blocking(move || ask(&socket, &method)).await.unwrap()
    }

    fn printer(&self) -> Printer {
        self.printer_with(&self.key)
    }

    fn printer_with(&self, key: &str) -> Printer {
        let url = format!("http://127.0.0.1:{}", self.port).parse().unwrap();
        let mut settings = WebSettings::new(url, Some(Secret::new(key)));
        settings.interval = Duration::from_millis(200);
        Printer::Moonraker(Moonraker::new(&settings).unwrap())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        peers::signal_group(&self.process, "KILL");
        let _ = self.process.wait();
    }
}

fn ask(socket: &Path, method: &str) -> Option<Value> {
    let mut stream = UnixStream::connect(socket).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    let request = json!({"jsonrpc": "2.0", "method": method, "id": 1});
    stream.write_all(format!("{request}\x03").as_bytes()).ok()?;
    let mut reader = BufReader::new(stream);
    loop {
        let mut answer = vec![];
        reader.read_until(3, &mut answer).ok()?;
        answer.pop()?;
        let answer: Value = serde_json::from_slice(&answer).ok()?;
        if answer["id"] == 1 {
            return answer.get("result").cloned();
        }
    }
}

fn done(already: bool) -> What {
    What::Done { already }
}

fn file(contents: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), contents).unwrap();
    file
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_print_is_told_and_followed() {
    let server = Server::start().await;
    let mut watched = Watched::new(server.printer(), Duration::from_secs(2));
    watched.until("an idle printer", |report| report.phase == Phase::Idle && report.job.is_none()).await;

    let part = file("G28\nG1 X10\n");
    let upload = Action::Upload { path: part.path().to_owned(), name: "parts/a part.gcode".to_owned(), print: false };
    assert_eq!(watched.command(upload).await.what, done(false));
    let stored = server.folder.path().join("data/gcodes/parts/a part.gcode");
    assert_eq!(std::fs::read_to_string(stored).unwrap(), "G28\nG1 X10\n");

    let upload =
        |path: &Path| Action::Upload { path: path.to_owned(), name: "parts/a part.gcode".to_owned(), print: false };
    let again = watched.command(upload(part.path())).await;
    assert_eq!((again.what, again.sent), (done(true), false));
    // Of the same length.
    let other = file("G28\nG1 X20\n");
    assert_eq!(watched.command(upload(other.path())).await.what, done(false));
    assert_eq!(watched.command(upload(part.path())).await.what, done(false));

    let start = Action::Start { file: "parts/a part.gcode".to_owned() };
    assert_eq!(watched.command(start.clone()).await.what, done(false));
    let printing = watched.until("the print", |report| report.phase == Phase::Printing).await;
    let job = printing.job.unwrap();
    assert_eq!((job.name.as_str(), job.size), ("a part.gcode", Some(11)));
    assert!(job.id.0.contains('#'), "{job:?}");
    assert_eq!(printing.filament_present, Some(true));
    server.klipper.change(&json!({"print_stats": {"info": {"current_layer": 3, "total_layer": 9}}}));
    watched.until("the layer", |report| (report.layer, report.layers) == (Some(3), Some(9))).await;

    // A macro that takes its time: Moonraker answers at its end.
    server.klipper.macros_take(Duration::from_millis(1500));
    assert_eq!(command(&watched.printer, Action::Pause, Some(&job.id)).await.what, done(false));
    watched.until("the macro", |report| report.phase == Phase::Pausing).await;
    let paused = watched.until("the pause", |report| report.phase == Phase::Paused).await;
    assert_eq!(paused.job.unwrap().id, job.id);
    assert_eq!(watched.command(Action::Pause).await.what, done(true));
    let late = within(&watched.printer, Action::Resume, None, Duration::from_millis(700)).await;
    assert_eq!(late.what, What::NotConfirmed { seen: Phase::Paused, why: None });
    watched.until("the resumed print", |report| report.phase == Phase::Printing).await;
    server.klipper.macros_take(Duration::ZERO);
    let other = command(&watched.printer, Action::Cancel, Some(&JobId("another".to_owned()))).await;
    assert_eq!((other.what, other.sent), (What::OtherJob { running: Some(job.id.clone()) }, false));
    assert_eq!(server.klipper.count("pause_resume/cancel"), 0);
    assert_eq!(command(&watched.printer, Action::Cancel, Some(&job.id)).await.what, done(false));
    let ended = watched.until("the end", |report| report.ending.is_some()).await;
    assert_eq!((ended.ending, ended.job.unwrap().id), (Some(Ending::Cancelled), job.id.clone()));

    // The same file once more is another print.
    assert_eq!(watched.command(start).await.what, done(false));
    watched.until("the next print", |report| report.running().is_some_and(|next| next.id != job.id)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_emergency_stop_is_not_queued() {
    let server = Server::start().await;
    let mut watched = Watched::new(server.printer(), Duration::from_secs(2));
    watched.until("an idle printer", |report| report.phase == Phase::Idle).await;
    let heat = Action::Heat { tool: "tool0".to_owned(), celsius: 210.0 };
    assert_eq!(watched.command(heat.clone()).await.what, done(false));
    assert_eq!(watched.command(heat).await.what, done(true));
    let fan = watched.command(Action::Heat { tool: "fan".to_owned(), celsius: 1.0 }).await;
    assert_eq!((fan.what, fan.sent), (What::Unsupported, false));

    assert_eq!(watched.command(Action::EmergencyStop).await.what, done(false));
    assert_eq!((server.klipper.count("emergency_stop"), server.klipper.count("gcode/script M112")), (1, 0));
    let stopped = watched.until("the stop", |report| report.phase == Phase::Error).await;
    assert!(stopped.error.is_some_and(|error| error.contains("Shutdown")));
    let outcome = watched.command(Action::Pause).await;
    assert_eq!(outcome.what, What::WrongState { phase: Phase::Error });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_and_absence() {
    let mut server = Server::start().await;
    let mut stranger = Watched::new(server.printer_with("0000"), Duration::from_secs(2));
    stranger.until("the refusal", |report| report.connection == Connection::Refused).await;
    let outcome = stranger.command(Action::Pause).await;
    assert!(matches!(outcome.what, What::Refused { status: 401, .. }), "{outcome:?}");

    let mut watched = Watched::new(server.printer(), Duration::from_secs(2));
    watched.until("the printer", |report| report.connection == Connection::Online).await;
    peers::signal_group(&server.process, "KILL");
    let _ = server.process.wait();
    watched.until("its absence", |report| report.connection == Connection::Offline).await;
    let outcome = within(&watched.printer, Action::Pause, None, Duration::from_secs(1)).await;
    assert!(matches!(outcome.what, What::Unreachable { .. }) && !outcome.sent, "{outcome:?}");
}
