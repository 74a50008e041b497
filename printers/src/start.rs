//! When a print began, for printers that neither count their prints nor date them.
//!
//! The start is *inferred*: the moment of the first sight, less the time that the print has been going on if the
//! printer tells it. It names the print, so it is remembered and told again until another print is seen: of another file;
//! after this one ended; with less time gone by or less of it done; or after the printer was out of sight for so long
//! that a whole other print could have come as far, and the clock does not show that it is still the first one. Without
//! a clock that is any moment out of sight. When in doubt it is another one: a command about a print must not meet the
//! next.
//!
//! What remains ambiguous. Most printers do not count pauses, and some tell no time at all. A first sight in the middle
//! of a print, as after a restart of this program, then infers another start than the last run did, and the print gets
//! another name; commands about its old one meet `other_job`. If the time is told and there was no pause, the two starts
//! differ by seconds only: they are rounded to [`GRID`], and two of one file within [`SAME`] name one print.

use crate::report::{Phase, Report};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A printer's clock may step back by so much within one print, seconds.
const WOBBLE: f64 = 5.0;
/// So much of a print may seem undone: shares are rounded, and estimated anew.
const UNDONE: f64 = 0.03;
/// Sights that are no further apart leave no room for another print, seconds.
const WATCHED: f64 = 5.0;
/// Clocks that have gone on for the same time may differ by so much, seconds: they tell whole ones.
const SAME_PACE: f64 = 3.0;
/// A start is rounded to this, seconds: whoever infers it a moment later should say the same.
const GRID: u64 = 10;
/// Starts that are no further apart are one, seconds.
const SAME: u64 = 15;
/// Starts of two prints are told so far apart that they do not pass for one, seconds.
pub(crate) const APART: u64 = 2 * GRID;

/// When a print began, as far as its sights tell.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Begun {
    /// As it is told, seconds since 1970.
    pub told: u64,
    /// It began no later: the earliest moment of a sight, less the time that it had been going on then. A printer's
    /// clock that stands still while it heats or waits makes this no earlier and no later.
    pub by: SystemTime,
}

/// The start of the print that was seen last.
#[derive(Debug, Default)]
pub(crate) struct Start {
    seen: Mutex<Option<Seen>>,
}

#[derive(Debug)]
struct Seen {
    file: String,
    /// As in [`Begun`].
    began: u64,
    by: f64,
    /// When it was seen last, seconds since 1970.
    last: f64,
    elapsed: Option<f64>,
    progress: Option<f64>,
    phase: Phase,
    is_over: bool,
}

impl Start {
    /// When the print of `file` began, seconds since 1970. `None`: nothing is being printed, and nothing was.
    pub fn of(&self, file: &str, report: &Report) -> Option<u64> {
        self.begun(file, report).map(|begun| begun.told)
    }

    /// The same, with what is known of the moment.
    pub fn begun(&self, file: &str, report: &Report) -> Option<Begun> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.at(now.as_secs_f64(), file, report)
    }

    fn at(&self, now: f64, file: &str, report: &Report) -> Option<Begun> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let known = seen.as_mut().filter(|seen| seen.file == file);
        if !report.phase.is_active() {
            let known = known?;
            // A printer that says nothing we know has not said that it is over.
            known.is_over |= report.phase != Phase::Unknown;
            return Some(known.begun());
        }
        // The next print must not seem to be this one.
        let inferred = (now - report.elapsed.unwrap_or(0.0).max(0.0)).max(0.0);
        let earliest = known.as_ref().map_or(0, |known| known.began + APART);
        if let Some(known) = known
            && known.is_still(now, report)
        {
            (known.last, known.phase) = (now, report.phase);
            known.elapsed = report.elapsed.or(known.elapsed);
            known.progress = report.progress.or(known.progress);
            // Not for a second: whoever is told of it is told anew.
            if inferred + SAME_PACE < known.by {
                known.by = inferred;
            }
            return Some(known.begun());
        }
        let rounded = (inferred / GRID as f64).round() as u64 * GRID;
        let began = rounded.max(earliest);
        let Report { phase, elapsed, progress, .. } = *report;
        let file = file.to_owned();
        let first = Seen { file, began, by: inferred, last: now, elapsed, progress, phase, is_over: false };
        Some(seen.insert(first).begun())
    }
}

