//! The shipped print watch, end to end: a real OctoPrint with its virtual printer, an RTSP camera of H.264, a judge that
//! was shown a few pictures, and a broker. A print goes bad before the camera; it must be paused, and its people told.

mod common;
#[path = "common/octoprint.rs"]
mod octoprint;
#[allow(dead_code, reason = "other tests use the rest")]
#[path = "common/prints.rs"]
mod prints;
#[path = "common/rtsp.rs"]
mod rtsp;

use common::mqtt::{Subscriber, publish};
use common::{Folder, Instance, free_port, repository, text, wait_for};
use octoprint::{OctoPrint, gcode};
use rtsp::Rtsp;
use serde_json::Value;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

fn store() -> PathBuf {
    let set = |name: &str| std::env::var_os(name).map(PathBuf::from);
    set("JARVIS_MODELS").unwrap_or_else(|| set("HOME").expect("a home").join(".cache/jarvis/models"))
}

/// A facility with one printer and one camera.
struct Facility {
    folder: Folder,
    octoprint: OctoPrint,
    camera: Rtsp,
    broker: u16,
}

impl Facility {
    fn new() -> Self {
        let folder = Folder::with(&[]);
        prints::draw_print(&folder.path("good"), 12, false, 5);
        prints::draw_print(&folder.path("bad"), 12, true, 5);
        let camera = Rtsp::start();
        camera.show("front", &folder.path("good").display().to_string());
        camera.size("front", 320, 240);
        let octoprint = OctoPrint::start();
        octoprint.upload("cube.gcode", &gcode(300));
        folder.write(
            "cameras.yaml",
            &format!("front: {{ address: '{}', printer: mini, rate: 2 }}\n", camera.url("front")),
        );
        let printer = format!("mini: {{ octoprint: '{}', key: '{}' }}\n", octoprint.url(), octoprint.key());
        folder.write("printers.yaml", &printer);
        let facility = Facility { folder, octoprint, camera, broker: free_port() };
        facility.fine(&["models", "pull"]);
        // The camera's own pictures, as they come through H.264, are what a user would show.
        facility.fine(&["vision", "learn", "--good", "good", "--bad", "bad", "--out", "judge.json"]);
        facility
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.folder.command(arguments);
        command
            .env("JARVIS_MODELS", store())
            .env("JARVIS_CAMERAS", self.folder.path("cameras.yaml"))
            .env("JARVIS_PRINTERS", self.folder.path("printers.yaml"))
            .env("JARVIS_JUDGE", self.folder.path("judge.json"));
        command
    }

    fn fine(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}{}", text(&output.stdout), text(&output.stderr));
        text(&output.stdout)
    }

    fn run(&self) -> (Instance, SocketAddr) {
        let pipeline = repository().join("pipelines/print_watch.yaml").display().to_string();
        let broker = format!("--embedded-broker=127.0.0.1:{}", self.broker);
        let instance =
            Instance::run(self.command(&["run", &pipeline, &broker, "--listen", "127.0.0.1:0", "--data", "data"]));
        let at = instance.address();
        (instance, at)
    }

    fn rows(&self, stream: &str, at: SocketAddr) -> Vec<Value> {
        let said = self.folder.fine(&["tap", stream, "--once", "--json", "--at", &at.to_string()]);
        said.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// What it prints, or nothing: a stream has no history before its first row.
    fn sql(&self, query: &str, at: SocketAddr) -> String {
        text(&self.folder.jarvis(&["sql", query, "--format", "json", "--at", &at.to_string()]).stdout)
    }
}

