//! The same loops on a GPU: memory of a device, and safe functions that launch the kernels of `cuda/` on it.
//!
//! A [`Gpu`] is a device behind [`Device`]: an NVIDIA GPU (`cuda`, with the feature of this name), or an [`Emulator`] that compiles the
//! same sources for the CPU. Each launcher checks that its buffers belong to the device and hold what the kernel reads and writes.
//! Numbers that a kernel takes for places ([`Indices`], [`Placed`], [`Routings`]) are looked at before they are uploaded, and no one else
//! writes them: so nothing outside this crate can make a kernel reach beyond a buffer. The kernels of drawing compute the bits that the loops
//! of the CPU compute; those of training (`learn`) what its formulas say, within rounding.

use std::collections::BTreeSet;
use std::marker::PhantomData;
use std::sync::{Arc, Mutex, PoisonError};

use crate::numbers::Bf16;
use crate::panels::{FourBits, TwoBits};

mod allocations;
mod attention;
#[cfg(feature = "cuda")]
mod cuda;
mod emulator;
mod experts;
mod indices;
mod learn;
mod matrix;
mod rows;
mod select;

use attention::RawExtents;

pub use attention::{Extents, Seen};
#[cfg(feature = "cuda")]
pub use cuda::{Cuda, Program};
pub use emulator::Emulator;
pub use experts::{Answers, Choosing, Visits};
pub use indices::{Indices, Placed, Routings};
pub use learn::{
    AdamWStep, AttentionHeads, AttentionScores, ColumnMajor, Documents, Groups, LibraryProduct, Mixed,
    Rounding, Scatter, Stored, Turns,
};
pub use matrix::{Bounds, Embedding, Matrix, Source};
pub use select::{Picks, Scores};

/// The kernels of drawing as one program, for a compiler of CUDA C++.
pub const SOURCE: &str = concat!(
    include_str!("../cuda/common.cuh"),
    include_str!("../cuda/rows.cu"),
    include_str!("../cuda/product.cu"),
    include_str!("../cuda/attention.cu"),
    include_str!("../cuda/experts.cu"),
    include_str!("../cuda/select.cu"),
);

/// The kernels that only training needs as another program; together they would take several times as long to compile.
pub const LEARN_SOURCE: &str = concat!(
    include_str!("../cuda/common.cuh"),
    include_str!("../cuda/learn_rows.cu"),
    include_str!("../cuda/learn_products.cu"),
    include_str!("../cuda/learn_attention.cu"),
    include_str!("../cuda/learn_update.cu"),
);

/// A device that cannot be used, or failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeviceError {
    /// There is none, or it lacks what is needed.
    #[error("{device} cannot be used: {reason}")]
    Missing {
        /// What was asked for.
        device: &'static str,
        /// Why not.
        reason: String,
    },
    /// It did not do what it was asked to.
    #[error("the device failed to {attempt}: {reason}")]
    Failed {
        /// What was attempted.
        attempt: String,
        /// What it said.
        reason: String,
    },
}

/// The first GPU of this machine, with the feature `cuda`.
///
/// # Errors
/// The program was built without the feature, or there is no GPU that can be used.
pub fn open() -> Result<Gpu, DeviceError> {
    #[cfg(feature = "cuda")]
    return Cuda::new(0).map(Gpu::new);
    #[cfg(not(feature = "cuda"))]
    return Err(not_built());
}

/// A GPU of this machine that is not in use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// What a person calls it.
    pub name: String,
    /// Bytes of its memory, free or not.
    pub memory_bytes: usize,
    /// The library that products of trainings go to, and its version; `None` where none is installed.
    pub library: Option<String>,
}

/// The first GPU of this machine, with the feature `cuda`; looks for it and the libraries that it needs, and takes nothing into use.
///
/// # Errors
/// The program was built without the feature, or there is no GPU that can be used.
pub fn find() -> Result<Found, DeviceError> {
    #[cfg(feature = "cuda")]
    return Cuda::find(0);
    #[cfg(not(feature = "cuda"))]
    return Err(not_built());
}

#[cfg(not(feature = "cuda"))]
fn not_built() -> DeviceError {
    let reason = "this program was built without the feature `cuda`".into();
    DeviceError::Missing { device: "the GPU", reason }
}

/// A place in the memory of a device; only this crate makes one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Address(u64);

/// One launch of a kernel; only this crate makes one.
#[derive(Debug)]
pub struct Launch<'a> {
    kernel: &'static str,
    grid: [u32; 3],
    threads: u32,
    arguments: &'a [Argument],
}

