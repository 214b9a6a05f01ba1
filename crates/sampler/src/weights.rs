//! A checkpoint's weights, packed once for inference: queries, keys and values fused, gates and ups fused.

use std::borrow::Cow;
use std::collections::BTreeMap;

use flow_kernels::{Activation, Heads, Norm, Packed, Precision, Shape, Table, padded};
use flow_model::names::{self, FeedForward as Names};
use flow_model::{AttentionExperts, Config, QkNorm, Tensor, Ternary, ternary};

use crate::Error;
use crate::attention::{QkNorms, Sight};
use crate::rotary::Rotary;

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
    Moe(Moe),
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
    pub(crate) experts: Vec<Gated>,
    pub(crate) experts_per_token: usize,
    /// Whether the chosen probabilities are divided by their sum.
    pub(crate) renormalise: bool,
    /// The shared expert and the one-output matrix of its sigmoid gate, where it has one.
    pub(crate) shared: Option<(Gated, Option<Packed>)>,
}

impl Weights {
    pub(crate) fn new(
        config: &Config,
        tensors: &BTreeMap<String, Tensor>,
        precision: Precision,
    ) -> Result<Self, Error> {
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
            embedding: Table::new(
                precision,
                hidden,
                &source.tensor(names::EMBEDDING, &[vocab, hidden])?.data,
            ),
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

/// Reads tensors by name, checking their shapes.
struct Source<'a> {
    tensors: &'a BTreeMap<String, Tensor>,
    config: &'a Config,
    precision: Precision,
}

impl Source<'_> {
    fn tensor(&self, name: &str, shape: &[usize]) -> Result<&Tensor, Error> {
        let missing = || flow_model::Error::TensorMissing { name: name.into(), help: String::new() };
        let tensor = self.tensors.get(name).ok_or_else(missing)?;
        if tensor.shape == shape {
            return Ok(tensor);
        }
        Err(Error::Shape { name: name.into(), found: tensor.shape.clone(), expected: shape.into() })
    }

    fn norm(&self, name: &str) -> Result<Norm, Error> {
        let width = self.config.hidden_size;
        let mut scale = self.scale(name, width)?;
        scale.resize(padded(width), 0.0);
        Ok(Norm { scale, width, eps: self.config.rms_norm_eps as f32 })
    }

    /// What a norm of `width` numbers scales by.
    fn scale(&self, name: &str, width: usize) -> Result<Vec<f32>, Error> {
        let offset = if self.config.block.gemma_norms { 1.0 } else { 0.0 };
        Ok(self.tensor(name, &[width])?.data.iter().map(|w| offset + w).collect())
    }

    /// What makes queries, keys and values of all attentions, and what joins their outputs again. Only the one attention of a
    /// layer has biases.
    fn attention(&self, names: &names::Layer) -> Result<(Packed, Packed), Error> {
        let (config, hidden) = (self.config, self.config.hidden_size);
        let (query, key_value) = (config.query_size(), config.key_value_size());
        if let ([q], [k], [v], [o]) =
            (&names.queries[..], &names.keys[..], &names.values[..], &names.outputs[..])
        {
            let fused =
                self.pack(hidden, &[(q, query), (k, key_value), (v, key_value)], config.block.qkv_bias)?;
            return Ok((fused, self.pack(query, &[(o, hidden)], config.block.output_bias)?));
        }
        let fused = [
            self.below(&names.queries, query, hidden)?,
            self.below(&names.keys, key_value, hidden)?,
            self.below(&names.values, key_value, hidden)?,
        ];
        let outputs = self.below(&names.outputs, hidden, query)?;
        let row = |o: usize| (0..names.outputs.len()).map(move |j| (j * hidden + o) * query);
        let beside: Vec<f32> =
            (0..hidden).flat_map(row).flat_map(|at| &outputs[at..at + query]).copied().collect();
        Ok((
            Packed::new(self.precision, hidden, &fused.each_ref().map(Vec::as_slice)),
            Packed::new(self.precision, names.outputs.len() * query, &[&beside]),
        ))
    }

    /// Matrices of the shape (outputs, inputs), one below the other.
    fn below(&self, names: &[String], outputs: usize, inputs: usize) -> Result<Vec<f32>, Error> {
        let mut all = Vec::with_capacity(names.len() * outputs * inputs);
        for name in names {
            all.extend_from_slice(&self.tensor(name, &[outputs, inputs])?.data);
        }
        Ok(all)
    }

    /// Packs what chooses among experts or weighs them: it is small, and a choice is not to be rounded.
    fn pack_router(&self, name: &str, outputs: usize) -> Result<Packed, Error> {
        let inputs = self.config.hidden_size;
        Ok(Packed::new(Precision::F32, inputs, &[&self.tensor(name, &[outputs, inputs])?.data]))
    }

    /// Packs matrices of (name, outputs) side by side, with their biases if they are `biased`.
    fn pack(&self, inputs: usize, matrices: &[(&str, usize)], biased: bool) -> Result<Packed, Error> {
        let data = |&(name, outputs): &(&str, usize)| Ok(&*self.tensor(name, &[outputs, inputs])?.data);
        let data: Vec<&[f32]> = matrices.iter().map(data).collect::<Result<_, Error>>()?;
        let packed = Packed::new(self.precision, inputs, &data);
        if !biased {
            return Ok(packed);
        }
        let bias = |&(name, outputs): &(&str, usize)| Ok(&*self.tensor(&names::bias(name), &[outputs])?.data);
        Ok(packed.with_bias(&matrices.iter().map(bias).collect::<Result<Vec<&[f32]>, Error>>()?))
    }

