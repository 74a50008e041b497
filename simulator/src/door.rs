//! A door that people walk through.

use crate::rng::Rng;

/// A door and when it moves next. Left alone it is opened now and then, and closed well within its allowance.
#[derive(Clone, Debug)]
pub struct Door {
    pub id: String,
    open: bool,
    /// Seconds until it moves.
    left: f64,
    /// Somebody put a wedge under it.
    held: bool,
    longest_open: f64,
    rng: Rng,
}

impl Door {
    /// A closed door that may stand open for `allowed_open_s` seconds.
    pub fn closed(id: &str, allowed_open_s: f64, seed: u64) -> Self {
        let mut rng = Rng::of(seed, id);
        let left = rng.between(5.0, 90.0);
        Self { id: id.into(), open: false, left, held: false, longest_open: (0.4 * allowed_open_s).min(20.0), rng }
    }

    pub fn is_open(&self) -> bool {
        self.open
    }

    /// Lets time pass; true if the door moved.
    pub fn advance(&mut self, seconds: f64) -> bool {
        if self.held {
            return false;
        }
        self.left -= seconds;
        if self.left > 0.0 {
            return false;
        }
        self.open = !self.open;
        self.left =
            if self.open { self.rng.between(0.25, 1.0) * self.longest_open } else { self.rng.between(30.0, 180.0) };
        true
    }

    /// Opens it and keeps it open; true if it was closed.
    pub fn hold(&mut self) -> bool {
        self.held = true;
        !std::mem::replace(&mut self.open, true)
    }

    /// Closes it and lets people use it again; true if it was open.
    pub fn release(&mut self) -> bool {
        self.held = false;
        self.left = self.rng.between(30.0, 180.0);
        std::mem::replace(&mut self.open, false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_held_door_stays_open_until_it_is_released() {
        let mut door = Door::closed("d1", 20.0, 7);
        assert!(door.hold());
        assert!(!door.hold());
        assert!(!door.advance(3600.0));
        assert!(door.is_open());
        assert!(door.release());
        assert!(!door.is_open());
        assert!(!door.release());
    }

    proptest! {
        #[test]
        fn left_alone_it_never_stands_open_too_long(seed in any::<u64>(), allowed in 5.0..600.0_f64) {
            let mut door = Door::closed("d1", allowed, seed);
            let mut open_for = 0.0;
            let mut moved = 0;
            for _ in 0..20_000 {
                moved += usize::from(door.advance(0.1));
                open_for = if door.is_open() { open_for + 0.1 } else { 0.0 };
                prop_assert!(open_for < allowed);
            }
            prop_assert!(moved > 2);
        }
    }
}
