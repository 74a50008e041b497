//! A spool of filament on a printer.

use crate::material::Material;

/// What is left of it, and of what.
#[derive(Clone, Debug, PartialEq)]
pub struct Spool {
    pub id: String,
    pub material: Material,
    /// Grams.
    pub remaining_g: f64,
}

impl Spool {
    /// The `number`th spool of a printer.
    pub fn load(printer: &str, number: u32, material: Material, grams: f64) -> Self {
        Self { id: format!("{printer}-s{number}"), material, remaining_g: grams }
    }

    /// Takes filament off it; false if there was not enough and it is empty now.
    pub fn take(&mut self, grams: f64) -> bool {
        let enough = grams <= self.remaining_g;
        self.remaining_g = (self.remaining_g - grams).max(0.0);
        enough
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::material::MATERIALS;

    #[test]
    fn takes_until_it_is_empty_and_never_below() {
        let mut spool = Spool::load("p1", 3, MATERIALS[0], 1.0);
        assert!(spool.take(0.75));
        assert!(!spool.take(0.75));
        assert_eq!(spool.remaining_g, 0.0);
        assert_eq!(spool.id, "p1-s3");
    }
}
