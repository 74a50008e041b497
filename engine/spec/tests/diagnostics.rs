//! What people read about each slip: `diagnostics/NAME.yaml` is a pipeline, `NAME.txt` all that is said about it.
//! `BLESS=1` rewrites the texts.

use jarvis_spec::{Diagnostics, Pipeline, Secret, SourceText, Spanned, parse_pipeline};
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Options such as a kind has them; the findings about them are part of the texts.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only reading it matters")]
struct Mqtt {
    topic: Spanned<String>,
    #[serde(default)]
    qos: u8,
    #[serde(default)]
    format: Format,
    #[serde(default, deserialize_with = "jarvis_spec::duration::deserialize_option")]
    keep_alive: Option<Duration>,
    port: Option<u16>,
    password: Option<Secret>,
    #[serde(default)]
    brokers: Vec<Broker>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Format {
    #[default]
    Json,
    Csv,
    Raw,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only reading it matters")]
struct Broker {
    host: String,
}

const SECRET: &str = "hunter2 \"quoted\"";

fn environment(name: &str) -> Option<String> {
    (name == "PASSWORD").then(|| SECRET.to_owned())
}

fn options(pipeline: &Pipeline) -> Diagnostics {
    let nodes = pipeline.sources.iter().filter(|source| source.kind == "mqtt").map(|source| &source.options);
    nodes.filter_map(|node| node.parse::<Mqtt>().err()).collect()
}

fn findings(yaml: &Path) -> Diagnostics {
    let text = std::fs::read_to_string(yaml).expect("the file can be read");
    let name = yaml.file_name().expect("a file");
    match parse_pipeline(SourceText::new(name, text), &environment) {
        Ok(pipeline) => options(&pipeline),
        Err(findings) => findings,
    }
}

fn cases() -> Vec<PathBuf> {
    let folder = Path::new(".").join("tests/diagnostics");
    let files = std::fs::read_dir(folder).expect("the folder can be read").map(|entry| entry.expect("an entry").path());
    let mut cases = files.filter(|path| path.extension().is_some_and(|ending| ending == "yaml")).collect::<Vec<_>>();
    cases.sort();
    cases
}

#[test]
fn findings_read_as_written_down() {
    let bless = std::env::var_os("BLESS").is_some();
    let mut different = String::new();
    for yaml in cases() {
        let said = format!("{}\n", findings(&yaml));
        let expected = yaml.with_extension("txt");
        if bless {
            std::fs::write(&expected, &said).expect("the text can be written");
        } else if std::fs::read_to_string(&expected).unwrap_or_default() != said {
            different.push_str(&format!("== {}\n{said}\n", yaml.display()));
        }
    }
    assert!(different.is_empty(), "BLESS=1 rewrites the texts if this is right:\n{different}");
}

#[test]
fn every_case_is_refused_with_a_way_out_and_shows_no_secret() {
    for yaml in cases() {
        let findings = findings(&yaml);
        assert!(findings.has_errors(), "{}", yaml.display());
        for finding in &findings {
            // These say in the message itself what must be written.
            assert!(finding.help.is_some() || ["wrong_type", "wrong_value"].contains(&finding.code), "{finding}");
            for shown in [finding.to_string(), finding.to_json().to_string(), format!("{finding:?}")] {
                assert!(!shown.contains("hunter2"), "{shown}");
            }
        }
    }
}

#[test]
fn the_json_form_has_the_place() {
    let text = SourceText::new("a.yaml", "pipeline: a\nsuorces: {}\n");
    let findings = parse_pipeline(text, &environment).expect_err("a misspelt key");
    let expected = serde_json::json!([{
        "code": "unknown_key",
        "severity": "error",
        "message": "`suorces` is not a key here",
        "help": "did you mean `sources`?",
        "file": "a.yaml",
        "start": { "line": 2, "column": 1, "offset": 12 },
        "end": { "line": 2, "column": 8, "offset": 19 },
        "notes": [],
    }]);
    assert_eq!(findings.to_json(), expected);
}
