//! A judge: how much a picture is like a failed print, learnt from a few.

use super::algebra::{Square, deviation, mean};
use super::evaluation::area_under_curve;
use super::features::{Extractor, MODEL, WIDTH};
use super::random::Random;
use super::strands::with_strands;
use anyhow::{Context, ensure};
use image::{RgbImage, imageops};
use serde::{Deserialize, Serialize};

/// How strongly a judge is held back from believing single pictures; the best is found by leaving pictures out.
const REINS: [f64; 5] = [0.01, 0.03, 0.1, 0.3, 1.0];
/// Pictures of a kind: what is learnt takes the cube of their number.
pub const MOST: usize = 100;
/// Failures painted into each good picture: pairs that differ in nothing else show what does not matter.
const PAINTED: usize = 4;

/// The pictures that somebody shows.
#[derive(Default)]
pub struct Lessons {
    pub good: Vec<RgbImage>,
    /// May be empty.
    pub bad: Vec<RgbImage>,
}

/// What was learnt; a file of JSON holds it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Judge {
    /// Whose features it judges.
    model: String,
    /// How many pictures it was made of: good ones and bad ones.
    shown: (usize, usize),
    weights: Vec<f32>,
    bias: f64,
    /// Where no failure was shown: what good pictures look like.
    unlike: Option<Unlike>,
    /// What lies above is taken for a failure.
    threshold: f64,
    /// From the threshold to a score of about 0.73, as of [`Judge::score`].
    scale: f64,
    /// The probability that a failure scored higher than a good picture, both left out of what was learnt.
    left_out: f64,
}

/// Says how unlike the nearest good pictures one is.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Unlike {
    good: Vec<Vec<f32>>,
    mean: f64,
    deviation: f64,
}

impl Unlike {
    fn new(good: Vec<Vec<f32>>) -> anyhow::Result<Self> {
        let distances: Vec<f64> = (0..good.len()).map(|n| distance(&good, &good[n], Some(n))).collect();
        Ok(Unlike { mean: mean(&distances)?, deviation: deviation(&distances).max(1e-3), good })
    }
    /// In deviations, 0 for what is as usual, 1 for four of them.
    fn of(&self, features: &[f32], without: Option<usize>) -> f64 {
        (distance(&self.good, features, without) - self.mean) / (4.0 * self.deviation)
    }
}

/// To the two nearest of a set, on average.
fn distance(set: &[Vec<f32>], to: &[f32], without: Option<usize>) -> f64 {
    let others = set.iter().enumerate().filter(|(n, _)| Some(*n) != without);
    let mut distances: Vec<f64> = others.map(|(_, one)| 1.0 - dot(one, to)).collect();
    distances.sort_by(f64::total_cmp);
    distances.truncate(2);
    distances.iter().sum::<f64>() / distances.len().max(1) as f64
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(a, b)| f64::from(a * b)).sum()
}

/// A picture, or what was made of it, as a judge sees it.
struct Sample {
    features: Vec<f32>,
    /// Which picture it was made of: they are left out together.
    of: usize,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Good,
    Bad,
    /// A good one with a failure painted into it.
    Painted,
}

impl Sample {
    fn is_bad(&self) -> bool {
        self.kind != Kind::Good
    }
}

impl Judge {
    /// # Errors
    /// There are fewer than two good pictures, or one bad one; or the network fails.
    pub fn learn(extractor: &Extractor, lessons: &Lessons, seed: u64) -> anyhow::Result<Self> {
        ensure!(lessons.good.len() >= 2, "two good pictures are needed at least, and more are better");
        ensure!(lessons.bad.len() != 1, "two bad pictures are needed at least, or none");
        ensure!(
            lessons.good.len() <= MOST && lessons.bad.len() <= MOST,
            "at most {MOST} pictures of a kind can be learnt from: choose those that differ most"
        );
        let mut random = Random::new(seed);
        let mut samples = vec![];
        let good = lessons.good.iter().map(|picture| (picture, Kind::Good));
        let bad = lessons.bad.iter().map(|picture| (picture, Kind::Bad));
        for (of, (picture, kind)) in good.chain(bad).enumerate() {
            let views = extractor.features(&views(picture))?;
            samples.extend(views.into_iter().map(|features| Sample { features, of, kind }));
        }
        let mut unlike = None;
        if lessons.bad.is_empty() {
            // The first of a picture's samples is the picture itself.
            let mut last = None;
            let own = samples.iter().filter(|s| last.replace(s.of) != Some(s.of)).map(|s| s.features.clone());
            unlike = Some(Unlike::new(own.collect())?);
        }
        for (of, picture) in lessons.good.iter().enumerate() {
            let painted: Vec<RgbImage> = (0..PAINTED).map(|_| with_strands(picture, &mut random)).collect();
            let painted = extractor.features(&painted)?;
            samples.extend(painted.into_iter().map(|features| Sample { features, of, kind: Kind::Painted }));
        }
        let (weights, bias, left_out) = separate(&samples)?;
        let mut judge = Judge {
            model: MODEL.to_owned(),
            shown: (lessons.good.len(), lessons.bad.len()),
            weights,
            bias,
            unlike,
            threshold: 0.0,
            scale: 1.0,
            left_out: 0.5,
        };
        judge.set_threshold(&samples, &left_out)?;
        Ok(judge)
    }

