//! What a camera before a printer sees: a print that grows layer by layer, and the one that turns to spaghetti.
//!
//! A picture is a function of the print's seed and of its time. So two pictures of one moment show the same strands, a
//! strand that has come stays where it is, and whoever learns from pictures of a print learns about that print. Only
//! the sensor's noise is another one each time, as a camera's is: a picture that stays exactly the same is a frozen one.

use crate::picture::{Colour, Picture};
use crate::rng::Rng;

const WIDTH: u32 = 480;
const HEIGHT: u32 = 360;
/// Pixels that a layer is high.
const LAYER: f32 = 3.0;
/// Seconds that a layer takes.
const LAYER_TIME: f64 = 4.0;
/// Layers of a whole print; it is then as high as the nozzle can go in the picture.
const LAYERS: usize = 34;
/// Strands that come in a second, and how many there are at most.
const STRANDS: f64 = 3.0;
const MOST_STRANDS: usize = 70;
/// Steps of two pixels that a strand grows in a second, and at most.
const STRAND_STEPS: f64 = 40.0;
const LONGEST_STRAND: usize = 110;

/// The room, the printer and what it makes, by the print's seed.
struct Scene {
    wall: Colour,
    bed: Colour,
    filament: Colour,
    /// Where the wall ends and the table begins.
    horizon: f32,
    /// The middle of the print's foot.
    centre: (f32, f32),
    /// Half of the print's width at its foot.
    radius: f32,
    /// How much narrower it is at its top, as a part.
    taper: f32,
}

impl Scene {
    fn of(seed: u64) -> Self {
        let mut rng = Rng::of(seed, "scene");
        let mut between = |low: f64, high: f64| rng.between(low, high) as f32;
        // Rooms and printers are grey, more or less; filament is of any colour.
        let mut shade = |grey: f64, tint: f64| [0; 3].map(|_: u8| between(grey - tint, grey + tint));
        let (wall, bed, filament) = (shade(105.0, 14.0), shade(48.0, 6.0), shade(165.0, 85.0));
        let (width, height) = (f64::from(WIDTH), f64::from(HEIGHT));
        Self {
            wall,
            bed,
            filament,
            horizon: between(0.42 * height, 0.5 * height),
            centre: (between(0.42 * width, 0.58 * width), between(0.78 * height, 0.84 * height)),
            radius: between(0.1 * width, 0.15 * width),
            taper: between(-0.2, 0.5),
        }
    }

    /// The height of the finished layers after so many seconds, pixels.
    fn grown(&self, seconds: f64) -> f32 {
        LAYER * self.layers(seconds) as f32
    }

    fn layers(&self, seconds: f64) -> usize {
        ((seconds / LAYER_TIME).ceil() as usize).min(LAYERS)
    }

    fn radius(&self, layer: usize) -> f32 {
        self.radius * (1.0 - self.taper * layer as f32 / LAYERS as f32)
    }
}

/// The picture after so many seconds of printing; from `spaghetti_since` on nothing sticks any more, and strands grow.
///
/// `glimpse` tells pictures of the same moment apart: their noise differs.
pub fn frame(seed: u64, seconds: f64, spaghetti_since: Option<f64>, glimpse: u64) -> Picture {
    let scene = Scene::of(seed);
    let seconds = seconds.max(0.0);
    let failed_at = spaghetti_since.unwrap_or(f64::INFINITY).min(seconds);
    let mut picture = room(&scene);
    for layer in 0..scene.layers(failed_at) {
        let light = if layer % 2 == 0 { 1.0 } else { 0.82 };
        let at = (scene.centre.0, scene.centre.1 - LAYER * layer as f32);
        let radius = scene.radius(layer);
        picture.ellipse(at, radius, radius * 0.3, lit(scene.filament, light));
    }
    nozzle(&mut picture, &scene, seconds, scene.grown(failed_at));
    strands(&mut picture, &scene, seed, failed_at, seconds - failed_at);
    let mut noise = Rng::of(seed ^ glimpse.rotate_left(32), "noise");
    picture.disturb(|| noise.noise(3.0) as f32);
    picture
}

fn lit(colour: Colour, light: f32) -> Colour {
    colour.map(|value| value * light)
}

/// The wall, the table and the bed with the lines of its grid.
fn room(scene: &Scene) -> Picture {
    let (width, height) = (WIDTH as f32, HEIGHT as f32);
    // The bed is a trapezoid: what is farther away is narrower.
    let (top, bottom) = (scene.horizon + 0.12 * height, 0.97 * height);
    Picture::paint(WIDTH, HEIGHT, |x, y| {
        let light = 0.85 + 0.3 * x / width;
        let depth = (y - top) / (bottom - top);
        let half = width * (0.3 + 0.14 * depth);
        let across = (x - width / 2.0) / half;
        let is_bed = (0.0..=1.0).contains(&depth) && across.abs() <= 1.0;
        let on_line = |part: f32| (part * 5.0).fract().abs() < 0.05;
        match is_bed {
            true if on_line(across + 1.0) || on_line(depth) => lit(scene.bed, 1.5 * light),
            true => lit(scene.bed, light),
            false if y < scene.horizon => lit(scene.wall, light),
            false => lit(scene.wall, 0.6 * light),
        }
    })
}

