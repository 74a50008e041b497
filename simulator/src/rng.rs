//! Noise that is the same every time: SplitMix64 (Steele, Lea, Flood 2014).

/// A stream of pseudo-random numbers. Not for secrets.
#[derive(Clone, Debug)]
pub struct Rng {
    state: u64,
}

impl Rng {
    /// The stream of one thing in a world: things do not share numbers, so that one more device changes no other.
    pub fn of(seed: u64, thing: &str) -> Self {
        // FNV-1a, to tell names apart.
        let name = thing
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        Self { state: seed ^ name }
    }

    fn bits(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Uniform in `[0, 1)`.
    pub fn unit(&mut self) -> f64 {
        // 53 bits fill the mantissa exactly.
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Uniform in `[low, high)`.
    pub fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    /// One of `count` things, as its index; 0 if there are none.
    pub fn index(&mut self, count: usize) -> usize {
        ((self.unit() * count as f64) as usize).min(count.saturating_sub(1))
    }

    /// Bell-shaped noise around 0 with this standard deviation, never beyond ±3.5 of them: the sum of four uniform
    /// numbers (Irwin–Hall), whose variance is 4/12.
    pub fn noise(&mut self, deviation: f64) -> f64 {
        let sum: f64 = (0..4).map(|_| self.unit()).sum();
        (sum - 2.0) * 3.0_f64.sqrt() * deviation
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_seed_and_name_give_the_same_numbers() {
        let take = |seed, name| {
            let mut rng = Rng::of(seed, name);
            (0..8).map(|_| rng.unit()).collect::<Vec<_>>()
        };
        assert_eq!(take(7, "p1"), take(7, "p1"));
        assert_ne!(take(7, "p1"), take(7, "p2"));
        assert_ne!(take(7, "p1"), take(8, "p1"));
    }

    #[test]
    fn noise_has_the_deviation_asked_for_and_is_bounded() {
        let mut rng = Rng::of(1, "noise");
        let samples: Vec<f64> = (0..20_000).map(|_| rng.noise(2.0)).collect();
        let mean = samples.iter().sum::<f64>() / samples.len() as f64;
        let variance = samples.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / samples.len() as f64;
        assert!(mean.abs() < 0.1, "mean {mean}");
        assert!((variance.sqrt() - 2.0).abs() < 0.1, "deviation {}", variance.sqrt());
        assert!(samples.iter().all(|x| x.abs() <= 7.0));
    }

    #[test]
    fn index_stays_in_range() {
        let mut rng = Rng::of(3, "index");
        assert!((0..1000).all(|_| rng.index(3) < 3));
        assert_eq!(rng.index(0), 0);
    }
}
