//! Linear layers over weights in Hugging Face's layout (out, in): y = x·wᵀ, ∂x = ∂y·w, ∂w = ∂yᵀ·x.
//!
//! The product for ∂w is left out where w does not learn. x is kept as its node says.

use candle_core::Result;

use crate::matmul::{matmul, matmul_at, matmul_bt};
use crate::tape::{Node, Tape};

/// `x` (N, in) times the transposed weight (out, in), to (N, out).
pub(crate) fn linear(tape: &mut Tape, x: &Node, weight: &Node) -> Result<Node> {
    let (xs, ws) = (x.kept(), weight.value.clone());
    let y = matmul_bt(&x.value, &ws)?;
    if !weight.learns {
        return Ok(tape.push(y, [x], move |dy| Ok([matmul(dy, &ws)?])));
    }
    Ok(tape.push(y, [x, weight], move |dy| Ok([matmul(dy, &ws)?, matmul_at(dy, &xs.value()?)?])))
}
