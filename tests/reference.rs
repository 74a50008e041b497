//! What the program writes about itself.

mod common;

use common::{Folder, repository};
use serde_json::Value;

#[test]
fn the_schema_names_every_kind() {
    let schema: Value = serde_json::from_str(&Folder::with(&[]).fine(&["schema"])).unwrap();
    let definitions = schema["$defs"].as_object().unwrap();
    for kind in [
        "source_mqtt",
        "source_file",
        "source_table",
        "operator_sql",
        "sink_mqtt",
        "sink_file",
        "sink_console",
        "sink_lineage",
    ] {
        assert!(definitions.contains_key(kind), "{kind} is not among {:?}", definitions.keys().collect::<Vec<_>>());
    }
}

#[test]
fn the_reference_pages_are_up_to_date() {
    let folder = Folder::with(&[]);
    folder.fine(&["docs", "reference"]);
    let committed = repository().join("docs/reference");
    let mut names: Vec<_> =
        std::fs::read_dir(folder.path("reference")).unwrap().map(|e| e.unwrap().file_name()).collect();
    let mut there: Vec<_> = std::fs::read_dir(&committed).unwrap().map(|e| e.unwrap().file_name()).collect();
    names.sort();
    there.sort();
    assert_eq!(names, there, "run `jarvis docs docs/reference` and remove what is left over");
    for name in names {
        let (new, old) = (folder.path("reference").join(&name), committed.join(&name));
        let (new, old) = (std::fs::read_to_string(new).unwrap(), std::fs::read_to_string(old).unwrap());
        assert_eq!(new, old, "{} is out of date: run `jarvis docs docs/reference`", name.display());
    }
}
