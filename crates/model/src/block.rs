//! What a decoder layer does beyond Llama's, as a table of switches: one description for all families.

use crate::{Error, Rope, RopeScaling};

/// More experts that compute nothing than any model has; a bound on what a config can ask a loader for.
const MOST_NULL_EXPERTS: usize = 1 << 16;

/// The switches of a model; the default is Llama, with none on.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Block {
    /// What the gate of a feed-forward block goes through.
    pub activation: Activation,
    /// Whether query, key and value projections have biases.
    pub qkv_bias: bool,
    /// Whether the output projection of attention has a bias.
    pub output_bias: bool,
    /// Whether the three matrices of a dense feed-forward block have biases.
    pub mlp_bias: bool,
    /// An RMSNorm of queries and of keys, before they are rotated.
    pub qk_norm: Option<QkNorm>,
    /// Queries, keys and values are held between minus this and this.
    pub clip_qkv: Option<f64>,
    /// Gemma's norms: each scales by 1 + its weight, what attention and the feed-forward block give is normed before it is
    /// added, and embeddings are multiplied by the square root of their width.
    pub gemma_norms: bool,
    /// Scores of attention are divided by the root of this; `None`: of `head_dim`.
    pub query_pre_attn_scalar: Option<f64>,
    /// Scores of attention are bent to stay between minus this and this.
    pub attn_logit_softcapping: Option<f64>,
    /// Scores of tokens are bent to stay between minus this and this.
    pub final_logit_softcapping: Option<f64>,
    /// Stretching of the rotary frequencies.
    pub rope_scaling: RopeScaling,
    /// Layers that see only the last tokens; `None`: no layer.
    pub sliding: Option<Sliding>,
    /// Layers that have a dense block although the model has experts; `None`: no layer.
    pub dense: Option<Dense>,
    /// Attention and the feed-forward block read one norm of the stream and are added to it together; there is no second norm.
    pub parallel: bool,
    /// Several attentions in each layer, all of which every token visits; `None`: one.
    pub attention_experts: Option<AttentionExperts>,
    /// The shared expert is added as it is, without a gate.
    pub plain_shared_expert: bool,
    /// Routed experts have weights of three values and read activations of 8 bits; `None`: neither.
    pub ternary_experts: Option<Ternary>,
    /// The shared expert has weights of four bits, see [`crate::int4`], which do not learn.
    pub int4_shared_expert: bool,
    /// A token visits the fewest most probable experts whose probabilities reach this sum, above 0 to 1 (arXiv 2403.07652); `None`: as many as
    /// [`crate::Moe::experts_per_token`] says.
    pub experts_top_p: Option<f64>,
    /// Rows of the router behind those of the experts, for experts that compute nothing: a token that chooses one visits an expert less (arXiv
    /// 2406.13233). Probabilities are divided by the sum of those that are left.
    pub null_experts: usize,
    /// Experts are chosen by their probabilities plus a bias of each, and weighted by the probabilities alone; after each step of training the
    /// bias of an expert with less than the mean load rises by this much, and that of one with more falls (arXiv 2408.15664). `None`: no bias.
    pub router_bias_update_rate: Option<f64>,
}

/// A soft mixture of attention (BAM, arXiv 2408.08274): with g the softmax of a router's logits, what a layer attends to is
/// the sum of g times each attention's output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttentionExperts {
    /// Attentions in a layer (N), at least 2.
    pub count: usize,
    /// Whether they differ in queries and outputs only, and share keys and values.
    pub shared_key_value: bool,
    /// Attentions that count for a token, 1 to N: those with the largest g, which stays as it is. `None`: all.
    pub experts_per_token: Option<usize>,
}

impl AttentionExperts {
    /// Sets to 0 the weights, one for each attention and none below 0, of those that do not count for a token. Of equal ones the
    /// first count.
    pub fn keep(&self, weights: &mut [f32]) {
        let Some(kept) = self.experts_per_token else { return };
        while weights.iter().filter(|weight| **weight > 0.0).count() > kept {
            let counting = (0..weights.len()).rev().filter(|at| weights[*at] > 0.0);
            let least = counting.min_by(|a, b| weights[*a].total_cmp(&weights[*b]));
            weights[least.expect("more than `kept` are above 0")] = 0.0;
        }
    }
}

