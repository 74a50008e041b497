//! Running ticks of the past again, at their own times.

use crate::cluster::{Cluster, Rows};
use crate::echoes::Echoes;
use crate::live::errors::{ErrorRow, SystemErrors};
use crate::project::PlannedSource;
use anyhow::anyhow;
use arrow::array::{AsArray, new_null_array};
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use jarvis_dataflow::{Closed, Delta, StepError};
use jarvis_log::Tick;
use jarvis_plan::Graph;
use jarvis_plan::compile::ERRORS;
use jarvis_spec::OnError;
use std::collections::HashMap;

/// Where the rows of a stream enter.
pub struct Entrance {
    input: usize,
    schema: SchemaRef,
}

/// The entrances of all streams that have a source.
pub fn entrances(graph: &Graph, sources: &[PlannedSource]) -> HashMap<String, Entrance> {
    let entrance = |s: &PlannedSource| {
        let input = graph.inputs.iter().position(|i| i.name == s.spec.name)?;
        Some((s.spec.name.clone(), Entrance { input, schema: s.spec.schema.clone() }))
    };
    sources.iter().filter_map(entrance).collect()
}

/// A graph that runs ticks of the past.
pub struct Again<'a> {
    pub cluster: &'a mut Cluster,
    pub errors: &'a mut SystemErrors,
    pub echoes: &'a Echoes,
    /// The last tick that was run.
    pub last: &'a mut u64,
    /// When the clock must next strike, µs.
    pub wake: &'a mut u64,
}

impl Again<'_> {
    /// Runs a tick; `seen` is told of the rows that enter.
    ///
    /// # Errors
    /// A worker has failed, or a stream has columns that do not fit those it had.
    pub fn run(
        &mut self,
        tick: &Tick,
        entrances: &HashMap<String, Entrance>,
        mut seen: impl FnMut(&str, &Rows),
    ) -> anyhow::Result<Vec<Closed>> {
        let mut outputs = vec![];
        if tick.previous > *self.last {
            // Nothing is left of the ticks in between, but windows that were over by then take no more rows.
            let result = self.cluster.tick(tick.previous, vec![])?;
            self.take_failed(result.errors);
            outputs = result.outputs;
        }
        let mut rows: Vec<Vec<Rows>> = vec![vec![]; self.cluster.workers()];
        for logged in &tick.batches {
            if logged.stream == ERRORS {
                error_rows(&logged.rows).for_each(|row| self.errors.of_source(row, tick.time));
                continue;
            }
            // Nothing reads what no pipeline has any more.
            let Some(entrance) = entrances.get(&logged.stream) else { continue };
            let conformed = fitting(&logged.rows, &entrance.schema, &logged.stream)?;
            let delta = Delta::new(conformed, vec![tick.time; logged.diffs.len()], logged.diffs.clone());
            let entering = Rows { input: entrance.input, delta, place: logged.place };
            seen(&logged.stream, &entering);
            let worker = entrance.input % rows.len();
            rows[worker].push(entering);
        }
        if let Some(delta) = self.errors.changes(tick.time) {
            rows[0].push(Rows { input: 0, delta, place: 0 });
        }
        let result = self.cluster.tick(tick.time, rows)?;
        *self.last = tick.time;
        *self.wake = result.next_wake;
        self.take_failed(result.errors);
        outputs.extend(result.outputs);
        Ok(outputs)
    }

    /// After what counted has entered a graph anew: what failed is told, and the clock is put to `at`.
    ///
    /// # Errors
    /// A worker has failed.
    pub fn end_refill(&mut self, at: u64) -> anyhow::Result<Vec<Closed>> {
        let failed = self.errors.changes(at).map(|delta| Rows { input: 0, delta, place: 0 });
        let result = self.cluster.tick(at, vec![failed.into_iter().collect()])?;
        *self.last = at;
        *self.wake = result.next_wake;
        self.take_failed(result.errors);
        Ok(result.outputs)
    }

    /// A step with `on_error: fail` has ended the run then; the row would end every run from now on.
    fn take_failed(&mut self, mut failed: Vec<StepError>) {
        failed.sort_by_key(|e| e.diff < 0);
        for error in failed {
            if error.on_error != OnError::Drop && !self.echoes.holds(&error) {
                self.errors.of_step(error);
            }
        }
    }
}

/// Rows of `system.errors`.
fn error_rows(rows: &RecordBatch) -> impl Iterator<Item = ErrorRow> + '_ {
    let text = |column: usize, row: usize| {
        rows.column(column).as_string_opt::<i32>().map_or_else(String::new, |texts| texts.value(row).to_owned())
    };
    (0..rows.num_rows()).map(move |row| std::array::from_fn(|column| text(column, row)))
}

/// Rows of a stream out of the log, as it is declared now.
///
/// # Errors
/// They have columns that do not fit.
pub fn fitting(rows: &RecordBatch, schema: &SchemaRef, stream: &str) -> anyhow::Result<RecordBatch> {
    conform(rows, schema).map_err(|why| {
        anyhow!("the log has other columns for {stream}: {why}; rename the stream, or use another data folder")
    })
}

/// Rows of a stream as it is declared now: columns may have been added that can be null, or taken away.
///
/// # Errors
/// A column has another type, or may not be null; which.
pub fn conform(rows: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, String> {
    if rows.schema() == *schema {
        return Ok(rows.clone());
    }
    let column = |field: &arrow::datatypes::FieldRef| match rows.schema().index_of(field.name()) {
        Ok(index) if rows.column(index).data_type() == field.data_type() => Ok(rows.column(index).clone()),
        Ok(index) => {
            let (old, new) = (rows.column(index).data_type(), field.data_type());
            Err(format!("{} was {old}, and is {new}", field.name()))
        }
        Err(_) if field.is_nullable() => Ok(new_null_array(field.data_type(), rows.num_rows())),
        Err(_) => Err(format!("{} was not there, and may not be null", field.name())),
    };
    let columns = schema.fields().iter().map(column).collect::<Result<Vec<_>, _>>()?;
    RecordBatch::try_new(schema.clone(), columns).map_err(|e| e.to_string())
}
