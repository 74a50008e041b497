//! What is refused, in the words that people read: `tests/refusals/NAME.yaml` gives `NAME.txt`. `BLESS=1` rewrites.

use jarvis_plan::{SourceInfo, SqlOnly, compile};
use jarvis_spec::{SourceText, parse_pipeline};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

fn findings(path: &Path) -> String {
    let text = std::fs::read_to_string(path).expect("the folder was just listed");
    let name = path.file_name().expect("a file has a name");
    let found = parse_pipeline(SourceText::new(name, text), &|_| None).and_then(|pipeline| {
        let infos: HashMap<String, SourceInfo> = pipeline
            .sources
            .iter()
            .filter_map(|s| {
                Some((
                    format!("{}.{}", pipeline.name.value, s.name.value),
                    SourceInfo { schema: s.schema.as_ref()?.value.clone(), append_only: false },
                ))
            })
            .collect();
        compile(&[pipeline], &infos, &mut SqlOnly)
    });
    match found {
        Ok(_) => "nothing is refused\n".into(),
        Err(found) => format!("{found}\n"),
    }
}

#[test]
fn refusals_say_what_is_wrong_where_and_what_to_write_instead() {
    let folder = Path::new(".").join("tests/refusals");
    let entries = std::fs::read_dir(&folder).expect("the folder stands beside this file");
    let mut files: Vec<PathBuf> = entries
        .filter_map(|e| e.ok().map(|e| e.path()))
        .filter(|p| p.extension().is_some_and(|x| x == "yaml"))
        .collect();
    files.sort();
    assert!(!files.is_empty());
    let mut wrong = vec![];
    for file in files {
        let found = findings(&file);
        let golden = file.with_extension("txt");
        if std::env::var_os("BLESS").is_some() {
            std::fs::write(&golden, &found).expect("the folder can be written");
        }
        let wanted = std::fs::read_to_string(&golden).unwrap_or_default();
        if found != wanted {
            wrong.push(format!("{}:\n{found}\nand not\n{wanted}", file.display()));
        }
        if found.contains("nothing is refused") {
            wrong.push(format!("{} is not refused", file.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A pipeline with this query; the environment has one variable.
fn found_with_secret(sql: &str) -> String {
    const SECRET: &str = "HunterTwo";
    let yaml = format!(
        "pipeline: p\nsources:\n  t: {{ given: {{}}, schema: {{ k: utf8, x: int64, at: timestamp }}, time: at, retain: 1m }}\noperators:\n  v:\n    sql: |\n      {sql}\n"
    );
    let environment = |name: &str| (name == "SECRET").then(|| SECRET.to_owned());
    let pipeline = parse_pipeline(SourceText::new("p.yaml", yaml), &environment).unwrap_or_else(|e| panic!("{e}"));
    let schema = pipeline.sources[0].schema.as_ref().expect("it is given").value.clone();
    let infos = HashMap::from([("p.t".to_owned(), SourceInfo { schema, append_only: false })]);
    compile(&[pipeline], &infos, &mut SqlOnly).expect_err("the query is refused").to_string()
}

#[test]
fn what_comes_from_the_environment_is_not_shown() {
    for sql in [
        "SELECT ${SECRET} FROM t",
        "SELECT k FROM ${SECRET}",
        "SELECT t.${SECRET}_of_mine FROM t",
        "SELECT frob_${SECRET}(k) AS z FROM t",
        "SELECT k AS ${SECRET}, x AS ${SECRET} FROM t",
        "SELECT x::${SECRET} AS z FROM t",
        "SELECT k FROM t LIMIT ${SECRET} ${SECRET}",
        "SELECT k FROM t WHERE k = ${SECRET} '",
        "SELECT CAST('${SECRET}' AS bigint) AS z, count(*) OVER () AS n FROM t",
        "SELECT k FROM t WHERE at > '${SECRET}'",
        "SELECT k FROM t WHERE at > now() - INTERVAL '${SECRET}'",
        "SELECT * FROM session(t, at, INTERVAL '5 seconds', ${SECRET})",
        "SELECT * FROM session(${SECRET}, at, INTERVAL '5 seconds', k)",
        "SELECT * FROM tumble(t, ${SECRET}, INTERVAL '5 seconds')",
    ] {
        let said = found_with_secret(sql);
        assert!(!said.to_lowercase().contains("hunter"), "{sql}\n{said}");
        assert!(said.contains("p.yaml:7:"), "{sql}\n{said}");
    }
}
