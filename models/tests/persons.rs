//! The catalog's detector of persons, on pictures: against a TFLite interpreter, and against what is to be seen.

mod fetched;

use fetched::{media, models};
use image::{RgbImage, imageops};
use jarvis_models::convert::Conversion;
use jarvis_models::runtime::Tensor;
use jarvis_models::vision::{Detected, Detector};
use jarvis_models::{Model, Options, picture};
use proptest::prelude::*;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::{LazyLock, Mutex};
use std::time::Instant;

const NAME: &str = "person-detector";
const PERSON: usize = 4;

fn detector(options: Options) -> Option<Detector> {
    let (catalog, store) = models(NAME)?;
    Some(Detector::open_catalog(NAME, &catalog, &store, options).unwrap())
}

fn photograph(name: &str) -> Option<RgbImage> {
    Some(picture::decode(&std::fs::read(media(name)?).unwrap()).unwrap())
}

/// What `oracle/tflite.py` has written down.
#[derive(Deserialize)]
struct Told {
    mean: Means,
    anchors: Vec<Anchor>,
}

/// Of all numbers without their signs.
#[derive(Deserialize)]
struct Means {
    boxes: f32,
    scores: f32,
}

#[derive(Deserialize)]
struct Anchor {
    at: usize,
    #[serde(rename = "box")]
    corners: Vec<f32>,
    scores: Vec<f32>,
}

fn near(found: &[f32], expected: &[f32], tolerance: f32) -> bool {
    found.len() == expected.len() && found.iter().zip(expected).all(|(a, b)| (a - b).abs() <= tolerance)
}

fn agrees(pixels: &RgbImage, told: &Told) {
    let Some((catalog, store)) = models(NAME) else { return };
    let model = Model::open(&catalog, &store, NAME, Options::default()).unwrap();
    let channel = |c: usize| pixels.pixels().map(move |pixel| (f32::from(pixel.0[c]) - 127.5) / 127.5);
    let given = Tensor { shape: vec![1, 3, 300, 300], values: (0..3).flat_map(channel).collect() };
    let found = model.run("normalized_input_image_tensor", &given).unwrap();
    let (boxes, scores) = (&found["raw_outputs/box_encodings"].values, &found["raw_outputs/class_predictions"].values);
    assert_eq!((boxes.len(), scores.len()), (1917 * 4, 1917 * 24));
    // A thousandth of a logit moves a score by at most 0.00025; interpreters differ by a tenth of that among each other.
    for Anchor { at, corners, scores: expected } in &told.anchors {
        assert!(near(&boxes[at * 4..][..4], corners, 1e-3), "{at}: {:?}, {corners:?}", &boxes[at * 4..][..4]);
        assert!(near(&scores[at * 24..][..24], expected, 1e-3), "{at}: {:?}, {expected:?}", &scores[at * 24..][..24]);
    }
    let mean = |values: &[f32]| (values.iter().map(|v| f64::from(v.abs())).sum::<f64>() / values.len() as f64) as f32;
    assert!(near(&[mean(boxes), mean(scores)], &[told.mean.boxes, told.mean.scores], 1e-4));
    // Those that look most like a person come first.
    let most = |at: &usize| scores[at * 24 + PERSON];
    let best = (0..1917).max_by(|a, b| most(a).total_cmp(&most(b)));
    assert!((most(&best.unwrap()) - told.anchors[0].scores[PERSON]).abs() < 1e-3);
}

fn told(of: &str) -> Told {
    let mut all: BTreeMap<String, Told> = serde_json::from_str(include_str!("oracle/tflite.json")).unwrap();
    all.remove(of).unwrap()
}

#[test]
fn a_made_picture_tells_what_the_interpreter_of_tflite_tells() {
    let value = |x: u32, y: u32, c: u32| ((x * (c + 2) + 3 * y) / 4 + 60 * ((x / 25 + y / 25) % 2)) % 256;
    let pixel = |x, y| image::Rgb([0, 1, 2].map(|c| value(x, y, c) as u8));
    agrees(&RgbImage::from_fn(300, 300, pixel), &told("made"));
}

#[test]
fn a_photograph_tells_what_the_interpreter_of_tflite_tells() {
    let Some(astronaut) = photograph("pictures-astronaut") else { return };
    agrees(&imageops::crop_imm(&astronaut, 80, 0, 300, 300).to_image(), &told("astronaut"));
}

