//! The routed experts of a layer, each over the rows that all slices have for it.
//!
//! An expert is a small graph of its own: its weights are read once forward and once back, and their gradient is one product,
//! however the tokens are spread over slices. Its rows stand slice by slice, in the order of the slices' tokens. On a device there is
//! one graph for all, whose products know which rows are whose.

use std::sync::Arc;

use candle_core::Result;
use flow_kernels::gpu::Groups;
use flow_model::{Activation, Config};

use super::adapters::Adapters;
use super::parameters::{Block, Slot};
use crate::device::Array;
use crate::gradient::{self, Gradient};
use crate::matmul::Kind;
use crate::ops::gated::gated;
use crate::ops::linear::linear;
use crate::ops::router::Routing;
use crate::ops::ternary::{rounded_activations, ternary_weights};
use crate::ops::{elements, tensor};
use crate::tape::{Node, Place, Tape};
use crate::tensor::Tensor;
use crate::workers::Workers;

/// The experts of one layer after their forward pass.
pub(super) struct Experts<'a> {
    parts: Parts<'a>,
    work: AllWork,
    /// Whether the rows rest on anything that learns.
    rows_learn: bool,
    /// Whether anything that they rest on learns.
    pub(super) learn: bool,
}

/// What the experts of a layer are made of.
pub(super) struct Parts<'a> {
    /// The stacked matrices.
    block: &'a Block,
    /// The adapters of the model.
    adapters: &'a Adapters,
    /// The matrices and the adapters of these, in order.
    slots: Vec<Slot>,
    /// Their values, stacked, in the order of the slots.
    stacked: Vec<Node>,
    /// What the gates go through.
    activation: Activation,
    /// Numbers of a matrix, where the weights have three values.
    ternary: Option<usize>,
    /// Whether what is computed forward is computed again on the way back, instead of kept.
    recomputes: bool,
}

/// What is kept of the experts of a layer until the way back.
enum AllWork {
    /// Of each by itself, none where no row came.
    Each(Vec<Option<Work>>, Shares),
    /// Of all at once, on a device.
    Together(Work, Arc<Groups>),
}

/// What is kept of a graph until the way back.
enum Work {
    /// All that it computed.
    Done(Graph),
    /// Its rows, of which it is computed again.
    Rows(Tensor),
}

/// How many rows each slice has for each expert.
struct Shares {
    /// Numbers of a row (C).
    width: usize,
    /// By slice, then (E + 1) places in its rows.
    offsets: Vec<Arc<[usize]>>,
}

/// One expert on its rows.
struct Graph {
    tape: Tape<'static>,
    x: Place,
    /// The matrices and their adapters, in the order of their slots.
    weights: Vec<Place>,
    out: Place,
}

impl<'a> Experts<'a> {
    /// Applies the experts to the rows of each slice, sorted by expert. Returns what they make of them, in the same order.
    pub(super) fn forward(
        parts: Parts<'a>,
        rows: &[(&Node, &Routing)],
        workers: &Workers,
    ) -> Result<(Self, Vec<Tensor>)> {
        if let [(Node { value: Tensor::Device(array), learns, .. }, routing)] = rows {
            let groups = array.device().ask(|gpu| gpu.groups(&routing.offsets))?;
            return Self::together(parts, array.clone(), *learns, Arc::new(groups));
        }
        let values: Vec<&Tensor> = rows.iter().map(|(node, _)| &node.value).collect();
        let width = values.first().map_or(Ok((0, 0)), |rows| rows.dims2())?.1;
        let shares =
            Shares { width, offsets: rows.iter().map(|(_, routing)| routing.offsets.clone()).collect() };
        let rows_learn = rows.iter().any(|(node, _)| node.learns);
        let work = workers.try_map(0..shares.experts(), |e| {
            let Some(rows) = shares.of_expert(e, &values)? else { return Result::Ok(None) };
            let (graph, out) = parts.expert(e, rows.clone(), rows_learn)?;
            Ok(Some((parts.keep(graph, rows), out)))
        })?;
        let (work, outs): (Vec<_>, Vec<_>) = work.into_iter().map(Option::unzip).unzip();
        let learn = outs.iter().flatten().any(|out| out.learns);
        let outs: Vec<_> = outs.iter().map(|out| Some(&out.as_ref()?.value)).collect();
        let outs = workers.try_map(0..rows.len(), |slice| shares.of_slice(slice, &outs))?;
        Ok((Self { parts, work: AllWork::Each(work, shares), rows_learn, learn }, outs))
    }

