//! From what a camera sends to a JPEG picture of which is known what it shows.
//!
//! Everything that comes from outside is decoded once, within limits: a picture that cannot be decoded here cannot be
//! judged by a model either. A JPEG that is small enough then goes on as it came, so that its hash is that of the
//! camera's own bytes; anything else is made smaller, or encoded, here.

use crate::hash::Hash;
use bytes::Bytes;
use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};
use image::codecs::jpeg::JpegEncoder;
use image::{DynamicImage, ExtendedColorType, ImageFormat, ImageReader};
use serde::{Deserialize, Serialize};
use std::io::Cursor;

/// The largest width and height that are decoded, in pixels.
const LARGEST: u32 = 16_384;
/// The most memory that decoding one picture may take, bytes: 64 million pixels.
const MEMORY: u64 = 256 << 20;
/// The width of the luminance that is judged, in pixels.
const GRAIN: u32 = 320;

/// How light a picture is, from its luminance (ITU-R BT.709) in at most 320 pixels across.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Light {
    /// 0 (black) to 255 (white).
    pub mean: f32,
    /// The standard deviation, 0 to 127.5. A wall in even light has 5, most rooms have 40 and more.
    pub contrast: f32,
}

/// What a picture shows, independent of how it was encoded: two of the same luminance have the same fingerprint. The
/// luminance is made smaller to at most 320 pixels across, which is fine enough for the noise of a sensor to remain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint(Hash);

impl Fingerprint {
    /// Of luminance, or of anything else that stands for a picture.
    pub fn of(luminance: &[u8]) -> Self {
        Self(Hash::of(luminance))
    }
}

/// A picture that was looked at.
pub(crate) struct Picture {
    pub width: u32,
    pub height: u32,
    pub jpeg: Bytes,
    pub hash: Hash,
    pub light: Light,
    pub fingerprint: Fingerprint,
}

/// Why a picture is none.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoPicture {
    #[error("what came is neither JPEG, PNG, WebP nor BMP")]
    Unknown,
    #[error("the picture cannot be decoded: {0}")]
    Undecodable(String),
    #[error("the picture ends before its end")]
    Truncated,
    #[error("the picture cannot be made smaller: {0}")]
    Unscalable(String),
    #[error("the picture cannot be encoded: {0}")]
    Unencodable(image::ImageError),
}

/// Decodes a picture, and encodes it where it is no JPEG, or larger than `size` in either direction.
///
/// It takes some ten milliseconds of computing: not for an asynchronous task.
pub(crate) fn look(bytes: Bytes, size: u32, quality: u8) -> Result<Picture, NoPicture> {
    let format = image::guess_format(&bytes).map_err(|_| NoPicture::Unknown)?;
    let decoded = decode(&bytes, format)?;
    let (width, height) = fitting(decoded.width(), decoded.height(), size);
    let has_size = (width, height) == (decoded.width(), decoded.height());
    let (decoded, jpeg) = if has_size && format == ImageFormat::Jpeg {
        // Of its own: the bytes may be a part of a larger buffer, which they would keep.
        (decoded, Bytes::copy_from_slice(&bytes))
    } else {
        let rgb = resized(&decoded.into_rgb8(), width, height)?;
        let jpeg = encode(&rgb, width, height, quality)?;
        let rgb = image::RgbImage::from_raw(width, height, rgb).ok_or(NoPicture::Truncated)?;
        (DynamicImage::ImageRgb8(rgb), jpeg)
    };
    let luminance = luminance(&decoded)?;
    let (light, fingerprint) = (Light::of(&luminance), Fingerprint::of(&luminance));
    Ok(Picture { width, height, hash: Hash::of(&jpeg), jpeg, light, fingerprint })
}

fn decode(bytes: &Bytes, format: ImageFormat) -> Result<DynamicImage, NoPicture> {
    if format == ImageFormat::Jpeg && !ends(bytes) {
        return Err(NoPicture::Truncated);
    }
    let mut limits = image::Limits::default();
    (limits.max_image_width, limits.max_image_height) = (Some(LARGEST), Some(LARGEST));
    limits.max_alloc = Some(MEMORY);
    let mut reader = ImageReader::with_format(Cursor::new(bytes.as_ref()), format);
    reader.limits(limits);
    let decoded = reader.decode().map_err(|error| NoPicture::Undecodable(error.to_string()))?;
    if decoded.width() == 0 || decoded.height() == 0 {
        return Err(NoPicture::Undecodable("it has no pixels".to_owned()));
    }
    Ok(decoded)
}

