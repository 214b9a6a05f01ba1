//! The shape of a model: what `config.json` says, reduced to what the arithmetic needs.

use crate::{Block, Error, Rope, RopeScaling};

/// More layers than any model has; a bound on what a config can make a loader do.
pub(crate) const MOST_LAYERS: usize = 4096;

/// The shape of a decoder. Sizes count elements, not bytes.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Rows of the embedding (V); every token id is below it.
    pub vocab_size: usize,
    /// Width of the residual stream (C).
    pub hidden_size: usize,
    /// Width of the feed-forward block; with experts, the width of each routed expert.
    pub intermediate_size: usize,
    /// Number of decoder layers (L).
    pub num_hidden_layers: usize,
    /// Number of query heads (H).
    pub num_attention_heads: usize,
    /// Number of key/value heads; divides `num_attention_heads`.
    pub num_key_value_heads: usize,
    /// Width of one head; even.
    pub head_dim: usize,
    /// Added to the mean square before its root.
    pub rms_norm_eps: f64,
    /// Base of the rotary frequencies.
    pub rope_theta: f64,
    /// Longest sequence, in tokens, before a dynamic stretching of the positions; see [`Config::context`].
    pub max_position_embeddings: usize,
    /// Whether the output head is the embedding.
    pub tie_word_embeddings: bool,
    /// Tokens that end a text; the first is the one that training writes.
    pub eos_token_ids: Vec<u32>,
    /// Token that begins a text.
    pub bos_token_id: Option<u32>,
    /// Experts in place of the dense block, in every layer that [`Block::dense`] does not name.
    pub moe: Option<Moe>,
    /// What its layers do beyond Llama's.
    pub block: Block,
}

/// The mixture-of-experts part of a [`Config`].
#[derive(Clone, Debug, PartialEq)]
pub struct Moe {
    /// Routed experts per layer (E).
    pub num_experts: usize,
    /// Routed experts each token visits (K), 1 to `num_experts`; with [`Block::experts_top_p`] those an undecided router would choose.
    pub experts_per_token: usize,
    /// Whether the K router probabilities are divided by their sum.
    pub norm_topk_prob: bool,
    /// Width of an expert every token visits, scaled by a sigmoid gate unless [`Block::plain_shared_expert`]; `None` without one.
    pub shared_expert_intermediate_size: Option<usize>,
    /// Weight of the load-balance loss in training.
    pub router_aux_loss_coef: f64,
    /// Weight of the router z-loss in training; an own key of this project in `config.json`, 0 when absent.
    pub router_z_loss_coef: f64,
}

impl Config {
    /// Attentions in each layer (N); 1 without a mixture of attention.
    pub fn attentions(&self) -> usize {
        self.block.attention_experts.map_or(1, |experts| experts.count)
    }

    /// Projections of keys in each layer, and as many of values: one for each attention, or one for all.
    pub fn key_values(&self) -> usize {
        self.block
            .attention_experts
            .map_or(1, |experts| if experts.shared_key_value { 1 } else { experts.count })
    }

    /// Width of all query heads of an attention together.
    pub fn query_size(&self) -> usize {
        self.num_attention_heads * self.head_dim
    }

    /// Width of all key heads of an attention together, and of all value heads.
    pub fn key_value_size(&self) -> usize {
        self.num_key_value_heads * self.head_dim
    }

    /// Positions a sequence may have. Dynamic stretching goes `factor` times beyond `max_position_embeddings`.
    pub fn context(&self) -> usize {
        match self.block.rope_scaling {
            RopeScaling::Dynamic { factor, original } => (original as f64 * factor) as usize,
            _ => self.max_position_embeddings,
        }
    }

    /// Rotary positions of layers without a window of their own kind.
    pub fn rope(&self) -> Rope {
        Rope { theta: self.rope_theta, scaling: self.block.rope_scaling }
    }

    /// The experts of layer `i`, if it has any.
    pub fn moe_of(&self, i: usize) -> Option<&Moe> {
        self.moe.as_ref().filter(|_| !self.block.dense.as_ref().is_some_and(|dense| dense.layers[i]))
    }

    /// The layers with experts, from the first to the last.
    pub fn layers_with_experts(&self) -> impl Iterator<Item = usize> {
        (0..self.num_hidden_layers).filter(|i| self.moe_of(*i).is_some())
    }

    /// Rows of a router: one for each routed expert, and one for each that computes nothing.
    pub fn router_rows(&self) -> usize {
        self.moe.as_ref().map_or(0, |moe| moe.num_experts) + self.block.null_experts
    }

