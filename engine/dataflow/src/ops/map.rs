//! Stateless steps: keep some rows, compute other columns. Vectorised over batches; a batch with a row that fails is
//! computed again row by row, so that only that row leaves the results.

use super::{DeltaBuilder, Deltas, Shared, StepError};
use crate::columns::canonical;
use crate::delta::Delta;
use arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch};
use arrow::datatypes::SchemaRef;
use datafusion::common::DataFusionError;
use datafusion::common::cast::as_boolean_array;
use jarvis_plan::{Expression, Node};
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::operator::Operator;

/// What a map computes, and whom to blame.
pub struct Map {
    pub filter: Option<Expression>,
    pub project: Option<Vec<Expression>>,
    pub schema: SchemaRef,
    pub owner: String,
    pub on_error: jarvis_spec::OnError,
}

impl Map {
    pub fn new(node: &Node, filter: &Option<Expression>, project: &Option<Vec<Expression>>) -> Self {
        Map {
            filter: filter.clone(),
            project: project.clone(),
            schema: node.schema.clone(),
            owner: node.owner.clone(),
            on_error: node.on_error,
        }
    }
    fn apply(&self, delta: &Delta) -> Result<Delta, DataFusionError> {
        let kept;
        let delta = match &self.filter {
            None => delta,
            Some(filter) => {
                kept = keep(delta, filter)?;
                &kept
            }
        };
        match &self.project {
            None => Ok(delta.clone()),
            Some(expressions) => {
                let columns = evaluate(&delta.rows, expressions)?.into_iter().map(canonical).collect();
                Ok(delta.with_columns(self.schema.clone(), columns)?)
            }
        }
    }
    /// The results of the rows that can be computed; the others are reported.
    pub fn run(&self, delta: &Delta, shared: &Shared) -> Delta {
        match self.apply(delta) {
            Ok(out) => out,
            Err(_) if delta.len() > 1 => self.run_halves(delta, shared),
            Err(error) => {
                report(&self.owner, self.on_error, delta, &error, shared);
                Delta::new(RecordBatch::new_empty(self.schema.clone()), vec![], vec![])
            }
        }
    }
    /// Halving finds k bad rows among n in k·log n evaluations.
    fn run_halves(&self, delta: &Delta, shared: &Shared) -> Delta {
        let half = delta.len() / 2;
        let parts = [self.run(&delta.slice(0, half), shared), self.run(&delta.slice(half, delta.len() - half), shared)];
        Delta::concat(&self.schema, &parts).expect("both halves have the step's schema")
    }
}

/// The columns of `expressions`, each as long as the batch.
pub fn evaluate(rows: &RecordBatch, expressions: &[Expression]) -> Result<Vec<ArrayRef>, DataFusionError> {
    expressions.iter().map(|e| compute(e, rows)).collect()
}

/// One column. A function that panics on some value (an overflow, say) fails on that row, not on the engine.
fn compute(expression: &Expression, rows: &RecordBatch) -> Result<ArrayRef, DataFusionError> {
    let run = std::panic::AssertUnwindSafe(|| expression.evaluate(rows)?.into_array(rows.num_rows()));
    std::panic::catch_unwind(run).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
        Err(DataFusionError::Execution(text.unwrap_or("the function failed on a value").to_string()))
    })
}

fn keep(delta: &Delta, filter: &Expression) -> Result<Delta, DataFusionError> {
    let mask = compute(filter, &delta.rows)?;
    let mask: &BooleanArray = as_boolean_array(&mask)?;
    if mask.null_count() == 0 && mask.true_count() == mask.len() {
        return Ok(delta.clone());
    }
    Ok(delta.filter(mask)?)
}

/// Reports every row of `delta` (usually one) as failed.
pub fn report(owner: &str, on_error: jarvis_spec::OnError, delta: &Delta, error: &DataFusionError, shared: &Shared) {
    let root = error.find_root();
    let (code, message) = match root {
        DataFusionError::ArrowError(e, _) => match &**e {
            arrow::error::ArrowError::DivideByZero => ("divide_by_zero", "a division by zero".to_string()),
            arrow::error::ArrowError::CastError(m) => ("cast", m.clone()),
            arrow::error::ArrowError::ArithmeticOverflow(m) => ("overflow", m.clone()),
            other => ("evaluation", other.to_string()),
        },
        other => ("evaluation", other.strip_backtrace()),
    };
    for i in 0..delta.len() {
        shared.error(StepError {
            step: owner.to_string(),
            code,
            message: message.clone(),
            input: describe(&delta.rows, i),
            time: delta.times[i],
            diff: delta.diffs[i],
            on_error,
        });
    }
}

/// A row as `{a: 1, b: x}`, at most 1 KiB of it.
pub fn describe(rows: &RecordBatch, row: usize) -> String {
    use arrow::util::display::{ArrayFormatter, FormatOptions};
    let options = FormatOptions::default().with_null("null").with_display_error(true);
    let cells: Vec<String> = rows
        .schema()
        .fields()
        .iter()
        .zip(rows.columns())
        // The engine's own columns are nobody's input.
        .filter(|(f, _)| !f.name().starts_with("__"))
        .map(|(f, c)| match ArrayFormatter::try_new(c, &options) {
            Ok(format) => format!("{}: {}", f.name(), format.value(row)),
            Err(e) => format!("{}: {e}", f.name()),
        })
        .collect();
    let mut text = format!("{{{}}}", cells.join(", "));
    if text.len() > 1024 {
        let end = (0..=1021).rev().find(|i| text.is_char_boundary(*i)).unwrap_or(0);
        text.truncate(end);
        text.push('…');
    }
    text
}

/// Renders a map.
pub fn map<'s>(input: Deltas<'s>, name: &str, map: Map, shared: Shared) -> Deltas<'s> {
    input.unary::<DeltaBuilder, _, _, _>(Pipeline, name, move |_, _| {
        move |input, output| {
            input.for_each_stamp(|capability, data| {
                let mut session = output.session(&capability);
                for delta in data.flat_map(|d| d.drain(..)) {
                    let out = map.run(&delta, &shared);
                    if !out.is_empty() {
                        session.give(out);
                    }
                }
            });
        }
    })
}
