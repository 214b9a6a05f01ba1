//! What is learned from the logits of the scored rows: a loss over their targets' log-probabilities, for which see [`crate::Loss`].
//!
//! With p = softmax(logits) and d the slope of the loss along a row's log-probability: ∂logits = d · (one(target) − p).

use std::sync::Arc;

use candle_core::{Result, Tensor};

use super::{elements, tensor};
use crate::simd::{exp, largest, sum, vectorised};
use crate::tape::{Node, Tape};

/// The log-probabilities (M) of `targets` under logits (M, V).
pub(crate) fn log_probabilities(logits: &Tensor, targets: &[u32]) -> Result<Vec<f32>> {
    let (_, width) = logits.dims2()?;
    let values = elements(logits)?;
    let mut probabilities = vec![0.0; width];
    Ok(vectorised(
        #[inline(always)]
        || {
            let rows = values.chunks_exact(width).zip(targets);
            rows.map(|(row, target)| row[*target as usize] - softmax(row, &mut probabilities)).collect()
        },
    ))
}

/// The scalar `loss`, whose slopes along the log-probabilities of the `targets` are `slopes` (M), from logits (M, V).
pub(crate) fn loss(
    tape: &mut Tape,
    logits: &Node,
    targets: Arc<[u32]>,
    loss: f64,
    slopes: Vec<f32>,
) -> Result<Node> {
    let values = logits.value.clone();
    let loss = tensor(vec![loss as f32], ())?;
    Ok(tape.push(loss, [logits], move |d_loss| {
        let d_loss = d_loss.to_scalar::<f32>()?;
        let (_, width) = values.dims2()?;
        let xs = elements(&values)?;
        let mut d_logits = vec![0.0; xs.len()];
        vectorised(
            #[inline(always)]
            || rows_back(width, &xs, &targets, &slopes, d_loss, &mut d_logits),
        );
        Ok([tensor(d_logits, values.shape())?])
    }))
}

#[inline(always)]
fn rows_back(
    width: usize,
    logits: &[f32],
    targets: &[u32],
    slopes: &[f32],
    d_loss: f32,
    d_logits: &mut [f32],
) {
    let rows = logits.chunks_exact(width).zip(d_logits.chunks_exact_mut(width));
    for ((row, d_row), (target, slope)) in rows.zip(targets.iter().zip(slopes)) {
        softmax(row, d_row);
        d_row[*target as usize] -= 1.0;
        let factor = -slope * d_loss;
        d_row.iter_mut().for_each(|d| *d *= factor);
    }
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
