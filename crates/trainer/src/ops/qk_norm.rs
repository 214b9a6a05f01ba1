//! RMSNorm of the queries and of the keys in rows that hold queries, keys and values side by side; the values stay as they are.
//!
//! A weight as long as a head norms each head by itself, one as long as the projection all heads together.

use std::ops::Range;

use candle_core::Result;

use super::rms_norm::RmsNorm;
use super::{elements, tensor};
use crate::device::Array;
use crate::simd::vectorised;
use crate::tape::{Node, Tape};
use crate::tensor::Tensor;

/// `rows` (N, W) whose first columns are so many of queries and then so many of keys, each normed by its weight.
pub(crate) fn qk_norm(
    tape: &mut Tape,
    rows: &Node,
    weights: [&Node; 2],
    [query, key]: [usize; 2],
    eps: f64,
) -> Result<Node> {
    let op = QkNorm { norm: RmsNorm::new(eps), columns: [0..query, query..query + key] };
    let (xs, ws) = (rows.value.clone(), weights.map(|weight| weight.value.clone()));
    let y = op.forward(&xs, &ws)?;
    Ok(tape.push(y, [rows, weights[0], weights[1]], move |dy| op.backward(&xs, &ws, dy)))
}

struct QkNorm {
    norm: RmsNorm,
    /// Of queries, and of keys.
    columns: [Range<usize>; 2],
}

impl QkNorm {
    fn forward(&self, x: &Tensor, weights: &[Tensor; 2]) -> Result<Tensor> {
        if let Tensor::Device(array) = x {
            let y = copy(array)?;
            for (columns, weight) in self.columns.iter().zip(weights) {
                let part = part(array, columns, weight)?;
                replace(&y, columns, [&part, &self.norm.forward(&part, weight)?])?;
            }
            return Ok(y);
        }
        let (xs, width) = (elements(x)?, x.dims2()?.1);
        let (weights, mut y) = ([elements(&weights[0])?, elements(&weights[1])?], xs.to_vec());
        vectorised(
            #[inline(always)]
            || {
                for (x, y) in xs.chunks_exact(width).zip(y.chunks_exact_mut(width)) {
                    for (columns, weight) in self.columns.iter().zip(&weights) {
                        self.norm.rows(&x[columns.clone()], weight, &mut y[columns.clone()]);
                    }
                }
            },
        );
        tensor(y, x.shape())
    }

    fn backward(&self, x: &Tensor, weights: &[Tensor; 2], dy: &Tensor) -> Result<[Tensor; 3]> {
        if let (Tensor::Device(x), Tensor::Device(dy)) = (x, dy) {
            let dx = copy(dy)?;
            let d_weight = |at: usize| -> Result<Tensor> {
                let (columns, weight) = (&self.columns[at], &weights[at]);
                let (part, d_part) = (part(x, columns, weight)?, part(dy, columns, weight)?);
                let [back, d_weight] = self.norm.backward(&part, weight, &d_part)?;
                replace(&dx, columns, [&d_part, &back]).map(|()| d_weight)
            };
            let d_weights = (d_weight(0)?, d_weight(1)?);
            return Ok([dx, d_weights.0, d_weights.1]);
        }
        let (xs, dys, width) = (elements(x)?, elements(dy)?, x.dims2()?.1);
        let ws = [elements(&weights[0])?, elements(&weights[1])?];
        let (mut dx, mut dws) = (dys.to_vec(), [vec![0.0; ws[0].len()], vec![0.0; ws[1].len()]]);
        vectorised(
            #[inline(always)]
            || {
                let rows = xs.chunks_exact(width).zip(dys.chunks_exact(width));
                for ((x, dy), dx) in rows.zip(dx.chunks_exact_mut(width)) {
                    for ((at, w), dw) in self.columns.iter().zip(&ws).zip(&mut dws) {
                        self.norm.rows_back(&x[at.clone()], w, &dy[at.clone()], &mut dx[at.clone()], dw);
                    }
                }
            },
        );
        let [query, key] = dws;
        Ok([tensor(dx, x.shape())?, tensor(query, weights[0].shape())?, tensor(key, weights[1].shape())?])
    }
}

/// A copy on the same device.
fn copy(x: &Array) -> Result<Tensor> {
    let (xs, count) = (x.numbers(), x.dims().iter().product());
    x.device().make(x.dims(), |gpu, y| gpu.copy(count, &xs, y))
}

/// These columns of `x` (N, W), in rows as long as the weight.
fn part(x: &Array, columns: &Range<usize>, weight: &Tensor) -> Result<Tensor> {
    let (dims, xs, length) = (x.dims(), x.numbers(), weight.elem_count());
    let rows = dims[0] * columns.len() / length;
    x.device().make(&[rows, length], |gpu, part| {
        gpu.take_columns([dims[0], dims[1]], columns.start, columns.len(), 1.0, &xs, part)
    })
}

/// Puts the second of two parts into these columns of `y`, which hold the first.
fn replace(y: &Tensor, columns: &Range<usize>, parts: [&Tensor; 2]) -> Result<()> {
    let [Tensor::Device(y), Tensor::Device(old), Tensor::Device(new)] = [y, parts[0], parts[1]] else {
        candle_core::bail!("columns of a tensor on a device and numbers that are not there")
    };
    let (extents, olds, news) = ([y.dims()[0], y.dims()[1]], old.numbers(), new.numbers());
    y.change(|gpu, y| {
        // What is taken away leaves zeros.
        gpu.add_columns(extents, columns.start, columns.len(), -1.0, &olds, y)?;
        gpu.add_columns(extents, columns.start, columns.len(), 1.0, &news, y)
    })
}
