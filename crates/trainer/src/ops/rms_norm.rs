//! RMSNorm: y = w · x / √(mean(x²) + ε), each row by itself.
//!
//! With r = 1/√(mean(x²) + ε): ∂x = r·w·∂y − x · r³/C · Σ(w·∂y·x), ∂w = Σ over rows of ∂y·x·r.

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor};

use super::{argument, elements, output, tensor};
use crate::simd::{dot, vectorised};

/// `x` (N, C) scaled by the weight (C).
pub(crate) fn rms_norm(x: &Tensor, weight: &Tensor, eps: f64) -> Result<Tensor> {
    x.apply_op2(weight, RmsNorm { eps: eps as f32 })
}

struct RmsNorm {
    eps: f32,
}

impl RmsNorm {
    #[inline(always)]
    fn inverse_rms(&self, row: &[f32]) -> f32 {
        1.0 / (dot(row, row) / row.len() as f32 + self.eps).sqrt()
    }

    #[inline(always)]
    fn forward(&self, x: &[f32], weight: &[f32], y: &mut [f32]) {
        let width = weight.len();
        for (x, y) in x.chunks_exact(width).zip(y.chunks_exact_mut(width)) {
            let r = self.inverse_rms(x);
            for ((y, x), w) in y.iter_mut().zip(x).zip(weight) {
                *y = w * (x * r);
            }
        }
    }

    #[inline(always)]
    fn backward(&self, x: &[f32], weight: &[f32], dy: &[f32], dx: &mut [f32], dw: &mut [f32]) {
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

impl CustomOp2 for RmsNorm {
    fn name(&self) -> &'static str {
        "rms-norm"
    }

    fn cpu_fwd(
        &self,
        s1: &CpuStorage,
        l1: &Layout,
        s2: &CpuStorage,
        l2: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (x, weight) = (argument(s1, l1)?, argument(s2, l2)?);
        let mut y = vec![0.0; x.len()];
        vectorised(|| self.forward(x, weight, &mut y));
        Ok(output(y, l1.shape()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        _: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let dy = dy.contiguous()?;
        let (xs, ws, dys) = (elements(x)?, elements(weight)?, elements(&dy)?);
        let (mut dx, mut dw) = (vec![0.0; xs.len()], vec![0.0; ws.len()]);
        vectorised(|| self.backward(&xs, &ws, &dys, &mut dx, &mut dw));
        Ok((Some(tensor(dx, x.shape())?), Some(tensor(dw, weight.shape())?)))
    }
}