/// Whether a JPEG has its end: an end-of-image marker after the last start of a scan (ITU-T T.81, annex B). Within a
/// scan there is no marker, and decoders fill what is missing with grey.
fn ends(jpeg: &[u8]) -> bool {
    let last = |marker: u8| jpeg.windows(2).rposition(|pair| pair == [0xff, marker]);
    last(0xd9) > last(0xda)
}

/// The size of a picture that fits, in proportion.
fn fitting(width: u32, height: u32, size: u32) -> (u32, u32) {
    let longest = width.max(height);
    if longest <= size {
        return (width, height);
    }
    let scaled = |side: u32| (f64::from(side) * f64::from(size) / f64::from(longest)).round().max(1.0) as u32;
    (scaled(width), scaled(height))
}

fn resized(picture: &image::RgbImage, width: u32, height: u32) -> Result<Vec<u8>, NoPicture> {
    scale(picture.as_raw(), (picture.width(), picture.height()), (width, height), PixelType::U8x3)
}

/// By averages over areas where a picture becomes smaller.
fn scale(pixels: &[u8], from: (u32, u32), to: (u32, u32), kind: PixelType) -> Result<Vec<u8>, NoPicture> {
    if from == to {
        return Ok(pixels.to_vec());
    }
    let told = |error: &dyn std::fmt::Display| NoPicture::Unscalable(error.to_string());
    let source = ImageRef::new(from.0, from.1, pixels, kind).map_err(|error| told(&error))?;
    let mut target = Image::new(to.0, to.1, kind);
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Box));
    Resizer::new().resize(&source, &mut target, &options).map_err(|error| told(&error))?;
    Ok(target.into_vec())
}

fn encode(rgb: &[u8], width: u32, height: u32, quality: u8) -> Result<Bytes, NoPicture> {
    let mut jpeg = vec![];
    let mut encoder = JpegEncoder::new_with_quality(&mut jpeg, quality);
    encoder.encode(rgb, width, height, ExtendedColorType::Rgb8).map_err(NoPicture::Unencodable)?;
    Ok(jpeg.into())
}

fn luminance(picture: &DynamicImage) -> Result<Vec<u8>, NoPicture> {
    let grey = picture.to_luma8();
    let (width, height) = (grey.width(), grey.height());
    let to = if width > GRAIN { (GRAIN, (height * GRAIN / width).max(1)) } else { (width, height) };
    scale(grey.as_raw(), (width, height), to, PixelType::U8)
}

