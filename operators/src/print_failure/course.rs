//! One printer's course: its prints one after the other, each with a watch of its own.

use super::reason_fields;
use super::reasons::{Level, Verdict};
use super::rule::{Event as Told, Watch};
use super::settings::Settings;
use super::streams::{Roles, Said, Understood};
use super::telemetry::Phase;
use arrow::array::{
    ArrayRef, BooleanArray, Float64Array, Int32Array, ListArray, RecordBatch, StringArray, StructArray,
    TimestampMicrosecondArray,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, SchemaRef};
use arrow::error::ArrowError;
use jarvis_plan::{Event, State};
use std::sync::Arc;

/// After so long without an event a printer is forgotten, µs.
const FORGOTTEN: u64 = 3_600_000_000;

/// What is known of one printer.
pub(super) struct Course {
    /// `None`: events that say no printer; nothing comes of them.
    printer: Option<String>,
    settings: Settings,
    /// What is looked back at, µs.
    longest: u64,
    roles: Roles,
    schema: SchemaRef,
    /// The print that the watch is over.
    job: Option<String>,
    watch: Watch,
    phase: Phase,
    now: u64,
    last_event: u64,
}

impl Course {
    pub fn new(printer: Option<String>, settings: Settings, longest: u64, roles: Roles, schema: SchemaRef) -> Self {
        let watch = Watch::new(settings);
        Course {
            printer,
            settings,
            longest,
            roles,
            schema,
            job: None,
            watch,
            phase: Phase::Unknown,
            now: 0,
            last_event: 0,
        }
    }

    /// Another print of the same printer is watched anew.
    fn hear(&mut self, at: u64, said: Said) {
        let is_another = match (&self.job, &said.job) {
            (Some(before), Some(now)) => before != now,
            _ => false,
        };
        if is_another {
            self.watch = Watch::new(self.settings);
        }
        if said.job.is_some() {
            self.job = said.job;
        }
        self.phase = said.telemetry.phase;
        self.watch.feed(at, &Told::Telemetry(said.telemetry));
    }

    /// When nothing is known of it any more, if it stays silent, µs. A print under way is not over because nobody heard of
    /// it: what was accepted of it still is.
    fn forgotten(&self) -> u64 {
        let is_under_way = matches!(self.phase, Phase::Preparing | Phase::Printing | Phase::Paused);
        self.last_event.saturating_add(if is_under_way { self.longest } else { FORGOTTEN })
    }

    fn verdict(&self) -> Verdict {
        self.watch.verdict(self.now)
    }
}

impl State for Course {
    fn take(&mut self, event: &Event<'_>) -> Result<(), String> {
        let role = self.roles.0.get(event.stream).ok_or("an event of no stream")?;
        let understood = role.understand(event)?;
        self.last_event = event.time;
        self.now = self.now.max(event.time);
        match understood {
            Understood::Nothing => {}
            Understood::Event(told) => {
                if let Told::Tune(sensitivity) = told {
                    self.settings.sensitivity = sensitivity;
                }
                self.watch.feed(event.time, &told);
            }
            Understood::Printer(said) => self.hear(event.time, said),
        }
        Ok(())
    }

    fn advance(&mut self, now: u64) {
        self.now = self.now.max(now);
    }

    fn wake(&self) -> Option<u64> {
        let forgotten = self.forgotten();
        Some(self.watch.wake_after(self.now).map_or(forgotten, |wake| wake.min(forgotten)))
    }

    fn is_over(&self) -> bool {
        self.printer.is_none() || self.now >= self.forgotten()
    }

    fn rows(&self) -> Result<RecordBatch, ArrowError> {
        let verdict = self.verdict();
        if verdict.level == Level::Watching {
            return Ok(RecordBatch::new_empty(self.schema.clone()));
        }
        let text = |text: Option<&str>| -> ArrayRef { Arc::new(StringArray::from(vec![text])) };
        let columns: Vec<ArrayRef> = vec![
            text(self.printer.as_deref()),
            text(self.job.as_deref()),
            text(Some(verdict.level.name())),
            Arc::new(Float64Array::from(vec![rounded(verdict.confidence)])),
            Arc::new(TimestampMicrosecondArray::from(vec![verdict.since as i64])),
            Arc::new(Int32Array::from(vec![i32::try_from(verdict.episode).unwrap_or(i32::MAX)])),
            Arc::new(BooleanArray::from(vec![verdict.pause])),
            Arc::new(BooleanArray::from(vec![verdict.muted])),
            text(Some(&message(&verdict))),
            reasons(&verdict)?,
            frames(&verdict)?,
        ];
        RecordBatch::try_new(self.schema.clone(), columns)
    }
}

/// Two digits say enough, and change less often.
fn rounded(confidence: f64) -> f64 {
    (confidence * 100.0).round() / 100.0
}

/// In one line, for people.
fn message(verdict: &Verdict) -> String {
    let reasons = verdict.reasons.iter().map(|reason| format!("{}: {}", reason.what, reason.detail));
    reasons.collect::<Vec<_>>().join("; ")
}

/// A list of one row.
fn list(values: ArrayRef) -> Result<ArrayRef, ArrowError> {
    let field = Arc::new(Field::new_list_field(values.data_type().clone(), true));
    Ok(Arc::new(ListArray::try_new(field, OffsetBuffer::from_lengths([values.len()]), values, None)?))
}

fn reasons(verdict: &Verdict) -> Result<ArrayRef, ArrowError> {
    let all = &verdict.reasons;
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values(all.iter().map(|reason| reason.what.name()))),
        Arc::new(Float64Array::from_iter_values(all.iter().map(|reason| rounded(reason.weight)))),
        Arc::new(TimestampMicrosecondArray::from_iter_values(all.iter().map(|reason| reason.since as i64))),
        Arc::new(StringArray::from_iter_values(all.iter().map(|reason| &reason.detail))),
    ];
    let DataType::Struct(fields) = DataType::Struct(reason_fields().into()) else {
        return Err(ArrowError::SchemaError("a struct is none".into()));
    };
    list(Arc::new(StructArray::try_new_with_length(fields, columns, None, all.len())?))
}

fn frames(verdict: &Verdict) -> Result<ArrayRef, ArrowError> {
    list(Arc::new(StringArray::from_iter_values(verdict.frames.iter().filter(|frame| !frame.is_empty()))))
}
