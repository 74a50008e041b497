//! `jarvis demo`. Without the simulator whoever talks to its broker is a device; with it a print goes wrong.

mod common;

use common::mqtt::{Subscriber, publish};
use common::{Folder, Instance, free_port, get, repository, text, wait_for};
use serde_json::Value;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

const HEAT: &str = r#"
pipeline: heat
sources:
  temperature:
    mqtt: { topic: "shop/{tool}/temperature" }
    schema: { tool: utf8, actual: float64 }
    key: [tool]
    retain: forever
operators:
  hot: { sql: "SELECT tool, actual FROM temperature WHERE actual > 100" }
sinks:
  alert: { from: hot, mqtt: { topic: "jarvis/alerts/heat/{tool}", as: events, clear: true } }
"#;

const READY: &str = "Alerts as they come";

fn heat() -> Folder {
    Folder::with(&[("pipelines/heat.yaml", HEAT)])
}

#[test]
fn alerts_are_printed_until_it_is_told_to_stop() {
    for signal in ["-INT", "-TERM"] {
        let (folder, port) = (heat(), free_port());
        let arguments =
            ["demo", "--no-simulator", "--no-print-watch", "--listen", "127.0.0.1:0", "--port", &port.to_string()];
        let demo = Instance::start(&folder, &arguments);
        demo.wait_to_say(READY);
        let said = demo.said();
        for line in [
            "jarvis demo: 1 pipeline of pipelines\n".to_owned(),
            format!("  broker     mqtt://127.0.0.1:{port}, in this process\n"),
            "  devices    whoever talks to the broker\n".to_owned(),
            format!("  look       jarvis top --at {}\n", demo.address()),
            format!("             jarvis tap heat.hot --at {}\n", demo.address()),
            format!("             mosquitto_sub -p {port} -v -t 'jarvis/#'\n"),
        ] {
            assert!(said.contains(&line), "{line:?} is not in:\n{said}");
        }
        // The broker keeps nothing for a subscriber that has not come yet, and an alert that is up is raised once.
        wait_for("an alert", || {
            publish(port, &[("shop/t0/temperature", r#"{"actual": 20}"#)]);
            publish(port, &[("shop/t0/temperature", r#"{"actual": 150.5}"#)]);
            demo.printed().contains("raised").then_some(())
        });
        publish(port, &[("shop/t0/temperature", r#"{"actual": 20}"#)]);
        wait_for("its end", || demo.printed().contains("cleared").then_some(()));
        let printed = demo.printed();
        let raised = printed.lines().find(|line| line.contains("raised")).unwrap();
        let (clock, rest) = raised.split_once("  ").unwrap();
        assert!(clock.split(':').all(|part| part.parse::<u8>().is_ok()) && clock.split(':').count() == 3, "{raised}");
        assert_eq!(rest, "raised   jarvis/alerts/heat/t0  tool=t0 actual=150.5");

        let folder = folder.fine(&["tap", "heat.hot", "--once", "--json", "--at", &demo.address().to_string()]);
        assert_eq!(folder, "");
        demo.signal(signal);
        let (status, said) = demo.end();
        assert!(status.success(), "{signal}: {status}\n{said}");
    }
}

#[test]
fn it_finds_a_free_port_and_ends_in_time() {
    let folder = heat();
    let demos: Vec<Instance> = (0..2)
        .map(|_| {
            let demo = Instance::start(
                &folder,
                &["demo", "--no-simulator", "--no-print-watch", "--listen", "none", "--seconds", "1"],
            );
            demo.wait_to_say(READY);
            demo
        })
        .collect();
    for demo in demos {
        let (status, said) = demo.end();
        assert!(status.success() && said.contains("ending after 1 s"), "{status}\n{said}");
    }
}

#[test]
fn a_port_that_is_taken_is_said() {
    let (folder, port) = (heat(), free_port());
    let _taken = std::net::TcpListener::bind(("127.0.0.1", port)).unwrap();
    let output = folder.jarvis(&["demo", "--no-simulator", "--port", &port.to_string()]);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains(&format!("127.0.0.1:{port} is taken")), "{said}");
}

#[test]
fn a_simulator_that_is_not_there_is_said() {
    let folder = heat();
    let alone = folder.path("jarvis");
    let program = env!("CARGO_BIN_EXE_jarvis");
    // Another file system knows no such link.
    std::fs::hard_link(program, &alone).or_else(|_| std::fs::copy(program, &alone).map(drop)).unwrap();
    let output = std::process::Command::new(alone).arg("demo").current_dir(folder.path("")).output().unwrap();
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("cargo build -p jarvis-simulator") && said.contains("--no-simulator"), "{said}");
}

#[test]
fn pipelines_that_only_read_files_are_no_demo() {
    let files = "pipeline: p\nsources:\n  a: { file: { path: a.jsonl }, schema: { v: int64 }, retain: forever }\n";
    let folder = Folder::with(&[("pipelines/p.yaml", files), ("pipelines/a.jsonl", "")]);
    let output = folder.jarvis(&["demo", "--no-simulator"]);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("`jarvis run` runs them"), "{said}");
}

/// The shipped print watch, and the shipped facility.
fn print_watch() -> Folder {
    let shipped = |name: &str| std::fs::read_to_string(repository().join(name)).unwrap();
    let folder = Folder::with(&[]);
    for name in ["pipelines/print_watch.yaml", "config/facility.yaml"] {
        folder.write(name, &shipped(name));
    }
    folder
}

fn demo(folder: &Folder, port: u16) -> Command {
    let mut command =
        folder.command(&["demo", "--no-simulator", "--listen", "127.0.0.1:0", "--port", &port.to_string()]);
    // Its own files go where the test's do.
    command.env("TMPDIR", folder.path(""));
    command
}

/// The files of a demo that runs.
fn stages(folder: &Folder) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder.path("")).unwrap().map(|entry| entry.unwrap().path());
    entries
        .filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("jarvis-demo")))
        .collect()
}

/// Waits for longer than other tests have to: the first time models and OctoPrint are installed.
fn wait_long_for<T>(what: &str, demo: &Instance, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        let said = demo.said();
        assert!(!said.contains("no print watch"), "{said}");
        assert!(begun.elapsed() < Duration::from_secs(600), "waited in vain: {what}\n{said}\n{}", demo.printed());
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn a_print_goes_wrong_and_is_paused() {
    let (folder, port) = (print_watch(), free_port());
    let demo_itself = Instance::run(demo(&folder, port));
    demo_itself.wait_to_say(READY);
    let told = Subscriber::start(port, "jarvis/#");
    let said = wait_long_for("the print", &demo_itself, || {
        let said = demo_itself.said();
        said.contains("turns to spaghetti").then_some(said)
    });
    let address = |before: &str| -> std::net::SocketAddr {
        said.split(before).nth(1).unwrap().split(['/', ')']).next().unwrap().parse().unwrap()
    };
    let (octoprint, camera) = (address("OctoPrint (http://"), address("its camera is http://"));
    let outcome = wait_long_for("the pause", &demo_itself, || {
        let outcomes = told.messages().into_iter().filter(|(topic, _)| topic == "jarvis/printers/virtual/paused");
        outcomes.map(|(_, payload)| serde_json::from_str::<Value>(&payload).unwrap()).next()
    });
    assert_eq!(outcome["outcome"], "done", "{outcome}");

    // People see why, and where the picture is.
    let printed = wait_long_for("the outcome on the console", &demo_itself, || {
        let printed = demo_itself.printed();
        printed.contains("pause done in ").then_some(printed)
    });
    assert!(printed.contains("jarvis/alerts/print/virtual  failing, confidence 0."), "{printed}");
    assert!(
        printed.lines().any(|line| line.trim_start().starts_with("0.") && line.contains("  spaghetti: ")),
        "{printed}"
    );
    let link = format!("http://{}/frames/", demo_itself.address());
    let picture =
        printed.lines().find_map(|line| line.trim().strip_prefix(&link)).unwrap_or_else(|| panic!("{printed}"));
    let listening = |at| std::net::TcpStream::connect(at).is_ok();
    let mut request = std::net::TcpStream::connect(demo_itself.address()).unwrap();
    std::io::Write::write_all(&mut request, format!("GET /frames/{picture} HTTP/1.0\r\n\r\n").as_bytes()).unwrap();
    let mut answer = vec![];
    std::io::Read::read_to_end(&mut request, &mut answer).unwrap();
    assert!(answer.starts_with(b"HTTP/1.0 200"), "{}", String::from_utf8_lossy(&answer[..100]));

    // What it has started ends with it, and so do its files.
    assert!(listening(octoprint) && listening(camera));
    assert_eq!(stages(&folder).len(), 1);
    demo_itself.signal("-INT");
    let (status, said) = demo_itself.end();
    assert!(status.success(), "{status}\n{said}");
    assert!(!listening(octoprint) && !listening(camera));
    assert_eq!(stages(&folder), Vec::<PathBuf>::new());
}

#[test]
fn without_python_it_goes_on_without_a_print() {
    let (folder, port) = (print_watch(), free_port());
    let mut command = demo(&folder, port);
    command.env("PATH", folder.path("")).env("JARVIS_MODELS", folder.path("models"));
    let demo = Instance::run(command);
    demo.wait_to_say("no print watch: ");
    let said = demo.said();
    let line = said.lines().find(|line| line.contains("no print watch")).unwrap();
    assert!(line.contains("python3"), "{line}");
    assert_eq!(get(demo.address(), "/healthz").0, 200);
    assert!(demo.terminate().success());
    assert_eq!(stages(&folder), Vec::<PathBuf>::new());
}
