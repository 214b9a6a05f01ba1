//! Cross-entropy of next-token logits: scale · Σ over rows of (log Σ e^logits − logit of the target).

use std::sync::Arc;

use candle_core::{Result, Tensor};

use super::{elements, tensor};
use crate::simd::{exp, largest, sum, vectorised};
use crate::tape::{Node, Tape};

/// A scalar from logits (M, V); `targets` holds M token ids.
pub(crate) fn cross_entropy(tape: &mut Tape, logits: &Node, targets: Arc<[u32]>, scale: f64) -> Result<Node> {
    let op = CrossEntropy { targets, scale };
    let values = logits.value.clone();
    let loss = op.forward(&values)?;
    Ok(tape.push(loss, [logits], move |d_loss| Ok([op.backward(&values, d_loss)?])))
}

struct CrossEntropy {
    targets: Arc<[u32]>,
    scale: f64,
}

/// Turns a row of logits into probabilities; returns their log-sum-exp.
#[inline(always)]
fn softmax(logits: &[f32], probabilities: &mut [f32]) -> f32 {
    let top = largest(logits);
    for (p, logit) in probabilities.iter_mut().zip(logits) {
        *p = exp(logit - top);
    }
    let total = sum(probabilities);
    let inverse = 1.0 / total;
    for p in probabilities {
        *p *= inverse;
    }
    top + total.ln()
}

impl CrossEntropy {
    fn forward(&self, logits: &Tensor) -> Result<Tensor> {
        let (_, width) = logits.dims2()?;
        let values = elements(logits)?;
        let total = vectorised(
            #[inline(always)]
            || self.rows(width, &values),
        );
        tensor(vec![(total * self.scale) as f32], ())
    }

    fn backward(&self, logits: &Tensor, d_loss: &Tensor) -> Result<Tensor> {
        let (_, width) = logits.dims2()?;
        let values = elements(logits)?;
        let factor = d_loss.to_scalar::<f32>()? * self.scale as f32;
        let mut d_logits = vec![0.0; values.len()];
        vectorised(
            #[inline(always)]
            || self.rows_back(width, &values, factor, &mut d_logits),
        );
        tensor(d_logits, logits.shape())
    }

    #[inline(always)]
    fn rows(&self, width: usize, logits: &[f32]) -> f64 {
        let mut probabilities = vec![0.0; width];
        let mut total = 0.0;
        for (row, target) in logits.chunks_exact(width).zip(self.targets.iter()) {
            total += f64::from(softmax(row, &mut probabilities) - row[*target as usize]);
        }
        total
    }

    #[inline(always)]
    fn rows_back(&self, width: usize, logits: &[f32], factor: f32, d_logits: &mut [f32]) {
        let rows = logits.chunks_exact(width).zip(d_logits.chunks_exact_mut(width));
        for ((row, d_row), target) in rows.zip(self.targets.iter()) {
            softmax(row, d_row);
            d_row[*target as usize] -= 1.0;
            for d in d_row {
                *d *= factor;
            }
        }
    }
}
