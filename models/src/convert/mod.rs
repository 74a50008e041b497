//! Making ONNX files of weights that come in other forms, without their frameworks.

mod efficientnet;
pub(crate) mod onnx;
mod tflite;
pub(crate) mod torch;

use anyhow::Context;
use serde::Deserialize;

/// How a file of an origin becomes a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Conversion {
    /// It is one.
    None,
    /// Weights of PyTorch's EfficientNet-lite0 to its features, with batch normalisation folded into the convolutions.
    EfficientnetLite0,
    /// A network of TensorFlow Lite, operator by operator.
    Tflite,
}

impl Conversion {
    /// The model's file.
    ///
    /// # Errors
    /// The bytes are not what the conversion takes.
    pub fn apply(self, bytes: Vec<u8>) -> anyhow::Result<Vec<u8>> {
        match self {
            Conversion::None => Ok(bytes),
            Conversion::EfficientnetLite0 => {
                let weights = torch::read(&bytes).context("the weights cannot be read")?;
                efficientnet::lite0(&weights)
            }
            Conversion::Tflite => tflite::to_onnx(&bytes),
        }
    }
}