impl Seen {
    fn begun(&self) -> Begun {
        let by = UNIX_EPOCH + Duration::try_from_secs_f64(self.by).unwrap_or_default();
        Begun { told: self.began, by }
    }

    /// Whether a print of the same file can only be this one.
    fn is_still(&self, now: f64, report: &Report) -> bool {
        let fell = |before: Option<f64>, after: Option<f64>, by: f64| {
            before.zip(after).is_some_and(|(before, after)| after + by < before)
        };
        // While it is prepared, a printer may still show how far the last print came.
        let is_undone = self.phase != Phase::Preparing && fell(self.progress, report.progress, UNDONE);
        if self.is_over || is_undone || fell(self.elapsed, report.elapsed, WOBBLE) {
            return false;
        }
        let gap = (now - self.last).abs();
        // Another one would have had to come as far within the gap as this one in all its time.
        gap <= WATCHED || self.elapsed.is_some_and(|elapsed| gap < elapsed) || self.has_gone_on(gap, report)
    }

    /// Whether the printer's clock has gone on as this one's has.
    fn has_gone_on(&self, gap: f64, report: &Report) -> bool {
        self.elapsed.zip(report.elapsed).is_some_and(|(before, after)| (after - before - gap).abs() <= SAME_PACE)
    }
}

/// The name of a print whose start is inferred.
pub(crate) fn named(file: &str, began: u64) -> String {
    format!("{file}~{began}")
}

/// Whether two names can only be of one print: they are equal, or made of starts that differ no more than two who
/// infer them do.
pub(crate) fn is_same(one: &str, other: &str) -> bool {
    one == other
        || parts(one)
            .zip(parts(other))
            .is_some_and(|((one, began), (other, begins))| one == other && began.abs_diff(begins) <= SAME)
}

/// Whether a name is another one with a start that is no later than a moment. Pauses and clocks that stand still make a
/// print seem younger than it is, so how much earlier the start is tells nothing.
pub(crate) fn is_with_start(name: &str, other: &str, by: SystemTime) -> bool {
    parts(name).is_some_and(|(name, began)| {
        let began = UNIX_EPOCH.checked_add(Duration::from_secs(began));
        name == other && began.is_some_and(|began| began <= by)
    })
}

