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
}

/// Learns from `shots` random pictures of each folder and tests on the others. `only_good`: no bad one is learnt from.
///
/// # Errors
/// A folder cannot be read or holds too few pictures, one of them cannot be read, or the network fails.
pub fn evaluate(
    extractor: &Extractor,
    good: &Path,
    bad: &Path,
    shots: usize,
    only_good: bool,
    seed: u64,
) -> anyhow::Result<Evaluation> {
    let mut random = Random::new(seed);
    let mut deal = |folder: &Path, shots: usize| -> anyhow::Result<(Vec<PathBuf>, Vec<PathBuf>)> {
        let mut files = pictures_in(folder)?;
        let count = files.len();
        ensure!(count > shots, "{} has {count} pictures: to learn from {shots}, more are needed", folder.display());
        random.shuffle(&mut files);
        let rest = files.split_off(shots);
        Ok((files, rest))
    };
    let (good_shots, good_rest) = deal(good, shots)?;
    let (bad_shots, bad_rest) = deal(bad, if only_good { 0 } else { shots })?;
    let read = |files: &[PathBuf]| files.iter().map(|file| picture::read(file)).collect::<anyhow::Result<Vec<_>>>();
    let lessons = Lessons { good: read(&good_shots)?, bad: read(&bad_shots)? };
    let judge = Judge::learn(extractor, &lessons, seed)?;
    let mut spent = 0.0;
    let mut score = |files: &[PathBuf]| -> anyhow::Result<Vec<f64>> {
        let mut scores = vec![];
        for file in files {
            let picture = [picture::read(file)?];
            let begun = Instant::now();
            scores.extend(extractor.features(&picture)?.iter().map(|features| judge.score(features)));
            spent += begun.elapsed().as_secs_f64();
        }
        Ok(scores)
    };
    let (good_scores, bad_scores) = (score(&good_rest)?, score(&bad_rest)?);
    let share = |scores: &[f64], bad: bool| {
        scores.iter().filter(|score| (**score >= 0.5) == bad).count() as f64 / scores.len() as f64
    };
    Ok(Evaluation {
        auc: area_under_curve(&good_scores, &bad_scores),
        balanced_accuracy: (share(&good_scores, false) + share(&bad_scores, true)) / 2.0,
        false_alarms_per_hour: 3600.0 * share(&good_scores, true),
        ms_per_frame: 1000.0 * spent / (good_scores.len() + bad_scores.len()) as f64,
        learnt: (good_shots.len(), bad_shots.len()),
        tested: (good_rest.len(), bad_rest.len()),
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
        ending.is_some_and(|ending| ["jpg", "jpeg", "png"].iter().any(|known| ending == *known))
    };
    let mut files: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).filter(is_picture).collect();
    ensure!(!files.is_empty(), "{} holds no picture that ends in .jpg, .jpeg or .png", folder.display());
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
