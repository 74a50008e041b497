//! Reads FlatBuffers: tables whose fields are found over a directory, and lists of numbers, bytes and tables.
//!
//! Every offset is compared with the file before it is followed, a list may have no more items than whoever reads it
//! allows, and nothing is followed that is not asked for: a damaged file is an error and takes no memory to speak of.

use anyhow::{Context, ensure};

/// A table in a file.
#[derive(Clone, Copy)]
pub struct Table<'a> {
    file: &'a [u8],
    at: usize,
    /// Two bytes for each field: how far behind the table's beginning it lies, 0 if it is not there.
    directory: &'a [u8],
}

impl<'a> Table<'a> {
    /// The one that a file of such a kind begins with; the kind is told in its bytes 4 to 8.
    ///
    /// # Errors
    /// The file is of another kind, or damaged.
    pub fn root(file: &'a [u8], kind: [u8; 4]) -> anyhow::Result<Self> {
        let found: [u8; 4] = array(file, 4)?;
        ensure!(found == kind, "it is marked {} and not {}", found.escape_ascii(), kind.escape_ascii());
        Table::at(file, u32::from_le_bytes(array(file, 0)?) as usize)
    }

    fn at(file: &'a [u8], at: usize) -> anyhow::Result<Self> {
        let back = i64::from(i32::from_le_bytes(array(file, at)?));
        let directory = i64::try_from(at)?.checked_sub(back).and_then(|start| usize::try_from(start).ok());
        let directory = directory.context(DAMAGED)?;
        let length = usize::from(u16::from_le_bytes(array(file, directory)?));
        // The lengths of the directory and of the table come before the fields.
        let fields = directory.checked_add(4).zip(directory.checked_add(length));
        let fields = fields.and_then(|(start, end)| file.get(start..end)).context(DAMAGED)?;
        Ok(Table { file, at, directory: fields })
    }

    /// Where a field lies; `None`: it is left out.
    fn place(&self, field: usize) -> Option<usize> {
        let offset = self.directory.get(2 * field..)?.first_chunk().map(|bytes| u16::from_le_bytes(*bytes))?;
        (offset > 0).then(|| self.at + usize::from(offset))
    }

    fn number<const N: usize, T>(&self, field: usize, otherwise: T, from: fn([u8; N]) -> T) -> anyhow::Result<T> {
        self.place(field).map_or(Ok(otherwise), |place| array(self.file, place).map(from))
    }

    /// # Errors
    /// The file is damaged; so with all that follow.
    pub fn i8(&self, field: usize, otherwise: i8) -> anyhow::Result<i8> {
        self.number(field, otherwise, i8::from_le_bytes)
    }

    pub fn i32(&self, field: usize, otherwise: i32) -> anyhow::Result<i32> {
        self.number(field, otherwise, i32::from_le_bytes)
    }

    pub fn u32(&self, field: usize, otherwise: u32) -> anyhow::Result<u32> {
        self.number(field, otherwise, u32::from_le_bytes)
    }

    /// What an offset leads to; `None`: it is left out.
    fn target(&self, field: usize) -> anyhow::Result<Option<usize>> {
        self.place(field).map(|place| follow(self.file, place)).transpose()
    }

    pub fn table(&self, field: usize) -> anyhow::Result<Option<Table<'a>>> {
        self.target(field)?.map(|at| Table::at(self.file, at)).transpose()
    }

    /// The items of a list, each of so many bytes, and where they begin; none if it is left out.
    fn list(&self, field: usize, width: usize, most: usize) -> anyhow::Result<(&'a [u8], usize)> {
        let Some(at) = self.target(field)? else { return Ok((&[], 0)) };
        let count = u32::from_le_bytes(array(self.file, at)?) as usize;
        ensure!(count <= most, "a list has {count} items, and at most {most} make sense");
        // Neither overflows: a count has 32 bits, and `at` lies in the file.
        let start = at + 4;
        let items = start.checked_add(count * width).and_then(|end| self.file.get(start..end));
        Ok((items.context(DAMAGED)?, start))
    }

    pub fn bytes(&self, field: usize) -> anyhow::Result<&'a [u8]> {
        Ok(self.list(field, 1, usize::MAX)?.0)
    }

    pub fn text(&self, field: usize) -> anyhow::Result<&'a str> {
        std::str::from_utf8(self.list(field, 1, LONGEST)?.0).context("a name is no text")
    }

    pub fn numbers(&self, field: usize, most: usize) -> anyhow::Result<Vec<i32>> {
        let (numbers, _) = self.list(field, 4, most)?.0.as_chunks();
        Ok(numbers.iter().map(|bytes| i32::from_le_bytes(*bytes)).collect())
    }

    pub fn tables(&self, field: usize, most: usize) -> anyhow::Result<Vec<Table<'a>>> {
        let (items, start) = self.list(field, 4, most)?;
        let places = (0..items.len() / 4).map(|at| start + 4 * at);
        places.map(|place| Table::at(self.file, follow(self.file, place)?)).collect()
    }
}

/// Bytes of a name: many tables of a file may share one, so each must be short.
const LONGEST: usize = 4096;

const DAMAGED: &str = "it is cut short or damaged";

fn array<const N: usize>(file: &[u8], at: usize) -> anyhow::Result<[u8; N]> {
    file.get(at..).and_then(|rest| rest.first_chunk()).copied().context(DAMAGED)
}

fn follow(file: &[u8], place: usize) -> anyhow::Result<usize> {
    place.checked_add(u32::from_le_bytes(array(file, place)?) as usize).context(DAMAGED)
}
