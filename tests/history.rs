//! What is done with history: it is shortened, copied, made smaller and proved, and stays what it was.

mod common;
#[path = "common/s3.rs"]
mod s3;

use common::mqtt::{Mosquitto, Subscriber, publish};
use common::{Folder, Instance, text, wait_for};
use s3::{Mood, S3};
use serde_json::Value;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const SHOP: &str = r#"
pipeline: shop
sources:
  heat:
    mqtt: { topic: "shop/{tool}/heat" }
    schema: { tool: utf8, n: int64, heat: int64 }
    retain: 2s
  limits:
    table: { path: limits.csv }
    schema: { tool: utf8, most: int64 }
    key: [tool]
    retain: forever
operators:
  hot: { sql: "SELECT h.tool, h.n FROM heat h JOIN limits l ON h.tool = l.tool WHERE h.heat > l.most" }
sinks:
  alarms: { from: hot, mqtt: { topic: "out/{tool}/{n}", as: events, clear: true } }
  kept: { from: hot, lineage: {} }
"#;

/// A run that has made its log smaller all the while.
struct Kept {
    folder: Folder,
    alarms: usize,
}

/// Lets a run take `rounds` of readings or more, each made a tick of its own, and ends it; it goes on for some after it has
/// made the log smaller for the first time.
fn run(rounds: i64) -> Kept {
    let folder =
        Folder::with(&[("pipelines/shop.yaml", SHOP), ("pipelines/limits.csv", "tool,most\nt0,5\nt1,5\nt2,5\n")]);
    let broker = Mosquitto::start(&folder);
    let alarms = Subscriber::start(broker.port, "out/#");
    let options = ["--data", "data", "--checkpoint", "20ms", "--compact", "3000", "--listen", "127.0.0.1:0"];
    let mut command = folder.command(&[&["run", "pipelines"][..], &options].concat());
    command.env("JARVIS_MQTT", broker.url());
    let instance = Instance::run(command);
    instance.address();
    broker.wait_for_subscriptions(1);
    let (mut made, mut first_base) = (0, None);
    while made < rounds || first_base.is_none_or(|at| made < at + 5) {
        let n = made;
        made += 1;
        assert!(made < 1000, "the log is not made smaller");
        let readings: Vec<(String, String)> = (0..3)
            .map(|tool| (format!("shop/t{tool}/heat"), format!("{{\"n\":{n},\"heat\":{}}}", (n * 7 + tool * 3) % 11)))
            .collect();
        publish(broker.port, &readings);
        // So that the log is made smaller more than once.
        std::thread::sleep(Duration::from_millis(20));
        let has_base = || fs::read_dir(folder.path("data/bases")).is_ok_and(|mut files| files.next().is_some());
        if first_base.is_none() && has_base() {
            first_base = Some(made);
        }
    }
    let raised = (0..made).flat_map(|n| (0..3).map(move |tool| (n * 7 + tool * 3) % 11)).filter(|h| *h > 5).count();
    // Each is raised, and clears when its reading no longer counts.
    wait_for("all alarms", || (alarms.messages().len() >= 2 * raised).then_some(()));
    assert!(instance.terminate().success());
    Kept { folder, alarms: 2 * raised }
}

