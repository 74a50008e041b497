//! When to try again: exponential back-off with jitter, or when the receiver says so (`Retry-After`, RFC 9110,
//! section 10.2.3).

use arrow::compute::kernels::cast_utils::string_to_timestamp_nanos;
use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

pub(super) const FIRST_PAUSE: Duration = Duration::from_secs(1);
pub(super) const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// A receiver that wants to be left alone for longer is asked again after this.
const LONGEST_WISH: Duration = Duration::from_secs(3600);

/// Pauses that grow until something goes through.
#[derive(Default)]
pub(super) struct BackOff {
    attempts: u32,
    chance: RandomState,
}

impl BackOff {
    /// How long to wait now; `wish` is what the receiver asked for.
    pub fn next(&mut self, wish: Option<Duration>) -> Duration {
        let attempt = self.attempts;
        self.attempts += 1;
        match wish {
            // Not less than the first pause: one that always says 0 would be asked without end.
            Some(wish) => wish.clamp(FIRST_PAUSE, LONGEST_WISH),
            None => {
                let step = FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(attempt)).min(LONGEST_PAUSE * 2 / 3);
                // Between the step and half as much again, so that many sinks do not come back at the same moment.
                let chance = self.chance.hash_one(attempt) as f64 / u64::MAX as f64;
                step.mul_f64(1.0 + chance / 2.0)
            }
        }
    }

    pub fn reset(&mut self) {
        self.attempts = 0;
    }
}

/// A `Retry-After`: seconds, or an HTTP date. `None`: it is neither.
pub(super) fn retry_after(value: &str, now: SystemTime) -> Option<Duration> {
    let value = value.trim();
    if !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit()) {
        return Some(value.parse().map_or(Duration::MAX, Duration::from_secs));
    }
    let nanos = u64::try_from(date(value)?).ok()?;
    Some((UNIX_EPOCH + Duration::from_nanos(nanos)).duration_since(now).unwrap_or_default())
}

/// An IMF-fixdate, the one form of a date that a sender may use (RFC 9110, section 5.6.7), ns since the epoch:
/// `Sun, 06 Nov 1994 08:49:37 GMT`.
fn date(text: &str) -> Option<i64> {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let parts: Vec<&str> = text.split(' ').collect();
    let [_, day, month, year, time, "GMT"] = parts[..] else { return None };
    let month = MONTHS.iter().position(|name| *name == month)? + 1;
    string_to_timestamp_nanos(&format!("{year}-{month:02}-{day}T{time}Z")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_the_longest() {
        let mut back_off = BackOff::default();
        let mut pauses = vec![];
        for _ in 0..100 {
            pauses.push(back_off.next(None).as_secs_f64());
        }
        for (pause, step) in pauses.iter().zip([1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 40.0, 40.0]) {
            assert!((step..=step * 1.5).contains(pause), "{pause} is not about {step}");
        }
        assert!(pauses.iter().all(|pause| *pause <= LONGEST_PAUSE.as_secs_f64()));
        assert!(pauses[10] != pauses[11], "there is no chance in it");
        back_off.reset();
        assert!(back_off.next(None) <= FIRST_PAUSE.mul_f64(1.5));
    }

    #[test]
    fn the_receivers_wish_counts_within_reason() {
        let mut back_off = BackOff::default();
        let mut pause = |seconds| back_off.next(Some(Duration::from_secs(seconds))).as_secs();
        assert_eq!((pause(0), pause(7), pause(u64::MAX)), (1, 7, 3600));
    }

    #[test]
    fn a_wish_is_seconds_or_a_date() {
        let now = UNIX_EPOCH + Duration::from_secs(784_111_770);
        let seconds = |text: &str| retry_after(text, now).map(|wish| wish.as_secs());
        assert_eq!(seconds("120"), Some(120));
        assert_eq!(seconds(" 0 "), Some(0));
        assert_eq!(seconds("99999999999999999999999"), Some(u64::MAX));
        assert_eq!(seconds("Sun, 06 Nov 1994 08:49:37 GMT"), Some(7));
        assert_eq!(seconds("Sun, 06 Nov 1994 08:40:00 GMT"), Some(0));
        for text in ["", "soon", "-1", "1.5", "Sun, 06 Foo 1994 08:49:37 GMT", "Sun, 99 Nov 1994 08:49:37 GMT", "GMT"] {
            assert_eq!(seconds(text), None, "{text}");
        }
    }
}
