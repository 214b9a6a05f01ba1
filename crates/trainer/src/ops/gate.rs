//! A sigmoid gate on whole rows: y = σ(g)·x. With s = σ(g): ∂x = s·∂y, ∂g = s·(1 − s)·Σ x∂y.

use candle_core::{Result, Tensor};

use super::{elements, tensor};
use crate::simd::{dot, sigmoid, vectorised};
use crate::tape::{Node, Tape};

/// `x` (N, C) opened by `gate` (N, 1).
pub(crate) fn gate(tape: &mut Tape, x: &Node, gate: &Node) -> Result<Node> {
    let (xs, gates) = (x.value.clone(), gate.value.clone());
    let y = forward(&xs, &gates)?;
    Ok(tape.push(y, [x, gate], move |dy| backward(&xs, &gates, dy)))
}

fn forward(x: &Tensor, gates: &Tensor) -> Result<Tensor> {
    let (_, width) = x.dims2()?;
    let (mut y, gates) = (elements(x)?.to_vec(), elements(gates)?);
    vectorised(
        #[inline(always)]
        || rows(width, &gates, &mut y),
    );
    tensor(y, x.shape())
}

fn backward(x: &Tensor, gates: &Tensor, dy: &Tensor) -> Result<[Tensor; 2]> {
    let (n, width) = x.dims2()?;
    let (xs, gs) = (elements(x)?, elements(gates)?);
    let (mut dx, mut d_gates) = (elements(dy)?.to_vec(), vec![0.0; n]);
    vectorised(
        #[inline(always)]
        || rows_back(width, &xs, &gs, &mut dx, &mut d_gates),
    );
    Ok([tensor(dx, x.shape())?, tensor(d_gates, gates.shape())?])
}

/// `y` holds x.
#[inline(always)]
fn rows(width: usize, gates: &[f32], y: &mut [f32]) {
    for (row, g) in y.chunks_exact_mut(width).zip(gates) {
        let s = sigmoid(*g);
        row.iter_mut().for_each(|y| *y *= s);
    }
}

/// `dx` holds ∂y.
#[inline(always)]
fn rows_back(width: usize, x: &[f32], gates: &[f32], dx: &mut [f32], d_gates: &mut [f32]) {
    let rows = x.chunks_exact(width).zip(dx.chunks_exact_mut(width));
    for (((x, dx), g), d_gate) in rows.zip(gates).zip(d_gates) {
        let s = sigmoid(*g);
        *d_gate = s * (1.0 - s) * dot(x, dx);
        dx.iter_mut().for_each(|dx| *dx *= s);
    }
}
