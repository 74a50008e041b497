//! How a camera is watched.

use crate::address::{Address, Kind};
use crate::health::Criteria;
use std::time::Duration;

/// How a camera is watched; [`Settings::new`] has the defaults.
#[derive(Clone, Debug)]
pub struct Settings {
    pub address: Address,
    /// Frames that are kept of each second; 0.001 to 120. A camera may send more.
    pub rate: f64,
    /// The largest width and height that are kept, in pixels: larger pictures are made smaller, in proportion.
    pub size: u32,
    /// How long a camera may show nothing until it counts as gone and is connected to anew. Where less than three
    /// frames are kept in that time, it is the time of three frames.
    pub patience: Duration,
    /// The quality of JPEG pictures that are made here, 1 to 100. Those that a camera sends stay as they are, if they
    /// are small enough.
    pub quality: u8,
    /// RTSP: how long packets are held back so that late ones still find their place.
    pub latency: Duration,
    /// Whether a server must prove who it is by a certificate. By default it must for `https`, and need not for
    /// `rtsps`: cameras and recorders, UniFi Protect among them, sign theirs themselves.
    pub verify_tls: Option<bool>,
    /// Whether a recording begins again at its end.
    pub again: bool,
    /// What counts as frozen, black and dark.
    pub criteria: Criteria,
}

/// Settings that nothing can be watched with.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum BadSettings {
    #[error("the rate must be between 0.001 and 120 frames a second, and is {0}")]
    Rate(f64),
    #[error("the size must be between 16 and 8192 pixels, and is {0}")]
    Size(u32),
    #[error("the patience must be between 1 s and a day, and is {0:?}")]
    Patience(Duration),
    #[error("the quality must be between 1 and 100, and is {0}")]
    Quality(u8),
    #[error("the latency must be at most 10 s, and is {0:?}")]
    Latency(Duration),
}

const DAY: Duration = Duration::from_secs(86_400);

impl Settings {
    /// One frame a second of at most 1280 pixels, ten seconds of patience. Recordings are never frozen: they may show
    /// the same picture for as long as they like.
    pub fn new(address: Address) -> Self {
        let criteria = Criteria::default();
        let frozen = criteria.frozen.filter(|_| !address.is_recording());
        Self {
            address,
            rate: 1.0,
            size: 1280,
            patience: Duration::from_secs(10),
            quality: 85,
            latency: Duration::from_millis(200),
            verify_tls: None,
            again: false,
            criteria: Criteria { frozen, ..criteria },
        }
    }

    /// # Errors
    /// One of them is outside of its bounds.
    pub fn check(&self) -> Result<(), BadSettings> {
        if !(0.001..=120.0).contains(&self.rate) {
            return Err(BadSettings::Rate(self.rate));
        }
        if !(16..=8192).contains(&self.size) {
            return Err(BadSettings::Size(self.size));
        }
        if !(Duration::from_secs(1)..=DAY).contains(&self.patience) {
            return Err(BadSettings::Patience(self.patience));
        }
        if !(1..=100).contains(&self.quality) {
            return Err(BadSettings::Quality(self.quality));
        }
        if self.latency > Duration::from_secs(10) {
            return Err(BadSettings::Latency(self.latency));
        }
        Ok(())
    }

    /// The time from one kept frame to the next.
    pub(crate) fn period(&self) -> Duration {
        Duration::from_secs_f64(1.0 / self.rate)
    }

    /// The patience that the rate allows.
    pub(crate) fn real_patience(&self) -> Duration {
        self.patience.max(self.period() * 3)
    }

    pub(crate) fn verifies_tls(&self) -> bool {
        self.verify_tls.unwrap_or(matches!(self.address.kind(), Kind::Http(_)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(address: &str) -> Settings {
        Settings::new(Address::parse(address).unwrap())
    }

    #[test]
    fn defaults_are_allowed_and_fit_the_address() {
        let (protect, page, folder) = (settings("rtsps://nvr/a"), settings("https://cam/a"), settings("/pictures"));
        for settings in [&protect, &page, &folder] {
            assert_eq!(settings.check(), Ok(()));
        }
        assert!(!protect.verifies_tls() && page.verifies_tls());
        assert!(protect.criteria.frozen.is_some() && folder.criteria.frozen.is_none());
    }

    #[test]
    fn what_cannot_work_is_refused() {
        let good = settings("rtsp://cam/");
        for rate in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e-9] {
            assert!(matches!(Settings { rate, ..good.clone() }.check(), Err(BadSettings::Rate(_))), "{rate}");
        }
        assert_eq!(Settings { size: 1, ..good.clone() }.check(), Err(BadSettings::Size(1)));
        assert_eq!(Settings { quality: 0, ..good.clone() }.check(), Err(BadSettings::Quality(0)));
        let patience = Duration::ZERO;
        assert_eq!(Settings { patience, ..good }.check(), Err(BadSettings::Patience(patience)));
    }

    #[test]
    fn patience_covers_three_frames() {
        let slow = Settings { rate: 0.1, ..settings("http://cam/") };
        assert_eq!(slow.real_patience(), Duration::from_secs(30));
    }
}
