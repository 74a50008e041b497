//! Aggregates that add up, as vectors of words: adding, and taking back, is adding word by word, in any order.
//!
//! A float is added as a fixed-point number of 256 bits (2^-128 … 2^127) in eight limbs of 32 bits, each in a word of
//! its own; carries wait until a group's words are normalised. So a sum of floats is exact to 2^-128, the same in
//! every order, and nothing is left of it when all rows are taken back. A finite value of 2^125 and beyond does not
//! fit and is an error of its row.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Decimal128Type, Float64Type, Int64Type};
use jarvis_plan::Function;

/// What a run of words holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sum {
    /// `[rows]`
    Rows,
    /// `[rows that are not null]`
    Values,
    /// `[not null, sum modulo 2^64]`
    Integer,
    /// `[not null, four limbs of 32 bits]`
    Decimal,
    /// `[not null, specials, eight limbs of 32 bits]`
    Float,
    /// `[not null, true]`
    Truth,
}

const FLOAT_LIMBS: usize = 8;
/// The weight of the lowest bit is 2^-SCALE.
const SCALE: i32 = 128;
const LIMB: i64 = 1 << 32;
/// NaN, +∞ and −∞ are counted in three fields of one word.
const SPECIAL_BITS: u32 = 20;

impl Sum {
    /// `None`: the function does not add up.
    pub fn of(function: Function, argument: Option<&DataType>) -> Option<Sum> {
        Some(match (function, argument) {
            (Function::Count, None) => Sum::Rows,
            (Function::Count, Some(_)) => Sum::Values,
            (Function::BoolAnd | Function::BoolOr, _) => Sum::Truth,
            (Function::Sum | Function::Avg, Some(t)) => match t {
                DataType::Float64 | DataType::Float32 => Sum::Float,
                DataType::Decimal128(..) => Sum::Decimal,
                _ => Sum::Integer,
            },
            _ => return None,
        })
    }
    /// Whether [`add_encoded`] can read a column of this type.
    pub fn sliceable(self, argument: Option<&DataType>) -> bool {
        match self {
            Sum::Rows | Sum::Values => true,
            Sum::Integer => argument == Some(&DataType::Int64),
            Sum::Float => argument == Some(&DataType::Float64),
            Sum::Decimal | Sum::Truth => false,
        }
    }
    /// Words taken.
    pub fn width(self) -> usize {
        match self {
            Sum::Rows | Sum::Values => 1,
            Sum::Integer | Sum::Truth => 2,
            Sum::Decimal => 5,
            Sum::Float => 2 + FLOAT_LIMBS,
        }
    }
    /// The column type that [`add`] reads.
    pub fn column(self, given: &DataType) -> DataType {
        match self {
            Sum::Float => DataType::Float64,
            Sum::Integer => DataType::Int64,
            _ => given.clone(),
        }
    }
    /// Carries of limbs, so that equal sums have equal words.
    pub fn normalise(self, words: &mut [i64]) {
        let limbs = match self {
            Sum::Decimal => &mut words[1..5],
            Sum::Float => &mut words[2..],
            _ => return,
        };
        let mut carry = 0;
        let last = limbs.len() - 1;
        for limb in &mut limbs[..last] {
            let v = *limb + carry;
            *limb = v.rem_euclid(LIMB);
            carry = v.div_euclid(LIMB);
        }
        limbs[last] += carry;
    }
}

/// Adds a column to the words of groups: row `i` to `words[groups[i]*stride + at ..]`, `diffs[i]` times.
pub struct Target<'a> {
    pub words: &'a mut [i64],
    pub stride: usize,
    pub at: usize,
    pub groups: &'a [u32],
    pub diffs: &'a [i64],
}

impl Target<'_> {
    #[inline]
    fn row(&mut self, i: usize, width: usize) -> &mut [i64] {
        let start = self.groups[i] as usize * self.stride + self.at;
        &mut self.words[start..start + width]
    }
}

