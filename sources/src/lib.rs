//! Where rows come from: one file per kind of source, and the decoders that they share.
//!
//! A kind reads its options and plans a source; the source is then either bounded (read in chunks by the workers) or
//! live (a task that feeds arrivals until the graph stops). None of them knows the graph.

mod broker;
mod camera;
mod checkpoints;
pub mod decode;
mod difference;
mod file;
mod generate;
mod mqtt;
mod printers;
mod table;
mod timer;
mod watched;

pub use broker::{BrokerError, EmbeddedBroker, start_embedded_broker};
pub use camera::CameraSource;
pub use checkpoints::CheckpointsSource;
pub use file::FileSource;
pub use generate::GenerateSource;
pub use mqtt::MqttSource;
pub use printers::PrinterSource;
pub use table::TableSource;
pub use timer::TimerSource;

use jarvis_printers::roster::Protocol;
use jarvis_runtime::kinds::SourceKind;

/// All kinds of this crate.
pub fn kinds() -> Vec<Box<dyn SourceKind>> {
    let mut kinds: Vec<Box<dyn SourceKind>> = vec![
        Box::new(CameraSource),
        Box::new(CheckpointsSource),
        Box::new(FileSource),
        Box::new(GenerateSource),
        Box::new(MqttSource),
        Box::new(TableSource),
        Box::new(TimerSource),
    ];
    kinds.extend(Protocol::ALL.map(|protocol| Box::new(PrinterSource(protocol)) as Box<dyn SourceKind>));
    kinds
}

#[cfg(test)]
mod testing;
