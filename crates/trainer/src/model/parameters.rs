//! The parameters of a model: Hugging Face's tensors joined where one product can do the work of several.
//!
//! Query, key and value projections are one matrix, gate and up projections another, their biases one vector each, and the experts of a layer are
//! stacked. All joins are along the rows, so a parameter is its parts one after another.

use std::collections::BTreeMap;

use flow_model::Checkpoint;
use flow_model::names::{self, Swiglu};

use super::adapters::Adapters;
use crate::lora::Lora;
use crate::ops::tensor;
use crate::tensor::Tensor;
use crate::{Error, Part};

/// Tensors by name.
type Tensors = BTreeMap<String, flow_model::Tensor>;

/// One parameter and the tensors it joins.
pub(crate) struct Parameter {
    /// Contiguous f32, changed in place by the optimiser.
    pub(crate) value: Tensor,
    /// Names and shapes of its parts, in order.
    pub(crate) parts: Vec<(String, Vec<usize>)>,
    /// Whether its parts stand side by side, row by row, instead of one below the other.
    beside: bool,
    /// What it belongs to; none for an adapter.
    pub(crate) part: Option<Part>,
    /// Whether weight decay applies: to matrices, not to norms.
    pub(crate) decays: bool,
    /// Whether the load of experts moves it, instead of a gradient.
    pub(crate) by_load: bool,
}

impl Parameter {
    /// Half an adapter, or those of stacked experts.
    pub(super) fn adapter(value: Tensor, parts: Vec<(String, Vec<usize>)>) -> Self {
        Self { value, parts, beside: false, part: None, decays: true, by_load: false }
    }

    /// Its parts, from its values.
    fn take_apart(&self, values: &[f32], tensors: &mut Tensors) {
        if self.beside {
            return apart(values, &self.parts, tensors);
        }
        let mut rest = values;
        for (name, shape) in &self.parts {
            let (part, after) = rest.split_at(shape.iter().product());
            tensors.insert(name.clone(), flow_model::Tensor::new(shape.clone(), part));
            rest = after;
        }
    }

    /// How many stand one after another: as many as there are experts stacked in it, or one.
    pub(super) fn blocks(&self) -> usize {
        if let [experts, _, _] = self.value.dims() { *experts } else { 1 }
    }

    /// Blocks that get gradients apart.
    pub(super) fn gradient_blocks(&self) -> usize {
        if let Tensor::Host(_) = self.value { self.blocks() } else { 1 }
    }
}

/// The place of a parameter in the list.
pub(super) type Slot = usize;

/// A matrix, and a number for each of its rows where it has a bias.
#[derive(Clone, Copy)]
pub(super) struct Linear {
    /// (out, in).
    pub(super) weight: Slot,
    /// (out).
    pub(super) bias: Option<Slot>,
}

/// One gated block, or the stacked blocks of E experts with one dimension more, which have no biases.
pub(super) struct Block {
    /// (2·intermediate, C): gate, then up.
    pub(super) gate_up: Linear,
    /// (C, intermediate).
    pub(super) down: Linear,
}

/// The block after attention.
pub(super) enum FeedForward {
    /// One block for all tokens.
    Dense(Block),
    /// Routed experts and an optional shared one.
    Moe {
        /// (E, C).
        router: Slot,
        /// What is added to the probabilities to choose by, (E).
        router_bias: Option<Slot>,
        /// Stacked, (E, ..).
        experts: Block,
        /// The shared expert, and its gate, (1, C), where it has one.
        shared: Option<(Block, Option<Slot>)>,
    },
}

/// The parameters of one layer.
pub(super) struct Layer {
    /// (C).
    pub(super) attention_norm: Slot,
    /// Router of a mixture of attention, (attentions, C).
    pub(super) attention_router: Option<Slot>,
    /// (query + 2·key/value columns, C), each of all attentions.
    pub(super) query_key_value: Linear,
    /// Of queries and of keys: as long as a head, or as the projection.
    pub(super) qk_norms: Option<[Slot; 2]>,
    /// (C, query columns of all attentions).
    pub(super) output: Linear,
    /// Of what attention gives, (C).
    pub(super) attention_post_norm: Option<Slot>,
    /// Positions that attention sees, its own included; none for all up to its own.
    pub(super) window: Option<usize>,
    /// (C); none where the block reads what attention reads.
    pub(super) feed_forward_norm: Option<Slot>,
    /// What follows attention.
    pub(super) feed_forward: FeedForward,
    /// Of what the feed-forward block gives, (C).
    pub(super) feed_forward_post_norm: Option<Slot>,
}

impl Layer {
    /// What is added to the probabilities of its router to choose by.
    pub(super) fn router_bias(&self) -> Option<Slot> {
        if let FeedForward::Moe { router_bias, .. } = &self.feed_forward { *router_bias } else { None }
    }
}

