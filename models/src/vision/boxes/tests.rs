//! Detectors on ONNX Runtime, with small models that the tests write: some tell the same boxes whatever they see, as
//! each layout tells them, and one does look.

mod refusals;

use super::*;
use crate::convert::onnx::{Attribute, Graph, Size};
use crate::convert::torch;
use crate::runtime::tests::library;
use image::Rgb;
use tempfile::TempDir;

const UINT8: u64 = 2;

fn sizes(shape: &[usize]) -> Vec<Size> {
    shape.iter().map(|size| Size::Is(*size as u64)).collect()
}

fn tensor(shape: &[usize], values: &[f32]) -> torch::Tensor {
    torch::Tensor { shape: shape.to_vec(), values: values.to_vec() }
}

/// A model that takes a picture of 64 × 64 pixels and always tells the same; outputs by name, shape and values.
fn told(outputs: &[(&str, &[usize], &[f32])]) -> Graph {
    let mut graph = Graph::default();
    graph.input("images", &sizes(&[1, 3, 64, 64]));
    add_outputs(&mut graph, outputs);
    graph
}

fn add_outputs(graph: &mut Graph, outputs: &[(&str, &[usize], &[f32])]) {
    for (name, shape, values) in outputs {
        let constant = format!("{name}_constant");
        graph.constant(&constant, &tensor(shape, values));
        graph.node("Identity", name, &[&constant], &[]);
        graph.output(name, &sizes(shape));
    }
}

/// A folder with one model.
struct Bench {
    folder: TempDir,
}

impl Bench {
    fn with(model: &[u8]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("model.onnx"), model).unwrap();
        Bench { folder }
    }

    fn of(graph: Graph) -> Self {
        Bench::with(&graph.finish("test"))
    }

    /// `more`: lines of the description beside the model.
    fn open(&self, more: &str) -> anyhow::Result<Detector> {
        let description = Detection::of_yaml(&format!("model: model.onnx\n{more}"))?.below(self.folder.path());
        Detector::open(&description, &library(), Options::default())
    }

    fn detect(&self, more: &str, picture: &RgbImage) -> Vec<Detected> {
        self.open(more).unwrap().detect(picture).unwrap()
    }

    fn refused(&self, more: &str) -> String {
        format!("{:#}", self.open(more).err().expect("it is refused"))
    }
}

/// Twice as wide as high: in a letterbox of 64 × 64 it lies from 16 to 48.
fn picture() -> RgbImage {
    RgbImage::new(200, 100)
}

/// As rows to be compared: class, score in percent, and edges in percent of the picture.
fn rows(found: &[Detected]) -> Vec<(&str, [i64; 5])> {
    let percent = |share: f64| (100.0 * share).round() as i64;
    let row = |found: &Detected| [found.score, found.left, found.top, found.width, found.height].map(percent);
    found.iter().map(|found| (found.class.as_str(), row(found))).collect()
}

/// Boxes in the columns of YOLOv8's output of a model for 64 × 64 pixels, which has 84; the rest scores nothing.
fn columns(boxes: &[&[f32]]) -> Vec<f32> {
    let rows = boxes[0].len();
    let mut values = vec![0.0; 84 * rows];
    for (at, own) in boxes.iter().enumerate() {
        own.iter().enumerate().for_each(|(row, value)| values[row * 84 + at] = *value);
    }
    values
}

