//! Pipelines that were right and were then edited badly: read or refused, never a panic. The body is that of the fuzz
//! target `yaml`.

#[path = "../../../fuzz/bodies/mutation.rs"]
mod mutation;
#[path = "../../../fuzz/bodies/yaml.rs"]
mod yaml;

use mutation::changed;
use proptest::prelude::*;

const WORDS: [&str; 36] = [
    ": ",
    ":",
    "\n",
    "\n  ",
    "\n    ",
    "- ",
    "{ ",
    " }",
    "[",
    "]",
    ", ",
    "\"",
    "'",
    "|",
    ">",
    "&a ",
    "*a",
    "!!str ",
    "!!binary ",
    "? ",
    "# ",
    "---\n",
    "...\n",
    "${",
    "}",
    "${NONE}",
    "${A:-b}",
    "$${",
    "<<: *a",
    "\t",
    "\r\n",
    "\u{feff}",
    "\0",
    "é",
    "null",
    "99999999999999999999s",
];

/// The pipelines that ship, and every text that a diagnostic is pinned for.
fn pipelines() -> Vec<Vec<u8>> {
    let here = std::path::Path::new(".");
    let mut found = Vec::new();
    for folder in [here.join("../../pipelines"), here.join("tests/diagnostics")] {
        for entry in std::fs::read_dir(folder).expect("a folder of this repository") {
            let path = entry.expect("an entry").path();
            if path.extension().is_some_and(|ending| ending == "yaml") {
                found.push(std::fs::read(path).expect("a pipeline"));
            }
        }
    }
    assert!(found.len() > 10);
    found
}

proptest! {
    #[test]
    fn a_changed_pipeline_is_read_or_refused(text in changed(pipelines(), &WORDS)) {
        yaml::read(&String::from_utf8_lossy(&text));
    }
}
