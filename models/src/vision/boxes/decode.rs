//! From a model's numbers to boxes, for each layout. Nothing in here knows of models: slices go in, candidates come
//! out.
//!
//! Every number may be anything: what is no number, infinite or of no extent is never a box. How many such there were
//! is counted, since a model that tells only nonsense must not be taken for one that has found nothing.

use super::description::{Activation, Order};
use super::overlap::Candidate;
use anyhow::ensure;

/// Takes boxes that score enough, and counts what cannot be one.
#[derive(Debug)]
pub struct Sieve {
    threshold: f64,
    /// From the boxes' unit to pixels of the input, across and down.
    scale: [f64; 2],
    /// The classes that are looked for; none: all.
    only: Vec<usize>,
    boxes: Vec<Candidate>,
    seen: usize,
    /// Scores, or boxes that score enough, with what is no finite number.
    broken: usize,
    /// Boxes that score enough and end before they begin.
    reversed: usize,
    highest: f64,
}

impl Sieve {
    pub fn new(threshold: f64, scale: [f64; 2]) -> Self {
        Sieve { threshold, scale, only: vec![], boxes: vec![], seen: 0, broken: 0, reversed: 0, highest: 0.0 }
    }

    /// Looks for these classes, and for all if there are none.
    pub fn only(self, classes: &[usize]) -> Self {
        Sieve { only: classes.to_vec(), ..self }
    }

    fn looks_for(&self, class: usize) -> bool {
        self.only.is_empty() || self.only.contains(&class)
    }

    /// The highest score of those that are looked for, and its class; what is no number is none. Minus infinity if there
    /// is no score.
    fn best(&self, scores: impl Iterator<Item = f32>) -> (f64, usize) {
        let mut best = (f32::NEG_INFINITY, 0);
        for (class, score) in scores.enumerate() {
            if score > best.0 && self.looks_for(class) {
                best = (score, class);
            }
        }
        (f64::from(best.0), best.1)
    }

    /// `corners` are asked for if the score is enough.
    fn offer(&mut self, score: f64, class: usize, corners: impl FnOnce() -> [f64; 4]) {
        self.seen += 1;
        if !score.is_finite() {
            self.broken += 1;
            return;
        }
        self.highest = self.highest.max(score);
        if score < self.threshold {
            return;
        }
        let [across, down] = self.scale;
        let [left, top, right, bottom] = corners();
        let corners = [left * across, top * down, right * across, bottom * down];
        if corners.iter().any(|edge| !edge.is_finite()) {
            self.broken += 1;
        } else if corners[0] > corners[2] || corners[1] > corners[3] {
            self.reversed += 1;
        } else if corners[0] < corners[2] && corners[1] < corners[3] {
            self.boxes.push(Candidate { corners, score: score.min(1.0), class });
        }
    }

    /// # Errors
    /// What was offered cannot be what the description says it is.
    pub fn finish(self) -> anyhow::Result<Vec<Candidate>> {
        // A little more than 1 comes of rounding.
        ensure!(
            self.highest <= 1.01,
            "the model tells a score of {:.2}, and scores are 0 to 1: is the layout right, and does it tell probabilities?",
            self.highest
        );
        let is_empty = self.boxes.is_empty();
        ensure!(
            !is_empty || self.broken == 0,
            "of the model's {} boxes {} are no numbers, and no other scores enough: was it exported rightly?",
            self.seen,
            self.broken
        );
        ensure!(
            !is_empty || self.reversed == 0,
            "{} of the model's boxes end before they begin, and no other scores enough: is the order of their numbers right?",
            self.reversed
        );
        Ok(self.boxes)
    }
}

/// From centre and size to corners.
fn around([x, y, width, height]: [f64; 4]) -> [f64; 4] {
    [x - width / 2.0, y - height / 2.0, x + width / 2.0, y + height / 2.0]
}

/// `[4 + classes, count]`.
pub fn yolov8(values: &[f32], count: usize, sieve: &mut Sieve) {
    let rows: Vec<&[f32]> = values.chunks_exact(count.max(1)).collect();
    let [x, y, width, height, classes @ ..] = &rows[..] else { return };
    for at in 0..count {
        let (score, class) = sieve.best(classes.iter().map(|row| row[at]));
        sieve.offer(score, class, || around([x, y, width, height].map(|row| f64::from(row[at]))));
    }
}

