//! A facility that is not there: printers, sensors and doors that behave like real ones and talk like real ones.
//!
//! The physics is pure: a [`World`](world::World) is advanced by some seconds and says what its devices would have
//! published ([`Message`](message::Message)). The same facility, script and seed give the same messages, whatever the
//! machine. Only [`publish`] knows MQTT and only the binary knows the clock.
//!
//! What a camera would see of a print is drawn ([`sight`]), and shown over HTTP as cameras do ([`camera`]).

pub mod broker_url;
pub mod cadence;
pub mod camera;
pub mod door;
pub mod facility;
pub mod heater;
pub mod material;
pub mod message;
pub mod picture;
pub mod print;
pub mod printer;
pub mod publish;
pub mod rng;
pub mod script;
pub mod sensor;
pub mod sight;
pub mod spool;
pub mod world;
