//! Decimal numbers in text, exactly.

/// A number times a power of ten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Scaled {
    /// Rounded down.
    pub floor: i128,
    /// Whether nothing had to be rounded.
    pub exact: bool,
}

/// Longest fraction plus exponent that is looked at: further digits only decide `exact`.
const MOST_DIGITS: i32 = 39;

/// `text` (`-12.50`, `1e3`) times 10^`digits`. `None` if it is not a number or beyond `i128`.
pub(crate) fn scaled(text: &str, digits: i32) -> Option<Scaled> {
    let (negative, unsigned) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let (number, exponent) = match unsigned.find(['e', 'E']) {
        Some(at) => (&unsigned[..at], exponent(&unsigned[at + 1..])?),
        None => (unsigned, 0),
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let mut magnitude: i128 = 0;
    let mut exact = true;
    // How many of the digits that follow still count; the first that does not is the first to be rounded away.
    let mut left = whole.len() as i64 + i64::from(exponent) + i64::from(digits);
    for digit in whole.bytes().chain(fraction.bytes()) {
        let digit = digit.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        if left > 0 {
            magnitude = magnitude.checked_mul(10)?.checked_add(i128::from(digit))?;
        } else {
            exact &= digit == 0;
        }
        left -= 1;
    }
    if magnitude != 0 {
        for _ in 0..left.max(0) {
            magnitude = magnitude.checked_mul(10)?;
        }
    }
    let floor = if negative { -magnitude - i128::from(!exact) } else { magnitude };
    Some(Scaled { floor, exact })
}

/// The digits after `e`; an exponent beyond any that matters is cut.
fn exponent(text: &str) -> Option<i32> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let cut = 1_000_000 * MOST_DIGITS;
    let value = digits.parse::<i32>().unwrap_or(cut).min(cut);
    Some(if negative { -value } else { value })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn exactly(value: i128) -> Option<Scaled> {
        Some(Scaled { floor: value, exact: true })
    }

    #[test]
    fn numbers_are_scaled_exactly_or_rounded_down() {
        assert_eq!(scaled("12.50", 2), exactly(1250));
        assert_eq!(scaled("12.5", 2), exactly(1250));
        assert_eq!(scaled("-0", 3), exactly(0));
        assert_eq!(scaled("1e3", 0), exactly(1000));
        assert_eq!(scaled("1.5E-1", 2), exactly(15));
        assert_eq!(scaled("12.509", 2), Some(Scaled { floor: 1250, exact: false }));
        assert_eq!(scaled("-12.509", 2), Some(Scaled { floor: -1251, exact: false }));
        assert_eq!(scaled("12.500", 2), exactly(1250));
        assert_eq!(scaled("1234", -3), Some(Scaled { floor: 1, exact: false }));
        assert_eq!(scaled("0e999999999999", 2), exactly(0));
        assert_eq!(scaled("1e-999999999999", 2), Some(Scaled { floor: 0, exact: false }));
    }

    #[test]
    fn what_is_not_a_number_or_too_large_is_refused() {
        for text in ["", "-", ".", "abc", "1.2.3", "1e", "1e+", "1x", "1e999999999999", "nan", " 1"] {
            assert_eq!(scaled(text, 2), None, "{text}");
        }
        assert_eq!(scaled(&"9".repeat(39), 0), None);
    }

    proptest! {
        #[test]
        fn writing_with_a_point_and_reading_back_is_the_same(value in -(10_i128.pow(37))..10_i128.pow(37), scale in 0_usize..20) {
            let digits = format!("{:0>width$}", value.unsigned_abs(), width = scale + 1);
            let (whole, fraction) = digits.split_at(digits.len() - scale);
            let sign = if value < 0 { "-" } else { "" };
            let text = format!("{sign}{whole}.{fraction}0");
            prop_assert_eq!(scaled(&text, scale as i32), exactly(value));
        }

        #[test]
        fn any_text_is_read_or_refused(text in "[-+0-9.eE]{0,40}", digits in -6..40) {
            let _ = scaled(&text, digits);
        }
    }
}