#[test]
fn a_person_is_found_where_one_is_and_nowhere_else() {
    let Some(detector) = detector(Options::default()) else { return };
    assert!(detector.takes_several());
    let Some(astronaut) = photograph("pictures-astronaut") else { return };
    let found = detector.detect(&astronaut).unwrap();
    let [Detected { class, score, left, top, width, height }] = &found[..] else { panic!("{found:?}") };
    assert!(class == "Person" && *score > 0.5, "{found:?}");
    // From the top of the hair to the lower edge, from sleeve to sleeve.
    let is_around = |x: f64, y: f64| *left < x && x < left + width && *top < y && y < top + height;
    assert!(is_around(0.43, 0.2) && is_around(0.4, 0.85) && is_around(0.15, 0.75), "{found:?}");
    // As the numbers of TFLite's interpreter are decoded by a program of its own.
    let edges = [*left, *top, left + width, top + height];
    assert!(edges.iter().zip([0.03, 0.03, 0.71, 0.99]).all(|(found, told)| (found - told).abs() < 0.02), "{found:?}");
    let Some(coffee) = photograph("pictures-coffee") else { return };
    assert_eq!(detector.detect(&coffee).unwrap(), []);
    assert_eq!(detector.detect(&RgbImage::new(640, 480)).unwrap(), []);
}

/// The detector, and pictures of many shapes with and without a person.
struct Scene {
    detector: Detector,
    pictures: Vec<RgbImage>,
    singly: Vec<Vec<Detected>>,
}

/// `None`: they cannot be had.
static SCENE: LazyLock<Option<Scene>> = LazyLock::new(|| {
    let (astronaut, coffee) = (photograph("pictures-astronaut")?, photograph("pictures-coffee")?);
    let detector = detector(Options::default())?;
    let part = |x: u32, y: u32, width: u32, height: u32| imageops::crop_imm(&astronaut, x, y, width, height).to_image();
    let mirrored = imageops::flip_horizontal(&astronaut);
    let dark = imageops::colorops::brighten(&astronaut, -80);
    let parts = [part(80, 0, 300, 300), part(0, 0, 500, 200), part(100, 50, 200, 400)];
    let pictures = [vec![astronaut.clone(), coffee, mirrored, dark, RgbImage::new(1, 1)], parts.to_vec()].concat();
    let singly: Vec<Vec<Detected>> = pictures.iter().map(|picture| detector.detect(picture).unwrap()).collect();
    assert!(singly.iter().flatten().count() >= 3, "{singly:?}");
    Some(Scene { detector, pictures, singly })
});

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]
    #[test]
    fn pictures_together_tell_what_each_tells_alone(chosen in prop::collection::vec(0..8_usize, 0..20)) {
        let Some(Scene { detector, pictures, singly }) = &*SCENE else { return Ok(()) };
        let some: Vec<RgbImage> = chosen.iter().map(|at| pictures[*at].clone()).collect();
        let expected: Vec<Vec<Detected>> = chosen.iter().map(|at| singly[*at].clone()).collect();
        prop_assert_eq!(detector.detect_all(&some).unwrap(), expected);
    }
}

#[test]
fn a_picture_of_nothing_fails_all_that_go_with_it() {
    let Some(Scene { detector, pictures, .. }) = &*SCENE else { return };
    let with_none = [pictures[0].clone(), RgbImage::new(0, 0)];
    assert!(detector.detect_all(&with_none).unwrap_err().to_string().contains("no pixels"));
    assert_eq!(detector.detect_all(&[]).unwrap(), Vec::<Vec<Detected>>::new());
}

/// The file as it was fetched.
static FILE: LazyLock<Option<Mutex<Vec<u8>>>> =
    LazyLock::new(|| Some(Mutex::new(std::fs::read(media("person-detector-tflite")?).unwrap())));

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    /// What is not weights are the last 78 kilobytes.
    #[test]
    fn an_altered_file_is_converted_or_refused(
        changes in prop::collection::vec((0..78_000_usize, 0..8_u32), 1..4),
        cut in prop::option::weighted(0.2, 1..100_000_usize),
    ) {
        let Some(file) = &*FILE else { return Ok(()) };
        let mut altered = file.lock().unwrap().clone();
        let whole = altered.len();
        for (before_the_end, bit) in changes {
            altered[whole - 1 - before_the_end] ^= 1 << bit;
        }
        altered.truncate(whole - cut.unwrap_or(0));
        if let Ok(onnx) = Conversion::Tflite.apply(altered) {
            prop_assert!(onnx.len() < 4 * whole);
        }
    }
}

/// How long a picture takes: `cargo nextest run -p jarvis-models --run-ignored only --no-capture`.
#[test]
#[ignore = "it measures"]
fn milliseconds_per_picture() {
    let Some(Scene { pictures, .. }) = &*SCENE else { return };
    for threads in [1, 2] {
        let detector = detector(Options { threads, ..Options::default() }).unwrap();
        for together in [1, 4, 8, 16] {
            let some = vec![pictures[0].clone(); together];
            let mut runs: Vec<f64> = (0..12)
                .map(|_| {
                    let start = Instant::now();
                    detector.detect_all(&some).unwrap();
                    start.elapsed().as_secs_f64() * 1e3 / together as f64
                })
                .collect();
            runs.sort_by(f64::total_cmp);
            println!("{threads} threads, {together} together: {:.1} ms (median), {:.1} ms (least)", runs[6], runs[0]);
        }
    }
}
