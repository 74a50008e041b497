//! How much the boxes of a detector speak for a failed print.

use super::Detected;

/// The sum of confidences that is as likely a failure as not.
///
/// It is where Obico's rule begins to tell people: a sustained sum that lies 0.38 above the mean of the printer's life
/// does so, and that mean is about 0.02 where nothing is wrong.
const DOUBTFUL: f64 = 0.38 + 0.02;

/// Evidence of a failure, 0 to 1; from 0.5 on it is taken for one. All boxes count: give it those of the classes that
/// are failures.
///
/// With p, the sum of the boxes' scores, it is `1 - 2^(-p / 0.40)`. That is a noisy-or: each box leaves a doubt of its
/// own, the doubts are multiplied, and a score of 0.40 leaves one half. So, as in Obico, two weak boxes are worth one
/// of both scores together; unlike there, the result never passes 1 however many there are. It grows with each score
/// and each box.
///
/// | p | evidence | Obico's rule, if it lasts |
/// |---|---|---|
/// | 0.08 | 0.13 | one box at the detector's threshold: nothing |
/// | 0.40 | 0.50 | the least that it may tell of |
/// | 0.69 | 0.70 | the least that it may pause at |
/// | 0.80 | 0.75 | it tells of it whatever came before |
/// | 1.39 | 0.91 | it pauses whatever came before |
pub fn failure_score(boxes: &[Detected]) -> f64 {
    let sum: f64 = boxes.iter().map(|found| found.score).filter(|score| score.is_finite()).map(|s| s.max(0.0)).sum();
    1.0 - (-sum / DOUBTFUL).exp2()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn boxes(scores: &[f64]) -> Vec<Detected> {
        let found = |score: &f64| Detected {
            class: "failure".to_owned(),
            score: *score,
            left: 0.0,
            top: 0.0,
            width: 1.0,
            height: 1.0,
        };
        scores.iter().map(found).collect()
    }

    #[test]
    fn the_table_holds() {
        for (sum, evidence) in [(0.0, 0.0), (0.08, 0.13), (0.40, 0.50), (0.69, 0.70), (0.80, 0.75), (1.39, 0.91)] {
            assert!(
                (failure_score(&boxes(&[sum])) - evidence).abs() < 0.006,
                "{sum}: {}",
                failure_score(&boxes(&[sum]))
            );
        }
        assert_eq!(failure_score(&[]), 0.0);
    }

    proptest! {
        #[test]
        fn evidence_grows_with_each_score_and_each_box(
            mut scores in prop::collection::vec(0.0..1.0, 1..30), more in 0.01..0.3
        ) {
            let before = failure_score(&boxes(&scores));
            prop_assert!((0.0..=1.0).contains(&before));
            scores[0] += more;
            let higher = failure_score(&boxes(&scores));
            prop_assert!(higher >= before);
            scores.push(more);
            let further = failure_score(&boxes(&scores));
            prop_assert!(further >= higher && further <= 1.0);
        }

        #[test]
        fn any_scores_give_evidence(scores: Vec<f64>) {
            prop_assert!((0.0..=1.0).contains(&failure_score(&boxes(&scores))));
        }
    }
}
