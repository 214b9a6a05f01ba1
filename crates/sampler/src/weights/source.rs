//! From the tensors of a checkpoint to packed weights, a few rows at a time.

use flow_kernels::{Activation, Code, Norm, Packed, Precision, Routing, Table, padded};
use flow_model::names::{self, FeedForward as Names, Packing};
use flow_model::{AttentionExperts, Config, QkNorm, Tensors, Ternary, ternary};

use super::{FeedForward, Gated, Layer, Moe};
use crate::Error;
use crate::attention::{QkNorms, Sight};

/// Reads tensors by name, checking their shapes.
pub(super) struct Source<'a> {
    pub(super) tensors: &'a dyn Tensors,
    pub(super) config: &'a Config,
    pub(super) precision: Precision,
}

impl Source<'_> {
    /// Hands the numbers of a tensor of this shape to `take`, whole rows at a time.
    fn read(&self, name: &str, shape: &[usize], take: &mut dyn FnMut(&[f32])) -> Result<(), Error> {
        let missing = || flow_model::Error::TensorMissing { name: name.into(), help: String::new() };
        let found = self.tensors.shape(name).ok_or_else(missing)?;
        if found != shape {
            return Err(Error::Shape { name: name.into(), found: found.into(), expected: shape.into() });
        }
        Ok(self.tensors.read(name, take)?)
    }

    /// All numbers of a tensor.
    fn whole(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, Error> {
        let mut all = Vec::with_capacity(shape.iter().product());
        self.read(name, shape, &mut |numbers| all.extend_from_slice(numbers))?;
        Ok(all)
    }

    /// A matrix (rows, width) whose rows are looked up.
    pub(super) fn table(&self, name: &str, rows: usize, width: usize) -> Result<Table, Error> {
        let mut table = Table::with_capacity(self.precision, width, rows);
        self.read(name, &[rows, width], &mut |numbers| table.extend(width, numbers))?;
        Ok(table)
    }

    pub(super) fn norm(&self, name: &str) -> Result<Norm, Error> {
        let width = self.config.hidden_size;
        let mut scale = self.scale(name, width)?;
        scale.resize(padded(width), 0.0);
        Ok(Norm { scale, width, eps: self.config.rms_norm_eps as f32 })
    }

    /// What a norm of `width` numbers scales by.
    fn scale(&self, name: &str, width: usize) -> Result<Vec<f32>, Error> {
        let offset = if self.config.block.gemma_norms { 1.0 } else { 0.0 };
        Ok(self.whole(name, &[width])?.iter().map(|w| offset + w).collect())
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
        let parts = [(&names.queries, query), (&names.keys, key_value), (&names.values, key_value)];
        let below = |(names, outputs): &(&Vec<String>, usize)| names.len() * outputs;
        let mut fused = Packed::zeros(self.precision, hidden, parts.iter().map(below));
        let mut column = 0;
        for part @ (names, outputs) in &parts {
            for (j, name) in names.iter().enumerate() {
                self.fill(&mut fused, column + j * outputs, (name, *outputs), hidden)?;
            }
            column += padded(below(part));
        }
        Ok((fused, self.beside(&names.outputs, hidden, query)?))
    }

    /// Matrices of the shape (outputs, inputs), one beside the other.
    fn beside(&self, names: &[String], outputs: usize, inputs: usize) -> Result<Packed, Error> {
        let width = names.len() * inputs;
        let mut all = vec![0.0; outputs * width];
        for (j, name) in names.iter().enumerate() {
            let mut rows = all.chunks_exact_mut(width);
            self.read(name, &[outputs, inputs], &mut |numbers| {
                for (from, to) in numbers.chunks_exact(inputs).zip(&mut rows) {
                    to[j * inputs..][..inputs].copy_from_slice(from);
                }
            })?;
        }
        Ok(Packed::new(self.precision, width, &[&all]))
    }

    /// Packs what chooses among experts or weighs them: it is small, and a choice is not to be rounded.
    fn pack_router(&self, name: &str, outputs: usize) -> Result<Packed, Error> {
        let inputs = self.config.hidden_size;
        Ok(Packed::new(Precision::F32, inputs, &[&self.whole(name, &[outputs, inputs])?]))
    }

    /// Packs matrices of (name, outputs) side by side, with their biases if they are `biased`.
    pub(super) fn pack(
        &self,
        inputs: usize,
        matrices: &[(&str, usize)],
        biased: bool,
    ) -> Result<Packed, Error> {
        let mut packed = Packed::zeros(self.precision, inputs, matrices.iter().map(|(_, outputs)| *outputs));
        let mut column = 0;
        for matrix in matrices {
            self.fill(&mut packed, column, *matrix, inputs)?;
            column += padded(matrix.1);
        }
        if !biased {
            return Ok(packed);
        }
        let bias = |&(name, outputs): &(&str, usize)| self.whole(&names::bias(name), &[outputs]);
        let biases: Vec<Vec<f32>> = matrices.iter().map(bias).collect::<Result<_, _>>()?;
        Ok(packed.with_bias(&biases.iter().map(Vec::as_slice).collect::<Vec<_>>()))
    }

    /// Sets the outputs of a matrix from `column` on.
    fn fill(
        &self,
        packed: &mut Packed,
        mut column: usize,
        (name, outputs): (&str, usize),
        inputs: usize,
    ) -> Result<(), Error> {
        self.read(name, &[outputs, inputs], &mut |rows| {
            packed.set(column, rows);
            column += rows.len() / inputs;
        })
    }

    pub(super) fn layer(&self, i: usize) -> Result<Layer, Error> {
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
        let (router, router_bias, experts, shared) = match names {
            Names::Dense(names) => {
                let block = self.gated(names, config.dense_size(), config.block.mlp_bias)?;
                return Ok(FeedForward::Dense(block));
            }
            Names::Moe { router, router_bias, experts, shared } => (router, router_bias, experts, shared),
        };
        let moe = config.moe.as_ref().expect("only a config with experts has names of experts");
        let shared = shared.as_ref().zip(moe.shared_expert_intermediate_size);
        let shared = shared.map(|((names, gate), width)| -> Result<_, Error> {
            let gate = gate.as_ref().map(|gate| self.pack_router(gate, 1));
            let block = match config.block.int4_shared_expert {
                true => self.coded_block(names, width, Packing::Int4),
                false => self.gated(names, width, false),
            };
            Ok((block?, gate.transpose()?))
        });
        let expert = |names| match config.block.ternary_experts {
            Some(_) => {
                let block = self.coded_block(names, config.intermediate_size, Packing::Ternary)?;
                Ok(Gated { rounds: true, ..block })
            }
            None => self.gated(names, config.intermediate_size, false),
        };
        Ok(FeedForward::Moe(Box::new(Moe {
            router: self.pack_router(router, self.config.router_rows())?,
            router_bias: router_bias.as_ref().map(|name| self.biases(name, experts.len())).transpose()?,
            experts: experts.iter().map(expert).collect::<Result<_, _>>()?,
            null_experts: self.config.block.null_experts,
            routing: match self.config.block.experts_top_p {
                Some(p) => Routing::TopP(p),
                None => Routing::TopK(moe.experts_per_token),
            },
            renormalise: moe.norm_topk_prob,
            shared: shared.transpose()?,
        })))
    }

    /// What is added to the probabilities of so many experts; it decides which are chosen, so each is a number.
    fn biases(&self, name: &str, experts: usize) -> Result<Vec<f32>, Error> {
        let biases = self.whole(name, &[experts])?;
        flow_model::expect_finite(name, &biases)?;
        Ok(biases)
    }

    /// A block whose weights have few bits each.
    fn coded_block(&self, names: &names::Swiglu, width: usize, packing: Packing) -> Result<Gated, Error> {
        let hidden = self.config.hidden_size;
        Ok(Gated {
            activation: self.activation(),
            rounds: false,
            gate_up: self.pack_coded(packing, hidden, &[(&names.gate, width), (&names.up, width)])?,
            down: self.pack_coded(packing, width, &[(&names.down, hidden)])?,
        })
    }

    /// Packs matrices of (name, outputs) of few bits a weight side by side.
    fn pack_coded(
        &self,
        packing: Packing,
        inputs: usize,
        matrices: &[(&str, usize)],
    ) -> Result<Packed, Error> {
        let mut packed = Packed::coded(code(packing), inputs, matrices.iter().map(|(_, outputs)| *outputs));
        let mut column = 0;
        for (name, outputs) in matrices {
            let (mut at, mut done) = (column, Ok(()));
            let mut take = |rows: &[f32]| {
                let put = packing.coded(name, rows, inputs);
                let put = put.map(|coded| packed.set_coded(at, &coded.codes, &coded.scales));
                at += rows.len() / inputs;
                done = std::mem::replace(&mut done, Ok(())).and(put);
            };
            match (packing, self.config.block.ternary_experts) {
                // The scale of latent weights is known when all of them are.
                (Packing::Ternary, Some(Ternary::Latent)) => {
                    take(&ternary::quantised(&self.whole(name, &[*outputs, inputs])?));
                }
                _ => self.read(name, &[*outputs, inputs], &mut take)?,
            }
            done?;
            column += padded(*outputs);
        }
        Ok(packed)
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

/// How weights that rest in few bits are kept while they are drawn with.
pub(crate) fn code(packing: Packing) -> Code {
    match packing {
        Packing::Ternary => Code::Ternary,
        Packing::Int4 => Code::Int4,
    }
}