/// The parameters of a model: a list, and what each is for.
pub(super) struct Parameters {
    /// (V, C).
    pub(super) embedding: Slot,
    /// From the first to the last.
    pub(super) layers: Vec<Layer>,
    /// (C).
    pub(super) final_norm: Slot,
    /// (V, C); the embedding itself when tied.
    pub(super) head: Slot,
    /// Each parameter once, in a fixed order; those of adapters come last.
    pub(super) all: Vec<Parameter>,
    /// Which adapters there are.
    pub(super) adapters: Adapters,
}

impl Parameters {
    /// Copies the tensors of a checkpoint, and begins adapters with the seed where they are asked for.
    pub(super) fn new(start: &Checkpoint, lora: Option<(&Lora, u64)>) -> Result<Self, Error> {
        let mut join = Join { start, all: Vec::new() };
        let embedding = join.one(Part::Embeddings, names::EMBEDDING)?;
        let layers = (0..start.config.num_hidden_layers).map(|i| join.layer(i)).collect::<Result<_, _>>()?;
        let final_norm = join.one(Part::Norms, names::FINAL_NORM)?;
        let tied = start.config.tie_word_embeddings;
        let head = if tied { embedding } else { join.one(Part::Head, names::HEAD)? };
        let mut all = join.all;
        let adapters = match lora {
            Some((lora, seed)) => Adapters::new(lora, seed, &mut all)?,
            None => Adapters::default(),
        };
        Ok(Self { embedding, layers, final_norm, head, all, adapters })
    }

    /// The tensors of the model as they are now, adapters merged into them.
    pub(super) fn tensors(&self) -> Result<Tensors, Error> {
        let mut tensors = Tensors::new();
        for (slot, parameter) in self.all.iter().enumerate().filter(|(_, parameter)| parameter.part.is_some())
        {
            let mut values = parameter.value.to_vec()?;
            self.adapters.merge(slot, &self.all, &mut values)?;
            parameter.take_apart(&values, &mut tensors);
        }
        Ok(tensors)
    }

    /// The tensors of the adapters as they are now.
    pub(super) fn adapter_tensors(&self) -> Result<Tensors, Error> {
        let mut tensors = Tensors::new();
        for parameter in self.all.iter().filter(|parameter| parameter.part.is_none()) {
            parameter.take_apart(&parameter.value.to_vec()?, &mut tensors);
        }
        Ok(tensors)
    }
}

/// Takes matrices that stand side by side apart again; all have the same shape.
fn apart(values: &[f32], parts: &[(String, Vec<usize>)], tensors: &mut Tensors) {
    let width = parts[0].1[1];
    for (j, (name, shape)) in parts.iter().enumerate() {
        let rows = values.chunks_exact(width).skip(j).step_by(parts.len());
        tensors.insert(
            name.clone(),
            flow_model::Tensor::new(shape.clone(), rows.flatten().copied().collect::<Vec<f32>>()),
        );
    }
}

/// Makes parameters of a checkpoint's tensors and keeps the list.
struct Join<'a> {
    start: &'a Checkpoint,
    all: Vec<Parameter>,
}

