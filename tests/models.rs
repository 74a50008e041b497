//! Models: fetched, checked, and what is learnt on top of them. The packages are fetched once, into the user's cache.

mod common;
#[path = "common/prints.rs"]
mod prints;

use common::{Folder, text};
use serde_json::Value;
use std::path::PathBuf;
use std::process::Command;

/// Where tests keep models.
fn store() -> PathBuf {
    let set = |name: &str| std::env::var_os(name).map(PathBuf::from);
    set("JARVIS_MODELS").unwrap_or_else(|| set("HOME").expect("a home").join(".cache/jarvis/models"))
}

fn command(folder: &Folder, arguments: &[&str]) -> Command {
    let mut command = folder.command(arguments);
    command.env("JARVIS_MODELS", store());
    command
}

fn fine(folder: &Folder, arguments: &[&str]) -> String {
    let output = command(folder, arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

fn refused(mut command: Command) -> String {
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stderr)
}

#[test]
fn failed_prints_are_told_from_good_ones_after_a_few_pictures() {
    let folder = Folder::with(&[]);
    fine(&folder, &["models", "pull"]);
    assert!(!fine(&folder, &["models", "verify"]).contains("ALTERED"));
    prints::draw(&folder.path("good"), 40, false, 1);
    prints::draw(&folder.path("bad"), 40, true, 2);
    for more in [&[][..], &["--only-good"]] {
        let all = [&["vision", "eval", "--good", "good", "--bad", "bad", "--format", "json", "--shots", "8"][..], more];
        let found: Value = serde_json::from_str(&fine(&folder, &all.concat())).unwrap();
        assert!(found["auc"].as_f64().unwrap() > 0.9, "{found}");
        assert!(found["balanced_accuracy"].as_f64().unwrap() > 0.7, "{found}");
        assert!(found["ms_per_frame"].as_f64().unwrap() > 0.0, "{found}");
        // The same seed deals the same.
        let again: Value = serde_json::from_str(&fine(&folder, &all.concat())).unwrap();
        assert_eq!(again["auc"], found["auc"]);
    }
    // One that cannot be read is said, and is no reason to give up.
    folder.write("good/broken.jpg", "no picture");
    let said = fine(&folder, &["vision", "eval", "--good", "good", "--bad", "bad"]);
    assert!(said.contains("35 good, 35 bad"), "{said}");
    for name in ["auc", "balanced_accuracy", "false_alarms_per_hour", "ms_per_frame"] {
        assert!(said.contains(name), "{said}");
    }

    fine(&folder, &["vision", "learn", "--good", "good", "--bad", "bad", "--out", "judge.json"]);
    prints::draw(&folder.path("new_good"), 6, false, 3);
    prints::draw(&folder.path("new_bad"), 6, true, 4);
    let taken_for_failures = |of: &str| {
        let pictures: Vec<String> = (0..6).map(|n| format!("{of}/{n:03}.jpg")).collect();
        let names: Vec<&str> = pictures.iter().map(String::as_str).collect();
        let said = fine(&folder, &[&["vision", "score", "judge.json"], &names[..]].concat());
        said.lines().filter(|line| line[..5].parse::<f64>().unwrap() >= 0.5).count()
    };
    assert!(taken_for_failures("new_good") <= 1);
    assert!(taken_for_failures("new_bad") >= 5);
}

#[test]
fn what_is_wrong_is_said() {
    let folder = Folder::with(&[("broken/a.jpg", "no picture"), ("broken/b.jpg", "no picture"), ("judge.json", "{}")]);
    fine(&folder, &["models", "pull"]);
    assert!(refused(command(&folder, &["models", "pull", "nothing"])).contains("there is no model called nothing"));
    let eval = |good: &str| command(&folder, &["vision", "eval", "--good", good, "--bad", good]);
    assert!(refused(eval("nowhere")).contains("nowhere cannot be read"));
    let said = refused(command(&folder, &["vision", "learn", "--good", "broken"]));
    assert!(said.contains("broken/a.jpg is no picture that can be read"), "{said}");
    prints::draw(&folder.path("few"), 3, false, 1);
    assert!(refused(eval("few")).contains("few has 3 pictures: to learn from 5, more are needed"));
    let said = refused(command(&folder, &["vision", "score", "judge.json", "few/000.jpg"]));
    assert!(said.contains("judge.json") && said.contains("it is not what `jarvis vision learn` writes"), "{said}");

    // A store without the model, and one with an altered one.
    let mut empty = command(&folder, &["vision", "learn", "--good", "few"]);
    empty.env("JARVIS_MODELS", folder.path("empty"));
    assert!(refused(empty).contains("fetch it with `jarvis models pull efficientnet-lite0`"));
    let altered = folder.path("altered/efficientnet-lite0");
    std::fs::create_dir_all(&altered).unwrap();
    std::fs::write(altered.join("efficientnet-lite0.onnx"), "something else").unwrap();
    for arguments in [&["vision", "learn", "--good", "few"][..], &["models", "verify", "efficientnet-lite0"]] {
        let mut with_altered = command(&folder, arguments);
        with_altered.env("JARVIS_MODELS", folder.path("altered"));
        let output = with_altered.output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        let said = format!("{}{}", text(&output.stdout), text(&output.stderr));
        assert!(said.contains("ALTERED") || said.contains("is not the file that the catalog names"), "{said}");
    }
    // A library that is none.
    let mut other = command(&folder, &["vision", "learn", "--good", "few"]);
    other.env("ORT_DYLIB_PATH", folder.path("judge.json"));
    let said = refused(other);
    assert!(said.contains("ONNX Runtime cannot be started") && said.contains("judge.json"), "{said}");
}
