//! How the boxes of one model are read: which outputs they are in, and what their shapes must be.

use super::decode::{self, Sieve, SingleShot};
use super::description::{One, Output, Ssd, Unit};
use super::layout::Layout;
use super::overlap::Candidate;
use crate::runtime::{Outlet, Tensor};
use anyhow::{Context, bail, ensure};
use std::collections::BTreeMap;
use std::path::Path;

/// What a model has told, beside what its file says that it would.
pub struct Told<'a> {
    pub declared: &'a [Outlet],
    pub tensors: &'a BTreeMap<String, Tensor>,
}

/// The outputs of a model and their meaning.
#[derive(Debug)]
pub struct Reading {
    outputs: Outputs,
    /// How many classes there are, if anything says so.
    classes: Option<usize>,
    /// Those that are looked for; none: all.
    only: Vec<usize>,
}

#[derive(Debug)]
enum Outputs {
    Yolov8(String, Unit),
    Yolov5(String, Unit),
    Plain(String, Unit),
    Obico { boxes: String, scores: String },
    Ssd { boxes: String, scores: String, unit: Unit, form: SingleShot },
}

impl Reading {
    /// Finds the outputs in what a model told at first. `names`: how many classes are named; 0 if nobody knows.
    /// `only`: those that are looked for; none: all.
    ///
    /// # Errors
    /// The model has no such outputs.
    pub fn new(output: &Output, told: &Told<'_>, names: usize, only: Vec<usize>) -> anyhow::Result<Self> {
        let layout = Layout::of(output);
        let classes = (names > 0).then_some(names);
        let one = |one: &One, ranks: &[usize]| told.one(layout, one.name.as_deref(), ranks);
        let outputs = match output {
            Output::Yolov8(place) => Outputs::Yolov8(one(place, &[3])?, place.unit),
            Output::Yolov5(place) => Outputs::Yolov5(one(place, &[3])?, place.unit),
            Output::Plain(place) => Outputs::Plain(one(place, &[2, 3])?, place.unit),
            Output::Obico(two) => {
                let (boxes, scores) = told.two(layout, two.boxes.as_deref(), two.scores.as_deref())?;
                Outputs::Obico { boxes, scores }
            }
            Output::Ssd(ssd) => {
                let (boxes, scores) = told.two(layout, ssd.boxes.as_deref(), ssd.scores.as_deref())?;
                let columns = told.get(&scores)?.shape.last().copied().unwrap_or_default();
                Outputs::Ssd { boxes, scores, unit: ssd.unit, form: form(ssd, columns, classes)? }
            }
        };
        Ok(Reading { outputs, classes, only })
    }

    /// The names of the outputs that are read.
    pub fn outputs(&self) -> Vec<&str> {
        match &self.outputs {
            Outputs::Yolov8(name, _) | Outputs::Yolov5(name, _) | Outputs::Plain(name, _) => vec![name],
            Outputs::Obico { boxes, scores } | Outputs::Ssd { boxes, scores, .. } => vec![boxes, scores],
        }
    }

    /// The boxes that score enough, in pixels of an input of this size.
    ///
    /// # Errors
    /// The outputs have other shapes, or hold what cannot be.
    pub fn candidates(&self, told: &Told<'_>, input: (u32, u32), threshold: f64) -> anyhow::Result<Vec<Candidate>> {
        let scale = |unit: Unit| match unit {
            Unit::Pixels => [1.0, 1.0],
            Unit::Shares => [f64::from(input.0), f64::from(input.1)],
        };
        let sieve = |unit: Unit| Sieve::new(threshold, scale(unit)).only(&self.only);
        let sieve = match &self.outputs {
            Outputs::Yolov8(name, unit) => {
                let (tensor, mut sieve) = (told.get(name)?, sieve(*unit));
                let &[1, rows, count] = &tensor.shape[..] else { return Err(self.unlike(told, name)) };
                ensure!(self.fits(rows, 4, count), self.unlike(told, name));
                decode::yolov8(&tensor.values, count, &mut sieve);
                sieve
            }
            Outputs::Yolov5(name, unit) => {
                let (tensor, mut sieve) = (told.get(name)?, sieve(*unit));
                let &[1, count, columns] = &tensor.shape[..] else { return Err(self.unlike(told, name)) };
                ensure!(self.fits(columns, 5, count), self.unlike(told, name));
                decode::yolov5(&tensor.values, columns, &mut sieve);
                sieve
            }
            Outputs::Plain(name, unit) => {
                let (tensor, mut sieve) = (told.get(name)?, sieve(*unit));
                ensure!(matches!(tensor.shape[..], [_, 6] | [1, _, 6]), self.unlike(told, name));
                decode::plain(&tensor.values, &mut sieve);
                sieve
            }
            Outputs::Obico { boxes, scores } => {
                let mut sieve = sieve(Unit::Shares);
                let (boxes, scores, columns) = self.pair(told, boxes, scores)?;
                ensure!(
                    self.classes.is_none_or(|classes| classes == columns),
                    "the model scores {columns} classes, and {} are named",
                    self.classes.unwrap_or_default()
                );
                decode::obico(boxes, scores, columns, &mut sieve);
                sieve
            }
            Outputs::Ssd { boxes, scores, unit, form } => {
                let mut sieve = sieve(*unit);
                let (boxes, scores, columns) = self.pair(told, boxes, scores)?;
                let (count, anchors) = (boxes.len() / 4, form.anchors.as_ref().map(Vec::len));
                ensure!(
                    anchors.is_none_or(|anchors| anchors == count),
                    "the model tells {count} boxes, and there are {} anchors",
                    anchors.unwrap_or_default()
                );
                form.decode(boxes, scores, columns, &mut sieve);
                sieve
            }
        };
        sieve.finish()
    }

