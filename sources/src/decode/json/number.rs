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

/// Adds the digits from `at` on to `digits` (wrapping) and returns where they end.
#[inline]
fn take_digits(bytes: &[u8], mut at: usize, digits: &mut u64) -> usize {
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