#[test]
fn yolov8_is_recognised_and_its_names_are_taken_from_the_file() {
    let boxes = columns(&[
        &[32.0, 32.0, 32.0, 16.0, 0.1, 0.9],
        &[33.0, 32.0, 32.0, 16.0, 0.2, 0.8],
        &[33.0, 32.0, 32.0, 16.0, 0.6, 0.3],
        &[32.0, 8.0, 10.0, 10.0, 0.9, 0.0],
        &[8.0, 24.0, 32.0, 16.0, 0.0, 0.3],
        &[8.0, 40.0, 16.0, 16.0, 0.0, 0.2],
    ]);
    let bytes = told(&[("output0", &[1, 6, 84], &boxes)])
        .finish_with("test", &[("names", "{0: 'stringing', 1: 'spaghetti'}"), ("imgsz", "[64, 64]")]);
    let bench = Bench::with(&bytes);
    assert_eq!(bench.open("").unwrap().layout(), "yolov8");
    // The second overlaps the first of its class, the fourth lies in the margin, the fifth half outside, the sixth is
    // weak.
    let expected =
        [("spaghetti", [90, 25, 25, 50, 50]), ("stringing", [60, 27, 25, 50, 50]), ("spaghetti", [30, 0, 0, 38, 50])];
    assert_eq!(rows(&bench.detect("", &picture())), expected);
    assert_eq!(rows(&bench.detect("classes: [a, b]\nmost: 1", &picture())), [("b", [90, 25, 25, 50, 50])]);
    assert_eq!(bench.detect("overlap: 1\nthreshold: 0.5", &picture()).len(), 3);
    let only = bench.detect("only: [stringing]\nthreshold: 0.15", &picture());
    assert_eq!(rows(&only), [("stringing", [60, 27, 25, 50, 50])]);
    assert_eq!(bench.open("only: [stringing]").unwrap().classes(), ["stringing"]);
    assert!(bench.refused("only: [warping]").contains("`only` has warping, and the classes are stringing, spaghetti"));
    let stretched = bench.detect("input: {fit: stretch}\nthreshold: 0.85\noutput: {layout: yolov8}", &picture());
    assert_eq!(rows(&stretched), [("spaghetti", [90, 25, 38, 50, 25]), ("stringing", [90, 42, 5, 16, 16])]);
}

#[test]
fn yolov5_multiplies_objectness_and_class() {
    let mut boxes = vec![0.0; 252 * 7];
    boxes[..7].copy_from_slice(&[32.0, 32.0, 32.0, 16.0, 0.5, 0.1, 0.9]);
    boxes[7..14].copy_from_slice(&[10.0, 32.0, 8.0, 8.0, 0.2, 0.9, 0.9]);
    // What is left over from the training is not read.
    let raw = ("raw", &[1, 3, 1, 1, 7][..], &[0.0; 21][..]);
    let bench = Bench::of(told(&[("output", &[1, 252, 7], &boxes), raw]));
    assert_eq!(rows(&bench.detect("", &picture())), [("1", [45, 25, 25, 50, 50])]);
    let said = "output: {layout: yolov5, name: output}\nclasses: [a, b]";
    assert_eq!(rows(&bench.detect(said, &picture())), [("b", [45, 25, 25, 50, 50])]);
}

#[test]
fn obicos_detector_drops_in() {
    let boxes = [0.25, 0.5, 0.5, 0.75, 0.26, 0.5, 0.51, 0.75, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.1, 0.1];
    let scores = [0.4, 0.3, 0.09, 0.07];
    let bench = Bench::of(told(&[("boxes", &[1, 4, 1, 4], &boxes), ("confs", &[1, 4, 1], &scores)]));
    let found = bench.detect("", &picture());
    assert_eq!(rows(&found), [("failure", [40, 25, 50, 25, 25]), ("failure", [9, 0, 0, 100, 100])]);
    assert!((failure_score(&found) - (1.0 - (-0.49_f64 / 0.4).exp2())).abs() < 1e-6);
}

