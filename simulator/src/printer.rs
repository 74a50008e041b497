//! A printer: its heaters, its spool and its jobs, one after the other.

use crate::cadence::Cadence;
use crate::facility::PrinterModel;
use crate::heater::{Heater, HeaterFault, Thermal};
use crate::material::{Material, printable};
use crate::message::Message;
use crate::print::{Phase, Print};
use crate::rng::Rng;
use crate::spool::Spool;

/// A full spool, grams.
const FULL_SPOOL_G: f64 = 1000.0;
/// Filament through a nozzle of one square millimetre, grams a second.
const GRAMS_PER_S_MM2: f64 = 0.0375;

/// A printer at work.
#[derive(Clone, Debug)]
pub struct Printer {
    pub id: String,
    /// The first nozzle, the bed, then nozzles that are not in use.
    heaters: Vec<(String, Heater)>,
    materials: Vec<Material>,
    grams_per_s: f64,
    spool: Spool,
    spools: u32,
    jobs: u32,
    phase: Phase,
    stalled: bool,
    temperatures_due: Cadence,
    job_due: Cadence,
    filament_due: Cadence,
    rng: Rng,
}

/// Where `heaters` holds the nozzle and the bed that print.
const NOZZLE: usize = 0;
const BED: usize = 1;

impl Printer {
    /// A cold printer that gets its first job soon.
    pub fn new(model: &PrinterModel, seed: u64) -> Self {
        let mut rng = Rng::of(seed, &model.id);
        let materials = printable(model.max_nozzle, model.max_bed);
        let material = materials[rng.index(materials.len())];
        let mut heaters =
            vec![("tool0".to_owned(), Heater::cold(Thermal::NOZZLE)), ("bed".to_owned(), Heater::cold(Thermal::BED))];
        heaters.extend((1..model.tools).map(|tool| (format!("tool{tool}"), Heater::cold(Thermal::NOZZLE))));
        Self {
            id: model.id.clone(),
            heaters,
            spool: Spool::load(&model.id, 1, material, rng.between(model.low_filament_g + 100.0, FULL_SPOOL_G)),
            materials,
            grams_per_s: GRAMS_PER_S_MM2 * model.nozzle_mm.powi(2),
            spools: 1,
            jobs: 0,
            phase: Phase::Idle { left_s: rng.between(20.0, 200.0) },
            stalled: false,
            temperatures_due: Cadence::new(2.0, &mut rng),
            job_due: Cadence::new(2.0, &mut rng),
            filament_due: Cadence::new(5.0, &mut rng),
            rng,
        }
    }

    pub fn phase(&self) -> &Phase {
        &self.phase
    }

    /// Makes it one that has been printing for a while, unless it is printing.
    pub fn be_at_work(&mut self) {
        if matches!(self.phase, Phase::Printing(_)) {
            return;
        }
        let Phase::Preparing(mut print) = self.start() else { return };
        print.progress = self.rng.between(5.0, 60.0);
        for (_, heater) in &mut self.heaters {
            heater.settle(heater.target());
        }
        self.phase = Phase::Printing(print);
    }

    /// What is wrong with the heater of its nozzle.
    pub fn set_nozzle_fault(&mut self, fault: Option<HeaterFault>) {
        self.heaters[NOZZLE].1.set_fault(fault);
    }

    /// A stalled printer says that it prints, but nothing moves.
    pub fn set_stalled(&mut self, stalled: bool) {
        self.stalled = stalled;
    }

    /// Puts another spool of the same material on it.
    pub fn load_spool(&mut self, grams: f64) {
        self.spools += 1;
        self.spool = Spool::load(&self.id, self.spools, self.spool.material, grams);
    }

    /// Lets time pass.
    pub fn advance(&mut self, seconds: f64) {
        for (_, heater) in &mut self.heaters {
            heater.advance(seconds);
        }
        let phase = std::mem::replace(&mut self.phase, Phase::Idle { left_s: 0.0 });
        self.phase = self.next_phase(phase, seconds);
    }

    fn next_phase(&mut self, phase: Phase, seconds: f64) -> Phase {
        match phase {
            Phase::Idle { left_s } if left_s > seconds => Phase::Idle { left_s: left_s - seconds },
            Phase::Idle { .. } => self.start(),
            Phase::Preparing(print) if self.heaters.iter().all(|(_, h)| h.is_ready()) => Phase::Printing(print),
            Phase::Preparing(print) => Phase::Preparing(print),
            Phase::Printing(print) => self.print_on(print, seconds),
            Phase::OutOfFilament { print, left_s } if left_s > seconds => {
                Phase::OutOfFilament { print, left_s: left_s - seconds }
            }
            Phase::OutOfFilament { print, .. } => {
                self.load_spool(FULL_SPOOL_G);
                Phase::Printing(print)
            }
            Phase::Done { print, left_s } if left_s > seconds => Phase::Done { print, left_s: left_s - seconds },
            Phase::Done { .. } => Phase::Idle { left_s: self.rng.between(30.0, 300.0) },
        }
    }

