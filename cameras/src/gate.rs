//! Lets as many frames through as are to be kept.

use std::time::{Duration, Instant};

/// Lets a frame through when it is due, by the clock on the wall: the time stamps of cameras jump, and stand still.
pub(crate) struct Gate {
    period: Duration,
    due: Option<Instant>,
}

impl Gate {
    pub fn new(period: Duration) -> Self {
        Self { period, due: None }
    }

    /// Whether the frame of this moment is kept. A camera that sends at exactly this rate loses none to jitter: a frame
    /// may come early by half a period, and the next one is due a period after this one was due, not after it came.
    pub fn opens(&mut self, now: Instant) -> bool {
        if self.due.is_some_and(|due| now + self.period / 2 < due) {
            return false;
        }
        let late = |due: &Instant| *due + self.period < now;
        let due = self.due.filter(|due| !late(due)).unwrap_or(now);
        self.due = Some(due + self.period);
        true
    }

    /// How long until one is due.
    pub fn wait(&self, now: Instant) -> Duration {
        self.due.map_or(Duration::ZERO, |due| due.saturating_duration_since(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// How many frames of a camera with a rate and some jitter are kept in 100 seconds.
    fn kept(rate: f64, jitter: f64) -> usize {
        let (start, mut gate) = (Instant::now(), Gate::new(SECOND));
        let at = |n: usize| (n as f64 + jitter * ((n * 7919) % 13) as f64 / 13.0) / rate;
        (0..(100.0 * rate) as usize).filter(|n| gate.opens(start + Duration::from_secs_f64(at(*n)))).count()
    }

    #[test]
    fn keeps_the_rate_whatever_the_camera_sends() {
        for rate in [1.0, 5.0, 24.0, 30.0] {
            for jitter in [0.0, 0.4] {
                let kept = kept(rate, jitter);
                assert!((99..=101).contains(&kept), "{kept} at {rate} with {jitter}");
            }
        }
        assert_eq!(kept(0.5, 0.0), 50);
    }

    #[test]
    fn a_pause_is_not_made_up_for() {
        let (start, mut gate) = (Instant::now(), Gate::new(SECOND));
        assert!(gate.opens(start));
        let burst = (0..10).filter(|n| gate.opens(start + 60 * SECOND + SECOND / 100 * *n)).count();
        assert_eq!(burst, 1);
        assert!(gate.wait(start + 60 * SECOND) > SECOND / 2);
    }
}
