//! What a low-rank adapter adds to a product: y' = y + s·(x·aᵀ)·bᵀ in some of its columns.
//!
//! With ∂v the part of ∂y' in these columns, times s, and u = x·aᵀ: ∂b = ∂vᵀ·u, ∂u = ∂v·b, ∂a = ∂uᵀ·x, ∂x = ∂u·a, ∂y = ∂y'.

use std::ops::Range;

use candle_core::Result;

use super::{elements, tensor};
use crate::matmul::{Kind, matmul, matmul_at, matmul_bt};
use crate::tape::{Node, Tape};
use crate::tensor::Tensor;

/// `y` (N, out) plus `scale` · `x` (N, in) · `a`ᵀ · `b`ᵀ, with `a` (r, in) and `b` (columns, r), from the column `first` on; where rows are in
/// groups, each by those of its group out of stacks.
pub(crate) fn adapt(
    tape: &mut Tape,
    y: &Node,
    x: &Node,
    [a, b]: [&Node; 2],
    (first, scale): (usize, f32),
    kind: &Kind,
) -> Result<Node> {
    let (xs, a_s, bs, kind) = (x.kept(), a.value.clone(), b.value.clone(), kind.clone());
    let u = matmul_bt(&x.value, &a_s, &kind)?;
    let v = matmul_bt(&u, &bs, &kind)?;
    let op = Adapt { columns: first..first + v.dims2()?.1, scale };
    let value = op.forward(&y.value, &v)?;
    Ok(tape.push(value, [y, x, a, b], move |dy| {
        let dv = op.columns(dy)?;
        let du = matmul(&dv, &bs, &kind)?;
        let (da, db) = (matmul_at(&du, &xs.value()?, &kind)?, matmul_at(&dv, &u, &kind)?);
        Ok([dy.clone(), matmul(&du, &a_s, &kind)?, da, db])
    }))
}

struct Adapt {
    columns: Range<usize>,
    scale: f32,
}

impl Adapt {
    fn forward(&self, y: &Tensor, v: &Tensor) -> Result<Tensor> {
        let (rows, width) = y.dims2()?;
        if let (Tensor::Device(array), Tensor::Device(more)) = (y, v) {
            let (ys, vs) = (array.numbers(), more.numbers());
            return array.device().make(y.dims(), |gpu, sum| {
                gpu.copy(rows * width, &ys, sum)?;
                gpu.add_columns([rows, width], self.columns.start, self.columns.len(), self.scale, &vs, sum)
            });
        }
        let (mut sum, v) = (elements(y)?.to_vec(), elements(v)?);
        for (row, v) in sum.chunks_exact_mut(width).zip(v.chunks_exact(self.columns.len())) {
            row[self.columns.clone()].iter_mut().zip(v).for_each(|(y, v)| *y += self.scale * v);
        }
        tensor(sum, y.shape())
    }

    /// The columns of `dy`, times the scale.
    fn columns(&self, dy: &Tensor) -> Result<Tensor> {
        let (rows, width) = dy.dims2()?;
        if let Tensor::Device(array) = dy {
            let (dys, columns) = (array.numbers(), self.columns.len());
            return array.device().make(&[rows, columns], |gpu, dv| {
                gpu.take_columns([rows, width], self.columns.start, columns, self.scale, &dys, dv)
            });
        }
        let dy = elements(dy)?;
        let columns = dy.chunks_exact(width).flat_map(|row| &row[self.columns.clone()]);
        tensor(columns.map(|d| self.scale * d).collect(), (rows, self.columns.len()))
    }
}
