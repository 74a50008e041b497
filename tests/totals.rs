//! Bounded files, to their end.

mod common;

use common::{Folder, text};

const TOTALS: &str = "\
pipeline: totals
sources:
  jobs:   { file: { path: jobs.jsonl },   schema: { job_id: int64, printer: utf8, status: utf8 }, key: [job_id], retain: forever }
  spools: { file: { path: spools.jsonl }, schema: { printer: utf8, material: utf8, grams: float64 }, key: [printer], retain: forever }
operators:
  by_material:
    sql: SELECT material, status, count(*) AS n, sum(grams) AS grams FROM jobs JOIN spools USING (printer) GROUP BY material, status
sinks:
  out: { from: by_material, file: { path: out.jsonl, as: state } }
";

const JOBS: &str = r#"{"job_id": 1, "printer": "mk4s-1", "status": "printing"}
{"job_id": 2, "printer": "xl-1", "status": "printing"}
{"job_id": 3, "printer": "mk4s-1", "status": "failed"}
{"job_id": 1, "printer": "mk4s-1", "status": "done"}
{"job_id": 4, "printer": "nobody", "status": "done"}
{"job_id": 5, "printer": "xl-1", "status": "done"}
{"job_id": 5, "_deleted": true}
"#;

const SPOOLS: &str = r#"{"printer": "mk4s-1", "material": "PLA", "grams": 250.0}
{"printer": "xl-1", "material": "PETG", "grams": 800.0}
"#;

fn totals() -> Folder {
    Folder::with(&[("totals.yaml", TOTALS), ("jobs.jsonl", JOBS), ("spools.jsonl", SPOOLS)])
}

fn sorted(text: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    lines
}

#[test]
fn the_final_table_is_written_and_counted() {
    for workers in ["1", "2"] {
        let folder = totals();
        let output = folder.jarvis(&["run", "totals.yaml", "--workers", workers]);
        let said = text(&output.stderr);
        assert!(output.status.success(), "{said}");
        let expected = [
            r#"{"material":"PETG","status":"printing","n":1,"grams":800.0}"#,
            r#"{"material":"PLA","status":"done","n":1,"grams":250.0}"#,
            r#"{"material":"PLA","status":"failed","n":1,"grams":250.0}"#,
        ];
        assert_eq!(sorted(&folder.read("out.jsonl")), expected);
        let last = said.lines().last().unwrap();
        assert!(last.starts_with("read 9 rows, wrote 3 rows in ") && last.ends_with(" s"), "{last}");
    }
}

#[test]
fn the_tick_does_not_change_the_final_table() {
    let folder = totals();
    folder.fine(&["run", "totals.yaml"]);
    let expected = folder.read("out.jsonl");
    for tick in ["1ms", "1h"] {
        folder.fine(&["run", "totals.yaml", "--tick", tick]);
        assert_eq!(sorted(&folder.read("out.jsonl")), sorted(&expected), "{tick}");
    }
}

#[test]
fn a_missing_input_is_a_finding_with_its_place() {
    let folder = totals();
    std::fs::remove_file(folder.path("jobs.jsonl")).unwrap();
    let output = folder.jarvis(&["run", "totals.yaml"]);
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stderr);
    assert!(said.contains("jobs.jsonl") && said.contains("totals.yaml:3:") && !said.contains("panicked"), "{said}");
}

#[test]
fn a_missing_pipeline_is_said() {
    let output = totals().jarvis(&["run", "nowhere.yaml"]);
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stderr);
    assert!(said.contains("nowhere.yaml"), "{said}");
}

#[test]
fn a_row_that_cannot_be_read_leaves_the_results_and_is_counted() {
    let folder = totals();
    folder.write("spools.jsonl", &format!("{SPOOLS}{{\"printer\": 7}}\n"));
    let output = folder.jarvis(&["run", "totals.yaml"]);
    let said = text(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("1 row could not be read or computed"), "{said}");
    assert_eq!(folder.read("out.jsonl").lines().count(), 3);
}

#[test]
fn every_row_that_fails_is_told_to_a_sink_also_in_the_last_tick() {
    let pipeline = "\
pipeline: p
sources:
  a: { file: { path: a.jsonl }, schema: { v: utf8, at: timestamp }, TIME retain: forever }
operators:
  numbers: { sql: SELECT CAST(v AS BIGINT) AS v FROM a }
  faults: { sql: 'SELECT code, count(*) AS n FROM system.errors GROUP BY code' }
sinks:
  out: { from: numbers, file: { path: out.jsonl, as: state } }
  told: { from: faults, file: { path: faults.jsonl, as: state } }
";
    let lines = "{\"v\":\"1\",\"at\":1000}\n{nonsense\n{\"v\":\"x\",\"at\":2000}\n{\"v\":\"3\",\"at\":5000}\n\
        {\"v\":\"y\",\"at\":9000}\n{bad}\n";
    for time in ["", "time: at,"] {
        let folder = Folder::with(&[("p.yaml", &pipeline.replace("TIME", time)), ("a.jsonl", lines)]);
        for workers in ["1", "2"] {
            folder.fine(&["run", "p.yaml", "--workers", workers]);
            let faults = [r#"{"code":"cast","n":2}"#, r#"{"code":"json_syntax","n":2}"#];
            assert_eq!(sorted(&folder.read("faults.jsonl")), faults, "{time} {workers}");
            assert_eq!(sorted(&folder.read("out.jsonl")), [r#"{"v":1}"#, r#"{"v":3}"#]);
        }
    }
}

#[test]
fn a_row_that_must_not_fail_fails_the_run() {
    let failing = TOTALS
        .replace("SELECT material,", "SELECT CAST(material AS BIGINT) AS material,")
        .replace("GROUP BY material, status", "GROUP BY 1, status\n    on_error: fail");
    let folder = totals();
    folder.write("totals.yaml", &failing);
    let output = folder.jarvis(&["run", "totals.yaml"]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
}

#[test]
fn wrong_arguments_are_refused_with_status_2() {
    for arguments in
        [["run", "--workers=0"], ["run", "--tick=soon"], ["run", "--listen=everywhere"], ["fly", "totals.yaml"]]
    {
        assert_eq!(totals().jarvis(&arguments).status.code(), Some(2), "{arguments:?}");
    }
}
