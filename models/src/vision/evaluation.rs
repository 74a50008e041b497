//! How well a judge tells pictures that it has not seen.

use super::features::Extractor;
use super::judge::{Judge, Lessons};
use super::random::Random;
use crate::picture;
use anyhow::{Context, ensure};
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// What was found.
#[derive(Clone, Debug, Serialize)]
pub struct Evaluation {
    /// The probability that a failed print scores higher than a good one.
    pub auc: f64,
    /// The mean of the shares of good and of failed ones that are told right.
    pub balanced_accuracy: f64,
    /// Good pictures that would be taken for failures, if one came every second and nothing smoothed them.
    pub false_alarms_per_hour: f64,
    /// Scoring one picture, without reading its file.
    pub ms_per_frame: f64,
    /// Pictures learnt from and tested on, good and bad.
    pub learnt: (usize, usize),
    pub tested: (usize, usize),
    /// Pictures that could not be read, each with its reason; they are left out.
    pub unreadable: Vec<String>,
}

/// Learns from `shots` random pictures of each folder and tests on the others. `only_good`: no bad one is learnt from.
///
/// # Errors
/// A folder cannot be read or holds too few pictures, or the network fails.
pub fn evaluate(
    extractor: &Extractor,
    good: &Path,
    bad: &Path,
    shots: usize,
    only_good: bool,
    seed: u64,
) -> anyhow::Result<Evaluation> {
    let mut unreadable = vec![];
    let mut spent = 0.0;
    let mut look = |folder: &Path| -> anyhow::Result<Vec<(PathBuf, Vec<f32>)>> {
        let mut seen = vec![];
        for file in pictures_in(folder)? {
            match picture::read(&file) {
                Ok(picture) => {
                    let begun = Instant::now();
                    seen.extend(extractor.features(&[picture])?.pop().map(|features| (file, features)));
                    spent += begun.elapsed().as_secs_f64();
                }
                Err(error) => unreadable.push(format!("{error:#}")),
            }
        }
        Ok(seen)
    };
    let (mut good_pictures, mut bad_pictures) = (look(good)?, look(bad)?);
    let mut random = Random::new(seed);
    let mut deal = |folder: &Path, pictures: &mut Vec<(PathBuf, Vec<f32>)>, shots: usize| {
        let count = pictures.len();
        ensure!(count > shots, "{} has {count} pictures: to learn from {shots}, more are needed", folder.display());
        random.shuffle(pictures);
        pictures.drain(..shots).map(|(file, _)| picture::read(&file)).collect::<anyhow::Result<Vec<_>>>()
    };
    let lessons = Lessons {
        good: deal(good, &mut good_pictures, shots)?,
        bad: deal(bad, &mut bad_pictures, if only_good { 0 } else { shots })?,
    };
    let judge = Judge::learn(extractor, &lessons, seed)?;
    let score = |pictures: &[(PathBuf, Vec<f32>)]| -> Vec<f64> {
        pictures.iter().map(|(_, features)| judge.score(features)).collect()
    };
    let (good_scores, bad_scores) = (score(&good_pictures), score(&bad_pictures));
    let (learnt, tested) = (judge.shown(), (good_scores.len(), bad_scores.len()));
    let seen = learnt.0 + learnt.1 + tested.0 + tested.1;
    let share = |scores: &[f64], bad: bool| {
        scores.iter().filter(|score| (**score >= 0.5) == bad).count() as f64 / scores.len() as f64
    };
    Ok(Evaluation {
        auc: area_under_curve(&good_scores, &bad_scores),
        balanced_accuracy: (share(&good_scores, false) + share(&bad_scores, true)) / 2.0,
        false_alarms_per_hour: 3600.0 * share(&good_scores, true),
        ms_per_frame: 1000.0 * spent / seen as f64,
        learnt,
        tested,
        unreadable,
    })
}

/// The pictures of a folder, by name.
///
/// # Errors
/// It cannot be read, or holds none.
pub fn pictures_in(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder).with_context(|| format!("{} cannot be read", folder.display()))?;
    let is_picture = |path: &PathBuf| {
        let ending = path.extension().map(|ending| ending.to_ascii_lowercase());
        ending.is_some_and(|ending| ["jpg", "jpeg", "png", "webp", "bmp"].iter().any(|known| ending == *known))
    };
    let mut files: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).filter(is_picture).collect();
    ensure!(!files.is_empty(), "{} holds no picture that ends in .jpg, .jpeg, .png, .webp or .bmp", folder.display());
    files.sort();
    Ok(files)
}

/// The probability that one of `high` is larger than one of `low`, ties counting half (Mann and Whitney, 1947).
pub fn area_under_curve(low: &[f64], high: &[f64]) -> f64 {
    let wins: f64 = high
        .iter()
        .flat_map(|h| {
            low.iter().map(move |l| {
                if h > l {
                    1.0
                } else if h == l {
                    0.5
                } else {
                    0.0
                }
            })
        })
        .sum();
    wins / (low.len() * high.len()) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_area_under_the_curve_is_the_share_of_pairs_in_order() {
        assert_eq!(area_under_curve(&[1.0, 2.0], &[3.0, 4.0]), 1.0);
        assert_eq!(area_under_curve(&[3.0, 4.0], &[1.0, 2.0]), 0.0);
        assert_eq!(area_under_curve(&[1.0, 2.0], &[1.0, 3.0]), 0.625);
    }
}
