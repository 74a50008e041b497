//! Each layout's numbers by hand, and any numbers at all.

use super::*;
use proptest::prelude::*;

fn sifted(threshold: f64, decode: impl FnOnce(&mut Sieve)) -> anyhow::Result<Vec<Candidate>> {
    let mut sieve = Sieve::new(threshold, [1.0, 1.0]);
    decode(&mut sieve);
    sieve.finish()
}

fn candidate(corners: [f64; 4], score: f32, class: usize) -> Candidate {
    Candidate { corners, score: f64::from(score), class }
}

#[test]
fn yolov8_tells_boxes_in_columns() {
    // Two classes, three boxes.
    let values = [10., 20., 30., 11., 21., 31., 4., 4., 4., 2., 2., 2., 0.1, 0.9, 0.2, 0.7, 0.3, 0.1];
    let found = sifted(0.25, |sieve| yolov8(&values, 3, sieve)).unwrap();
    assert_eq!(found, [candidate([8., 10., 12., 12.], 0.7, 1), candidate([18., 20., 22., 22.], 0.9, 0)]);
}

#[test]
fn yolov5_multiplies_by_the_score_of_being_anything() {
    let values = [10., 11., 4., 2., 0.5, 0.5, 1.0, 20., 21., 4., 2., 0.1, 0.9, 0.9];
    let found = sifted(0.25, |sieve| yolov5(&values, 7, sieve)).unwrap();
    assert_eq!(found, [candidate([8., 10., 12., 12.], 0.5, 1)]);
}

#[test]
fn obico_tells_corners_as_shares() {
    let mut sieve = Sieve::new(0.08, [416.0, 416.0]);
    obico(&[0.25, 0.5, 0.5, 0.75, 0., 0., 1., 1.], &[0.5, 0.01], 1, &mut sieve);
    assert_eq!(sieve.finish().unwrap(), [candidate([104., 208., 208., 312.], 0.5, 0)]);
}

#[test]
fn plain_rows_of_no_class_are_none() {
    let values = [1., 2., 3., 4., 0.5, 7., 0., 0., 0., 0., 0., -1., 0., 0., 0., 0., 0., f32::NAN];
    assert_eq!(sifted(0.25, |sieve| plain(&values, sieve)).unwrap(), [candidate([1., 2., 3., 4.], 0.5, 7)]);
}

#[test]
fn a_single_shot_detectors_boxes_come_in_any_order() {
    let form = |order| SingleShot {
        order,
        background: true,
        activation: Activation::None,
        anchors: None,
        variance: [0.1, 0.2],
    };
    let expected = [candidate([1., 2., 5., 8.], 0.75, 1)];
    for (order, numbers) in [
        (Order::Xyxy, [1., 2., 5., 8.]),
        (Order::Yxyx, [2., 1., 8., 5.]),
        (Order::Xywh, [3., 5., 4., 6.]),
        (Order::Yxhw, [5., 3., 6., 4.]),
    ] {
        let found = sifted(0.25, |sieve| form(order).decode(&numbers, &[0.9, 0.1, 0.75], 3, sieve)).unwrap();
        assert_eq!(found, expected, "{order:?}");
    }
}

#[test]
fn boxes_relative_to_anchors_are_put_there() {
    let form = SingleShot {
        order: Order::Yxhw,
        background: false,
        activation: Activation::None,
        anchors: Some(vec![[0.5, 0.25, 0.2, 0.1]]),
        variance: [0.1, 0.2],
    };
    // One anchor's width to the right, twice as wide.
    let numbers = [0.0, 10.0, 0.0, (2.0_f64.ln() / 0.2) as f32];
    let found = sifted(0.25, |sieve| form.decode(&numbers, &[0.5], 1, sieve)).unwrap();
    for (edge, expected) in found[0].corners.into_iter().zip([0.5, 0.2, 0.9, 0.3]) {
        assert!((edge - expected).abs() < 1e-6, "{found:?}");
    }
}

#[test]
fn scores_become_probabilities() {
    let score = |activation| {
        let form = SingleShot { order: Order::Xyxy, background: true, activation, anchors: None, variance: [0.1, 0.2] };
        sifted(0.1, |sieve| form.decode(&[0., 0., 1., 1.], &[1.0, 2.0, 3.0], 3, sieve)).unwrap()[0].score
    };
    assert!((score(Activation::Sigmoid) - 1.0 / (1.0 + (-3.0_f64).exp())).abs() < 1e-9);
    let all = 1.0_f64.exp() + 2.0_f64.exp() + 3.0_f64.exp();
    assert!((score(Activation::Softmax) - 3.0_f64.exp() / all).abs() < 1e-9);
}

