//! What a TFLite file says, by version 3 of its published schema: the numbers of fields below are those of `schema.fbs`.

use super::flatbuffer::Table;
use super::operators;
use anyhow::{Context, bail, ensure};

/// Tensors, buffers or operators; more are a damaged file.
const MOST: usize = 10_000;
/// Tensors that one operator takes.
const MOST_INPUTS: usize = 256;
/// Dimensions of a tensor.
const MOST_SIZES: usize = 8;
/// A size of a tensor, a stride, a dilation.
const LARGEST: i32 = 1 << 24;

/// A network, as its file tells it.
pub struct Network<'a> {
    pub tensors: Vec<Tensor<'a>>,
    /// Each after those whose outputs it takes.
    pub operators: Vec<Operator<'a>>,
    pub inputs: Vec<usize>,
    pub outputs: Vec<usize>,
}

/// A tensor, computed or constant.
pub struct Tensor<'a> {
    pub name: &'a str,
    pub shape: Vec<usize>,
    pub element: Element,
    /// Little-endian, row by row; none if it is computed.
    pub bytes: &'a [u8],
}

/// What a tensor is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Element {
    Float32,
    Float16,
    Int32,
    Other,
}

/// A step of a network.
pub struct Operator<'a> {
    pub kind: Kind,
    /// What is done to each number that comes out.
    pub activation: Activation,
    /// `None`: one that may be left out, and is.
    pub inputs: Vec<Option<usize>>,
    pub output: usize,
    /// The schema's name of it.
    pub name: &'a str,
}

/// What an operator does, of those that are known here.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    Convolution(Window),
    /// Each channel by itself.
    Depthwise(Window),
    Add,
    Concatenation {
        /// Negative: from the last.
        axis: i32,
    },
    Reshape,
    /// 16-bit floats to 32-bit ones.
    Dequantize,
}

/// How a kernel moves; down, then across.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Zeros are put around, so that a stride of 1 keeps the size.
    pub is_padded: bool,
    pub strides: [usize; 2],
    pub dilations: [usize; 2],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    None,
    Relu,
    /// Between 0 and 6.
    Relu6,
}

impl Tensor<'_> {
    /// How many numbers it has. `None`: more than can be counted.
    pub fn count(&self) -> Option<usize> {
        self.shape.iter().try_fold(1_usize, |count, size| count.checked_mul(*size))
    }
}

impl<'a> Network<'a> {
    /// # Errors
    /// The bytes are no TFLite file, damaged, or of a network with steps that are not known here.
    pub fn read(file: &'a [u8]) -> anyhow::Result<Self> {
        let model = Table::root(file, *b"TFL3")?;
        ensure!(model.u32(0, 0)? == 3, "its version is {}, and 3 is known", model.u32(0, 0)?);
        let graphs = model.tables(2, MOST)?;
        let [graph] = graphs[..] else { bail!("it has {} graphs, and one is known", graphs.len()) };
        let buffers = model.tables(4, MOST)?;
        let tensors = graph.tables(0, MOST)?.into_iter().map(|table| tensor(table, &buffers));
        let tensors = tensors.collect::<anyhow::Result<Vec<Tensor<'_>>>>()?;
        let index = |number: i32| {
            usize::try_from(number).ok().filter(|at| *at < tensors.len()).context("it names a tensor that is not there")
        };
        let ends = |field: usize| -> anyhow::Result<Vec<usize>> {
            graph.numbers(field, MOST_INPUTS)?.into_iter().map(index).collect()
        };
        let (inputs, outputs) = (ends(1)?, ends(2)?);
        let codes = model.tables(1, MOST)?;
        let operators = graph.tables(3, MOST)?.into_iter().map(|table| {
            let code = codes.get(table.u32(0, 0)? as usize).context("it names an operator that is not there")?;
            let name = named(*code)?;
            let (kind, activation) = kind(name, table).with_context(|| format!("its operator {name}"))?;
            let taken = table.numbers(1, MOST_INPUTS)?.into_iter();
            let taken = taken.map(|number| if number == -1 { Ok(None) } else { index(number).map(Some) });
            let told = table.numbers(2, MOST_INPUTS)?;
            let [output] = told[..] else { bail!("its operator {name} has {} outputs", told.len()) };
            let inputs = taken.collect::<anyhow::Result<_>>()?;
            Ok(Operator { kind, activation, inputs, output: index(output)?, name })
        });
        let operators = operators.collect::<anyhow::Result<_>>()?;
        Ok(Network { tensors, operators, inputs, outputs })
    }
}

