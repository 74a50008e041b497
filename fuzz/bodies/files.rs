//! Any file is read to its end or refused: rows and errors come out of it, and nothing else.

use jarvis_runtime::kinds::{BoundedSource, PlanContext, SourceKind, SourcePlan, StreamSpec};
use jarvis_sources::{FileSource, TableSource};
use jarvis_spec::schema::parse_type;
use jarvis_spec::{Diagnostics, Node, SourceText};
use std::path::Path;
use std::sync::Arc;

/// Chunks hold thousands of rows: the files here have far fewer.
const CHUNKS: usize = 1_000;

fn options(yaml: &str) -> Node {
    Node::read(&SourceText::new("test.yaml", yaml), &|_| None).expect("these options are YAML")
}

fn read_all(source: &dyn BoundedSource) {
    for _ in 0..CHUNKS {
        let Some(chunk) = source.next_chunk() else { return };
        let decoded = source.decode(&chunk);
        assert!(decoded.weights.is_none_or(|weights| weights.len() == decoded.rows.num_rows()));
        assert!(decoded.errors.iter().all(|error| !error.code.is_empty() && !error.message.is_empty()));
    }
    panic!("a small file has no end");
}

fn refused(findings: &Diagnostics) {
    assert!(findings.has_errors(), "what is refused is refused with an error");
    assert!(findings.into_iter().all(|finding| !finding.to_string().is_empty()));
}

/// A file with this ending, read as rows of (n: int64, text: utf8?, at: timestamp?).
#[allow(dead_code, reason = "a test of its own")]
pub fn file(folder: &Path, ending: &str, contents: &[u8]) {
    std::fs::write(folder.join(format!("rows.{ending}")), contents).expect("the folder can be written");
    let columns = [("n", "int64"), ("text", "utf8?"), ("at", "timestamp?")];
    let fields = columns.map(|(name, of)| parse_type(name, of).expect("a type of the language"));
    let mut spec = StreamSpec {
        name: "test.stream".to_owned(),
        schema: Arc::new(arrow::datatypes::Schema::new(fields.to_vec())),
        key: vec![],
        time: None,
        lateness: None,
    };
    let context = PlanContext { folder: folder.to_owned(), config: None, data: None };
    let options = options(&format!("{{ path: rows.{ending} }}"));
    for inferred in [false, true] {
        if inferred {
            match FileSource.infer_schema(&options, &context) {
                Some(Ok(schema)) => spec.schema = schema,
                Some(Err(findings)) => return refused(&findings),
                None => return,
            }
        }
        match FileSource.plan(&spec, &options, &context) {
            Ok(SourcePlan::Bounded(source)) => read_all(&*source),
            Ok(SourcePlan::Live(_)) => panic!("nobody watches this file"),
            Err(findings) => refused(&findings),
        }
    }
}

/// The facility's description: each of its tables has a schema and rows, or is refused.
#[allow(dead_code, reason = "a test of its own")]
pub fn facility(folder: &Path, text: &str) {
    std::fs::write(folder.join("facility.yaml"), text).expect("the folder can be written");
    let context = PlanContext { folder: folder.to_owned(), config: Some(folder.to_owned()), data: None };
    for section in ["zones", "devices", "doors", "people"] {
        let options = options(&format!("{{ facility: {section} }}"));
        let schema = match TableSource.infer_schema(&options, &context).expect("a table knows its schema") {
            Ok(schema) => schema,
            Err(findings) => {
                refused(&findings);
                continue;
            }
        };
        let name = format!("facility.{section}");
        let spec = StreamSpec { name, schema, key: vec![], time: None, lateness: None };
        match TableSource.plan(&spec, &options, &context) {
            Ok(SourcePlan::Bounded(source)) => read_all(&*source),
            Ok(SourcePlan::Live(_)) => panic!("nobody watches this table"),
            Err(findings) => refused(&findings),
        }
    }
}
