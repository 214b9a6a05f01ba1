//! Linear layers over weights in Hugging Face's layout (out, in): y = x·wᵀ, ∂x = ∂y·w, ∂w = ∂yᵀ·x.
//!
//! The product for ∂w is left out where w does not learn. x is kept as its node says.

use std::sync::Arc;

use candle_core::Result;
use flow_kernels::gpu::Groups;

use crate::matmul::{matmul, matmul_at, matmul_bt};
use crate::tape::{Node, Tape};

/// `x` (N, in) times the transposed weight (out, in), to (N, out); where rows are in groups, each by the weight of its group out of a stack
/// (E, out, in).
pub(crate) fn linear(tape: &mut Tape, x: &Node, weight: &Node, groups: Option<&Arc<Groups>>) -> Result<Node> {
    let (xs, ws, groups) = (x.kept(), weight.value.clone(), groups.cloned());
    let y = matmul_bt(&x.value, &ws, groups.as_deref())?;
    if !weight.learns {
        return Ok(tape.push(y, [x], move |dy| Ok([matmul(dy, &ws, groups.as_deref())?])));
    }
    Ok(tape.push(y, [x, weight], move |dy| {
        let groups = groups.as_deref();
        Ok([matmul(dy, &ws, groups)?, matmul_at(dy, &xs.value()?, groups)?])
    }))
}
