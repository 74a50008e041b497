//! Detectors of boxes, in models that users bring and in those of the catalog.
//!
//! Where the weights of a good detector cannot be shipped, a user has them: Obico's for failed prints, one that was
//! trained on their own pictures, one for persons. Such models differ in little but how their numbers are laid out, so
//! a [`Detection`] describes that, and what it leaves out is taken from the model's file. A description that does not
//! fit is found out when the detector is opened: the model is tried on a blank picture, and what it tells must have the
//! shapes that the layout expects. Whether it finds anything, only pictures show.
//!
//! A picture passes through these, each a file of its own: it is placed and laid out (`feed`, `placement`), the model
//! runs, its outputs are found (`reading`) and become candidates (`decode`), of those that show the same thing the best
//! stays (`overlap`), and what stays is told in shares of the picture as it came. Several pictures go through a model
//! together where it takes them so (`several`).

mod decode;
mod description;
mod failure;
mod feed;
mod grids;
mod layout;
mod names;
mod overlap;
mod placement;
mod reading;
mod several;
#[cfg(test)]
mod tests;

use crate::runtime::{Model, Options};
use crate::{Catalog, Store};
use anyhow::{Context, anyhow, bail};
pub use description::{Activation, Axes, Colour, Detection, Fit, Input, One, Order, Output, Ssd, Two, Unit};
pub use failure::failure_score;
use feed::Feed;
pub use grids::Grids;
use image::RgbImage;
use layout::Layout;
use overlap::{Candidate, suppress};
use placement::Placement;
use reading::{Reading, Told};
use serde::Serialize;
use several::Tensors;
use std::path::Path;
use std::slice;

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
    /// Of the model's classes, by their place; none if nobody has said any.
    names: Vec<String>,
    /// Those that are looked for.
    classes: Vec<String>,
    threshold: f64,
    overlap: f64,
    most: usize,
    /// Pictures that go through the model at once.
    at_once: usize,
}

