//! Small networks that the tests write, converted and run on ONNX Runtime, beside what their operators are defined to do.

mod draft;
mod refusals;

use super::*;
use crate::runtime::tests::library;
use crate::runtime::{Model, Options, Tensor};
use draft::{Draft, FLOAT16, Field, INT32};
use proptest::prelude::*;
use std::collections::BTreeMap;

const ADD: i8 = 0;
const CONCATENATION: i8 = 2;
const CONV_2D: i8 = 3;
const DEPTHWISE_CONV_2D: i8 = 4;
const DEQUANTIZE: i8 = 6;
const RESHAPE: i8 = 22;

/// A picture or several, by pixel.
#[derive(Clone, Debug, PartialEq)]
struct Picture {
    /// Pictures, rows, columns, channels.
    shape: [usize; 4],
    values: Vec<f32>,
}

impl Picture {
    fn of(shape: [usize; 4], seed: u32) -> Self {
        Picture { shape, values: numbers(shape.iter().product(), seed) }
    }

    fn at(&self, n: usize, y: usize, x: usize, c: usize) -> f64 {
        let [_, height, width, channels] = self.shape;
        f64::from(self.values[((n * height + y) * width + x) * channels + c])
    }

    /// As the converted network takes and tells it.
    fn by_channel(&self) -> Tensor {
        let [count, height, width, channels] = self.shape;
        let mut values = vec![];
        for n in 0..count {
            for c in 0..channels {
                values.extend((0..height * width).map(|cell| self.at(n, cell / width, cell % width, c) as f32));
            }
        }
        Tensor { shape: vec![count, channels, height, width], values }
    }
}

/// Small whole numbers of eighths, which 16 bits hold, and whose products and sums are exact.
fn numbers(count: usize, seed: u32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(1);
    let next = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as f32 / 8.0 - 16.0
    };
    (0..count).map(next).collect()
}

/// The bits of numbers of eighths below 16 as 16-bit floats.
fn halves(values: &[f32]) -> Vec<u8> {
    let bits = |value: &f32| {
        let (bits, sign) = (value.abs().to_bits(), u16::from(value.is_sign_negative()) << 15);
        if *value == 0.0 { sign } else { sign | (((bits >> 23) - 112) << 10 | (bits >> 13 & 0x3ff)) as u16 }
    };
    values.iter().flat_map(|value| bits(value).to_le_bytes()).collect()
}

/// A convolution, as TensorFlow describes it.
#[derive(Clone, Debug)]
struct Convolution {
    /// Out, down, across, in; of each channel 1, down, across, out.
    kernel: [usize; 4],
    weights: Vec<f32>,
    bias: Vec<f32>,
    strides: [usize; 2],
    dilations: [usize; 2],
    is_padded: bool,
    each: bool,
    activation: i8,
}

impl Convolution {
    fn usual(kernel: [usize; 4], seed: u32) -> Self {
        Convolution {
            kernel,
            weights: numbers(kernel.iter().product(), seed),
            bias: numbers(kernel[0], seed + 1),
            strides: [1; 2],
            dilations: [1; 2],
            is_padded: true,
            each: false,
            activation: 0,
        }
    }

    /// TensorFlow's documentation of `SAME` and `VALID`; `None`: the kernel is larger than the picture.
    fn size(&self, axis: usize, size: usize) -> Option<usize> {
        let (reach, stride) = (self.reach(axis), self.strides[axis]);
        match self.is_padded {
            true => Some(size.div_ceil(stride)),
            false => (size >= reach).then(|| (size - reach + 1).div_ceil(stride)),
        }
    }

    fn reach(&self, axis: usize) -> usize {
        (self.kernel[1 + axis] - 1) * self.dilations[axis] + 1
    }

    fn channels(&self) -> usize {
        if self.each { self.kernel[3] } else { self.kernel[0] }
    }

