//! Sinks that give commands, with a real OctoPrint: a command is given once, however the pipeline is edited and the process
//! ends, and what came of it is a row.

mod common;
#[path = "common/octoprint.rs"]
mod octoprint;

use common::mqtt::publish;
use common::{Folder, Instance, free_port, wait_for};
use octoprint::{OctoPrint, gcode};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::Duration;

const PIPELINE: &str = r#"
pipeline: p
sources:
  fleet: { octoprint: { printers: printers.yaml }, retain: 10m }
  wishes:
    mqtt: { topic: "wish/{printer}", qos: 1 }
    schema: { printer: utf8, job: utf8, reason: utf8 }
    retain: 1h
operators:
  jobs: { sql: "SELECT DISTINCT job AS j FROM fleet WHERE job IS NOT NULL" }
  pauses: { sql: "SELECT DISTINCT printer, job, reason FROM wishes" }
  came: { sql: "SELECT printer, outcome, count(*) AS n FROM hold GROUP BY printer, outcome" }
sinks:
  hold: { from: pauses, octoprint: { printers: printers.yaml, action: pause, ttl: 25s } }
"#;

/// A facility with a printer, one that is away, and one that speaks another protocol.
struct Facility {
    folder: Folder,
    octoprint: OctoPrint,
}

impl Facility {
    fn new() -> Self {
        let octoprint = OctoPrint::start();
        octoprint.upload("cube.gcode", &gcode(600));
        let gone = format!("http://127.0.0.1:{}", free_port());
        let printers = format!(
            "mini: {{ octoprint: '{}', key: '{}' }}\naway: {{ octoprint: '{gone}', key: x }}\nvoron: {{ moonraker: '{gone}' }}\n",
            octoprint.url(),
            octoprint.key()
        );
        let folder = Folder::with(&[("p.yaml", PIPELINE), ("printers.yaml", &printers)]);
        Facility { folder, octoprint }
    }

    fn rows(&self, stream: &str, at: SocketAddr) -> Vec<Value> {
        let said = self.folder.fine(&["tap", stream, "--once", "--json", "--at", &at.to_string()]);
        said.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// How often something came of commands to a printer.
    fn came(&self, printer: &str, at: SocketAddr) -> Vec<(String, i64)> {
        let rows = self.rows("p.came", at).into_iter().filter(|row| row["printer"] == printer);
        rows.map(|row| (row["outcome"].as_str().unwrap().to_owned(), row["n"].as_i64().unwrap())).collect()
    }

    fn resume(&self) {
        self.octoprint.post("/api/job", &json!({ "command": "pause", "action": "resume" }));
        wait_for("the print to go on", || self.octoprint.flag("printing").then_some(()));
    }

    /// Whatever was asked has been taken up when what comes after it is answered, and a pause takes no second.
    fn is_not_paused(&self, broker: u16, fence: i64, at: SocketAddr) {
        let wish = json!({ "job": "x", "reason": fence.to_string() }).to_string();
        wait_for("the answer of what came later", || {
            // The broker drops what nobody has subscribed to yet.
            publish(broker, &[("wish/nobody", &wish)]);
            (self.came("nobody", at) == [("unknown_printer".to_owned(), fence)]).then_some(())
        });
        std::thread::sleep(Duration::from_secs(2));
        assert!(self.octoprint.flag("printing"), "{:?}", self.rows("p.came", at));
        assert_eq!(self.came("mini", at), [("done".to_owned(), 1)]);
    }
}

#[test]
fn a_print_that_was_resumed_is_not_paused_again_for_the_same_row() {
    let facility = Facility::new();
    let (instance, broker, at) = Instance::with_broker(&facility.folder, "p.yaml");
    facility.octoprint.print("cube.gcode");
    let job = wait_for("the print's name", || Some(facility.rows("p.jobs", at).first()?["j"].clone()));
    let wish =
        |printer: &str, reason: &str| (format!("wish/{printer}"), json!({ "job": job, "reason": reason }).to_string());
    // That one is away does not hold up the others; for the one of another protocol somebody else is there.
    publish(broker, &[wish("away", "a"), wish("voron", "a"), wish("mini", "a")]);
    wait_for("the print to be paused", || facility.octoprint.flag("paused").then_some(()));
    wait_for("the outcome", || (facility.came("mini", at) == [("done".to_owned(), 1)]).then_some(()));
    facility.resume();

    // Another column, in which the same row stands: whatever was asked before has nothing to say there.
    let more = PIPELINE.replace("job, reason FROM", "job, reason, upper(reason) AS loud FROM");
    facility.folder.write("p.yaml", &more);
    instance.wait_to_say("reloaded");
    facility.is_not_paused(broker, 1, at);
    // Other words, and the end by a kill before anything else is written down.
    facility.folder.write("p.yaml", &more.replace("job, reason,", "job, 'because ' || reason AS reason,"));
    wait_for("the second edit", || (instance.said().matches("reloaded").count() == 2).then_some(()));
    instance.signal("-KILL");
    instance.end();
    let (instance, broker, at) = Instance::with_broker(&facility.folder, "p.yaml");
    facility.is_not_paused(broker, 2, at);

    // What was open is given up once, after the edits and the kill.
    let given_up = wait_for("the printer that is away", || facility.came("away", at).first().cloned());
    assert!(["unreachable", "expired"].contains(&given_up.0.as_str()) && given_up.1 == 1, "{given_up:?}");
    // A row of its own is a command of its own.
    publish(broker, &[wish("mini", "b")]);
    wait_for("the print to be paused once more", || facility.octoprint.flag("paused").then_some(()));
    wait_for("the second outcome", || (facility.came("mini", at) == [("done".to_owned(), 2)]).then_some(()));
    assert!(facility.came("voron", at).is_empty());
    let query =
        "SELECT printer, outcome, count(*) AS n FROM lineage.p.hold WHERE printer <> 'nobody' GROUP BY 1, 2 ORDER BY 1";
    let said = facility.folder.fine(&["sql", query, "--format", "json", "--at", &at.to_string()]);
    let kept: Vec<Value> = said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(kept.len(), 2, "{said}");
    assert_eq!((&kept[1]["printer"], &kept[1]["n"]), (&json!("mini"), &json!(2)), "{said}");
    assert!(instance.terminate().success());
}
