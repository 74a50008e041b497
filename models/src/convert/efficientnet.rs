//! EfficientNet-lite0 (Tan and Le, ICML 2019; the lite form has no squeeze-and-excitation and clips at 6), from its weights
//! to an ONNX graph of its features.

use super::onnx::{Attribute, Graph, Size};
use super::torch::{Tensor, Tensors};
use anyhow::{Context, ensure};

/// What batch normalisation adds to a variance.
const EPSILON: f32 = 1e-3;
/// Of a stage: blocks, kernel, stride of the first block, expansion, channels.
const STAGES: [(usize, i64, i64, usize, u64); 7] = [
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
];

/// Image `[n, 3, 224, 224]` to `embedding [n, 1280]`.
///
/// # Errors
/// Weights are missing, or of another shape.
pub fn lite0(weights: &Tensors) -> anyhow::Result<Vec<u8>> {
    let mut network = Network { weights, graph: Graph::default() };
    network.graph.input("image", &[Size::Any("n"), Size::Is(3), Size::Is(224), Size::Is(224)]);
    network.graph.constant("zero", &Tensor { shape: vec![], values: vec![0.0] });
    network.graph.constant("six", &Tensor { shape: vec![], values: vec![6.0] });
    let mut at = network.convolution("image", "_conv_stem", "_bn0", 3, 2, 1)?;
    at = network.clip(&at);
    let (mut block, mut channels) = (0, 32);
    for (blocks, kernel, first_stride, expansion, wide) in STAGES {
        for n in 0..blocks {
            let name = format!("_blocks.{block}");
            let stride = if n == 0 { first_stride } else { 1 };
            let inside = channels * expansion as u64;
            let mut next = at.clone();
            if expansion > 1 {
                next = network.convolution(&next, &format!("{name}._expand_conv"), &format!("{name}._bn0"), 1, 1, 1)?;
                next = network.clip(&next);
            }
            let (depthwise, after) = (format!("{name}._depthwise_conv"), format!("{name}._bn1"));
            next = network.convolution(&next, &depthwise, &after, kernel, stride, inside as i64)?;
            next = network.clip(&next);
            next = network.convolution(&next, &format!("{name}._project_conv"), &format!("{name}._bn2"), 1, 1, 1)?;
            if stride == 1 && channels == wide {
                let sum = format!("{name}.sum");
                network.graph.node("Add", &sum, &[&at, &next], &[]);
                next = sum;
            }
            (at, channels, block) = (next, wide, block + 1);
        }
    }
    at = network.convolution(&at, "_conv_head", "_bn1", 1, 1, 1)?;
    at = network.clip(&at);
    network.graph.node("GlobalAveragePool", "pooled", &[&at], &[]);
    network.graph.node("Flatten", "embedding", &["pooled"], &[("axis", Attribute::Int(1))]);
    network.graph.output("embedding", &[Size::Any("n"), Size::Is(1280)]);
    Ok(network.graph.finish("efficientnet-lite0"))
}

struct Network<'a> {
    weights: &'a Tensors,
    graph: Graph,
}

impl Network<'_> {
    fn tensor(&self, name: &str) -> anyhow::Result<&Tensor> {
        self.weights.get(name).with_context(|| format!("there are no weights called {name}"))
    }

    /// A convolution and the batch normalisation behind it, as one; returns the name of its output.
    fn convolution(
        &mut self,
        input: &str,
        name: &str,
        normalisation: &str,
        kernel: i64,
        stride: i64,
        groups: i64,
    ) -> anyhow::Result<String> {
        let weight = self.tensor(&format!("{name}.weight"))?;
        let of = |what: &str| self.tensor(&format!("{normalisation}.{what}")).map(|tensor| &tensor.values);
        let (scale, shift, mean, variance) = (of("weight")?, of("bias")?, of("running_mean")?, of("running_var")?);
        let channels = weight.shape.first().copied().unwrap_or(0);
        let fits = weight.shape.len() == 4
            && weight.shape[2..] == [kernel as usize; 2]
            && [scale, shift, mean, variance].iter().all(|values| values.len() == channels);
        ensure!(fits, "the weights of {name} are of the shape {:?}", weight.shape);
        let factors: Vec<f32> = scale.iter().zip(variance).map(|(s, v)| s / (v + EPSILON).sqrt()).collect();
        let each = weight.values.len() / channels.max(1);
        let values = weight.values.iter().enumerate().map(|(at, value)| value * factors[at / each]).collect();
        let folded = Tensor { shape: weight.shape.clone(), values };
        let bias = (0..channels).map(|c| shift[c] - mean[c] * factors[c]).collect();
        let bias = Tensor { shape: vec![channels], values: bias };
        let names = [format!("{name}.weight"), format!("{name}.bias")];
        self.graph.constant(&names[0], &folded);
        self.graph.constant(&names[1], &bias);
        let attributes = [
            ("auto_pad", Attribute::Text("SAME_UPPER")),
            ("group", Attribute::Int(groups)),
            ("kernel_shape", Attribute::Ints(&[kernel, kernel])),
            ("strides", Attribute::Ints(&[stride, stride])),
        ];
        self.graph.node("Conv", name, &[input, &names[0], &names[1]], &attributes);
        Ok(name.to_owned())
    }

    fn clip(&mut self, input: &str) -> String {
        let name = format!("{input}.clip");
        self.graph.node("Clip", &name, &[input, "zero", "six"], &[]);
        name
    }
}