    fn layer(&self, i: usize) -> Result<Layer, Error> {
        let (config, names) = (self.config, names::layer(self.config, i));
        let norm = |name: &Option<String>| name.as_deref().map(|name| self.norm(name)).transpose();
        let router = |(name, experts): (&String, AttentionExperts)| {
            Ok::<_, Error>((self.pack_router(name, experts.count)?, experts))
        };
        let routers = names.attention_router.as_ref().zip(config.block.attention_experts);
        let (fused, output) = self.attention(&names)?;
        Ok(Layer {
            attention_norm: self.norm(&names.attention_norm)?,
            fused,
            attention_router: routers.map(router).transpose()?,
            sight: self.sight(i, names.qk_norms.as_ref())?,
            output,
            attention_post_norm: norm(&names.attention_post_norm)?,
            feed_forward_norm: norm(&names.feed_forward_norm)?,
            feed_forward: self.feed_forward(&names.feed_forward)?,
            feed_forward_post_norm: norm(&names.feed_forward_post_norm)?,
        })
    }

    fn sight(&self, i: usize, norms: Option<&[String; 2]>) -> Result<Sight, Error> {
        let (config, block) = (self.config, &self.config.block);
        let widths = match block.qk_norm {
            Some(QkNorm::Whole) => [config.query_size(), config.key_value_size()],
            _ => [config.head_dim; 2],
        };
        let norms = norms.map(|[query, key]| -> Result<QkNorms, Error> {
            let (query, key) = (self.scale(query, widths[0])?, self.scale(key, widths[1])?);
            Ok(QkNorms { query, key, eps: config.rms_norm_eps as f32 })
        });
        let window = block.window(i);
        let local = window.is_some() && block.sliding.as_ref().is_some_and(|sliding| sliding.rope.is_some());
        Ok(Sight {
            layer: i,
            rotary: usize::from(local),
            window: window.unwrap_or(usize::MAX),
            norms: norms.transpose()?,
        })
    }

    fn feed_forward(&self, names: &Names) -> Result<FeedForward, Error> {
        let config = self.config;
        let (router, experts, shared) = match names {
            Names::Dense(names) => {
                let block = self.gated(names, config.dense_size(), config.block.mlp_bias)?;
                return Ok(FeedForward::Dense(block));
            }
            Names::Moe { router, experts, shared } => (router, experts, shared),
        };
        let moe = config.moe.as_ref().expect("only a config with experts has names of experts");
        let shared = shared.as_ref().zip(moe.shared_expert_intermediate_size);
        let shared = shared.map(|((names, gate), width)| -> Result<_, Error> {
            let gate = gate.as_ref().map(|gate| self.pack_router(gate, 1));
            Ok((self.gated(names, width, false)?, gate.transpose()?))
        });
        let expert = |names| match config.block.ternary_experts {
            Some(Ternary::Latent) => self.ternary(names, true),
            Some(Ternary::Packed) => self.ternary(names, false),
            None => self.gated(names, config.intermediate_size, false),
        };
        Ok(FeedForward::Moe(Moe {
            router: self.pack_router(router, moe.num_experts)?,
            experts: experts.iter().map(expert).collect::<Result<_, _>>()?,
            experts_per_token: moe.experts_per_token,
            renormalise: moe.norm_topk_prob,
            shared: shared.transpose()?,
        }))
    }

    /// An expert of three-valued weights, which those of its tensors become if they are `latent`.
    fn ternary(&self, names: &names::Swiglu, latent: bool) -> Result<Gated, Error> {
        let (hidden, width) = (self.config.hidden_size, self.config.intermediate_size);
        let values = |name: &str, outputs: usize, inputs: usize| -> Result<Cow<'_, [f32]>, Error> {
            let data = &self.tensor(name, &[outputs, inputs])?.data;
            Ok(if latent { ternary::quantised(data).into() } else { (&**data).into() })
        };
        let gate_up = [values(&names.gate, width, hidden)?, values(&names.up, width, hidden)?];
        Ok(Gated {
            activation: self.activation(),
            rounds: true,
            gate_up: Packed::new(self.precision, hidden, &gate_up.each_ref().map(|matrix| &**matrix)),
            down: Packed::new(self.precision, width, &[&values(&names.down, hidden, width)?]),
        })
    }

    fn activation(&self) -> Activation {
        match self.config.block.activation {
            flow_model::Activation::Silu => Activation::Silu,
            flow_model::Activation::GeluTanh => Activation::GeluTanh,
            flow_model::Activation::Gelu => Activation::Gelu,
        }
    }

    fn gated(&self, names: &names::Swiglu, width: usize, biased: bool) -> Result<Gated, Error> {
        let hidden = self.config.hidden_size;
        Ok(Gated {
            activation: self.activation(),
            rounds: false,
            gate_up: self.pack(hidden, &[(&names.gate, width), (&names.up, width)], biased)?,
            down: self.pack(width, &[(&names.down, hidden)], biased)?,
        })
    }
}