    /// Width of the dense feed-forward block of layers without experts.
    pub fn dense_size(&self) -> usize {
        self.block.dense.as_ref().map_or(self.intermediate_size, |dense| dense.intermediate_size)
    }

    /// Number of stored parameters; a tied head counts once.
    pub fn num_parameters(&self) -> usize {
        crate::names::expected(self).iter().map(|(_, shape)| shape.iter().product::<usize>()).sum()
    }

    /// Checks what the types cannot say.
    ///
    /// # Errors
    /// [`Error::ConfigValue`] names the first key whose value contradicts another or cannot be computed with.
    pub fn validate(&self) -> Result<(), Error> {
        let sizes = [
            ("vocab_size", self.vocab_size),
            ("hidden_size", self.hidden_size),
            ("intermediate_size", self.intermediate_size),
            ("num_hidden_layers", self.num_hidden_layers),
            ("num_attention_heads", self.num_attention_heads),
            ("num_key_value_heads", self.num_key_value_heads),
            ("max_position_embeddings", self.max_position_embeddings),
        ];
        for (key, size) in sizes {
            require(size > 0, key, size, "at least 1")?;
        }
        let layers = self.num_hidden_layers;
        require(layers <= MOST_LAYERS, "num_hidden_layers", layers, format!("at most {MOST_LAYERS}"))?;
        let heads = self.num_attention_heads;
        require(
            heads.is_multiple_of(self.num_key_value_heads),
            "num_key_value_heads",
            self.num_key_value_heads,
            format!("a divisor of num_attention_heads, {heads}"),
        )?;
        let even = self.head_dim > 0 && self.head_dim.is_multiple_of(2);
        require(even, "head_dim", self.head_dim, "a positive even number")?;
        require(self.rms_norm_eps >= 0.0, "rms_norm_eps", self.rms_norm_eps, "zero or more")?;
        require(self.rope_theta > 0.0, "rope_theta", self.rope_theta, "more than zero")?;
        let (eos, bos) = (self.eos_token_ids.iter(), self.bos_token_id.iter());
        for (key, &id) in eos.map(|id| ("eos_token_id", id)).chain(bos.map(|id| ("bos_token_id", id))) {
            let expected = format!("an id below vocab_size, {}", self.vocab_size);
            require((id as usize) < self.vocab_size, key, id, expected)?;
        }
        self.block.validate(layers)?;
        let routed = self.moe.is_some();
        require(
            routed || self.block.null_experts == 0,
            "null_experts",
            self.block.null_experts,
            "0 without experts",
        )?;
        let top_p = self.block.experts_top_p;
        require(
            routed || top_p.is_none(),
            "experts_top_p",
            top_p.unwrap_or_default(),
            "null without experts",
        )?;
        let rate = self.block.router_bias_update_rate;
        require(
            rate.is_none() || routed && top_p.is_none() && self.block.null_experts == 0,
            "router_bias_update_rate",
            rate.unwrap_or_default(),
            "null without experts, with experts_top_p and with null_experts",
        )?;
        let shared = self.moe.as_ref().is_some_and(|moe| moe.shared_expert_intermediate_size.is_some());
        require(
            shared || !self.block.int4_shared_expert,
            "shared_expert_bits",
            4,
            "null without a shared expert",
        )?;
        self.moe.as_ref().map_or(Ok(()), Moe::validate)
    }
}

impl Moe {
    fn validate(&self) -> Result<(), Error> {
        require(self.num_experts > 0, "num_experts", self.num_experts, "at least 1")?;
        require(
            (1..=self.num_experts).contains(&self.experts_per_token),
            "num_experts_per_tok",
            self.experts_per_token,
            format!("1 to the number of experts, {}", self.num_experts),
        )?;
        let shared = self.shared_expert_intermediate_size;
        require(shared != Some(0), "shared_expert_intermediate_size", 0, "at least 1, or null")?;
        let coefs = [
            ("router_aux_loss_coef", self.router_aux_loss_coef),
            ("router_z_loss_coef", self.router_z_loss_coef),
        ];
        coefs.into_iter().try_for_each(|(key, coef)| require(coef >= 0.0, key, coef, "zero or more"))
    }
}

fn require(holds: bool, key: &str, found: impl ToString, expected: impl Into<String>) -> Result<(), Error> {
    if holds {
        return Ok(());
    }
    Err(Error::ConfigValue { key: key.into(), found: found.to_string(), expected: expected.into() })
}
