//! RMSNorm: y = w · x / √(mean(x²) + ε), each row by itself.
//!
//! With r = 1/√(mean(x²) + ε): ∂x = r·w·∂y − x · r³/C · Σ(w·∂y·x), ∂w = Σ over rows of ∂y·x·r.

use candle_core::Result;

use super::{elements, tensor};
use crate::simd::{dot, vectorised};
use crate::tape::{Node, Tape};
use crate::tensor::Tensor;

/// `x` (N, C) scaled by the weight (C).
pub(crate) fn rms_norm(tape: &mut Tape, x: &Node, weight: &Node, eps: f64) -> Result<Node> {
    let norm = RmsNorm::new(eps);
    let (xs, ws) = (x.value.clone(), weight.value.clone());
    let y = norm.forward(&xs, &ws)?;
    let again = (xs.clone(), ws.clone());
    let y = tape.push(y, [x, weight], move |dy| norm.backward(&xs, &ws, dy));
    Ok(y.computed(move || norm.forward(&again.0, &again.1)))
}

/// The norm, of any rows.
#[derive(Clone, Copy)]
pub(super) struct RmsNorm {
    eps: f32,
}

impl RmsNorm {
    pub(super) fn new(eps: f64) -> Self {
        Self { eps: eps as f32 }
    }

    pub(super) fn forward(&self, x: &Tensor, weight: &Tensor) -> Result<Tensor> {
        if let (Tensor::Device(array), Tensor::Device(w)) = (x, weight) {
            let ((rows, width), xs, ws) = (x.dims2()?, array.numbers(), w.numbers());
            return array.device().make(x.dims(), |gpu, y| gpu.norm([rows, width], self.eps, &xs, &ws, y));
        }
        let (xs, ws) = (elements(x)?, elements(weight)?);
        let mut y = vec![0.0; xs.len()];
        vectorised(
            #[inline(always)]
            || self.rows(&xs, &ws, &mut y),
        );
        tensor(y, x.shape())
    }

    pub(super) fn backward(&self, x: &Tensor, weight: &Tensor, dy: &Tensor) -> Result<[Tensor; 2]> {
        if let (Tensor::Device(array), Tensor::Device(w), Tensor::Device(d)) = (x, weight, dy) {
            let ((rows, width), xs, ws, dys) = (x.dims2()?, array.numbers(), w.numbers(), d.numbers());
            return array.device().make_all([x.dims(), weight.dims()], |gpu, [dx, dw]| {
                gpu.norm_back([rows, width], self.eps, &xs, &ws, &dys, dx, dw)
            });
        }
        let (xs, ws, dys) = (elements(x)?, elements(weight)?, elements(dy)?);
        let (mut dx, mut dw) = (vec![0.0; xs.len()], vec![0.0; ws.len()]);
        vectorised(
            #[inline(always)]
            || self.rows_back(&xs, &ws, &dys, &mut dx, &mut dw),
        );
        Ok([tensor(dx, x.shape())?, tensor(dw, weight.shape())?])
    }

    #[inline(always)]
    fn inverse_rms(&self, row: &[f32]) -> f32 {
        1.0 / (dot(row, row) / row.len() as f32 + self.eps).sqrt()
    }

    /// Rows as long as the weight.
    #[inline(always)]
    pub(super) fn rows(&self, x: &[f32], weight: &[f32], y: &mut [f32]) {
        let width = weight.len();
        for (x, y) in x.chunks_exact(width).zip(y.chunks_exact_mut(width)) {
            let r = self.inverse_rms(x);
            for ((y, x), w) in y.iter_mut().zip(x).zip(weight) {
                *y = w * (x * r);
            }
        }
    }

    /// Writes the gradient of rows as long as the weight, and adds to that of the weight.
    #[inline(always)]
    pub(super) fn rows_back(&self, x: &[f32], weight: &[f32], dy: &[f32], dx: &mut [f32], dw: &mut [f32]) {
        let width = weight.len();
        for ((x, dy), dx) in x.chunks_exact(width).zip(dy.chunks_exact(width)).zip(dx.chunks_exact_mut(width))
        {
            let r = self.inverse_rms(x);
            for ((dx, dy), w) in dx.iter_mut().zip(dy).zip(weight) {
                *dx = dy * w;
            }
            let along = dot(dx, x) * r * r * r / width as f32;
            for (((dx, x), dy), dw) in dx.iter_mut().zip(x).zip(dy).zip(dw.iter_mut()) {
                *dx = *dx * r - x * along;
                *dw += dy * (x * r);
            }
        }
    }
}
