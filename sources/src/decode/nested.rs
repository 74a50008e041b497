//! Lists and structs: columns made of columns.

use super::column::{Cells, Column, UnsupportedType, offsets, replace};
use super::validity::Validity;
use arrow::array::{ArrayRef, ListArray, StructArray};
use arrow::datatypes::{FieldRef, Fields};
use std::sync::Arc;

/// A list per row.
#[derive(Debug)]
pub(crate) struct Lists {
    item: FieldRef,
    pub items: Column,
    /// Where each row's items end.
    ends: Vec<i32>,
    validity: Validity,
}

impl Lists {
    pub fn new(item: &FieldRef) -> Result<Self, UnsupportedType> {
        Ok(Self { item: item.clone(), items: Column::new(item)?, ends: Vec::new(), validity: Validity::default() })
    }

    pub fn item_nullable(&self) -> bool {
        self.item.is_nullable()
    }

    /// The items pushed since the last row are this row's. `false` if there are more than Arrow's offsets count.
    pub fn close(&mut self) -> bool {
        let Ok(end) = i32::try_from(self.items.len()) else { return false };
        self.ends.push(end);
        self.validity.push_valid();
        true
    }

    fn end(&self) -> i32 {
        self.ends.last().copied().unwrap_or(0)
    }
}

impl Cells for Lists {
    fn len(&self) -> usize {
        self.ends.len()
    }
    fn push_null(&mut self) {
        self.validity.push_null(self.ends.len());
        self.ends.push(self.end());
    }
    fn push_placeholder(&mut self) {
        self.ends.push(self.end());
        self.validity.push_valid();
    }
    /// Also drops items of a row that was not closed.
    fn truncate(&mut self, len: usize) {
        self.ends.truncate(len);
        self.items.truncate(self.end() as usize);
        self.validity.truncate(len);
    }
    fn finish(&mut self) -> ArrayRef {
        let offsets = offsets(replace(&mut self.ends));
        Arc::new(ListArray::new(self.item.clone(), offsets, self.items.finish(), self.validity.finish()))
    }
}

/// A struct per row.
#[derive(Debug)]
pub(crate) struct Structs {
    pub fields: Fields,
    pub columns: Vec<Column>,
    len: usize,
    validity: Validity,
}

impl Structs {
    pub fn new(fields: &Fields) -> Result<Self, UnsupportedType> {
        let columns = fields.iter().map(|field| Column::new(field)).collect::<Result<_, _>>()?;
        Ok(Self { fields: fields.clone(), columns, len: 0, validity: Validity::default() })
    }

    /// Every field has its value for this row.
    pub fn close(&mut self) {
        debug_assert!(self.columns.iter().all(|column| column.len() == self.len + 1));
        self.len += 1;
        self.validity.push_valid();
    }
}

impl Cells for Structs {
    fn len(&self) -> usize {
        self.len
    }
    fn push_null(&mut self) {
        self.validity.push_null(self.len);
        self.columns.iter_mut().for_each(Column::push_null);
        self.len += 1;
    }
    fn push_placeholder(&mut self) {
        self.columns.iter_mut().for_each(Column::push_placeholder);
        self.close();
    }
    fn truncate(&mut self, len: usize) {
        self.columns.iter_mut().for_each(|column| column.truncate(len));
        self.validity.truncate(len);
        self.len = self.len.min(len);
    }
    fn finish(&mut self) -> ArrayRef {
        let columns: Vec<ArrayRef> = self.columns.iter_mut().map(Column::finish).collect();
        let nulls = self.validity.finish();
        let len = std::mem::take(&mut self.len);
        if columns.is_empty() {
            return Arc::new(StructArray::new_empty_fields(len, nulls));
        }
        Arc::new(StructArray::new(self.fields.clone(), columns, nulls))
    }
}
