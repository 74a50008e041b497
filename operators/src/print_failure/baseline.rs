//! What a camera usually scores when nothing is wrong, learnt from the quiet part of the same print.
//!
//! A judge may score a good print 0.5 all day because of a cable in the picture. So each camera's scores are compared
//! with their own past: with the 90th percentile of the last half hour of quiet, here called the usual score. Scores that
//! came while the rule was in doubt are never learnt, and those of the minute or two before a doubt are thrown away with
//! it, since they may be the failure's own beginning. The usual score is bounded twice: from above, so that a print
//! that is bad from its first layer on is not taken for a usual one, and in its rise over what it was in the first ten
//! minutes, so that a failure that grows slowly does not carry its own measure with it.
//!
//! The past is kept as half an hour of histograms, a minute each, in hundredths of a second: whole numbers, so the sums
//! do not depend on an order. A minute that falls out of the half hour leaves nothing behind except the usual score of the
//! first ten minutes.

use std::collections::VecDeque;
use std::sync::Arc;

const BINS: usize = 40;
/// A minute, in hundredths of a second.
const CHUNK: u32 = 6_000;
/// Minutes of quiet that are remembered.
const CHUNKS: usize = 30;
/// Minutes of quiet before there is a usual score.
const ENOUGH: usize = 3;
/// Minutes of quiet that settle what the print began with.
const FIRST: usize = 10;
/// A frame that comes late speaks for no longer than this.
const LONGEST_S: f64 = 15.0;
const QUANTILE: f64 = 0.9;
/// The usual score is never taken to be higher than this, unless a person has accepted more.
const CEILING: f64 = 0.60;
/// A person cannot accept more than this as usual.
const ACCEPTED_CEILING: f64 = 0.75;
/// The usual score rises by no more than this over that of the first minutes.
const RISE: f64 = 0.15;

/// Scores at which a frame speaks neither for nor against a failure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Lines {
    /// For telling people.
    pub hint: f64,
    /// For a pause.
    pub proof: f64,
}

/// Before anything is learnt: a camera that scores 0.55 from the start may well be biased, 0.6 is to be told.
const UNLEARNT: f64 = 0.58;
/// The lines stand this far above the usual score,
const MARGIN: f64 = 0.10;
/// and never lower than these: below the first even a sharp judge's background noise lies, and below the second the
/// judge itself takes about half of such frames for good.
const LOWEST_HINT: f64 = 0.42;
const LOWEST_PROOF: f64 = 0.55;

type Histogram = [u16; BINS];

/// A minute that is being filled.
#[derive(Clone, Debug, PartialEq)]
struct Chunk {
    bins: Histogram,
    weight: u32,
}

impl Chunk {
    const EMPTY: Chunk = Chunk { bins: [0; BINS], weight: 0 };
}

/// The usual scores of one camera.
#[derive(Clone, Debug, PartialEq)]
pub struct Baseline {
    /// Shared between clones: it changes once a minute.
    past: Arc<VecDeque<Histogram>>,
    /// A full minute that waits one more, in case it is the beginning of something.
    waiting: Option<Chunk>,
    filling: Chunk,
    usual: Option<f64>,
    first: Option<f64>,
    /// What a person has accepted as usual.
    accepted: f64,
}

impl Default for Baseline {
    fn default() -> Self {
        Baseline { past: Arc::default(), waiting: None, filling: Chunk::EMPTY, usual: None, first: None, accepted: 0.0 }
    }
}

impl Baseline {
    /// A score of a quiet time; it stood for so many seconds.
    pub fn learn(&mut self, score: f64, seconds: f64) {
        let weight = (seconds.min(LONGEST_S) * 100.0) as u16;
        let bin = ((score * BINS as f64) as usize).min(BINS - 1);
        self.filling.bins[bin] += weight;
        self.filling.weight += u32::from(weight);
        if self.filling.weight < CHUNK {
            return;
        }
        let full = std::mem::replace(&mut self.filling, Chunk::EMPTY);
        if let Some(settled) = self.waiting.replace(full) {
            self.settle(settled.bins);
        }
    }

    /// Something may be wrong: what was not settled yet is not learnt.
    pub fn doubt(&mut self) {
        if self.filling.weight > 0 {
            self.filling = Chunk::EMPTY;
        }
        self.waiting = None;
    }

    /// A person says that such scores are fine here.
    pub fn accept(&mut self, score: f64) {
        self.accepted = self.accepted.max(score.min(ACCEPTED_CEILING));
    }

    /// The usual score, once it is known.
    #[must_use]
    pub fn usual(&self) -> Option<f64> {
        let rise = self.first.map_or(CEILING, |first| (first + RISE).min(CEILING));
        self.usual.map(|usual| usual.min(rise.max(self.accepted)))
    }

