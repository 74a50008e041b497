//! `console`: prints a view to the standard output.

use crate::payload::{Payload, rows, times};
use crate::telling::Telling;
use anyhow::Context;
use arrow::array::{ArrayRef, StringArray};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use arrow::record_batch::RecordBatch;
use arrow::util::pretty::pretty_format_batches;
use futures::future::BoxFuture;
use jarvis_runtime::closed::ClosedBatch;
use jarvis_runtime::kinds::{PlanContext, SinkDriver, SinkKind, SinkPlan, StreamSpec};
use jarvis_runtime::publish::{As, Publication, Publish, Publisher, What};
use jarvis_spec::{Diagnostic, Diagnostics, Node, Spanned};
use schemars::{JsonSchema, Schema as JsonSchemaOf, schema_for};
use serde::Deserialize;
use std::sync::Arc;
use tokio::io::{AsyncWrite, AsyncWriteExt};

/// Prints a view to the standard output.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConsoleOptions {
    /// How the view is told; `changes` if left out.
    #[serde(default, rename = "as")]
    pub mode: Option<Spanned<As>>,
    /// Events: say also that one has cleared.
    #[serde(default)]
    pub clear: bool,
    /// Events and state: the columns that say which one a row is about; all of them if left out.
    #[serde(default)]
    pub key: Option<Vec<Spanned<String>>>,
    /// One JSON object per line, or a table for people.
    #[serde(default)]
    pub format: ConsoleFormat,
}

/// What is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ConsoleFormat {
    #[default]
    Json,
    Table,
}

pub(crate) struct Console;

impl SinkKind for Console {
    fn name(&self) -> &'static str {
        "console"
    }

    fn options(&self) -> JsonSchemaOf {
        schema_for!(ConsoleOptions)
    }

    fn plan(&self, stream: &StreamSpec, options: &Node, _: &PlanContext) -> Result<SinkPlan, Diagnostics> {
        let read: ConsoleOptions = options.parse()?;
        let telling = Telling {
            stream,
            options,
            mode: read.mode.as_ref(),
            default: Some(As::Changes),
            clear: read.clear,
            key: read.key.as_deref(),
            ttl: None,
            destination: "console".to_owned(),
        };
        let publish = telling.publish()?;
        let driver = ConsoleDriver::new(&publish, stream, read.format, tokio::io::stdout());
        let driver =
            driver.map_err(|error| Diagnostic::error("unsupported_type", error.to_string()).at(options.span()))?;
        Ok(SinkPlan { publish, driver: Box::new(driver) })
    }
}

struct ConsoleDriver<W> {
    publisher: Publisher,
    payload: Payload,
    format: ConsoleFormat,
    out: W,
}

impl<W> ConsoleDriver<W> {
    fn new(
        publish: &Publish,
        stream: &StreamSpec,
        format: ConsoleFormat,
        out: W,
    ) -> Result<Self, arrow::error::ArrowError> {
        let publisher = Publisher::new(publish.clone(), &stream.schema)?;
        Ok(Self { publisher, payload: Payload::new(publish, &stream.schema)?, format, out })
    }

    fn text(&self, told: &[Publication]) -> anyhow::Result<Vec<u8>> {
        let mut text = Vec::new();
        match self.format {
            ConsoleFormat::Json => {
                for p in told {
                    self.payload.write(p, &mut text);
                    text.push(b'\n');
                }
            }
            ConsoleFormat::Table => text = format!("{}\n", pretty_format_batches(&[table(told)?])?).into_bytes(),
        }
        Ok(text)
    }
}

impl<W: AsyncWrite + Unpin + Send> SinkDriver for ConsoleDriver<W> {
    fn write<'a>(&'a mut self, batch: &'a ClosedBatch) -> BoxFuture<'a, anyhow::Result<()>> {
        Box::pin(async {
            let told = self.publisher.next(batch)?;
            if told.is_empty() {
                return Ok(());
            }
            let text = self.text(&told)?;
            self.out.write_all(&text).await.context("the standard output takes no more")?;
            self.out.flush().await.context("the standard output takes no more")
        })
    }

