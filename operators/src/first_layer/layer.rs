//! When a print's first layer begins and ends.
//!
//! Printers that count layers say it themselves. Of the others the nozzle's height does: it hops while it travels, so what
//! counts is the least height of the last half minute, and the layer is over when that lies well above the least of the whole
//! print. Without either, the first layer is taken to last for a time that is set.

use crate::print_failure::telemetry::{Phase, Telemetry};
use std::collections::VecDeque;

const SECOND: u64 = 1_000_000;
/// A print that is older than this when it is first heard of, and says no layer, is beyond its beginning, seconds.
const YOUNG_S: f64 = 120.0;
/// As far as it is told by progress, 0 to 1.
const YOUNG_PART: f64 = 0.02;
/// A hop is shorter than this, µs.
const HOP: u64 = 30 * SECOND;
/// Lower than any layer, mm: the nozzle homes and wipes.
const LOWEST_MM: f64 = 0.05;
/// The second layer's height above the bed, at least, as a multiple of the first's, and in mm above it.
const TIMES: f64 = 1.5;
const ABOVE_MM: f64 = 0.05;
/// Heights that are remembered at most.
const MOST: usize = 1024;
/// Layer counts and heights may stand still for as long as a first layer takes on the largest beds, but not longer, µs.
const LONGEST: u64 = 3 * 3600 * SECOND;

/// How far a print is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Nothing is laid down yet.
    Before,
    /// µs.
    During {
        since: u64,
    },
    Over {
        since: u64,
        at: u64,
    },
    /// It was not heard of before its first layer was over.
    Missed,
}

/// The first layer of one print.
#[derive(Clone, Debug, PartialEq)]
pub struct Layer {
    stage: Stage,
    /// How long it is taken to last where the printer tells nothing of it, µs.
    untold: u64,
    /// The printer tells layers, or heights.
    is_told: bool,
    lowest: Option<f64>,
    /// Of the last half minute, those that nothing lower has followed; so they rise, and the first is the least.
    heights: VecDeque<(u64, f64)>,
    /// Since when heights have come without a gap, and when the last one did, µs.
    run: u64,
    heard: Option<u64>,
}

impl Layer {
    #[must_use]
    pub fn new(untold: u64) -> Self {
        Layer {
            stage: Stage::Before,
            untold,
            is_told: false,
            lowest: None,
            heights: VecDeque::new(),
            run: 0,
            heard: None,
        }
    }

    #[must_use]
    pub fn stage(&self) -> Stage {
        self.stage
    }

    /// Takes what the printer says.
    pub fn hear(&mut self, at: u64, said: &Telemetry) {
        match self.stage {
            Stage::Before if said.phase == Phase::Printing => {
                let is_young = match said.layer {
                    Some(layer) => layer <= 1,
                    None => {
                        said.elapsed_s.is_none_or(|elapsed| elapsed <= YOUNG_S)
                            && said.progress.is_none_or(|progress| progress <= YOUNG_PART)
                    }
                };
                self.stage = if is_young { Stage::During { since: at } } else { Stage::Missed };
                self.measure(at, said);
            }
            Stage::During { since } => match said.phase {
                Phase::Printing => {
                    self.measure(at, said);
                    if said.layer.is_some_and(|layer| layer >= 2) || said.layer.is_none() && self.has_risen(at) {
                        self.end(since, at);
                    }
                }
                Phase::Finished | Phase::Idle | Phase::Cancelled | Phase::Failed => self.end(since, at),
                Phase::Unknown | Phase::Preparing | Phase::Paused => {}
            },
            _ => {}
        }
        self.advance(at);
    }

    /// Time has passed, µs.
    pub fn advance(&mut self, now: u64) {
        if let (Stage::During { since }, Some(ends)) = (self.stage, self.ends())
            && now >= ends
        {
            self.end(since, ends);
        }
    }

    /// When it is over if nothing more is said, µs.
    #[must_use]
    pub fn ends(&self) -> Option<u64> {
        let Stage::During { since } = self.stage else { return None };
        Some(since.saturating_add(if self.is_told { LONGEST } else { self.untold }))
    }

    fn end(&mut self, since: u64, at: u64) {
        self.stage = Stage::Over { since, at };
        self.heights = VecDeque::new();
    }

