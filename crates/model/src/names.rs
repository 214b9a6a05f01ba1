//! Hugging Face tensor names, in one place; shapes are (out, in), row-major, as PyTorch stores a linear layer.

use std::collections::{BTreeMap, BTreeSet};

use crate::{Config, Family, Moe, QkNorm, Ternary};

/// Token embedding, (V, C).
pub const EMBEDDING: &str = "model.embed_tokens.weight";
/// Scale of the last RMSNorm, (C).
pub const FINAL_NORM: &str = "model.norm.weight";
/// Output head, (V, C); absent when tied to [`EMBEDDING`].
pub const HEAD: &str = "lm_head.weight";

/// The three matrices of one gated block: `down(activation(gate(x)) * up(x))`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Swiglu {
    /// (intermediate, C).
    pub gate: String,
    /// (intermediate, C).
    pub up: String,
    /// (C, intermediate).
    pub down: String,
}

/// The tensors of one decoder layer. Those in an [`Option`] stand there when the config's switches call for them; the bias of
/// a matrix has its name with `.bias` in place of `.weight`, see [`bias`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    /// Scale of the RMSNorm before attention, (C).
    pub attention_norm: String,
    /// Router of a mixture of attention, (N, C).
    pub attention_router: Option<String>,
    /// Query projection of each attention, (H·head_dim, C).
    pub queries: Vec<String>,
    /// Key projections, (key/value heads·head_dim, C): one, or one for each attention.
    pub keys: Vec<String>,
    /// Value projections, as many and as large.
    pub values: Vec<String>,
    /// Output projection of each attention, (C, H·head_dim).
    pub outputs: Vec<String>,
    /// Scales of the RMSNorms of queries and of keys, (head_dim) each, or as long as the projections.
    pub qk_norms: Option<[String; 2]>,
    /// Scale of the RMSNorm of what attention gives, (C).
    pub attention_post_norm: Option<String>,
    /// Scale of the RMSNorm before the feed-forward block, (C); none where it reads what attention reads.
    pub feed_forward_norm: Option<String>,
    /// What follows attention.
    pub feed_forward: FeedForward,
    /// Scale of the RMSNorm of what the feed-forward block gives, (C).
    pub feed_forward_post_norm: Option<String>,
}

/// The block after attention.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FeedForward {
    /// One block for all tokens.
    Dense(Swiglu),
    /// Routed experts, and optionally one that all tokens visit.
    Moe {
        /// Router, (E, C).
        router: String,
        /// What is added to the probabilities to choose by, (E).
        router_bias: Option<String>,
        /// E routed experts.
        experts: Vec<Swiglu>,
        /// The shared expert, and its gate, (1, C), where it has one.
        shared: Option<(Swiglu, Option<String>)>,
    },
}

/// The names of layer `i`, counted from 0.
pub fn layer(config: &Config, i: usize) -> Layer {
    let at = |name: &str| format!("model.layers.{i}.{name}.weight");
    let gemma = config.block.gemma_norms;
    let attentions = |name: &str, count: usize| match count {
        1 => vec![at(&format!("self_attn.{name}"))],
        _ => (0..count).map(|j| at(&format!("self_attn.experts.{j}.{name}"))).collect(),
    };
    let before = if gemma { "pre_feedforward_layernorm" } else { "post_attention_layernorm" };
    Layer {
        attention_norm: at("input_layernorm"),
        attention_router: config.block.attention_experts.map(|_| at("self_attn.gate")),
        queries: attentions("q_proj", config.attentions()),
        keys: attentions("k_proj", config.key_values()),
        values: attentions("v_proj", config.key_values()),
        outputs: attentions("o_proj", config.attentions()),
        qk_norms: config.block.qk_norm.map(|_| [at("self_attn.q_norm"), at("self_attn.k_norm")]),
        attention_post_norm: gemma.then(|| at("post_attention_layernorm")),
        feed_forward_norm: (!config.block.parallel).then(|| at(before)),
        feed_forward: feed_forward(config, config.moe_of(i), at),
        feed_forward_post_norm: gemma.then(|| at("post_feedforward_layernorm")),
    }
}

