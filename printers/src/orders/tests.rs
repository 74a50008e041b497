//! What rows are orders, and which files may leave the machine.

use super::*;
use proptest::prelude::*;
use std::collections::HashMap;
use std::fs;

/// A row of texts; numbers and flags are written in them.
#[derive(Default)]
struct Written(HashMap<&'static str, String>);

impl Row for Written {
    fn text(&self, column: &str) -> Option<String> {
        self.0.get(column).cloned()
    }
    fn number(&self, column: &str) -> Option<f64> {
        self.0.get(column)?.parse().ok()
    }
    fn flag(&self, column: &str) -> Option<bool> {
        self.0.get(column)?.parse().ok()
    }
}

fn row(columns: &[(&'static str, &str)]) -> Written {
    Written(columns.iter().map(|(name, value)| (*name, (*value).to_owned())).collect())
}

async fn order(verb: Verb, columns: &[(&'static str, &str)], files: Option<&Files>) -> Result<Order, Told> {
    verb.order("test".to_owned(), SystemTime::now(), &row(columns), files).await
}

#[test]
fn the_names_are_those_that_are_read() {
    for name in Verb::NAMES {
        assert_eq!(serde_json::from_value::<Verb>(name.into()).unwrap().name(), name);
    }
    assert!(serde_json::from_value::<Verb>("toggle".into()).is_err());
}

#[tokio::test]
async fn what_is_about_a_print_says_which() {
    for verb in [Verb::Pause, Verb::Resume, Verb::Cancel] {
        assert_eq!(order(verb, &[("printer", "p")], None).await.unwrap_err().outcome, "wrong_state");
        let order = order(verb, &[("printer", "p"), ("job", "a#1")], None).await.unwrap();
        assert_eq!(order.job, Some(JobId("a#1".to_owned())));
    }
    // A start brings its own print, whatever else the row knows.
    assert_eq!(order(Verb::Start, &[("file", "a"), ("job", "b#1")], None).await.unwrap().job, None);
}

#[tokio::test]
async fn a_heater_is_set_to_a_temperature() {
    for (celsius, action) in [
        ("60", Ok(Action::Heat { tool: "bed".to_owned(), celsius: 60.0 })),
        ("NaN", Err("refused")),
        ("inf", Err("refused")),
        ("-1", Err("refused")),
    ] {
        let order = order(Verb::Heat, &[("tool", "bed"), ("celsius", celsius)], None).await;
        assert_eq!(order.map(|order| order.action).map_err(|told| told.outcome), action, "{celsius}");
    }
}

/// A folder with a file, a folder beside it with another one, and links between them.
fn folders() -> (tempfile::TempDir, Files) {
    let place = tempfile::tempdir().unwrap();
    let at = |path: &str| place.path().join(path);
    fs::create_dir_all(at("files/parts")).unwrap();
    fs::create_dir_all(at("files-of-others")).unwrap();
    for path in ["files/a.gcode", "files/parts/b.gcode", "files-of-others/c.gcode"] {
        fs::write(at(path), "G28\n").unwrap();
    }
    let link = std::os::unix::fs::symlink::<PathBuf, PathBuf>;
    link(at("files/a.gcode"), at("files/within.gcode")).unwrap();
    link(at("files-of-others/c.gcode"), at("files/out.gcode")).unwrap();
    link(at("files-of-others"), at("files/folder")).unwrap();
    let files = Files::new(at("files"));
    (place, files)
}

#[test]
fn only_files_of_the_folder_are_found() {
    let (place, files) = folders();
    for name in ["a.gcode", "parts/b.gcode", "within.gcode"] {
        assert!(files.find(name).is_ok(), "{name}");
    }
    let absolute = place.path().join("files/a.gcode").display().to_string();
    let outside = [
        absolute.as_str(),
        "../files-of-others/c.gcode",
        "parts/../../files-of-others/c.gcode",
        "out.gcode",
        "folder/c.gcode",
        "parts",
        "",
        ".",
        "..",
        "./a.gcode",
        "parts//b.gcode",
        "a.gcode/",
        "none.gcode",
        "a\0.gcode",
    ];
    for name in outside {
        assert!(files.find(name).is_err(), "{name:?}");
    }
}

#[tokio::test]
async fn an_upload_names_a_file_of_the_folder_and_a_place_within_the_printers() {
    let (_place, files) = folders();
    let named = |name: &str, print| Ok((name.to_owned(), print));
    for (columns, expected) in [
        (vec![("file", "parts/b.gcode")], named("parts/b.gcode", false)),
        (vec![("file", "parts/b.gcode"), ("name", "b.gcode"), ("print", "true")], named("b.gcode", true)),
        (vec![("file", "a.gcode"), ("name", "../b.gcode")], Err("refused")),
        (vec![("file", "a.gcode"), ("name", "/b.gcode")], Err("refused")),
        (vec![("file", "a.gcode"), ("name", "parts\\..\\b.gcode")], Err("refused")),
        (vec![("name", "b.gcode")], Err("wrong_state")),
    ] {
        let found = match order(Verb::Upload, &columns, Some(&files)).await {
            Ok(Order { action: Action::Upload { name, print, .. }, .. }) => Ok((name, print)),
            Ok(order) => panic!("{order:?}"),
            Err(told) => Err(told.outcome),
        };
        assert_eq!(found, expected, "{columns:?}");
    }
    assert_eq!(order(Verb::Upload, &[("file", "a.gcode")], None).await.unwrap_err().outcome, "refused");
}

proptest! {
    /// Whatever a row says, what is found lies in the folder.
    #[test]
    fn nothing_leads_out(name in "(\\.|\\.\\.|/|a\\.gcode|parts|b\\.gcode|folder|c\\.gcode|out\\.gcode|\\\\){1,7}") {
        let (place, files) = folders();
        if let Ok(path) = files.find(&name) {
            prop_assert!(path.starts_with(place.path().canonicalize().unwrap().join("files")), "{:?}", path);
        }
    }
}