    fn recall<'a>(&'a mut self, batch: &'a ClosedBatch) -> BoxFuture<'a, anyhow::Result<()>> {
        let told = self.publisher.next(batch);
        Box::pin(async { Ok(told.map(drop)?) })
    }

    fn snapshot(&mut self) -> BoxFuture<'_, anyhow::Result<Vec<u8>>> {
        Box::pin(async { Ok(self.publisher.snapshot_bytes()?) })
    }

    fn restore(&mut self, snapshot: Vec<u8>) -> BoxFuture<'_, anyhow::Result<()>> {
        Box::pin(async move { Ok(self.publisher.restore_bytes(snapshot)?) })
    }
}

/// Publications as a table: when, what, and the row.
fn table(told: &[Publication]) -> anyhow::Result<RecordBatch> {
    let rows = rows(told)?;
    let when = Field::new("when", DataType::Timestamp(TimeUnit::Microsecond, None), false);
    let own = [when, Field::new("what", DataType::Utf8, false)].map(Arc::new);
    let schema = Schema::new(own.into_iter().chain(rows.schema().fields().iter().cloned()).collect::<Vec<_>>());
    let what: ArrayRef = Arc::new(StringArray::from_iter_values(told.iter().map(|p| what(p.what))));
    let columns = [times(told), what].into_iter().chain(rows.columns().iter().cloned());
    Ok(RecordBatch::try_new(Arc::new(schema), columns.collect())?)
}

fn what(what: What) -> String {
    match what {
        What::Raised => "raised".to_owned(),
        What::Cleared => "cleared".to_owned(),
        What::Put => "is".to_owned(),
        What::Remove => "gone".to_owned(),
        What::Change(diff) => format!("{diff:+}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::Int64Array;

    fn stream() -> StreamSpec {
        let fields = vec![Field::new("tool", DataType::Utf8, false), Field::new("n", DataType::Int64, true)];
        let schema = Arc::new(Schema::new(fields));
        StreamSpec { name: "heat.hot".to_owned(), schema, key: vec![], time: None, lateness: None }
    }

    fn batch() -> ClosedBatch {
        let columns: Vec<ArrayRef> =
            vec![Arc::new(StringArray::from(vec!["t0", "t0"])), Arc::new(Int64Array::from(vec![Some(1), None]))];
        let rows = RecordBatch::try_new(stream().schema, columns).unwrap();
        ClosedBatch { lower: 0, upper: 3, rows, times: vec![1_000_000, 2_000_000], diffs: vec![1, -1] }
    }

    async fn printed(format: ConsoleFormat) -> String {
        let mut driver = ConsoleDriver::new(&Publish::changes("t"), &stream(), format, Vec::new()).unwrap();
        driver.write(&batch()).await.unwrap();
        String::from_utf8(driver.out).unwrap()
    }

    #[tokio::test]
    async fn json_is_an_object_per_line() {
        let expected = concat!(
            r#"{"_time":"1970-01-01T00:00:01Z","_diff":1,"tool":"t0","n":1}"#,
            "\n",
            r#"{"_time":"1970-01-01T00:00:02Z","_diff":-1,"tool":"t0","n":null}"#,
            "\n"
        );
        assert_eq!(printed(ConsoleFormat::Json).await, expected);
    }

    #[tokio::test]
    async fn a_table_has_when_and_what() {
        let table = printed(ConsoleFormat::Table).await;
        let expected = "\
+---------------------+------+------+---+
| when                | what | tool | n |
+---------------------+------+------+---+
| 1970-01-01T00:00:01 | +1   | t0   | 1 |
| 1970-01-01T00:00:02 | -1   | t0   |   |
+---------------------+------+------+---+
";
        assert_eq!(table, expected);
    }
}