/// The name of the bias that belongs to the matrix `weight`; as long as the matrix has rows.
pub fn bias(weight: &str) -> String {
    format!("{}.bias", weight.strip_suffix(".weight").unwrap_or(weight))
}

/// The name of what is added to the probabilities of the router `weight`, as DeepSeek-V3 has it.
fn router_bias(weight: &str) -> String {
    format!("{}.e_score_correction_bias", weight.strip_suffix(".weight").unwrap_or(weight))
}

/// Whether the matrix `weight` chooses or weighs experts.
pub fn is_router(weight: &str) -> bool {
    weight.ends_with("gate.weight")
}

fn feed_forward(config: &Config, moe: Option<&Moe>, at: impl Fn(&str) -> String) -> FeedForward {
    let block = |prefix: &str, [gate, up, down]: [&str; 3]| Swiglu {
        gate: at(&format!("{prefix}.{gate}")),
        up: at(&format!("{prefix}.{up}")),
        down: at(&format!("{prefix}.{down}")),
    };
    let llama = ["gate_proj", "up_proj", "down_proj"];
    let Some(moe) = moe else { return FeedForward::Dense(block("mlp", llama)) };
    let (root, parts) = match config.family() {
        Family::Mixtral => ("block_sparse_moe", ["w1", "w3", "w2"]),
        _ => ("mlp", llama),
    };
    let shared = moe.shared_expert_intermediate_size;
    FeedForward::Moe {
        router: at(&format!("{root}.gate")),
        router_bias: config.block.router_bias_update_rate.map(|_| router_bias(&at(&format!("{root}.gate")))),
        experts: (0..moe.num_experts).map(|e| block(&format!("{root}.experts.{e}"), parts)).collect(),
        shared: shared.map(|_| {
            let gate = (!config.block.plain_shared_expert).then(|| at("mlp.shared_expert_gate"));
            (block("mlp.shared_expert", llama), gate)
        }),
    }
}

/// How a matrix has few bits a weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    /// Two bits a weight, see [`crate::ternary`].
    Ternary,
    /// Four bits a weight, see [`crate::int4`].
    Int4,
}

/// The matrices that rest as few bits a weight: those of ternary experts where these are [`Ternary::Packed`], and those of shared experts with
/// [`crate::Block::int4_shared_expert`].
pub fn packed(config: &Config) -> BTreeMap<String, Packing> {
    let latent = config.block.ternary_experts == Some(Ternary::Latent);
    computed(config).into_iter().filter(|(_, packing)| !latent || *packing != Packing::Ternary).collect()
}

/// The matrices that a model computes with few bits a weight of, however they rest.
pub fn computed(config: &Config) -> BTreeMap<String, Packing> {
    let (ternary, int4) = (config.block.ternary_experts.is_some(), config.block.int4_shared_expert);
    let routed = routed(config).into_iter().filter(|_| ternary).map(|name| (name, Packing::Ternary));
    routed.chain(shared(config).into_iter().filter(|_| int4).map(|name| (name, Packing::Int4))).collect()
}

/// The matrices of all routed experts.
pub fn routed(config: &Config) -> BTreeSet<String> {
    matrices(config, |experts, _| experts)
}

/// The matrices of all shared experts, without their gates.
pub fn shared(config: &Config) -> BTreeSet<String> {
    matrices(config, |_, shared| shared.into_iter().collect())
}

/// The matrices of the blocks that `pick` takes of the routed experts and the shared one of each layer.
fn matrices(config: &Config, pick: impl Fn(Vec<Swiglu>, Option<Swiglu>) -> Vec<Swiglu>) -> BTreeSet<String> {
    let blocks = |i| match layer(config, i).feed_forward {
        FeedForward::Moe { experts, shared, .. } => pick(experts, shared.map(|(block, _)| block)),
        FeedForward::Dense(_) => Vec::new(),
    };
    let blocks = (0..config.num_hidden_layers).flat_map(blocks);
    blocks.flat_map(|block| [block.gate, block.up, block.down]).collect()
}

