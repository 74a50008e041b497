//! Lengths of time as people write them: `500us 10ms 2s 5m 1h 7d 1h30m`, and a plain `0`.

use serde::{Deserialize, Deserializer};
use std::time::Duration;

/// Microseconds of each unit, the longest first.
const UNITS: [(&str, u64); 6] =
    [("d", 86_400_000_000), ("h", 3_600_000_000), ("m", 60_000_000), ("s", 1_000_000), ("ms", 1_000), ("us", 1)];

/// Why a text is not a duration. The message says what happened; [`ALLOWED`] what may be written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    #[error("a duration is missing")]
    Empty,
    #[error("`{0}` has no unit")]
    NoUnit(String),
    #[error("`{0}` is not a unit of time")]
    Unit(String),
    #[error("`{0}` is not a duration")]
    Other(String),
    #[error("`{0}` stands after a unit that is not longer")]
    Order(String),
    #[error("`{0}` is longer than jarvis can count (about 580,000 years)")]
    TooLong(String),
}

/// What may be written, for the help of a diagnostic.
pub const ALLOWED: &str = "write whole numbers with units from long to short: 7d, 1h30m, 5m, 2s, 10ms, 500us, or 0";

/// Reads a duration. Units go from long to short, each at most once; `0` needs none.
pub fn parse(text: &str) -> Result<Duration, DurationError> {
    let written = text.trim();
    if written == "0" {
        return Ok(Duration::ZERO);
    }
    if written.is_empty() {
        return Err(DurationError::Empty);
    }
    let too_long = || DurationError::TooLong(written.to_owned());
    let (mut rest, mut total, mut shortest) = (written, 0_u64, u64::MAX);
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, after) = rest.split_at(digits);
        let letters = after.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (unit, after) = after.split_at(letters);
        rest = after;
        if number.is_empty() || (unit.is_empty() && !rest.is_empty()) {
            return Err(DurationError::Other(written.to_owned()));
        }
        if unit.is_empty() {
            return Err(DurationError::NoUnit(number.to_owned()));
        }
        let micros =
            UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(|| DurationError::Unit(unit.to_owned()))?.1;
        if micros >= shortest {
            return Err(DurationError::Order(format!("{number}{unit}")));
        }
        shortest = micros;
        let count = number.parse::<u64>().map_err(|_| too_long())?;
        total = count.checked_mul(micros).and_then(|part| total.checked_add(part)).ok_or_else(too_long)?;
    }
    Ok(Duration::from_micros(total))
}

/// The shortest text that [`parse`] reads back, to the microsecond: `1h30m`; nothing at all is `0s`.
pub fn format(duration: Duration) -> String {
    let mut rest = duration.as_micros();
    if rest == 0 {
        return "0s".to_owned();
    }
    let mut text = String::new();
    for (unit, micros) in UNITS {
        let count = rest / u128::from(micros);
        if count > 0 {
            text.push_str(&format!("{count}{unit}"));
            rest -= count * u128::from(micros);
        }
    }
    text
}

/// For options: `#[serde(deserialize_with = "jarvis_spec::duration::deserialize")] #[schemars(with = "String")]`.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    Written::deserialize(deserializer).map(|written| written.0)
}

/// For options that may be left out: `#[serde(default, deserialize_with = "jarvis_spec::duration::deserialize_option")]`.
pub fn deserialize_option<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    Option::<Written>::deserialize(deserializer).map(|written| written.map(|w| w.0))
}

struct Written(Duration);

impl<'de> Deserialize<'de> for Written {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = Written;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a duration such as 10ms, 2s, 5m or 1h30m")
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Written, E> {
                parse(text).map(Written).map_err(|error| E::custom(format!("{error}\nhelp: {ALLOWED}")))
            }
            fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<Written, E> {
                self.visit_str(&number.to_string())
            }
            fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Written, E> {
                self.visit_str(&number.to_string())
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn all_units_are_read() {
        for (text, micros) in [
            ("500us", 500),
            ("10ms", 10_000),
            ("2s", 2_000_000),
            ("5m", 300_000_000),
            ("1h30m", 5_400_000_000),
            ("7d", 604_800_000_000),
            ("0", 0),
            ("0s", 0),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_micros(micros)), "{text}");
        }
    }

    #[test]
    fn other_texts_are_refused_with_their_reason() {
        let refused = [
            ("", DurationError::Empty),
            ("5", DurationError::NoUnit("5".into())),
            ("5w", DurationError::Unit("w".into())),
            ("5M", DurationError::Unit("M".into())),
            ("-1s", DurationError::Other("-1s".into())),
            ("1.5s", DurationError::Other("1.5s".into())),
            ("1 s", DurationError::Other("1 s".into())),
            ("1m1h", DurationError::Order("1h".into())),
            ("1m1m", DurationError::Order("1m".into())),
            ("999999999999999d", DurationError::TooLong("999999999999999d".into())),
        ];
        for (text, error) in refused {
            assert_eq!(parse(text), Err(error), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(micros in 0_u64..) {
            let duration = Duration::from_micros(micros);
            prop_assert_eq!(parse(&format(duration)), Ok(duration));
        }

        #[test]
        fn any_text_is_read_or_refused(text in ".{0,20}") {
            let _ = parse(&text);
        }
    }
}
