//! `first_layer`: whether the first layer of a print holds.
//!
//! A print whose first layer does not stick is lost, and most lost prints are lost there. [`print_failure`] watches the whole
//! print against its own past, and says nothing of a print that goes well; this operator says, once the layer is down, that it
//! holds, that it does not, or that nobody has seen it. It follows the same streams, told apart by their columns: scores of
//! frames, what printers say, how cameras fare, what people say.
//!
//! The parts: when the layer begins and ends ([`layer`]), what one camera says of it ([`sight`]), and what follows ([`check`]).
//!
//! [`print_failure`]: crate::print_failure

mod check;
mod layer;
mod sight;
#[cfg(test)]
mod tests;

use crate::print_failure::rule::Event as Said;
use crate::print_failure::settings::Sensitivity;
use crate::print_failure::streams::{Role, Roles, Understood};
use crate::print_failure::telemetry::Phase;
use arrow::array::{
    Array, ArrayRef, BooleanArray, Float64Array, ListArray, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use arrow::error::ArrowError;
use check::Check;
use jarvis_plan::{Event, Machine, Picked, State};
use jarvis_runtime::kinds::{OperatorKind, OperatorPlan, PlanContext, StreamSpec};
use jarvis_spec::{Diagnostic, Diagnostics, Operator, Spanned};
use serde::Deserialize;
use std::sync::Arc;
use std::time::Duration;

/// A print whose printer was silent for so long is forgotten, µs.
const FORGOTTEN: u64 = 24 * 3_600_000_000;

/// The kind `first_layer`.
#[derive(Clone, Copy, Debug, Default)]
pub struct FirstLayer;

/// Says whether the first layers of prints hold.
///
/// The table has a row for each printer whose print was heard of from its beginning on: `printer`, `job`, `verdict`
/// (`checking`, `failed`, `holds`, `doubtful`, `unseen`, `accepted`), `since`, `under_way` (the print is being made, or stands
/// still and may go on), `pause` (a pause should be asked for),
/// `confidence` (that it fails, 0 to 1), `message` (for people) and `frames` (the hashes of those that it rests on).
#[derive(Clone, Debug, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct Options {
    /// How little evidence is enough: `low`, `normal` (unless set), `high`, or a number from 0.25 to 4; 2 asks for half.
    #[serde(default)]
    sensitivity: Option<Spanned<String>>,
    /// How long a first layer is taken to last where the printer tells neither layers nor heights: 10m unless set.
    #[serde(default = "untold", deserialize_with = "jarvis_spec::duration::deserialize")]
    #[schemars(with = "String")]
    lasts: Duration,
}

fn untold() -> Duration {
    Duration::from_secs(600)
}

impl OperatorKind for FirstLayer {
    fn name(&self) -> &'static str {
        "first_layer"
    }

    fn options(&self) -> schemars::Schema {
        schemars::schema_for!(Options)
    }

    fn plan(&self, operator: &Operator, from: &[StreamSpec], _: &PlanContext) -> Result<OperatorPlan, Diagnostics> {
        let options: Options = if operator.options.is_null() {
            Options { sensitivity: None, lasts: untold() }
        } else {
            operator.options.parse()?
        };
        let mut found = Diagnostics::default();
        let sensitivity = options.sensitivity.as_ref().and_then(|written| found.keep(Sensitivity::written(written)));
        let roles = from.iter().zip(&operator.from);
        let roles: Vec<(Role, Picked)> =
            roles.filter_map(|(stream, written)| found.keep(Role::of(stream, written))).collect();
        for (needs, what) in
            [(Role::tells_scores as fn(&Role) -> bool, "scores of frames"), (Role::tells_prints, "printers")]
        {
            if !found.has_errors() && !roles.iter().any(|(role, _)| needs(role)) {
                let message = format!("it reads no stream of {what}");
                let help = "name one in `from:`; scores have a column `score`, and what printers say has `phase`";
                found.push(Diagnostic::error("missing_stream", message).at(&operator.name.span).help(help));
            }
        }
        if found.has_errors() {
            return Err(found);
        }
        let (roles, reads) = roles.into_iter().unzip();
        let checks = Checks {
            roles: Roles(roles),
            sensitivity: sensitivity.unwrap_or_default(),
            lasts: options.lasts.as_micros() as u64,
        };
        Ok(OperatorPlan::Machine { machine: Arc::new(checks), reads })
    }
}

/// The machine of all printers.
#[derive(Debug)]
struct Checks {
    roles: Roles,
    sensitivity: Sensitivity,
    /// µs.
    lasts: u64,
}

fn schema() -> SchemaRef {
    let of_texts = DataType::List(Arc::new(Field::new_list_field(DataType::Utf8, true)));
    Arc::new(Schema::new(vec![
        Field::new("printer", DataType::Utf8, true),
        Field::new("job", DataType::Utf8, true),
        Field::new("verdict", DataType::Utf8, true),
        Field::new("since", DataType::Timestamp(TimeUnit::Microsecond, None), true),
        Field::new("under_way", DataType::Boolean, true),
        Field::new("pause", DataType::Boolean, true),
        Field::new("confidence", DataType::Float64, true),
        Field::new("message", DataType::Utf8, true),
        Field::new("frames", of_texts, true),
    ]))
}