/// What a kernel is given.
#[derive(Clone, Copy, Debug)]
enum Argument {
    /// Where a buffer is, and how many bytes of it a kernel may reach; of none, 0 and 0.
    Address(u64, usize),
    Long(u64),
    Word(u32),
    Float(f32),
    Extents(RawExtents),
}

/// What kernels run on; each refuses to reach what it did not allocate. Work is done in the order in which it is asked for; `read` waits for all before it.
pub trait Device: Send {
    /// What a person calls it.
    fn name(&self) -> String;

    /// Bytes of memory that are free; `None` where nothing is known of a bound.
    fn free_bytes(&self) -> Option<usize>;

    /// Takes memory, whose contents are open.
    ///
    /// # Errors
    /// There is not so much.
    fn allocate(&mut self, bytes: usize) -> Result<Address, DeviceError>;

    /// Gives back what [`Device::allocate`] took.
    fn free(&mut self, at: Address);

    /// Writes bytes to allocated memory.
    ///
    /// # Errors
    /// The device fails.
    fn write(&mut self, to: Address, bytes: &[u8]) -> Result<(), DeviceError>;

    /// Reads bytes of allocated memory.
    ///
    /// # Errors
    /// The device fails, then or in a launch before.
    fn read(&mut self, from: Address, bytes: &mut [u8]) -> Result<(), DeviceError>;

    /// The library that products go to, and its version; `None` where there is none.
    fn library(&self) -> Option<String> {
        None
    }

    /// Makes ready what only training needs, so that what is missing is told before anything is uploaded.
    ///
    /// # Errors
    /// A kernel does not compile, or the library of products is there and does not start.
    fn prepare_to_learn(&mut self) -> Result<(), DeviceError> {
        Ok(())
    }

    /// Starts a kernel.
    /// # Errors
    /// It cannot be started.
    fn launch(&mut self, launch: &Launch<'_>) -> Result<(), DeviceError>;

    /// Starts a product by a library of the device; `None` where it has none, and nothing was started.
    fn library_product(&mut self, product: &LibraryProduct) -> Option<Result<(), DeviceError>> {
        let _ = product;
        None
    }
}

/// Numbers that a device keeps.
pub trait Number: Copy {
    /// Their bytes, little-endian, in order.
    fn bytes(numbers: &[Self]) -> Vec<u8>;
    /// The numbers of these bytes.
    fn numbers(bytes: &[u8]) -> Vec<Self>;
}

macro_rules! number {
    ($($number:ty),*) => {$(
        impl Number for $number {
            fn bytes(numbers: &[Self]) -> Vec<u8> {
                numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
            }

            fn numbers(bytes: &[u8]) -> Vec<Self> {
                bytes.as_chunks().0.iter().map(|bytes| Self::from_le_bytes(*bytes)).collect()
            }
        }
    )*};
}

number!(f32, f64, u32, i8, u8);

impl Number for Bf16 {
    fn bytes(numbers: &[Self]) -> Vec<u8> {
        numbers.iter().flat_map(|number| number.bits().to_le_bytes()).collect()
    }

    fn numbers(bytes: &[u8]) -> Vec<Self> {
        bytes.as_chunks().0.iter().map(|bytes| Self::of_bits(u16::from_le_bytes(*bytes))).collect()
    }
}

macro_rules! codes {
    ($($codes:ty),*) => {$(
        impl Number for $codes {
            fn bytes(rows: &[Self]) -> Vec<u8> {
                rows.iter().flat_map(|row| row.0).collect()
            }

            fn numbers(bytes: &[u8]) -> Vec<Self> {
                bytes.as_chunks().0.iter().map(|row| Self(*row)).collect()
            }
        }
    )*};
}

codes!(TwoBits, FourBits);

/// Numbers of a buffer that grows in steps of so many instead of twofold, and that are written at a time.
const LARGE: usize = 1 << 20;

/// What the buffers of a device held that were dropped: the device takes it back when it is next asked for memory.
type Left = Arc<Mutex<Vec<Address>>>;

/// Numbers in the memory of a [`Gpu`], given back when either is dropped.
#[derive(Debug)]
pub struct Buffer<T> {
    left: Left,
    address: Address,
    len: usize,
    of: PhantomData<T>,
}

/// Stands for no address.
const NOWHERE: Address = Address(0);

impl<T> Drop for Buffer<T> {
    fn drop(&mut self) {
        if self.address != NOWHERE {
            self.left.lock().unwrap_or_else(PoisonError::into_inner).push(self.address);
        }
    }
}

impl<T> Buffer<T> {
    /// How many numbers it holds.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

/// A device, with all that was allocated on it.
pub struct Gpu {
    device: Box<dyn Device>,
    allocated: BTreeSet<Address>,
    left: Left,
    /// Whether products may go to a library of the device.
    library: bool,
}

impl Gpu {
    /// Takes a device into use.
    pub fn new(device: impl Device + 'static) -> Self {
        Self { device: Box::new(device), allocated: BTreeSet::new(), left: Left::default(), library: true }
    }