/// The rail, and the head on it, which goes to and fro just above what is finished.
fn nozzle(picture: &mut Picture, scene: &Scene, seconds: f64, grown: f32) {
    // Before the first layer it stands at the side.
    let at = match seconds > 0.0 {
        true => scene.centre.0 + scene.radius * (seconds * 1.9).sin() as f32 * 0.9,
        false => 0.1 * WIDTH as f32,
    };
    let tip = scene.centre.1 - grown - 4.0;
    picture.rectangle((0.0, tip - 62.0), (WIDTH as f32, tip - 54.0), [70.0, 72.0, 76.0]);
    picture.rectangle((at - 20.0, tip - 70.0), (at + 20.0, tip - 14.0), [38.0, 38.0, 42.0]);
    for (step, half) in [7.0_f32, 5.0, 3.5, 2.0].into_iter().enumerate() {
        let y = tip - 14.0 + 3.5 * step as f32;
        picture.rectangle((at - half, y), (at + half, y + 3.5), [176.0, 148.0, 84.0]);
    }
}

/// Strands of filament, each from where the print was left, bending as it likes and sinking a little.
fn strands(picture: &mut Picture, scene: &Scene, seed: u64, failed_at: f64, since: f64) {
    let count = ((since * STRANDS).ceil() as usize).min(MOST_STRANDS);
    let top = scene.centre.1 - scene.grown(failed_at);
    // Each failure is another one.
    let seed = seed ^ failed_at.to_bits();
    for strand in 0..count {
        let mut rng = Rng::of(seed, &format!("strand {strand}"));
        let mut between = |low: f64, high: f64| rng.between(low, high) as f32;
        let mut at = (scene.centre.0 + scene.radius * between(-1.1, 1.1), top + between(-0.25, 0.2) * scene.radius);
        let (mut heading, mut bend) = (between(0.0, 6.3), between(-0.3, 0.3));
        let light = between(0.65, 1.2);
        let age = since - strand as f64 / STRANDS;
        let steps = ((age * STRAND_STEPS) as usize).min(LONGEST_STRAND);
        for _ in 0..steps {
            bend = (bend + between(-0.1, 0.1)).clamp(-0.5, 0.5);
            heading += bend;
            at = (
                at.0 + 2.0 * heading.cos(),
                (at.1 + 1.6 * heading.sin() + 0.35).min(scene.centre.1 + scene.radius * 0.4),
            );
            picture.ellipse(at, 1.3, 1.3, lit(scene.filament, light));
        }
    }
}

/// Moments of a print that went well, spread over it: what a judge is to take for good.
pub fn good(seed: u64, count: u64) -> impl Iterator<Item = Picture> {
    // The first is the empty bed.
    (0..count).map(move |n| frame(seed, n as f64 * LAYER_TIME * LAYERS as f64 / count as f64, None, n))
}

/// Moments of the same print when it has gone wrong: early and late, a little and much.
pub fn bad(seed: u64, count: u64) -> impl Iterator<Item = Picture> {
    (0..count).map(move |n| {
        let since = 12.0 + n as f64 * LAYER_TIME * LAYERS as f64 / count as f64;
        let mut rng = Rng::of(seed ^ n, "failure");
        frame(seed, since + rng.between(5.0, 40.0), Some(since), n)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many pixels differ by more than noise.
    fn changed(one: &Picture, other: &Picture) -> usize {
        let places = (0..HEIGHT).flat_map(|y| (0..WIDTH).map(move |x| (x, y)));
        places
            .filter(|(x, y)| {
                let both = one.pixel(*x, *y).into_iter().flatten().zip(other.pixel(*x, *y).into_iter().flatten());
                both.map(|(a, b)| u32::from(a.abs_diff(b))).max() > Some(25)
            })
            .count()
    }

    #[test]
    fn one_moment_looks_the_same_but_for_noise() {
        let (one, other) = (frame(1, 30.0, Some(20.0), 1), frame(1, 30.0, Some(20.0), 2));
        assert_eq!(one, frame(1, 30.0, Some(20.0), 1));
        assert_ne!(one, other);
        assert_eq!(changed(&one, &other), 0);
    }

    #[test]
    fn a_print_grows_until_it_is_done() {
        let whole = LAYER_TIME * LAYERS as f64;
        let heights = [0.0, 10.0, 60.0, whole, 3.0 * whole].map(|seconds| Scene::of(1).grown(seconds));
        assert!(heights.is_sorted() && heights[0] == 0.0 && heights[3] == heights[4], "{heights:?}");
        // A nozzle at the same place in both: it is the print that differs.
        assert!(changed(&frame(1, 5.0, None, 1), &frame(1, 60.0, None, 1)) > 1000);
    }

    #[test]
    fn strands_come_and_stay_while_the_print_does_not_grow() {
        let bare = |seconds: f64| frame(3, seconds, None, 1);
        assert_eq!(bare(20.0), frame(3, 20.0, Some(20.0), 1), "at first there are none");
        let spread = [2.0, 8.0, 25.0].map(|after| {
            // The head moves: it hides strands, and is no strand.
            changed(&frame(3, 20.0, Some(20.0 - after), 1), &frame(3, 20.0 - after, None, 1))
        });
        assert!(spread.is_sorted() && spread[2] > 2000, "{spread:?}");
    }

    #[test]
    fn prints_differ_by_their_seed() {
        assert!(changed(&frame(1, 60.0, None, 1), &frame(2, 60.0, None, 1)) > 5_000);
    }
}
