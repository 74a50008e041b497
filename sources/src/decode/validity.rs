//! Which rows of a column are null.

use arrow::array::BooleanBufferBuilder;
use arrow::buffer::NullBuffer;

/// A bitmap that exists only from the first null on: most columns have none.
#[derive(Debug, Default)]
pub(crate) struct Validity {
    bits: Option<BooleanBufferBuilder>,
}

impl Validity {
    #[inline]
    pub fn push_valid(&mut self) {
        if let Some(bits) = &mut self.bits {
            bits.append(true);
        }
    }

    /// `len`: how many rows the column has so far.
    pub fn push_null(&mut self, len: usize) {
        let bits = self.bits.get_or_insert_with(|| {
            let mut bits = BooleanBufferBuilder::new(len + 1);
            bits.append_n(len, true);
            bits
        });
        bits.append(false);
    }

    pub fn truncate(&mut self, len: usize) {
        if let Some(bits) = &mut self.bits
            && bits.len() > len
        {
            bits.truncate(len);
        }
    }

    pub fn finish(&mut self) -> Option<NullBuffer> {
        let nulls = NullBuffer::new(self.bits.take()?.build());
        // A rolled back row may have been the only null.
        (nulls.null_count() > 0).then_some(nulls)
    }
}
