//! Three-valued weights and 8-bit activations, with gradients that pass straight through the rounding (arXiv 2308.13137's
//! estimator, as BitNet b1.58 and MoTE use it): y = q(x), ∂x = ∂y. The formulas of q are those of [`flow_model::ternary`].

use candle_core::Result;
use flow_model::ternary::{quantised, round_activations};

use super::{elements, tensor};
use crate::tape::{Node, Tape};
use crate::tensor::Tensor;

/// Each stretch of `length` weights as a matrix of three values.
pub(crate) fn ternary_weights(tape: &mut Tape, weights: &Node, length: usize) -> Result<Node> {
    Ok(tape.push(three_valued(&weights.value, length)?, [weights], |gradient| Ok([gradient.clone()])))
}

fn three_valued(weights: &Tensor, length: usize) -> Result<Tensor> {
    if let Tensor::Device(array) = weights {
        let (ws, matrices) = (array.numbers(), weights.elem_count() / length);
        return array.device().make(weights.dims(), |gpu, y| gpu.ternary([matrices, length], &ws, y));
    }
    tensor(elements(weights)?.chunks_exact(length).flat_map(quantised).collect(), weights.shape())
}

/// Each row of `x` (N, C) with 8 bits a number.
pub(crate) fn rounded_activations(tape: &mut Tape, x: &Node) -> Result<Node> {
    Ok(tape.push(rounded(&x.value)?, [x], |gradient| Ok([gradient.clone()])))
}

fn rounded(x: &Tensor) -> Result<Tensor> {
    let (rows, width) = x.dims2()?;
    if let Tensor::Device(array) = x {
        let xs = array.numbers();
        return array.device().make(x.dims(), |gpu, y| gpu.round(rows, width, &xs, y));
    }
    let mut values = elements(x)?.to_vec();
    values.chunks_exact_mut(width).for_each(round_activations);
    tensor(values, x.shape())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_rounded_and_gradients_are_not() {
        let mut tape = Tape::default();
        let weights =
            tape.leaf(tensor(vec![0.2, -0.5, 1.1, -0.2, 4.0, 0.0, 0.0, 4.0], (2, 4)).expect("a tensor"));
        let y = ternary_weights(&mut tape, &weights, 4).expect("forward");
        assert_eq!(elements(&y.value).expect("elements")[..], [0.0, -0.5, 0.5, 0.0, 2.0, 0.0, 0.0, 2.0]);
        let d = tensor((0..8).map(|i| i as f32).collect(), (2, 4)).expect("a tensor");
        let given = d.clone();
        let total = tape.push(tensor(vec![0.0], ()).expect("a scalar"), [&y], move |_| Ok([given]));
        let gradients = tape.gradients(&total, &[weights]).expect("backward");
        let found = gradients[0].as_ref().expect("a gradient");
        assert_eq!(elements(found).expect("elements")[..], elements(&d).expect("elements")[..]);
    }
}
