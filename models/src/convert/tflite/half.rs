//! 16-bit floats: IEEE 754's binary16.

/// The same number; every one of 16 bits is one of 32, too.
pub fn widened(bits: u16) -> f32 {
    let sign = u32::from(bits >> 15) << 31;
    let exponent = u32::from(bits >> 10) & 0x1f;
    let fraction = u32::from(bits) & 0x3ff;
    match exponent {
        // Below the normal numbers they are counted in units of 2^-24, which 32 bits hold exactly.
        0 => f32::from_bits(sign | (fraction as f32 * 2.0_f32.powi(-24)).to_bits()),
        0x1f => f32::from_bits(sign | 0x7f80_0000 | fraction << 13),
        _ => f32::from_bits(sign | (exponent + 127 - 15) << 23 | fraction << 13),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By the definition of the format.
    #[test]
    fn all_of_them_have_the_value_that_their_bits_stand_for() {
        for bits in 0..=u16::MAX {
            let sign = if bits >> 15 == 1 { -1.0 } else { 1.0 };
            let (exponent, fraction) = (i32::from(bits >> 10 & 0x1f), f64::from(bits & 0x3ff) / 1024.0);
            let found = f64::from(widened(bits));
            match exponent {
                0x1f if fraction > 0.0 => assert!(found.is_nan()),
                0x1f => assert_eq!(found, sign * f64::INFINITY),
                0 => assert_eq!(found, sign * fraction * 2.0_f64.powi(-14)),
                _ => assert_eq!(found, sign * (1.0 + fraction) * 2.0_f64.powi(exponent - 15)),
            }
            assert_eq!(found.is_sign_negative(), bits >> 15 == 1);
        }
    }
}
