//! A network's operators as ONNX's.

use super::half::widened;
use super::network::{Activation, Element, Kind, Network, Operator, Tensor, Window};
use crate::convert::onnx::{Attribute, Graph, Size};
use crate::convert::torch;
use anyhow::{Context, bail, ensure};
use std::collections::{BTreeMap, BTreeSet};

/// Weights are written once for each operator that takes them: in all they take no more than so many times the file, of
/// which half is what becomes of 16-bit floats.
const GROWTH: usize = 4;
/// Stands before all names that are not of the file.
const OWN: char = ':';

/// `length`: of the file.
///
/// # Errors
/// The network contradicts itself, or does with its operators what is not converted.
pub fn translate(network: &Network<'_>, length: usize) -> anyhow::Result<Vec<u8>> {
    let left = length.saturating_mul(GROWTH);
    let (computed, widened, turned) = (BTreeMap::new(), BTreeMap::new(), BTreeSet::new());
    let mut translation = Translation { network, graph: Graph::default(), computed, widened, turned, left };
    let mut names = BTreeSet::new();
    for &at in network.inputs.iter().chain(&network.outputs) {
        let name = network.tensors[at].name;
        let is_fine = !name.is_empty() && !name.starts_with(OWN) && names.insert(name);
        ensure!(is_fine, "two of its inputs and outputs are called {name:?}, or that is no name");
    }
    for (name, bound) in [("zero", 0.0), ("six", 6.0)] {
        translation.graph.constant(&format!("{OWN}{name}"), &torch::Tensor { shape: vec![], values: vec![bound] });
    }
    network.inputs.iter().try_for_each(|input| translation.input(*input))?;
    for (at, operator) in network.operators.iter().enumerate() {
        translation.operator(operator).with_context(|| format!("its operator {at} ({})", operator.name))?;
    }
    network.outputs.iter().try_for_each(|output| translation.output(*output))?;
    Ok(translation.graph.finish("tflite"))
}

struct Translation<'a> {
    network: &'a Network<'a>,
    graph: Graph,
    /// The tensors that are inputs or come out of operators, and how they lie.
    computed: BTreeMap<usize, Order>,
    /// Constants of 32-bit floats, and those of 16 bits that they are made of.
    widened: BTreeMap<usize, usize>,
    /// Computed tensors that were written in the other order, too.
    turned: BTreeSet<usize>,
    /// Bytes of weights that may still be written.
    left: usize,
}

/// How a tensor lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    /// Picture, channel, row, column; only of pictures.
    Channels,
    /// As in the file; of pictures: picture, row, column, channel.
    File,
}

impl<'a> Translation<'a> {
    fn input(&mut self, at: usize) -> anyhow::Result<()> {
        let shape = &self.computable(at)?.shape;
        let order = if shape.len() == 4 { Order::Channels } else { Order::File };
        self.graph.input(&self.name(at), &sizes(shape, order));
        self.computed.insert(at, order);
        Ok(())
    }

    fn output(&mut self, at: usize) -> anyhow::Result<()> {
        let order = *self.computed.get(&at).context("an output of it is never computed")?;
        self.graph.output(&self.name(at), &sizes(&self.network.tensors[at].shape, order));
        Ok(())
    }

    fn operator(&mut self, operator: &Operator<'_>) -> anyhow::Result<()> {
        let order = match operator.kind {
            Kind::Dequantize => return self.dequantize(operator),
            Kind::Convolution(window) => self.convolution(operator, window, false)?,
            Kind::Depthwise(window) => self.convolution(operator, window, true)?,
            Kind::Add => self.add(operator)?,
            Kind::Concatenation { axis } => self.concatenation(operator, axis)?,
            Kind::Reshape => self.reshape(operator)?,
        };
        self.computable(operator.output)?;
        self.computed.insert(operator.output, order);
        Ok(())
    }

    /// A tensor that may be an input, or come out of an operator.
    fn computable(&self, at: usize) -> anyhow::Result<&'a Tensor<'a>> {
        let tensor = &self.network.tensors[at];
        let is_new = !self.computed.contains_key(&at) && !self.widened.contains_key(&at) && tensor.bytes.is_empty();
        ensure!(is_new, "the tensor {} is computed twice, or constant", tensor.name);
        ensure!(tensor.element == Element::Float32, "the tensor {} is not of 32-bit floats", tensor.name);
        ensure!(
            tensor.shape.first() == Some(&1),
            "the tensor {} is {:?}, and not of one picture",
            tensor.name,
            tensor.shape
        );
        Ok(tensor)
    }