    /// `left_out`: what judges said of each sample who had not seen its picture.
    fn set_threshold(&mut self, samples: &[Sample], left_out: &[f64]) -> anyhow::Result<()> {
        let suspicion = |n: usize| match &self.unlike {
            Some(unlike) => 0.5 * (left_out[n] + unlike.of(&samples[n].features, Some(samples[n].of))),
            None => left_out[n],
        };
        // Painted failures are easier than real ones: where there are real ones, only these count.
        let failure = if samples.iter().any(|s| s.kind == Kind::Bad) { Kind::Bad } else { Kind::Painted };
        let said = |kind: Kind| -> Vec<f64> {
            (0..samples.len()).filter(|n| samples[*n].kind == kind).map(suspicion).collect()
        };
        let (good, bad) = (said(Kind::Good), said(failure));
        let (usual, failed) = (mean(&good)?, mean(&bad)?);
        ensure!(
            failed > usual,
            "good and bad pictures cannot be told apart: are they in the right folders, and of the same cameras?"
        );
        self.left_out = area_under_curve(&good, &bad);
        // As many deviations from the good as from the bad.
        let (spread_good, spread_bad) = (deviation(&good).max(1e-3), deviation(&bad).max(1e-3));
        self.threshold = (usual * spread_bad + failed * spread_good) / (spread_good + spread_bad);
        self.scale = ((failed - usual) / 4.0).max(1e-3);
        Ok(())
    }

    /// From 0 to 1; from 0.5 on it is taken for a failure.
    pub fn score(&self, features: &[f32]) -> f64 {
        1.0 / (1.0 + (-(self.suspicion(features) - self.threshold) / self.scale).exp())
    }

    fn suspicion(&self, features: &[f32]) -> f64 {
        let judged = dot(&self.weights, features) + self.bias;
        match &self.unlike {
            Some(unlike) => 0.5 * (judged + unlike.of(features, None)),
            None => judged,
        }
    }

    /// The probability that a failure scored higher than a good picture, both left out of what was learnt.
    pub fn left_out(&self) -> f64 {
        self.left_out
    }

    /// How many good and bad pictures it was made of.
    pub fn shown(&self) -> (usize, usize) {
        self.shown
    }

    /// # Errors
    /// The text is no judge, or one of another network.
    pub fn of_json(text: &str) -> anyhow::Result<Self> {
        let judge: Judge = serde_json::from_str(text).context("it is not what `jarvis vision learn` writes")?;
        ensure!(
            judge.model == MODEL,
            "it was learnt on {}, and this version of jarvis has {MODEL}: learn again",
            judge.model
        );
        let is_vector = |vector: &[f32]| vector.len() == WIDTH && vector.iter().all(|value| value.is_finite());
        let unlike_fits = judge.unlike.as_ref().is_none_or(|unlike| {
            !unlike.good.is_empty() && unlike.good.iter().all(|one| is_vector(one)) && unlike.deviation > 0.0
        });
        let fits = is_vector(&judge.weights) && unlike_fits && judge.scale > 0.0 && judge.threshold.is_finite();
        ensure!(fits, "it is damaged: its numbers are not those of a judge");
        Ok(judge)
    }

    /// # Errors
    /// Never: texts and numbers can be written.
    pub fn to_json(&self) -> anyhow::Result<String> {
        Ok(serde_json::to_string(self)?)
    }
}

