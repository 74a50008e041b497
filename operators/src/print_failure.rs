//! `print_failure`: whether a print is failing, how sure that is, and why.
//!
//! It follows four kinds of events, told apart by their columns, all by `printer`:
//!
//! | Stream | Its columns |
//! |---|---|
//! | scores of frames | `score`; perhaps `camera`, `frame` |
//! | what printers say | `phase`; perhaps `job`, `progress` (0 to 1), `z`, `layer`, `nozzle`, `nozzle_target`, `bed`, `bed_target`, `filament`, `error`, `elapsed_s` |
//! | how cameras fare | `camera`, `state` (`live`, `frozen`, `black`, `dark`, `gone`) |
//! | what people say | `order` (`acknowledge`, `mute`, `unmute`, `low`, `normal`, `high`); perhaps `minutes` |
//!
//! Its table has a row for each print about which there is something to say. The rule itself is in [`rule`].

mod baseline;
pub(crate) mod cameras;
mod course;
mod cusum;
pub(crate) mod evidence;
mod heater;
mod reasons;
pub(crate) mod rule;
pub(crate) mod settings;
#[cfg(test)]
pub(crate) mod simulated;
mod stall;
pub(crate) mod streams;
pub(crate) mod telemetry;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use course::Course;
use jarvis_plan::{Event, Machine, Picked, State};
use jarvis_runtime::kinds::{OperatorKind, OperatorPlan, PlanContext, StreamSpec};
use jarvis_spec::{Diagnostics, Operator, Spanned};
use serde::Deserialize;
use settings::{Sensitivity, Settings};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use streams::{Role, Roles};

/// The kind `print_failure`.
#[derive(Clone, Copy, Debug, Default)]
pub struct PrintFailure;

/// Says which prints are failing, how sure that is, and why.
///
/// The table has the columns `printer`, `job`, `level` (`suspect`, `failing`, `resolved`), `confidence` (0 to 1),
/// `since`, `episode` (which failing of this print it is), `pause` (a pause should be asked for), `muted`, `message` (for
/// people), `reasons` (each with `what`, `weight`, `since`, `detail`) and `frames` (the hashes of those that weigh most).
#[derive(Clone, Debug, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct Options {
    /// How little evidence is enough: `low`, `normal` (unless set), `high`, or a number from 0.25 to 4; 2 asks for half.
    #[serde(default)]
    sensitivity: Option<Spanned<String>>,
    /// The same for single printers, by their names.
    #[serde(default)]
    printers: BTreeMap<String, Spanned<String>>,
    /// For how long nothing is said of what a person has acknowledged, or let go on by resuming the print: 15m unless set.
    #[serde(default = "quiet_for", deserialize_with = "jarvis_spec::duration::deserialize")]
    #[schemars(with = "String")]
    quiet_for: Duration,
    /// The longest print: what came before that is not looked back at after a restart. 2d unless set.
    #[serde(default = "longest", deserialize_with = "jarvis_spec::duration::deserialize")]
    #[schemars(with = "String")]
    longest: Duration,
}

fn quiet_for() -> Duration {
    Duration::from_secs(15 * 60)
}

fn longest() -> Duration {
    Duration::from_secs(2 * 24 * 3600)
}

impl OperatorKind for PrintFailure {
    fn name(&self) -> &'static str {
        "print_failure"
    }

    fn options(&self) -> schemars::Schema {
        schemars::schema_for!(Options)
    }

    fn plan(&self, operator: &Operator, from: &[StreamSpec], _: &PlanContext) -> Result<OperatorPlan, Diagnostics> {
        let options: Options = if operator.options.is_null() {
            Options { sensitivity: None, printers: BTreeMap::new(), quiet_for: quiet_for(), longest: longest() }
        } else {
            operator.options.parse()?
        };
        let mut found = Diagnostics::default();
        let usual = options.sensitivity.as_ref().and_then(|written| found.keep(Sensitivity::written(written)));
        let own = options.printers.iter();
        let own =
            own.filter_map(|(printer, written)| Some((printer.clone(), found.keep(Sensitivity::written(written))?)));
        let own: BTreeMap<String, Sensitivity> = own.collect();
        let roles = from.iter().zip(&operator.from);
        let roles: Vec<(Role, Picked)> =
            roles.filter_map(|(stream, written)| found.keep(Role::of(stream, written))).collect();
        if found.has_errors() {
            return Err(found);
        }
        let (roles, reads) = roles.into_iter().unzip();
        let follows = Follows {
            roles: Roles(roles),
            sensitivity: usual.unwrap_or_default(),
            printers: own,
            quiet_for: options.quiet_for,
            longest: options.longest,
        };
        Ok(OperatorPlan::Machine { machine: Arc::new(follows), reads })
    }
}

/// The machine of all printers.
#[derive(Debug)]
struct Follows {
    roles: Roles,
    sensitivity: Sensitivity,
    printers: BTreeMap<String, Sensitivity>,
    quiet_for: Duration,
    longest: Duration,
}

/// What a time is.
const TIME: DataType = DataType::Timestamp(TimeUnit::Microsecond, None);

/// The members of a reason.
fn reason_fields() -> Vec<Field> {
    vec![
        Field::new("what", DataType::Utf8, true),
        Field::new("weight", DataType::Float64, true),
        Field::new("since", TIME, true),
        Field::new("detail", DataType::Utf8, true),
    ]
}

fn schema() -> SchemaRef {
    let list = |of: DataType| DataType::List(Arc::new(Field::new_list_field(of, true)));
    Arc::new(Schema::new(vec![
        Field::new("printer", DataType::Utf8, true),
        Field::new("job", DataType::Utf8, true),
        Field::new("level", DataType::Utf8, true),
        Field::new("confidence", DataType::Float64, true),
        Field::new("since", TIME, true),
        Field::new("episode", DataType::Int32, true),
        Field::new("pause", DataType::Boolean, true),
        Field::new("muted", DataType::Boolean, true),
        Field::new("message", DataType::Utf8, true),
        Field::new("reasons", list(DataType::Struct(reason_fields().into())), true),
        Field::new("frames", list(DataType::Utf8), true),
    ]))
}

impl Machine for Follows {
    fn schema(&self) -> SchemaRef {
        schema()
    }

    fn start(&self, first: &Event<'_>) -> Box<dyn State> {
        let printer = first.key(0).map(str::to_owned);
        let sensitivity = printer.as_ref().and_then(|printer| self.printers.get(printer)).copied();
        let settings = Settings {
            sensitivity: sensitivity.unwrap_or(self.sensitivity),
            quiet_for: self.quiet_for.as_micros() as u64,
        };
        let longest = self.longest.as_micros() as u64;
        Box::new(Course::new(printer, settings, longest, self.roles.clone(), schema()))
    }

    fn lasts(&self) -> Duration {
        self.longest
    }

    fn rests_on(&self, row: &RecordBatch, stream: usize, events: &RecordBatch) -> Vec<usize> {
        self.roles.rests_on(row, stream, events)
    }
}
