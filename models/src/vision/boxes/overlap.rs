//! Of boxes that show the same thing, the best: greedy non-maximum suppression, class by class.

/// Something that a model may have found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Candidate {
    /// Left, top, right, bottom; finite, left of right and above bottom.
    pub corners: [f64; 4],
    pub score: f64,
    pub class: usize,
}

/// Intersection over union, 0 to 1.
pub fn intersection_over_union(a: &[f64; 4], b: &[f64; 4]) -> f64 {
    let area = |c: &[f64; 4]| (c[2] - c[0]) * (c[3] - c[1]);
    let width = a[2].min(b[2]) - a[0].max(b[0]);
    let height = a[3].min(b[3]) - a[1].max(b[1]);
    if width <= 0.0 || height <= 0.0 {
        return 0.0;
    }
    let shared = width * height;
    let union = area(a) + area(b) - shared;
    // Boxes so small that their area is 0 in this arithmetic.
    if union > 0.0 { shared / union } else { 0.0 }
}

/// The best `most`, by falling score, without those that overlap a better one of their class by more than `overlap`. Of
/// equal scores the first counts as better.
///
/// Whether one stays depends on better ones only. So a lower threshold adds boxes at the end and changes none before,
/// and it is enough to compare each with those that stay.
pub fn suppress(mut candidates: Vec<Candidate>, overlap: f64, most: usize) -> Vec<Candidate> {
    candidates.sort_by(|a, b| b.score.total_cmp(&a.score));
    let mut best: Vec<Candidate> = vec![];
    for candidate in candidates {
        if best.len() >= most {
            break;
        }
        let is_same = |other: &Candidate| {
            other.class == candidate.class && intersection_over_union(&other.corners, &candidate.corners) > overlap
        };
        if !best.iter().any(is_same) {
            best.push(candidate);
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn candidates() -> impl Strategy<Value = Vec<Candidate>> {
        let one = (0..12_u32, 0..12_u32, 1..8_u32, 1..8_u32, 0..20_u32, 0..3_usize);
        let candidate = one.prop_map(|(left, top, width, height, score, class)| {
            let [left, top, width, height] = [left, top, width, height].map(f64::from);
            let corners = [left, top, left + width, top + height];
            Candidate { corners, score: f64::from(score) / 20.0, class }
        });
        prop::collection::vec(candidate, 0..40)
    }

    /// The definition: take the best that is left, strike out what overlaps it, until nothing is left.
    fn by_definition(candidates: &[Candidate], overlap: f64, most: usize) -> Vec<Candidate> {
        let cells = |c: &Candidate, other: &Candidate| {
            let inside = |c: &[f64; 4], x: f64, y: f64| c[0] < x && x < c[2] && c[1] < y && y < c[3];
            let (mut both, mut either) = (0, 0);
            for at in 0..400 {
                let (x, y) = (f64::from(at % 20) + 0.5, f64::from(at / 20) + 0.5);
                let (a, b) = (inside(&c.corners, x, y), inside(&other.corners, x, y));
                both += u32::from(a && b);
                either += u32::from(a || b);
            }
            f64::from(both) / f64::from(either)
        };
        let mut left: Vec<Candidate> = candidates.to_vec();
        let mut taken = vec![];
        while !left.is_empty() && taken.len() < most {
            let highest = left.iter().map(|c| c.score).fold(f64::MIN, f64::max);
            let at = left.iter().position(|c| c.score == highest).unwrap();
            let best = left.remove(at);
            left.retain(|c| c.class != best.class || cells(c, &best) <= overlap);
            taken.push(best);
        }
        taken
    }

    proptest! {
        #[test]
        fn suppression_follows_its_definition(all in candidates(), overlap in 0.0..1.0, most in 1..50_usize) {
            prop_assert_eq!(suppress(all.clone(), overlap, most), by_definition(&all, overlap, most));
        }

        #[test]
        fn what_stays_stays_when_it_is_suppressed_again(all in candidates(), overlap in 0.0..1.0) {
            let once = suppress(all, overlap, 100);
            prop_assert_eq!(suppress(once.clone(), overlap, 100), once);
        }

        #[test]
        fn a_higher_threshold_only_takes_from_the_end(
            all in candidates(), overlap in 0.0..1.0, most in 1..50_usize, low in 0.0..1.0, more in 0.0..0.5,
        ) {
            let above = |threshold: f64, of: &[Candidate]| -> Vec<Candidate> {
                of.iter().filter(|c| c.score >= threshold).copied().collect()
            };
            let lenient = suppress(above(low, &all), overlap, most);
            let strict = suppress(above(low + more, &all), overlap, most);
            prop_assert_eq!(strict, above(low + more, &lenient));
        }
    }

    #[test]
    fn boxes_of_other_classes_do_not_disturb_each_other() {
        let one = Candidate { corners: [0.0, 0.0, 1.0, 1.0], score: 0.9, class: 0 };
        let other = Candidate { class: 1, ..one };
        assert_eq!(suppress(vec![one, other, one], 0.45, 10), [one, other]);
        assert_eq!(suppress(vec![], 0.45, 10), []);
    }

    #[test]
    fn boxes_as_large_or_small_as_numbers_go_are_compared() {
        let huge = f64::from(f32::MAX);
        let tiny = f64::from(f32::MIN_POSITIVE);
        assert_eq!(intersection_over_union(&[-huge, -huge, huge, huge], &[-huge, -huge, huge, huge]), 1.0);
        let speck = intersection_over_union(&[0.0, 0.0, tiny, tiny], &[-huge, -huge, huge, huge]);
        assert!((0.0..1e-100).contains(&speck));
    }
}