    fn dequantize(&mut self, operator: &Operator<'_>) -> anyhow::Result<()> {
        let [Some(from)] = operator.inputs[..] else { bail!("has another number of inputs than one") };
        let (halves, floats) = (&self.network.tensors[from], &self.network.tensors[operator.output]);
        ensure!(
            halves.element == Element::Float16 && !halves.bytes.is_empty(),
            "widens what is no constant of 16-bit floats"
        );
        let fits = floats.element == Element::Float32 && floats.bytes.is_empty() && floats.shape == halves.shape;
        ensure!(fits && !self.computed.contains_key(&operator.output), "makes something else than it takes");
        self.widened.insert(operator.output, from);
        Ok(())
    }

    fn convolution(&mut self, operator: &Operator<'_>, window: Window, each: bool) -> anyhow::Result<Order> {
        let (input, weights, bias) = match operator.inputs[..] {
            [Some(input), Some(weights)] => (input, weights, None),
            [Some(input), Some(weights), bias] => (input, weights, bias),
            _ => bail!("has another number of inputs than two or three"),
        };
        let tensors = &self.network.tensors;
        let (from, to, kernel) = (&tensors[input].shape, &tensors[operator.output].shape, &tensors[weights].shape);
        let ([_, _, _, channels], [_, _, _, told]) = (&from[..], &to[..]) else { bail!("is given no pictures") };
        // Of a depthwise one, the channels that come out of each that goes in lie side by side.
        let fits = match (each, &kernel[..]) {
            (false, [out, _, _, taken]) => out == told && taken == channels,
            (true, [1, _, _, out]) => out == told && out % channels == 0,
            _ => false,
        };
        ensure!(fits, "has weights {kernel:?} between {from:?} and {to:?}");
        let mut pads = [0; 4];
        for axis in 0..2 {
            let (stride, dilation) = (window.strides[axis], window.dilations[axis]);
            let edges = Edges::of(from[1 + axis], kernel[1 + axis], stride, dilation, window.is_padded)?;
            ensure!(edges.size == to[1 + axis], "makes {} of {}, and not {}", edges.size, from[1 + axis], to[1 + axis]);
            (pads[axis], pads[axis + 2]) = (edges.before, edges.after);
        }
        let given = self.in_order(input, Order::Channels)?;
        let name = self.name(operator.output);
        let mut names = vec![given, format!("{OWN}{name}.weights")];
        let values = turned(&self.constant(weights)?, kernel, each);
        let shape =
            if each { vec![*told, 1, kernel[1], kernel[2]] } else { vec![*told, *channels, kernel[1], kernel[2]] };
        self.graph.constant(&names[1], &torch::Tensor { shape, values });
        if let Some(bias) = bias {
            let values = self.constant(bias)?;
            ensure!(values.len() == *told, "adds {} numbers to {told} channels", values.len());
            names.push(format!("{OWN}{name}.bias"));
            self.graph.constant(&names[2], &torch::Tensor { shape: vec![*told], values });
        }
        let [dilations, kernel, strides] =
            [window.dilations, [kernel[1], kernel[2]], window.strides].map(|numbers| numbers.map(|n| n as i64));
        let attributes = [
            ("dilations", Attribute::Ints(&dilations)),
            ("group", Attribute::Int(if each { *channels as i64 } else { 1 })),
            ("kernel_shape", Attribute::Ints(&kernel)),
            ("pads", Attribute::Ints(&pads)),
            ("strides", Attribute::Ints(&strides)),
        ];
        self.node("Conv", operator, &names, &attributes);
        Ok(Order::Channels)
    }

    fn add(&mut self, operator: &Operator<'_>) -> anyhow::Result<Order> {
        let [Some(one), Some(other)] = operator.inputs[..] else { bail!("has another number of inputs than two") };
        let shape = |at: usize| &self.network.tensors[at].shape;
        let to = shape(operator.output);
        let is_even = shape(one) == to && shape(other) == to;
        ensure!(is_even, "adds {:?} and {:?} to {to:?}, of which one is stretched", shape(one), shape(other));
        let order = *self.computed.get(&one).context(UNKNOWN)?;
        let names = [self.in_order(one, order)?, self.in_order(other, order)?];
        self.node("Add", operator, &names, &[]);
        Ok(order)
    }