    /// By the definition, cell by cell.
    fn of(&self, picture: &Picture) -> Option<Picture> {
        let [count, height, width, channels] = picture.shape;
        let sizes = [self.size(0, height)?, self.size(1, width)?];
        let [_, down, across, last] = self.kernel;
        let before = [height, width].into_iter().enumerate().map(|(axis, size)| {
            let needed = ((sizes[axis] - 1) * self.strides[axis] + self.reach(axis)) as i64 - size as i64;
            if self.is_padded { needed.max(0) / 2 } else { 0 }
        });
        let before: Vec<i64> = before.collect();
        let mut values = vec![];
        let cells = (0..count).flat_map(|n| (0..sizes[0]).flat_map(move |y| (0..sizes[1]).map(move |x| (n, y, x))));
        for ((n, y, x), to) in cells.flat_map(|cell| (0..self.channels()).map(move |to| (cell, to))) {
            let mut sum = f64::from(self.bias[to]);
            for (ky, kx) in (0..down).flat_map(|ky| (0..across).map(move |kx| (ky, kx))) {
                let row = (y * self.strides[0] + ky * self.dilations[0]) as i64 - before[0];
                let column = (x * self.strides[1] + kx * self.dilations[1]) as i64 - before[1];
                if !(0..height as i64).contains(&row) || !(0..width as i64).contains(&column) {
                    continue;
                }
                let pixel = |c: usize| picture.at(n, row as usize, column as usize, c);
                let cell = ky * across + kx;
                if self.each {
                    sum += pixel(to / (last / channels)) * f64::from(self.weights[cell * last + to]);
                } else {
                    let weight = |c: usize| f64::from(self.weights[(to * down * across + cell) * channels + c]);
                    sum += (0..channels).map(|c| pixel(c) * weight(c)).sum::<f64>();
                }
            }
            values.push(match self.activation {
                0 => sum,
                1 => sum.max(0.0),
                _ => sum.clamp(0.0, 6.0),
            } as f32);
        }
        Some(Picture { shape: [count, sizes[0], sizes[1], self.channels()], values })
    }

    /// Adds it to a network; `size`: of what it is given.
    fn draw(&self, draft: &mut Draft, given: i32, size: [usize; 2], in_halves: bool) -> Option<i32> {
        let bias_shape = [self.channels()];
        let (weights, bias) = if in_halves {
            let pairs = [(&self.kernel[..], &self.weights), (&bias_shape[..], &self.bias)].map(|(shape, values)| {
                let (from, to) = (draft.tensor(shape, FLOAT16, halves(values)), draft.computed(shape));
                draft.operator(DEQUANTIZE, &[from], to, (0, &[]));
                to
            });
            (pairs[0], pairs[1])
        } else {
            (draft.floats(&self.kernel, &self.weights), draft.floats(&bias_shape, &self.bias))
        };
        let shape = [1, self.size(0, size[0])?, self.size(1, size[1])?, self.channels()];
        let told = draft.computed(&shape);
        let number = |number: usize| Field::Int(number as i32);
        let mut options =
            vec![Field::Byte(i8::from(!self.is_padded)), number(self.strides[1]), number(self.strides[0])];
        if self.each {
            options.push(number(1));
        }
        options.extend([Field::Byte(self.activation), number(self.dilations[1]), number(self.dilations[0])]);
        let (code, union) = if self.each { (DEPTHWISE_CONV_2D, 2) } else { (CONV_2D, 1) };
        draft.operator(code, &[given, weights, bias], told, (union, &options));
        Some(told)
    }
}

fn run(onnx: &[u8], input: &str, given: &Tensor) -> BTreeMap<String, Tensor> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.onnx");
    std::fs::write(&path, onnx).unwrap();
    Model::open_file(&path, &library(), Options::default()).unwrap().run(input, given).unwrap()
}

