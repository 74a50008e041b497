//! What the tests of sinks share: a view, its changes, and planning from YAML.

#![allow(dead_code, reason = "each test file uses some of it")]

use arrow::array::{ArrayRef, Int64Array, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use jarvis_runtime::closed::ClosedBatch;
use jarvis_runtime::kinds::{PlanContext, SinkDriver, SinkPlan, StreamSpec};
use jarvis_spec::{Diagnostics, Node, SourceText};
use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

pub fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("tool", DataType::Utf8, true), Field::new("over", DataType::Int64, true)]))
}

pub fn stream(schema: SchemaRef) -> StreamSpec {
    StreamSpec { name: "heat.hot".to_owned(), schema, key: vec![], time: None, lateness: None }
}

/// Rows `(time, tool, over, diff)`.
pub fn batch(rows: &[(u64, &str, i64, i64)]) -> ClosedBatch {
    let columns: Vec<ArrayRef> = vec![
        Arc::new(rows.iter().map(|r| Some(r.1)).collect::<StringArray>()),
        Arc::new(rows.iter().map(|r| Some(r.2)).collect::<Int64Array>()),
    ];
    ClosedBatch {
        lower: rows.first().map_or(0, |r| r.0),
        upper: rows.last().map_or(0, |r| r.0 + 1),
        rows: RecordBatch::try_new(schema(), columns).unwrap(),
        times: rows.iter().map(|r| r.0).collect(),
        diffs: rows.iter().map(|r| r.3).collect(),
    }
}

/// µs since the epoch: a batch of now is of a run that goes on.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros() as u64
}

/// Plans a sink with the options written in `yaml`.
pub fn plan(kind: &str, yaml: &str, stream: &StreamSpec, folder: &Path) -> Result<SinkPlan, Diagnostics> {
    let options = Node::read(&SourceText::new("sink.yaml", yaml), &|_| None)?;
    let context = PlanContext { folder: folder.to_owned(), config: None, data: Some(folder.join("data")) };
    let kinds = jarvis_sinks::kinds();
    let kind = kinds.iter().find(|k| k.name() == kind).expect("a kind of this crate");
    kind.plan(stream, &options, &context)
}

/// Plans a sink for the view of [`schema`].
pub fn driver(kind: &str, yaml: &str, folder: &Path) -> Box<dyn SinkDriver> {
    plan(kind, yaml, &stream(schema()), folder).unwrap_or_else(|findings| panic!("{findings}")).driver
}

/// The findings of options that are refused.
pub fn findings(kind: &str, yaml: &str) -> String {
    match plan(kind, yaml, &stream(schema()), Path::new("/nowhere")) {
        Ok(_) => panic!("{yaml} is not refused"),
        Err(findings) => findings.to_string(),
    }
}

/// Opens a sink, writes batches, and finishes it.
pub async fn run(driver: &mut dyn SinkDriver, batches: &[ClosedBatch]) -> anyhow::Result<()> {
    driver.open().await?;
    for batch in batches {
        driver.write(batch).await?;
    }
    driver.finish().await
}
