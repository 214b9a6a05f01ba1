//! Tensors in the memory of a GPU, and what launches operations on them.

use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use candle_core::{Error, Result};
use flow_kernels::gpu::{Buffer, DeviceError, Gpu, Indices, Rounding};

use crate::tensor::Tensor;

/// A GPU that computes the steps of runs.
#[derive(Clone)]
pub struct Device {
    gpu: Arc<Mutex<Gpu>>,
    /// What operands of products are rounded to.
    rounding: Rounding,
}

/// Numbers of a shape on a device.
#[derive(Clone)]
pub(crate) struct Array {
    device: Device,
    dims: Arc<[usize]>,
    numbers: Arc<RwLock<Buffer<f32>>>,
}

impl Device {
    /// Takes `gpu` into use; operands of its products are rounded so.
    ///
    /// # Errors
    /// What only training needs is not there, or does not start.
    pub fn new(mut gpu: Gpu, rounding: Rounding) -> std::result::Result<Self, DeviceError> {
        gpu.prepare_to_learn()?;
        Ok(Self { gpu: Arc::new(Mutex::new(gpu)), rounding })
    }

    /// What operands of products are rounded to.
    pub(crate) fn rounding(&self) -> Rounding {
        self.rounding
    }

    /// Asks the GPU for something.
    ///
    /// # Errors
    /// It fails, or has no memory left.
    pub(crate) fn ask<R>(
        &self,
        what: impl FnOnce(&mut Gpu) -> std::result::Result<R, DeviceError>,
    ) -> Result<R> {
        what(&mut self.gpu.lock().unwrap_or_else(PoisonError::into_inner)).map_err(Error::wrap)
    }

    /// Copies numbers to the GPU.
    ///
    /// # Errors
    /// It fails, or has no memory left.
    pub(crate) fn upload(&self, numbers: &[f32], dims: &[usize]) -> Result<Array> {
        let numbers = self.ask(|gpu| gpu.upload(numbers))?;
        Ok(self.array(dims, numbers))
    }

    /// So many zeros.
    ///
    /// # Errors
    /// The GPU fails, or has no memory left.
    pub(crate) fn zeros(&self, count: usize) -> Result<Array> {
        let numbers = self.ask(|gpu| {
            let mut numbers = gpu.allocate(count)?;
            gpu.clear(count, &mut numbers).map(|()| numbers)
        })?;
        Ok(self.array(&[count], numbers))
    }

    /// Copies numbers that stand for places to the GPU.
    ///
    /// # Errors
    /// It fails, or has no memory left.
    pub(crate) fn indices(&self, numbers: &[u32]) -> Result<Indices> {
        self.ask(|gpu| {
            let mut indices = gpu.indices()?;
            gpu.index(&mut indices, numbers).map(|()| indices)
        })
    }

    /// The sum of the squares of all numbers.
    ///
    /// # Errors
    /// The GPU fails, or failed in what came before.
    pub(crate) fn square_sum<'a>(&self, arrays: impl Iterator<Item = &'a Array>) -> Result<f64> {
        let numbers: Vec<_> = arrays.map(Array::numbers).collect();
        let numbers: Vec<&Buffer<f32>> = numbers.iter().map(|numbers| &**numbers).collect();
        self.ask(|gpu| gpu.square_sum(&numbers))
    }

    /// A tensor of these extents that `launch` fills.
    ///
    /// # Errors
    /// The GPU fails, or has no memory left.
    pub(crate) fn make(
        &self,
        dims: &[usize],
        launch: impl FnOnce(&mut Gpu, &mut Buffer<f32>) -> std::result::Result<(), DeviceError>,
    ) -> Result<Tensor> {
        let [array] = self.make_all([dims], |gpu, [numbers]| launch(gpu, numbers))?;
        Ok(array)
    }

    /// Tensors of these extents that `launch` fills.
    ///
    /// # Errors
    /// The GPU fails, or has no memory left.
    pub(crate) fn make_all<const N: usize>(
        &self,
        dims: [&[usize]; N],
        launch: impl FnOnce(&mut Gpu, &mut [Buffer<f32>; N]) -> std::result::Result<(), DeviceError>,
    ) -> Result<[Tensor; N]> {
        let made = self.ask(|gpu| {
            let all: Vec<_> = dims
                .iter()
                .map(|dims| gpu.allocate(dims.iter().product()))
                .collect::<std::result::Result<_, _>>()?;
            let Ok(mut all) = <[Buffer<f32>; N]>::try_from(all) else {
                unreachable!("one for each of `dims`")
            };
            launch(gpu, &mut all).map(|()| all)
        })?;
        let mut dims = dims.into_iter();
        Ok(made.map(|numbers| Tensor::Device(self.array(dims.next().unwrap_or_default(), numbers))))
    }

    fn array(&self, dims: &[usize], numbers: Buffer<f32>) -> Array {
        Array { device: self.clone(), dims: dims.into(), numbers: Arc::new(RwLock::new(numbers)) }
    }
}

impl Array {
    /// Extents, the outermost first.
    pub(crate) fn dims(&self) -> &[usize] {
        &self.dims
    }

    /// Where it is.
    pub(crate) fn device(&self) -> &Device {
        &self.device
    }

    /// The numbers, to be read.
    pub(crate) fn numbers(&self) -> RwLockReadGuard<'_, Buffer<f32>> {
        self.numbers.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The numbers, to be changed.
    pub(crate) fn numbers_mut(&self) -> RwLockWriteGuard<'_, Buffer<f32>> {
        self.numbers.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// A copy of the numbers in the memory of this machine.
    ///
    /// # Errors
    /// The GPU fails, or failed in what came before.
    pub(crate) fn to_vec(&self) -> Result<Vec<f32>> {
        let (numbers, len) = (self.numbers(), self.dims.iter().product());
        self.device.ask(|gpu| gpu.read(&numbers, 0, len))
    }

    /// Changes the numbers in place.
    ///
    /// # Errors
    /// The GPU fails.
    pub(crate) fn change(
        &self,
        launch: impl FnOnce(&mut Gpu, &mut Buffer<f32>) -> std::result::Result<(), DeviceError>,
    ) -> Result<()> {
        let mut numbers = self.numbers_mut();
        self.device.ask(|gpu| launch(gpu, &mut numbers))
    }
}

/// What `cell` holds, made when it is first asked for.
///
/// # Errors
/// It cannot be made.
pub(crate) fn once<T>(cell: &OnceLock<T>, make: impl FnOnce() -> Result<T>) -> Result<&T> {
    if let Some(made) = cell.get() {
        return Ok(made);
    }
    let made = make()?;
    Ok(cell.get_or_init(|| made))
}
