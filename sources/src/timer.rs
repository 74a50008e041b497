//! `timer`: a row at regular times of the wall clock.
//!
//! `every: 10s` yields a row at :00, :10, :20 and so on, whenever jarvis was started. Times that pass while the graph
//! is full or the machine sleeps are left out, not made up for.

use arrow::array::{ArrayRef, Int64Array, RecordBatch, RecordBatchOptions, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use futures::future::BoxFuture;
use jarvis_runtime::arrival::{Arrival, Decoded};
use jarvis_runtime::kinds::{Feed, LiveSource, PlanContext, SourceKind, SourcePlan, StreamSpec};
use jarvis_spec::{Diagnostic, Diagnostics, Node};
use serde::Deserialize;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::time::sleep;

/// The kind `timer`.
#[derive(Clone, Copy, Debug, Default)]
pub struct TimerSource;

/// A row `{ at: timestamp, n: int64 }` at regular times. Either column may be left out of the schema.
#[derive(Clone, Debug, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct Options {
    /// How often, at least 1ms. Times are multiples of it since the Unix epoch, and `n` says which one.
    #[serde(deserialize_with = "jarvis_spec::duration::deserialize")]
    #[schemars(with = "String")]
    every: Duration,
}

/// The shortest interval.
const SHORTEST: Duration = Duration::from_millis(1);
/// The clock is looked at this often, since it may be set meanwhile.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);
const TIME: DataType = DataType::Timestamp(TimeUnit::Microsecond, None);

impl SourceKind for TimerSource {
    fn name(&self) -> &'static str {
        "timer"
    }

    fn options(&self) -> schemars::Schema {
        schemars::schema_for!(Options)
    }

    fn infer_schema(&self, _: &Node, _: &PlanContext) -> Option<Result<SchemaRef, Diagnostics>> {
        let fields = vec![Field::new("at", TIME, false), Field::new("n", DataType::Int64, false)];
        Some(Ok(Arc::new(Schema::new(fields))))
    }

    fn plan(&self, stream: &StreamSpec, options: &Node, _: &PlanContext) -> Result<SourcePlan, Diagnostics> {
        let read: Options = options.parse()?;
        if read.every < SHORTEST {
            let message = format!("`every` is {}", jarvis_spec::duration::format(read.every));
            return Err(Diagnostic::error("wrong_value", message).at(options.span()).help("choose 1ms or more").into());
        }
        for field in stream.schema.fields() {
            match (field.name().as_str(), field.data_type()) {
                ("at", of) if *of == TIME => {}
                ("n", DataType::Int64) => {}
                (name, _) => {
                    return Err(Diagnostic::error("timer_columns", format!("a timer cannot fill the column `{name}`"))
                        .at(options.span())
                        .help("its columns are `at: timestamp` and `n: int64`")
                        .into());
                }
            }
        }
        Ok(SourcePlan::Live(Box::new(Timer { every: read.every.as_micros() as u64 })))
    }
}

/// Ready to run; `every` in µs.
struct Timer {
    every: u64,
}

impl LiveSource for Timer {
    fn run(self: Box<Self>, feed: Feed) -> BoxFuture<'static, anyhow::Result<()>> {
        Box::pin(async move {
            let mut last = now() / self.every;
            loop {
                tokio::select! {
                    () = feed.closed() => return Ok(()),
                    () = sleep(until((last + 1) * self.every)) => {}
                }
                let n = now() / self.every;
                if n > last && feed.send(Arrival::new(row(&feed.stream, n, self.every)?)).await.is_err() {
                    return Ok(());
                }
                // If the clock was set back, it goes on from there.
                last = n;
            }
        })
    }
}

/// µs since the epoch by the wall clock.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as u64)
}

fn until(micros: u64) -> Duration {
    Duration::from_micros(micros.saturating_sub(now())).min(LONGEST_SLEEP)
}

fn row(stream: &StreamSpec, n: u64, every: u64) -> anyhow::Result<Decoded> {
    let columns = stream.schema.fields().iter().map(|field| -> ArrayRef {
        match field.name().as_str() {
            "at" => Arc::new(TimestampMicrosecondArray::from(vec![(n * every) as i64])),
            _ => Arc::new(Int64Array::from(vec![n as i64])),
        }
    });
    let options = RecordBatchOptions::new().with_row_count(Some(1));
    let rows = RecordBatch::try_new_with_options(stream.schema.clone(), columns.collect(), &options)?;
    Ok(Decoded { rows, weights: None, errors: Vec::new(), bytes: 0 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::*;
    use arrow::array::AsArray;
    use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
    use std::path::Path;

    #[tokio::test]
    async fn rows_come_at_multiples_of_the_interval() {
        let stream = stream(&[("n", "int64"), ("at", "timestamp")], &[]);
        let before = now();
        let mut running = start(&TimerSource, &stream, "{ every: 20ms }", Path::new("/"));
        let mut last = 0;
        for _ in 0..3 {
            let rows = running.next().await.rows;
            let n = rows.column(0).as_primitive::<Int64Type>().value(0);
            let at = rows.column(1).as_primitive::<TimestampMicrosecondType>().value(0);
            assert_eq!(at, n * 20_000);
            assert!(n > last && at as u64 >= before && at as u64 <= now());
            last = n;
        }
        running.stop().await;
    }

    #[test]
    fn other_columns_and_intervals_are_refused() {
        let refused = |columns: &[(&str, &str)], yaml: &str| {
            plan(&TimerSource, &stream(columns, &[]), yaml, Path::new("/")).err().expect(yaml).code
        };
        assert_eq!(refused(&[("at", "utf8")], "{ every: 1s }"), "timer_columns");
        assert_eq!(refused(&[("when", "timestamp")], "{ every: 1s }"), "timer_columns");
        assert_eq!(refused(&[("at", "timestamp")], "{ every: 10us }"), "wrong_value");
        assert_eq!(refused(&[("at", "timestamp")], "{ every: ten }"), "wrong_value");
        assert_eq!(refused(&[("at", "timestamp")], "{}"), "missing_key");
    }
}
