//! Where rows come from: one file per kind of source, and the decoders that they share.

pub mod decode;
mod difference;
mod file;
mod mqtt;
mod table;
mod watched;

pub use file::FileSource;
pub use mqtt::MqttSource;
pub use table::TableSource;

#[cfg(test)]
mod testing;