#[test]
fn a_single_shot_detector_is_read_as_it_is_described() {
    let boxes = [0.0; 8];
    let scores = [0.0, 2.0, -2.0, 5.0, -9.0, -9.0];
    let bench = Bench::of(told(&[("b", &[1, 2, 4], &boxes), ("s", &[1, 2, 3], &scores)]));
    let anchors = bench.folder.path().join("anchors.json");
    std::fs::write(&anchors, "[[0.5, 0.25, 0.2, 0.1], [0.5, 0.5, 1, 1]]").unwrap();
    let said = "output: {layout: ssd, order: yxhw, activation: sigmoid, anchors: anchors.json}\nclasses: [a, b]";
    assert_eq!(rows(&bench.detect(said, &picture())), [("a", [88, 40, 20, 20, 10])]);

    assert!(bench.refused("").contains("it looks like ssd"));
    let wrong = bench.refused("output: {layout: ssd}\nclasses: [a]");
    assert!(wrong.contains("tells 3 scores for each box, and 1 classes are named"), "{wrong}");
    let grids = "output: {layout: ssd, order: yxhw, grids: {cells: [1], scales: [0.5, 0.5], ratios: [1]";
    let on_grids = format!("{grids}, few_in_first: false}}}}\nclasses: [a, b]");
    // Scores are told as they are here: the second box, around the second anchor, which is √(0.5 · 1) wide.
    assert!(bench.refused(&on_grids.replace("yxhw", "xyxy")).contains("`order` is xywh or yxhw"));
    assert!(bench.refused(&on_grids.replace("order", "anchors: a, order")).contains("and not by both"));
    assert!(bench.refused(&format!("{grids}}}}}\nclasses: [a, b]")).contains("2 boxes, and there are 3 anchors"));
    let on_grids = on_grids.replace("order", "activation: softmax, order");
    assert_eq!(rows(&bench.detect(&on_grids, &picture())), [("a", [87, 25, 25, 50, 50])]);
    std::fs::write(&anchors, "[[0.5, 0.25, 0.2, 0.1]]").unwrap();
    assert!(bench.refused(said).contains("the model tells 2 boxes, and there are 1 anchors"));
    std::fs::write(&anchors, "{}").unwrap();
    assert!(bench.refused(said).contains("are not [[x, y, width, height], …]"));
    std::fs::remove_file(&anchors).unwrap();
    assert!(bench.refused(said).contains("anchors.json cannot be read"));
}

#[test]
fn models_that_choose_boxes_themselves_are_not_asked_again() {
    let boxes = [16., 24., 48., 40., 0.9, 1., 16., 24., 48., 40., 0.8, 1., 0., 0., 0., 0., 0., -1.];
    let bench = Bench::of(told(&[("output0", &[1, 3, 6], &boxes)]));
    let expected = [("1", [90, 25, 25, 50, 50]), ("1", [80, 25, 25, 50, 50])];
    assert_eq!(rows(&bench.detect("output: {layout: plain}", &picture())), expected);
    // Three boxes are too few for any other layout; a hundred could be those of YOLOv5 with one class.
    assert_eq!(bench.open("").unwrap().layout(), "plain");
    let many = Bench::of(told(&[("output0", &[1, 100, 6], &[0.0; 600])]));
    assert!(many.refused("").contains("`output0` float32[1,100,6]) could be of several layouts"));
    let shares = [0.25, 0.375, 0.75, 0.625, 0.9, 1.0];
    let bench = Bench::of(told(&[("output0", &[1, 6], &shares)]));
    assert_eq!(rows(&bench.detect("output: {layout: plain, unit: shares}", &picture())), expected[..1]);
}

#[test]
fn a_model_that_found_nothing_has_found_nothing() {
    let bench = Bench::of(told(&[("output0", &[0, 6], &[])]));
    assert_eq!(bench.detect("", &picture()), []);
    let bench = Bench::of(told(&[("output0", &[1, 0, 6], &[])]));
    assert_eq!(bench.detect("output: {layout: plain}", &picture()), []);
    let bench = Bench::of(told(&[("output0", &[1, 5, 84], &columns(&[&[0.0; 5]]))]));
    assert_eq!(bench.detect("", &picture()), []);
}

/// A model that looks: of 8 × 8 cells, a box for each as bright in one colour as it is. `element`: of its input; bytes
/// come by pixel, floats by colour. No size of its input is declared.
fn looking(element: u64, place: usize) -> Graph {
    let mut graph = Graph::default();
    let any = || [Size::Any("height"), Size::Any("width")];
    let [height, width] = any();
    let colours = if element == UINT8 {
        graph.input_of(UINT8, "pixels", &[Size::Any("batch"), height, width, Size::Is(3)]);
        graph.node("Cast", "cast", &["pixels"], &[("to", Attribute::Int(1))]);
        graph.constant("byte", &tensor(&[], &[255.0]));
        graph.node("Div", "scaled", &["cast", "byte"], &[]);
        graph.node("Transpose", "colours", &["scaled"], &[("perm", Attribute::Ints(&[0, 3, 1, 2]))]);
        "colours"
    } else {
        graph.input("pixels", &[Size::Any("batch"), Size::Is(3), height, width]);
        "pixels"
    };
    let mean = (0..3 * 64).map(|at| f32::from(u8::from(at / 64 == place)) / 64.0).collect::<Vec<f32>>();
    graph.constant("mean", &tensor(&[1, 3, 8, 8], &mean));
    graph.node("Conv", "cells", &[colours, "mean"], &[("strides", Attribute::Ints(&[8, 8]))]);
    let centre = |at: usize| 8.0 * at as f32 + 4.0;
    let across = (0..64).map(|at| centre(at % 8));
    let down = (0..64).map(|at| centre(at / 8));
    let boxes: Vec<f32> = across.chain(down).chain([8.0; 128]).collect();
    graph.constant("grid", &tensor(&[1, 4, 64], &boxes));
    graph.integers("flat", &[0, 1, 64]);
    graph.node("Reshape", "scores", &["cells", "flat"], &[]);
    graph.node("Concat", "output0", &["grid", "scores"], &[("axis", Attribute::Int(1))]);
    graph.output("output0", &[Size::Any("a"), Size::Any("b"), Size::Any("c")]);
    graph
}