/// `[n, 5 + classes]`.
pub fn yolov5(values: &[f32], columns: usize, sieve: &mut Sieve) {
    for row in values.chunks_exact(columns.max(1)) {
        let [x, y, width, height, object, classes @ ..] = row else { return };
        let (score, class) = sieve.best(classes.iter().copied());
        let corners = || around([x, y, width, height].map(|value| f64::from(*value)));
        sieve.offer(f64::from(*object) * score, class, corners);
    }
}

/// `[n, 4]`, corners, and `[n, classes]`.
pub fn obico(boxes: &[f32], scores: &[f32], classes: usize, sieve: &mut Sieve) {
    let (boxes, _) = boxes.as_chunks::<4>();
    for (corners, scores) in boxes.iter().zip(scores.chunks_exact(classes.max(1))) {
        let (score, class) = sieve.best(scores.iter().copied());
        sieve.offer(score, class, || corners.map(f64::from));
    }
}

/// `[n, 6]`: corners, score, class.
pub fn plain(values: &[f32], sieve: &mut Sieve) {
    let (rows, _) = values.as_chunks::<6>();
    for [left, top, right, bottom, score, class] in rows {
        // Where fewer boxes were found than there are rows, the rest is often of class -1.
        let class = if *class >= 0.0 { class.round() as usize } else { continue };
        if !sieve.looks_for(class) {
            continue;
        }
        sieve.offer(f64::from(*score), class, || [left, top, right, bottom].map(|edge| f64::from(*edge)));
    }
}

/// How a single-shot detector's numbers are meant.
#[derive(Clone, Debug, PartialEq)]
pub struct SingleShot {
    pub order: Order,
    /// The first score is that of the background.
    pub background: bool,
    pub activation: Activation,
    /// Centre and size of what each box is told relative to, in the order x, y, width, height, as shares.
    pub anchors: Option<Vec<[f64; 4]>>,
    pub variance: [f64; 2],
}

impl SingleShot {
    /// `[n, 4]` and `[n, columns]`.
    pub fn decode(&self, boxes: &[f32], scores: &[f32], columns: usize, sieve: &mut Sieve) {
        let skipped = usize::from(self.background);
        let (boxes, _) = boxes.as_chunks::<4>();
        for (at, (numbers, scores)) in boxes.iter().zip(scores.chunks_exact(columns.max(1))).enumerate() {
            let (highest, class) = sieve.best(scores.iter().skip(skipped).copied());
            let score = self.probability(highest, scores);
            sieve.offer(score, class, || self.corners(numbers.map(f64::from), at));
        }
    }

    /// Of the class with the highest score; both functions keep the order of scores.
    fn probability(&self, highest: f64, scores: &[f32]) -> f64 {
        match self.activation {
            Activation::None => highest,
            _ if !highest.is_finite() => f64::NAN,
            Activation::Sigmoid => 1.0 / (1.0 + (-highest).exp()),
            Activation::Softmax => 1.0 / scores.iter().map(|score| (f64::from(*score) - highest).exp()).sum::<f64>(),
        }
    }

    fn corners(&self, [a, b, c, d]: [f64; 4], at: usize) -> [f64; 4] {
        let (x, y, width, height) = match self.order {
            Order::Xyxy => return [a, b, c, d],
            Order::Yxyx => return [b, a, d, c],
            Order::Xywh => (a, b, c, d),
            Order::Yxhw => (b, a, d, c),
        };
        let Some(anchors) = &self.anchors else { return around([x, y, width, height]) };
        let Some(anchor) = anchors.get(at) else { return [f64::NAN; 4] };
        let [centre, size] = self.variance;
        around([
            anchor[0] + x * centre * anchor[2],
            anchor[1] + y * centre * anchor[3],
            anchor[2] * (width * size).exp(),
            anchor[3] * (height * size).exp(),
        ])
    }
}

#[cfg(test)]
mod tests;
