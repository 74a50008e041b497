//! What is wrong is said, and what would be right.

use super::*;

const INT64: u64 = 7;
const FLOAT16: u64 = 10;

#[test]
fn a_layout_that_does_not_fit_is_said_with_the_one_that_does() {
    let bench = Bench::of(told(&[("output0", &[1, 84, 84], &[0.0; 84 * 84])]));
    let eighty: Vec<String> = (0..80).map(|n| format!("c{n}")).collect();
    let error = bench.refused(&format!("classes: [{}]\noutput: {{layout: yolov5}}", eighty.join(", ")));
    let expected = "the output `output0` is float32[1,84,84]; layout yolov5 expects [1,n,5+classes] and 80 classes are named: it \
                    looks like yolov8";
    assert!(error.ends_with(expected), "{error}");
    let error = bench.refused("output: {layout: obico}");
    assert!(
        error.contains("layout obico is read from two outputs") && error.contains("it looks like yolov8"),
        "{error}"
    );
    let error = bench.refused("classes: [a, b]\noutput: {layout: yolov8}");
    assert!(error.contains("expects [1,4+classes,n] and 2 classes are named"), "{error}");
    let error = bench.refused("output: {layout: plain}");
    assert!(error.contains("expects [n,6] or [1,n,6]: it looks like yolov8"), "{error}");
}

#[test]
fn outputs_that_are_no_detectors_are_refused() {
    let bench = Bench::of(told(&[("logits", &[1, 10], &[0.0; 10])]));
    let error = bench.refused("");
    assert!(error.contains("(`logits` float32[1,10]) could be of several layouts, or of none"), "{error}");
    let error = bench.refused("output: {layout: yolov8}");
    assert!(error.contains("read from one output of 3 dimensions; the model has `logits` float32[1,10]"), "{error}");
    let error = bench.refused("output: {layout: yolov8, name: boxes}");
    assert!(error.contains("it has no output `boxes`; it has `logits` float32[1,10]"), "{error}");
    let two = ("b", &[1, 5, 84][..], &[0.0; 5 * 84][..]);
    let error = Bench::of(told(&[("a", two.1, two.2), two])).refused("output: {layout: yolov8}");
    assert!(error.contains("say with `output.name`"), "{error}");

    let mut graph = told(&[]);
    graph.constant("constant", &tensor(&[1, 5, 84], &[0.0; 5 * 84]));
    graph.node("Cast", "half", &["constant"], &[("to", Attribute::Int(FLOAT16 as i64))]);
    graph.output_of(FLOAT16, "half", &sizes(&[1, 5, 84]));
    let error = Bench::of(graph).refused("output: {layout: yolov8, name: half}");
    assert!(
        error.contains("`half` is float16[1,5,84], which jarvis cannot read: export the model with 32-bit"),
        "{error}"
    );
}

#[test]
fn scores_that_are_no_probabilities_are_refused() {
    let boxes = columns(&[&[32.0, 32.0, 32.0, 16.0, 4.5]]);
    let error = Bench::of(told(&[("output0", &[1, 5, 84], &boxes)])).refused("");
    assert!(error.contains("a score of 4.50"), "{error}");
    let boxes = columns(&[&[32.0, 32.0, 32.0, 16.0, f32::NAN]]);
    let error = Bench::of(told(&[("output0", &[1, 5, 84], &boxes)])).refused("");
    assert!(error.contains("are no numbers"), "{error}");
}

#[test]
fn inputs_that_are_no_pictures_are_refused() {
    let with_input = |shape: &[usize], element: u64| {
        let mut graph = Graph::default();
        graph.input_of(element, "x", &sizes(shape));
        add_outputs(&mut graph, &[("output0", &[1, 5, 84], &[0.0; 5 * 84])]);
        Bench::of(graph)
    };
    let error = with_input(&[1, 1, 64, 64], 1).refused("");
    assert!(error.contains("its input `x` is float32[1,1,64,64]: one picture is [1,3,height,width]"), "{error}");
    let error = with_input(&[1, 3, 64], 1).refused("");
    assert!(error.contains("its input `x` is float32[1,3,64]"), "{error}");
    let error = with_input(&[1, 3, 64, 64], INT64).refused("");
    assert!(error.contains("its input `x` is int64[1,3,64,64]: jarvis has float32 and uint8"), "{error}");
    let right = with_input(&[1, 3, 64, 64], 1);
    assert!(right.refused("input: {width: 32}").contains("`x` is float32[1,3,64,64], and `input.width` says 32"));
    assert!(right.refused("input: {name: y}").contains("it has no input `y`; it has `x` float32[1,3,64,64]"));
    let mut graph = told(&[("output0", &[1, 5, 84], &[0.0; 5 * 84])]);
    graph.input("shape", &sizes(&[1, 2]));
    let error = Bench::of(graph).refused("");
    assert!(error.contains("it takes 2 inputs, `images` float32[1,3,64,64], `shape` float32[1,2]"), "{error}");
}

#[test]
fn files_that_are_no_models_are_refused() {
    let whole = looking(1, 0).finish("test");
    let cut = &whole[..whole.len() * 2 / 3];
    for (what, bytes) in [("cut short", cut), ("text", b"no model at all"), ("empty", b"")] {
        let error = Bench::with(bytes).refused("");
        assert!(error.contains("model.onnx cannot be loaded"), "{what}: {error}");
    }
    let bench = Bench::with(b"");
    std::fs::remove_file(bench.folder.path().join("model.onnx")).unwrap();
    assert!(bench.refused("").contains("does not exist"));
}

#[test]
fn descriptions_that_say_what_cannot_be_are_refused() {
    let refused = |text: &str| format!("{:#}", Detection::of_yaml(text).unwrap_err());
    assert!(refused("threshold: 0.5").contains("model"));
    assert!(refused("model: a\nthresh: 0.5").contains("thresh"));
    assert!(refused("model: a\noutput: {layout: yolov9}").contains("yolov9"));
    assert!(refused("model: a\noutput: {layout: yolov8, boxes: b}").contains("boxes"));
    assert!(refused("model: a\nthreshold: 1.5").contains("`threshold` is 1.5"));
    assert!(refused("model: a\noverlap: .nan").contains("`overlap` is NaN"));
    assert!(refused("model: a\nmost: 0").contains("`most` is 0"));
    assert!(refused("model: a\ninput: {std: [0, 1, 1]}").contains("`input.std`"));
    assert!(refused("model: a\ninput: {width: 0}").contains("`input.width` is 0"));
    assert!(refused("model: a\noutput: {layout: ssd, anchors: a.json}").contains("`order` is xywh or yxhw"));
}