impl Detector {
    /// Opens a detector of the catalog, as described there, and tries it.
    ///
    /// # Errors
    /// There is none of that name, or it is no detector; it or ONNX Runtime is not in the store, or altered.
    pub fn open_catalog(name: &str, catalog: &Catalog, store: &Store, options: Options) -> anyhow::Result<Self> {
        let description = catalog.get(name)?.detection.as_ref().with_context(|| {
            let detectors = catalog.models.iter().filter(|(_, entry)| entry.detection.is_some());
            let names: Vec<&str> = detectors.map(|(name, _)| name.as_str()).collect();
            format!("the model {name} finds no boxes; those that do are {}", names.join(", "))
        })?;
        description.check()?;
        let model = Model::open(catalog, store, name, options)?;
        Detector::of(model, description).with_context(|| format!("the model {name}"))
    }

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
        let blank = feed.blank();
        let tensors = run(&model, &feed, slice::from_ref(&blank))
            .map(|(_, tensors)| tensors)
            .with_context(|| format!("it was tried on a blank picture of {} × {} pixels", feed.width, feed.height))?;
        let told = Told { declared: model.outputs(), tensors: &tensors };
        let mut names = description.classes.clone();
        if names.is_empty() {
            names = model.note("names").and_then(names::noted).unwrap_or_default();
        }
        let only = places(&description.only, &names)?;
        let input = (feed.width, feed.height);
        let like = Layout::recognised(&told.shapes(), input, Some(names.len()).filter(|names| *names > 0))
            .or_else(|| Layout::recognised(&told.shapes(), input, None));
        let output = match &description.output {
            Some(output) => output.clone(),
            None => recognised(like, &told)?,
        };
        let layout = Layout::of(&output);
        let threshold = description.threshold.unwrap_or(if layout == Layout::Obico { 0.08 } else { 0.25 });
        let read = || -> anyhow::Result<Reading> {
            let reading = Reading::new(&output, &told, names.len(), only)?;
            reading.candidates(&told, input, threshold)?;
            Ok(reading)
        };
        let reading = read().map_err(|error| match like {
            Some(like) if like != layout => anyhow!("{error:#}: it looks like {like}"),
            _ => error,
        })?;
        feed.fit = description.input.fit.unwrap_or(match layout {
            Layout::Obico | Layout::Ssd => Fit::Stretch,
            Layout::Yolov8 | Layout::Yolov5 | Layout::Plain => Fit::Letterbox,
        });
        if layout == Layout::Obico && names.is_empty() && told.shapes().iter().any(|shape| matches!(shape, [1, _, 1])) {
            names = vec!["failure".to_owned()];
        }
        // A file may say that any number is fine, and have some step that takes one only.
        let takes_two = || {
            let two = run(&model, &feed, &[blank.clone(), blank.clone()]);
            two.is_ok_and(|(_, two)| several::is_each(&reading.outputs(), &tensors, &two))
        };
        let at_once = if feed.is_open && takes_two() { several::AT_ONCE } else { 1 };
        let classes = if description.only.is_empty() { names.clone() } else { description.only.clone() };
        let (overlap, most) = (description.overlap, description.most);
        Ok(Detector { model, feed, layout, reading, names, classes, threshold, overlap, most, at_once })
    }

    /// The layout that is read, as descriptions call it.
    pub fn layout(&self) -> String {
        self.layout.to_string()
    }

    /// The names of the classes that are looked for; none if nobody has said any.
    pub fn classes(&self) -> &[String] {
        &self.classes
    }

    /// Whether several pictures go through the model together.
    pub fn takes_several(&self) -> bool {
        self.at_once > 1
    }

    /// What is in a picture, by falling score. Waits while all sessions are busy.
    ///
    /// # Errors
    /// The picture has no pixels, the model fails, or it tells what the description does not expect.
    pub fn detect(&self, picture: &RgbImage) -> anyhow::Result<Vec<Detected>> {
        self.detect_together(slice::from_ref(picture))?.pop().context("there is an answer for each picture")
    }

    /// As [`Detector::detect`] of each picture, in their order. Where the model takes several they go through it together,
    /// up to 8 at once, else one after the other.
    ///
    /// # Errors
    /// As for one; nothing is told of the others then.
    pub fn detect_all(&self, pictures: &[RgbImage]) -> anyhow::Result<Vec<Vec<Detected>>> {
        let mut all = Vec::with_capacity(pictures.len());
        for some in pictures.chunks(self.at_once) {
            all.extend(self.detect_together(some)?);
        }
        Ok(all)
    }

    fn detect_together(&self, pictures: &[RgbImage]) -> anyhow::Result<Vec<Vec<Detected>>> {
        let (placements, tensors) = run(&self.model, &self.feed, pictures)?;
        let each = several::each(&self.reading.outputs(), tensors, pictures.len());
        let each = each.with_context(|| format!("the model {}", self.model.name()))?;
        each.iter().zip(placements).map(|(tensors, placement)| self.found(tensors, placement)).collect()
    }

    /// What is in one picture.
    fn found(&self, tensors: &Tensors, placement: Placement) -> anyhow::Result<Vec<Detected>> {
        let told = Told { declared: self.model.outputs(), tensors };
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
        let class = self.names.get(found.class).cloned().unwrap_or_else(|| found.class.to_string());
        Some(Detected { class, score: found.score, left, top, width: right - left, height: bottom - top })
    }
}

/// The output that a model's shapes look like, where nothing more has to be said.
fn recognised(like: Option<Layout>, told: &Told<'_>) -> anyhow::Result<Output> {
    let Some(like) = like else {
        bail!("its outputs ({}) could be of several layouts, or of none: say which with `output.layout`", told.all())
    };
    like.bare().with_context(|| {
        format!("it looks like {like} ({}): say so with `output.layout`, and in what `order` boxes are", told.all())
    })
}

/// Where among the classes these are.
fn places(names: &[String], classes: &[String]) -> anyhow::Result<Vec<usize>> {
    let place = |name: &String| {
        let place = classes.iter().position(|class| class == name);
        place.with_context(|| match classes {
            [] => format!("`only` has {name}, and no classes are named: say which there are with `classes`"),
            _ => format!("`only` has {name}, and the classes are {}", classes.join(", ")),
        })
    };
    names.iter().map(place).collect()
}

fn run(model: &Model, feed: &Feed, pictures: &[RgbImage]) -> anyhow::Result<(Vec<Placement>, Tensors)> {
    let (placements, numbers) = feed.prepare_all(pictures)?;
    let tensors = model.run_on(&feed.name, numbers.given(&feed.shape(pictures.len())))?;
    Ok((placements, tensors))
}
