//! The routed experts of a layer, each over the rows that all slices have for it.
//!
//! An expert is a small graph of its own: its weights are read once forward and once back, and their gradient is one product,
//! however the tokens are spread over slices. Its rows stand slice by slice, in the order of the slices' tokens.

use candle_core::{Result, Tensor};

use super::parameters::Block;
use crate::gradient::{self, Gradient};
use crate::ops::linear::linear;
use crate::ops::router::Routing;
use crate::ops::swiglu::swiglu;
use crate::ops::ternary::{rounded_activations, ternary_weights};
use crate::ops::{elements, tensor};
use crate::tape::{Node, Tape};
use crate::workers::Workers;

/// The experts of one layer after their forward pass.
pub(super) struct Experts {
    slots: [usize; 2],
    /// By expert; none where no row came.
    graphs: Vec<Option<Graph>>,
    shares: Shares,
    /// Whether anything that they rest on learns.
    pub(super) learn: bool,
}

/// How many rows each slice has for each expert.
struct Shares {
    /// By slice, then (E + 1) places in its rows.
    offsets: Vec<Vec<usize>>,
}

/// One expert on its rows.
struct Graph {
    tape: Tape,
    x: Node,
    /// Gate and up, then down.
    weights: [Node; 2],
    out: Node,
}

impl Experts {
    /// Applies the experts of `block`, of which a matrix has `ternary` weights if they are ternary, to the rows of each slice, sorted by
    /// expert. Returns what they make of them, in the same order.
    pub(super) fn forward(
        block: &Block,
        leaves: &[Node],
        ternary: Option<usize>,
        rows: &[(&Node, &Routing)],
        workers: &Workers,
    ) -> Result<(Self, Vec<Tensor>)> {
        let shares = Shares { offsets: rows.iter().map(|(_, routing)| routing.offsets.to_vec()).collect() };
        let slots = [block.gate_up, block.down];
        let values: Vec<&Tensor> = rows.iter().map(|(node, _)| &node.value).collect();
        let rows_learn = rows.iter().any(|(node, _)| node.learns);
        let graphs = workers.try_map(0..shares.experts(), |e| {
            let Some(rows) = shares.of_expert(e, &values)? else { return Ok(None) };
            let mut tape = Tape::default();
            let x = tape.input(rows, rows_learn);
            let weight = |tape: &mut Tape, slot: usize| -> Result<Node> {
                Ok(tape.input(leaves[slot].value.get(e)?, leaves[slot].learns))
            };
            let weights = [weight(&mut tape, slots[0])?, weight(&mut tape, slots[1])?];
            Graph::new(tape, x, weights, ternary).map(Some)
        })?;
        let learn = graphs.iter().flatten().any(|graph| graph.out.learns);
        let outs: Vec<Option<&Tensor>> =
            graphs.iter().map(|graph| Some(&graph.as_ref()?.out.value)).collect();
        let outs = workers.try_map(0..rows.len(), |slice| shares.of_slice(slice, &outs))?;
        Ok((Self { slots, graphs, shares, learn }, outs))
    }

    /// Adds the gradients of the weights to `gradients`, from those of what the experts made, by slice. Returns those of the rows.
    pub(super) fn backward(
        self,
        d_outs: &[Tensor],
        gradients: &mut [Gradient],
        workers: &Workers,
    ) -> Result<Vec<Tensor>> {
        let d_outs: Vec<&Tensor> = d_outs.iter().collect();
        let shares = &self.shares;
        let [gate_up, down] =
            gradients.get_disjoint_mut(self.slots).expect("two matrices are two parameters");
        let blocks = gate_up.blocks.iter_mut().zip(&mut down.blocks);
        let work = self.graphs.into_iter().enumerate().zip(blocks);
        let d_rows = workers.try_map(work, |((e, graph), (gate_up, down))| {
            let (Some(graph), Some(d_out)) = (graph, shares.of_expert(e, &d_outs)?) else { return Ok(None) };
            graph.backward(d_out, [gate_up, down])
        })?;
        let d_rows: Vec<Option<&Tensor>> = d_rows.iter().map(Option::as_ref).collect();
        workers.try_map(0..d_outs.len(), |slice| shares.of_slice(slice, &d_rows))
    }
}

impl Graph {
    fn new(mut tape: Tape, x: Node, weights: [Node; 2], ternary: Option<usize>) -> Result<Self> {
        let tape_ = &mut tape;
        let [gate_up, down] = &weights;
        let out = match ternary {
            None => {
                let inner = linear(tape_, &x, gate_up)?;
                let inner = swiglu(tape_, &inner)?;
                linear(tape_, &inner, down)?
            }
            Some(matrix) => {
                let gate_up = ternary_weights(tape_, gate_up, matrix)?;
                let down = ternary_weights(tape_, down, matrix)?;
                let rounded = rounded_activations(tape_, &x)?;
                let inner = linear(tape_, &rounded, &gate_up)?;
                let inner = swiglu(tape_, &inner)?;
                let inner = rounded_activations(tape_, &inner)?;
                linear(tape_, &inner, &down)?
            }
        };
        Ok(Self { tape, x, weights, out })
    }

    fn backward(mut self, d_out: Tensor, blocks: [&mut gradient::Block; 2]) -> Result<Option<Tensor>> {
        self.tape.flow_in(&self.out, d_out)?;
        let [gate_up, down] = self.weights;
        let mut gradients = self.tape.rest(&[self.x, gate_up, down])?.into_iter();
        let d_rows = gradients.next().flatten();
        for (block, gradient) in blocks.into_iter().zip(gradients) {
            if let Some(gradient) = gradient {
                block.add(&elements(&gradient)?);
            }
        }
        Ok(d_rows)
    }
}

impl Shares {
    fn experts(&self) -> usize {
        self.offsets.first().map_or(0, |offsets| offsets.len() - 1)
    }

    /// The rows of expert `e` out of the rows of all slices; none where there are none.
    fn of_expert(&self, e: usize, slices: &[&Tensor]) -> Result<Option<Tensor>> {
        let (mut rows, mut width) = (Vec::new(), 0);
        for (slice, offsets) in slices.iter().zip(&self.offsets) {
            width = slice.dim(1)?;
            rows.extend_from_slice(&elements(slice)?[offsets[e] * width..offsets[e + 1] * width]);
        }
        let n = rows.len() / width.max(1);
        if n == 0 { Ok(None) } else { tensor(rows, (n, width)).map(Some) }
    }

    /// The rows of slice `slice` out of the rows of all experts.
    fn of_slice(&self, slice: usize, experts: &[Option<&Tensor>]) -> Result<Tensor> {
        let (mut rows, mut width) = (Vec::new(), 0);
        for (e, expert) in experts.iter().enumerate() {
            let Some(expert) = expert else { continue };
            width = expert.dim(1)?;
            let count = |offsets: &Vec<usize>| offsets[e + 1] - offsets[e];
            let first: usize = self.offsets[..slice].iter().map(count).sum();
            let n = count(&self.offsets[slice]);
            rows.extend_from_slice(&elements(expert)?[first * width..(first + n) * width]);
        }
        let n = rows.len() / width.max(1);
        tensor(rows, (n, width))
    }
}
