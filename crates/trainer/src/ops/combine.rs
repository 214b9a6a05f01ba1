//! The way back from experts to tokens: y_n = Σ_k w_nk · x_row(n,k), in the order of k.

use std::sync::Arc;

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor};

use super::router::Routing;
use super::{argument, elements, output, tensor};
use crate::simd::{dot, vectorised};

/// Expert outputs `x` (N·K, C), sorted by expert, weighted by `weights` (N, K), to (N, C).
pub(crate) fn combine(x: &Tensor, weights: &Tensor, routing: Arc<Routing>) -> Result<Tensor> {
    x.apply_op2(weights, Combine { routing })
}

struct Combine {
    routing: Arc<Routing>,
}

impl Combine {
    #[inline(always)]
    fn forward(&self, width: usize, x: &[f32], weights: &[f32], y: &mut [f32]) {
        for (visit, (row, weight)) in self.routing.rows.iter().zip(weights).enumerate() {
            let x = &x[*row as usize * width..][..width];
            let y = &mut y[visit / self.routing.per_token * width..][..width];
            for (y, x) in y.iter_mut().zip(x) {
                *y += weight * x;
            }
        }
    }

    #[inline(always)]
    fn backward(&self, width: usize, x: &[f32], weights: &[f32], dy: &[f32], dx: &mut [f32], dw: &mut [f32]) {
        for (visit, (row, weight)) in self.routing.rows.iter().zip(weights).enumerate() {
            let at = *row as usize * width;
            let dy = &dy[visit / self.routing.per_token * width..][..width];
            dw[visit] = dot(&x[at..][..width], dy);
            for (dx, dy) in dx[at..][..width].iter_mut().zip(dy) {
                *dx = weight * dy;
            }
        }
    }
}

impl CustomOp2 for Combine {
    fn name(&self) -> &'static str {
        "combine"
    }

    fn cpu_fwd(
        &self,
        s1: &CpuStorage,
        l1: &Layout,
        s2: &CpuStorage,
        l2: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (_, width) = l1.shape().dims2()?;
        let (x, weights) = (argument(s1, l1)?, argument(s2, l2)?);
        let mut y = vec![0.0; self.routing.n_tokens() * width];
        vectorised(|| self.forward(width, x, weights, &mut y));
        Ok(output(y, (self.routing.n_tokens(), width)))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weights: &Tensor,
        _: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let dy = dy.contiguous()?;
        let (xs, ws, dys) = (elements(x)?, elements(weights)?, elements(&dy)?);
        let (mut dx, mut dw) = (vec![0.0; xs.len()], vec![0.0; ws.len()]);
        let (_, width) = x.dims2()?;
        vectorised(|| self.backward(width, &xs, &ws, &dys, &mut dx, &mut dw));
        Ok((Some(tensor(dx, x.shape())?), Some(tensor(dw, weights.shape())?)))
    }
}
