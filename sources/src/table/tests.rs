use super::*;
use crate::testing::*;
use jarvis_spec::schema::field_type_name;
use std::fs;
use std::path::Path;

const FACILITY: &str = r#"
zones:
  - { id: store, name: "Material store", floor: 0, since: 2022-04-04, tags: [dry] }
  - { id: lounge, name: Lounge, floor: 0.5, since: 2023-01-01, opened: 2023-01-09T09:00:00Z }
empty: []
broken: [1]
"#;

fn facility(contents: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("facility.yaml"), contents).expect("written");
    folder
}

fn inferred(yaml: &str, folder: &Path) -> Result<SchemaRef, Diagnostics> {
    TableSource.infer_schema(&options(yaml), &context(folder)).expect("it knows")
}

#[test]
fn sections_of_the_facility_know_their_types() {
    let folder = facility(FACILITY);
    let schema = inferred("{ facility: zones }", folder.path()).expect("readable");
    let types: Vec<_> = schema.fields().iter().map(|f| format!("{}: {}", f.name(), field_type_name(f))).collect();
    assert_eq!(types, ["id: utf8", "name: utf8", "floor: float64", "since: date", "tags: json?", "opened: timestamp?"]);
    let stream = StreamSpec { schema, ..stream(&[("id", "utf8")], &[]) };
    let batches = read_all(&*bounded(&TableSource, &stream, "{ facility: zones }", folder.path()));
    assert_eq!(codes(&batches), [""; 0]);
    assert_eq!(
        all_texts(&batches),
        ["store|Material store|0.0|2022-04-04|[\"dry\"]|null", "lounge|Lounge|0.5|2023-01-01|null|2023-01-09T09:00:00"]
    );
}

#[test]
fn rows_of_the_facility_that_do_not_fit_say_where_they_stand() {
    let folder = facility(FACILITY);
    let batches =
        read_all(&*bounded(&TableSource, &stream(&[("floor", "int64")], &[]), "{ facility: zones }", folder.path()));
    assert_eq!(all_texts(&batches), ["0"]);
    let message = &batches[0].errors[0].message;
    assert!(message.ends_with("facility.yaml:4:5: `floor`: expected int64, found the number 0.5"), "{message}");
}

#[test]
fn tables_that_cannot_be_read_are_findings() {
    let folder = facility(FACILITY);
    for (yaml, code) in [
        ("{}", "table_place"),
        ("{ path: a.csv, facility: zones }", "table_place"),
        ("{ facility: zone }", "unknown_table"),
        ("{ facility: broken }", "wrong_type"),
        ("{ path: none.csv }", "file_not_found"),
    ] {
        let finding = plan(&TableSource, &stream(&[("id", "utf8")], &[]), yaml, folder.path()).err().expect(yaml);
        assert_eq!(finding.code, code, "{finding}");
        assert!(finding.span.is_some(), "{finding}");
    }
    assert_eq!(inferred("{ facility: empty }", folder.path()).expect_err("no rows").0[0].code, "empty_table");
    let none = PlanContext { config: None, ..context(folder.path()) };
    let finding =
        TableSource.infer_schema(&options("{ facility: zones }"), &none).expect("it knows").expect_err("no folder");
    assert_eq!(finding.0[0].code, "no_configuration");
}

#[tokio::test]
async fn edits_of_the_facility_become_changes_of_its_table() {
    let folder = facility("zones: [{ id: a, floor: 0 }, { id: b, floor: 1 }]");
    let stream = stream(&[("id", "utf8"), ("floor", "int64")], &[0]);
    let mut running = start(&TableSource, &stream, "{ facility: zones, watch: true }", folder.path());
    assert_eq!(texts(&running.next().await), ["a|0", "b|1"]);
    let path = folder.path().join("facility.yaml");
    fs::write(&path, "zones: [{ id: a, floor: 0 }, { id: b, floor: }").expect("written");
    assert_eq!(running.next().await.errors[0].code, "file");
    fs::write(&path, "zones: [{ id: b, floor: 2 }]").expect("written");
    assert_eq!(texts(&running.next().await), ["-a|0", "b|2"]);
    running.stop().await;
}
