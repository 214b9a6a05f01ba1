//! Tables on disk: Parquet files with the columns of a record kind, and Parquet files written by others.

mod arrow;
mod columnar;
mod decode;
mod encode;
mod read;
#[cfg(test)]
mod tests;

use std::path::Path;

use flow_data::{Cell, Columns, Item, Value};

use crate::{Error, disk};

pub use encode::{Layout, encode_part};
pub use read::{TableReader, read_table};

/// A row as its cells: what can be encoded.
pub trait Cells {
    /// The cell at `at`; null past the end.
    fn cell(&self, at: usize) -> Cell<'_>;
}

impl Cells for [Value] {
    fn cell(&self, at: usize) -> Cell<'_> {
        self.get(at).map_or(Cell::Null, Cell::from)
    }
}

impl Cells for Vec<Value> {
    fn cell(&self, at: usize) -> Cell<'_> {
        self.as_slice().cell(at)
    }
}

impl Cells for Item {
    fn cell(&self, at: usize) -> Cell<'_> {
        self.cell(at)
    }
}

impl<R: Cells + ?Sized> Cells for &R {
    fn cell(&self, at: usize) -> Cell<'_> {
        (**self).cell(at)
    }
}

/// Writes a small table as one Parquet file, replacing the file at `path` in one step: it is seen whole or not at all.
/// One writer of a path at a time: a [`crate::RunLock`] on a file beside it keeps other runs out.
///
/// Errs when a cell does not fit its column and when the file cannot be written; the old file then stays.
pub fn write_table<R: Cells + Sync>(path: &Path, columns: &Columns, rows: &[R]) -> Result<(), Error> {
    disk::write_whole(path, &encode_part(columns, rows, &Layout::default(), 1)?)
}