/// What was put together by [`named`].
fn parts(name: &str) -> Option<(&str, u64)> {
    let (file, began) = name.rsplit_once('~')?;
    Some((file, began.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOON: f64 = 1_800_000_000.0;

    impl Start {
        fn told(&self, now: f64, file: &str, report: &Report) -> Option<u64> {
            self.at(now, file, report).map(|begun| begun.told)
        }
    }

    fn sight(phase: Phase, elapsed: Option<f64>, progress: Option<f64>) -> Report {
        Report { elapsed, progress, ..Report::online(phase) }
    }

    fn printing(elapsed: f64) -> Report {
        sight(Phase::Printing, Some(elapsed), None)
    }

    #[test]
    fn the_start_of_a_print_is_remembered_until_the_next_one() {
        let start = Start::default();
        assert_eq!(start.told(NOON, "a", &sight(Phase::Idle, None, None)), None);
        let first = start.told(NOON, "a", &printing(100.0));
        assert!(first.is_some());
        assert_eq!(start.told(NOON + 1.0, "a", &sight(Phase::Paused, Some(98.0), None)), first);
        assert_eq!(start.told(NOON + 2.0, "a", &sight(Phase::Unknown, None, None)), first);
        assert_eq!(start.told(NOON + 3.0, "a", &printing(101.0)), first);
        assert_eq!(start.told(NOON + 4.0, "a", &sight(Phase::Idle, None, None)), first);
        let second = start.told(NOON + 5.0, "a", &printing(0.0));
        assert!(second > first);
        assert_eq!(start.told(NOON + 6.0, "b", &sight(Phase::Idle, None, None)), None);
    }

    #[test]
    fn a_restart_of_this_program_gives_a_print_without_pauses_the_same_name() {
        for moment in 0..200 {
            let (before, after) = (Start::default(), Start::default());
            let begun = NOON + f64::from(moment) / 7.0;
            let one = before.told(begun + 3.0, "a", &printing(3.0)).unwrap();
            // Whole seconds, rounded down, of a print that has gone on for an hour.
            let other = after.told(begun + 3600.9, "a", &printing(3600.0)).unwrap();
            assert!(is_same(&named("a", one), &named("a", other)), "{one} {other}");
        }
    }

    #[test]
    fn a_print_that_began_while_nobody_looked_is_another_one() {
        let start = Start::default();
        let first = start.told(NOON, "a", &printing(60.0));
        // Ten minutes later a minute and a half has been printed: perhaps a pause, perhaps the next print.
        let second = start.told(NOON + 600.0, "a", &printing(90.0));
        assert_ne!(first, second);
        // Ten minutes later ten more have been printed: no other print began.
        assert_eq!(start.told(NOON + 1200.0, "a", &printing(690.0)), second);
        // A short absence from a long print.
        assert_eq!(start.told(NOON + 1500.0, "a", &printing(700.0)), second);
    }

    #[test]
    fn without_a_clock_what_is_done_must_not_fall_back() {
        let start = Start::default();
        let of = |at: f64, phase: Phase, progress: f64| start.told(NOON + at, "a", &sight(phase, None, Some(progress)));
        let first = of(0.0, Phase::Preparing, 1.0);
        // It had still shown the last print's.
        assert_eq!(of(5.0, Phase::Printing, 0.0), first);
        assert_eq!(of(10.0, Phase::Printing, 0.4), first);
        let second = of(15.0, Phase::Printing, 0.1);
        assert_ne!(first, second);
        // Out of sight, however long it had been in sight: it may be the next one.
        assert_eq!((3..60).map(|at| of(f64::from(at) * 5.0, Phase::Printing, 0.2)).find(|told| *told != second), None);
        assert_ne!(of(305.0, Phase::Printing, 0.5), second);
    }

    #[test]
    fn a_clock_that_stands_still_makes_no_print_younger() {
        let start = Start::default();
        let by = |at: f64, phase: Phase, elapsed: f64| {
            let begun = start.at(NOON + at, "a", &sight(phase, Some(elapsed), None)).unwrap();
            begun.by.duration_since(UNIX_EPOCH).unwrap().as_secs_f64() - NOON
        };
        // It heats, prints, and is paused; then its clock tells what it had not told before.
        assert_eq!(by(4.0, Phase::Preparing, 1.0), 3.0);
        assert!((1..40).all(|step| by(4.0 + f64::from(step) * 5.0, Phase::Preparing, 1.0) == 3.0));
        assert!((40..80).all(|step| by(4.0 + f64::from(step) * 5.0, Phase::Paused, 20.0) == 3.0));
        assert_eq!(by(400.0, Phase::Printing, 410.0), -10.0);
        // Another print began later.
        assert_eq!(by(403.0, Phase::Printing, 2.0), 401.0);
    }

    proptest! {
        /// A name with a start is that of a print that may repeat if the start is not after its own, and no other's.
        #[test]
        fn a_name_with_a_start_is_that_of_a_print_which_began_since(began in 0_u64..1 << 40, by in 0_u64..1 << 40) {
            let moment = UNIX_EPOCH + Duration::from_secs(by);
            let name = named("a#1.2", began);
            prop_assert_eq!(is_with_start(&name, "a#1.2", moment), began <= by);
            for (name, other) in [(name.as_str(), "a#1.3"), ("a#1.2", "a#1.2"), ("a#1.2~", "a#1.2"), ("a#1.2~x", "a#1.2")] {
                prop_assert!(!is_with_start(name, other, moment));
            }
        }
    }

    proptest! {
        /// Two prints of one file that are seen one after the other never have names that pass for one.
        #[test]
        fn consecutive_prints_have_names_apart(
            lengths in prop::collection::vec((1_u32..100, 0_u32..30), 2..8), clock in any::<bool>(),
        ) {
            let (start, mut now, mut names) = (Start::default(), NOON, vec![]);
            for (length, pause) in lengths {
                let mut of_this = vec![];
                for second in 0..length {
                    let elapsed = clock.then(|| f64::from(second));
                    of_this.extend(start.told(now, "a", &sight(Phase::Printing, elapsed, None)));
                    now += 1.0;
                }
                start.told(now, "a", &sight(Phase::Idle, None, None));
                now += f64::from(pause);
                of_this.dedup();
                prop_assert_eq!(of_this.len(), 1);
                names.push(named("a", of_this[0]));
            }
            for pair in names.windows(2) {
                prop_assert!(!is_same(&pair[0], &pair[1]), "{:?}", pair);
            }
        }
    }
}