#[test]
fn a_print_that_fails_is_paused_and_its_people_are_told_why() {
    let facility = Facility::new();
    let (instance, at) = facility.run();
    let told = Subscriber::start(facility.broker, "jarvis/#");
    facility.octoprint.print("cube.gcode");
    // Some good frames are judged first, and nothing is said of them.
    wait_for("frames to be judged", || {
        let said = facility.sql("SELECT count(*) AS n FROM lineage.print_watch.scores", at);
        let judged: Option<Value> = said.lines().next().and_then(|line| serde_json::from_str(line).ok());
        judged.filter(|row| row["n"].as_i64().is_some_and(|n| n >= 10)).map(drop)
    });
    assert!(
        facility.octoprint.flag("printing"),
        "a good print goes on: {:?}",
        facility.rows("print_watch.failures", at)
    );

    facility.camera.show("front", &facility.folder.path("bad").display().to_string());
    let begun = Instant::now();
    wait_for("the print to be paused", || facility.octoprint.flag("paused").then_some(()));
    println!("paused {:?} after the picture went bad", begun.elapsed());

    let find = |topic: &str| told.messages().into_iter().find(|(t, payload)| t == topic && !payload.is_empty());
    let (_, outcome) = wait_for("the outcome", || find("jarvis/printers/mini/paused"));
    let outcome: Value = serde_json::from_str(&outcome).unwrap();
    assert_eq!((outcome["outcome"].as_str(), outcome["printer"].as_str()), (Some("done"), Some("mini")), "{outcome}");
    let alerts = told.messages().into_iter().filter(|(topic, _)| topic == "jarvis/alerts/print/mini");
    let alerts: Vec<Value> = alerts.map(|(_, payload)| serde_json::from_str(&payload).unwrap()).collect();
    let alert = alerts.iter().find(|alert| alert["event"] == "raised" && alert["level"] == "failing");
    let alert = alert.unwrap_or_else(|| panic!("nobody is told: {alerts:?}"));
    assert!(alert["message"].as_str().is_some_and(|message| message.contains("spaghetti")), "{alert}");
    // The picture is there: on the bus, over HTTP, and below the data folder.
    let (_, picture) = wait_for("the picture", || find("jarvis/printers/mini/snapshot"));
    assert!(picture.len() > 1000, "{} bytes", picture.len());
    let frame = alert["frames"][0].as_str().unwrap().to_owned();
    assert_eq!(get_status(at, &format!("/frames/{frame}.jpg")), 200);
    let kept = facility.folder.path("data/frames/kept").join(&frame[..2]).join(format!("{frame}.jpg"));
    wait_for("the frame to be kept", || kept.is_file().then_some(()));

    // Why: the frames and their weights.
    let id = alert["id"].as_str().unwrap().to_owned();
    let pipeline = repository().join("pipelines/print_watch.yaml").display().to_string();
    let why = wait_for("the reasons", || {
        let output = facility.command(&["explain", &id, &pipeline, "--data", "data"]).output().unwrap();
        println!("{}", text(&output.stderr));
        output.status.success().then(|| text(&output.stdout))
    });
    assert!(why.contains(&frame) && why.contains("spaghetti") && why.contains("print_watch.scores"), "{why}");

    // It is paused once: who resumes is not paused again for what was seen before.
    facility.camera.show("front", &facility.folder.path("good").display().to_string());
    let resumed = facility.octoprint.try_request(
        "POST",
        "/api/job",
        Some(&serde_json::json!({ "command": "pause", "action": "resume" })),
    );
    assert_eq!(resumed.unwrap().0, 204);
    wait_for("the print to go on", || facility.octoprint.flag("printing").then_some(()));
    std::thread::sleep(Duration::from_secs(8));
    assert!(facility.octoprint.flag("printing"), "{:?}", facility.rows("print_watch.failures", at));
    assert!(instance.terminate().success());
}