    /// Whether a size is that of all classes and a few numbers more. Without names, there are more boxes than classes:
    /// else rows could be taken for columns.
    fn fits(&self, size: usize, more: usize, count: usize) -> bool {
        match self.classes {
            Some(classes) => size == classes + more,
            None => size > more && size <= count,
        }
    }

    /// The boxes, the scores, and how many of these each box has.
    fn pair<'a>(&self, told: &Told<'a>, boxes: &str, scores: &str) -> anyhow::Result<(&'a [f32], &'a [f32], usize)> {
        let (corners, confidences) = (told.get(boxes)?, told.get(scores)?);
        let count = match corners.shape[..] {
            [1, count, 4] | [1, count, 1, 4] => count,
            _ => return Err(self.unlike(told, boxes)),
        };
        match confidences.shape[..] {
            [1, own, columns] if own == count && columns > 0 => Ok((&corners.values, &confidences.values, columns)),
            _ => Err(self.unlike(told, scores)),
        }
    }

    fn unlike(&self, told: &Told<'_>, name: &str) -> anyhow::Error {
        let (layout, expected) = match &self.outputs {
            Outputs::Yolov8(..) => (Layout::Yolov8, "[1,4+classes,n]"),
            Outputs::Yolov5(..) => (Layout::Yolov5, "[1,n,5+classes]"),
            Outputs::Plain(..) => (Layout::Plain, "[n,6] or [1,n,6]"),
            Outputs::Obico { boxes, .. } if boxes == name => (Layout::Obico, "[1,n,1,4] or [1,n,4]"),
            Outputs::Obico { .. } => (Layout::Obico, "[1,n,classes], n as of the boxes"),
            Outputs::Ssd { boxes, .. } if boxes == name => (Layout::Ssd, "[1,n,4]"),
            Outputs::Ssd { .. } => (Layout::Ssd, "[1,n,classes], n as of the boxes"),
        };
        let known = match (self.classes, expected.contains("classes")) {
            (Some(1), true) => " and 1 class is named".to_owned(),
            (Some(classes), true) => format!(" and {classes} classes are named"),
            _ => String::new(),
        };
        anyhow::anyhow!("the output {}; layout {layout} expects {expected}{known}", told.is(name))
    }
}

/// Whether there is a background follows from how many scores and names there are; anchors are read.
fn form(ssd: &Ssd, columns: usize, classes: Option<usize>) -> anyhow::Result<SingleShot> {
    let background = match (ssd.background, classes) {
        (said, None) => said.unwrap_or(true),
        (None, Some(classes)) if columns == classes => false,
        (None, Some(classes)) if columns == classes + 1 => true,
        (Some(said), Some(classes)) if columns == classes + usize::from(said) => said,
        (said, Some(classes)) => bail!(
            "the model tells {columns} scores for each box, and {classes} classes are named{}",
            match said {
                None => ": with the background there is one more, or without it as many",
                Some(true) => "; the first score is that of the background (`background: true`)",
                Some(false) => "; none is that of the background (`background: false`)",
            }
        ),
    };
    ensure!(columns > usize::from(background), "the model scores nothing but the background");
    let anchors = match &ssd.grids {
        Some(grids) => Some(grids.anchors()),
        None => ssd.anchors.as_deref().map(anchors).transpose()?,
    };
    Ok(SingleShot { order: ssd.order, background, activation: ssd.activation, anchors, variance: ssd.variance })
}

