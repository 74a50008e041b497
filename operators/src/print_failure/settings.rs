//! How sharp the rule is, printer by printer.

use super::evidence::Thresholds;
use jarvis_spec::{Diagnostic, Spanned};

/// How little evidence is enough: 1 is usual, 2 halves the evidence that is asked for.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Sensitivity(f64);

impl Sensitivity {
    pub const LOW: Sensitivity = Sensitivity(0.6);
    pub const NORMAL: Sensitivity = Sensitivity(1.0);
    pub const HIGH: Sensitivity = Sensitivity(1.4);

    /// A number; it is kept between 0.25 and 4, and what is not a number is usual.
    #[must_use]
    pub fn new(factor: f64) -> Self {
        if factor.is_nan() { Sensitivity::NORMAL } else { Sensitivity(factor.clamp(0.25, 4.0)) }
    }

    /// `low`, `normal`, `high` or a number.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text.trim() {
            "low" => Some(Sensitivity::LOW),
            "normal" => Some(Sensitivity::NORMAL),
            "high" => Some(Sensitivity::HIGH),
            number => number.parse().ok().filter(|factor: &f64| *factor > 0.0).map(Sensitivity::new),
        }
    }

    /// # Errors
    /// It is none of those.
    pub fn written(written: &Spanned<String>) -> Result<Self, Diagnostic> {
        Sensitivity::parse(&written.value).ok_or_else(|| {
            Diagnostic::error("wrong_value", format!("{:?} is no sensitivity", written.value))
                .at(&written.span)
                .help("write low, normal, high, or a number from 0.25 to 4")
        })
    }

    /// By how much less evidence is enough.
    #[must_use]
    pub fn factor(self) -> f64 {
        self.0
    }

    /// The evidence that is asked for, and the shift of the lines: low by 0.05 upwards, high by 0.05 downwards.
    #[must_use]
    pub fn thresholds(self) -> Thresholds {
        Thresholds { hint: HINT / self.0, proof: PROOF / self.0, shift: 0.2 * (1.0 - self.0) / (1.0 + self.0) }
    }
}

impl Default for Sensitivity {
    fn default() -> Self {
        Sensitivity::NORMAL
    }
}

/// Nats of the proof that pause a print: four frames of 0.9, a second apart; five before a usual score is known.
pub const PROOF: f64 = 4.5;
/// Nats of the hint at which it is as strong as it gets: half a minute of 0.5 in an otherwise clean print.
pub const HINT: f64 = 6.0;

/// What can be set for a watch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    pub sensitivity: Sensitivity,
    /// For so long nothing is said of evidence that a person has accepted, µs.
    pub quiet_for: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Settings { sensitivity: Sensitivity::NORMAL, quiet_for: 15 * 60_000_000 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sensitivity_is_a_word_or_a_number() {
        assert_eq!(Sensitivity::parse("high"), Some(Sensitivity::HIGH));
        assert_eq!(Sensitivity::parse(" 1.25 "), Some(Sensitivity(1.25)));
        assert_eq!(Sensitivity::parse("100"), Some(Sensitivity(4.0)));
        assert_eq!([Sensitivity::parse("0"), Sensitivity::parse("NaN"), Sensitivity::parse("very")], [None; 3]);
    }

    #[test]
    fn a_higher_sensitivity_asks_for_less() {
        let [low, normal, high] =
            [Sensitivity::LOW, Sensitivity::NORMAL, Sensitivity::HIGH].map(Sensitivity::thresholds);
        assert!(low.proof > normal.proof && normal.proof > high.proof);
        assert!(low.shift > normal.shift && normal.shift > high.shift);
        assert_eq!(normal.shift, 0.0);
    }
}