    fn measure(&mut self, at: u64, said: &Telemetry) {
        self.is_told |= said.layer.is_some();
        let Some(z) = said.z_mm.filter(|z| z.is_finite() && *z >= LOWEST_MM) else { return };
        self.is_told = true;
        self.lowest = Some(self.lowest.map_or(z, |lowest| lowest.min(z)));
        if self.heard.is_none_or(|heard| heard + HOP < at) {
            self.heights.clear();
            self.run = at;
        }
        self.heard = Some(at);
        while self.heights.back().is_some_and(|(_, last)| *last >= z) {
            self.heights.pop_back();
        }
        self.heights.push_back((at, z));
        while self.heights.len() > MOST || self.heights.front().is_some_and(|(first, _)| first + HOP < at) {
            self.heights.pop_front();
        }
    }

    /// For half a minute, in which it was heard of all the time, the nozzle has not been as low as the first layer.
    fn has_risen(&self, at: u64) -> bool {
        let (Some(lowest), Some((_, least))) = (self.lowest, self.heights.front()) else { return false };
        self.run + HOP <= at && *least >= lowest * TIMES && *least >= lowest + ABOVE_MM
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNTOLD: u64 = 600 * SECOND;

    fn printing(layer: Option<u32>, z_mm: Option<f64>) -> Telemetry {
        Telemetry { phase: Phase::Printing, layer, z_mm, ..Telemetry::default() }
    }

    fn over_after(heights: impl Fn(u64) -> Option<f64>) -> Option<u64> {
        let mut layer = Layer::new(UNTOLD);
        (0..7200).find(|second| {
            layer.hear(second * SECOND, &printing(None, heights(*second)));
            matches!(layer.stage(), Stage::Over { .. })
        })
    }

    #[test]
    fn a_printer_that_counts_layers_is_believed() {
        let mut layer = Layer::new(UNTOLD);
        layer.hear(SECOND, &Telemetry { phase: Phase::Preparing, ..Telemetry::default() });
        assert_eq!(layer.stage(), Stage::Before);
        layer.hear(9 * SECOND, &printing(Some(1), Some(0.2)));
        layer.hear(1900 * SECOND, &printing(Some(1), Some(0.8)));
        assert_eq!(layer.stage(), Stage::During { since: 9 * SECOND });
        layer.hear(1950 * SECOND, &printing(Some(2), Some(0.4)));
        assert_eq!(layer.stage(), Stage::Over { since: 9 * SECOND, at: 1950 * SECOND });
    }

    #[test]
    fn of_others_it_is_over_when_the_nozzle_stays_higher_hops_aside() {
        let hops = |second: u64| if second.is_multiple_of(7) { 0.6 } else { 0.0 };
        let risen = over_after(|second| Some(hops(second) + if second < 300 { 0.2 } else { 0.4 }));
        assert_eq!(risen, Some(330));
        assert_eq!(over_after(|second| Some(hops(second) + 0.2)), None);
    }

    #[test]
    fn homing_to_zero_is_no_layer() {
        assert_eq!(over_after(|second| Some(if second < 20 { 0.0 } else { 0.25 })), None);
    }

    #[test]
    fn one_that_tells_nothing_is_given_a_time() {
        assert_eq!(over_after(|_| None), Some(600));
    }

    #[test]
    fn a_print_that_is_heard_of_late_was_missed() {
        for late in [
            printing(Some(2), None),
            Telemetry { elapsed_s: Some(500.0), ..printing(None, None) },
            Telemetry { progress: Some(0.4), ..printing(None, None) },
        ] {
            let mut layer = Layer::new(UNTOLD);
            layer.hear(SECOND, &late);
            assert_eq!(layer.stage(), Stage::Missed, "{late:?}");
        }
    }

    #[test]
    fn a_pause_does_not_end_it_and_the_end_of_the_print_does() {
        let mut layer = Layer::new(UNTOLD);
        layer.hear(SECOND, &printing(Some(1), None));
        layer.hear(2 * SECOND, &Telemetry { phase: Phase::Paused, ..Telemetry::default() });
        assert_eq!(layer.stage(), Stage::During { since: SECOND });
        layer.hear(3 * SECOND, &Telemetry { phase: Phase::Finished, ..Telemetry::default() });
        assert_eq!(layer.stage(), Stage::Over { since: SECOND, at: 3 * SECOND });
    }

    #[test]
    fn ten_reports_a_second_take_no_memory() {
        let mut layer = Layer::new(UNTOLD);
        for tenth in 0..100_000 {
            layer.hear(tenth * SECOND / 10, &printing(None, Some(0.2)));
            assert!(layer.heights.len() <= 1);
        }
        assert!(matches!(layer.stage(), Stage::During { .. }));
    }
}