impl Kept {
    fn replay(&self, data: &str, arguments: &[&str]) -> Vec<Value> {
        let all = [&["replay", "pipelines", "--data", data, "--format", "json"][..], arguments].concat();
        self.folder.fine(&all).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
    fn bases(&self, data: &str) -> usize {
        fs::read_dir(self.folder.path(&format!("{data}/bases"))).map_or(0, |files| files.count())
    }
    /// How long history must be kept for it to be cut at its first base.
    fn up_to_the_first_base(&self) -> String {
        let names = fs::read_dir(self.folder.path("data/bases")).expect("the log was made smaller");
        let names = names.map(|file| file.unwrap().file_name().into_string().unwrap());
        let time = |name: String| name.trim_start_matches("base-").trim_end_matches(".jlog").parse::<u64>().unwrap();
        let first = names.map(time).min().unwrap();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros() as u64;
        format!("{}us", now - first - 1)
    }
    fn parts(&self, of: &str) -> Vec<PathBuf> {
        let files = fs::read_dir(self.folder.path(of)).unwrap().map(|f| f.unwrap().path());
        let mut parts: Vec<PathBuf> = files.filter(|f| f.extension().is_some_and(|e| e == "parquet")).collect();
        parts.sort();
        parts
    }
    fn is_whole(&self, data: &str) -> bool {
        let output = self.folder.jarvis(&["lineage", "verify", "--data", data]);
        let said = text(&output.stdout);
        assert!(output.status.success() == said.contains(": whole"), "{said} {}", text(&output.stderr));
        output.status.success()
    }
    /// What `lineage verify` finds.
    fn findings(&self, arguments: &[&str]) -> String {
        let output = self.folder.jarvis(&[&["lineage", "verify", "--data", "data"][..], arguments].concat());
        assert_eq!(output.status.code(), Some(1), "{}", text(&output.stdout));
        text(&output.stdout)
    }
}

#[test]
fn a_part_of_the_past_is_what_it_was_in_the_whole() {
    let kept = run(40);
    assert!(kept.bases("data") > 0, "the log was not made smaller");
    let all = kept.replay("data", &[]);
    let told = all.iter().filter(|d| d["sink"] == "shop.alarms").count();
    assert_eq!(told, kept.alarms);
    for at in [all.len() / 3, all.len() / 2, all.len() - 5] {
        let from = all[at]["time"].as_str().unwrap();
        let since: Vec<&Value> = all.iter().filter(|d| d["time"].as_str().unwrap() >= from).collect();
        let part = kept.replay("data", &["--from", from]);
        assert_eq!(part.iter().collect::<Vec<_>>(), since, "from {from}");
        let two = kept.replay("data", &["--from", from, "--workers", "2"]);
        assert_eq!(two, part);
    }
    for decision in [&all[3], &all[all.len() - 5]].into_iter().filter(|d| d["id"].is_string()) {
        let tree = kept.folder.fine(&["explain", decision["id"].as_str().unwrap(), "pipelines"]);
        assert!(tree.contains("shop.heat") && tree.contains("shop.limits"), "{tree}");
    }
}

#[test]
fn what_was_told_can_be_asked_for() {
    let kept = run(12);
    let decided = kept.replay("data", &[]);
    let mut told: Vec<String> = decided
        .iter()
        .filter(|d| d["sink"] == "shop.alarms")
        .map(|d| format!("{},{},{}", d["what"].as_str().unwrap(), d["id"].as_str().unwrap(), d["row"]["n"]))
        .collect();
    told.sort();
    let rows = |sql: &str| kept.folder.fine(&["sql", sql, "--data", "data", "--format", "csv"]);
    let kept = rows("SELECT _what, _id, n FROM lineage.shop.alarms ORDER BY concat(_what, ',', _id, ',', n)");
    assert_eq!(kept.lines().skip(1).collect::<Vec<_>>(), told);
    let all = rows("SELECT what, id, row FROM lineage.system.decisions WHERE sink = 'shop.alarms'");
    assert_eq!(all.lines().count() - 1, told.len());
    assert!(all.contains("\"\"tool\"\":\"\"t0\"\""), "{all}");
}

#[test]
fn few_large_files_say_what_many_small_ones_said() {
    let kept = run(25);
    let all = kept.replay("data", &[]);
    let count = "SELECT count(*) AS n, count(DISTINCT _time) AS times, sum(heat) AS heat FROM lineage.shop.heat";
    let ask = || kept.folder.fine(&["sql", count, "--data", "data", "--format", "csv"]);
    let (before, parts) = (ask(), kept.parts("data/inputs/shop/heat").len());
    assert!(parts > 2, "there is nothing to merge");
    // A part that a killed run has left: no tick makes it count, and it must not take others with it.
    let first = kept.parts("data/inputs/shop/heat").remove(0);
    let late = first.with_file_name("part-02795403547560592000-02795403547560592009.parquet");
    fs::copy(&first, &late).unwrap();
    assert_eq!(ask(), before);
    kept.folder.fine(&["lineage", "compact"]);
    assert!(late.exists());
    assert!(kept.parts("data/inputs/shop/heat").len() < parts);
    assert_eq!(ask(), before);
    assert_eq!(kept.replay("data", &[]), all);
    assert!(kept.is_whole("data"));
}

#[test]
fn a_shortened_history_begins_later_and_is_right_from_there() {
    let kept = run(40);
    let all = kept.replay("data", &[]);
    let keep = kept.up_to_the_first_base();
    let said = kept.folder.jarvis(&["lineage", "retain", "--keep", &keep, "--dry-run"]);
    assert!(text(&said.stderr).contains("would remove"), "{}", text(&said.stderr));
    assert_eq!(kept.replay("data", &[]), all, "a dry run has removed something");
    let said = kept.folder.jarvis(&["lineage", "retain", "--keep", &keep]);
    assert!(text(&said.stdout).contains("shop.heat: up to"), "{}", text(&said.stdout));
    let rest = kept.replay("data", &[]);
    assert!(!rest.is_empty() && rest.len() < all.len(), "{} of {}", rest.len(), all.len());
    assert_eq!(rest, all[all.len() - rest.len()..]);
    // What an alarm rests on that came before the cut is still known.
    let limits = kept.folder.fine(&["explain", rest.iter().find_map(|d| d["id"].as_str()).unwrap(), "pipelines"]);
    assert!(limits.contains("shop.limits"), "{limits}");
    assert!(kept.is_whole("data"));
    let asked = kept.folder.jarvis(&["replay", "pipelines", "--data", "data"]);
    assert!(text(&asked.stderr).contains("was removed"), "{}", text(&asked.stderr));
}

#[test]
fn one_stream_can_be_kept_shorter_than_others() {
    let kept = run(40);
    let rows = |stream: &str| {
        let sql = format!("SELECT count(*) AS n FROM lineage.shop.{stream}");
        kept.folder.fine(&["sql", &sql, "--data", "data", "--format", "json"])
    };
    let (heat, limits) = (rows("heat"), rows("limits"));
    let keep = format!("shop.heat={}", kept.up_to_the_first_base());
    kept.folder.fine(&["lineage", "retain", "--stream", &keep]);
    assert_ne!(rows("heat"), heat);
    assert_eq!(rows("limits"), limits);
    assert!(kept.is_whole("data"));
}

#[test]
fn a_copy_is_a_history_of_its_own() {
    let kept = run(20);
    let all = kept.replay("data", &[]);
    let folder = &kept.folder;
    folder.fine(&["lineage", "export", "--to", "copy"]);
    assert!(!folder.path("copy/proof/key").exists(), "a private key was handed on");
    assert!(kept.is_whole("copy"));
    assert_eq!(kept.replay("copy", &[]), all);
    // Again: nothing has come since, and nothing is lost.
    folder.fine(&["lineage", "export", "--to", "copy"]);
    assert_eq!(kept.replay("copy", &[]), all);
    folder.fine(&["lineage", "import", "--from", "copy", "--data", "back"]);
    assert!(kept.is_whole("back"));
    assert_eq!(kept.replay("back", &[]), all);
    // A run goes on from it, and signs under a new name after the old one.
    let elsewhere = Folder::with(&[]);
    let broker = Mosquitto::start(&elsewhere);
    let alarms = Subscriber::start(broker.port, "out/#");
    let mut command = folder.command(&["run", "pipelines", "--data", "back", "--listen", "127.0.0.1:0"]);
    command.env("JARVIS_MQTT", broker.url());
    let instance = Instance::run(command);
    instance.address();
    broker.wait_for_subscriptions(1);
    publish(broker.port, &[("shop/t0/heat", "{\"n\":1,\"heat\":9}")]);
    wait_for("a new alarm", || (!alarms.messages().is_empty()).then_some(()));
    assert!(instance.terminate().success());
    assert!(kept.replay("back", &[]).len() > all.len());
    assert!(kept.is_whole("back"));
    // It is no longer a beginning of the other, nor the other of it.
    let refused = folder.jarvis(&["lineage", "export", "--data", "data", "--to", "back"]);
    assert!(text(&refused.stderr).contains("another history"), "{}", text(&refused.stderr));
}

/// What jarvis says when it has `s3` for old history, and whether it succeeds.
fn with_store(kept: &Kept, s3: &S3, arguments: &[&str]) -> (bool, String) {
    let mut command = kept.folder.command(arguments);
    s3.tell(&mut command);
    // A store that hangs is given up soon.
    let output = command.env("AWS_TIMEOUT", "500ms").output().unwrap();
    (output.status.success(), text(&output.stdout) + &text(&output.stderr))
}

#[test]
fn history_in_a_store_is_history() {
    let kept = run(25);
    let s3 = S3::start(&kept.folder);
    let all = kept.folder.fine(&["replay", "pipelines", "--data", "data", "--format", "json"]);
    let count = "SELECT count(*) AS n, sum(heat) AS heat, max(_time) AS last FROM lineage.shop.heat";
    let answer = kept.folder.fine(&["sql", count, "--data", "data", "--format", "csv"]);
    let parts = kept.parts("data/inputs/shop/heat").len();
    let ask = |arguments: &[&str]| with_store(&kept, &s3, arguments);

    let (done, said) = ask(&["lineage", "offload", "--older-than", "0s"]);
    assert!(!done && said.contains("--to s3://"), "{said}");
    let (done, said) = ask(&["lineage", "offload", "--older-than", "0s", "--to", "s3://history/shop"]);
    assert!(done, "{said}");
    assert!(kept.parts("data/inputs/shop/heat").is_empty());
    assert_eq!(kept.parts("s3/history/shop/inputs/shop/heat").len(), parts);

    let (done, said) = ask(&["replay", "pipelines", "--data", "data", "--format", "json"]);
    assert!(done && said.starts_with(&all), "{said}");
    let (done, said) = ask(&["sql", count, "--data", "data", "--format", "csv"]);
    assert!(done && said == answer, "{said}");
    let (done, said) = ask(&["lineage", "verify"]);
    assert!(done, "{said}");
    // An export has all of it, and needs no store.
    let (done, said) = ask(&["lineage", "export", "--to", "copy"]);
    assert!(done, "{said}");
    assert!(kept.is_whole("copy"));
    assert_eq!(kept.folder.fine(&["sql", count, "--data", "copy", "--format", "csv"]), answer);
    // What need not be kept goes, also there.
    let (done, said) = ask(&["lineage", "retain", "--keep", &kept.up_to_the_first_base()]);
    assert!(done, "{said}");
    assert!(kept.parts("s3/history/shop/inputs/shop/heat").len() < parts);
    let (done, said) = ask(&["lineage", "verify"]);
    assert!(done, "{said}");
}

#[test]
fn a_store_that_fails_is_an_error_for_who_needs_it() {
    let kept = run(15);
    let s3 = S3::start(&kept.folder);
    let ask = |arguments: &[&str]| with_store(&kept, &s3, arguments);
    s3.be(Mood::Refuses);
    let (done, said) = ask(&["lineage", "offload", "--to", "s3://history/shop"]);
    assert!(!done && said.contains("s3://history/shop cannot be reached"), "{said}");
    s3.be(Mood::Well);
    let (done, said) = ask(&["lineage", "offload", "--to", "https://history"]);
    assert!(!done && said.contains("write s3://"), "{said}");
    let (done, said) = ask(&["lineage", "offload", "--older-than", "0s", "--to", "s3://history/shop"]);
    assert!(done, "{said}");
    let rows = "SELECT count(*) AS n FROM lineage.shop.heat";
    for mood in [Mood::Refuses, Mood::Hangs] {
        s3.be(mood);
        let (done, said) = ask(&["sql", rows, "--data", "data"]);
        assert!(!done && said.to_lowercase().contains("error"), "{mood:?}: {said}");
        let (done, said) = ask(&["lineage", "verify"]);
        assert!(!done && said.contains("s3://history/shop"), "{mood:?}: {said}");
        let (done, said) = ask(&["replay", "pipelines", "--data", "data"]);
        assert!(!done && said.contains("s3://history/shop"), "{mood:?}: {said}");
        // Times whose parts are here, or in the log, can still be asked for, and so can what there is.
        let (done, said) = ask(&["sql", &format!("{rows} WHERE _time > now()"), "--data", "data", "--format", "csv"]);
        assert!(done && said == "n\n0\n", "{mood:?}: {said}");
        let (done, said) =
            ask(&["sql", "SELECT count(*) > 5 AS many FROM information_schema.columns", "--data", "data"]);
        assert!(done && said.contains("true"), "{mood:?}: {said}");
    }
    s3.be(Mood::Well);
    let (done, said) = ask(&["lineage", "verify"]);
    assert!(done, "{said}");
}

#[test]
fn what_was_altered_or_cut_is_found() {
    let kept = run(25);
    let folder = &kept.folder;
    assert!(kept.is_whole("data"));
    // Somebody has kept the checkpoint, and the history goes on.
    fs::copy(folder.path("data/proof/checkpoint"), folder.path("then")).unwrap();
    folder.fine(&["lineage", "export", "--to", "honest"]);

    let part = kept.parts("data/inputs/shop/heat").remove(1);
    let bytes = fs::read(&part).unwrap();
    fs::remove_file(&part).unwrap();
    assert!(kept.findings(&[]).contains("shop.heat"));
    // Rows that are in place of others.
    let other = kept.parts("data/inputs/shop/heat").remove(0);
    fs::copy(&other, &part).unwrap();
    assert!(kept.findings(&[]).contains("which its name does not say"));
    // One reading that was hotter, in a part that is as good as the one it replaces.
    fs::write(&part, &bytes).unwrap();
    let name = part.file_stem().unwrap().to_str().unwrap().to_owned();
    let times: Vec<&str> = name.split('-').skip(1).map(|time| time.trim_start_matches('0')).collect();
    let forged = format!(
        "SELECT _time, _diff, tool, n, CASE WHEN tool = 't1' THEN heat + 1 ELSE heat END AS heat FROM lineage.shop.heat \
         WHERE _time >= to_timestamp_micros({}) AND _time < to_timestamp_micros({})",
        times[0], times[1]
    );
    let forged = folder.jarvis(&["sql", &forged, "--data", "data", "--format", "parquet"]);
    assert!(forged.status.success(), "{}", text(&forged.stderr));
    fs::write(&part, forged.stdout).unwrap();
    assert!(kept.findings(&[]).contains("rows of shop.heat were altered"));
    let mut broken = bytes.clone();
    broken.truncate(bytes.len() / 2);
    fs::write(&part, broken).unwrap();
    assert!(kept.findings(&[]).contains("cannot be read"));
    fs::write(&part, &bytes).unwrap();
    assert!(kept.is_whole("data"));

    // Leaves that are made to fit are not those that were signed.
    let leaves = folder.read("data/proof/leaves.jsonl");
    let forged = leaves.replacen("\"rows\":", "\"rows\":1", 1);
    folder.write("data/proof/leaves.jsonl", &forged);
    assert!(kept.findings(&[]).contains("rewritten"));
    folder.write("data/proof/leaves.jsonl", "");
    folder.write("data/proof/checkpoints.jsonl", "");
    // Without anything to compare with, nothing is signed; whoever has kept a checkpoint knows better.
    assert!(kept.findings(&["--checkpoint", "then"]).contains("history was cut"));
    // Another key does not count.
    let refused = folder.jarvis(&["lineage", "verify", "--data", "honest", "--key", "data/proof/checkpoint"]);
    assert!(text(&refused.stderr).contains("verifier key"), "{}", text(&refused.stderr));
}

#[test]
fn proofs_are_checked_without_the_history() {
    let kept = run(10);
    let folder = &kept.folder;
    let old = folder.read("data/proof/checkpoint");
    folder.write("then", &old);
    let all = kept.replay("data", &[]);
    folder.write("block", &folder.fine(&["lineage", "prove", "--time", all[5]["time"].as_str().unwrap()]));
    folder.write("beginning", &folder.fine(&["lineage", "prove", "--since", "then"]));
    let said = folder.fine(&["lineage", "check", "block", "--key", "data/proof/key.pub"]);
    assert!(said.contains("shop.heat"), "{said}");
    let said = folder.fine(&["lineage", "check", "beginning", "--key", "data/proof/key.pub", "--old", "then"]);
    assert!(said.contains("begin with"), "{said}");
    for (proof, with) in [("block", "index 9"), ("block", "extra eHg=")] {
        let altered: String = folder
            .read(proof)
            .lines()
            .map(|line| {
                if line.split(' ').next() == with.split(' ').next() { format!("{with}\n") } else { format!("{line}\n") }
            })
            .collect();
        folder.write("altered", &altered);
        let refused = folder.jarvis(&["lineage", "check", "altered", "--key", "data/proof/key.pub"]);
        assert_eq!(refused.status.code(), Some(1), "{with}: {}", text(&refused.stdout));
    }
    folder.write("altered", "no proof");
    let refused = folder.jarvis(&["lineage", "check", "altered", "--key", "data/proof/key.pub"]);
    assert!(text(&refused.stderr).contains("no proof"), "{}", text(&refused.stderr));
}

#[test]
fn what_is_signed_is_published_and_holds_the_history_to_it() {
    let proof = fs::read_to_string(common::repository().join("pipelines/history_proof.yaml")).unwrap();
    let folder = Folder::with(&[
        ("pipelines/shop.yaml", SHOP),
        ("pipelines/limits.csv", "tool,most\nt0,5\n"),
        ("pipelines/history_proof.yaml", &proof),
    ]);
    let broker = Mosquitto::start(&folder);
    let kept = Subscriber::start(broker.port, "jarvis/history/#");
    let run = || {
        let options = ["--data", "data", "--sign", "50ms", "--listen", "127.0.0.1:0"];
        let mut command = folder.command(&[&["run", "pipelines"][..], &options].concat());
        command.env("JARVIS_MQTT", broker.url());
        let instance = Instance::run(command);
        instance.address();
        instance
    };
    let instance = run();
    wait_for("some checkpoints", || (kept.messages().len() >= 3).then_some(()));
    // Killed and started again: it goes on.
    instance.signal("-KILL");
    drop(instance);
    let instance = run();
    let before = kept.messages().len();
    wait_for("more checkpoints", || (kept.messages().len() >= before + 3).then_some(()));
    assert!(instance.terminate().success());
    let messages: Vec<Value> =
        kept.messages().iter().map(|(_, payload)| serde_json::from_str(payload).unwrap()).collect();
    for (n, message) in [&messages[0], &messages[messages.len() - 1]].into_iter().enumerate() {
        let file = format!("kept{n}");
        folder.write(&file, message["checkpoint"].as_str().unwrap());
        let said = folder.jarvis(&["lineage", "verify", "--checkpoint", &file]);
        assert!(said.status.success(), "{}", text(&said.stdout));
    }
    // A history that was made anew with the same key is another one.
    for part in ["leaves.jsonl", "checkpoints.jsonl", "checkpoint"] {
        fs::remove_file(folder.path(&format!("data/proof/{part}"))).unwrap();
    }
    assert!(run().terminate().success());
    let said = folder.jarvis(&["lineage", "verify"]);
    assert!(said.status.success(), "{}", text(&said.stdout));
    let said = folder.jarvis(&["lineage", "verify", "--checkpoint", "kept1"]);
    assert_eq!(said.status.code(), Some(1), "{}", text(&said.stdout));
}

#[test]
fn a_sink_of_events_may_be_edited_while_it_tells() {
    let folder =
        Folder::with(&[("pipelines/shop.yaml", SHOP), ("pipelines/limits.csv", "tool,most\nt0,5\nt1,5\nt2,5\n")]);
    let broker = Mosquitto::start(&folder);
    let alarms = Subscriber::start(broker.port, "#");
    let mut command = folder.command(&["run", "pipelines", "--data", "data", "--listen", "127.0.0.1:0"]);
    command.env("JARVIS_MQTT", broker.url());
    let instance = Instance::run(command);
    instance.address();
    broker.wait_for_subscriptions(1);
    let told = |topic: &str| alarms.messages().iter().filter(|(t, _)| t.starts_with(topic)).count();
    publish(broker.port, &[("shop/t0/heat", "{\"n\":1,\"heat\":9}")]);
    wait_for("an alarm", || (told("out/") >= 1).then_some(()));
    for edit in 1..=3 {
        let topic = format!("edited{edit}/");
        folder.write("pipelines/shop.yaml", &SHOP.replace("out/", &topic));
        wait_for("a reload", || (instance.said().matches("reloaded the pipelines").count() >= edit).then_some(()));
        publish(broker.port, &[("shop/t1/heat", format!("{{\"n\":{edit},\"heat\":9}}"))]);
        wait_for("an alarm after an edit", || (told(&topic) >= 1).then_some(()));
    }
    assert!(instance.terminate().success());
    let count = "SELECT count(*) FILTER (WHERE _what = 'raised') >= 4 AS told FROM lineage.shop.alarms";
    let said = folder.fine(&["sql", count, "--data", "data", "--format", "csv"]);
    assert_eq!(said, "told\ntrue\n");
}

#[test]
fn what_failed_is_kept_once() {
    let failing = SHOP.replace("h.heat > l.most", "100 / h.heat < 100 / l.most");
    let folder =
        Folder::with(&[("pipelines/shop.yaml", &failing), ("pipelines/limits.csv", "tool,most\nt0,5\nt1,5\nt2,5\n")]);
    let broker = Mosquitto::start(&folder);
    let run = || {
        let options = ["--data", "data", "--checkpoint", "50ms", "--listen", "127.0.0.1:0"];
        let mut command = folder.command(&[&["run", "pipelines"][..], &options].concat());
        command.env("JARVIS_MQTT", broker.url());
        let instance = Instance::run(command);
        instance.address();
        instance
    };
    let sql = "SELECT stream, code, count(*) AS times FROM lineage.system.errors GROUP BY 1, 2 ORDER BY 1, 2";
    let errors = || folder.jarvis(&["sql", sql, "--data", "data", "--format", "csv", "--at", "127.0.0.1:1"]).stdout;
    let expected = "stream,code,times\nshop.heat,json_syntax,1\nshop.hot,divide_by_zero,1\n";
    let instance = run();
    broker.wait_for_subscriptions(1);
    publish(broker.port, &[("shop/t0/heat", "no JSON"), ("shop/t1/heat", "{\"n\":1,\"heat\":0}")]);
    let begun = Instant::now();
    while text(&errors()) != expected && begun.elapsed() < Duration::from_secs(20) {
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(text(&errors()), expected);
    // Longer than the row with the failure counts: that it no longer fails is no news.
    std::thread::sleep(Duration::from_millis(2500));
    instance.signal("-KILL");
    instance.end();
    let instance = run();
    assert!(instance.terminate().success());
    assert_eq!(text(&errors()), expected);
}
