//! What a network says about a picture, as one vector.

use crate::picture;
use crate::runtime::{Model, Tensor};
use anyhow::{Context, bail, ensure};
use image::RgbImage;
use image::imageops;

/// The network, by its name in the catalog.
pub const MODEL: &str = "efficientnet-lite0";
/// Numbers that it tells of a picture.
pub const WIDTH: usize = 1280;
const SIDE: u32 = 224;
/// Pictures that go through the network at once.
const BATCH: usize = 8;

/// Makes vectors of pictures.
pub struct Extractor {
    model: Model,
}

impl Extractor {
    pub fn new(model: Model) -> Self {
        Extractor { model }
    }

    /// A vector of length 1 for each picture: the mean of the picture's and its mirror image's.
    ///
    /// # Errors
    /// The network fails.
    pub fn features(&self, pictures: &[RgbImage]) -> anyhow::Result<Vec<Vec<f32>>> {
        let mut all = Vec::with_capacity(pictures.len());
        for some in pictures.chunks(BATCH / 2) {
            let mut values = Vec::with_capacity(2 * some.len() * 3 * (SIDE * SIDE) as usize);
            for picture in some {
                let picture = picture::resized(picture, SIDE, SIDE)?;
                picture::append_normalised(&picture, &mut values);
                picture::append_normalised(&imageops::flip_horizontal(&picture), &mut values);
            }
            let tensor = Tensor { shape: vec![2 * some.len(), 3, SIDE as usize, SIDE as usize], values };
            let answer = self.model.run("image", &tensor)?;
            let embedding = answer.get("embedding").context("the network tells no embedding")?;
            let [views, width] = embedding.shape[..] else { bail!("the network tells another shape") };
            ensure!(views == 2 * some.len() && width == WIDTH, "the network tells another shape");
            // Large values are damped by a square root: Tukey's ladder, as in Yang, Liu and Xu, ICLR 2021.
            let damped: Vec<f32> = embedding.values.iter().map(|value| value.max(0.0).sqrt()).collect();
            let pairs = damped.chunks_exact(2 * width).map(|pair| pair.split_at(width));
            all.extend(pairs.map(|(one, mirrored)| unit(one.iter().zip(mirrored).map(|(a, b)| a + b).collect())));
        }
        Ok(all)
    }
}

/// Of length 1.
fn unit(mut vector: Vec<f32>) -> Vec<f32> {
    let length = vector.iter().map(|v| v * v).sum::<f32>().sqrt();
    if length > 0.0 {
        vector.iter_mut().for_each(|v| *v /= length);
    }
    vector
}
