//! SwiGLU: y = silu(g) · u for rows that hold g and u side by side.
//!
//! With s = σ(g): ∂g = ∂y·u·s·(1 + g·(1 − s)), ∂u = ∂y·g·s.

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};

use super::{argument, elements, output, tensor};
use crate::simd::{sigmoid, vectorised};

/// (N, 2F) with the gates in the first half of each row to (N, F).
pub(crate) fn swiglu(x: &Tensor) -> Result<Tensor> {
    x.apply_op1(Swiglu)
}

struct Swiglu;

#[inline(always)]
fn forward(width: usize, x: &[f32], y: &mut [f32]) {
    for (x, y) in x.chunks_exact(2 * width).zip(y.chunks_exact_mut(width)) {
        let (gate, up) = x.split_at(width);
        for ((y, g), u) in y.iter_mut().zip(gate).zip(up) {
            *y = g * sigmoid(*g) * u;
        }
    }
}

#[inline(always)]
fn backward(width: usize, x: &[f32], dy: &[f32], dx: &mut [f32]) {
    for ((x, dy), dx) in
        x.chunks_exact(2 * width).zip(dy.chunks_exact(width)).zip(dx.chunks_exact_mut(2 * width))
    {
        let (gate, up) = x.split_at(width);
        let (d_gate, d_up) = dx.split_at_mut(width);
        for ((((dg, du), g), u), dy) in d_gate.iter_mut().zip(d_up).zip(gate).zip(up).zip(dy) {
            let s = sigmoid(*g);
            *dg = dy * u * s * (1.0 + g * (1.0 - s));
            *du = dy * g * s;
        }
    }
}

impl CustomOp1 for Swiglu {
    fn name(&self) -> &'static str {
        "swiglu"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (rows, double) = layout.shape().dims2()?;
        let x = argument(storage, layout)?;
        let mut y = vec![0.0; x.len() / 2];
        vectorised(|| forward(double / 2, x, &mut y));
        Ok(output(y, (rows, double / 2)))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        let dy = dy.contiguous()?;
        let (xs, dys) = (elements(x)?, elements(&dy)?);
        let mut dx = vec![0.0; xs.len()];
        let width = dy.dim(1)?;
        vectorised(|| backward(width, &xs, &dys, &mut dx));
        Ok(Some(tensor(dx, x.shape())?))
    }
}
