//! What is not converted is said.

use super::*;

fn refused(draft: &Draft, inputs: &[i32], outputs: &[i32]) -> String {
    format!("{:#}", to_onnx(&draft.finish(inputs, outputs)).unwrap_err())
}

/// One operator between two pictures of 4 × 4 pixels and two channels.
fn single(operator: impl FnOnce(&mut Draft, i32, i32)) -> String {
    let mut draft = Draft::default();
    let (from, to) = (draft.computed(&[1, 4, 4, 2]), draft.computed(&[1, 4, 4, 2]));
    operator(&mut draft, from, to);
    refused(&draft, &[from], &[to])
}

/// A convolution between these two.
fn convolved(weights: impl FnOnce(&mut Draft) -> i32, options: &[Field]) -> String {
    single(|draft, from, to| {
        let weights = weights(draft);
        draft.operator(CONV_2D, &[from, weights, -1], to, (1, options));
    })
}

fn right() -> Vec<Field> {
    vec![Field::Byte(0), Field::Int(1), Field::Int(1), Field::Byte(0)]
}

#[test]
fn operators_that_are_not_converted_are_named() {
    let of = |code: Vec<Field>| single(|draft, from, to| draft.coded(code, &[from], to, (0, &[])));
    assert!(of(vec![Field::Byte(25)]).contains("its operator SOFTMAX: is none that jarvis converts"));
    assert!(of(vec![Field::Byte(127), Field::Absent, Field::Absent, Field::Int(150)]).contains("its operator GELU"));
    let custom = vec![Field::Byte(32), Field::Text("TFLite_Detection_PostProcess".to_owned())];
    assert!(of(custom).contains("its operator TFLite_Detection_PostProcess"));
    let newer = of(vec![Field::Byte(127), Field::Absent, Field::Absent, Field::Int(999)]);
    assert!(newer.contains("an operator 999, and none of that number is known"), "{newer}");
}

#[test]
fn ways_of_operators_that_are_not_converted_are_said() {
    let weights = |draft: &mut Draft| draft.floats(&[2, 1, 1, 2], &[1.0; 4]);
    let with = |at: usize, field: Field| {
        let mut options = right();
        options[at] = field;
        convolved(weights, &options)
    };
    assert!(with(3, Field::Byte(4)).contains("its operator CONV_2D: has the activation TANH"));
    assert!(with(0, Field::Byte(2)).contains("a padding 2"));
    assert!(with(1, Field::Int(0)).contains("a stride or dilation: 0 is none that can be"));
    assert!(with(1, Field::Int(2)).contains("makes 2 of 4, and not 4"));
    let other = single(|draft, from, to| draft.operator(CONV_2D, &[from, 0], to, (2, &right())));
    assert!(other.contains("options of another kind"), "{other}");
    let bytes = convolved(|draft| draft.tensor(&[2, 1, 1, 2], 9, vec![1; 4]), &right());
    assert!(bytes.contains("its operator 0 (CONV_2D): takes the weights tensor 2, which are no floats"), "{bytes}");
}

#[test]
fn files_that_contradict_themselves_are_refused() {
    let short = convolved(|draft| draft.floats(&[2, 1, 1, 2], &[1.0; 3]), &right());
    assert!(short.contains("weights tensor 2, which are not whole"), "{short}");
    let wide = convolved(|draft| draft.floats(&[2, 1, 1, 3], &[1.0; 6]), &right());
    assert!(wide.contains("has weights [2, 1, 1, 3] between [1, 4, 4, 2] and [1, 4, 4, 2]"), "{wide}");
    let later = single(|draft, _, to| {
        let late = draft.computed(&[1, 4, 4, 2]);
        draft.operator(ADD, &[late, late], to, (11, &[]));
    });
    assert!(later.contains("takes what is not computed before it"), "{later}");
    let twice = single(|draft, from, _| draft.operator(ADD, &[from, from], from, (11, &[])));
    assert!(twice.contains("the tensor tensor 0 is computed twice, or constant"), "{twice}");
    let never = single(|_, _, _| ());
    assert!(never.contains("an output of it is never computed"), "{never}");

    let mut draft = Draft::default();
    let (from, to) = (draft.computed(&[1, 4, 4, 2]), draft.computed(&[1, 3, 2]));
    draft.operator(RESHAPE, &[from], to, (0, &[]));
    assert!(refused(&draft, &[from], &[to]).contains("makes [1, 3, 2] of [1, 4, 4, 2]"));
    let mut draft = Draft::default();
    let from = draft.computed(&[2, 4, 4, 2]);
    assert!(refused(&draft, &[from], &[]).contains("and not of one picture"));
    let from = draft.computed(&[1, 4]);
    assert!(refused(&draft, &[from], &[from]).contains("are called \"tensor 1\""));
}

#[test]
fn weights_that_are_taken_again_and_again_do_not_blow_up() {
    let mut draft = Draft::default();
    let from = draft.computed(&[1, 4, 4, 50]);
    let weights = draft.floats(&[50, 1, 1, 50], &[1.0; 2500]);
    let mut last = from;
    for _ in 0..100 {
        let next = draft.computed(&[1, 4, 4, 50]);
        draft.operator(CONV_2D, &[last, weights], next, (1, &right()));
        last = next;
    }
    assert!(refused(&draft, &[from], &[last]).contains("takes weights that are taken too often already"));
}

#[test]
fn lists_and_names_that_are_too_long_are_refused() {
    let custom = |length: usize| vec![Field::Byte(32), Field::Text("n".repeat(length))];
    let named = |length: usize| single(|draft, from, to| draft.coded(custom(length), &[from], to, (0, &[])));
    assert!(named(4096).contains("is none that jarvis converts"));
    assert!(named(4097).contains("a list has 4097 items, and at most 4096 make sense"));
    let mut draft = Draft::default();
    let from = draft.computed(&[1; 9]);
    assert!(refused(&draft, &[from], &[]).contains("a list has 9 items, and at most 8 make sense"));
}

#[test]
fn other_files_are_refused() {
    let error = |bytes: &[u8]| format!("{:#}", to_onnx(bytes).unwrap_err());
    assert!(error(b"").contains("cut short or damaged"));
    assert!(error(b"\x08\0\0\0ONNX no such thing").contains("it is marked ONNX and not TFL3"));
    assert!(error(&draft::file(&[Field::Int(2)])).contains("its version is 2, and 3 is known"));
    assert!(error(&draft::file(&[Field::Int(3)])).contains("it has 0 graphs"));
}