impl Machine for Checks {
    fn schema(&self) -> SchemaRef {
        schema()
    }

    fn start(&self, first: &Event<'_>) -> Box<dyn State> {
        Box::new(Prints {
            printer: first.key(0).map(str::to_owned),
            roles: self.roles.clone(),
            sensitivity: self.sensitivity,
            lasts: self.lasts,
            job: None,
            check: Check::new(self.lasts, self.sensitivity.factor()),
            now: 0,
            last_event: 0,
        })
    }

    fn lasts(&self) -> Duration {
        Duration::from_micros(FORGOTTEN)
    }

    fn rests_on(&self, row: &RecordBatch, stream: usize, events: &RecordBatch) -> Vec<usize> {
        self.roles.rests_on(row, stream, events)
    }
}

/// The prints of one printer, one after the other.
struct Prints {
    /// `None`: events that say no printer; nothing comes of them.
    printer: Option<String>,
    roles: Roles,
    sensitivity: Sensitivity,
    lasts: u64,
    job: Option<String>,
    check: Check,
    now: u64,
    last_event: u64,
}

impl Prints {
    /// Another print is checked anew; so is one that a printer which names no jobs begins after another.
    fn begins_anew(&self, job: Option<&str>, phase: Phase, before: Phase) -> bool {
        match (self.job.as_deref(), job) {
            (Some(before), Some(now)) => before != now,
            (None, None) => {
                let was_over = matches!(before, Phase::Idle | Phase::Finished | Phase::Cancelled | Phase::Failed);
                was_over && matches!(phase, Phase::Preparing | Phase::Printing)
            }
            // Its name may come a moment after it.
            (None, Some(_)) => !self.check.is_under_way(),
            (Some(_), None) => false,
        }
    }
}

impl State for Prints {
    fn take(&mut self, event: &Event<'_>) -> Result<(), String> {
        let role = self.roles.0.get(event.stream).ok_or("an event of no stream")?;
        let understood = role.understand(event)?;
        self.last_event = event.time;
        self.now = self.now.max(event.time);
        let at = self.now;
        match understood {
            Understood::Printer(said) => {
                if self.begins_anew(said.job.as_deref(), said.telemetry.phase, self.check.phase()) {
                    self.check = self.check.next(self.lasts, self.sensitivity.factor());
                }
                self.job = said.job.or(self.job.take());
                self.check.hear(at, &said.telemetry);
            }
            Understood::Event(Said::Frame { camera, score, frame }) => self.check.frame(at, &camera, score, &frame),
            Understood::Event(Said::Health { camera, health }) => self.check.turn(at, &camera, health),
            Understood::Event(Said::Acknowledge) => self.check.accept(at),
            Understood::Event(Said::Mute { until }) => self.check.mute(at, until.unwrap_or(u64::MAX)),
            Understood::Event(Said::Unmute) => self.check.mute(at, 0),
            Understood::Event(Said::Tune(sensitivity)) => {
                self.sensitivity = sensitivity;
                self.check.tune(at, sensitivity.factor());
            }
            Understood::Event(Said::Telemetry(_)) | Understood::Nothing => {}
        }
        Ok(())
    }

    fn advance(&mut self, now: u64) {
        self.now = self.now.max(now);
        self.check.advance(self.now);
    }

    fn wake(&self) -> Option<u64> {
        let forgotten = self.last_event.saturating_add(FORGOTTEN);
        Some(self.check.wake().map_or(forgotten, |wake| wake.min(forgotten)))
    }

    fn is_over(&self) -> bool {
        self.printer.is_none() || self.now >= self.last_event.saturating_add(FORGOTTEN)
    }

    fn rows(&self) -> Result<RecordBatch, ArrowError> {
        let Some(told) = self.check.told() else { return Ok(RecordBatch::new_empty(schema())) };
        let text = |text: Option<&str>| -> ArrayRef { Arc::new(StringArray::from(vec![text])) };
        let frames: ArrayRef = Arc::new(StringArray::from_iter_values(&told.frames));
        let of_texts = Arc::new(Field::new_list_field(DataType::Utf8, true));
        let frames = ListArray::try_new(of_texts, OffsetBuffer::from_lengths([frames.len()]), frames, None)?;
        let columns: Vec<ArrayRef> = vec![
            text(self.printer.as_deref()),
            text(self.job.as_deref()),
            text(Some(told.verdict.name())),
            Arc::new(TimestampMicrosecondArray::from(vec![told.since as i64])),
            Arc::new(BooleanArray::from(vec![self.check.is_under_way()])),
            Arc::new(BooleanArray::from(vec![told.pause])),
            Arc::new(Float64Array::from(vec![(told.confidence * 100.0).round() / 100.0])),
            text(Some(&told.message)),
            Arc::new(frames),
        ];
        RecordBatch::try_new(schema(), columns)
    }
}
