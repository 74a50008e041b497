//! Failures painted into good pictures: loose strands of filament around some place.

use super::random::Random;
use image::{Rgb, RgbImage};

/// A picture of the same print, gone wrong.
pub fn with_strands(picture: &RgbImage, random: &mut Random) -> RgbImage {
    let mut picture = picture.clone();
    let (width, height) = (picture.width() as f32, picture.height() as f32);
    let size = width.min(height);
    let centre = (width * random.between(0.3, 0.7), height * random.between(0.35, 0.8));
    // Filament has a colour of the picture; where it is, light falls on it otherwise.
    let near = |random: &mut Random| {
        let x = (centre.0 + size * random.between(-0.15, 0.15)).clamp(0.0, width - 1.0);
        let y = (centre.1 + size * random.between(-0.15, 0.15)).clamp(0.0, height - 1.0);
        *picture.get_pixel(x as u32, y as u32)
    };
    let colour = near(random);
    let spread = size * random.between(0.06, 0.25);
    for _ in 0..10 + random.below(50) {
        let light = random.between(0.6, 1.5);
        let own = Rgb(colour.0.map(|value| (f32::from(value) * light + 20.0 * (light - 1.0)).clamp(0.0, 255.0) as u8));
        let mut at = (centre.0 + spread * random.between(-1.0, 1.0), centre.1 + spread * random.between(-0.7, 0.7));
        let mut heading = random.between(0.0, std::f32::consts::TAU);
        let mut bend = random.between(-0.3, 0.3);
        let thickness = size * random.between(0.002, 0.006);
        for _ in 0..(20 + random.below(80)) {
            dot(&mut picture, at, thickness.max(0.7), own);
            bend = (bend + random.between(-0.08, 0.08)).clamp(-0.45, 0.45);
            heading += bend;
            let step = size * 0.008;
            at = (at.0 + step * heading.cos(), at.1 + step * heading.sin());
        }
    }
    picture
}

fn dot(picture: &mut RgbImage, at: (f32, f32), radius: f32, colour: Rgb<u8>) {
    let reach = radius.ceil() as i64;
    for dy in -reach..=reach {
        for dx in -reach..=reach {
            let (x, y) = (at.0 as i64 + dx, at.1 as i64 + dy);
            let is_inside = (dx * dx + dy * dy) as f32 <= radius * radius;
            if is_inside && x >= 0 && y >= 0 && x < picture.width().into() && y < picture.height().into() {
                picture.put_pixel(x as u32, y as u32, colour);
            }
        }
    }
}