/// Black, but for one cell of the letterboxed input: the sixth across, the fourth down, there from y = 24 to 32.
fn lit(colour: Rgb<u8>) -> RgbImage {
    let mut picture = RgbImage::new(640, 320);
    for (x, y) in (400..480).flat_map(|x| (80..160).map(move |y| (x, y))) {
        picture.put_pixel(x, y, colour);
    }
    picture
}

#[test]
fn what_is_in_the_picture_is_found_where_it_is() {
    let bench = Bench::of(looking(1, 0));
    let said =
        |more: &str| format!("input: {{width: 64, height: 64, pad: [0, 0, 0]{more}}}\nclasses: [red]\noverlap: 0");
    let red = lit(Rgb([255, 0, 0]));
    let found = bench.detect(&said(""), &red);
    assert_eq!(rows(&found)[0].1[1..], [63, 25, 13, 25], "{found:?}");
    assert!(found.len() == 1 && found[0].score > 0.9, "{found:?}");
    assert_eq!(bench.detect(&said(", colour: bgr"), &red), []);
    assert_eq!(bench.detect(&said(", colour: bgr"), &lit(Rgb([0, 0, 255]))), found);
    // Halved: (v - 0) / 510.
    let halved = bench.detect(&said(", std: [510, 510, 510]"), &red);
    assert!((2.0 * halved[0].score - found[0].score).abs() < 1e-3, "{halved:?}");
}

#[test]
fn bytes_by_pixel_are_the_same_picture() {
    let said = "input: {width: 64, height: 64, pad: [0, 0, 0]}";
    let (floats, bytes) = (Bench::of(looking(1, 1)), Bench::of(looking(UINT8, 1)));
    let green = lit(Rgb([3, 200, 3]));
    let (floats, found) = (floats.detect(said, &green), bytes.detect(said, &green));
    assert_eq!(rows(&found), rows(&floats));
    assert_eq!(found.len(), 1);
    assert!(bytes.refused("input: {width: 64, height: 64, mean: [1, 1, 1]}").contains("bytes have no `mean`"));
}

#[test]
fn one_detector_serves_many_threads() {
    let bench = Bench::of(looking(1, 0));
    let description =
        Detection::of_yaml("{model: model.onnx, input: {width: 64, height: 64}, output: {layout: yolov8}}");
    let description = description.unwrap().below(bench.folder.path());
    let detector = Detector::open(&description, &library(), Options { sessions: 2, ..Options::default() }).unwrap();
    let red = lit(Rgb([255, 0, 0]));
    let expected = detector.detect(&red).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..5).for_each(|_| assert_eq!(detector.detect(&red).unwrap(), expected)));
        }
    });
}