impl Join<'_> {
    fn layer(&mut self, i: usize) -> Result<Layer, Error> {
        let names = names::layer(&self.start.config, i);
        let (qkv_bias, output_bias) = (self.start.config.block.qkv_bias, self.start.config.block.output_bias);
        let qkv: Vec<&String> = names.queries.iter().chain(&names.keys).chain(&names.values).collect();
        let outputs: Vec<&String> = names.outputs.iter().collect();
        Ok(Layer {
            attention_norm: self.one(Part::Norms, &names.attention_norm)?,
            attention_router: self.maybe(Part::Router, names.attention_router.as_ref())?,
            query_key_value: self.linear(Part::Attention, &qkv, qkv_bias)?,
            qk_norms: match &names.qk_norms {
                Some([query, key]) => Some([self.one(Part::Norms, query)?, self.one(Part::Norms, key)?]),
                None => None,
            },
            output: Linear {
                weight: self.beside(Part::Attention, &names.outputs)?,
                bias: self.bias(Part::Attention, &outputs, output_bias)?,
            },
            attention_post_norm: self.maybe(Part::Norms, names.attention_post_norm.as_ref())?,
            window: self.start.config.block.window(i),
            feed_forward_norm: self.maybe(Part::Norms, names.feed_forward_norm.as_ref())?,
            feed_forward: self.feed_forward(&names.feed_forward)?,
            feed_forward_post_norm: self.maybe(Part::Norms, names.feed_forward_post_norm.as_ref())?,
        })
    }

    fn feed_forward(&mut self, names: &names::FeedForward) -> Result<FeedForward, Error> {
        Ok(match names {
            names::FeedForward::Dense(block) => {
                let biased = self.start.config.block.mlp_bias;
                FeedForward::Dense(self.block(Part::FeedForward, block, biased)?)
            }
            names::FeedForward::Moe { router, router_bias, experts, shared } => FeedForward::Moe {
                router: self.one(Part::Router, router)?,
                router_bias: router_bias.as_ref().map(|name| self.by_load(name)).transpose()?,
                experts: self.experts(experts)?,
                shared: match shared {
                    Some((block, gate)) => Some((
                        self.block(Part::SharedExpert, block, false)?,
                        self.maybe(Part::SharedExpert, gate.as_ref())?,
                    )),
                    None => None,
                },
            },
        })
    }

    fn block(&mut self, part: Part, names: &Swiglu, biased: bool) -> Result<Block, Error> {
        let gate_up = self.linear(part, &[&names.gate, &names.up], biased)?;
        Ok(Block { gate_up, down: self.linear(part, &[&names.down], biased)? })
    }

    fn experts(&mut self, experts: &[Swiglu]) -> Result<Block, Error> {
        let gate_up: Vec<&str> = experts.iter().flat_map(|names| [names.gate.as_str(), &names.up]).collect();
        let down: Vec<&str> = experts.iter().map(|names| names.down.as_str()).collect();
        let hidden = self.start.config.hidden_size;
        let width = self.start.config.intermediate_size;
        let gate_up = self.join(Part::Experts, &gate_up, vec![experts.len(), 2 * width, hidden])?;
        let down = self.join(Part::Experts, &down, vec![experts.len(), hidden, width])?;
        Ok(Block {
            gate_up: Linear { weight: gate_up, bias: None },
            down: Linear { weight: down, bias: None },
        })
    }

    fn one(&mut self, part: Part, name: &str) -> Result<Slot, Error> {
        self.rows(part, &[name])
    }

    /// One that the load of experts moves.
    fn by_load(&mut self, name: &str) -> Result<Slot, Error> {
        flow_model::expect_finite(name, &self.start.tensor(name)?.data)?;
        let slot = self.one(Part::Router, name)?;
        self.all[slot].by_load = true;
        Ok(slot)
    }

    fn maybe(&mut self, part: Part, name: Option<&String>) -> Result<Option<Slot>, Error> {
        name.map(|name| self.one(part, name)).transpose()
    }

    /// Matrices with the same number of columns, one below the other, and so their biases.
    fn linear(&mut self, part: Part, names: &[&String], biased: bool) -> Result<Linear, Error> {
        let matrices: Vec<&str> = names.iter().map(|name| name.as_str()).collect();
        Ok(Linear { weight: self.rows(part, &matrices)?, bias: self.bias(part, names, biased)? })
    }

    /// The biases of matrices, where they have some, one after another.
    fn bias(&mut self, part: Part, names: &[&String], biased: bool) -> Result<Option<Slot>, Error> {
        let biases: Vec<String> = names.iter().map(|name| names::bias(name)).collect();
        let biases: Vec<&str> = biases.iter().map(String::as_str).collect();
        biased.then(|| self.rows(part, &biases)).transpose()
    }

    /// Tensors that differ in the number of their rows at most, one below the other.
    fn rows(&mut self, part: Part, names: &[&str]) -> Result<Slot, Error> {
        let mut shape = self.start.tensor(names[0])?.shape.clone();
        for name in &names[1..] {
            shape[0] += self.start.tensor(name)?.shape[0];
        }
        self.join(part, names, shape)
    }

    /// Matrices of the same shape, side by side.
    fn beside(&mut self, part: Part, names: &[String]) -> Result<Slot, Error> {
        let tensors = names.iter().map(|name| self.start.tensor(name)).collect::<Result<Vec<_>, _>>()?;
        let (rows, width) = (tensors[0].shape[0], tensors[0].shape[1]);
        let row = |i: usize| tensors.iter().flat_map(move |tensor| &tensor.data[i * width..][..width]);
        let data: Vec<f32> = (0..rows).flat_map(row).copied().collect();
        let parts = names.iter().zip(&tensors).map(|(name, tensor)| (name.clone(), tensor.shape.clone()));
        let parts: Vec<_> = parts.collect();
        let value = tensor(data, (rows, parts.len() * width))?;
        self.all.push(Parameter {
            value,
            parts,
            beside: true,
            part: Some(part),
            decays: true,
            by_load: false,
        });
        Ok(self.all.len() - 1)
    }

    fn join(&mut self, part: Part, names: &[&str], shape: Vec<usize>) -> Result<Slot, Error> {
        let (mut data, mut parts) = (Vec::new(), Vec::new());
        for name in names {
            let tensor = self.start.tensor(name)?;
            data.extend_from_slice(&tensor.data);
            parts.push((name.to_string(), tensor.shape.clone()));
        }
        let decays = shape.len() > 1;
        let value = tensor(data, shape)?;
        self.all.push(Parameter { value, parts, beside: false, part: Some(part), decays, by_load: false });
        Ok(self.all.len() - 1)
    }
}
