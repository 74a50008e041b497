//! One camera's course: its events on their way into its view, and the rows of its zones.

use super::polygon::Polygon;
use super::settings::Settings;
use super::streams::{Roles, Understood};
use super::told;
use super::view::View;
use super::zone::Zone;
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use jarvis_plan::{Event, State};
use std::sync::Arc;

/// What is known of one camera.
pub(super) struct Course {
    camera: String,
    view: View,
    /// Of each zone, how many cameras see it. Empty if this one sees none: nothing comes of its events.
    cameras: Vec<i32>,
    roles: Arc<Roles>,
    schema: SchemaRef,
    now: u64,
    last_event: u64,
}

impl Course {
    pub fn new(
        camera: &str,
        zones: &[(Arc<str>, Polygon)],
        cameras: Vec<i32>,
        now: u64,
        settings: &Settings,
        roles: Arc<Roles>,
        schema: SchemaRef,
    ) -> Self {
        let zones = zones.iter().map(|(name, polygon)| Zone::new(name.clone(), polygon.clone())).collect();
        let view = View::new(settings.clone(), zones, now);
        Course { camera: camera.to_owned(), view, cameras, roles, schema, now, last_event: now }
    }

    /// When nothing is known of it any more, if it stays silent, µs.
    fn forgotten(&self) -> u64 {
        self.last_event.saturating_add(self.view.settings().longest)
    }
}

impl State for Course {
    fn take(&mut self, event: &Event<'_>) -> Result<(), String> {
        let role = self.roles.0.get(event.stream).ok_or("an event of no stream")?;
        let understood = role.understand(event, &self.view.settings().class)?;
        self.now = self.now.max(event.time);
        self.last_event = self.now;
        match understood {
            Understood::Nothing => {}
            Understood::Frame { taken, frame, findings } => self.view.frame(self.now, taken, &frame, &findings),
            Understood::Health(health) => self.view.health(self.now, health),
        }
        Ok(())
    }

    fn advance(&mut self, now: u64) {
        self.now = self.now.max(now);
        self.view.advance(self.now);
    }

    fn wake(&self) -> Option<u64> {
        let forgotten = self.forgotten();
        Some(self.view.wake().map_or(forgotten, |wake| wake.min(forgotten)))
    }

    fn is_over(&self) -> bool {
        self.cameras.is_empty() || self.now >= self.forgotten()
    }

    fn rows(&self) -> Result<RecordBatch, ArrowError> {
        told::rows(&self.camera, &self.view, &self.cameras, &self.schema)
    }
}
