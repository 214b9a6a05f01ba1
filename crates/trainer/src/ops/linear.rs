//! Linear layers over weights in Hugging Face's layout (out, in): y = x·wᵀ, ∂x = ∂y·w, ∂w = ∂yᵀ·x.
//!
//! The product for ∂w is left out where w does not learn. x is kept as its node says.

use candle_core::Result;

use crate::tape::{Node, Tape};

/// `x` (N, in) times the transposed weight (out, in), to (N, out).
pub(crate) fn linear(tape: &mut Tape, x: &Node, weight: &Node) -> Result<Node> {
    let (xs, ws) = (x.kept(), weight.value.clone());
    let y = x.value.matmul(&ws.t()?)?;
    if !weight.learns {
        return Ok(tape.push(y, [x], move |dy| Ok([dy.matmul(&ws)?])));
    }
    Ok(tape.push(y, [x, weight], move |dy| Ok([dy.matmul(&ws)?, dy.t()?.matmul(&xs.value()?)?])))
}
