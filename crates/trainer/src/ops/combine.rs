//! The way back from experts to tokens: y_n = Σ_v w_v · x_row(v) over the visits v of the token, in their order.

use std::sync::Arc;

use candle_core::{Result, Tensor};

use super::router::Routing;
use super::{elements, tensor};
use crate::simd::{dot, vectorised};
use crate::tape::{Node, Tape};

/// Expert outputs `x` (V, C), sorted by expert, weighted by `weights` (V), to (N, C).
pub(crate) fn combine(tape: &mut Tape, x: &Node, weights: &Node, routing: Arc<Routing>) -> Result<Node> {
    let op = Combine { routing };
    let (xs, ws) = (x.value.clone(), weights.value.clone());
    let y = op.forward(&xs, &ws)?;
    Ok(tape.push(y, [x, weights], move |dy| op.backward(&xs, &ws, dy)))
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
