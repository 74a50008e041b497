//! TensorFlow Lite's files to ONNX, without TensorFlow: those of convolutional networks of floats.
//!
//! A file is read (`flatbuffer`, `network`) and written again operator by operator (`translation`). What differs:
//!
//! * Pictures lie by pixel there and by colour here. Inputs and all that is convolved are turned once and for all, weights
//!   with them; the file's own order comes back where a network makes tables of its pictures (`RESHAPE`).
//! * There a network takes one picture; here any number `n`.
//! * Weights that are kept as 16-bit floats are written as 32-bit ones, which are what is multiplied with: halves would
//!   make the file half as large, and be widened at each start.
//!
//! The same file always gives the same bytes, so a catalog can name their checksum. An operator that is not known is
//! refused by its name, and so is a file that contradicts itself: a shape that is not what the operators before make of it.

mod flatbuffer;
mod half;
mod network;
mod operators;
mod translation;

#[cfg(test)]
mod tests;

use anyhow::Context;
use network::Network;

/// # Errors
/// The bytes are no TFLite file, damaged, or of a network that is not converted.
pub fn to_onnx(file: &[u8]) -> anyhow::Result<Vec<u8>> {
    let network = Network::read(file).context("it is no TFLite file that can be converted")?;
    translation::translate(&network, file.len())
}