    fn concatenation(&mut self, operator: &Operator<'_>, axis: i32) -> anyhow::Result<Order> {
        let tensors = &self.network.tensors;
        let to = &tensors[operator.output].shape;
        let along = if axis < 0 { i64::from(axis) + to.len() as i64 } else { i64::from(axis) };
        let along = usize::try_from(along).ok().filter(|along| (1..to.len()).contains(along));
        let along = along.with_context(|| format!("joins {to:?} along {axis}"))?;
        let taken: Vec<usize> =
            operator.inputs.iter().copied().collect::<Option<_>>().context("leaves an input out")?;
        let mut sum = 0;
        for &at in &taken {
            let shape = &tensors[at].shape;
            let is_same = |(axis, size): (usize, &usize)| axis == along || *size == to[axis];
            ensure!(shape.len() == to.len() && shape.iter().enumerate().all(is_same), "joins {shape:?} to {to:?}");
            sum += shape[along];
        }
        ensure!(sum == to[along], "joins {sum} to {} along {axis}", to[along]);
        let by_channel = taken.iter().all(|at| self.computed.get(at) == Some(&Order::Channels));
        // Where each axis of the file's order lies in the other.
        let (order, along) =
            if by_channel { (Order::Channels, [0, 2, 3, 1][along]) } else { (Order::File, along as i64) };
        let names = taken.iter().map(|at| self.in_order(*at, order)).collect::<anyhow::Result<Vec<String>>>()?;
        self.node("Concat", operator, &names, &[("axis", Attribute::Int(along))]);
        Ok(order)
    }

    fn reshape(&mut self, operator: &Operator<'_>) -> anyhow::Result<Order> {
        let (from, said) = match operator.inputs[..] {
            [Some(from)] => (from, None),
            [Some(from), said] => (from, said),
            _ => bail!("has another number of inputs than one or two"),
        };
        let tensors = &self.network.tensors;
        let to = &tensors[operator.output];
        let is_same = to.count().is_some() && to.count() == tensors[from].count();
        ensure!(is_same, "makes {:?} of {:?}", to.shape, tensors[from].shape);
        if let Some(said) = said {
            ensure!(says(&tensors[said], &to.shape), "is told another shape than {:?}", to.shape);
        }
        let mut given = vec![self.in_order(from, Order::File)?];
        given.push(format!("{OWN}{}.shape", self.name(operator.output)));
        // ONNX keeps a size where 0 stands: that of the pictures.
        let shape: Vec<i64> = std::iter::once(0).chain(to.shape.iter().skip(1).map(|size| *size as i64)).collect();
        self.graph.integers(&given[1], &shape);
        self.node("Reshape", operator, &given, &[]);
        Ok(Order::File)
    }

    /// An operator, and what is done to each number that comes out of it.
    fn node(&mut self, what: &str, operator: &Operator<'_>, inputs: &[String], attributes: &[(&str, Attribute<'_>)]) {
        let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
        let name = self.name(operator.output);
        let linear = format!("{OWN}{name}.linear");
        match operator.activation {
            Activation::None => self.graph.node(what, &name, &inputs, attributes),
            Activation::Relu => {
                self.graph.node(what, &linear, &inputs, attributes);
                self.graph.node("Relu", &name, &[&linear], &[]);
            }
            Activation::Relu6 => {
                self.graph.node(what, &linear, &inputs, attributes);
                self.graph.node("Clip", &name, &[&linear, &format!("{OWN}zero"), &format!("{OWN}six")], &[]);
            }
        }
    }

    /// The name of a computed tensor that lies in an order; it is turned if it does not.
    fn in_order(&mut self, at: usize, order: Order) -> anyhow::Result<String> {
        let name = self.name(at);
        if *self.computed.get(&at).context(UNKNOWN)? == order {
            return Ok(name);
        }
        let (other, order) = match order {
            Order::Channels => (format!("{OWN}{name}.channels"), [0, 3, 1, 2]),
            Order::File => (format!("{OWN}{name}.rows"), [0, 2, 3, 1]),
        };
        if self.turned.insert(at) {
            self.graph.node("Transpose", &other, &[&name], &[("perm", Attribute::Ints(&order))]);
        }
        Ok(other)
    }

    /// The numbers of a constant of floats, in the order of the file.
    fn constant(&mut self, at: usize) -> anyhow::Result<Vec<f32>> {
        let tensor = &self.network.tensors[self.widened.get(&at).copied().unwrap_or(at)];
        let width = match tensor.element {
            Element::Float16 => 2,
            Element::Float32 => 4,
            _ => bail!("takes the weights {}, which are no floats: quantised networks are not converted", tensor.name),
        };
        let count = tensor.count().filter(|count| count.checked_mul(width) == Some(tensor.bytes.len()));
        let count = count.with_context(|| format!("takes the weights {}, which are not whole", tensor.name))?;
        self.left = self.left.checked_sub(4 * count).context("takes weights that are taken too often already")?;
        Ok(match tensor.element {
            Element::Float16 => {
                tensor.bytes.as_chunks().0.iter().map(|bytes| widened(u16::from_le_bytes(*bytes))).collect()
            }
            _ => tensor.bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect(),
        })
    }

    /// Inputs and outputs keep their names; what lies between is numbered.
    fn name(&self, at: usize) -> String {
        if self.network.inputs.contains(&at) || self.network.outputs.contains(&at) {
            return self.network.tensors[at].name.to_owned();
        }
        format!("{OWN}{at}")
    }
}