/// Every tensor a checkpoint of this config holds, with its shape, from the embedding to the head.
pub fn expected(config: &Config) -> Vec<(String, Vec<usize>)> {
    let (vocab, hidden) = (config.vocab_size, config.hidden_size);
    let mut tensors = vec![(EMBEDDING.to_owned(), vec![vocab, hidden])];
    for i in 0..config.num_hidden_layers {
        let names = layer(config, i);
        push_attention(config, &names, &mut tensors);
        tensors.extend(names.feed_forward_norm.map(|name| (name, vec![hidden])));
        push_feed_forward(config, names.feed_forward, &mut tensors);
        tensors.extend(names.feed_forward_post_norm.map(|name| (name, vec![hidden])));
    }
    tensors.push((FINAL_NORM.to_owned(), vec![hidden]));
    if !config.tie_word_embeddings {
        tensors.push((HEAD.to_owned(), vec![vocab, hidden]));
    }
    tensors
}

fn push_attention(config: &Config, names: &Layer, tensors: &mut Vec<(String, Vec<usize>)>) {
    let (hidden, block) = (config.hidden_size, &config.block);
    let (query, key_value) = (config.query_size(), config.key_value_size());
    tensors.push((names.attention_norm.clone(), vec![hidden]));
    let projections = [
        (&names.queries, query, hidden, block.qkv_bias),
        (&names.keys, key_value, hidden, block.qkv_bias),
        (&names.values, key_value, hidden, block.qkv_bias),
        (&names.outputs, hidden, query, block.output_bias),
    ];
    for (all, outputs, inputs, biased) in projections {
        for name in all {
            tensors.push((name.clone(), vec![outputs, inputs]));
            tensors.extend(biased.then(|| (bias(name), vec![outputs])));
        }
    }
    let attentions = names.queries.len();
    tensors.extend(names.attention_router.clone().map(|name| (name, vec![attentions, hidden])));
    if let Some([query_norm, key_norm]) = &names.qk_norms {
        let [query, key] = match block.qk_norm {
            Some(QkNorm::Whole) => [query, key_value],
            _ => [config.head_dim; 2],
        };
        tensors.push((query_norm.clone(), vec![query]));
        tensors.push((key_norm.clone(), vec![key]));
    }
    tensors.extend(names.attention_post_norm.clone().map(|name| (name, vec![hidden])));
}

fn push_feed_forward(config: &Config, names: FeedForward, tensors: &mut Vec<(String, Vec<usize>)>) {
    let hidden = config.hidden_size;
    let mut push = |names: Swiglu, width: usize, biased: bool| {
        for (name, outputs, inputs) in
            [(names.gate, width, hidden), (names.up, width, hidden), (names.down, hidden, width)]
        {
            tensors.extend(biased.then(|| (bias(&name), vec![outputs])));
            tensors.push((name, vec![outputs, inputs]));
        }
    };
    match names {
        FeedForward::Dense(names) => push(names, config.dense_size(), config.block.mlp_bias),
        FeedForward::Moe { router, router_bias, experts, shared } => {
            let shared_width = config.moe.as_ref().and_then(|moe| moe.shared_expert_intermediate_size);
            experts.into_iter().for_each(|names| push(names, config.intermediate_size, false));
            let gate = shared.zip(shared_width).and_then(|((names, gate), width)| {
                push(names, width, false);
                gate
            });
            tensors.extend(gate.map(|gate| (gate, vec![1, hidden])));
            tensors.push((router, vec![config.router_rows(), hidden]));
            tensors.extend(router_bias.map(|name| (name, vec![config.router_rows()])));
        }
    }
}
