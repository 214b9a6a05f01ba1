//! Numbers held between bounds: softly, y = c·tanh(x/c) with ∂x = ∂y·(1 − (y/c)²), or cut off, y = x within them and the bound beyond, where
//! no gradient flows.

use candle_core::Result;

use super::{elements, tensor};
use crate::device::Array;
use crate::simd::{soft_cap_slope, soft_capped, vectorised};
use crate::tape::{Node, Tape};
use crate::tensor::Tensor;

/// `x` bent to stay between minus `cap` and `cap`.
pub(crate) fn soft_cap(tape: &mut Tape, x: &Node, cap: f64) -> Result<Node> {
    let (xs, cap) = (x.value.clone(), cap as f32);
    let count = xs.elem_count();
    let y = match &xs {
        Tensor::Device(array) => {
            let numbers = array.numbers();
            array.device().make(xs.dims(), |gpu, y| {
                gpu.copy(count, &numbers, y)?;
                gpu.soft_cap(count, cap, y)
            })?
        }
        Tensor::Host(_) => each(&xs, |x| soft_capped(x, cap))?,
    };
    Ok(tape.push(y, [x], move |dy| {
        if let (Tensor::Device(array), Tensor::Device(dy)) = (&xs, dy) {
            let (numbers, dys) = (array.numbers(), dy.numbers());
            let back = array
                .device()
                .make(xs.dims(), |gpu, dx| gpu.soft_cap_back((count, cap), &numbers, &dys, dx))?;
            return Ok([back]);
        }
        Ok([both(&xs, dy, |x, dy| dy * soft_cap_slope(soft_capped(x, cap), cap))?])
    }))
}

/// `x` cut off at minus `most` and `most`.
pub(crate) fn clip(tape: &mut Tape, x: &Node, most: f64) -> Result<Node> {
    let (xs, most) = (x.value.clone(), most as f32);
    let y = match &xs {
        Tensor::Device(array) => clip_there(array, most, None)?,
        Tensor::Host(_) => each(&xs, |x| x.clamp(-most, most))?,
    };
    Ok(tape.push(y, [x], move |dy| {
        Ok([match (&xs, dy) {
            (Tensor::Device(array), Tensor::Device(dy)) => clip_there(array, most, Some(dy))?,
            _ => both(&xs, dy, |x, dy| if x.abs() <= most { dy } else { 0.0 })?,
        }])
    }))
}

/// The same on a device, or with `dy` its gradient.
fn clip_there(x: &Array, most: f32, dy: Option<&Array>) -> Result<Tensor> {
    let (xs, dys) = (x.numbers(), dy.map(Array::numbers));
    let count = x.dims().iter().product();
    x.device().make(x.dims(), |gpu, y| gpu.clip((count, most), &xs, dys.as_deref(), y))
}

fn each(x: &Tensor, f: impl Fn(f32) -> f32) -> Result<Tensor> {
    let xs = elements(x)?;
    let y = vectorised(
        #[inline(always)]
        || xs.iter().map(|x| f(*x)).collect(),
    );
    tensor(y, x.shape())
}

fn both(x: &Tensor, dy: &Tensor, f: impl Fn(f32, f32) -> f32) -> Result<Tensor> {
    let (xs, dys) = (elements(x)?, elements(dy)?);
    let dx = vectorised(
        #[inline(always)]
        || xs.iter().zip(dys.iter()).map(|(x, dy)| f(*x, *dy)).collect(),
    );
    tensor(dx, x.shape())
}