    #[must_use]
    pub fn lines(&self) -> Lines {
        match self.usual() {
            None => Lines { hint: UNLEARNT, proof: UNLEARNT },
            Some(usual) => Lines { hint: (usual + MARGIN).max(LOWEST_HINT), proof: (usual + MARGIN).max(LOWEST_PROOF) },
        }
    }

    fn settle(&mut self, chunk: Histogram) {
        let past = Arc::make_mut(&mut self.past);
        if past.len() == CHUNKS {
            past.pop_front();
        }
        past.push_back(chunk);
        if past.len() >= ENOUGH {
            self.usual = quantile(past);
        }
        if past.len() >= FIRST && self.first.is_none() {
            self.first = self.usual;
        }
    }
}

/// The score that is exceeded a tenth of the time; bins are taken to be filled evenly.
fn quantile(past: &VecDeque<Histogram>) -> Option<f64> {
    let mut bins = [0_u32; BINS];
    for chunk in past {
        for (sum, weight) in bins.iter_mut().zip(chunk) {
            *sum += u32::from(*weight);
        }
    }
    let wanted = f64::from(bins.iter().sum::<u32>()) * QUANTILE;
    let mut below = 0.0;
    for (bin, weight) in bins.iter().enumerate() {
        let weight = f64::from(*weight);
        if weight > 0.0 && below + weight >= wanted {
            return Some((bin as f64 + (wanted - below) / weight) / BINS as f64);
        }
        below += weight;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn learnt(minutes: u32, score: impl Fn(u32) -> f64) -> Baseline {
        let mut baseline = Baseline::default();
        (0..minutes * 60).for_each(|second| baseline.learn(score(second), 1.0));
        baseline
    }

    #[test]
    fn the_usual_score_is_the_ninetieth_percentile_of_quiet() {
        // 20 settled minutes: 2 more wait. A tenth of the seconds at 0.5, the others evenly below 0.2.
        let baseline = learnt(22, |second| if second % 10 == 0 { 0.51 } else { f64::from(second % 9) / 50.0 });
        let usual = baseline.usual().unwrap();
        assert!((0.15..0.2).contains(&usual), "{usual}");
    }

    #[test]
    fn nothing_is_usual_before_some_minutes_of_quiet() {
        assert_eq!(learnt(3, |_| 0.1).usual(), None);
        assert!(learnt(4, |_| 0.1).usual().is_some());
        assert_eq!(learnt(3, |_| 0.1).lines(), Lines { hint: UNLEARNT, proof: UNLEARNT });
    }

    #[test]
    fn what_comes_shortly_before_a_doubt_is_not_learnt() {
        let mut baseline = learnt(20, |_| 0.1);
        let before = baseline.usual();
        (0..59).for_each(|_| baseline.learn(0.5, 1.0));
        baseline.doubt();
        (0..600).for_each(|_| baseline.learn(0.1, 1.0));
        assert_eq!(baseline.usual(), before);
    }

    #[test]
    fn the_usual_score_is_bounded_from_above() {
        assert_eq!(learnt(60, |_| 0.9).usual(), Some(CEILING));
    }

    #[test]
    fn a_slow_rise_is_followed_only_so_far() {
        let baseline = learnt(180, |second| 0.1 + f64::from(second) / f64::from(180 * 60) * 0.5);
        let usual = baseline.usual().unwrap();
        assert!(usual < 0.1 + 0.04 + RISE, "{usual}");
    }

    #[test]
    fn a_person_can_accept_a_higher_score() {
        let mut baseline = learnt(20, |_| 0.1);
        baseline.accept(0.7);
        (0..3600).for_each(|_| baseline.learn(0.69, 1.0));
        assert!(baseline.usual().unwrap() > 0.67);
        baseline.accept(1.0);
        (0..3600).for_each(|_| baseline.learn(0.99, 1.0));
        assert_eq!(baseline.usual(), Some(ACCEPTED_CEILING));
    }

    #[test]
    fn only_the_last_half_hour_counts() {
        let mut one = learnt(12, |_| 0.1);
        let mut other = one.clone();
        (0..1200).for_each(|second| one.learn(f64::from(second % 20) / 100.0, 1.0));
        (0..1200).for_each(|_| other.learn(0.05, 1.0));
        assert_ne!(one.past, other.past);
        for baseline in [&mut one, &mut other] {
            (0..1920).for_each(|second| baseline.learn(f64::from(second % 30) / 100.0, 1.0));
        }
        assert_eq!(one, other);
    }
}
