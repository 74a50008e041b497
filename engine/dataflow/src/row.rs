//! The one row type of exchanges and operator state: a byte string that holds `arrow-row` encoded columns.
//!
//! Up to 30 bytes are held inline, longer rows are shared (a clone counts a reference, it copies nothing).
//! The order of rows is the order of their bytes, which is the order of the column values. Row bytes are never
//! persisted: their form belongs to one build of the program.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::cmp::Ordering;
use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::Arc;

const INLINE: usize = 30;

/// A row of encoded columns.
#[derive(Clone)]
pub struct Row(Form);

#[derive(Clone)]
enum Form {
    /// Bytes past `len` are zero, so that inline rows compare as whole words.
    Inline {
        len: u8,
        bytes: [u8; INLINE],
    },
    Shared(Arc<[u8]>),
}

impl Row {
    #[inline]
    pub fn new(bytes: &[u8]) -> Self {
        if bytes.len() <= INLINE {
            let mut inline = [0; INLINE];
            inline[..bytes.len()].copy_from_slice(bytes);
            Row(Form::Inline { len: bytes.len() as u8, bytes: inline })
        } else {
            Row(Form::Shared(bytes.into()))
        }
    }
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        match &self.0 {
            Form::Inline { len, bytes } => &bytes[..*len as usize],
            Form::Shared(b) => b,
        }
    }
    /// Bytes on the heap beyond the row itself.
    pub fn heap(&self) -> usize {
        match &self.0 {
            Form::Inline { .. } => 0,
            Form::Shared(b) => b.len() + 16,
        }
    }
}

impl Default for Row {
    fn default() -> Self {
        Row(Form::Inline { len: 0, bytes: [0; INLINE] })
    }
}

/// The 30 bytes as four big-endian words (the last two overlap), so that words compare as bytes do.
#[inline]
fn words(b: &[u8; INLINE]) -> [u64; 4] {
    let word = |at: usize| {
        u64::from_be_bytes([b[at], b[at + 1], b[at + 2], b[at + 3], b[at + 4], b[at + 5], b[at + 6], b[at + 7]])
    };
    [word(0), word(8), word(16), word(22)]
}

impl PartialEq for Row {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Form::Inline { len: a, bytes: x }, Form::Inline { len: b, bytes: y }) => a == b && words(x) == words(y),
            _ => self.bytes() == other.bytes(),
        }
    }
}
impl Eq for Row {}
impl PartialOrd for Row {
    #[inline]
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Row {
    #[inline]
    fn cmp(&self, other: &Self) -> Ordering {
        match (&self.0, &other.0) {
            // Zero padding makes a prefix compare lower or equal; the length decides the rest.
            (Form::Inline { len: a, bytes: x }, Form::Inline { len: b, bytes: y }) => {
                words(x).cmp(&words(y)).then(a.cmp(b))
            }
            _ => self.bytes().cmp(other.bytes()),
        }
    }
}
impl Hash for Row {
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(self.bytes());
    }
}
impl std::fmt::Debug for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:02x?}", self.bytes())
    }
}
impl Serialize for Row {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_bytes(self.bytes())
    }
}
impl<'de> Deserialize<'de> for Row {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        Vec::<u8>::deserialize(d).map(|b| Row::new(&b))
    }
}

/// What differential's batch builders ask of a container that is read as `&[u8]` and written as [`Row`].
impl PartialEq<Row> for [u8] {
    #[inline]
    fn eq(&self, other: &Row) -> bool {
        self == other.bytes()
    }
}

/// Where a key lives: the same on every worker and process of one run.
#[inline]
pub fn hash(bytes: &[u8]) -> u64 {
    let mut h = foldhash::fast::FixedState::with_seed(0x6a61_7276_6973).build_hasher();
    h.write(bytes);
    h.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_row_takes_32_bytes() {
        assert_eq!(size_of::<Row>(), 32);
    }

    proptest! {
        #[test]
        fn rows_compare_and_hash_as_their_bytes(a in proptest::collection::vec(0u8..3, 0..40), b in proptest::collection::vec(0u8..3, 0..40)) {
            let (x, y) = (Row::new(&a), Row::new(&b));
            prop_assert_eq!(x.bytes(), &a[..]);
            prop_assert_eq!(x.cmp(&y), a.cmp(&b));
            prop_assert_eq!(x == y, a == b);
        }
    }
}
