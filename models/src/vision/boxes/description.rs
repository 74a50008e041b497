//! What a user says of a detector. All but the model's path may be left out: it is taken from the model.

use super::grids::Grids;
use anyhow::{Context, ensure};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Boxes at most, if nothing else is said.
const MOST: usize = 100;

/// A detector: a model, what it is shown, and how its answer is to be read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Detection {
    /// The ONNX file.
    pub model: PathBuf,
    /// How a picture becomes the model's input.
    #[serde(default)]
    pub input: Input,
    /// How boxes are read from the model's outputs. Left out: the layout is recognised by the outputs' shapes, and
    /// refused where they could mean several.
    #[serde(default)]
    pub output: Option<Output>,
    /// The names of the classes, in the model's order and without a background. Left out: those that the model's file
    /// notes (Ultralytics' exports do), else `failure` for the only class of an `obico` model, else numbers.
    #[serde(default)]
    pub classes: Vec<String>,
    /// The classes that are looked for. A box is of the one that scores highest among these, whatever the others score:
    /// who looks for persons finds the one in a car. Left out: all.
    #[serde(default)]
    pub only: Vec<String>,
    /// Boxes that score lower are dropped, 0 to 1. Left out: 0.25, for `obico` 0.08.
    #[serde(default)]
    pub threshold: Option<f64>,
    /// Of two boxes of a class that overlap by more than this (intersection over union, 0 to 1), the one that scores
    /// lower is dropped. Not asked of `plain` models, which do it themselves.
    #[serde(default = "overlap")]
    pub overlap: f64,
    /// Boxes at most, those that score highest.
    #[serde(default = "most")]
    pub most: usize,
}

fn overlap() -> f64 {
    0.45
}

fn most() -> usize {
    MOST
}

/// How a picture becomes the model's input.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Input {
    /// Its name. Left out: the model's only one.
    pub name: Option<String>,
    /// Pixels. Left out: as the model declares or its file notes, else 640, for `obico` 416.
    pub width: Option<u32>,
    /// Pixels, likewise.
    pub height: Option<u32>,
    /// The order of its dimensions. Left out: by which of them is 3, else `nchw`.
    pub layout: Option<Axes>,
    /// The order of the colours.
    pub colour: Colour,
    /// What is taken off each value of 0 to 255, by colour in the order above. Models that take bytes get them as they
    /// are.
    pub mean: Option<[f32; 3]>,
    /// What is then divided by. Left out: 255, so that values lie in 0 to 1.
    pub std: Option<[f32; 3]>,
    /// How a picture of another shape is made to fit. Left out: `letterbox`, for `obico` and `ssd` models `stretch`.
    pub fit: Option<Fit>,
    /// The colour around a letterboxed picture: red, green, blue.
    pub pad: [u8; 3],
}

impl Default for Input {
    fn default() -> Self {
        Input {
            name: None,
            width: None,
            height: None,
            layout: None,
            colour: Colour::Rgb,
            mean: None,
            std: None,
            fit: None,
            pad: [114; 3],
        }
    }
}

/// The order of an input's dimensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Axes {
    /// Picture, colour, row, column.
    Nchw,
    /// Picture, row, column, colour.
    Nhwc,
}

/// The order of colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Colour {
    Rgb,
    Bgr,
}

/// How a picture of another shape is made to fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fit {
    /// In its own shape, in the middle.
    Letterbox,
    /// In the input's shape.
    Stretch,
}

/// How boxes are read from the model's outputs; `n` are the boxes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "layout", rename_all = "snake_case")]
pub enum Output {
    /// `[1, 4 + classes, n]`: centre, width and height, then a score for each class. Ultralytics' YOLOv8 and later.
    Yolov8(One),
    /// `[1, n, 5 + classes]`: centre, width and height, the score of being anything, then that of each class if so:
    /// YOLOv5 and YOLOv7.
    Yolov5(One),
    /// `[1, n, 1, 4]` and `[1, n, classes]`: corners as shares of the input, and scores. Darknet's models as
    /// pytorch-YOLOv4 exports them; Obico's is one.
    Obico(Two),
    /// `[1, n, 4]` and `[1, n, classes]`: boxes and scores of a single-shot detector.
    Ssd(Ssd),
    /// `[n, 6]` or `[1, n, 6]`: corners, score and class; of overlapping boxes the model keeps the best itself.
    /// YOLOv10, and others that are exported end to end.
    Plain(One),
}

/// Where a layout of one output lies.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct One {
    /// The output's name. Left out: the only one with as many dimensions.
    pub name: Option<String>,
    pub unit: Unit,
}

/// Where a layout of two outputs lies.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Two {
    /// The name of the output with the boxes. Left out: the only one whose last size is 4, or of two the first.
    pub boxes: Option<String>,
    /// The name of the output with the scores. Left out: the other one.
    pub scores: Option<String>,
}

/// What a box's numbers count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Pixels of the input.
    #[default]
    Pixels,
    /// Shares of the input's width and height, 0 to 1.
    Shares,
}

