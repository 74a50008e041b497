//! Numbers as JSON writes them.

/// The powers of ten that a float64 holds exactly.
const EXACT_POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20,
    1e21, 1e22,
];

/// A number, scanned but not yet turned into any type.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Number<'a> {
    pub text: &'a str,
    negative: bool,
    /// Its digits without the point, if `short`.
    digits: u64,
    /// The power of ten to multiply the digits with, if `short`.
    exponent: i32,
    /// At most 19 digits: `digits` did not overflow.
    short: bool,
    /// Written without a point or an exponent.
    whole: bool,
}

impl<'a> Number<'a> {
    /// The number that starts at byte `start`; `None` if it is not written as RFC 8259, section 6, says.
    #[inline]
    pub fn scan(text: &'a str, start: usize) -> Option<Self> {
        let bytes = text.as_bytes();
        let negative = bytes.get(start) == Some(&b'-');
        let first = start + usize::from(negative);
        let mut digits = 0_u64;
        let mut at = take_digits(bytes, first, &mut digits);
        let whole_digits = at - first;
        if whole_digits == 0 || (whole_digits > 1 && bytes[first] == b'0') {
            return None;
        }
        let (mut whole, mut exponent, mut fraction_digits) = (true, 0, 0);
        if bytes.get(at) == Some(&b'.') {
            let end = take_digits(bytes, at + 1, &mut digits);
            fraction_digits = end - at - 1;
            if fraction_digits == 0 {
                return None;
            }
            (whole, at) = (false, end);
        }
        if matches!(bytes.get(at), Some(b'e' | b'E')) {
            (exponent, at) = scan_exponent(bytes, at + 1)?;
            whole = false;
        }
        let short = whole_digits + fraction_digits <= 19;
        let exponent = if short { exponent - fraction_digits as i32 } else { 0 };
        Some(Self { text: &text[start..at], negative, digits, exponent, short, whole })
    }

    /// Its value if it is written as a whole number and fits.
    #[inline]
    pub fn as_i64(&self) -> Option<i64> {
        if !self.whole {
            return None;
        }
        if self.short && self.digits <= i64::MAX as u64 {
            return Some(if self.negative { -(self.digits as i64) } else { self.digits as i64 });
        }
        self.text.parse().ok()
    }

    /// As [`Number::as_i64`], for numbers from 0 on.
    #[inline]
    pub fn as_u64(&self) -> Option<u64> {
        match (self.whole, self.short, self.negative) {
            (true, true, false) => Some(self.digits),
            (true, true, true) => (self.digits == 0).then_some(0),
            (true, false, _) => self.text.parse().ok(),
            (false, ..) => None,
        }
    }

    /// Whether it is written without a point or an exponent.
    pub fn is_whole(&self) -> bool {
        self.whole
    }

    /// The nearest float64; infinite beyond its range.
    #[inline]
    pub fn as_f64(&self) -> f64 {
        let exponent = self.exponent.unsigned_abs() as usize;
        // Digits and power are both exact, so one multiplication or division rounds once, rightly (Clinger 1990).
        if self.short && self.digits <= 1 << 53 && exponent < EXACT_POWERS.len() {
            let digits = self.digits as f64;
            let power = EXACT_POWERS[exponent];
            let value = if self.exponent < 0 { digits / power } else { digits * power };
            return if self.negative { -value } else { value };
        }
        self.slow_f64()
    }

    #[cold]
    fn slow_f64(&self) -> f64 {
        // JSON's numbers are a subset of what Rust reads.
        self.text.parse().unwrap_or(f64::NAN)
    }

    /// The nearest float32; infinite beyond its range.
    pub fn as_f32(&self) -> f32 {
        // By way of float64 it would be rounded twice.
        self.text.parse().unwrap_or(f32::NAN)
    }
}

/// The value of eight digits, `None` if not all of them are digits.
///
/// Neighbours are added up in pairs, then pairs of pairs: three multiplications instead of eight ("Faster integer
/// parsing", Johnny Lee; also Lemire's fast_float).
#[inline]
fn eight_digits(bytes: &[u8]) -> Option<u64> {
    let word = u64::from_le_bytes(*bytes.first_chunk()?);
    let high = 0xF0F0_F0F0_F0F0_F0F0;
    let is_digits = (word & high) | ((word.wrapping_add(0x0606_0606_0606_0606) & high) >> 4) == 0x3333_3333_3333_3333;
    if !is_digits {
        return None;
    }
    let word = word - 0x3030_3030_3030_3030;
    let pairs = word.wrapping_mul(10) + (word >> 8);
    let mask = 0x0000_00FF_0000_00FF;
    let low = (pairs & mask).wrapping_mul(0x000F_4240_0000_0064);
    let rest = ((pairs >> 16) & mask).wrapping_mul(0x0000_2710_0000_0001);
    Some(low.wrapping_add(rest) >> 32)
}

/// Adds the digits from `at` on to `digits` (wrapping) and returns where they end.
#[inline]
fn take_digits(bytes: &[u8], mut at: usize, digits: &mut u64) -> usize {
    while let Some(eight) = bytes.get(at..).and_then(eight_digits) {
        *digits = digits.wrapping_mul(100_000_000).wrapping_add(eight);
        at += 8;
    }
    while let Some(digit @ 0..=9) = bytes.get(at).map(|byte| byte.wrapping_sub(b'0')) {
        *digits = digits.wrapping_mul(10).wrapping_add(u64::from(digit));
        at += 1;
    }
    at
}

/// The exponent after its `e`, cut where it no longer matters, and where it ends.
#[cold]
fn scan_exponent(bytes: &[u8], at: usize) -> Option<(i32, usize)> {
    let negative = bytes.get(at) == Some(&b'-');
    let first = at + usize::from(matches!(bytes.get(at), Some(b'-' | b'+')));
    let mut value = 0_i32;
    let mut at = first;
    while let Some(digit @ 0..=9) = bytes.get(at).map(|byte| byte.wrapping_sub(b'0')) {
        value = (value * 10 + i32::from(digit)).min(100_000);
        at += 1;
    }
    (at > first).then_some((if negative { -value } else { value }, at))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn eight_digits_are_read_as_the_standard_library_does(text in "[0-9]{8}|[ -~]{8}") {
            let all_digits = text.bytes().all(|b| b.is_ascii_digit());
            let expected = if all_digits { text.parse::<u64>().ok() } else { None };
            prop_assert_eq!(eight_digits(text.as_bytes()), expected);
        }
        #[test]
        fn numbers_of_any_length_end_where_their_digits_do(text in "[0-9]{1,30}", rest in "[a-z .,}]{0,9}") {
            let (all, mut digits) = (format!("{text}{rest}"), 0);
            prop_assert_eq!(take_digits(all.as_bytes(), 0, &mut digits), text.len());
            let expected = text.bytes().fold(0u64, |n, b| n.wrapping_mul(10).wrapping_add(u64::from(b - b'0')));
            prop_assert_eq!(digits, expected);
        }
    }
}
