//! SwiGLU: y = silu(g) · u for rows that hold g and u side by side.
//!
//! With s = σ(g): ∂g = ∂y·u·s·(1 + g·(1 − s)), ∂u = ∂y·g·s.

use candle_core::Result;

use super::{elements, tensor};
use crate::simd::{sigmoid, vectorised};
use crate::tape::{Node, Tape};
use crate::tensor::Tensor;

/// (N, 2F) with the gates in the first half of each row to (N, F).
pub(crate) fn swiglu(tape: &mut Tape, x: &Node) -> Result<Node> {
    let xs = x.value.clone();
    let y = forward(&xs)?;
    let again = xs.clone();
    Ok(tape.push(y, [x], move |dy| Ok([backward(&xs, dy)?])).computed(move || forward(&again)))
}

fn forward(x: &Tensor) -> Result<Tensor> {
    let (n, double) = x.dims2()?;
    if let Tensor::Device(array) = x {
        let xs = array.numbers();
        return array.device().make(&[n, double / 2], |gpu, y| gpu.swiglu([n, double / 2], &xs, y));
    }
    let xs = elements(x)?;
    let mut y = vec![0.0; n * double / 2];
    vectorised(
        #[inline(always)]
        || rows(double / 2, &xs, &mut y),
    );
    tensor(y, (n, double / 2))
}

fn backward(x: &Tensor, dy: &Tensor) -> Result<Tensor> {
    let (n, width) = dy.dims2()?;
    if let (Tensor::Device(array), Tensor::Device(d)) = (x, dy) {
        let (xs, dys) = (array.numbers(), d.numbers());
        return array.device().make(x.dims(), |gpu, dx| gpu.swiglu_back([n, width], &xs, &dys, dx));
    }
    let (xs, dys) = (elements(x)?, elements(dy)?);
    let mut dx = vec![0.0; xs.len()];
    vectorised(
        #[inline(always)]
        || rows_back(width, &xs, &dys, &mut dx),
    );
    tensor(dx, x.shape())
}

#[inline(always)]
fn rows(width: usize, x: &[f32], y: &mut [f32]) {
    for (x, y) in x.chunks_exact(2 * width).zip(y.chunks_exact_mut(width)) {
        let (gate, up) = x.split_at(width);
        for ((y, g), u) in y.iter_mut().zip(gate).zip(up) {
            *y = g * sigmoid(*g) * u;
        }
    }
}

#[inline(always)]
fn rows_back(width: usize, x: &[f32], dy: &[f32], dx: &mut [f32]) {
    for ((x, dy), dx) in
        x.chunks_exact(2 * width).zip(dy.chunks_exact(width)).zip(dx.chunks_exact_mut(2 * width))
    {
        let (gate, up) = x.split_at(width);
        let (d_gate, d_up) = dx.split_at_mut(width);
        // Two loops: with one, the compiler gives up on proving that five slices do not overlap.
        for (((dg, g), u), dy) in d_gate.iter_mut().zip(gate).zip(up).zip(dy) {
            let s = sigmoid(*g);
            *dg = dy * u * s * (1.0 + g * (1.0 - s));
        }
        for ((du, g), dy) in d_up.iter_mut().zip(gate).zip(dy) {
            *du = dy * g * sigmoid(*g);
        }
    }
}
