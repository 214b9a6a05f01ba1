//! The parameters of a model: Hugging Face's tensors joined where one product can do the work of several.
//!
//! Query, key and value projections are one matrix, gate and up projections another, and the experts of a layer are
//! stacked. All joins are along the rows, so a parameter is its parts one after another.

use std::collections::BTreeMap;

use candle_core::Tensor;
use flow_model::Checkpoint;
use flow_model::names::{self, Swiglu};

use crate::Error;
use crate::ops::{elements, tensor};

/// One parameter and the tensors it joins.
pub(crate) struct Parameter {
    /// Contiguous f32, changed in place by the optimiser.
    pub(crate) value: Tensor,
    /// Names and shapes of its parts, in order.
    pub(crate) parts: Vec<(String, Vec<usize>)>,
    /// Whether weight decay applies: to matrices, not to norms.
    pub(crate) decays: bool,
}

/// The place of a parameter in the list.
pub(super) type Slot = usize;

/// One SwiGLU block, or the stacked blocks of E experts with one dimension more.
pub(super) struct Block {
    /// (2·intermediate, C): gate, then up.
    pub(super) gate_up: Slot,
    /// (C, intermediate).
    pub(super) down: Slot,
}

/// The block after attention.
pub(super) enum FeedForward {
    /// One block for all tokens.
    Dense(Block),
    /// Routed experts and an optional shared one.
    Moe {
        /// (E, C).
        router: Slot,
        /// Stacked, (E, ..).
        experts: Block,
        /// The shared expert and its gate, (1, C).
        shared: Option<(Block, Slot)>,
    },
}

/// The parameters of one layer.
pub(super) struct Layer {
    /// (C).
    pub(super) attention_norm: Slot,
    /// (query + 2·key/value columns, C).
    pub(super) query_key_value: Slot,
    /// (C, query columns).
    pub(super) output: Slot,
    /// (C).
    pub(super) feed_forward_norm: Slot,
    /// What follows attention.
    pub(super) feed_forward: FeedForward,
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
    /// Each parameter once, in a fixed order.
    pub(super) all: Vec<Parameter>,
}

impl Parameters {
    /// Copies the tensors of a checkpoint.
    pub(super) fn new(start: &Checkpoint) -> Result<Self, Error> {
        crate::config::trainable(&start.config)?;
        let mut join = Join { start, all: Vec::new() };
        let embedding = join.one(names::EMBEDDING)?;
        let layers = (0..start.config.num_hidden_layers).map(|i| join.layer(i)).collect::<Result<_, _>>()?;
        let final_norm = join.one(names::FINAL_NORM)?;
        let tied = start.config.tie_word_embeddings;
        let head = if tied { embedding } else { join.one(names::HEAD)? };
        Ok(Self { embedding, layers, final_norm, head, all: join.all })
    }

    /// The tensors as they are now.
    pub(super) fn tensors(&self) -> Result<BTreeMap<String, flow_model::Tensor>, Error> {
        let mut tensors = BTreeMap::new();
        for parameter in &self.all {
            let values = elements(&parameter.value)?;
            let mut rest = &values[..];
            for (name, shape) in &parameter.parts {
                let (part, after) = rest.split_at(shape.iter().product());
                tensors.insert(name.clone(), flow_model::Tensor::new(shape.clone(), part));
                rest = after;
            }
        }
        Ok(tensors)
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
        Ok(Layer {
            attention_norm: self.one(&names.attention_norm)?,
            query_key_value: self.rows(&[&names.query, &names.key, &names.value])?,
            output: self.one(&names.output)?,
            feed_forward_norm: self.one(&names.feed_forward_norm)?,
            feed_forward: self.feed_forward(&names.feed_forward)?,
        })
    }

    fn feed_forward(&mut self, names: &names::FeedForward) -> Result<FeedForward, Error> {
        Ok(match names {
            names::FeedForward::Dense(block) => FeedForward::Dense(self.block(block)?),
            names::FeedForward::Moe { router, experts, shared } => FeedForward::Moe {
                router: self.one(router)?,
                experts: self.experts(experts)?,
                shared: match shared {
                    Some((block, gate)) => Some((self.block(block)?, self.one(gate)?)),
                    None => None,
                },
            },
        })
    }

    fn block(&mut self, names: &Swiglu) -> Result<Block, Error> {
        Ok(Block { gate_up: self.rows(&[&names.gate, &names.up])?, down: self.one(&names.down)? })
    }

    fn experts(&mut self, experts: &[Swiglu]) -> Result<Block, Error> {
        let gate_up: Vec<&str> = experts.iter().flat_map(|names| [names.gate.as_str(), &names.up]).collect();
        let down: Vec<&str> = experts.iter().map(|names| names.down.as_str()).collect();
        let hidden = self.start.config.hidden_size;
        let width = self.start.config.intermediate_size;
        Ok(Block {
            gate_up: self.join(&gate_up, vec![experts.len(), 2 * width, hidden])?,
            down: self.join(&down, vec![experts.len(), hidden, width])?,
        })
    }

    fn one(&mut self, name: &str) -> Result<Slot, Error> {
        let shape = self.start.tensor(name)?.shape.clone();
        self.join(&[name], shape)
    }

    /// Matrices with the same number of columns, one below the other.
    fn rows(&mut self, names: &[&str]) -> Result<Slot, Error> {
        let mut rows = 0;
        for name in names {
            rows += self.start.tensor(name)?.shape[0];
        }
        self.join(names, vec![rows, self.start.config.hidden_size])
    }

    fn join(&mut self, names: &[&str], shape: Vec<usize>) -> Result<Slot, Error> {
        let (mut data, mut parts) = (Vec::new(), Vec::new());
        for name in names {
            let tensor = self.start.tensor(name)?;
            data.extend_from_slice(&tensor.data);
            parts.push((name.to_string(), tensor.shape.clone()));
        }
        let decays = shape.len() > 1;
        let value = tensor(data, shape)?;
        self.all.push(Parameter { value, parts, decays });
        Ok(self.all.len() - 1)
    }
}
