//! When a print began, for printers that neither count their prints nor say.
//!
//! It is inferred from the first sight of the print and the time that it has been going on, and remembered until
//! another print is seen: of another file, or after this one ended, or with less time gone by. After a restart of this
//! program it is inferred again, and differs by the pauses that the printer did not count.

use crate::report::Phase;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A printer's clock may step back by so much within one print, seconds.
const WOBBLE: f64 = 5.0;

/// The start of the print that was seen last.
#[derive(Debug, Default)]
pub(crate) struct Start {
    seen: Mutex<Option<Seen>>,
}

#[derive(Debug)]
struct Seen {
    file: String,
    /// Seconds since 1970.
    began: u64,
    elapsed: f64,
    is_over: bool,
}

impl Start {
    /// When the print of `file` began, seconds since 1970. `None`: nothing is being printed, and nothing was.
    pub fn of(&self, file: &str, phase: Phase, elapsed: Option<f64>) -> Option<u64> {
        let elapsed = elapsed.unwrap_or(0.0).max(0.0);
        let is_active = phase.is_active();
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        match seen.as_mut().filter(|seen| seen.file == file) {
            Some(seen) if !is_active => {
                seen.is_over = true;
                return Some(seen.began);
            }
            Some(seen) if !seen.is_over && elapsed + WOBBLE >= seen.elapsed => {
                seen.elapsed = elapsed;
                return Some(seen.began);
            }
            _ if !is_active => return None,
            _ => {}
        }
        let gone = Duration::try_from_secs_f64(elapsed).unwrap_or_default();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let began = now.saturating_sub(gone).as_secs();
        *seen = Some(Seen { file: file.to_owned(), began, elapsed, is_over: false });
        Some(began)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_of_a_print_is_remembered_until_the_next_one() {
        let start = Start::default();
        assert_eq!(start.of("a", Phase::Idle, None), None);
        let first = start.of("a", Phase::Printing, Some(100.0));
        assert!(first.is_some());
        assert_eq!(start.of("a", Phase::Paused, Some(98.0)), first);
        assert_eq!(start.of("a", Phase::Printing, Some(101.0)), first);
        assert_eq!(start.of("a", Phase::Idle, Some(0.0)), first);
        let second = start.of("a", Phase::Printing, Some(0.0));
        assert!(second > first);
        assert_eq!(start.of("b", Phase::Idle, None), None);
    }
}
