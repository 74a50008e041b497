//! Pictures of prints, drawn: good ones, and ones that have turned to spaghetti.

use image::{Rgb, RgbImage};
use jarvis_models::vision::Random;
use std::path::Path;

/// Writes pictures as `000.jpg` and so on.
pub fn draw(folder: &Path, count: usize, is_bad: bool, seed: u64) {
    std::fs::create_dir_all(folder).unwrap();
    let mut random = Random::new(seed);
    for n in 0..count {
        scene(&mut random, is_bad, None).save(folder.join(format!("{n:03}.jpg"))).unwrap();
    }
}

/// Writes pictures of one print as its camera sees them: only noise differs, and the strands of a bad one.
#[allow(dead_code, reason = "each test uses what it needs")]
pub fn draw_print(folder: &Path, count: usize, is_bad: bool, print: u64) {
    std::fs::create_dir_all(folder).unwrap();
    let mut more = Random::new(print ^ u64::from(is_bad) << 32);
    for n in 0..count {
        scene(&mut Random::new(print), is_bad, Some(&mut more)).save(folder.join(format!("{n:03}.jpg"))).unwrap();
    }
}

/// `more`: where what differs between pictures of one print comes from.
fn scene(random: &mut Random, is_bad: bool, more: Option<&mut Random>) -> RgbImage {
    let (width, height) = [(320, 240), (400, 300), (320, 180)][random.below(3)];
    let (w, h) = (width as f32, height as f32);
    let shade = |random: &mut Random, low: f32, high: f32| [0; 3].map(|_: u8| random.between(low, high));
    let (wall, bed, filament) = (shade(random, 20.0, 140.0), shade(random, 20.0, 110.0), shade(random, 40.0, 235.0));
    let horizon = h * random.between(0.4, 0.6);
    let mut picture = RgbImage::from_fn(width, height, |x, y| {
        let light = 0.8 + 0.4 * x as f32 / w;
        let ground = if (y as f32) < horizon { wall } else { bed };
        pixel(ground, light)
    });
    let (centre, base) = (w * random.between(0.35, 0.65), h * random.between(0.72, 0.88));
    let (radius, tall) = (w * random.between(0.06, 0.18), h * random.between(0.05, 0.35));
    let layers = (tall / 2.5) as usize + 2;
    for layer in 0..layers {
        let y = base - tall * layer as f32 / layers as f32;
        let light = if layer % 2 == 0 { 1.0 } else { 0.8 };
        fill(&mut picture, (centre, y), radius, radius * 0.25, pixel(filament, light));
    }
    // A cable hangs in some pictures of either kind.
    if random.below(2) == 0 {
        let at = w * random.unit();
        for y in 0..height {
            fill(&mut picture, (at + 12.0 * (y as f32 / 25.0).sin(), y as f32), 1.5, 1.5, Rgb([25, 25, 28]));
        }
    }
    let random = more.unwrap_or(random);
    if is_bad {
        let (x, y) = (centre + radius * random.between(-1.0, 1.0), base - tall * random.unit());
        for _ in 0..15 + random.below(40) {
            let mut at = (x + radius * random.between(-0.8, 0.8), y + radius * random.between(-0.5, 0.5));
            let (mut heading, mut bend) = (random.between(0.0, 6.3), random.between(-0.3, 0.3));
            let light = random.between(0.6, 1.3);
            for _ in 0..20 + random.below(60) {
                bend = (bend + random.between(-0.1, 0.1)).clamp(-0.5, 0.5);
                heading += bend;
                at = (at.0 + 2.0 * heading.cos(), at.1 + 1.6 * heading.sin() + 0.2);
                fill(&mut picture, at, 0.9, 0.9, pixel(filament, light));
            }
        }
    }
    let noise = random.between(2.0, 12.0);
    for p in picture.pixels_mut() {
        p.0 = p.0.map(|value| (f32::from(value) + random.between(-noise, noise)).clamp(0.0, 255.0) as u8);
    }
    picture
}

fn pixel(colour: [f32; 3], light: f32) -> Rgb<u8> {
    Rgb(colour.map(|value| (value * light).clamp(0.0, 255.0) as u8))
}

/// An ellipse.
fn fill(picture: &mut RgbImage, at: (f32, f32), across: f32, down: f32, colour: Rgb<u8>) {
    let (left, right) = ((at.0 - across).max(0.0) as u32, (at.0 + across).max(0.0) as u32);
    let (top, bottom) = ((at.1 - down).max(0.0) as u32, (at.1 + down).max(0.0) as u32);
    for y in top..=bottom.min(picture.height() - 1) {
        for x in left..=right.min(picture.width() - 1) {
            let (dx, dy) = ((x as f32 - at.0) / across.max(0.5), (y as f32 - at.1) / down.max(0.5));
            if dx * dx + dy * dy <= 1.0 {
                picture.put_pixel(x, y, colour);
            }
        }
    }
}
