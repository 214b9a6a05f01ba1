//! Rows by index: embeddings of tokens, scored positions, tokens sorted by expert.

use candle_core::Result;

use super::{elements, tensor};
use crate::simd::vectorised;
use crate::tape::{Node, Tape};
use crate::tensor::Tensor;

/// Rows `indices` of `x` (R, C), to (number of indices, C). A row taken twice collects both gradients, in order.
pub(crate) fn gather(tape: &mut Tape, x: &Node, indices: &[u32]) -> Result<Node> {
    let (rows, width) = x.value.dims2()?;
    let y = rows_at(&x.value, indices)?;
    let indices = indices.to_vec();
    Ok(tape.push(y, [x], move |dy| {
        if let Tensor::Device(array) = dy {
            let (device, dys) = (array.device(), array.numbers());
            let places = device.ask(|gpu| gpu.scatter_places(&indices, rows))?;
            return Ok([device.make(&[rows, width], |gpu, dx| gpu.scatter(width, &places, &dys, dx))?]);
        }
        let mut dx = vec![0.0; rows * width];
        let dy = elements(dy)?;
        vectorised(
            #[inline(always)]
            || scatter_add(width, &indices, &dy, &mut dx),
        );
        Ok([tensor(dx, (rows, width))?])
    }))
}

fn rows_at(x: &Tensor, indices: &[u32]) -> Result<Tensor> {
    let (held, width) = x.dims2()?;
    if let Tensor::Device(array) = x {
        let (device, xs) = (array.device(), array.numbers());
        let index = device.indices(indices)?;
        return device.make(&[indices.len(), width], |gpu, y| {
            gpu.gather(indices.len(), (&xs, held), &index, width, y)
        });
    }
    let xs = elements(x)?;
    let mut y = Vec::with_capacity(indices.len() * width);
    for i in indices {
        y.extend_from_slice(&xs[*i as usize * width..][..width]);
    }
    tensor(y, (indices.len(), width))
}

#[inline(always)]
fn scatter_add(width: usize, indices: &[u32], dy: &[f32], dx: &mut [f32]) {
    for (i, dy) in indices.iter().zip(dy.chunks_exact(width)) {
        for (dx, dy) in dx[*i as usize * width..][..width].iter_mut().zip(dy) {
            *dx += dy;
        }
    }
}
