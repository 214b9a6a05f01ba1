//! A checkpoint's weights, packed once for inference: queries, keys and values fused, gates and ups fused.

use flow_kernels::{Activation, Heads, Norm, Packed, Precision, Routing, Shape, Table};
use flow_model::{AttentionExperts, Config, Tensors, names};

use crate::Error;
use crate::attention::Sight;
use crate::rotary::Rotary;

mod source;

use source::Source;

pub(crate) use source::code;

/// Everything a forward pass reads.
pub(crate) struct Weights {
    pub(crate) shape: Shape,
    pub(crate) hidden: usize,
    pub(crate) vocab: usize,
    /// Positions the model has.
    pub(crate) context: usize,
    /// Of most layers, and of those with a window where these have their own.
    pub(crate) rotaries: Vec<Rotary>,
    /// (V, C).
    pub(crate) embedding: Table,
    /// What embeddings are multiplied by.
    pub(crate) embedding_scale: Option<f32>,
    pub(crate) layers: Vec<Layer>,
    pub(crate) final_norm: Norm,
    pub(crate) head: Packed,
    /// What scores are bent to stay below.
    pub(crate) score_cap: Option<f32>,
}

/// One decoder layer.
pub(crate) struct Layer {
    pub(crate) attention_norm: Norm,
    /// Queries, keys and values side by side, each of all attentions.
    pub(crate) fused: Packed,
    /// How much each of several attentions counts.
    pub(crate) attention_router: Option<(Packed, AttentionExperts)>,
    pub(crate) sight: Sight,
    pub(crate) output: Packed,
    /// Of what attention gives, before it is added.
    pub(crate) attention_post_norm: Option<Norm>,
    /// `None`: the block reads what attention reads.
    pub(crate) feed_forward_norm: Option<Norm>,
    pub(crate) feed_forward: FeedForward,
    /// Of what the block gives, before it is added.
    pub(crate) feed_forward_post_norm: Option<Norm>,
}

/// The block after attention.
pub(crate) enum FeedForward {
    Dense(Gated),
    Moe(Box<Moe>),
}

/// `down(activation(gate(x)) * up(x))`.
pub(crate) struct Gated {
    pub(crate) activation: Activation,
    /// Whether each product reads activations of 8 bits.
    pub(crate) rounds: bool,
    /// Gates and ups side by side.
    pub(crate) gate_up: Packed,
    pub(crate) down: Packed,
}

impl Gated {
    /// Width of the inner row, padded.
    pub(crate) fn inner(&self) -> usize {
        self.gate_up.outputs() / 2
    }
}

/// Routed experts, and optionally one that every row visits.
pub(crate) struct Moe {
    pub(crate) router: Packed,
    /// What is added to the probabilities to choose by, one number for each expert.
    pub(crate) router_bias: Option<Vec<f32>>,
    pub(crate) experts: Vec<Gated>,
    /// Experts that compute nothing; their probabilities come last.
    pub(crate) null_experts: usize,
    /// Which experts a row visits where it does not say.
    pub(crate) routing: Routing,
    /// Whether the chosen probabilities are divided by their sum.
    pub(crate) renormalise: bool,
    /// The shared expert and the one-output matrix of its sigmoid gate, where it has one.
    pub(crate) shared: Option<(Gated, Option<Packed>)>,
}

impl Weights {
    /// Packs `tensors` as they are read; each is needed for its own part only, so that nothing but the packed weights stays.
    pub(crate) fn new(config: &Config, tensors: &dyn Tensors, precision: Precision) -> Result<Self, Error> {
        let source = Source { tensors, config, precision };
        let (vocab, hidden) = (config.vocab_size, config.hidden_size);
        let block = &config.block;
        let key_value_heads = config.key_values() * config.num_key_value_heads;
        let heads = Heads { key_value_heads, head_dim: config.head_dim };
        let scaled_by = block.query_pre_attn_scalar.unwrap_or(config.head_dim as f64);
        let shape = Shape {
            query_heads: config.attentions() * config.num_attention_heads,
            attentions: config.attentions(),
            readers: config.attentions() / config.key_values(),
            heads,
            scale: 1.0 / (scaled_by as f32).sqrt(),
            cap: block.attn_logit_softcapping.map(|cap| cap as f32),
            clip: block.clip_qkv.map(|clip| clip as f32),
        };
        let local = block.sliding.as_ref().and_then(|sliding| sliding.rope.clone());
        let ropes = std::iter::once(config.rope()).chain(local);
        let head = if config.tie_word_embeddings { names::EMBEDDING } else { names::HEAD };
        Ok(Self {
            shape,
            hidden,
            vocab,
            context: config.context(),
            rotaries: ropes.map(|rope| Rotary::new(config.context(), config.head_dim, rope)).collect(),
            embedding: source.table(names::EMBEDDING, vocab, hidden)?,
            embedding_scale: block.gemma_norms.then(|| (hidden as f64).sqrt() as f32),
            layers: (0..config.num_hidden_layers).map(|i| source.layer(i)).collect::<Result<_, _>>()?,
            final_norm: source.norm(names::FINAL_NORM)?,
            head: source.pack(hidden, &[(head, vocab)], false)?,
            score_cap: block.final_logit_softcapping.map(|cap| cap as f32),
        })
    }

    /// Bytes of all matrices and tables; norms are not worth counting.
    pub(crate) fn bytes(&self) -> usize {
        let tables = self.embedding.bytes() + self.rotaries.iter().map(Rotary::bytes).sum::<usize>();
        let layer = |layer: &Layer| layer.fused.bytes() + layer.output.bytes() + layer.feed_forward.bytes();
        tables + self.head.bytes() + self.layers.iter().map(layer).sum::<usize>()
    }
}

impl FeedForward {
    fn bytes(&self) -> usize {
        let gated = |block: &Gated| block.gate_up.bytes() + block.down.bytes();
        match self {
            Self::Dense(block) => gated(block),
            Self::Moe(moe) => {
                let bytes = |(block, gate): &(Gated, Option<Packed>)| {
                    gated(block) + gate.as_ref().map_or(0, Packed::bytes)
                };
                let shared = moe.shared.as_ref().map_or(0, bytes);
                moe.router.bytes() + moe.experts.iter().map(gated).sum::<usize>() + shared
            }
        }
    }
}