/// A model of any number of pictures, each with one box that is as likely as the picture is red, and green.
fn counting() -> Graph {
    let mut graph = Graph::default();
    graph.input("pixels", &[Size::Any("batch"), Size::Is(3), Size::Is(64), Size::Is(64)]);
    let colour = |row: usize, at: usize| f32::from(u8::from(row >= 4 && row - 4 == at / 64)) / 64.0;
    let weights: Vec<f32> = (0..6).flat_map(|row| (0..3 * 64).map(move |at| colour(row, at))).collect();
    graph.constant("weights", &tensor(&[6, 3, 8, 8], &weights));
    graph.constant("box", &tensor(&[6], &[32.0, 32.0, 16.0, 16.0, 0.0, 0.0]));
    graph.node("Conv", "cells", &["pixels", "weights", "box"], &[("strides", Attribute::Ints(&[8, 8]))]);
    graph.integers("flat", &[0, 6, 64]);
    graph.node("Reshape", "output0", &["cells", "flat"], &[]);
    graph.output("output0", &[Size::Any("batch"), Size::Is(6), Size::Is(64)]);
    graph
}

#[test]
fn pictures_go_through_a_model_together_where_it_takes_them() {
    let said = "input: {fit: stretch}\noutput: {layout: yolov8}\nclasses: [red, green]";
    let detector = Bench::of(counting()).open(said).unwrap();
    assert!(detector.takes_several());
    let pictures: Vec<RgbImage> =
        (0..40).map(|n: u8| RgbImage::from_pixel(30 + u32::from(n), 50, Rgb([6 * n, 250 - 6 * n, 0]))).collect();
    let found = detector.detect_all(&pictures).unwrap();
    let singly: Vec<Vec<Detected>> = pictures.iter().map(|picture| detector.detect(picture).unwrap()).collect();
    assert_eq!(found, singly);
    assert_eq!(rows(&found[0]), [("green", [98, 38, 38, 25, 25])]);
    assert_eq!(rows(&found[39]), [("red", [92, 38, 38, 25, 25])]);

    // Its file says that any number is fine, and its boxes are those of one picture.
    let one = Bench::of(looking(1, 0)).open("input: {width: 64, height: 64, pad: [0, 0, 0]}").unwrap();
    assert!(!one.takes_several());
    let pictures = [lit(Rgb([255, 0, 0])), RgbImage::new(10, 10), lit(Rgb([200, 0, 0]))];
    let singly: Vec<Vec<Detected>> = pictures.iter().map(|picture| one.detect(picture).unwrap()).collect();
    assert_eq!(one.detect_all(&pictures).unwrap(), singly);
    assert!(singly[0] != singly[2] && singly[1].is_empty(), "{singly:?}");
}

#[test]
fn a_size_that_only_the_notes_tell_is_taken_and_one_that_does_not_fit_is_said() {
    let noted = looking(1, 0).finish_with("test", &[("imgsz", "[64, 64]")]);
    let bench = Bench::with(&noted);
    assert_eq!(bench.open("input: {pad: [0, 0, 0]}").unwrap().detect(&lit(Rgb([255, 0, 0]))).unwrap().len(), 1);
    let error = bench.refused("input: {width: 128}");
    assert!(error.contains("tried on a blank picture of 128 × 64 pixels"), "{error}");
}

#[test]
fn a_description_is_what_it_was_after_writing_and_reading() {
    let text =
        "{model: m.onnx, classes: [a], output: {layout: ssd, order: yxyx, anchors: a.json}, input: {fit: stretch}}";
    // Anchors and corners do not go together, which reading alone does not mind.
    let description: Detection = serde_saphyr::from_str(text).unwrap();
    let json = serde_json::to_string(&description).unwrap();
    assert_eq!(serde_json::from_str::<Detection>(&json).unwrap(), description);
    assert_eq!(Detection::of("m.onnx"), Detection::of_yaml("model: m.onnx").unwrap());
}

#[test]
fn the_descriptions_in_the_documentation_are_read() {
    let page = include_str!("../../../../docs/vision.md");
    let described: Vec<&str> =
        page.split("```yaml\nmodel:").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    for text in &described {
        Detection::of_yaml(&format!("model:{text}")).unwrap();
    }
    assert!(described.len() >= 2, "the examples have gone");
    let (_, grids) = page.split_once("```yaml\ngrids:\n").unwrap();
    let grids: Grids = serde_saphyr::from_str(grids.split("```").next().unwrap()).unwrap();
    grids.check().unwrap();
    let shipped = Catalog::shipped().unwrap();
    let detection = shipped.get("person-detector").unwrap().detection.as_ref().unwrap();
    assert!(matches!(&detection.output, Some(Output::Ssd(Ssd { grids: Some(own), .. })) if *own == grids));
}