    /// The same with all products by our own kernels.
    pub fn without_library(mut self) -> Self {
        self.library = false;
        self
    }

    /// What a person calls the device.
    pub fn name(&self) -> String {
        self.device.name()
    }

    /// Bytes of memory that are free; `None` where nothing is known of a bound.
    pub fn free_bytes(&self) -> Option<usize> {
        self.device.free_bytes()
    }

    /// The library that products go to, and its version; `None` where our own kernels compute them.
    pub fn library(&self) -> Option<String> {
        self.device.library().filter(|_| self.library)
    }

    /// Makes ready what only training needs.
    ///
    /// # Errors
    /// A kernel does not compile, or the library of products is there and does not start.
    pub fn prepare_to_learn(&mut self) -> Result<(), DeviceError> {
        self.device.prepare_to_learn()
    }

    /// Memory for `len` numbers, whose values are open.
    ///
    /// # Errors
    /// There is not so much.
    pub fn allocate<T: Number>(&mut self, len: usize) -> Result<Buffer<T>, DeviceError> {
        self.take_back();
        let address = self.device.allocate((len * size_of::<T>()).max(1))?;
        self.allocated.insert(address);
        Ok(self.buffer(address, len))
    }

    /// Memory that holds `numbers`.
    ///
    /// # Errors
    /// There is not so much, or the device fails.
    pub fn upload<T: Number>(&mut self, numbers: &[T]) -> Result<Buffer<T>, DeviceError> {
        let mut buffer = self.allocate(numbers.len())?;
        self.write(&mut buffer, 0, numbers)?;
        Ok(buffer)
    }

    /// Makes `buffer` hold at least `len` numbers; when it must grow, to the next power of two, or the next million where it is larger, their
    /// values are open.
    ///
    /// # Errors
    /// There is not so much memory.
    pub fn grow<T: Number>(&mut self, buffer: &mut Buffer<T>, len: usize) -> Result<(), DeviceError> {
        let rounded = if len <= LARGE { len.next_power_of_two() } else { len.next_multiple_of(LARGE) };
        if buffer.len < len { self.resize(buffer, rounded) } else { Ok(()) }
    }

    /// Makes `buffer` hold at least `len` numbers; when it must grow, to just these, and their values are open.
    ///
    /// # Errors
    /// There is not so much memory.
    pub fn resize<T: Number>(&mut self, buffer: &mut Buffer<T>, len: usize) -> Result<(), DeviceError> {
        if buffer.len < len {
            self.release(buffer);
            *buffer = self.allocate(len)?;
        }
        Ok(())
    }

    /// Gives back what `buffer` held.
    pub fn release<T>(&mut self, buffer: &mut Buffer<T>) {
        self.own(buffer, 0);
        *buffer = self.buffer(NOWHERE, 0);
        self.take_back();
    }

    fn buffer<T>(&self, address: Address, len: usize) -> Buffer<T> {
        Buffer { left: self.left.clone(), address, len, of: PhantomData }
    }

    /// Frees what dropped buffers held.
    fn take_back(&mut self) {
        let left = std::mem::take(&mut *self.left.lock().unwrap_or_else(PoisonError::into_inner));
        for address in left {
            self.allocated.remove(&address);
            self.device.free(address);
        }
    }

    /// Writes `numbers` to `buffer` from the number `at` on.
    ///
    /// # Errors
    /// The device fails.
    pub fn write<T: Number>(
        &mut self,
        buffer: &mut Buffer<T>,
        at: usize,
        numbers: &[T],
    ) -> Result<(), DeviceError> {
        let to = self.own(buffer, at + numbers.len()).0;
        for (at, numbers) in (at..).step_by(LARGE).zip(numbers.chunks(LARGE)) {
            self.device.write(Address(to + (at * size_of::<T>()) as u64), &T::bytes(numbers))?;
        }
        Ok(())
    }

    /// Makes `buffer` begin with `numbers`; it grows when it must.
    ///
    /// # Errors
    /// There is not so much memory, or the device fails.
    pub fn put<T: Number>(&mut self, buffer: &mut Buffer<T>, numbers: &[T]) -> Result<(), DeviceError> {
        self.grow(buffer, numbers.len())?;
        self.write(buffer, 0, numbers)
    }

