//! A sigmoid gate on whole rows: y = σ(g)·x. With s = σ(g): ∂x = s·∂y, ∂g = s·(1 − s)·Σ x∂y.

use candle_core::Result;

use super::stretches::{dots, scaled};
use super::tensor;
use crate::simd::{sigmoid, vectorised};
use crate::tape::{Node, Tape};

/// `x` (N, C) opened by `gate` (N, 1).
pub(crate) fn gate(tape: &mut Tape, x: &Node, gate: &Node) -> Result<Node> {
    let xs = x.value.clone();
    let opened = opened(&gate.value.to_vec()?);
    let y = scaled(&xs, &opened)?;
    Ok(tape.push(y, [x, gate], move |dy| {
        let along = dots(&xs, dy, opened.len())?;
        let d_gates = opened.iter().zip(along).map(|(s, along)| s * (1.0 - s) * along).collect();
        Ok([scaled(dy, &opened)?, tensor(d_gates, (opened.len(), 1))?.beside(dy)?])
    }))
}

fn opened(gates: &[f32]) -> Vec<f32> {
    vectorised(
        #[inline(always)]
        || gates.iter().map(|g| sigmoid(*g)).collect(),
    )
}
