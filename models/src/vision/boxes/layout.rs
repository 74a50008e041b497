//! The layouts of outputs: what each looks like, and which one a model's outputs look like.

use super::description::{One, Output, Two, Unit};
use std::fmt;

/// A layout without its details.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    Yolov8,
    Yolov5,
    Obico,
    Ssd,
    Plain,
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Layout::Yolov8 => "yolov8",
            Layout::Yolov5 => "yolov5",
            Layout::Obico => "obico",
            Layout::Ssd => "ssd",
            Layout::Plain => "plain",
        })
    }
}

impl Layout {
    pub fn of(output: &Output) -> Self {
        match output {
            Output::Yolov8(_) => Layout::Yolov8,
            Output::Yolov5(_) => Layout::Yolov5,
            Output::Obico(_) => Layout::Obico,
            Output::Ssd(_) => Layout::Ssd,
            Output::Plain(_) => Layout::Plain,
        }
    }

    /// Its description with nothing said. `None`: more has to be said, since it comes in several forms.
    pub fn bare(self) -> Option<Output> {
        let one = One { name: None, unit: Unit::Pixels };
        match self {
            Layout::Yolov8 => Some(Output::Yolov8(one)),
            Layout::Yolov5 => Some(Output::Yolov5(one)),
            Layout::Plain => Some(Output::Plain(one)),
            Layout::Obico => Some(Output::Obico(Two::default())),
            Layout::Ssd => None,
        }
    }

    /// Which one outputs of such shapes have, of a model with an input of so many pixels across and down and so many
    /// classes, if that is known. `None`: none, or it could be several.
    pub fn recognised(shapes: &[&[usize]], input: (u32, u32), classes: Option<usize>) -> Option<Self> {
        let boxes = |shape: &&&[usize]| matches!(shape, [1, _, 1, 4]);
        if let [a, b] = shapes
            && let Some([_, count, _, _]) = [a, b].into_iter().find(|shape| boxes(shape))
            && [a, b].into_iter().any(|shape| matches!(shape, [1, n, _] if n == count))
        {
            return Some(Layout::Obico);
        }
        if let [[1, a, 4], [1, b, _]] | [[1, b, _], [1, a, 4]] = shapes
            && a == b
        {
            return Some(Layout::Ssd);
        }
        if let [[_, 6]] = shapes {
            return Some(Layout::Plain);
        }
        let mut tables = shapes.iter().filter(|shape| shape.len() == 3);
        let (Some([1, a, b]), None) = (tables.next(), tables.next()) else { return None };
        table(*a, *b, input, classes)
    }
}

/// Of one output `[1, a, b]`.
fn table(a: usize, b: usize, input: (u32, u32), classes: Option<usize>) -> Option<Layout> {
    let fits = |size: usize, more: usize| size > more && classes.is_none_or(|classes| size == classes + more);
    let points = points(input);
    if points.contains(&b) && fits(a, 4) {
        return Some(Layout::Yolov8);
    }
    // Three boxes at each point.
    if points.iter().any(|points| 3 * points == a) && fits(b, 5) {
        return Some(Layout::Yolov5);
    }
    match (a < b && fits(a, 4), a > b && fits(b, 5), b == 6) {
        (true, false, false) => Some(Layout::Yolov8),
        (false, true, false) => Some(Layout::Yolov5),
        (false, false, true) => Some(Layout::Plain),
        _ => None,
    }
}

/// The points at which YOLO models look for boxes: a grid at each of the strides 8, 16 and 32, and of large models 64.
fn points((width, height): (u32, u32)) -> [usize; 2] {
    let grid = |stride: u32| (width.div_ceil(stride) * height.div_ceil(stride)) as usize;
    let usual = grid(8) + grid(16) + grid(32);
    [usual, usual + grid(64)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn seen(shapes: &[&[usize]], classes: Option<usize>) -> Option<Layout> {
        Layout::recognised(shapes, (640, 640), classes)
    }

    #[test]
    fn exports_are_recognised_by_their_shapes() {
        assert_eq!(seen(&[&[1, 84, 8400]], None), Some(Layout::Yolov8));
        assert_eq!(seen(&[&[1, 5, 8400]], Some(1)), Some(Layout::Yolov8));
        // Two classes of YOLOv8, one of YOLOv5, and a choice of the model itself: 6 numbers each.
        assert_eq!(seen(&[&[1, 6, 8400]], None), Some(Layout::Yolov8));
        assert_eq!(seen(&[&[1, 25200, 6]], None), Some(Layout::Yolov5));
        assert_eq!(seen(&[&[1, 300, 6]], Some(80)), Some(Layout::Plain));
        assert_eq!(seen(&[&[1, 25200, 85]], None), Some(Layout::Yolov5));
        assert_eq!(seen(&[&[1, 25200, 85], &[1, 3, 80, 80, 85]], None), Some(Layout::Yolov5));
        assert_eq!(seen(&[&[17, 6]], None), Some(Layout::Plain));
        assert_eq!(seen(&[&[1, 10647, 1, 4], &[1, 10647, 1]], None), Some(Layout::Obico));
        // Obico's: 13 × 13 cells, five anchors, one class.
        assert_eq!(seen(&[&[1, 845, 1, 4], &[1, 845, 1]], None), Some(Layout::Obico));
        assert_eq!(seen(&[&[1, 10647, 80], &[1, 10647, 1, 4]], None), Some(Layout::Obico));
        assert_eq!(seen(&[&[1, 1917, 4], &[1, 1917, 24]], None), Some(Layout::Ssd));
    }

    #[test]
    fn what_could_be_several_is_none() {
        assert_eq!(seen(&[&[1, 300, 6]], None), None);
        assert_eq!(seen(&[&[1, 300, 6]], Some(1)), None);
        assert_eq!(seen(&[&[1, 1000]], None), None);
        assert_eq!(seen(&[&[1, 84, 8400], &[1, 84, 8400]], None), None);
        assert_eq!(seen(&[], None), None);
    }

    proptest! {
        #[test]
        fn any_shapes_are_recognised_or_not(
            shapes in prop::collection::vec(prop::collection::vec(0..9000_usize, 0..5), 0..4),
            input in (1..8192_u32, 1..8192_u32),
            classes in prop::option::of(0..100_usize),
        ) {
            let shapes: Vec<&[usize]> = shapes.iter().map(Vec::as_slice).collect();
            Layout::recognised(&shapes, input, classes);
        }
    }
}