impl Light {
    fn of(luminance: &[u8]) -> Self {
        let count = luminance.len().max(1) as f64;
        let sum: f64 = luminance.iter().map(|value| f64::from(*value)).sum();
        let squares: f64 = luminance.iter().map(|value| f64::from(*value).powi(2)).sum();
        let mean = sum / count;
        Self { mean: mean as f32, contrast: (squares / count - mean * mean).max(0.0).sqrt() as f32 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{GrayImage, Luma, Rgb, RgbImage};
    use proptest::prelude::*;

    fn written(picture: &DynamicImage, format: ImageFormat) -> Bytes {
        let mut bytes = Cursor::new(vec![]);
        picture.write_to(&mut bytes, format).unwrap();
        bytes.into_inner().into()
    }

    fn gradient(width: u32, height: u32) -> DynamicImage {
        RgbImage::from_fn(width, height, |x, y| Rgb([(x * 255 / width) as u8, (y * 255 / height) as u8, 90])).into()
    }

    #[test]
    fn a_cameras_own_picture_goes_through_unchanged() {
        let jpeg = written(&gradient(640, 480), ImageFormat::Jpeg);
        let picture = look(jpeg.clone(), 1280, 85).unwrap();
        assert_eq!((picture.width, picture.height), (640, 480));
        assert_eq!((&picture.jpeg, picture.hash), (&jpeg, Hash::of(&jpeg)));
    }

    #[test]
    fn large_pictures_are_made_smaller_in_proportion() {
        for (from, to) in [((2560, 1440), (640, 360)), ((480, 1920), (160, 640)), ((5000, 2), (640, 1))] {
            let picture = look(written(&gradient(from.0, from.1), ImageFormat::Jpeg), 640, 85).unwrap();
            assert_eq!((picture.width, picture.height), to);
            let decoded = image::load_from_memory(&picture.jpeg).unwrap();
            assert_eq!((decoded.width(), decoded.height()), to);
        }
    }

    #[test]
    fn other_formats_become_jpeg() {
        for format in [ImageFormat::Png, ImageFormat::Bmp, ImageFormat::WebP] {
            let picture = look(written(&gradient(100, 80), format), 1280, 85).unwrap();
            assert_eq!(image::guess_format(&picture.jpeg).unwrap(), ImageFormat::Jpeg, "{format:?}");
        }
    }

    #[test]
    fn light_is_measured_from_black_to_white() {
        for (value, contrast) in [(0, 0.0), (128, 0.0), (255, 0.0)] {
            let grey = DynamicImage::ImageLuma8(GrayImage::from_pixel(64, 64, Luma([value])));
            let light = look(written(&grey, ImageFormat::Png), 1280, 95).unwrap().light;
            assert!(
                (light.mean - f32::from(value)).abs() < 1.5 && (light.contrast - contrast).abs() < 1.0,
                "{light:?}"
            );
        }
        let halves = GrayImage::from_fn(64, 64, |x, _| Luma([if x < 32 { 0 } else { 255 }]));
        let light = look(written(&halves.into(), ImageFormat::Png), 1280, 95).unwrap().light;
        assert!((light.mean - 127.5).abs() < 2.0 && (light.contrast - 127.5).abs() < 2.0, "{light:?}");
    }

    #[test]
    fn the_fingerprint_sees_a_change_of_noise_and_no_change_of_encoding() {
        let noisy = |seed: u32| {
            let noise = move |x: u32, y: u32| {
                (x.wrapping_mul(31) ^ y.wrapping_mul(17) ^ seed).wrapping_mul(2_654_435_761) >> 30
            };
            DynamicImage::from(GrayImage::from_fn(1280, 720, move |x, y| Luma([100 + noise(x, y) as u8])))
        };
        let print = |picture: &DynamicImage, format| look(written(picture, format), 4096, 95).unwrap().fingerprint;
        assert_ne!(print(&noisy(1), ImageFormat::Jpeg), print(&noisy(2), ImageFormat::Jpeg));
        let grey = DynamicImage::from(GrayImage::from_pixel(64, 64, Luma([77])));
        assert_eq!(print(&grey, ImageFormat::Jpeg), print(&grey, ImageFormat::WebP));
    }

    #[test]
    fn what_is_no_picture_is_refused() {
        let jpeg = written(&gradient(640, 480), ImageFormat::Jpeg);
        let half = jpeg.slice(..jpeg.len() / 2);
        assert!(matches!(look(half, 1280, 85), Err(NoPicture::Truncated)));
        assert!(matches!(look(Bytes::from_static(b"<html>"), 1280, 85), Err(NoPicture::Unknown)));
        assert!(matches!(look(Bytes::new(), 1280, 85), Err(NoPicture::Unknown)));
    }

    #[test]
    fn a_picture_that_would_fill_the_memory_is_refused() {
        // The head of a BMP of 16,000 times 16,000 pixels, which has no pixels.
        let mut bytes = written(&gradient(2, 2), ImageFormat::Bmp).to_vec();
        bytes[18..26].copy_from_slice(&[16_000_u32.to_le_bytes(), 16_000_u32.to_le_bytes()].concat());
        assert!(matches!(look(bytes.into(), 1280, 85), Err(NoPicture::Undecodable(_))));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn broken_pictures_are_told_not_fatal(
            at in any::<prop::sample::Index>(),
            value in any::<u8>(),
            png in any::<bool>(),
        ) {
            let format = if png { ImageFormat::Png } else { ImageFormat::Jpeg };
            let mut bytes = written(&gradient(40, 30), format).to_vec();
            let at = at.index(bytes.len());
            bytes[at] = value;
            // Whether it can be decoded is chance.
            let _ = look(bytes.into(), 1280, 85);
        }
    }
}
