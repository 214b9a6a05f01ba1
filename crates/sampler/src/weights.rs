//! A checkpoint's weights, packed once for inference: queries, keys and values fused, gates and ups fused.

use flow_model::names::{self, FeedForward as Names};
use flow_model::{Checkpoint, Config, Tensor};

use crate::Error;
use crate::attention::Shape;
use crate::cache::Heads;
use crate::layers::Norm;
use crate::matmul::{Packed, padded};
use crate::rotary::Rotary;

/// Everything a forward pass reads.
pub(crate) struct Weights {
    pub(crate) shape: Shape,
    pub(crate) hidden: usize,
    pub(crate) vocab: usize,
    /// Positions the model has.
    pub(crate) context: usize,
    pub(crate) rotary: Rotary,
    /// (V, C), as in the checkpoint.
    pub(crate) embedding: Tensor,
    pub(crate) layers: Vec<Layer>,
    pub(crate) final_norm: Norm,
    pub(crate) head: Packed,
}

/// One decoder layer.
pub(crate) struct Layer {
    pub(crate) attention_norm: Norm,
    /// Queries, keys and values side by side.
    pub(crate) fused: Packed,
    pub(crate) output: Packed,
    pub(crate) feed_forward_norm: Norm,
    pub(crate) feed_forward: FeedForward,
}

/// The block after attention.
pub(crate) enum FeedForward {
    Dense(Swiglu),
    Moe(Moe),
}

/// `down(silu(gate(x)) * up(x))`.
pub(crate) struct Swiglu {
    /// Gates and ups side by side.
    pub(crate) gate_up: Packed,
    pub(crate) down: Packed,
}

impl Swiglu {
    /// Width of the inner row, padded.
    pub(crate) fn inner(&self) -> usize {
        self.gate_up.outputs() / 2
    }
}

/// Routed experts, and optionally one that every row visits.
pub(crate) struct Moe {
    pub(crate) router: Packed,
    pub(crate) experts: Vec<Swiglu>,
    pub(crate) experts_per_token: usize,
    /// Whether the chosen probabilities are divided by their sum.
    pub(crate) renormalise: bool,
    /// The shared expert and the one-output matrix of its sigmoid gate.
    pub(crate) shared: Option<(Swiglu, Packed)>,
}

impl Weights {
    pub(crate) fn new(checkpoint: &Checkpoint) -> Result<Self, Error> {
        let config = &checkpoint.config;
        let source = Source { checkpoint, config };
        let (vocab, hidden) = (config.vocab_size, config.hidden_size);
        let heads = Heads { key_value_heads: config.num_key_value_heads, head_dim: config.head_dim };
        let head = if config.tie_word_embeddings { names::EMBEDDING } else { names::HEAD };
        Ok(Self {
            shape: Shape { query_heads: config.num_attention_heads, heads },
            hidden,
            vocab,
            context: config.max_position_embeddings,
            rotary: Rotary::new(config.max_position_embeddings, config.head_dim, config.rope_theta),
            embedding: source.tensor(names::EMBEDDING, &[vocab, hidden])?.clone(),
            layers: (0..config.num_hidden_layers).map(|i| source.layer(i)).collect::<Result<_, _>>()?,
            final_norm: source.norm(names::FINAL_NORM)?,
            head: source.pack(hidden, &[(head, vocab)])?,
        })
    }
}

/// Reads tensors of a checkpoint by name, checking their shapes.
struct Source<'a> {
    checkpoint: &'a Checkpoint,
    config: &'a Config,
}

impl Source<'_> {
    fn tensor(&self, name: &str, shape: &[usize]) -> Result<&Tensor, Error> {
        let tensor = self.checkpoint.tensor(name)?;
        if tensor.shape == shape {
            return Ok(tensor);
        }
        Err(Error::Shape { name: name.into(), found: tensor.shape.clone(), expected: shape.into() })
    }

    fn norm(&self, name: &str) -> Result<Norm, Error> {
        let width = self.config.hidden_size;
        let mut scale = self.tensor(name, &[width])?.data.to_vec();
        scale.resize(padded(width), 0.0);
        Ok(Norm { scale, width, eps: self.config.rms_norm_eps as f32 })
    }

    /// Packs matrices of (name, outputs) side by side.
    fn pack(&self, inputs: usize, matrices: &[(&str, usize)]) -> Result<Packed, Error> {
        let data = |&(name, outputs): &(&str, usize)| Ok(&*self.tensor(name, &[outputs, inputs])?.data);
        Ok(Packed::new(inputs, &matrices.iter().map(data).collect::<Result<Vec<&[f32]>, Error>>()?))
    }

    fn layer(&self, i: usize) -> Result<Layer, Error> {
        let (config, names) = (self.config, names::layer(self.config, i));
        let (hidden, query, key_value) = (config.hidden_size, config.query_size(), config.key_value_size());
        let fused = [(&*names.query, query), (&*names.key, key_value), (&*names.value, key_value)];
        Ok(Layer {
            attention_norm: self.norm(&names.attention_norm)?,
            fused: self.pack(hidden, &fused)?,
            output: self.pack(query, &[(&names.output, hidden)])?,
            feed_forward_norm: self.norm(&names.feed_forward_norm)?,
            feed_forward: self.feed_forward(&names.feed_forward)?,
        })
    }

    fn feed_forward(&self, names: &Names) -> Result<FeedForward, Error> {
        let (hidden, width) = (self.config.hidden_size, self.config.intermediate_size);
        let (router, experts, shared) = match names {
            Names::Dense(names) => return Ok(FeedForward::Dense(self.swiglu(names, width)?)),
            Names::Moe { router, experts, shared } => (router, experts, shared),
        };
        let moe = self.config.moe.as_ref().expect("only a config with experts has names of experts");
        let shared = shared.as_ref().zip(moe.shared_expert_intermediate_size);
        let shared = shared.map(|((names, gate), width)| -> Result<_, Error> {
            Ok((self.swiglu(names, width)?, self.pack(hidden, &[(gate, 1)])?))
        });
        Ok(FeedForward::Moe(Moe {
            router: self.pack(hidden, &[(router, moe.num_experts)])?,
            experts: experts.iter().map(|names| self.swiglu(names, width)).collect::<Result<_, _>>()?,
            experts_per_token: moe.experts_per_token,
            renormalise: moe.norm_topk_prob,
            shared: shared.transpose()?,
        }))
    }

    fn swiglu(&self, names: &names::Swiglu, width: usize) -> Result<Swiglu, Error> {
        let hidden = self.config.hidden_size;
        Ok(Swiglu {
            gate_up: self.pack(hidden, &[(&names.gate, width), (&names.up, width)])?,
            down: self.pack(width, &[(&names.down, hidden)])?,
        })
    }
}