fn convolutions() -> impl Strategy<Value = (Convolution, Picture, bool)> {
    let two = |most: usize| (1..=most, 1..=most).prop_map(|(a, b)| [a, b]);
    let channels = (1..4_usize, 1..4_usize, any::<bool>());
    let forms = (0..3_usize, any::<bool>(), any::<bool>());
    (two(9), two(4), two(3), two(3), channels, forms, (1..3_usize, any::<u16>())).prop_map(
        |(size, reach, strides, dilations, (from, to, each), (activation, is_padded, in_halves), (count, seed))| {
            let kernel = if each { [1, reach[0], reach[1], from * to] } else { [to, reach[0], reach[1], from] };
            let seed = u32::from(seed);
            let bias = numbers(if each { from * to } else { to }, seed + 1);
            let activation = [0, 1, 3][activation];
            let usual = Convolution::usual(kernel, seed);
            let convolution = Convolution { bias, strides, dilations, is_padded, each, activation, ..usual };
            (convolution, Picture::of([count, size[0], size[1], from], seed + 2), in_halves)
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn convolutions_tell_what_they_are_defined_to((convolution, pictures, in_halves) in convolutions()) {
        let [_, height, width, channels] = pictures.shape;
        let mut draft = Draft::default();
        let given = draft.computed(&[1, height, width, channels]);
        let told = convolution.draw(&mut draft, given, [height, width], in_halves);
        prop_assume!(told.is_some());
        let told = told.unwrap();
        let onnx = to_onnx(&draft.finish(&[given], &[told])).unwrap();
        let found = run(&onnx, &format!("tensor {given}"), &pictures.by_channel());
        let expected = convolution.of(&pictures).unwrap().by_channel();
        prop_assert_eq!(&found[&format!("tensor {told}")], &expected);
    }
}

/// Two convolutions of one picture, their sum, and tables of both pictures one below the other: as detectors do.
fn branching() -> (Vec<u8>, [Convolution; 2]) {
    let convolutions = [Convolution::usual([4, 3, 3, 2], 1), Convolution::usual([4, 1, 1, 4], 2)];
    let mut draft = Draft::default();
    let given = draft.computed(&[1, 5, 3, 2]);
    let first = convolutions[0].draw(&mut draft, given, [5, 3], false).unwrap();
    let second = convolutions[1].draw(&mut draft, first, [5, 3], true).unwrap();
    let sum = draft.computed(&[1, 5, 3, 4]);
    draft.operator(ADD, &[second, first], sum, (11, &[Field::Byte(0)]));
    let joined = draft.computed(&[1, 5, 3, 8]);
    draft.operator(CONCATENATION, &[sum, first], joined, (10, &[Field::Int(3), Field::Byte(3)]));
    let shape = draft.tensor(&[3], INT32, [1, -1, 2].iter().flat_map(|size: &i32| size.to_le_bytes()).collect());
    let tables = [sum, first].map(|picture| {
        let table = draft.computed(&[1, 30, 2]);
        draft.operator(RESHAPE, &[picture, shape], table, (0, &[]));
        table
    });
    let all = draft.computed(&[1, 60, 2]);
    draft.operator(CONCATENATION, &tables, all, (10, &[Field::Int(-2), Field::Byte(0)]));
    (draft.finish(&[given], &[joined, all]), convolutions)
}

#[test]
fn branches_are_added_joined_and_made_tables_in_the_order_of_the_file() {
    let (file, [first, second]) = branching();
    let onnx = to_onnx(&file).unwrap();
    let pictures = Picture::of([3, 5, 3, 2], 7);
    let found = run(&onnx, "tensor 0", &pictures.by_channel());
    let first = first.of(&pictures).unwrap();
    let second = second.of(&first).unwrap();
    let sum: Vec<f32> = second.values.iter().zip(&first.values).map(|(a, b)| a + b).collect();
    let tables = sum.chunks(60).zip(first.values.chunks(60)).flat_map(|(sum, first)| [sum, first].concat());
    let expected = Tensor { shape: vec![3, 60, 2], values: tables.collect() };
    let joined = sum.chunks(4).zip(first.values.chunks(4)).flat_map(|(sum, first)| [sum, first].concat());
    let joined = Picture { shape: [3, 5, 3, 8], values: joined.map(|value| value.clamp(0.0, 6.0)).collect() };
    let mut outputs = found.into_values();
    assert_eq!((outputs.next(), outputs.next()), (Some(joined.by_channel()), Some(expected)));
}

#[test]
fn the_same_file_gives_the_same_bytes() {
    assert_eq!(to_onnx(&branching().0).unwrap(), to_onnx(&branching().0).unwrap());
}

#[test]
fn what_is_cut_is_refused() {
    let (file, _) = branching();
    for length in 0..file.len() {
        assert!(to_onnx(&file[..length]).is_err(), "{length} of {}", file.len());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]
    #[test]
    fn what_is_altered_is_refused_or_no_larger_than_it_can_be(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6), cut in prop::option::of(0.0..1.0),
    ) {
        let (mut file, _) = branching();
        for (place, byte) in changes {
            let place = place.index(file.len());
            file[place] = byte;
        }
        let length = cut.map_or(file.len(), |share| (share * file.len() as f64) as usize);
        if let Ok(onnx) = to_onnx(&file[..length]) {
            prop_assert!(onnx.len() < 4 * file.len() + 4096);
        }
    }

    #[test]
    fn anything_is_read_or_refused(mut bytes in prop::collection::vec(any::<u8>(), 8..200)) {
        bytes[4..8].copy_from_slice(b"TFL3");
        prop_assert!(to_onnx(&bytes).is_err());
    }
}