#[test]
fn nonsense_is_not_taken_for_an_empty_picture() {
    let said = |values: [f32; 6]| sifted(0.25, |sieve| plain(&values, sieve)).unwrap_err().to_string();
    assert!(said([0., 0., 1., 1., f32::NAN, 0.]).contains("no numbers"));
    assert!(said([0., 0., f32::INFINITY, 1., 0.5, 0.]).contains("no numbers"));
    assert!(said([5., 5., 1., 1., 0.5, 0.]).contains("end before they begin"));
    assert!(said([0., 0., 1., 1., 7.5, 0.]).contains("a score of 7.50"));
}

#[test]
fn no_boxes_are_no_boxes() {
    assert_eq!(sifted(0.25, |sieve| plain(&[], sieve)).unwrap(), []);
    assert_eq!(sifted(0.25, |sieve| yolov8(&[], 0, sieve)).unwrap(), []);
    assert_eq!(sifted(0.25, |sieve| yolov5(&[], 6, sieve)).unwrap(), []);
    assert_eq!(sifted(0.25, |sieve| obico(&[], &[], 1, sieve)).unwrap(), []);
}

#[test]
fn a_box_is_of_the_best_class_that_is_looked_for() {
    let only = |decode: &dyn Fn(&mut Sieve)| {
        let mut sieve = Sieve::new(0.25, [1.0, 1.0]).only(&[1]);
        decode(&mut sieve);
        sieve.finish().unwrap()
    };
    // One box each, of which the first class scores more than the second.
    let expected = [candidate([1., 2., 5., 8.], 0.375, 1)];
    let form = SingleShot {
        order: Order::Xyxy,
        background: true,
        activation: Activation::None,
        anchors: None,
        variance: [0.1, 0.2],
    };
    assert_eq!(only(&|sieve| form.decode(&[1., 2., 5., 8.], &[0.9, 0.5, 0.375], 3, sieve)), expected);
    assert_eq!(only(&|sieve| yolov8(&[3., 5., 4., 6., 0.5, 0.375], 1, sieve)), expected);
    assert_eq!(only(&|sieve| yolov5(&[3., 5., 4., 6., 0.5, 0.9, 0.75], 7, sieve)), expected);
    assert_eq!(only(&|sieve| obico(&[1., 2., 5., 8.], &[0.5, 0.375], 2, sieve)), expected);
    let rows = [0., 0., 1., 1., 0.5, 0., 1., 2., 5., 8., 0.375, 1.];
    assert_eq!(only(&|sieve| plain(&rows, sieve)), expected);
    assert_eq!(only(&|sieve| obico(&[1., 2., 5., 8.], &[0.5, 0.125], 2, sieve)), []);
}

/// Numbers as a broken model may tell them.
fn anything() -> impl Strategy<Value = f32> {
    let odd = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, f32::MIN, f32::MIN_POSITIVE, -0.0, 1e30];
    prop_oneof![any::<f32>(), 0.0..1.0_f32, prop::sample::select(odd.to_vec())]
}

proptest! {
    #[test]
    fn any_numbers_become_whole_boxes_or_an_error(
        values in prop::collection::vec(anything(), 0..120),
        scores in prop::collection::vec(anything(), 0..60),
        (size, background, with_anchors) in (0..9_usize, any::<bool>(), any::<bool>()),
        (order, activation) in (
            prop::sample::select(vec![Order::Xyxy, Order::Yxyx, Order::Xywh, Order::Yxhw]),
            prop::sample::select(vec![Activation::None, Activation::Sigmoid, Activation::Softmax]),
        ),
        threshold in 0.0..1.0,
    ) {
        let anchors = with_anchors.then(|| vec![[0.5; 4]; 10]);
        let form = SingleShot { order, background, activation, anchors, variance: [0.1, 0.2] };
        for found in [
            sifted(threshold, |sieve| yolov8(&values, size, sieve)),
            sifted(threshold, |sieve| yolov5(&values, size, sieve)),
            sifted(threshold, |sieve| plain(&values, sieve)),
            sifted(threshold, |sieve| obico(&values, &scores, size, sieve)),
            sifted(threshold, |sieve| form.decode(&values, &scores, size, sieve)),
        ].into_iter().flatten().flatten() {
            prop_assert!((threshold..=1.0).contains(&found.score));
            let [left, top, right, bottom] = found.corners;
            prop_assert!(left < right && top < bottom && found.corners.iter().all(|edge| edge.is_finite()));
        }
    }

    #[test]
    fn a_higher_threshold_takes_boxes_away_and_changes_none(
        values in prop::collection::vec(0.0..1.0_f32, 60), (low, more) in (0.0..1.0, 0.0..0.5)
    ) {
        let above = |threshold: f64| sifted(threshold, |sieve| yolov8(&values, 10, sieve)).unwrap();
        let kept: Vec<Candidate> = above(low).into_iter().filter(|found| found.score >= low + more).collect();
        prop_assert_eq!(above(low + more), kept);
    }
}
