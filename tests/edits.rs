//! The pipelines that ship, edited badly: whatever is in a file, `check` and the reload of a running instance get a
//! project or findings, and never a panic.

#[path = "../fuzz/bodies/mutation.rs"]
mod mutation;

use jarvis_runtime::project::read_pipelines;
use jarvis_runtime::{Kinds, Paths, Project};
use jarvis_spec::{Diagnostics, Pipeline, SourceText, parse_pipeline};
use mutation::changed;
use proptest::prelude::*;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

/// Words of pipelines and of SQL.
const WORDS: [&str; 53] = [
    "\n",
    "\n  ",
    ": ",
    ", ",
    "(",
    ")",
    "[",
    "]",
    "{ ",
    " }",
    "'",
    "\"",
    "SELECT ",
    " FROM ",
    " WHERE ",
    " GROUP BY 1 ",
    " ORDER BY 1 ",
    " LIMIT 1 ",
    " LEFT JOIN ",
    " FULL JOIN ",
    " UNION ALL ",
    " DISTINCT ",
    " NOT ",
    " IN ",
    " EXISTS ",
    " OVER ",
    " NULL ",
    " IS NULL ",
    " = ",
    " <= ",
    " - ",
    " / 0",
    " * 9223372036854775807 ",
    "now()",
    "count(*)",
    "sum(",
    "max(",
    "tumble(",
    "CAST(",
    " AS BIGINT)",
    "INTERVAL '1 month'",
    "INTERVAL '9999999999 days'",
    "interval",
    "ARRAY[1]",
    "UNNEST(",
    "CASE WHEN ",
    "*",
    "?",
    "list(int8)",
    "decimal(38,38)",
    "0s",
    "forever",
    "as: state",
];

fn shipped() -> Vec<Vec<u8>> {
    let folder = Path::new(".").join("pipelines");
    let files = std::fs::read_dir(folder).expect("the pipelines that ship").map(|entry| entry.expect("a file").path());
    let mut files: Vec<PathBuf> = files.collect();
    files.sort();
    files.into_iter().map(|path| std::fs::read(path).expect("a pipeline")).collect()
}

/// The tables of the facility, which most pipelines name.
static FACILITY: LazyLock<Pipeline> = LazyLock::new(|| {
    let here = Path::new(".");
    let all = read_pipelines(&paths(), false).unwrap_or_else(|findings| panic!("{}: {findings}", here.display()));
    all.into_iter().find(|pipeline| pipeline.name.value == "facility").expect("there are tables")
});

fn paths() -> Paths {
    let here = Path::new(".");
    Paths { pipelines: vec![here.join("pipelines")], config: Some(here.join("config")), data: None }
}

fn build(text: &str) -> Result<Project, Diagnostics> {
    let path = Path::new(".").join("pipelines/edited.yaml");
    let kinds =
        Kinds { sources: jarvis_sources::kinds(), operators: jarvis_operators::kinds(), sinks: jarvis_sinks::kinds() };
    let pipeline = parse_pipeline(SourceText::new(path, text), &|_| None)?;
    Project::build(vec![pipeline, FACILITY.clone()], &paths(), &kinds)
}

#[test]
fn the_pipelines_are_right_before_they_are_edited() {
    for text in shipped() {
        let built = build(std::str::from_utf8(&text).expect("text"));
        // A pipeline may rest on another one, which is not there.
        assert!(built.as_ref().err().is_none_or(|findings| findings.iter().all(|f| f.code == "unknown_stream")));
    }
}

proptest! {
    #[test]
    fn an_edited_pipeline_is_a_project_or_findings(text in changed(shipped(), &WORDS)) {
        if let Err(findings) = build(&String::from_utf8_lossy(&text)) {
            prop_assert!(findings.has_errors(), "what is refused is refused with an error");
            prop_assert!(!findings.to_string().is_empty());
        }
    }
}
