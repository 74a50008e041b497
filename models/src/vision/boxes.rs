//! Detectors of boxes, in models that users bring.
//!
//! Where the weights of a good detector cannot be shipped, a user has them: Obico's for failed prints, one that was
//! trained on their own pictures, one for persons. Such models differ in little but how their numbers are laid out, so
//! a [`Detection`] describes that, and what it leaves out is taken from the model's file. A description that does not
//! fit is found out when the detector is opened: the model is tried on a blank picture, and what it tells must have the
//! shapes that the layout expects. Whether it finds anything, only pictures show.
//!
//! A picture passes through these, each a file of its own: it is placed and laid out (`feed`, `placement`), the model
//! runs, its outputs are found (`reading`) and become candidates (`decode`), of those that show the same thing the best
//! stays (`overlap`), and what stays is told in shares of the picture as it came.

mod decode;
mod description;
mod failure;
mod feed;
mod layout;
mod names;
mod overlap;
mod placement;
mod reading;
#[cfg(test)]
mod tests;

use crate::runtime::{Model, Options, Tensor};
use anyhow::{Context, anyhow};
pub use description::{Activation, Axes, Colour, Detection, Fit, Input, One, Order, Output, Ssd, Two, Unit};
pub use failure::failure_score;
use feed::Feed;
use image::RgbImage;
use layout::Layout;
use overlap::{Candidate, suppress};
use placement::Placement;
use reading::{Reading, Told};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::Path;

/// A thing in a picture; lengths are shares of the picture's width and height.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Detected {
    pub class: String,
    /// 0 to 1.
    pub score: f64,
    pub left: f64,
    pub top: f64,
    pub width: f64,
    pub height: f64,
}

/// A model that finds things in pictures.
pub struct Detector {
    model: Model,
    feed: Feed,
    layout: Layout,
    reading: Reading,
    classes: Vec<String>,
    threshold: f64,
    overlap: f64,
    most: usize,
}

impl Detector {
    /// Opens a described model and tries it. `library` is ONNX Runtime, as [`crate::runtime::library`] finds it.
    ///
    /// # Errors
    /// The description says what cannot be; the model cannot be opened or run; or it is not what the description says.
    pub fn open(description: &Detection, library: &Path, options: Options) -> anyhow::Result<Self> {
        description.check()?;
        let model = Model::open_file(&description.model, library, options)?;
        Detector::of(model, description).with_context(|| format!("the model {}", description.model.display()))
    }

    fn of(model: Model, description: &Detection) -> anyhow::Result<Self> {
        let mut feed = Feed::new(description, &model)?;
        let tensors = run(&model, &feed, &feed.blank())
            .map(|(_, tensors)| tensors)
            .with_context(|| format!("it was tried on a blank picture of {} × {} pixels", feed.width, feed.height))?;
        let told = Told { declared: model.outputs(), tensors: &tensors };
        let mut classes = description.classes.clone();
        if classes.is_empty() {
            classes = model.note("names").and_then(names::noted).unwrap_or_default();
        }
        let input = (feed.width, feed.height);
        let like = Layout::recognised(&told.shapes(), input, Some(classes.len()).filter(|classes| *classes > 0))
            .or_else(|| Layout::recognised(&told.shapes(), input, None));
        let output = match (&description.output, like) {
            (Some(output), _) => output.clone(),
            (None, Some(like)) => like.bare().with_context(|| {
                format!(
                    "it looks like {like} ({}): say so with `output.layout`, and in what `order` boxes are",
                    told.all()
                )
            })?,
            (None, None) => {
                return Err(anyhow!(
                    "its outputs ({}) could be of several layouts, or of none: say which with `output.layout`",
                    told.all()
                ));
            }
        };
        let layout = Layout::of(&output);
        let threshold = description.threshold.unwrap_or(if layout == Layout::Obico { 0.08 } else { 0.25 });
        let read = || {
            let reading = Reading::new(&output, &told, classes.len())?;
            reading.candidates(&told, input, threshold)?;
            Ok(reading)
        };
        let reading = read().map_err(|error: anyhow::Error| match like {
            Some(like) if like != layout => anyhow!("{error:#}: it looks like {like}"),
            _ => error,
        })?;
        feed.fit = description.input.fit.unwrap_or(match layout {
            Layout::Obico | Layout::Ssd => Fit::Stretch,
            Layout::Yolov8 | Layout::Yolov5 | Layout::Plain => Fit::Letterbox,
        });
        if layout == Layout::Obico && classes.is_empty() && told.shapes().iter().any(|shape| matches!(shape, [1, _, 1]))
        {
            classes = vec!["failure".to_owned()];
        }
        let (overlap, most) = (description.overlap, description.most);
        Ok(Detector { model, feed, layout, reading, classes, threshold, overlap, most })
    }

    /// The layout that is read, as descriptions call it.
    pub fn layout(&self) -> String {
        self.layout.to_string()
    }

    /// The names of the classes; none if nobody has said any.
    pub fn classes(&self) -> &[String] {
        &self.classes
    }

    /// What is in a picture, by falling score. Waits while all sessions are busy.
    ///
    /// # Errors
    /// The picture has no pixels, the model fails, or it tells what the description does not expect.
    pub fn detect(&self, picture: &RgbImage) -> anyhow::Result<Vec<Detected>> {
        let (placement, tensors) = run(&self.model, &self.feed, picture)?;
        let told = Told { declared: self.model.outputs(), tensors: &tensors };
        let input = (self.feed.width, self.feed.height);
        let candidates = self.reading.candidates(&told, input, self.threshold);
        let candidates = candidates.with_context(|| format!("the model {}", self.model.name()))?;
        // Plain models have dropped what overlaps.
        let overlap = if self.layout == Layout::Plain { f64::INFINITY } else { self.overlap };
        let best = suppress(candidates, overlap, self.most);
        Ok(best.into_iter().filter_map(|found| self.detected(found, placement)).collect())
    }

    /// `None`: it lies in the margin.
    fn detected(&self, found: Candidate, placement: Placement) -> Option<Detected> {
        let [left, top, right, bottom] = placement.to_picture(found.corners)?;
        let class = self.classes.get(found.class).cloned().unwrap_or_else(|| found.class.to_string());
        Some(Detected { class, score: found.score, left, top, width: right - left, height: bottom - top })
    }
}

fn run(model: &Model, feed: &Feed, picture: &RgbImage) -> anyhow::Result<(Placement, BTreeMap<String, Tensor>)> {
    let (placement, numbers) = feed.prepare(picture)?;
    let tensors = model.run_on(&feed.name, numbers.given(&feed.shape()))?;
    Ok((placement, tensors))
}
