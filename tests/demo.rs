//! `jarvis demo`, without the simulator: whoever talks to its broker is a device.

mod common;

use common::mqtt::publish;
use common::{Folder, Instance, free_port, text, wait_for};

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
        let arguments = ["demo", "--no-simulator", "--listen", "127.0.0.1:0", "--port", &port.to_string()];
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
            let demo = Instance::start(&folder, &["demo", "--no-simulator", "--listen", "none", "--seconds", "1"]);
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