    /// The same on a device, the rows of all experts in one product.
    fn together(
        parts: Parts<'a>,
        rows: Array,
        rows_learn: bool,
        groups: Arc<Groups>,
    ) -> Result<(Self, Vec<Tensor>)> {
        let rows = Tensor::Device(rows);
        let (graph, out) = parts.stacked(rows.clone(), rows_learn, &groups)?;
        let work = AllWork::Together(parts.keep(graph, rows), groups);
        Ok((Self { parts, work, rows_learn, learn: out.learns }, vec![out.value]))
    }

    /// Adds the gradients of the weights to `gradients`, from those of what the experts made, by slice. Returns those of the rows.
    pub(super) fn backward(
        self,
        d_outs: &[Tensor],
        gradients: &mut [Gradient],
        workers: &Workers,
    ) -> Result<Vec<Tensor>> {
        let (parts, rows_learn) = (self.parts, self.rows_learn);
        match self.work {
            AllWork::Each(work, shares) => {
                each_back(&parts, rows_learn, (work, &shares), d_outs, gradients, workers)
            }
            AllWork::Together(work, groups) => {
                let graph = match work {
                    Work::Done(graph) => graph,
                    Work::Rows(rows) => parts.stacked(rows, rows_learn, &groups)?.0,
                };
                let blocks = parts.gradients(gradients).map(|gradient| &mut gradient.blocks[0]).collect();
                Ok(graph.backward(d_outs[0].clone(), blocks)?.into_iter().collect())
            }
        }
    }
}

/// The way back through experts that are graphs of their own.
fn each_back(
    parts: &Parts<'_>,
    rows_learn: bool,
    (work, shares): (Vec<Option<Work>>, &Shares),
    d_outs: &[Tensor],
    gradients: &mut [Gradient],
    workers: &Workers,
) -> Result<Vec<Tensor>> {
    let d_outs: Vec<&Tensor> = d_outs.iter().collect();
    let mut work: Vec<_> = work.into_iter().map(|work| (work, Vec::new())).collect();
    for gradient in parts.gradients(gradients) {
        for ((_, blocks), block) in work.iter_mut().zip(&mut gradient.blocks) {
            blocks.push(block);
        }
    }
    let d_rows = workers.try_map(work.into_iter().enumerate(), |(e, (work, blocks))| {
        let (Some(work), Some(d_out)) = (work, shares.of_expert(e, &d_outs)?) else { return Ok(None) };
        let graph = match work {
            Work::Done(graph) => graph,
            Work::Rows(rows) => parts.expert(e, rows, rows_learn)?.0,
        };
        graph.backward(d_out, blocks)
    })?;
    let d_rows: Vec<Option<&Tensor>> = d_rows.iter().map(Option::as_ref).collect();
    workers.try_map(0..d_outs.len(), |slice| shares.of_slice(slice, &d_rows))
}

impl<'a> Parts<'a> {
    /// Those of the stacked matrices `block` of a model of this config; `leaves` are its parameters, by slot.
    pub(super) fn new(
        block: &'a Block,
        adapters: &'a Adapters,
        leaves: &[Node],
        config: &Config,
        recomputes: bool,
    ) -> Self {
        let ternary = config.block.ternary_experts.map(|_| config.hidden_size * config.intermediate_size);
        let matrices = [block.gate_up.weight, block.down.weight].into_iter();
        let mut slots: Vec<Slot> = matrices.flat_map(|slot| adapters.slots(slot)).collect();
        slots.sort_unstable();
        let stacked = slots.iter().map(|slot| leaves[*slot].clone()).collect();
        Self { block, adapters, slots, stacked, activation: config.block.activation, ternary, recomputes }
    }

