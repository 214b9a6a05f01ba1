//! Adapters as parameters of a model: which there are, what they add to products, and to the weights in the end.

use std::collections::BTreeMap;

use candle_core::{Result, bail};
use flow_model::Rng;

use super::parameters::{Parameter, Slot};
use crate::lora::{Lora, names};
use crate::matmul::Kind;
use crate::ops::adapt::adapt;
use crate::ops::linear::linear;
use crate::ops::tensor;
use crate::tape::{Node, Tape};
use crate::tensor::Tensor;

/// The adapters of a model.
#[derive(Default)]
pub(super) struct Adapters {
    scale: f32,
    by_slot: BTreeMap<Slot, Vec<Adapter>>,
}

/// An adapter of some rows of a parameter; of stacked experts, of these rows of each.
struct Adapter {
    a: Slot,
    b: Slot,
    /// First row.
    first: usize,
}

impl Adapters {
    /// Adds the parameters of the adapters that `lora` asks for to `all`.
    pub(super) fn new(lora: &Lora, seed: u64, all: &mut Vec<Parameter>) -> Result<Self> {
        let scale = (lora.alpha / lora.rank as f64) as f32;
        let mut adapters = Self { scale, by_slot: BTreeMap::new() };
        for slot in 0..all.len() {
            let per_block = all[slot].parts.len() / all[slot].blocks();
            let mut first = 0;
            for part in 0..per_block {
                let (name, shape) = &all[slot].parts[part];
                let rows = shape[0];
                if lora.targets.iter().any(|target| target.is(name)) {
                    let parts: Vec<_> =
                        all[slot].parts.iter().skip(part).step_by(per_block).cloned().collect();
                    let [a, b] = halves(lora.rank, seed, &parts, all[slot].value.rank() == 3)?;
                    let adapter = Adapter { a: all.len(), b: all.len() + 1, first };
                    all.extend([a, b]);
                    adapters.by_slot.entry(slot).or_default().push(adapter);
                }
                first += rows;
            }
        }
        Ok(adapters)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_slot.is_empty()
    }

    /// The places of a matrix and of its adapters.
    pub(super) fn slots(&self, slot: Slot) -> impl Iterator<Item = Slot> {
        let adapters = self.of(slot).iter();
        std::iter::once(slot).chain(adapters.flat_map(|adapter| [adapter.a, adapter.b]))
    }

    fn of(&self, slot: Slot) -> &[Adapter] {
        self.by_slot.get(&slot).map_or(&[], Vec::as_slice)
    }

    /// `x` times the transposed matrix at `slot`, with what its adapters add; `at` knows the nodes, `kind` what
    /// the product heeds.
    pub(super) fn linear<'n>(
        &self,
        tape: &mut Tape,
        x: &Node,
        slot: Slot,
        at: impl Fn(Slot) -> &'n Node,
        kind: &Kind,
    ) -> Result<Node> {
        let mut y = linear(tape, x, at(slot), kind)?;
        for adapter in self.of(slot) {
            y = adapt(tape, &y, x, [at(adapter.a), at(adapter.b)], (adapter.first, self.scale), kind)?;
        }
        Ok(y)
    }

    /// Adds what the adapters of the parameter at `slot` make to its `values`.
    pub(super) fn merge(&self, slot: Slot, all: &[Parameter], values: &mut [f32]) -> Result<()> {
        let block_length = values.len() / all[slot].blocks();
        for adapter in self.of(slot) {
            let (a, b) = (&all[adapter.a].value, &all[adapter.b].value);
            let product = product(&*b.on_host()?, &*a.on_host()?)?;
            let first = adapter.first * a.dims().last().copied().unwrap_or_default();
            let length = product.len() / all[slot].blocks();
            for (block, product) in values.chunks_exact_mut(block_length).zip(product.chunks_exact(length)) {
                let rows = block[first..].iter_mut().zip(product);
                rows.for_each(|(w, product)| *w += self.scale * product);
            }
        }
        Ok(())
    }
}

/// A, uniform as Kaiming's for a slope of the root of five, and B, zero, of matrices of one shape.
fn halves(rank: usize, seed: u64, parts: &[(String, Vec<usize>)], stacked: bool) -> Result<[Parameter; 2]> {
    let (rows, width) = (parts[0].1[0], parts[0].1[1]);
    let bound = 1.0 / (width as f64).sqrt();
    let uniform = |(name, _): &(String, _)| {
        let mut rng = Rng::new(seed, &names(name)[0]);
        (0..rank * width).map(move |_| ((2.0 * rng.uniform() - 1.0) * bound) as f32).collect::<Vec<f32>>()
    };
    let a = parts.iter().flat_map(uniform).collect();
    let half = |half: usize, values: Vec<f32>, [rows, width]: [usize; 2]| -> Result<Parameter> {
        let value: Tensor = match stacked {
            true => tensor(values, (parts.len(), rows, width))?,
            false => tensor(values, (rows, width))?,
        };
        let name = |(name, _): &(String, _)| (names(name)[half].clone(), vec![rows, width]);
        Ok(Parameter::adapter(value, parts.iter().map(name).collect()))
    };
    Ok([half(0, a, [rank, width])?, half(1, vec![0.0; parts.len() * rows * rank], [rows, rank])?])
}

/// `b` · `a`, of matrices or of each of two stacks.
fn product(b: &Tensor, a: &Tensor) -> Result<Vec<f32>> {
    let (Tensor::Host(b), Tensor::Host(a)) = (b, a) else { bail!("a product of tensors on a device") };
    b.matmul(a)?.flatten_all()?.to_vec1()
}
