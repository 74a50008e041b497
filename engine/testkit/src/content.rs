//! What a view holds: the sum of all changes it told.

use crate::value::{Row, rows, same_rows};
use arrow::error::ArrowError;
use jarvis_dataflow::Delta;
use std::collections::BTreeMap;

/// A multiset of rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Content(BTreeMap<Row, i64>);

/// A view took back a row that it did not hold.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the row [{}] was taken back more often than it was given ({count} copies are left)", show(.row))]
pub struct BelowZero {
    pub row: Row,
    pub count: i64,
}

fn show(row: &Row) -> String {
    row.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

impl Content {
    /// Adds changes.
    ///
    /// # Errors
    /// As [`rows`].
    pub fn apply(&mut self, delta: &Delta) -> Result<(), ArrowError> {
        for (row, diff) in rows(&delta.rows)?.into_iter().zip(&delta.diffs) {
            *self.0.entry(row).or_default() += diff;
        }
        self.0.retain(|_, count| *count != 0);
        Ok(())
    }
    /// Every row as often as it is there, in order.
    ///
    /// # Errors
    /// A row with a negative count: the operator that told it is wrong.
    pub fn rows(&self) -> Result<Vec<Row>, BelowZero> {
        if let Some((row, count)) = self.0.iter().find(|(_, count)| **count < 0) {
            return Err(BelowZero { row: row.clone(), count: *count });
        }
        Ok(self.0.iter().flat_map(|(row, count)| std::iter::repeat_n(row.clone(), *count as usize)).collect())
    }
    /// Equal but for the rounding of floats.
    pub fn is_close(&self, other: &Content) -> bool {
        match (self.rows(), other.rows()) {
            (Ok(a), Ok(b)) => self == other || same_rows(&a, &b),
            _ => false,
        }
    }
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
