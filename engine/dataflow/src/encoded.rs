//! Changes of a collection as encoded rows: what travels between steps that hold or move rows and look into few columns.

use serde::{Deserialize, Serialize};

/// Encoded rows end to end in one buffer, each with the time (µs since the epoch) and the weight of its change.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Encoded {
    bytes: Vec<u8>,
    /// Where each row ends.
    ends: Vec<usize>,
    pub times: Vec<u64>,
    pub diffs: Vec<i64>,
}

impl Encoded {
    pub fn len(&self) -> usize {
        self.ends.len()
    }
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }
    #[inline]
    pub fn push(&mut self, row: &[u8], time: u64, diff: i64) {
        self.part(row);
        self.end(time, diff);
    }
    /// Adds bytes to the row that [`Encoded::end`] will end.
    #[inline]
    pub fn part(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }
    /// Ends a row that was put together of parts.
    #[inline]
    pub fn end(&mut self, time: u64, diff: i64) {
        self.ends.push(self.bytes.len());
        self.times.push(time);
        self.diffs.push(diff);
    }
    #[inline]
    pub fn row(&self, i: usize) -> &[u8] {
        let start = if i == 0 { 0 } else { self.ends[i - 1] };
        &self.bytes[start..self.ends[i]]
    }
    pub fn rows(&self) -> impl Iterator<Item = &[u8]> {
        let mut start = 0;
        self.ends.iter().map(move |end| &self.bytes[std::mem::replace(&mut start, *end)..*end])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn rows_come_back_as_they_went_in(rows in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 0..20)) {
            let mut encoded = Encoded::default();
            for (i, row) in rows.iter().enumerate() {
                let (a, b) = row.split_at(row.len() / 2);
                encoded.part(a);
                encoded.part(b);
                encoded.end(i as u64, -1);
            }
            prop_assert_eq!(encoded.rows().map(<[u8]>::to_vec).collect::<Vec<_>>(), rows.clone());
            prop_assert!((0..rows.len()).all(|i| encoded.row(i) == rows[i] && encoded.times[i] == i as u64));
        }
    }
}
