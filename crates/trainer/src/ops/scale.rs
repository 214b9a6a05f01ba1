//! Numbers times a constant: y = c·x, ∂x = c·∂y.

use candle_core::Result;

use super::{elements, tensor};
use crate::simd::vectorised;
use crate::tape::{Node, Tape};
use crate::tensor::Tensor;

/// `factor` times `x` (N, C).
pub(crate) fn scale(tape: &mut Tape, x: &Node, factor: f32) -> Result<Node> {
    let y = scaled(&x.value, factor)?;
    Ok(tape.push(y, [x], move |dy| Ok([scaled(dy, factor)?])))
}

fn scaled(x: &Tensor, factor: f32) -> Result<Tensor> {
    let (rows, width) = x.dims2()?;
    if let Tensor::Device(array) = x {
        let (device, xs) = (array.device(), array.numbers());
        let factors = device.ask(|gpu| gpu.upload(&vec![factor; rows]))?;
        return device.make(x.dims(), |gpu, y| gpu.scale_rows([rows, width], &xs, &factors, y));
    }
    let xs = elements(x)?;
    let y = vectorised(
        #[inline(always)]
        || xs.iter().map(|x| factor * x).collect(),
    );
    tensor(y, x.shape())
}
