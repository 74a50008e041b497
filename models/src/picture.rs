//! Pictures, from files to the numbers that a network takes.

use anyhow::Context;
use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};
use image::{ImageReader, Limits, RgbImage};
use std::io::Cursor;
use std::path::Path;

/// Of a picture, in pixels each way: more is no camera's.
const LARGEST: u32 = 16_384;
/// Pixels each way that are kept.
const USEFUL: u32 = 512;
/// What decoding one may take.
const MOST_BYTES: u64 = 1 << 30;

/// Reads a JPEG, PNG, WebP or BMP file, made smaller if it is larger than a network has use for: so a picture is the same whether it is
/// learnt from or scored.
///
/// # Errors
/// It cannot be read, is no picture, or is too large.
pub fn read(path: &Path) -> anyhow::Result<RgbImage> {
    let bytes = std::fs::read(path).with_context(|| format!("{} cannot be read", path.display()))?;
    useful(&bytes).with_context(|| format!("{} is no picture that can be read", path.display()))
}

/// The picture that such a file holds, made smaller in the same way.
///
/// # Errors
/// The bytes are none of such a file, or its picture is too large.
pub fn useful(bytes: &[u8]) -> anyhow::Result<RgbImage> {
    let picture = decode(bytes)?;
    let largest = picture.width().max(picture.height());
    if largest <= USEFUL {
        return Ok(picture);
    }
    let side = |length: u32| (u64::from(length) * u64::from(USEFUL) / u64::from(largest)).max(1) as u32;
    resized(&picture, side(picture.width()), side(picture.height()))
}

/// # Errors
/// The bytes are none of such a file, or its picture is too large.
pub fn decode(bytes: &[u8]) -> anyhow::Result<RgbImage> {
    let mut reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format()?;
    let mut limits = Limits::default();
    limits.max_image_width = Some(LARGEST);
    limits.max_image_height = Some(LARGEST);
    limits.max_alloc = Some(MOST_BYTES);
    reader.limits(limits);
    Ok(reader.decode()?.into_rgb8())
}

/// The whole picture in another size, each pixel the weighted mean of what it covers.
///
/// # Errors
/// A size is 0.
pub fn resized(picture: &RgbImage, width: u32, height: u32) -> anyhow::Result<RgbImage> {
    let from = ImageRef::new(picture.width(), picture.height(), picture.as_raw(), PixelType::U8x3)?;
    let mut to = Image::new(width, height, PixelType::U8x3);
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Bilinear));
    Resizer::new().resize(&from, &mut to, &options)?;
    RgbImage::from_raw(width, height, to.into_vec()).context("the picture has another size")
}

/// Adds `[3, height, width]` numbers, `(value - 127) / 128`, red first.
pub fn append_normalised(picture: &RgbImage, to: &mut Vec<f32>) {
    for channel in 0..3 {
        to.extend(picture.pixels().map(|pixel| (f32::from(pixel.0[channel]) - 127.0) / 128.0));
    }
}
