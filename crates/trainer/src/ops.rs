//! Differentiable operations with hand-written backward passes, and access to the numbers inside a tensor.
//!
//! Products are a library's (`matmul`); the rest are loops over contiguous f32 on the CPU, and launches of their twins where the
//! operands are on a device. Every backward pass is checked against finite differences, every twin against its loop.

pub(crate) mod adapt;
pub(crate) mod attention;
pub(crate) mod bias;
pub(crate) mod bounds;
pub(crate) mod combine;
pub(crate) mod gate;
pub(crate) mod gated;
pub(crate) mod gather;
pub(crate) mod linear;
pub(crate) mod loss;
pub(crate) mod qk_norm;
pub(crate) mod rms_norm;
pub(crate) mod router;
pub(crate) mod scale;
pub(crate) mod soft_mixture;
pub(crate) mod stretches;
pub(crate) mod ternary;

#[cfg(test)]
mod differences;

use std::cell::Cell;
use std::ops::Deref;

use candle_core::{CpuStorage, InplaceOp1, Layout, Result, Shape, Storage, StorageRef, bail};

use crate::simd::vectorised;
use crate::tape::{Node, Tape};
use crate::tensor::Tensor;

/// `a + b`, of equal shapes.
pub(crate) fn add(tape: &mut Tape, a: &Node, b: &Node) -> Result<Node> {
    let value = sum(&a.value, &b.value)?;
    Ok(tape.push(value, [a, b], |gradient| Ok([gradient.clone(), gradient.clone()])))
}

/// `a + b`, not recorded.
pub(crate) fn sum(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    if let (Tensor::Device(x), Tensor::Device(y)) = (a, b) {
        let (xs, ys, count) = (x.numbers(), y.numbers(), a.elem_count());
        return x.device().make(a.dims(), |gpu, total| gpu.sum(count, &xs, &ys, total));
    }
    let (xs, ys) = (elements(a)?, elements(b)?);
    let total = vectorised(
        #[inline(always)]
        || xs.iter().zip(ys.iter()).map(|(x, y)| x + y).collect(),
    );
    tensor(total, a.shape())
}

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
    let Tensor::Host(tensor) = tensor else { bail!("elements of a tensor on a device") };
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

/// Changes the elements of `tensor` in place.
///
/// # Errors
/// When it is not contiguous, not f32 or not on the CPU.
pub(crate) fn change(tensor: &Tensor, change: impl FnOnce(&mut [f32])) -> Result<()> {
    let Tensor::Host(tensor) = tensor else { bail!("a change of a tensor on a device") };
    tensor.inplace_op1(&Change { change: Cell::new(Some(change)) })
}

struct Change<F> {
    change: Cell<Option<F>>,
}

impl<F: FnOnce(&mut [f32])> InplaceOp1 for Change<F> {
    fn name(&self) -> &'static str {
        "change"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> Result<()> {
        match (storage, layout.contiguous_offsets(), self.change.take()) {
            (CpuStorage::F32(data), Some((start, end)), Some(change)) => {
                change(&mut data[start..end]);
                Ok(())
            }
            _ => bail!("a change of a tensor that is not contiguous f32"),
        }
    }
}

/// A new tensor over `data`, in the memory of this machine.
pub(crate) fn tensor(data: Vec<f32>, shape: impl Into<Shape>) -> Result<Tensor> {
    candle_core::Tensor::from_vec(data, shape.into(), &candle_core::Device::Cpu).map(Tensor::Host)
}
