//! A bias on every row: y = x + b, ∂x = ∂y, ∂b = Σ over rows of ∂y.

use candle_core::Result;
use flow_kernels::gpu::{Rounding, Stored};

use super::{elements, tensor};
use crate::simd::vectorised;
use crate::tape::{Node, Tape};
use crate::tensor::Tensor;

/// `x` (N, C) plus the bias (C).
pub(crate) fn bias(tape: &mut Tape, x: &Node, bias: &Node) -> Result<Node> {
    let y = shifted(&x.value, &bias.value)?;
    if !bias.learns {
        return Ok(tape.push(y, [x], |dy| Ok([dy.clone()])));
    }
    Ok(tape.push(y, [x, bias], |dy| Ok([dy.clone(), row_sum(dy)?])))
}

fn shifted(x: &Tensor, bias: &Tensor) -> Result<Tensor> {
    let (rows, width) = x.dims2()?;
    if let (Tensor::Device(array), Tensor::Device(b)) = (x, bias) {
        let (device, xs, bs) = (array.device(), array.numbers(), b.numbers());
        let ones = device.ask(|gpu| gpu.upload(&vec![1.0; rows]))?;
        return device.make(x.dims(), |gpu, y| {
            let (ones, bs) = ((&ones, Stored::Plain), (&*bs, Stored::Plain));
            gpu.product([rows, 1, width], ones, bs, Rounding::None, y)?;
            gpu.add_columns([rows, width], 0, width, 1.0, &xs, y)
        });
    }
    let (mut y, b) = (elements(x)?.to_vec(), elements(bias)?);
    vectorised(
        #[inline(always)]
        || y.chunks_exact_mut(width).for_each(|row| add(&b, row)),
    );
    tensor(y, x.shape())
}

/// The sum of all rows.
fn row_sum(x: &Tensor) -> Result<Tensor> {
    let (rows, width) = x.dims2()?;
    if let Tensor::Device(array) = x {
        let (device, xs) = (array.device(), array.numbers());
        let ones = device.ask(|gpu| gpu.upload(&vec![1.0; rows]))?;
        return device.make(&[width], |gpu, sum| {
            let (ones, xs) = ((&ones, Stored::Plain), (&*xs, Stored::Plain));
            gpu.product([1, rows, width], ones, xs, Rounding::None, sum)
        });
    }
    let (xs, mut sum) = (elements(x)?, vec![0.0; width]);
    vectorised(
        #[inline(always)]
        || xs.chunks_exact(width).for_each(|row| add(row, &mut sum)),
    );
    tensor(sum, width)
}

#[inline(always)]
fn add(from: &[f32], to: &mut [f32]) {
    to.iter_mut().zip(from).for_each(|(to, from)| *to += from);
}
