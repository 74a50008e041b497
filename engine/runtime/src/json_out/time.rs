//! Points and spans of time as text.

use arrow::array::{ArrayRef, AsArray};
use arrow::datatypes::*;

const SECONDS_A_DAY: i64 = 86_400;

/// A value of a type of time, without quotes.
pub(super) fn write(array: &ArrayRef, row: usize, out: &mut Vec<u8>) {
    use DataType::*;
    use TimeUnit::*;
    macro_rules! value {
        ($type:ident) => {
            array.as_primitive::<$type>().value(row).into()
        };
    }
    match array.data_type() {
        Timestamp(Second, _) => instant(value!(TimestampSecondType), 0, out),
        Timestamp(Millisecond, _) => instant(value!(TimestampMillisecondType), 3, out),
        Timestamp(Microsecond, _) => instant(value!(TimestampMicrosecondType), 6, out),
        Timestamp(Nanosecond, _) => instant(value!(TimestampNanosecondType), 9, out),
        Date32 => date(value!(Date32Type), out),
        Date64 => date(array.as_primitive::<Date64Type>().value(row).div_euclid(SECONDS_A_DAY * 1000), out),
        Time32(Second) => time_of_day(value!(Time32SecondType), 0, out),
        Time32(Millisecond) => time_of_day(value!(Time32MillisecondType), 3, out),
        Time64(Microsecond) => time_of_day(value!(Time64MicrosecondType), 6, out),
        Time64(Nanosecond) => time_of_day(value!(Time64NanosecondType), 9, out),
        Duration(Second) => span(0, 0, value!(DurationSecondType), 0, out),
        Duration(Millisecond) => span(0, 0, value!(DurationMillisecondType), 3, out),
        Duration(Microsecond) => span(0, 0, value!(DurationMicrosecondType), 6, out),
        Duration(Nanosecond) => span(0, 0, value!(DurationNanosecondType), 9, out),
        Interval(IntervalUnit::YearMonth) => {
            span(array.as_primitive::<IntervalYearMonthType>().value(row), 0, 0, 0, out)
        }
        Interval(IntervalUnit::DayTime) => {
            let value = array.as_primitive::<IntervalDayTimeType>().value(row);
            span(0, value.days, value.milliseconds.into(), 3, out);
        }
        Interval(IntervalUnit::MonthDayNano) => {
            let value = array.as_primitive::<IntervalMonthDayNanoType>().value(row);
            span(value.months, value.days, value.nanoseconds, 9, out);
        }
        other => unreachable!("{other} is not a type of time"),
    }
}

/// Appends a time in µs since the epoch as RFC 3339 in UTC, with as many digits of a second as it needs. Years
/// outside 0 to 9999 are written with a sign, as ISO 8601 has it.
pub fn write_timestamp(micros: i64, out: &mut Vec<u8>) {
    instant(micros, 6, out);
}

fn instant(value: i64, digits: u32, out: &mut Vec<u8>) {
    let second = 10_i64.pow(digits);
    let seconds = value.div_euclid(second);
    date(seconds.div_euclid(SECONDS_A_DAY), out);
    out.push(b'T');
    clock(seconds.rem_euclid(SECONDS_A_DAY), value.rem_euclid(second), digits, out);
    out.push(b'Z');
}

fn time_of_day(value: i64, digits: u32, out: &mut Vec<u8>) {
    let second = 10_i64.pow(digits);
    clock(value.div_euclid(second), value.rem_euclid(second), digits, out);
}

fn clock(seconds: i64, fraction: i64, digits: u32, out: &mut Vec<u8>) {
    padded(seconds / 3600, 2, out);
    out.push(b':');
    padded(seconds / 60 % 60, 2, out);
    out.push(b':');
    padded(seconds % 60, 2, out);
    fraction_of_second(fraction, digits, out);
}

fn fraction_of_second(fraction: i64, digits: u32, out: &mut Vec<u8>) {
    if fraction == 0 {
        return;
    }
    out.push(b'.');
    padded(fraction, digits, out);
    while out.last() == Some(&b'0') {
        out.pop();
    }
}

/// Digits of a number that is not negative, with leading zeros.
fn padded(value: i64, width: u32, out: &mut Vec<u8>) {
    let mut digits = [b'0'; 20];
    let (mut rest, mut first) = (value, digits.len());
    while rest > 0 {
        first -= 1;
        digits[first] = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    let start = first.min(digits.len() - width as usize);
    out.extend_from_slice(&digits[start..]);
}

/// A day counted from 1970-01-01, in the proleptic Gregorian calendar.
fn date(days: i64, out: &mut Vec<u8>) {
    // A year that starts in March puts the leap day last, and 400 such years always have the same number of days.
    const ERA: i64 = 146_097;
    let days = days + 719_468;
    let era = days.div_euclid(ERA);
    let day_of_era = days.rem_euclid(ERA);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    if !(0..=9999).contains(&year) {
        out.push(if year < 0 { b'-' } else { b'+' });
    }
    padded(year.abs(), 4, out);
    out.push(b'-');
    padded(month, 2, out);
    out.push(b'-');
    padded(day, 2, out);
}

/// Months, days and a part below a day, as ISO 8601 writes a duration.
fn span(months: i32, days: i32, value: i64, digits: u32, out: &mut Vec<u8>) {
    out.push(b'P');
    for (amount, unit) in [(months, b'M'), (days, b'D')] {
        if amount != 0 {
            signed(amount.into(), out);
            out.push(unit);
        }
    }
    if value == 0 && (months != 0 || days != 0) {
        return;
    }
    let second = 10_u64.pow(digits);
    out.push(b'T');
    if value < 0 {
        out.push(b'-');
    }
    // A quotient by at least 1 of at most 2^63 and a remainder below 10^9; only the smallest i64 of whole seconds saturates.
    padded(i64::try_from(value.unsigned_abs() / second).unwrap_or(i64::MAX), 1, out);
    fraction_of_second((value.unsigned_abs() % second) as i64, digits, out);
    out.push(b'S');
}

fn signed(value: i64, out: &mut Vec<u8>) {
    if value < 0 {
        out.push(b'-');
    }
    padded(value.abs(), 1, out);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn timestamps_have_as_many_digits_as_they_need() {
        let timestamp = |micros| text(|out| write_timestamp(micros, out));
        assert_eq!(timestamp(0), "1970-01-01T00:00:00Z");
        assert_eq!(timestamp(1_795_341_600_500_000), "2026-11-22T10:00:00.5Z");
        assert_eq!(timestamp(-1), "1969-12-31T23:59:59.999999Z");
        assert_eq!(timestamp(951_782_400_000_001), "2000-02-29T00:00:00.000001Z");
        assert_eq!(timestamp(i64::MAX), "+294247-01-10T04:00:54.775807Z");
        assert_eq!(timestamp(i64::MIN), "-290308-12-21T19:59:05.224192Z");
        assert_eq!(timestamp(-62_167_219_200_000_000), "0000-01-01T00:00:00Z");
    }

    #[test]
    fn spans_are_written_as_iso_8601() {
        assert_eq!(text(|out| span(1, 3, 4_500, 3, out)), "P1M3DT4.5S");
        assert_eq!(text(|out| span(0, 0, 0, 9, out)), "PT0S");
        assert_eq!(text(|out| span(-14, 0, 0, 9, out)), "P-14M");
        assert_eq!(text(|out| span(0, 0, -1_500_000, 6, out)), "PT-1.5S");
        assert_eq!(text(|out| span(0, 0, i64::MIN, 9, out)), "PT-9223372036.854775808S");
    }
}
