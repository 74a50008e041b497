//! Which stream says what: by its columns.

use super::evidence::Health;
use super::heater::Heat;
use super::rule;
use super::settings::Sensitivity;
use super::telemetry::{Phase, Telemetry};
use crate::seen;
use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Schema};
use jarvis_plan::{Event, Picked};
use jarvis_runtime::kinds::StreamSpec;
use jarvis_spec::{Diagnostic, Spanned};

const PRINTER: &str = "printer";
const MINUTE: f64 = 60_000_000.0;

/// What the streams say, in the order of `from`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Roles(pub Vec<Role>);

impl Roles {
    /// As [`seen::rests_on`], of the stream in this place.
    pub fn rests_on(&self, row: &RecordBatch, stream: usize, events: &RecordBatch) -> Vec<usize> {
        let Some(role) = self.0.get(stream) else { return vec![] };
        seen::rests_on(row, events, role.frame_column(), role.time_column())
    }
}

/// What a stream says, and where its columns stand among those that are read: `None` where it has no such column.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Role {
    says: Says,
    places: Vec<Option<usize>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Says {
    Scores,
    Printers,
    Cameras,
    People,
}

impl Says {
    /// The columns that tell it from the others, then those that it may have besides.
    fn columns(self) -> (&'static [&'static str], &'static [&'static str]) {
        match self {
            Says::Scores => (&["score"], &["camera", "frame"]),
            Says::Printers => (
                &["phase"],
                &[
                    "job",
                    "progress",
                    "z",
                    "layer",
                    "nozzle",
                    "nozzle_target",
                    "bed",
                    "bed_target",
                    "filament",
                    "error",
                    "elapsed_s",
                ],
            ),
            Says::People => (&["order"], &["minutes"]),
            Says::Cameras => (&["camera", "state"], &[]),
        }
    }
}

/// What a telemetry event says beside its measurements.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Said {
    /// Of the job, where there is one.
    pub job: Option<String>,
    pub telemetry: Telemetry,
}

/// An event, understood.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Understood {
    Event(rule::Event),
    Printer(Said),
    /// It says nothing: a score that is null.
    Nothing,
}

impl Role {
    /// # Errors
    /// The stream has no columns that make it one of the four, or they are of other types.
    pub fn of(stream: &StreamSpec, written: &Spanned<String>) -> Result<(Self, Picked), Diagnostic> {
        let has = |name: &&str| stream.schema.column_with_name(name).is_some();
        let says = [Says::Scores, Says::Printers, Says::People, Says::Cameras];
        let says = says.into_iter().find(|says| says.columns().0.iter().all(has));
        let wrong =
            |message: String, help: &str| Diagnostic::error("unknown_column", message).at(&written.span).help(help);
        let Some(says) = says else {
            return Err(wrong(
                format!("{} says nothing of prints", stream.name),
                "scores of frames have a column `score`, what printers say has `phase`, how cameras fare `camera` and `state`, and what people say `order`",
            ));
        };
        let Ok(key) = stream.schema.index_of(PRINTER) else {
            return Err(wrong(
                format!("{} does not say of which printer", stream.name),
                "it needs a column `printer: utf8`",
            ));
        };
        let (own, more) = says.columns();
        let (mut columns, mut places) = (vec![], vec![]);
        for name in own.iter().chain(more) {
            places.push(stream.schema.index_of(name).ok().map(|column| {
                columns.push(column);
                columns.len() - 1
            }));
        }
        // The event time, for those who ask which event was the newest.
        places.push(stream.time.map(|column| {
            columns.push(column);
            columns.len() - 1
        }));
        let names = own.iter().chain(more);
        let named = names.filter_map(|name| Some((*name, stream.schema.index_of(name).ok()?)));
        if let Some((name, found)) =
            named.chain([(PRINTER, key)]).find_map(|(name, column)| misfit(name, column, &stream.schema))
        {
            return Err(wrong(
                format!("the column {name} of {} is {found}", stream.name),
                "texts are utf8, numbers float64 or integers, filament is bool: cast it in a view",
            ));
        }
        Ok((Role { says, places }, Picked { key: vec![key], columns }))
    }

    pub fn tells_scores(&self) -> bool {
        self.says == Says::Scores
    }

