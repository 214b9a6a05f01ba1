//! What is learned from the logits of the scored rows: a loss over their targets' log-probabilities, for which see [`crate::Loss`].
//!
//! With p = softmax(logits) and d the slope of the loss along a row's log-probability: ∂logits = d · (one(target) − p). p is computed
//! once, with the log-probabilities, and its memory becomes the gradient.

use std::sync::Arc;

use candle_core::Result;

use super::{change, elements, tensor};
use crate::device::Array;
use crate::simd::{exp, largest, sum, vectorised};
use crate::tape::{Node, Tape};
use crate::tensor::Tensor;

/// What a model predicts where something is scored.
pub(crate) struct Predicted {
    /// Of every token (M, V).
    probabilities: Tensor,
    /// Of the targets (M).
    pub(crate) log_probabilities: Vec<f32>,
}

/// The predictions of logits (M, V) for `targets`.
pub(crate) fn predicted(logits: &Tensor, targets: &[u32]) -> Result<Predicted> {
    let (rows, width) = logits.dims2()?;
    if let Tensor::Device(array) = logits {
        return predicted_there(array, [rows, width], targets);
    }
    let values = elements(logits)?;
    let (mut probabilities, mut log_probabilities) = (vec![0.0; rows * width], vec![0.0; rows]);
    vectorised(
        #[inline(always)]
        || {
            let rows = values.chunks_exact(width).zip(probabilities.chunks_exact_mut(width));
            for (((row, p), target), log_p) in rows.zip(targets).zip(&mut log_probabilities) {
                *log_p = row[*target as usize] - softmax(row, p);
            }
        },
    );
    Ok(Predicted { probabilities: tensor(probabilities, (rows, width))?, log_probabilities })
}

/// The same on a device, where the logits become the probabilities: nothing reads them later.
fn predicted_there(logits: &Array, extents: [usize; 2], targets: &[u32]) -> Result<Predicted> {
    let device = logits.device();
    let targets = device.indices(targets)?;
    let log_probabilities = device.make(&extents[..1], |gpu, log_probabilities| {
        gpu.predict(extents, &mut logits.numbers_mut(), &targets, log_probabilities)
    })?;
    let log_probabilities = log_probabilities.to_vec()?;
    Ok(Predicted { probabilities: Tensor::Device(logits.clone()), log_probabilities })
}

/// The log-probabilities (M) of `targets` by logits (M, V), as in [`Predicted`] to the bit, in the memory of one row: for where nothing flows back.
pub(crate) fn log_probabilities(logits: &Tensor, targets: &[u32]) -> Result<Vec<f32>> {
    let (rows, width) = logits.dims2()?;
    if let Tensor::Device(array) = logits {
        return Ok(predicted_there(array, [rows, width], targets)?.log_probabilities);
    }
    let values = elements(logits)?;
    let mut scratch = vec![0.0; width];
    Ok(vectorised(
        #[inline(always)]
        || {
            let rows = values.chunks_exact(width).zip(targets);
            rows.map(|(row, target)| row[*target as usize] - softmax(row, &mut scratch)).collect()
        },
    ))
}

/// The scalar `loss`, whose slopes along the log-probabilities of the `targets` are `slopes` (M), from logits (M, V) with these predictions.
pub(crate) fn loss(
    tape: &mut Tape,
    logits: &Node,
    predicted: Predicted,
    targets: Arc<[u32]>,
    loss: f64,
    slopes: Vec<f32>,
) -> Result<Node> {
    let (_, width) = logits.value.dims2()?;
    let loss = tensor(vec![loss as f32], ())?;
    let d_logits = predicted.probabilities;
    Ok(tape.push(loss, [logits], move |d_loss| {
        let d_loss = d_loss.to_scalar()?;
        let factors: Vec<f32> = slopes.iter().map(|slope| -slope * d_loss).collect();
        match &d_logits {
            Tensor::Host(_) => change(&d_logits, |rows| {
                vectorised(
                    #[inline(always)]
                    || rows_back(width, &targets, &factors, rows),
                )
            })?,
            Tensor::Device(rows) => {
                let (there, factors) =
                    (rows.device().indices(&targets)?, rows.device().upload(&factors, &[factors.len()])?);
                let factors = factors.numbers();
                rows.change(|gpu, rows| gpu.predict_back([targets.len(), width], rows, &there, &factors))?;
            }
        }
        Ok([d_logits])
    }))
}

/// `rows` hold p.
#[inline(always)]
fn rows_back(width: usize, targets: &[u32], factors: &[f32], rows: &mut [f32]) {
    for (row, (target, factor)) in rows.chunks_exact_mut(width).zip(targets.iter().zip(factors)) {
        row[*target as usize] -= 1.0;
        for d in row {
            *d *= factor;
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_only_read_has_the_bits_of_what_is_learned() {
        let values: Vec<f32> = (0..7 * 33).map(|i| ((i * 37) % 101) as f32 / 9.0 - 5.0).collect();
        let (logits, targets) = (tensor(values, (7, 33)).unwrap(), [0, 32, 5, 5, 17, 31, 1]);
        let learned = predicted(&logits, &targets).unwrap().log_probabilities;
        assert_eq!(log_probabilities(&logits, &targets).unwrap(), learned);
        assert!(learned.iter().all(|x| *x < 0.0));
    }
}
