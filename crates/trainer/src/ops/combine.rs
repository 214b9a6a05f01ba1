//! The way back from experts to tokens: y_n = Σ_v w_v · x_row(v) over the visits v of the token, in their order.

use std::sync::Arc;

use candle_core::{Result, bail};
use flow_kernels::gpu::Mixed;

use super::router::Routing;
use super::{elements, tensor};
use crate::device::Array;
use crate::simd::{dot, vectorised};
use crate::tape::{Node, Tape};
use crate::tensor::Tensor;

/// Expert outputs `x` (V, C), sorted by expert, weighted by `weights` (V), to (N, C).
pub(crate) fn combine(tape: &mut Tape, x: &Node, weights: &Node, routing: Arc<Routing>) -> Result<Node> {
    let (xs, ws) = (x.value.clone(), weights.value.clone());
    if let (Tensor::Device(array), Tensor::Device(w)) = (&xs, &ws) {
        let op = OnDevice::new(array, w, &routing)?;
        return Ok(tape.push(op.forward()?, [x, weights], move |dy| op.backward(dy)));
    }
    let op = Combine { routing };
    let y = op.forward(&xs, &ws)?;
    Ok(tape.push(y, [x, weights], move |dy| op.backward(&xs, &ws, dy)))
}

/// The same on a device.
struct OnDevice {
    x: Array,
    weights: Array,
    mixed: Mixed,
    n_tokens: usize,
}

impl OnDevice {
    fn new(x: &Array, weights: &Array, routing: &Routing) -> Result<Self> {
        let mixed = x.device().ask(|gpu| gpu.mixed(routing.ends(), &routing.rows))?;
        Ok(Self { x: x.clone(), weights: weights.clone(), mixed, n_tokens: routing.n_tokens() })
    }

    fn width(&self) -> usize {
        self.x.dims()[1]
    }

    fn forward(&self) -> Result<Tensor> {
        let (width, xs, ws) = (self.width(), self.x.numbers(), self.weights.numbers());
        self.x.device().make(&[self.n_tokens, width], |gpu, y| gpu.mix(width, &self.mixed, &xs, &ws, y))
    }

    fn backward(&self, dy: &Tensor) -> Result<[Tensor; 2]> {
        let Tensor::Device(dy) = dy else { bail!("a gradient that is not on the device of its tensor") };
        let (xs, ws, dys) = (self.x.numbers(), self.weights.numbers(), dy.numbers());
        self.x.device().make_all([self.x.dims(), self.weights.dims()], |gpu, [dx, dw]| {
            gpu.mix_back(self.width(), &self.mixed, &xs, &ws, &dys, dx, dw)
        })
    }
}

struct Combine {
    routing: Arc<Routing>,
}

impl Combine {
    fn forward(&self, x: &Tensor, weights: &Tensor) -> Result<Tensor> {
        let (_, width) = x.dims2()?;
        let (xs, ws) = (elements(x)?, elements(weights)?);
        let mut y = vec![0.0; self.routing.n_tokens() * width];
        vectorised(
            #[inline(always)]
            || self.rows(width, &xs, &ws, &mut y),
        );
        tensor(y, (self.routing.n_tokens(), width))
    }

    fn backward(&self, x: &Tensor, weights: &Tensor, dy: &Tensor) -> Result<[Tensor; 2]> {
        let (_, width) = x.dims2()?;
        let (xs, ws, dys) = (elements(x)?, elements(weights)?, elements(dy)?);
        let (mut dx, mut dw) = (vec![0.0; xs.len()], vec![0.0; ws.len()]);
        vectorised(
            #[inline(always)]
            || self.rows_back(width, &xs, &ws, &dys, &mut dx, &mut dw),
        );
        Ok([tensor(dx, x.shape())?, tensor(dw, weights.shape())?])
    }

    #[inline(always)]
    fn rows(&self, width: usize, x: &[f32], weights: &[f32], y: &mut [f32]) {
        for (token, y) in y.chunks_exact_mut(width).enumerate() {
            let visits = self.routing.visits(token);
            for (row, weight) in self.routing.rows[visits.clone()].iter().zip(&weights[visits]) {
                let x = &x[*row as usize * width..][..width];
                for (y, x) in y.iter_mut().zip(x) {
                    *y += weight * x;
                }
            }
        }
    }

    #[inline(always)]
    fn rows_back(
        &self,
        width: usize,
        x: &[f32],
        weights: &[f32],
        dy: &[f32],
        dx: &mut [f32],
        dw: &mut [f32],
    ) {
        for (token, dy) in dy.chunks_exact(width).enumerate() {
            for visit in self.routing.visits(token) {
                let at = self.routing.rows[visit] as usize * width;
                dw[visit] = dot(&x[at..][..width], dy);
                for (dx, dy) in dx[at..][..width].iter_mut().zip(dy) {
                    *dx = weights[visit] * dy;
                }
            }
        }
    }
}
