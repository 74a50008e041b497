//! A heater and what it heats: a nozzle, a bed or a chamber.
//!
//! A first-order lag. Heating moves towards the goal with one time constant; with the heater off it cools towards the
//! room with another. The steps are exact exponentials, so the result does not depend on how time is cut.

use crate::rng::Rng;

/// The room, °C.
pub const AMBIENT: f64 = 22.0;

/// How fast it heats and cools, and how its sensor trembles.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Thermal {
    /// Time constant of heating, seconds.
    pub heat_s: f64,
    /// Time constant of cooling, seconds.
    pub cool_s: f64,
    /// Standard deviation of a reading, °C.
    pub noise: f64,
}

impl Thermal {
    pub const NOZZLE: Self = Self { heat_s: 12.0, cool_s: 70.0, noise: 0.25 };
    pub const BED: Self = Self { heat_s: 45.0, cool_s: 240.0, noise: 0.1 };
}

/// What is wrong with a heater.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum HeaterFault {
    /// It heats to this many °C, whatever its target (a shorted switch).
    RunsAwayTo(f64),
    /// It does not heat (a broken cartridge or wire).
    Dead,
}

/// A heated part. Temperatures in °C.
#[derive(Clone, Debug)]
pub struct Heater {
    thermal: Thermal,
    temperature: f64,
    target: f64,
    fault: Option<HeaterFault>,
}

impl Heater {
    /// At room temperature and off.
    pub fn cold(thermal: Thermal) -> Self {
        Self { thermal, temperature: AMBIENT, target: 0.0, fault: None }
    }

    /// Sets the target; 0 is off.
    pub fn set_target(&mut self, target: f64) {
        self.target = target;
    }

    /// Sets the target and puts the part there at once: a printer that has been at work for a while.
    pub fn settle(&mut self, target: f64) {
        self.target = target;
        self.temperature = self.goal();
    }

    pub fn set_fault(&mut self, fault: Option<HeaterFault>) {
        self.fault = fault;
    }

    pub fn target(&self) -> f64 {
        self.target
    }

    /// The true temperature.
    pub fn temperature(&self) -> f64 {
        self.temperature
    }

    /// What its sensor says.
    pub fn reading(&self, rng: &mut Rng) -> f64 {
        self.temperature + rng.noise(self.thermal.noise)
    }

    /// Within 3 °C of its target, or off.
    pub fn is_ready(&self) -> bool {
        self.target <= 0.0 || (self.temperature - self.target).abs() <= 3.0
    }

    /// Where it is going.
    fn goal(&self) -> f64 {
        match self.fault {
            Some(HeaterFault::RunsAwayTo(to)) => to,
            Some(HeaterFault::Dead) => AMBIENT,
            None => self.target.max(AMBIENT),
        }
    }

    /// Lets time pass.
    pub fn advance(&mut self, seconds: f64) {
        let goal = self.goal();
        self.temperature = if self.temperature < goal {
            goal + (self.temperature - goal) * (-seconds / self.thermal.heat_s).exp()
        } else {
            (AMBIENT + (self.temperature - AMBIENT) * (-seconds / self.thermal.cool_s).exp()).max(goal)
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn nozzle(target: f64) -> Heater {
        let mut heater = Heater::cold(Thermal::NOZZLE);
        heater.set_target(target);
        heater
    }

    #[test]
    fn a_nozzle_is_ready_within_a_minute() {
        let mut heater = nozzle(215.0);
        heater.advance(10.0);
        assert!(!heater.is_ready());
        heater.advance(50.0);
        assert!(heater.is_ready(), "{}", heater.temperature());
    }

    #[test]
    fn a_dead_heater_cools_to_the_room_and_keeps_its_target() {
        let mut heater = nozzle(215.0);
        heater.settle(215.0);
        heater.set_fault(Some(HeaterFault::Dead));
        heater.advance(10.0);
        assert!(heater.temperature() < 215.0 - 15.0, "{}", heater.temperature());
        heater.advance(3600.0);
        assert!((heater.temperature() - AMBIENT).abs() < 0.1);
        assert_eq!(heater.target(), 215.0);
    }

    #[test]
    fn a_runaway_leaves_its_target_and_comes_back_when_mended() {
        let mut heater = nozzle(240.0);
        heater.settle(240.0);
        heater.set_fault(Some(HeaterFault::RunsAwayTo(286.0)));
        heater.advance(15.0);
        assert!(heater.temperature() > 265.0, "{}", heater.temperature());
        heater.set_fault(None);
        heater.advance(30.0);
        assert_eq!(heater.temperature(), 240.0);
    }

    proptest! {
        #[test]
        fn how_time_is_cut_does_not_matter(target in 0.0..300.0_f64, steps in prop::collection::vec(0.0..5.0_f64, 1..40)) {
            let (mut fine, mut coarse) = (nozzle(target), nozzle(target));
            steps.iter().for_each(|step| fine.advance(*step));
            coarse.advance(steps.iter().sum());
            prop_assert!((fine.temperature() - coarse.temperature()).abs() < 1e-6);
        }

        #[test]
        fn stays_between_the_room_and_the_hottest_goal(targets in prop::collection::vec((0.0..300.0_f64, 0.0..60.0_f64), 1..20)) {
            let mut heater = nozzle(0.0);
            for (target, seconds) in targets {
                heater.set_target(target);
                heater.advance(seconds);
                prop_assert!((AMBIENT..=300.0).contains(&heater.temperature()));
            }
        }
    }
}