fn tensor<'a>(table: Table<'a>, buffers: &[Table<'a>]) -> anyhow::Result<Tensor<'a>> {
    let name = table.text(3)?;
    let shape = table.numbers(0, MOST_SIZES)?.into_iter().map(|size| counted(size).context("a size of a tensor"));
    let shape = shape.collect::<anyhow::Result<_>>().with_context(|| format!("its tensor {name}"))?;
    let buffer = buffers.get(table.u32(2, 0)? as usize).context("it names a buffer that is not there")?;
    let element = match table.i8(1, 0)? {
        0 => Element::Float32,
        1 => Element::Float16,
        2 => Element::Int32,
        _ => Element::Other,
    };
    ensure!(table.table(6)?.is_none(), "its tensor {name} is sparse, which is not known");
    Ok(Tensor { name, shape, element, bytes: buffer.bytes(0)? })
}

fn counted(number: i32) -> anyhow::Result<usize> {
    ensure!((1..=LARGEST).contains(&number), "{number} is none that can be");
    Ok(number as usize)
}

/// Operators beyond the 127th have their number in a later field, and the first says 127.
fn named(code: Table<'_>) -> anyhow::Result<&str> {
    let number = i32::from(code.i8(0, 0)?).max(code.i32(3, 0)?);
    match operators::name(number) {
        Some("CUSTOM") => code.text(1),
        Some(name) => Ok(name),
        None => bail!("it has an operator {number}, and none of that number is known"),
    }
}

/// What it does, and what is done to each number that comes out.
fn kind(name: &str, table: Table<'_>) -> anyhow::Result<(Kind, Activation)> {
    // Options are of several types, by a number of their own.
    let options = |union: i8| {
        let is_so = table.i8(3, 0)? == union;
        table.table(4)?.filter(|_| is_so).context("has options of another kind")
    };
    match name {
        "CONV_2D" => {
            let options = options(1)?;
            Ok((Kind::Convolution(window(options, [4, 5])?), activation(options.i8(3, 0)?)?))
        }
        "DEPTHWISE_CONV_2D" => {
            let options = options(2)?;
            Ok((Kind::Depthwise(window(options, [5, 6])?), activation(options.i8(4, 0)?)?))
        }
        "CONCATENATION" => {
            let options = options(10)?;
            Ok((Kind::Concatenation { axis: options.i32(0, 0)? }, activation(options.i8(1, 0)?)?))
        }
        "ADD" => Ok((Kind::Add, activation(options(11)?.i8(0, 0)?)?)),
        "RESHAPE" => Ok((Kind::Reshape, Activation::None)),
        "DEQUANTIZE" => Ok((Kind::Dequantize, Activation::None)),
        _ => bail!("is none that jarvis converts"),
    }
}

/// `dilations`: the fields of the one across and the one down.
fn window(options: Table<'_>, dilations: [usize; 2]) -> anyhow::Result<Window> {
    let is_padded = match options.i8(0, 0)? {
        0 => true,
        1 => false,
        other => bail!("has a padding {other}, which is not known"),
    };
    let step = |field: usize, otherwise: i32| counted(options.i32(field, otherwise)?).context("a stride or dilation");
    Ok(Window {
        is_padded,
        strides: [step(2, 0)?, step(1, 0)?],
        dilations: [step(dilations[1], 1)?, step(dilations[0], 1)?],
    })
}

fn activation(number: i8) -> anyhow::Result<Activation> {
    match number {
        0 => Ok(Activation::None),
        1 => Ok(Activation::Relu),
        3 => Ok(Activation::Relu6),
        2 => bail!("has the activation RELU_N1_TO_1, which is not converted"),
        4 => bail!("has the activation TANH, which is not converted"),
        other => bail!("has an activation {other}, which is not known"),
    }
}