fn anchors(path: &Path) -> anyhow::Result<Vec<[f64; 4]>> {
    let text = std::fs::read(path).with_context(|| format!("the anchors {} cannot be read", path.display()))?;
    let anchors: Vec<[f64; 4]> = serde_json::from_slice(&text)
        .with_context(|| format!("the anchors {} are not [[x, y, width, height], …]", path.display()))?;
    let is_share = |value: &f64| (-1.0..=2.0).contains(value);
    ensure!(
        anchors.iter().flatten().all(is_share),
        "the anchors {} are told as shares of the input, about 0 to 1",
        path.display()
    );
    Ok(anchors)
}

impl<'a> Told<'a> {
    pub fn get(&self, name: &str) -> anyhow::Result<&'a Tensor> {
        if let Some(tensor) = self.tensors.get(name) {
            return Ok(tensor);
        }
        match self.declared.iter().find(|outlet| outlet.name == name) {
            Some(outlet) => {
                bail!("its output `{name}` is {outlet}, which jarvis cannot read: export the model with 32-bit floats")
            }
            None => bail!("it has no output `{name}`; it has {}", self.all()),
        }
    }

    /// In the order of the file.
    pub fn shapes(&self) -> Vec<&'a [usize]> {
        self.readable().map(|(_, tensor)| &tensor.shape[..]).collect()
    }

    fn readable(&self) -> impl Iterator<Item = (&'a str, &'a Tensor)> {
        self.declared.iter().filter_map(|outlet| Some((outlet.name.as_str(), self.tensors.get(&outlet.name)?)))
    }

    /// As `` `output0` is float32[1,84,8400] ``: the shape that was told, else the one that is declared.
    fn is(&self, name: &str) -> String {
        let Some(outlet) = self.declared.iter().find(|outlet| outlet.name == name) else { return format!("`{name}`") };
        let mut outlet = outlet.clone();
        if let Some(tensor) = self.tensors.get(name) {
            outlet.sizes = tensor.shape.iter().copied().map(Some).collect();
        }
        format!("`{name}` is {outlet}")
    }

    /// Every output, for messages.
    pub fn all(&self) -> String {
        self.declared.iter().map(|outlet| self.is(&outlet.name).replacen(" is ", " ", 1)).collect::<Vec<_>>().join(", ")
    }

    /// The output of that name, or the only one with so many dimensions.
    fn one(&self, layout: Layout, name: Option<&str>, ranks: &[usize]) -> anyhow::Result<String> {
        if let Some(name) = name {
            return self.get(name).map(|_| name.to_owned());
        }
        let fitting: Vec<&str> =
            self.readable().filter(|(_, tensor)| ranks.contains(&tensor.shape.len())).map(|(name, _)| name).collect();
        match fitting[..] {
            [only] => Ok(only.to_owned()),
            [] => bail!(
                "layout {layout} is read from one output of {} dimensions; the model has {}",
                any(ranks),
                self.all()
            ),
            _ => bail!("the model has several outputs, {}: say with `output.name` which one is meant", self.all()),
        }
    }

    /// The outputs of boxes and of scores.
    fn two(&self, layout: Layout, boxes: Option<&str>, scores: Option<&str>) -> anyhow::Result<(String, String)> {
        boxes.map_or(Ok(()), |name| self.get(name).map(|_| ()))?;
        scores.map_or(Ok(()), |name| self.get(name).map(|_| ()))?;
        let ends_in_4 = |(name, tensor): &(&str, &Tensor)| {
            tensor.shape.len() >= 3 && tensor.shape.last() == Some(&4) && Some(*name) != scores
        };
        let boxes = boxes.or_else(|| self.readable().find(ends_in_4).map(|(name, _)| name));
        let others = || self.readable().filter(|(name, tensor)| Some(*name) != boxes && tensor.shape.len() == 3);
        let mut others = others().map(|(name, _)| name);
        let scores = scores.or_else(|| others.next().filter(|_| others.next().is_none()));
        match (boxes, scores) {
            (Some(boxes), Some(scores)) => Ok((boxes.to_owned(), scores.to_owned())),
            _ => bail!(
                "layout {layout} is read from two outputs, boxes [1,n,4] and scores [1,n,classes]; the model has {}: if they are \
                 among these, name them with `output.boxes` and `output.scores`",
                self.all()
            ),
        }
    }
}

fn any(ranks: &[usize]) -> String {
    ranks.iter().map(usize::to_string).collect::<Vec<_>>().join(" or ")
}
