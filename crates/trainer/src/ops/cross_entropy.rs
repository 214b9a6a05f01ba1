//! Cross-entropy of next-token logits: scale · Σ over rows of (log Σ e^logits − logit of the target).

use std::sync::Arc;

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};

use super::{argument, elements, output, tensor};
use crate::simd::{exp, largest, sum, vectorised};

/// A scalar from logits (M, V); `targets` holds M token ids.
pub(crate) fn cross_entropy(logits: &Tensor, targets: Arc<[u32]>, scale: f64) -> Result<Tensor> {
    logits.apply_op1(CrossEntropy { targets, scale })
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
    #[inline(always)]
    fn forward(&self, width: usize, logits: &[f32]) -> f64 {
        let mut probabilities = vec![0.0; width];
        let rows = logits.chunks_exact(width).zip(self.targets.iter());
        rows.map(|(row, target)| f64::from(softmax(row, &mut probabilities) - row[*target as usize])).sum()
    }

    #[inline(always)]
    fn backward(&self, width: usize, logits: &[f32], factor: f32, d_logits: &mut [f32]) {
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

impl CustomOp1 for CrossEntropy {
    fn name(&self) -> &'static str {
        "cross-entropy"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (_, width) = layout.shape().dims2()?;
        let logits = argument(storage, layout)?;
        let total = vectorised(|| self.forward(width, logits));
        Ok(output(vec![(total * self.scale) as f32], ()))
    }

    fn bwd(&self, logits: &Tensor, _: &Tensor, d_loss: &Tensor) -> Result<Option<Tensor>> {
        let (_, width) = logits.dims2()?;
        let values = elements(logits)?;
        let factor = d_loss.to_scalar::<f32>()? * self.scale as f32;
        let mut d_logits = vec![0.0; values.len()];
        vectorised(|| self.backward(width, &values, factor, &mut d_logits));
        Ok(Some(tensor(d_logits, logits.shape())?))
    }
}
