//! Differentiable operations with hand-written backward passes, and access to the numbers inside a tensor.
//!
//! candle's own fused operations stop gradients silently, and its composed ones cost one pass over memory each. These
//! are CPU loops; every backward is checked against finite differences. All tensors are f32.

pub(crate) mod attention;
pub(crate) mod combine;
pub(crate) mod cross_entropy;
pub(crate) mod linear;
pub(crate) mod rms_norm;
pub(crate) mod router;
pub(crate) mod swiglu;

use std::ops::Deref;

use candle_core::{CpuStorage, Device, Layout, Result, Shape, Storage, StorageRef, Tensor, bail};

/// The elements of a contiguous CPU tensor, for as long as the view lives.
pub(crate) struct Elements<'a> {
    storage: StorageRef<'a>,
    range: (usize, usize),
}

/// Borrows the elements of `tensor`.
///
/// # Errors
/// When it is not contiguous, not f32 or not on the CPU.
pub(crate) fn elements(tensor: &Tensor) -> Result<Elements<'_>> {
    let (storage, layout) = tensor.storage_and_layout();
    let Some(range) = layout.contiguous_offsets() else {
        bail!("elements of a tensor that is not contiguous")
    };
    match &*storage {
        Storage::Cpu(CpuStorage::F32(_)) => Ok(Elements { storage, range }),
        _ => bail!("elements of a tensor that is not f32 on the CPU"),
    }
}

impl Deref for Elements<'_> {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        match &*self.storage {
            Storage::Cpu(CpuStorage::F32(data)) => &data[self.range.0..self.range.1],
            _ => unreachable!("checked when the view was made"),
        }
    }
}

/// The elements of an argument of a forward pass.
fn argument<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&storage.as_slice::<f32>()?[start..end]),
        None => bail!("an operation was given a tensor that is not contiguous"),
    }
}

/// A new tensor over `data`.
fn tensor(data: Vec<f32>, shape: impl Into<Shape>) -> Result<Tensor> {
    Tensor::from_vec(data, shape.into(), &Device::Cpu)
}

/// The result of a forward pass.
fn output(data: Vec<f32>, shape: impl Into<Shape>) -> (CpuStorage, Shape) {
    (CpuStorage::F32(data), shape.into())
}
