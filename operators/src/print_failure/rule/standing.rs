//! The level of a print: where it goes from one decision to the next, and how long it dwells.

use super::super::reasons::Level;

/// Confidence from which people are told, and from which the print is failing.
const SUSPECT: f64 = 0.50;
const FAILING: f64 = 0.80;
/// A suspicion ends below this,
const UNSUSPECTED: f64 = 0.30;
/// after so long, µs;
const SUSPECT_DWELL: u64 = 30_000_000;
/// a failing episode below `SUSPECT` after so long, µs.
const FAILING_DWELL: u64 = 60_000_000;
/// For so long an episode is said to be resolved, µs.
const RESOLVED_FOR: u64 = 300_000_000;

/// The level, and how it came about.
#[derive(Clone, Debug, PartialEq)]
pub struct Standing {
    pub level: Level,
    /// µs.
    pub since: u64,
    /// Failing episodes so far.
    pub episode: u32,
    /// µs: since when the evidence is too little for the level.
    calm_since: Option<u64>,
}

impl Standing {
    #[must_use]
    pub fn new() -> Self {
        Standing { level: Level::Watching, since: 0, episode: 0, calm_since: None }
    }

    /// One decision, with the confidence that counts for telling people, and the one that counts for a pause. `at_once`:
    /// there is nothing left to warn of, so that a level need not dwell. A level that is left for one that does not fit
    /// either goes on in the same decision: it must not wait for the next, which may come at any time.
    pub fn step(&mut self, now: u64, alarm: f64, proof: f64, at_once: bool) {
        // Failing, resolved, suspect is the longest way, since the proof is never above the alarm.
        for _ in 0..2 {
            let before = self.level;
            self.step_once(now, alarm, proof, at_once);
            if self.level == before {
                return;
            }
        }
    }

    fn step_once(&mut self, now: u64, alarm: f64, proof: f64, at_once: bool) {
        let (floor, dwell) = self.end();
        self.calm_since = (alarm < floor && matches!(self.level, Level::Failing | Level::Suspect))
            .then(|| self.calm_since.unwrap_or(now));
        let is_over = self.calm_since.is_some_and(|since| now - since >= dwell);
        match self.level {
            Level::Failing if is_over || at_once && proof < FAILING => self.go(now, Level::Resolved),
            Level::Failing => {}
            _ if proof >= FAILING => {
                self.episode = self.episode.saturating_add(1);
                self.go(now, Level::Failing);
            }
            Level::Suspect if is_over || at_once && alarm < SUSPECT => self.go(now, Level::Watching),
            Level::Suspect => {}
            _ if alarm >= SUSPECT => self.go(now, Level::Suspect),
            Level::Resolved if now - self.since >= RESOLVED_FOR => self.go(now, Level::Watching),
            Level::Resolved | Level::Watching => {}
        }
    }

    /// A person has answered.
    pub fn answered(&mut self, now: u64) {
        match self.level {
            Level::Failing => self.go(now, Level::Resolved),
            Level::Suspect => self.go(now, Level::Watching),
            Level::Watching | Level::Resolved => {}
        }
    }

    /// When a dwell will be over.
    pub fn wakes(&self) -> impl Iterator<Item = u64> {
        let calm = self.calm_since.map(|since| since.saturating_add(self.end().1));
        let resolved = (self.level == Level::Resolved).then(|| self.since.saturating_add(RESOLVED_FOR));
        calm.into_iter().chain(resolved)
    }

    /// Nothing is suspected.
    #[must_use]
    pub fn is_calm(&self) -> bool {
        matches!(self.level, Level::Watching | Level::Resolved)
    }

    /// The confidence below which the level ends, and after how long.
    fn end(&self) -> (f64, u64) {
        if self.level == Level::Failing { (SUSPECT, FAILING_DWELL) } else { (UNSUSPECTED, SUSPECT_DWELL) }
    }

    fn go(&mut self, now: u64, level: Level) {
        self.level = level;
        self.since = now;
        self.calm_since = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_rise_at_once_and_fall_after_a_while() {
        let mut standing = Standing::new();
        standing.step(1, 0.6, 0.6, false);
        assert_eq!(standing.level, Level::Suspect);
        standing.step(2, 0.9, 0.9, false);
        assert_eq!((standing.level, standing.episode), (Level::Failing, 1));
        standing.step(3, 0.4, 0.4, false);
        assert_eq!((standing.level, standing.wakes().next()), (Level::Failing, Some(3 + FAILING_DWELL)));
        standing.step(3 + FAILING_DWELL, 0.4, 0.4, false);
        assert_eq!(standing.level, Level::Resolved);
    }

    #[test]
    fn an_episode_that_is_over_may_leave_a_suspicion_at_once() {
        let mut standing = Standing::new();
        standing.step(0, 0.9, 0.9, false);
        standing.step(1, 0.9, 0.0, true);
        assert_eq!((standing.level, standing.since), (Level::Suspect, 1));
    }

    #[test]
    fn evidence_that_comes_back_in_time_keeps_the_level() {
        let mut standing = Standing::new();
        standing.step(0, 0.9, 0.9, false);
        for minute in 1..10 {
            let now = minute * FAILING_DWELL;
            standing.step(now - 10, 0.4, 0.0, false);
            standing.step(now, 0.6, 0.0, false);
            assert_eq!(standing.level, Level::Failing);
        }
    }
}