    /// The gradients of the matrices and their adapters, in the order of their slots.
    fn gradients<'g>(&self, gradients: &'g mut [Gradient]) -> impl Iterator<Item = &'g mut Gradient> {
        let of_block = |(slot, _): &(Slot, &mut Gradient)| self.slots.contains(slot);
        gradients.iter_mut().enumerate().filter(of_block).map(|(_, gradient)| gradient)
    }

    /// What to keep of a graph until the way back, and of its rows.
    fn keep(&self, graph: Graph, rows: Tensor) -> Work {
        if self.recomputes { Work::Rows(rows) } else { Work::Done(graph) }
    }

    /// Expert `e` on its rows, and what it makes of them.
    fn expert(&self, e: usize, rows: Tensor, rows_learn: bool) -> Result<(Graph, Node)> {
        self.graph(|stacked| stacked.get(e), rows, rows_learn, &Kind::Plain)
    }

    /// All experts, each on its group of the rows, and what they make of them.
    fn stacked(&self, rows: Tensor, rows_learn: bool, groups: &Arc<Groups>) -> Result<(Graph, Node)> {
        self.graph(|stacked| Ok(stacked.clone()), rows, rows_learn, &Kind::ByGroup(groups.clone()))
    }

    fn graph(
        &self,
        weight: impl Fn(&Tensor) -> Result<Tensor>,
        rows: Tensor,
        rows_learn: bool,
        kind: &Kind,
    ) -> Result<(Graph, Node)> {
        let mut tape = Tape::default();
        let x = tape.input(rows, rows_learn);
        let weight = |stacked: &Node| Ok(tape.input(weight(&stacked.value)?, stacked.learns));
        let weights = self.stacked.iter().map(weight).collect::<Result<Vec<Node>>>()?;
        let at =
            |slot: Slot| &weights[self.slots.binary_search(&slot).expect("the slots are those of the block")];
        let (gate_up, down) = (self.block.gate_up.weight, self.block.down.weight);
        let out = match self.ternary {
            Some(matrix) => {
                let weights =
                    [at(gate_up), at(down)].map(|weight| ternary_weights(&mut tape, weight, matrix));
                let [gate_up, down] = weights;
                ternary_block(&mut tape, &x, [&gate_up?, &down?], self.activation, kind)?
            }
            None => {
                let inner = self.adapters.linear(&mut tape, &x, gate_up, at, kind)?;
                let inner = gated(&mut tape, &inner, self.activation)?;
                self.adapters.linear(&mut tape, &inner, down, at, kind)?
            }
        };
        let weights = weights.iter().map(Node::place).collect();
        Ok((Graph { tape, x: x.place(), weights, out: out.place() }, out))
    }
}

impl Graph {
    fn backward(mut self, d_out: Tensor, blocks: Vec<&mut gradient::Block>) -> Result<Option<Tensor>> {
        self.tape.flow_in(self.out, d_out)?;
        self.weights.push(self.x);
        let mut gradients = self.tape.rest(self.weights)?;
        let d_rows = gradients.pop().flatten();
        for (block, gradient) in blocks.into_iter().zip(gradients) {
            if let Some(gradient) = gradient {
                block.add(gradient)?;
            }
        }
        Ok(d_rows)
    }
}

/// A block with weights of three values, and 8-bit activations.
fn ternary_block(
    tape: &mut Tape,
    x: &Node,
    [gate_up, down]: [&Node; 2],
    activation: Activation,
    kind: &Kind,
) -> Result<Node> {
    let rounded = rounded_activations(tape, x)?;
    let inner = linear(tape, &rounded, gate_up, kind)?;
    let inner = gated(tape, &inner, activation)?;
    let inner = rounded_activations(tape, &inner)?;
    linear(tape, &inner, down, kind)
}

impl Shares {
    fn experts(&self) -> usize {
        self.offsets.first().map_or(0, |offsets| offsets.len() - 1)
    }

    /// The rows of expert `e` out of the rows of all slices; none where there are none.
    fn of_expert(&self, e: usize, slices: &[&Tensor]) -> Result<Option<Tensor>> {
        let (mut rows, width) = (Vec::new(), self.width);
        for (slice, offsets) in slices.iter().zip(&self.offsets) {
            rows.extend_from_slice(&elements(slice)?[offsets[e] * width..offsets[e + 1] * width]);
        }
        let n = rows.len() / width;
        if n == 0 { Ok(None) } else { tensor(rows, (n, width)).map(Some) }
    }

    /// The rows of slice `slice` out of the rows of all experts.
    fn of_slice(&self, slice: usize, experts: &[Option<&Tensor>]) -> Result<Tensor> {
        let (mut rows, width) = (Vec::new(), self.width);
        for (e, expert) in experts.iter().enumerate() {
            let Some(expert) = expert else { continue };
            let count = |offsets: &Arc<[usize]>| offsets[e + 1] - offsets[e];
            let first: usize = self.offsets[..slice].iter().map(count).sum();
            let n = count(&self.offsets[slice]);
            rows.extend_from_slice(&elements(expert)?[first * width..(first + n) * width]);
        }
        let n = rows.len() / width;
        tensor(rows, (n, width))
    }
}