/// How the weights of ternary experts rest (MoTE, arXiv 2506.14435). Either way the model computes with -s, 0 and s only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ternary {
    /// As the full-precision weights that training moves; s and the signs follow from them, see [`crate::ternary`].
    Latent,
    /// As -s, 0 and s: two bits a weight on disk.
    Packed,
}

/// The function of a gated block: `down(activation(gate(x)) * up(x))`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Activation {
    /// `x / (1 + e^-x)`.
    #[default]
    Silu,
    /// `x` times the normal distribution function, by its tanh approximation.
    GeluTanh,
    /// `x` times the normal distribution function.
    Gelu,
}

/// What an RMSNorm of queries and keys spans.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QkNorm {
    /// Each head by itself; the weight, (head_dim), is the same for all heads.
    Head,
    /// All heads together; the weight is as long as the projection.
    Whole,
}

/// Layers with a sliding window.
#[derive(Clone, Debug, PartialEq)]
pub struct Sliding {
    /// Positions such a layer sees, its own included; at least 1.
    pub window: usize,
    /// Whether each layer has the window.
    pub layers: Vec<bool>,
    /// Rotary positions of these layers, where they differ from those of the other layers.
    pub rope: Option<Rope>,
}

/// Dense layers of a model with experts.
#[derive(Clone, Debug, PartialEq)]
pub struct Dense {
    /// Whether each layer is dense.
    pub layers: Vec<bool>,
    /// Width of their block.
    pub intermediate_size: usize,
}

impl Block {
    /// How many positions layer `i` sees; `None`: all.
    pub fn window(&self, i: usize) -> Option<usize> {
        self.sliding.as_ref().filter(|sliding| sliding.layers[i]).map(|sliding| sliding.window)
    }

    /// Checks what the types cannot say, for a model of `layers` layers.
    pub(crate) fn validate(&self, layers: usize) -> Result<(), Error> {
        let each = |key: &str, found: usize| match found == layers {
            true => Ok(()),
            false => Err(bad(key, found, format!("one entry for each of {layers} layers"))),
        };
        if let Some(sliding) = &self.sliding {
            each("layer_types", sliding.layers.len())?;
            if sliding.window == 0 {
                return Err(bad("sliding_window", 0, "at least 1".into()));
            }
        }
        if let Some(dense) = &self.dense {
            each("mlp_only_layers", dense.layers.len())?;
            if dense.intermediate_size == 0 {
                return Err(bad("intermediate_size", 0, "at least 1".into()));
            }
        }
        if let Some(AttentionExperts { count, experts_per_token, .. }) = self.attention_experts {
            if self.qkv_bias || self.qk_norm.is_some() {
                let expected = "null with biases or norms of queries and keys".into();
                return Err(bad("attention_experts", count, expected));
            }
            if count < 2 {
                return Err(bad("attention_experts", count, "at least 2, or null".into()));
            }
            if let Some(kept) = experts_per_token.filter(|kept| !(1..=count).contains(kept)) {
                return Err(bad("attention_experts_per_token", kept, format!("1 to {count}, or null")));
            }
        }
        if let Some(p) = self.experts_top_p.filter(|p| !(*p > 0.0 && *p <= 1.0)) {
            return Err(bad("experts_top_p", p, "above 0, at most 1, or null".into()));
        }
        if self.null_experts > MOST_NULL_EXPERTS {
            return Err(bad("null_experts", self.null_experts, format!("at most {MOST_NULL_EXPERTS}")));
        }
        if let Some(rate) = self.router_bias_update_rate.filter(|rate| !(0.0..=1.0).contains(rate)) {
            return Err(bad("router_bias_update_rate", rate, "0 to 1, or null".into()));
        }
        let positive = [
            ("clip_qkv", self.clip_qkv),
            ("query_pre_attn_scalar", self.query_pre_attn_scalar),
            ("attn_logit_softcapping", self.attn_logit_softcapping),
            ("final_logit_softcapping", self.final_logit_softcapping),
        ];
        positive.into_iter().try_for_each(|(key, value)| match value {
            Some(value) if value.is_nan() || value <= 0.0 => Err(bad(key, value, "more than zero".into())),
            _ => Ok(()),
        })
    }
}

fn bad(key: &str, found: impl ToString, expected: String) -> Error {
    Error::ConfigValue { key: key.into(), found: found.to_string(), expected }
}
