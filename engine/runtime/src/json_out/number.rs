//! Decimals and bytes as text.

use arrow::array::{ArrayRef, AsArray};
use arrow::datatypes::*;
use std::fmt::Display;
use std::io::Write;

/// A decimal with all its digits: `12.30` for 1230 with scale 2.
pub(super) fn write_decimal(array: &ArrayRef, row: usize, out: &mut Vec<u8>) {
    match array.data_type() {
        DataType::Decimal32(_, scale) => scaled(array.as_primitive::<Decimal32Type>().value(row), *scale, out),
        DataType::Decimal64(_, scale) => scaled(array.as_primitive::<Decimal64Type>().value(row), *scale, out),
        DataType::Decimal256(_, scale) => scaled(array.as_primitive::<Decimal256Type>().value(row), *scale, out),
        DataType::Decimal128(_, scale) => scaled(array.as_primitive::<Decimal128Type>().value(row), *scale, out),
        other => unreachable!("{other} is not a decimal"),
    }
}

fn scaled(value: impl Display, scale: i8, out: &mut Vec<u8>) {
    let mut start = out.len();
    // Writing to a vector does not fail.
    let written = write!(out, "{value}");
    debug_assert!(written.is_ok());
    if out.get(start) == Some(&b'-') {
        start += 1;
    }
    let places = usize::from(scale.unsigned_abs());
    if scale > 0 {
        let digits = out.len() - start;
        if digits <= places {
            out.splice(start..start, std::iter::repeat_n(b'0', places + 1 - digits));
        }
        out.insert(out.len() - places, b'.');
    } else if scale < 0 && out[start..] != *b"0" {
        out.extend(std::iter::repeat_n(b'0', places));
    }
}

/// Base64 with padding (RFC 4648, section 4).
pub(super) fn write_base64(bytes: &[u8], out: &mut Vec<u8>) {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for chunk in bytes.chunks(3) {
        let byte = |i: usize| u32::from(chunk.get(i).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for digit in 0..4 {
            let index = (bits >> (18 - 6 * digit) & 63) as usize;
            out.push(if digit <= chunk.len() { DIGITS[index] } else { b'=' });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decimal(value: i128, scale: i8) -> String {
        let mut out = Vec::new();
        scaled(value, scale, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn decimals_keep_all_their_digits() {
        assert_eq!(decimal(1230, 2), "12.30");
        assert_eq!(decimal(-5, 3), "-0.005");
        assert_eq!(decimal(0, 2), "0.00");
        assert_eq!(decimal(-12, 0), "-12");
        assert_eq!(decimal(12, -3), "12000");
        assert_eq!(decimal(0, -3), "0");
    }

    #[test]
    fn base64_is_the_standards_own_examples() {
        for (plain, encoded) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")] {
            let mut out = Vec::new();
            write_base64(plain.as_bytes(), &mut out);
            assert_eq!(out, encoded.as_bytes());
        }
    }
}