#[test]
fn another_print_is_not_paused_for_the_one_before() {
    // What a decision is about has gone when it arrives: the printer makes another print by then.
    let folder = Folder::with(&[(
        "p.yaml",
        r#"
pipeline: p
sources:
  wishes: { mqtt: { topic: "wish/{printer}", qos: 1 }, schema: { printer: utf8, job: utf8 }, retain: 1h }
operators:
  told: { from: wishes, command: { printers: printers.yaml, action: pause, deadline: 3s, ttl: 4s }, retain: 1h }
sinks:
  out: { from: told, mqtt: { topic: "told/{printer}", as: events, key: [printer, job, outcome] } }
"#,
    )]);
    let octoprint = OctoPrint::start();
    octoprint.upload("cube.gcode", &gcode(120));
    let gone = format!("http://127.0.0.1:{}", free_port());
    folder.write(
        "printers.yaml",
        &format!(
            "mini: {{ octoprint: '{0}', key: '{1}' }}\nwrong: {{ octoprint: '{0}', key: ffffffffffffffffffffffffffffffff }}\naway: {{ octoprint: '{gone}', key: x }}\n",
            octoprint.url(),
            octoprint.key()
        ),
    );
    let (instance, port, _) = Instance::with_broker(&folder, "p.yaml");
    let told = Subscriber::start(port, "told/#");
    octoprint.print("cube.gcode");
    wait_for("the print", || octoprint.flag("printing").then_some(()));
    for printer in ["mini", "wrong", "away", "nobody"] {
        publish(port, &[(format!("wish/{printer}"), r#"{"job": "another#1"}"#)]);
    }
    let outcome = |printer: &str| {
        wait_for(&format!("the outcome of {printer}"), || {
            let said = told.messages().into_iter().find(|(topic, _)| *topic == format!("told/{printer}"));
            said.map(|(_, payload)| {
                serde_json::from_str::<Value>(&payload).unwrap()["outcome"].as_str().unwrap().to_owned()
            })
        })
    };
    assert_eq!(outcome("mini"), "other_job");
    assert_eq!(outcome("wrong"), "refused");
    assert_eq!(outcome("away"), "unreachable");
    assert_eq!(outcome("nobody"), "unknown_printer");
    assert!(octoprint.flag("printing"), "the print goes on");
    assert!(instance.terminate().success());
}

/// The status of an answer whose body may be no text.
fn get_status(at: SocketAddr, path: &str) -> u16 {
    let mut stream = TcpStream::connect(at).unwrap();
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {at}\r\n\r\n").unwrap();
    let mut answer = vec![];
    stream.read_to_end(&mut answer).unwrap();
    String::from_utf8_lossy(&answer).split(' ').nth(1).unwrap().parse().unwrap()
}

#[test]
fn a_camera_that_is_written_down_while_it_runs_is_watched() {
    let folder = Folder::with(&[
        (
            "p.yaml",
            "pipeline: p\nsources:\n  frames: { camera: { cameras: cameras.yaml }, retain: 1h }\noperators:\n  \
             seen: { sql: 'SELECT camera, count(*) AS n FROM frames GROUP BY camera' }\n",
        ),
        ("cameras.yaml", "# none yet\n"),
    ]);
    prints::draw_print(&folder.path("pictures"), 3, false, 1);
    let instance = Instance::start(&folder, &["run", "p.yaml", "--listen", "127.0.0.1:0"]);
    let at = instance.address().to_string();
    let seen = || folder.fine(&["tap", "p.seen", "--once", "--json", "--at", &at]);
    assert_eq!(seen(), "");
    folder.write("cameras.yaml", "a: { address: pictures, rate: 5 }\n");
    wait_for("the first camera", || seen().contains(r#""camera":"a","n":3"#).then_some(()));
    folder.write("cameras.yaml", "a: { address: pictures, rate: 5 }\nb: { address: pictures, rate: 5 }\n");
    wait_for("the second camera", || seen().contains(r#""camera":"b","n":3"#).then_some(()));
    // What is wrong is said, and changes nothing.
    folder.write("cameras.yaml", "a: { address: 'ftp://nowhere/' }\n");
    instance.wait_to_say("rtsp://");
    assert!(seen().contains(r#""camera":"b""#), "{}", seen());
    assert!(instance.terminate().success());
}
