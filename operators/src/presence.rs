//! `presence`: which zones are occupied, by what a detector finds in the frames of cameras.
//!
//! It follows two kinds of events, told apart by their columns, both by `camera`:
//!
//! | Stream | Its columns |
//! |---|---|
//! | what was found on frames | `boxes: list(struct(class, score, left, top, width, height))`, in shares of the picture; an empty list has looked and found nothing, null has not looked. Perhaps `frame` (the hash), `at` (when it was taken) |
//! | how cameras fare | `state` (`live`, `frozen`, `black`, `dark`, `gone`) |
//!
//! Its table has a row for each zone of each camera that was heard of. What it says when is in [`view`] and [`zone`], how
//! people are followed in [`tracker`].

mod assignment;
mod boxes;
mod course;
mod motion;
mod options;
mod polygon;
mod settings;
mod streams;
#[cfg(test)]
mod tests;
mod told;
mod tracker;
mod view;
mod zone;
mod zones;

use crate::seen::rests_on;
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use course::Course;
use jarvis_plan::{Event, Machine, Picked, State};
use jarvis_runtime::kinds::{OperatorKind, OperatorPlan, PlanContext, StreamSpec};
use jarvis_runtime::roster::roster;
use jarvis_spec::{Diagnostic, Diagnostics, Operator};
use options::Options;
use settings::Settings;
use std::sync::Arc;
use std::time::Duration;
use streams::{Role, Roles, Says};
use zones::Zones;

/// The kind `presence`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Presence;

impl OperatorKind for Presence {
    fn name(&self) -> &'static str {
        "presence"
    }

    fn options(&self) -> schemars::Schema {
        schemars::schema_for!(Options)
    }

    fn plan(
        &self,
        operator: &Operator,
        from: &[StreamSpec],
        context: &PlanContext,
    ) -> Result<OperatorPlan, Diagnostics> {
        let options: Options = operator.options.parse()?;
        let zones = Zones::read(&roster(&options.zones, context)?)?;
        let mut found = Diagnostics::default();
        let settings = options.settings(&operator.options, &mut found);
        let roles = from.iter().zip(&operator.from);
        let roles: Vec<(Role, Picked)> =
            roles.filter_map(|(stream, written)| found.keep(Role::of(stream, written))).collect();
        if found.has_errors() {
            return Err(found);
        }
        for (says, help) in [
            (Says::Findings, "name what `infer` finds with a detector: a stream with `camera` and `boxes`"),
            (
                Says::Health,
                "name a `camera` source with `tell: health`: a camera that is not known to see proves nothing",
            ),
        ] {
            if roles.iter().all(|(role, _)| role.says != says) {
                let message = match says {
                    Says::Findings => "no stream says what was found on frames",
                    Says::Health => "no stream says how the cameras fare",
                };
                found.push(Diagnostic::error("missing_stream", message).at(&operator.name.span).help(help));
            }
        }
        if found.has_errors() {
            return Err(found);
        }
        let (roles, reads) = roles.into_iter().unzip();
        let machine = Arc::new(Watches { roles: Arc::new(Roles(roles)), zones, settings, schema: told::schema() });
        Ok(OperatorPlan::Machine { machine, reads })
    }
}

/// The machine of all cameras.
#[derive(Debug)]
struct Watches {
    roles: Arc<Roles>,
    zones: Zones,
    settings: Settings,
    schema: SchemaRef,
}

impl Machine for Watches {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn start(&self, first: &Event<'_>) -> Box<dyn State> {
        let camera = first.key(0).unwrap_or_default();
        let zones = self.zones.of(camera);
        let cameras = zones.iter().map(|(zone, _)| i32::try_from(self.zones.cameras(zone)).unwrap_or(i32::MAX));
        let cameras = cameras.collect();
        Box::new(Course::new(camera, zones, cameras, first.time, &self.settings, self.roles.clone(), self.schema()))
    }

    fn lasts(&self) -> Duration {
        Duration::from_micros(self.settings.longest)
    }

    /// The frames that the row names, and the newest word on the camera.
    fn rests_on(&self, row: &RecordBatch, stream: usize, events: &RecordBatch) -> Vec<usize> {
        let Some(role) = self.roles.0.get(stream) else { return vec![] };
        rests_on(row, events, role.frame_column(), role.time_column())
    }
}