/// A single-shot detector: Liu et al., ECCV 2016.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Ssd {
    /// As in `obico`.
    pub boxes: Option<String>,
    pub scores: Option<String>,
    /// What the four numbers of a box are.
    pub order: Order,
    pub unit: Unit,
    /// Whether the first score is that of the background. Left out: as the number of scores says, and yes if no classes
    /// are named.
    pub background: Option<bool>,
    /// What makes probabilities of the scores.
    pub activation: Activation,
    /// Where boxes are told relative to anchors: a JSON file of these, `[[x, y, width, height], …]`, centres and sizes
    /// as shares of the input, in the model's order.
    pub anchors: Option<PathBuf>,
    /// The same, where the anchors lie on grids as in the paper: instead of a file.
    pub grids: Option<Grids>,
    /// What the numbers of such a box are multiplied by: those of the centre, and those of the size.
    pub variance: [f64; 2],
}

impl Default for Ssd {
    fn default() -> Self {
        Ssd {
            boxes: None,
            scores: None,
            order: Order::Xyxy,
            unit: Unit::Shares,
            background: None,
            activation: Activation::None,
            anchors: None,
            grids: None,
            variance: [0.1, 0.2],
        }
    }
}

/// What the four numbers of a box are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// Left, top, right, bottom.
    Xyxy,
    /// Top, left, bottom, right: TensorFlow's.
    Yxyx,
    /// The centre across and down, width, height.
    Xywh,
    /// The centre down and across, height, width.
    Yxhw,
}

/// What makes probabilities of scores.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// They are.
    None,
    /// Each by itself.
    Sigmoid,
    /// All of a box together.
    Softmax,
}

impl Detection {
    /// A model of which everything else is taken from its file.
    pub fn of(model: impl Into<PathBuf>) -> Self {
        Detection {
            model: model.into(),
            input: Input::default(),
            output: None,
            classes: vec![],
            only: vec![],
            threshold: None,
            overlap: overlap(),
            most: MOST,
        }
    }

    /// # Errors
    /// The text is no such YAML, or says what cannot be.
    pub fn of_yaml(text: &str) -> anyhow::Result<Self> {
        let description: Detection = serde_saphyr::from_str(text).context("it does not describe a detector")?;
        description.check()?;
        Ok(description)
    }

    /// The same, with its paths taken as below a folder where they are relative.
    #[must_use]
    pub fn below(mut self, folder: &Path) -> Self {
        self.model = folder.join(self.model);
        if let Some(Output::Ssd(Ssd { anchors: Some(anchors), .. })) = &mut self.output {
            *anchors = folder.join(&*anchors);
        }
        self
    }

    /// The files that it names: the model, and that of anchors if it names one.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        let anchors = match &self.output {
            Some(Output::Ssd(Ssd { anchors: Some(anchors), .. })) => Some(anchors.as_path()),
            _ => None,
        };
        std::iter::once(self.model.as_path()).chain(anchors)
    }

    /// # Errors
    /// It says what cannot be, whatever the model.
    pub fn check(&self) -> anyhow::Result<()> {
        let share = |name: &str, value: f64| {
            ensure!((0.0..=1.0).contains(&value), "`{name}` is {value}: it lies in 0 to 1");
            Ok(())
        };
        share("overlap", self.overlap)?;
        self.threshold.map_or(Ok(()), |threshold| share("threshold", threshold))?;
        ensure!(self.most > 0, "`most` is 0: a detector that may find nothing needs no model");
        for (name, value) in [("input.width", self.input.width), ("input.height", self.input.height)] {
            let is_size = value.is_none_or(|value| (1..=8192).contains(&value));
            ensure!(is_size, "`{name}` is {}: it lies in 1 to 8192", value.unwrap_or_default());
        }
        let numbers = |numbers: Option<[f32; 3]>| numbers.unwrap_or([1.0; 3]);
        ensure!(numbers(self.input.mean).iter().all(|value| value.is_finite()), "`input.mean` is no number");
        let divides = |value: &f32| value.is_finite() && *value > 0.0;
        ensure!(numbers(self.input.std).iter().all(divides), "`input.std` is to be divided by: it is more than 0");
        if let Some(Output::Ssd(ssd)) = &self.output {
            ensure!(
                ssd.anchors.is_none() || ssd.grids.is_none(),
                "anchors are told by `output.anchors` or `output.grids`, and not by both"
            );
            ensure!(
                (ssd.anchors.is_none() && ssd.grids.is_none()) || matches!(ssd.order, Order::Xywh | Order::Yxhw),
                "boxes relative to `output.anchors` or `output.grids` are told as centres and sizes: `order` is xywh or yxhw"
            );
            ssd.grids.as_ref().map_or(Ok(()), Grids::check)?;
            ensure!(ssd.variance.iter().all(|v| v.is_finite() && *v > 0.0), "`output.variance` is more than 0");
        }
        Ok(())
    }
}