/// A picture as it is, darker, lighter, and closer.
fn views(picture: &RgbImage) -> Vec<RgbImage> {
    let lit = |light: f32| {
        let mut lit = picture.clone();
        lit.pixels_mut().for_each(|p| p.0 = p.0.map(|v| (f32::from(v) * light).min(255.0) as u8));
        lit
    };
    let (width, height) = picture.dimensions();
    let closer =
        imageops::crop_imm(picture, width / 12, height / 12, width - width / 6, height - height / 6).to_image();
    vec![picture.clone(), lit(0.75), lit(1.25), closer]
}

/// A linear judge by kernel ridge regression (Saunders, Gammerman and Vovk, ICML 1998) on +1 and −1, both sides weighing the
/// same, and of the bad ones those that were shown as much as those that were painted: weights, bias, and for each sample
/// what a judge would say who has not seen its picture.
fn separate(samples: &[Sample]) -> anyhow::Result<(Vec<f32>, f64, Vec<f64>)> {
    let n = samples.len();
    let count = |kind: Kind| samples.iter().filter(|s| s.kind == kind).count();
    let both = count(Kind::Bad) > 0 && count(Kind::Painted) > 0;
    let weight = |s: &Sample| {
        let share = if s.is_bad() && both { 0.25 } else { 0.5 };
        n as f64 * share / count(s.kind) as f64
    };
    let target: Vec<f64> = samples.iter().map(|s| if s.is_bad() { 1.0 } else { -1.0 }).collect();
    let centre = middle(samples, weight);
    let centred: Vec<Vec<f32>> =
        samples.iter().map(|s| s.features.iter().zip(&centre).map(|(v, c)| v - c).collect()).collect();
    let kernel = Square::from_fn(n, |a, b| dot(&centred[a], &centred[b]));
    let average = (0..n).map(|i| kernel.at(i, i)).sum::<f64>() / n as f64;
    let pictures = samples.iter().map(|s| s.of).max().unwrap_or(0) + 1;
    let groups: Vec<Vec<usize>> = (0..pictures)
        .map(|of| (0..n).filter(|i| samples[*i].of == of).collect())
        .filter(|g: &Vec<_>| !g.is_empty())
        .collect();
    let mut best: Option<(f64, Vec<f64>, Vec<f64>)> = None;
    for rein in REINS {
        let reined = Square::from_fn(n, |a, b| {
            let hold = if a == b { rein * average * n as f64 / 8.0 / weight(&samples[a]) } else { 0.0 };
            kernel.at(a, b) + hold
        });
        let inverse = reined.inverse()?;
        let alpha = inverse.times(&target);
        // What is said of a group when it is left out, in closed form.
        let mut left_out = vec![0.0; n];
        for group in &groups {
            let own: Vec<f64> = group.iter().map(|i| alpha[*i]).collect();
            let residual = inverse.part(group).inverse()?.times(&own);
            for (i, r) in group.iter().zip(residual) {
                left_out[*i] = target[*i] - r;
            }
        }
        let loss: f64 =
            samples.iter().enumerate().map(|(i, s)| weight(s) * (target[i] - left_out[i]).powi(2)).sum::<f64>();
        if best.as_ref().is_none_or(|(least, ..)| loss < *least) {
            best = Some((loss, alpha, left_out));
        }
    }
    let (_, alpha, left_out) = best.context("there is nothing to learn from")?;
    let mut weights = vec![0.0_f64; centre.len()];
    for (one, alpha) in centred.iter().zip(&alpha) {
        weights.iter_mut().zip(one).for_each(|(w, v)| *w += alpha * f64::from(*v));
    }
    let weights: Vec<f32> = weights.into_iter().map(|w| w as f32).collect();
    let bias = -dot(&weights, &centre);
    Ok((weights, bias, left_out))
}

/// The point between both sides.
fn middle(samples: &[Sample], weight: impl Fn(&Sample) -> f64) -> Vec<f32> {
    let mut centre = vec![0.0_f64; samples.first().map_or(0, |s| s.features.len())];
    for sample in samples {
        let own = weight(sample) / samples.len() as f64;
        centre.iter_mut().zip(&sample.features).for_each(|(c, v)| *c += own * f64::from(*v));
    }
    centre.into_iter().map(|c| c as f32).collect()
}
