//! The soft weights of a mixture of attention: y_nj = m_nj · g_nj · x_nj for N rows and J stretches of each, g = softmax(z) by
//! row. m is 1, or 0 for stretches that do not count in a row; which they are is taken as given.
//!
//! ∂x_nj = m_nj · g_nj · ∂y_nj; with a_nj = m_nj · Σ x_nj∂y_nj: ∂z_nj = g_nj · (a_nj − Σ_k g_nk · a_nk).

use candle_core::Result;
use flow_model::AttentionExperts;

use super::stretches::{dots, scaled};
use super::tensor;
use crate::tape::{Node, Tape};
use crate::tensor::Tensor;

/// `x` (N, J·W) weighted by logits (N, J), to (N, J·W); `experts` says which of the J count.
pub(crate) fn soft_mixture(
    tape: &mut Tape,
    x: &Node,
    logits: &Node,
    experts: AttentionExperts,
) -> Result<Node> {
    let stretches = experts.count;
    let soft = softmax(logits.value.to_vec()?, stretches);
    let mut weights = soft.clone();
    weights.chunks_exact_mut(stretches).for_each(|row| experts.keep(row));
    let xs = x.value.clone();
    let y = scaled(&xs, &weights)?;
    Ok(tape.push(y, [x, logits], move |dy| backward(&xs, &soft, &weights, stretches, dy)))
}

fn softmax(mut weights: Vec<f32>, stretches: usize) -> Vec<f32> {
    for row in weights.chunks_exact_mut(stretches) {
        let top = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        row.iter_mut().for_each(|z| *z = (*z - top).exp());
        let total: f32 = row.iter().sum();
        row.iter_mut().for_each(|z| *z /= total);
    }
    weights
}

/// `weights` are those of `soft` that count, the others 0.
fn backward(x: &Tensor, soft: &[f32], weights: &[f32], stretches: usize, dy: &Tensor) -> Result<[Tensor; 2]> {
    let mut along = dots(x, dy, weights.len())?;
    along.iter_mut().zip(weights).filter(|(_, weight)| **weight == 0.0).for_each(|(a, _)| *a = 0.0);
    for (row, soft) in along.chunks_exact_mut(stretches).zip(soft.chunks_exact(stretches)) {
        let mean: f32 = row.iter().zip(soft).map(|(a, g)| a * g).sum();
        row.iter_mut().zip(soft).for_each(|(a, g)| *a = g * (*a - mean));
    }
    let d_logits = tensor(along, (weights.len() / stretches, stretches))?;
    Ok([scaled(dy, weights)?, d_logits.beside(dy)?])
}
