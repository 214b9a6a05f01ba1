//! Linear layers over weights in Hugging Face's layout (out, in): y = x·wᵀ, ∂x = ∂y·w, ∂w = ∂yᵀ·x.
//!
//! The product for ∂w is left out where w does not learn.
//!
//! [`grouped_linear`] gives each run of rows its own weight: rows sorted by expert, one product per expert with rows.

use std::sync::Arc;

use candle_core::{Result, Tensor};

use super::{elements, tensor};
use crate::tape::{Node, Tape};

/// `x` (N, in) times the transposed weight (out, in), to (N, out).
pub(crate) fn linear(tape: &mut Tape, x: &Node, weight: &Node) -> Result<Node> {
    let (xs, ws) = (x.value.clone(), weight.value.clone());
    let y = xs.matmul(&ws.t()?)?;
    if !weight.learns {
        return Ok(tape.push(y, [x], move |dy| Ok([dy.matmul(&ws)?])));
    }
    Ok(tape.push(y, [x, weight], move |dy| Ok([dy.matmul(&ws)?, dy.t()?.matmul(&xs)?])))
}

/// Rows `offsets[e]..offsets[e + 1]` of `x` (S, in) times the transposed `weights[e]` of (E, out, in), to (S, out).
pub(crate) fn grouped_linear(
    tape: &mut Tape,
    x: &Node,
    weights: &Node,
    offsets: Arc<[usize]>,
) -> Result<Node> {
    let op = Grouped { offsets };
    let (xs, ws) = (x.value.clone(), weights.value.clone());
    let y = op.forward(&xs, &ws)?;
    Ok(tape.push(y, [x, weights], move |dy| op.backward(&xs, &ws, dy)))
}

struct Grouped {
    offsets: Arc<[usize]>,
}

impl Grouped {
    fn forward(&self, x: &Tensor, weights: &Tensor) -> Result<Tensor> {
        let ((total, _), (_, columns, _)) = (x.dims2()?, weights.dims3()?);
        let mut y = vec![0.0; total * columns];
        for (e, start, rows) in self.groups() {
            let part = x.narrow(0, start, rows)?.matmul(&weights.get(e)?.t()?)?;
            y[start * columns..][..rows * columns].copy_from_slice(&elements(&part)?);
        }
        tensor(y, (total, columns))
    }

    fn backward(&self, x: &Tensor, weights: &Tensor, dy: &Tensor) -> Result<[Tensor; 2]> {
        let ((total, inner), (experts, columns, _)) = (x.dims2()?, weights.dims3()?);
        let (mut dx, mut dw) = (vec![0.0; total * inner], vec![0.0; experts * columns * inner]);
        for (e, start, rows) in self.groups() {
            let dy = dy.narrow(0, start, rows)?;
            let part = dy.matmul(&weights.get(e)?)?;
            dx[start * inner..][..rows * inner].copy_from_slice(&elements(&part)?);
            let part = dy.t()?.matmul(&x.narrow(0, start, rows)?)?;
            dw[e * columns * inner..][..columns * inner].copy_from_slice(&elements(&part)?);
        }
        Ok([tensor(dx, x.shape())?, tensor(dw, weights.shape())?])
    }

    /// Expert, first row and number of rows, where there are rows.
    fn groups(&self) -> impl Iterator<Item = (usize, usize, usize)> {
        let runs = self.offsets.windows(2).enumerate();
        runs.map(|(e, run)| (e, run[0], run[1] - run[0])).filter(|(_, _, rows)| *rows > 0)
    }
}
