//! Stretches of a tensor, of equal lengths one after another, each with a factor of its own.

use candle_core::Result;

use super::{elements, tensor};
use crate::simd::{dot, vectorised};
use crate::tensor::Tensor;

/// Each stretch of `x` times its factor.
pub(crate) fn scaled(x: &Tensor, factors: &[f32]) -> Result<Tensor> {
    let width = x.elem_count() / factors.len().max(1);
    if let Tensor::Device(array) = x {
        let (device, xs) = (array.device(), array.numbers());
        let factors_there = device.ask(|gpu| gpu.upload(factors))?;
        return device
            .make(x.dims(), |gpu, y| gpu.scale_rows([factors.len(), width], &xs, &factors_there, y));
    }
    let mut y = elements(x)?.to_vec();
    vectorised(
        #[inline(always)]
        || {
            for (stretch, factor) in y.chunks_exact_mut(width).zip(factors) {
                stretch.iter_mut().for_each(|y| *y *= factor);
            }
        },
    );
    tensor(y, x.shape())
}

/// Σ a·b of each of `count` stretches of two tensors of one shape.
pub(crate) fn dots(a: &Tensor, b: &Tensor, count: usize) -> Result<Vec<f32>> {
    let width = a.elem_count() / count.max(1);
    if let (Tensor::Device(x), Tensor::Device(y)) = (a, b) {
        let (xs, ys) = (x.numbers(), y.numbers());
        return x.device().make(&[count], |gpu, sums| gpu.dot_rows([count, width], &xs, &ys, sums))?.to_vec();
    }
    let (a, b) = (elements(a)?, elements(b)?);
    Ok(vectorised(
        #[inline(always)]
        || a.chunks_exact(width).zip(b.chunks_exact(width)).map(|(a, b)| dot(a, b)).collect(),
    ))
}
