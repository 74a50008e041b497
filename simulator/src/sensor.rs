//! A climate or air sensor: a value that wanders about what is typical.

use crate::rng::Rng;

/// One quantity of one sensor.
#[derive(Clone, Debug)]
pub struct Sensor {
    pub id: String,
    pub quantity: String,
    typical: f64,
    offset: f64,
    rng: Rng,
}

impl Sensor {
    pub fn new(id: &str, quantity: &str, typical: f64, seed: u64) -> Self {
        Self {
            id: id.into(),
            quantity: quantity.into(),
            typical,
            offset: 0.0,
            rng: Rng::of(seed, &format!("{id}/{quantity}")),
        }
    }

    /// Takes the next reading: the last one, pulled a little back to the typical value and pushed a little by chance,
    /// so it stays within a few percent of it.
    pub fn read(&mut self) -> f64 {
        self.offset = self.offset * 0.95 + self.rng.noise(0.004 * self.typical);
        self.typical + self.offset
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wanders_but_stays_near_what_is_typical() {
        let mut sensor = Sensor::new("s1", "humidity", 40.0, 7);
        let readings: Vec<f64> = (0..5000).map(|_| sensor.read()).collect();
        assert!(readings.iter().all(|r| (30.0..50.0).contains(r)));
        assert!(readings.windows(2).any(|pair| pair[0] != pair[1]));
    }
}
