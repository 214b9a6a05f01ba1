//! What a low-rank adapter adds to a product: y' = y + s·(x·aᵀ)·bᵀ in some of its columns.
//!
//! With ∂v the part of ∂y' in these columns, times s, and u = x·aᵀ: ∂b = ∂vᵀ·u, ∂u = ∂v·b, ∂a = ∂uᵀ·x, ∂x = ∂u·a, ∂y = ∂y'.

use std::ops::Range;

use candle_core::{Result, Tensor};

use super::{elements, tensor};
use crate::matmul::{matmul, matmul_at, matmul_bt};
use crate::tape::{Node, Tape};

/// `y` (N, out) plus `scale` · `x` (N, in) · `a`ᵀ · `b`ᵀ, with `a` (r, in) and `b` (columns, r), from the column `first` on.
pub(crate) fn adapt(
    tape: &mut Tape,
    y: &Node,
    x: &Node,
    [a, b]: [&Node; 2],
    first: usize,
    scale: f32,
) -> Result<Node> {
    let op = Adapt { columns: first..first + b.value.dim(0)?, scale };
    let (xs, a_s, bs) = (x.kept(), a.value.clone(), b.value.clone());
    let u = matmul_bt(&x.value, &a_s)?;
    let value = op.forward(&y.value, &matmul_bt(&u, &bs)?)?;
    Ok(tape.push(value, [y, x, a, b], move |dy| {
        let dv = op.columns(dy)?;
        let du = matmul(&dv, &bs)?;
        Ok([dy.clone(), matmul(&du, &a_s)?, matmul_at(&du, &xs.value()?)?, matmul_at(&dv, &u)?])
    }))
}

struct Adapt {
    columns: Range<usize>,
    scale: f32,
}

impl Adapt {
    fn forward(&self, y: &Tensor, v: &Tensor) -> Result<Tensor> {
        let (_, width) = y.dims2()?;
        let (mut sum, v) = (elements(y)?.to_vec(), elements(v)?);
        for (row, v) in sum.chunks_exact_mut(width).zip(v.chunks_exact(self.columns.len())) {
            row[self.columns.clone()].iter_mut().zip(v).for_each(|(y, v)| *y += self.scale * v);
        }
        tensor(sum, y.shape())
    }

    /// The columns of `dy`, times the scale.
    fn columns(&self, dy: &Tensor) -> Result<Tensor> {
        let (rows, width) = dy.dims2()?;
        let dy = elements(dy)?;
        let columns = dy.chunks_exact(width).flat_map(|row| &row[self.columns.clone()]);
        tensor(columns.map(|d| self.scale * d).collect(), (rows, self.columns.len()))
    }
}