/// Adds the rows of a column for which `keep` holds; returns the rows whose value does not fit.
pub fn add(sum: Sum, column: Option<&ArrayRef>, keep: impl Fn(usize) -> bool, target: &mut Target<'_>) -> Vec<usize> {
    let rows = target.diffs.len();
    let valid = |i: usize| column.is_none_or(|c| c.is_valid(i)) && keep(i);
    let mut failed = vec![];
    match sum {
        Sum::Rows | Sum::Values => {
            for i in (0..rows).filter(|i| valid(*i)) {
                target.row(i, 1)[0] += target.diffs[i];
            }
        }
        Sum::Integer => {
            let Some(values) = column.map(|c| c.as_primitive::<Int64Type>()) else { return failed };
            for i in (0..rows).filter(|i| valid(*i)) {
                let (v, d) = (values.value(i), target.diffs[i]);
                let w = target.row(i, 2);
                w[0] += d;
                w[1] = w[1].wrapping_add(v.wrapping_mul(d));
            }
        }
        Sum::Decimal => {
            let Some(values) = column.map(|c| c.as_primitive::<Decimal128Type>()) else { return failed };
            for i in (0..rows).filter(|i| valid(*i)) {
                let (v, d) = (values.value(i), target.diffs[i]);
                let w = target.row(i, 5);
                w[0] += d;
                for (k, limb) in w[1..].iter_mut().enumerate() {
                    let part = if k == 3 { v >> 96 } else { (v >> (32 * k)) & 0xffff_ffff };
                    *limb += part as i64 * d;
                }
            }
        }
        Sum::Float => {
            let Some(values) = column.map(|c| c.as_primitive::<Float64Type>()) else { return failed };
            for i in (0..rows).filter(|i| valid(*i)) {
                let d = target.diffs[i];
                if !add_float(target.row(i, 2 + FLOAT_LIMBS), values.value(i), d) {
                    failed.push(i);
                }
            }
        }
        Sum::Truth => {
            let Some(values) = column.map(|c| c.as_boolean()) else { return failed };
            for i in (0..rows).filter(|i| valid(*i)) {
                let (v, d) = (values.value(i), target.diffs[i]);
                let w = target.row(i, 2);
                w[0] += d;
                w[1] += v as i64 * d;
            }
        }
    }
    failed
}

/// Adds one value, given as its row encoding, `diff` times; false if it does not fit. For columns of type
/// [`Sum::sliceable`].
#[inline]
pub fn add_encoded(sum: Sum, encoded: Option<&[u8]>, diff: i64, words: &mut [i64]) -> bool {
    // The first byte of a null is 0 in every encoding.
    let null = encoded.is_some_and(|b| b[0] == 0);
    let bits = || encoded.and_then(|b| b.get(1..9)).and_then(|b| b.try_into().ok()).map_or(0, u64::from_be_bytes);
    match sum {
        Sum::Rows => words[0] += diff,
        _ if null => {}
        Sum::Values => words[0] += diff,
        Sum::Integer => {
            words[0] += diff;
            words[1] = words[1].wrapping_add(((bits() ^ (1 << 63)) as i64).wrapping_mul(diff));
        }
        Sum::Float => {
            let bits = bits();
            // The encoding flips the sign bit of positive numbers and all bits of negative ones.
            let value = f64::from_bits(if bits >> 63 == 1 { bits ^ (1 << 63) } else { !bits });
            return add_float(words, value, diff);
        }
        Sum::Decimal | Sum::Truth => unreachable!("not sliceable"),
    }
    true
}

/// Adds `value` `diff` times; false if it does not fit.
#[inline]
fn add_float(words: &mut [i64], value: f64, diff: i64) -> bool {
    if !value.is_finite() {
        let field = if value.is_nan() {
            0
        } else if value > 0.0 {
            1
        } else {
            2
        };
        words[0] += diff;
        words[1] += diff << (field * SPECIAL_BITS);
        return true;
    }
    let bits = value.to_bits();
    let exponent = (bits >> 52 & 0x7ff) as i32;
    let mantissa = if exponent == 0 { bits << 1 & ((1 << 53) - 1) } else { bits & ((1 << 52) - 1) | 1 << 52 };
    let position = exponent - 1075 + SCALE;
    if position + 53 > 32 * FLOAT_LIMBS as i32 - 2 {
        return mantissa == 0;
    }
    words[0] += diff;
    if position <= -53 || mantissa == 0 {
        return true;
    }
    let signed = if value < 0.0 { -diff } else { diff };
    let (mantissa, position) = if position < 0 { (mantissa >> -position, 0) } else { (mantissa, position as usize) };
    let (limb, shift) = (position / 32, position % 32);
    let wide = (mantissa as u128) << shift;
    let limbs = &mut words[2..];
    limbs[limb] += (wide & 0xffff_ffff) as i64 * signed;
    // The parts above are zero wherever there is no limb for them: the value fits.
    if limb + 1 < FLOAT_LIMBS {
        limbs[limb + 1] += (wide >> 32 & 0xffff_ffff) as i64 * signed;
    }
    if limb + 2 < FLOAT_LIMBS {
        limbs[limb + 2] += (wide >> 64) as i64 * signed;
    }
    true
}

