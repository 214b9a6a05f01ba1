//! Linear layers over weights in Hugging Face's layout (out, in): y = x·wᵀ, ∂x = ∂y·w, ∂w = ∂yᵀ·x.
//!
//! The product for ∂w is left out where w does not learn. x is kept as its node says.

use candle_core::Result;

use crate::matmul::{Kind, matmul, matmul_at, matmul_bt};
use crate::tape::{Node, Tape};

/// `x` (N, in) times the transposed weight (out, in), to (N, out); where rows are in groups, each by the weight of its group out of a stack
/// (E, out, in).
pub(crate) fn linear(tape: &mut Tape, x: &Node, weight: &Node, kind: &Kind) -> Result<Node> {
    let (xs, ws, kind) = (x.kept(), weight.value.clone(), kind.clone());
    let y = matmul_bt(&x.value, &ws, &kind)?;
    if !weight.learns {
        return Ok(tape.push(y, [x], move |dy| Ok([matmul(dy, &ws, &kind)?])));
    }
    Ok(tape
        .push(y, [x, weight], move |dy| Ok([matmul(dy, &ws, &kind)?, matmul_at(dy, &xs.value()?, &kind)?])))
}
