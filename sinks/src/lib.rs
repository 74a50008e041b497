//! The kinds of sinks: one file each, listed in [`kinds`].
//!
//! A sink is handed the closed changes of a view and tells the outside about them as `events`, `state` or `changes`
//! (see [`jarvis_runtime::publish`]). `worker` runs those that write files on threads of their own; `payload` is what
//! a publication looks like as JSON and as rows.

mod console;
mod file;
mod frames;
mod lineage;
mod messages;
mod mqtt;
mod payload;
mod recorded;
mod telling;
mod webhook;
mod worker;

use jarvis_runtime::kinds::SinkKind;

pub use console::ConsoleOptions;
pub use file::FileOptions;
pub use frames::FramesOptions;
pub use lineage::{LineageOptions, errors};
pub use mqtt::MqttOptions;
pub use recorded::recorded;
pub use webhook::WebhookOptions;

/// All kinds of this crate.
pub fn kinds() -> Vec<Box<dyn SinkKind>> {
    vec![
        Box::new(console::Console),
        Box::new(file::File),
        Box::new(frames::FramesSink),
        Box::new(mqtt::Mqtt),
        Box::new(lineage::Lineage),
        Box::new(webhook::Webhook),
    ]
}
