//! What training computes on a GPU: products in three forms, rows, predictions, attention, updates, and the gradients of these.
//!
//! Matrices are row-major and not padded. A function writes its results over what stood there; those that add say so. Every sum has a fixed
//! order, so that equal calls give equal bits; the bits are not the CPU's. Where a device has a library of products, [`Gpu::product`] and its
//! forms ask it first.

mod attention;
mod library;
mod places;
mod predict;
mod products;
mod rows;
mod update;

pub use attention::{AttentionHeads, AttentionScores, Documents, Turns};
pub use library::{ColumnMajor, LibraryProduct};
pub use places::{Mixed, Scatter};
pub use products::{Groups, Rounding, Stored};
pub use update::AdamWStep;

use super::{Buffer, DeviceError, Gpu, Number};

/// Threads of a block of rows, or of one long row.
const THREADS: u32 = 128;

/// Rows that a block of [`THREADS`] sums, 32 threads each.
const BLOCK_ROWS: usize = 4;

/// Threads of a block that goes over single numbers, or sums a long stretch of them.
const WIDE: u32 = 256;

impl Gpu {
    /// What `work` does with memory for `len` numbers, which is given back then.
    fn lend<T: Number>(
        &mut self,
        len: usize,
        work: impl FnOnce(&mut Self, &mut Buffer<T>) -> Result<(), DeviceError>,
    ) -> Result<(), DeviceError> {
        let mut buffer = self.allocate(len)?;
        let done = work(self, &mut buffer);
        self.release(&mut buffer);
        done
    }
}