/// The sum that normalised words hold.
pub fn float(words: &[i64]) -> f64 {
    let field = |n: u32| words[1] >> (n * SPECIAL_BITS) & ((1 << SPECIAL_BITS) - 1);
    match (field(0) != 0, field(1) != 0, field(2) != 0) {
        (true, _, _) | (_, true, true) => return f64::NAN,
        (_, true, false) => return f64::INFINITY,
        (_, false, true) => return f64::NEG_INFINITY,
        _ => {}
    }
    let mut limbs = [0i64; FLOAT_LIMBS];
    limbs.copy_from_slice(&words[2..2 + FLOAT_LIMBS]);
    let negative = limbs[FLOAT_LIMBS - 1] < 0;
    if negative {
        limbs.iter_mut().for_each(|l| *l = -*l);
        let mut padded = [0i64; FLOAT_LIMBS + 2];
        padded[2..].copy_from_slice(&limbs);
        Sum::Float.normalise(&mut padded);
        limbs.copy_from_slice(&padded[2..]);
    }
    let magnitude = magnitude(&limbs);
    if negative { -magnitude } else { magnitude }
}

/// Non-negative limbs as the nearest float: the top 64 bits, with a sticky bit for what lies below.
fn magnitude(limbs: &[i64; FLOAT_LIMBS]) -> f64 {
    let Some(top) = limbs.iter().rposition(|l| *l != 0) else { return 0.0 };
    let at = |i: usize| if i < FLOAT_LIMBS { limbs[i] as u128 } else { 0 };
    // The last limb carries the overflow and may exceed 32 bits by far; it still fits 64.
    let mut head = at(top);
    let mut low = top;
    while low > 0 && head < 1 << 64 {
        low -= 1;
        head = head << 32 | at(low);
    }
    let sticky = limbs[..low].iter().any(|l| *l != 0);
    let spare = 128 - head.leading_zeros();
    let drop = spare.saturating_sub(64);
    let lost = head & ((1u128 << drop) - 1) != 0;
    let bits = (head >> drop) as u64 | (sticky || lost) as u64;
    bits as f64 * 2f64.powi(32 * low as i32 - SCALE + drop as i32)
}

/// The sum that normalised words hold.
pub fn decimal(words: &[i64]) -> i128 {
    words[1..5]
        .iter()
        .enumerate()
        .fold(0i128, |sum, (k, limb)| sum.wrapping_add((*limb as i128).wrapping_shl(32 * k as u32)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sum_of(values: &[(f64, i64)]) -> f64 {
        let mut words = vec![0; Sum::Float.width()];
        for (v, d) in values {
            assert!(add_float(&mut words, *v, *d));
        }
        Sum::Float.normalise(&mut words);
        float(&words)
    }

    #[test]
    fn cancellation_leaves_the_small_part() {
        assert_eq!(sum_of(&[(1e30, 1), (0.1, 1), (1e30, -1)]), 0.1);
        assert_eq!(sum_of(&[(0.1, 10)]), 1.0);
        assert_eq!(sum_of(&[(f64::INFINITY, 1), (1.0, 1), (f64::INFINITY, -1)]), 1.0);
        assert!(sum_of(&[(f64::INFINITY, 1), (f64::NEG_INFINITY, 1)]).is_nan());
        assert!(!add_float(&mut [0; 10], 1e300, 1));
    }

    proptest! {
        #[test]
        fn one_value_comes_back_as_it_was(v in -1e35f64..1e35, small in -1.0f64..1.0) {
            prop_assert_eq!(sum_of(&[(v, 1)]), v);
            prop_assert_eq!(sum_of(&[(small, 1)]), small);
        }
        #[test]
        fn sums_do_not_depend_on_order_and_go_to_nothing(values in proptest::collection::vec((-1e20f64..1e20, 1i64..4), 0..50)) {
            let mut back = values.clone();
            back.reverse();
            prop_assert_eq!(sum_of(&values).to_bits(), sum_of(&back).to_bits());
            let undone: Vec<_> = values.iter().copied().chain(back.iter().map(|(v, d)| (*v, -d))).collect();
            prop_assert_eq!(sum_of(&undone), 0.0);
        }
        #[test]
        fn sums_of_integers_are_exact(values in proptest::collection::vec(-(1i64 << 50)..(1i64 << 50), 0..100)) {
            let exact: i128 = values.iter().map(|v| *v as i128).sum();
            let floats: Vec<_> = values.iter().map(|v| (*v as f64, 1)).collect();
            prop_assert_eq!(sum_of(&floats), exact as f64);
        }
        #[test]
        fn decimals_add_up(values in proptest::collection::vec((any::<i64>().prop_map(|x| x as i128 * 1_000_003), -3i64..4), 0..60)) {
            let mut words = vec![0; 5];
            for (v, d) in &values {
                let column: ArrayRef = std::sync::Arc::new(arrow::array::Decimal128Array::from(vec![*v]));
                add(Sum::Decimal, Some(&column), |_| true, &mut Target { words: &mut words, stride: 5, at: 0, groups: &[0], diffs: &[*d] });
            }
            Sum::Decimal.normalise(&mut words);
            prop_assert_eq!(decimal(&words), values.iter().map(|(v, d)| v * *d as i128).sum::<i128>());
        }
    }
}