    /// `len` numbers of `buffer` from the number `at` on.
    ///
    /// # Errors
    /// The device fails, or failed in what came before.
    pub fn read<T: Number>(
        &mut self,
        buffer: &Buffer<T>,
        at: usize,
        len: usize,
    ) -> Result<Vec<T>, DeviceError> {
        let from = self.own(buffer, at + len);
        let mut bytes = vec![0; len * size_of::<T>()];
        self.device.read(Address(from.0 + (at * size_of::<T>()) as u64), &mut bytes)?;
        Ok(T::numbers(&bytes))
    }

    /// Where `buffer` is, which must be of this device and hold at least `len` numbers.
    fn own<T>(&self, buffer: &Buffer<T>, len: usize) -> Address {
        assert!(Arc::ptr_eq(&buffer.left, &self.left), "a buffer of another device");
        assert!(buffer.len >= len, "a buffer of {} numbers, {len} are needed", buffer.len);
        buffer.address
    }

    /// The same as an argument.
    fn given<T>(&self, buffer: &Buffer<T>, len: usize) -> Argument {
        Argument::Address(self.own(buffer, len).0, len * size_of::<T>())
    }

    /// The whole of it as an argument.
    fn whole<T>(&self, buffer: &Buffer<T>) -> Argument {
        self.given(buffer, buffer.len)
    }

    /// The same of what may not be there.
    fn maybe<T>(&self, buffer: Option<&Buffer<T>>, len: usize) -> Argument {
        buffer.map_or(Argument::Address(0, 0), |buffer| self.given(buffer, len))
    }

    fn launch(
        &mut self,
        kernel: &'static str,
        grid: [usize; 3],
        threads: u32,
        arguments: &[Argument],
    ) -> Result<(), DeviceError> {
        if grid.contains(&0) {
            return Ok(());
        }
        // CUDA's own limits of the sides of a grid.
        assert!(grid[0] < 1 << 31 && grid[1].max(grid[2]) < 1 << 16, "{kernel}: a grid of {grid:?} blocks");
        let grid = grid.map(|blocks| blocks as u32);
        self.device.launch(&Launch { kernel, grid, threads, arguments })
    }
}

impl Drop for Gpu {
    fn drop(&mut self) {
        std::mem::take(&mut self.allocated).into_iter().for_each(|address| self.device.free(address));
    }
}

/// A number of rows, positions or outputs as a kernel takes it.
fn word(number: usize) -> Argument {
    Argument::Word(u32::try_from(number).expect("extents are below 2^32"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counts what is taken.
    struct Counting(Arc<Mutex<BTreeSet<u64>>>);

    impl Device for Counting {
        fn name(&self) -> String {
            "a count".into()
        }

        fn free_bytes(&self) -> Option<usize> {
            None
        }

        fn allocate(&mut self, _: usize) -> Result<Address, DeviceError> {
            let mut taken = self.0.lock().unwrap();
            let at = taken.last().map_or(1, |last| last + 1);
            taken.insert(at);
            Ok(Address(at))
        }

        fn free(&mut self, at: Address) {
            assert!(self.0.lock().unwrap().remove(&at.0), "it was taken");
        }

        fn write(&mut self, _: Address, _: &[u8]) -> Result<(), DeviceError> {
            Ok(())
        }

        fn read(&mut self, _: Address, _: &mut [u8]) -> Result<(), DeviceError> {
            Ok(())
        }

        fn launch(&mut self, _: &Launch<'_>) -> Result<(), DeviceError> {
            Ok(())
        }
    }

    #[test]
    fn dropped_buffers_are_given_back_once() {
        let taken = Arc::new(Mutex::new(BTreeSet::new()));
        let mut gpu = Gpu::new(Counting(taken.clone()));
        let count = || taken.lock().unwrap().len();
        let (mut first, second) = (gpu.upload(&[1.0f32]).unwrap(), gpu.upload(&[2.0f32]).unwrap());
        drop(second);
        gpu.release(&mut first);
        assert_eq!(count(), 0);
        let third = gpu.allocate::<u32>(3).unwrap();
        drop(first);
        let mut fourth = gpu.allocate::<u8>(1).unwrap();
        gpu.grow(&mut fourth, 7).unwrap();
        assert_eq!(count(), 2, "what it held before it grew is given back");
        drop(gpu);
        assert_eq!(count(), 0);
        drop(third);
        assert_eq!(count(), 0);
    }
}
