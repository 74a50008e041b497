//! What a number means as a time.

use super::decimal;
use super::fault::{Fault, Outcome};
use arrow::datatypes::Field;
use jarvis_spec::schema::UNIT_KEY;
use jiff::civil::Date;
use jiff::fmt::temporal::DateTimeParser;
use jiff::{Span, Timestamp};

/// 0001-01-01T00:00:00Z and 9999-12-30T22:00:00Z, µs since the epoch: what RFC 3339 can write at any offset. A
/// time beyond would overflow where intervals are added.
const RANGE: std::ops::RangeInclusive<i64> = -62_135_596_800_000_000..=253_402_207_200_000_000;

const EPOCH: Date = jiff::civil::date(1970, 1, 1);

const TIMES: DateTimeParser = DateTimeParser::new();

/// The unit of a timestamp that is written as a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    Seconds,
    Millis,
    Micros,
    Nanos,
}

impl Unit {
    /// From the field's metadata; milliseconds unless it says otherwise.
    pub fn of(field: &Field) -> Self {
        match field.metadata().get(UNIT_KEY).map(String::as_str) {
            Some("s") => Self::Seconds,
            Some("us") => Self::Micros,
            Some("ns") => Self::Nanos,
            _ => Self::Millis,
        }
    }

    /// How many decimal digits a number in this unit is shifted to count microseconds.
    fn digits(self) -> i32 {
        match self {
            Self::Seconds => 6,
            Self::Millis => 3,
            Self::Micros => 0,
            Self::Nanos => -3,
        }
    }

    /// A whole number in this unit as µs since the epoch; `None` outside of [`RANGE`].
    #[inline]
    pub fn micros(self, number: i64) -> Option<i64> {
        let micros = match self {
            Self::Seconds => number.checked_mul(1_000_000)?,
            Self::Millis => number.checked_mul(1_000)?,
            Self::Micros => number,
            Self::Nanos => number.div_euclid(1_000),
        };
        RANGE.contains(&micros).then_some(micros)
    }

    /// A number with a fraction or an exponent; what is finer than a microsecond is cut off.
    pub fn micros_of_text(self, number: &str) -> Outcome<i64> {
        let scaled = decimal::scaled(number, self.digits()).ok_or_else(|| out_of_range(number))?;
        let micros = i64::try_from(scaled.floor).ok().filter(|micros| RANGE.contains(micros));
        micros.ok_or_else(|| out_of_range(number))
    }
}

#[cold]
pub(crate) fn out_of_range(text: &str) -> Box<Fault> {
    Fault::out_of_range("timestamp, which holds 0001-01-01 to 9999-12-30", text)
}

/// RFC 3339 text as µs since the epoch; what is finer is cut off.
pub(crate) fn timestamp(text: &str) -> Outcome<i64> {
    let parsed: Timestamp = TIMES.parse_timestamp(text).map_err(|_| {
        // The last hours of the year 9999 are well written, and still beyond.
        if TIMES.parse_pieces(text).is_ok_and(|parts| parts.time().is_some() && parts.offset().is_some()) {
            return out_of_range(text);
        }
        Fault::wrong_format("timestamp as a number or RFC 3339 text with an offset, such as 2026-01-31T12:00:00Z", text)
    })?;
    let micros = parsed.as_nanosecond().div_euclid(1_000);
    i64::try_from(micros).ok().filter(|micros| RANGE.contains(micros)).ok_or_else(|| out_of_range(text))
}

/// `2026-01-31` as days since the epoch.
pub(crate) fn date(text: &str) -> Outcome<i32> {
    let wrong = || Fault::wrong_format("date such as 2026-01-31", text);
    // Exactly the ten characters of RFC 3339's full-date: the parser would take whole date-times too.
    if text.len() != 10 {
        return Err(wrong());
    }
    let date = TIMES.parse_date(text).map_err(|_| wrong())?;
    if date.year() < 1 {
        return Err(Fault::out_of_range("date, which holds the years 1 to 9999", text));
    }
    // Whole days in the years 1 to 9999 fit i32.
    Ok((date.duration_since(EPOCH).as_hours() / 24) as i32)
}

/// A length of time as months, days and nanoseconds: ISO 8601 (`P1M3DT4.5S`) or units (`1h30m`).
pub(crate) fn interval(text: &str) -> Outcome<(i32, i32, i64)> {
    let span: Span = text.parse().map_err(|_| Fault::wrong_format("interval such as PT1H30M or 1h30m", text))?;
    let months = i32::from(span.get_years()) * 12 + span.get_months();
    let days = span.get_weeks() * 7 + span.get_days();
    let seconds = i64::from(span.get_hours()) * 3_600 + span.get_minutes() * 60 + span.get_seconds();
    let fraction = i128::from(span.get_milliseconds()) * 1_000_000
        + i128::from(span.get_microseconds()) * 1_000
        + i128::from(span.get_nanoseconds());
    let nanos = i64::try_from(i128::from(seconds) * 1_000_000_000 + fraction);
    Ok((months, days, nanos.map_err(|_| Fault::out_of_range("interval", text))?))
}