    pub fn tells_prints(&self) -> bool {
        self.says == Says::Printers
    }

    /// Of scores, where the frame's hash stands.
    fn frame_column(&self) -> Option<usize> {
        if self.says == Says::Scores { self.places[2] } else { None }
    }

    /// Where the event time stands.
    fn time_column(&self) -> Option<usize> {
        self.places.last().copied().flatten()
    }

    /// # Errors
    /// A word that is none of those that are known.
    pub fn understand(&self, event: &Event<'_>) -> Result<Understood, String> {
        let text = |place: usize| self.places[place].and_then(|column| event.text(column));
        let number = |place: usize| self.places[place].and_then(|column| event.number(column));
        Ok(match self.says {
            Says::Scores => match number(0) {
                None => Understood::Nothing,
                Some(score) => {
                    let (camera, frame) =
                        (text(1).unwrap_or("camera").to_owned(), text(2).unwrap_or_default().to_owned());
                    Understood::Event(rule::Event::Frame { camera, score, frame })
                }
            },
            Says::Cameras => match (text(0), text(1)) {
                (Some(camera), Some(state)) => {
                    Understood::Event(rule::Event::Health { camera: camera.to_owned(), health: Health::parse(state)? })
                }
                _ => Understood::Nothing,
            },
            Says::People => match text(0) {
                None => Understood::Nothing,
                Some(order) => Understood::Event(self::order(order, number(1), event.time)?),
            },
            Says::Printers => {
                let heat = |actual: usize| Heat { actual: number(actual), target: number(actual + 1) };
                let telemetry = Telemetry {
                    phase: phase(text(0).unwrap_or("unknown"))?,
                    progress: number(2),
                    z_mm: number(3),
                    layer: number(4).filter(|layer| *layer >= 0.0).map(|layer| layer as u32),
                    nozzle: heat(5),
                    bed: heat(7),
                    filament: self.places[9].and_then(|column| event.flag(column)),
                    // Of a printer that is out of reach it says why, which is no fault of the print.
                    error: text(10).filter(|_| text(0) != Some("offline")).map(str::to_owned),
                    elapsed_s: number(11),
                };
                Understood::Printer(Said { job: text(1).map(str::to_owned), telemetry })
            }
        })
    }
}

/// A column of a type that nobody expects there, and which.
fn misfit<'n>(name: &'n str, column: usize, schema: &Schema) -> Option<(&'n str, String)> {
    let kind = schema.field(column).data_type();
    let fits = match name {
        "score" | "progress" | "z" | "layer" | "nozzle" | "nozzle_target" | "bed" | "bed_target" | "elapsed_s"
        | "minutes" => {
            matches!(kind, DataType::Float64 | DataType::Float32 | DataType::Int32 | DataType::Int64)
        }
        "filament" => *kind == DataType::Boolean,
        _ => *kind == DataType::Utf8,
    };
    (!fits).then(|| (name, kind.to_string()))
}

/// The phases of all kinds of printers, and of the simulated ones.
fn phase(phase: &str) -> Result<Phase, String> {
    Ok(match phase {
        "idle" => Phase::Idle,
        "preparing" => Phase::Preparing,
        "printing" => Phase::Printing,
        "pausing" | "paused" => Phase::Paused,
        "finishing" | "finished" | "done" => Phase::Finished,
        "cancelling" | "cancelled" => Phase::Cancelled,
        "error" | "failed" => Phase::Failed,
        "offline" | "unknown" => Phase::Unknown,
        other => return Err(format!("{other:?} is no phase of a printer")),
    })
}

fn order(order: &str, minutes: Option<f64>, now: u64) -> Result<rule::Event, String> {
    let until = |minutes: f64| now.saturating_add((minutes.max(0.0) * MINUTE) as u64);
    Ok(match order {
        "acknowledge" => rule::Event::Acknowledge,
        "mute" => rule::Event::Mute { until: minutes.map(until) },
        "unmute" => rule::Event::Unmute,
        other => match Sensitivity::parse(other) {
            Some(sensitivity) => rule::Event::Tune(sensitivity),
            None => {
                let known = "acknowledge, mute, unmute, low, normal, high or a number";
                return Err(format!("{other:?} is no order: {known}"));
            }
        },
    })
}
