//! Short texts held in place: ordered as bytes, hashed as integers, copied without touching the heap.

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use std::fmt;

/// A text of at most `8 * N` bytes without NUL. Longer ones are refused when they are read.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Short<const N: usize>([u64; N]);

/// At most 8 bytes: printers, tools, materials.
pub type Text8 = Short<1>;
/// At most 16 bytes: the states of a job.
pub type Text16 = Short<2>;

/// The text is longer than the type holds, or holds a NUL.
#[derive(Debug, PartialEq, Eq)]
pub struct DoesNotFit;

impl<const N: usize> Short<N> {
    /// Packs a text.
    pub fn new(text: &str) -> Result<Self, DoesNotFit> {
        let bytes = text.as_bytes();
        if bytes.len() > 8 * N || bytes.contains(&0) {
            return Err(DoesNotFit);
        }
        let mut words = [0u64; N];
        for (word, chunk) in words.iter_mut().zip(bytes.chunks(8)) {
            let mut padded = [0u8; 8];
            padded[..chunk.len()].copy_from_slice(chunk);
            // Big-endian words compare as the bytes do.
            *word = u64::from_be_bytes(padded);
        }
        Ok(Short(words))
    }

    /// Appends the text to a buffer.
    pub fn append_to(&self, buffer: &mut Vec<u8>) {
        buffer.extend(self.0.iter().flat_map(|word| word.to_be_bytes()).filter(|byte| *byte != 0));
    }
}

impl<const N: usize> fmt::Display for Short<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = Vec::with_capacity(8 * N);
        self.append_to(&mut bytes);
        f.write_str(&String::from_utf8_lossy(&bytes))
    }
}

impl<const N: usize> fmt::Debug for Short<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.to_string())
    }
}

impl<const N: usize> Serialize for Short<N> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de, const N: usize> Deserialize<'de> for Short<N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Packed<const N: usize>;
        impl<const N: usize> Visitor<'_> for Packed<N> {
            type Value = Short<N>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a text of at most {} bytes", 8 * N)
            }
            #[inline]
            fn visit_str<E: Error>(self, text: &str) -> Result<Short<N>, E> {
                Short::new(text).map_err(|DoesNotFit| E::invalid_value(serde::de::Unexpected::Str(text), &self))
            }
        }
        deserializer.deserialize_str(Packed::<N>)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn packing_keeps_the_text_and_its_order(a in "[a-zé0-9]{0,7}", b in "[a-zé0-9]{0,7}") {
            let (x, y) = (Text16::new(&a), Text16::new(&b));
            prop_assert_eq!(x.as_ref().map(ToString::to_string), Ok(a.clone()));
            prop_assert_eq!(x.unwrap().cmp(&y.unwrap()), a.as_bytes().cmp(b.as_bytes()));
        }
    }

    #[test]
    fn a_text_that_is_too_long_is_refused() {
        assert_eq!(Text8::new("123456789"), Err(DoesNotFit));
        assert!(serde_json::from_str::<Text8>("\"123456789\"").is_err());
    }
}