const UNKNOWN: &str = "takes what is not computed before it";

/// Of any number of pictures.
fn sizes(shape: &[usize], order: Order) -> Vec<Size> {
    let is = |at: usize| Size::Is(shape[at] as u64);
    let more = match order {
        Order::Channels => vec![is(3), is(1), is(2)],
        Order::File => (1..shape.len()).map(is).collect(),
    };
    std::iter::once(Size::Any("n")).chain(more).collect()
}

/// Whether the shape that an operator is told, in a constant of whole numbers, is this one. -1: whatever is left.
fn says(constant: &Tensor<'_>, shape: &[usize]) -> bool {
    let (sizes, rest) = constant.bytes.as_chunks();
    let is_so = |(said, size): (&[u8; 4], &usize)| {
        let said = i32::from_le_bytes(*said);
        said == -1 || usize::try_from(said) == Ok(*size)
    };
    constant.element == Element::Int32
        && rest.is_empty()
        && sizes.len() == shape.len()
        && sizes.iter().zip(shape).all(is_so)
}

/// Weights `[out, down, across, in]`, or of each channel `[1, down, across, out]`, with out, in, down, across.
fn turned(values: &[f32], shape: &[usize], each: bool) -> Vec<f32> {
    let [first, down, across, last] = shape[..] else { return vec![] };
    let (out, taken) = if each { (last, 1) } else { (first, last) };
    let mut turned = Vec::with_capacity(values.len());
    for to in 0..out {
        for from in 0..taken {
            let places = (0..down * across).map(|cell| match each {
                true => cell * out + to,
                false => (to * down * across + cell) * taken + from,
            });
            turned.extend(places.map(|place| values[place]));
        }
    }
    turned
}

/// What is put around a picture one way, and the size that comes out.
#[derive(Debug, PartialEq, Eq)]
struct Edges {
    before: i64,
    after: i64,
    size: usize,
}

impl Edges {
    /// With padding, TensorFlow's `SAME`: as many come out as strides begin in the picture, and of an odd number of
    /// zeros the odd one comes after.
    fn of(size: usize, kernel: usize, stride: usize, dilation: usize, is_padded: bool) -> anyhow::Result<Self> {
        let reach = (kernel - 1) * dilation + 1;
        if is_padded {
            let told = size.div_ceil(stride);
            let zeros = ((told - 1) * stride + reach).saturating_sub(size) as i64;
            return Ok(Edges { before: zeros / 2, after: zeros - zeros / 2, size: told });
        }
        ensure!(reach <= size, "has a kernel that reaches over {reach} of {size}");
        Ok(Edges { before: 0, after: 0, size: (size - reach) / stride + 1 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_even_picture_has_its_odd_zero_after() {
        let same = |size, kernel, stride, dilation| {
            let edges = Edges::of(size, kernel, stride, dilation, true).unwrap();
            (edges.before, edges.after, edges.size)
        };
        assert_eq!(same(300, 3, 2, 1), (0, 1, 150));
        assert_eq!(same(75, 3, 2, 1), (1, 1, 38));
        assert_eq!(same(19, 3, 1, 1), (1, 1, 19));
        assert_eq!(same(19, 3, 1, 2), (2, 2, 19));
        assert_eq!(same(5, 1, 3, 1), (0, 0, 2));
        assert_eq!(Edges::of(7, 3, 2, 1, false).unwrap(), Edges { before: 0, after: 0, size: 3 });
        assert!(Edges::of(2, 3, 1, 1, false).is_err());
    }
}
