//! Scores as cameras in workshops give them, drawn from seeds.

/// `SplitMix64`.
pub(crate) struct Chance(pub u64);

impl Chance {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Between 0 and 1.
    pub fn part(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    pub fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.part()
    }

    /// Once in so many.
    pub fn once_in(&mut self, times: f64) -> bool {
        self.part() * times < 1.0
    }

    /// Nearly normal: the sum of twelve.
    pub fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.part()).sum::<f64>() - 6.0
    }
}

/// What a camera is like.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Scene {
    Clean,
    /// Its level wanders, and jumps with the light.
    Restless,
    /// Something in the picture looks like a failure all day.
    Biased,
    /// A workshop: hands, lights and reflections every two minutes.
    Busy,
}

pub(crate) const SCENES: [Scene; 4] = [Scene::Clean, Scene::Restless, Scene::Biased, Scene::Busy];

/// Scores of a good print, one a second.
pub(crate) struct Good {
    chance: Chance,
    scene: Scene,
    level: f64,
    noise: f64,
    /// Seconds that a burst lasts, and its score.
    burst: (u32, f64),
    purge: u32,
    second: u32,
}

impl Good {
    pub fn new(seed: u64, scene: Scene) -> Self {
        let mut chance = Chance(seed);
        let level = match scene {
            Scene::Clean | Scene::Busy => chance.between(0.03, 0.12),
            Scene::Restless => chance.between(0.05, 0.25),
            Scene::Biased => 0.5,
        };
        let purge = 600 + (chance.next() % 1800) as u32;
        Good { chance, scene, level, noise: 0.0, burst: (0, 0.0), purge, second: 0 }
    }

    pub fn score(&mut self) -> f64 {
        let Good { chance, .. } = self;
        self.second += 1;
        self.noise = 0.8 * self.noise + 0.6 * chance.normal();
        if matches!(self.scene, Scene::Restless) {
            self.level += 0.0005 * chance.normal();
            if chance.once_in(7200.0) {
                self.level += chance.between(-0.12, 0.15);
            }
            self.level = self.level.clamp(0.03, 0.32);
        }
        if self.burst.0 == 0 {
            self.burst = if self.second.is_multiple_of(self.purge) {
                (3, chance.between(0.3, 0.6))
            } else if chance.once_in(if matches!(self.scene, Scene::Busy) { 120.0 } else { 900.0 }) {
                // A hand, a light that is switched, a reflection.
                (1 + u32::from(chance.once_in(2.0)), chance.between(0.5, 0.9))
            } else if chance.once_in(120.0) {
                // The head passes.
                (1, chance.between(0.2, 0.6))
            } else {
                (0, 0.0)
            };
        }
        let spread = if matches!(self.scene, Scene::Biased) { 0.025 } else { 0.05 };
        // Skewed to high scores, as such scores are.
        let noise = self.noise + 0.3 * (self.noise * self.noise - 1.0);
        let score = (self.level + spread * noise).clamp(0.0, 1.0);
        if self.burst.0 == 0 {
            return score;
        }
        self.burst.0 -= 1;
        score.max(self.burst.1)
    }
}

/// A failure from its first sign on: it grows to its strength, and is hidden now and then.
pub(crate) fn failing(chance: &mut Chance, second: u64, ramp: f64, strength: f64, good: f64) -> f64 {
    let part = (second as f64 / ramp).min(1.0);
    if chance.once_in(25.0) {
        return good;
    }
    (good + (strength - good).max(0.0) * part + 0.05 * chance.normal()).clamp(0.0, 1.0)
}