    /// Heats up for the next job; now and then with another material.
    fn start(&mut self) -> Phase {
        if self.rng.unit() < 0.3 {
            self.spool.material = self.materials[self.rng.index(self.materials.len())];
            self.load_spool(FULL_SPOOL_G);
        }
        let material = self.spool.material;
        self.heaters[NOZZLE].1.set_target(material.nozzle);
        self.heaters[BED].1.set_target(material.bed);
        self.jobs += 1;
        let hours = self.rng.between(1.5, 14.0);
        Phase::Preparing(Print::new(format!("{}-j{}", self.id, self.jobs), hours * 3600.0))
    }

    fn print_on(&mut self, mut print: Print, seconds: f64) -> Phase {
        if self.stalled {
            return Phase::Printing(print);
        }
        if !self.spool.take(self.grams_per_s * seconds) {
            return Phase::OutOfFilament { print, left_s: self.rng.between(60.0, 300.0) };
        }
        if print.advance(seconds) {
            self.heaters.iter_mut().for_each(|(_, heater)| heater.set_target(0.0));
            return Phase::Done { print, left_s: self.rng.between(120.0, 900.0) };
        }
        Phase::Printing(print)
    }

    /// Adds what it publishes in these seconds.
    pub fn speak(&mut self, seconds: f64, now_ms: i64, out: &mut Vec<Message>) {
        if self.temperatures_due.due(seconds) {
            for (tool, heater) in &self.heaters {
                out.push(Message::temperature(&self.id, tool, heater.reading(&mut self.rng), heater.target(), now_ms));
            }
        }
        if self.job_due.due(seconds) {
            let (job, progress) = match self.phase.print() {
                Some(print) => (Some(print.job.as_str()), print.progress),
                None => (None, 0.0),
            };
            out.push(Message::job(&self.id, job, self.phase.state(), progress, now_ms));
        }
        if self.filament_due.due(seconds) {
            out.push(self.filament());
        }
    }

    /// What is on it now.
    pub fn filament(&self) -> Message {
        Message::filament(&self.id, &self.spool.id, self.spool.material.name, self.spool.remaining_g)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn printer(seed: u64) -> Printer {
        let model = PrinterModel {
            id: "p1".into(),
            tools: 2,
            max_nozzle: 290.0,
            max_bed: 120.0,
            nozzle_mm: 0.4,
            stall_after_s: 40.0,
            low_filament_g: 100.0,
        };
        Printer::new(&model, seed)
    }

    fn progress(printer: &Printer) -> f64 {
        printer.phase().print().map_or(0.0, |print| print.progress)
    }

    #[test]
    fn an_idle_printer_heats_up_and_prints() {
        let mut printer = printer(7);
        let mut states = Vec::new();
        for _ in 0..6000 {
            printer.advance(0.1);
            if states.last() != Some(&printer.phase().state()) {
                states.push(printer.phase().state());
            }
        }
        assert_eq!(states, ["idle", "preparing", "printing"]);
    }

    #[test]
    fn a_stalled_print_does_not_move_until_it_is_freed() {
        let mut printer = printer(7);
        printer.be_at_work();
        printer.advance(10.0);
        printer.set_stalled(true);
        let (before, filament) = (progress(&printer), printer.filament());
        printer.advance(60.0);
        assert_eq!((progress(&printer), printer.filament()), (before, filament));
        assert_eq!(printer.phase().state(), "printing");
        printer.set_stalled(false);
        printer.advance(10.0);
        assert!(progress(&printer) > before);
    }

    #[test]
    fn an_empty_spool_pauses_the_print_until_the_next_one() {
        let mut printer = printer(7);
        printer.be_at_work();
        printer.load_spool(0.01);
        (0..600).for_each(|_| printer.advance(0.1));
        assert_eq!(printer.phase().state(), "paused");
        (0..40).for_each(|_| printer.advance(10.0));
        assert_eq!(printer.phase().state(), "printing");
    }

    proptest! {
        #[test]
        fn left_alone_it_never_leaves_its_ratings_and_never_goes_back_in_a_job(seed in any::<u64>()) {
            let mut printer = printer(seed);
            let mut last: Option<Print> = None;
            for _ in 0..5_000 {
                printer.advance(20.0);
                prop_assert!(printer.heaters[NOZZLE].1.temperature() <= 290.0 - 15.0);
                prop_assert!(printer.heaters[BED].1.temperature() <= 120.0 - 5.0);
                let now = printer.phase().print().cloned();
                if let (Some(last), Some(now)) = (&last, &now) && last.job == now.job {
                    prop_assert!(now.progress >= last.progress);
                }
                last = now;
            }
        }
    }
}
