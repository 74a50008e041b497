//! What the simulator needs to know of `facility.yaml`: a part of it; other sections and keys are left alone.

use serde::Deserialize;
use std::path::{Path, PathBuf};

/// The devices of a facility.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Facility {
    /// Everything that has a heartbeat.
    #[serde(default)]
    pub devices: Vec<Device>,
    #[serde(default)]
    pub printers: Vec<PrinterModel>,
    #[serde(default)]
    pub doors: Vec<DoorModel>,
    #[serde(default)]
    pub sensors: Vec<SensorModel>,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Device {
    pub id: String,
    /// `printer`, `camera`, `light`, `door`, `power`, `sensor`.
    pub kind: String,
}

#[derive(Clone, Debug, Deserialize)]
pub struct PrinterModel {
    pub id: String,
    /// How many nozzles.
    pub tools: u32,
    /// Rating, °C.
    pub max_nozzle: f64,
    /// Rating, °C.
    pub max_bed: f64,
    /// Diameter, mm: a wider nozzle uses filament faster.
    pub nozzle_mm: f64,
    /// How long a print may stand still, seconds.
    pub stall_after_s: f64,
    /// The level at which it wants a new spool, grams.
    pub low_filament_g: f64,
}

#[derive(Clone, Debug, Deserialize)]
pub struct DoorModel {
    pub id: String,
    /// How long it may stand open, seconds.
    pub allowed_open_s: f64,
}

#[derive(Clone, Debug, Deserialize)]
pub struct SensorModel {
    pub id: String,
    pub quantity: String,
    /// What it usually measures.
    pub typical: f64,
}

/// Why a facility cannot be played.
#[derive(Debug, thiserror::Error)]
pub enum FacilityError {
    #[error("cannot read {}", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("cannot understand {}: {message}", path.display())]
    Parse { path: PathBuf, message: String },
    #[error("the id `{0}` cannot be a level of an MQTT topic: use no `/`, `+` or `#`, and do not leave it empty")]
    Id(String),
}

impl Facility {
    /// Reads `facility.yaml`.
    ///
    /// # Errors
    /// It cannot be read, is no facility, or has ids that cannot stand in a topic.
    pub fn read(path: &Path) -> Result<Self, FacilityError> {
        let text =
            std::fs::read_to_string(path).map_err(|source| FacilityError::Read { path: path.to_owned(), source })?;
        Self::parse(&text).map_err(|error| match error {
            FacilityError::Parse { message, .. } => FacilityError::Parse { path: path.to_owned(), message },
            other => other,
        })
    }

    /// Reads the text of a `facility.yaml`.
    ///
    /// # Errors
    /// As [`Facility::read`].
    pub fn parse(text: &str) -> Result<Self, FacilityError> {
        let facility: Self = serde_saphyr::from_str(text)
            .map_err(|error| FacilityError::Parse { path: PathBuf::new(), message: error.to_string() })?;
        let wrong = facility.ids().find(|id| id.is_empty() || id.contains(['/', '+', '#', '\0'])).map(str::to_owned);
        wrong.map_or(Ok(facility), |id| Err(FacilityError::Id(id)))
    }

    fn ids(&self) -> impl Iterator<Item = &str> {
        let devices = self.devices.iter().map(|d| d.id.as_str());
        let printers = self.printers.iter().map(|p| p.id.as_str());
        let doors = self.doors.iter().map(|d| d.id.as_str());
        let sensors = self.sensors.iter().flat_map(|s| [s.id.as_str(), s.quantity.as_str()]);
        devices.chain(printers).chain(doors).chain(sensors)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_facility_that_ships_can_be_played() {
        let path = Path::new(".").join("../config/facility.yaml");
        let facility = Facility::read(&path).unwrap();
        assert!(facility.printers.len() >= 8);
        for id in facility.printers.iter().map(|p| &p.id).chain(facility.doors.iter().map(|d| &d.id)) {
            assert!(facility.devices.iter().any(|d| d.id == *id), "{id} has no device");
        }
    }

    #[test]
    fn other_sections_are_left_alone_and_missing_ones_are_empty() {
        let facility =
            Facility::parse("zones: [ { id: hall } ]\ndevices: [ { id: cam, kind: camera, zone: hall } ]").unwrap();
        assert_eq!(facility.devices.len(), 1);
        assert!(facility.doors.is_empty());
    }

    #[test]
    fn an_id_that_would_break_its_topic_is_refused() {
        let error = Facility::parse("devices: [ { id: a/b, kind: camera } ]").unwrap_err();
        assert!(matches!(error, FacilityError::Id(id) if id == "a/b"));
    }
}
