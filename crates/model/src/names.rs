//! Hugging Face tensor names, in one place; shapes are (out, in), row-major, as PyTorch stores a linear layer.

use crate::{Config, Family};

/// Token embedding, (V, C).
pub const EMBEDDING: &str = "model.embed_tokens.weight";
/// Scale of the last RMSNorm, (C).
pub const FINAL_NORM: &str = "model.norm.weight";
/// Output head, (V, C); absent when tied to [`EMBEDDING`].
pub const HEAD: &str = "lm_head.weight";

/// The three matrices of one SwiGLU block: `down(silu(gate(x)) * up(x))`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Swiglu {
    /// (intermediate, C).
    pub gate: String,
    /// (intermediate, C).
    pub up: String,
    /// (C, intermediate).
    pub down: String,
}

/// The tensors of one decoder layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    /// Scale of the RMSNorm before attention, (C).
    pub attention_norm: String,
    /// Query projection, (H·head_dim, C).
    pub query: String,
    /// Key projection, (key/value heads·head_dim, C).
    pub key: String,
    /// Value projection, (key/value heads·head_dim, C).
    pub value: String,
    /// Output projection, (C, H·head_dim).
    pub output: String,
    /// Scale of the RMSNorm before the feed-forward block, (C).
    pub feed_forward_norm: String,
    /// What follows attention.
    pub feed_forward: FeedForward,
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
        /// E routed experts.
        experts: Vec<Swiglu>,
        /// The shared expert and its gate, (1, C).
        shared: Option<(Swiglu, String)>,
    },
}

/// The names of layer `i`, counted from 0.
pub fn layer(config: &Config, i: usize) -> Layer {
    let at = |name: &str| format!("model.layers.{i}.{name}.weight");
    Layer {
        attention_norm: at("input_layernorm"),
        query: at("self_attn.q_proj"),
        key: at("self_attn.k_proj"),
        value: at("self_attn.v_proj"),
        output: at("self_attn.o_proj"),
        feed_forward_norm: at("post_attention_layernorm"),
        feed_forward: feed_forward(config, at),
    }
}

fn feed_forward(config: &Config, at: impl Fn(&str) -> String) -> FeedForward {
    let block = |prefix: &str, [gate, up, down]: [&str; 3]| Swiglu {
        gate: at(&format!("{prefix}.{gate}")),
        up: at(&format!("{prefix}.{up}")),
        down: at(&format!("{prefix}.{down}")),
    };
    let llama = ["gate_proj", "up_proj", "down_proj"];
    let Some(moe) = &config.moe else { return FeedForward::Dense(block("mlp", llama)) };
    let (root, parts) = match config.family() {
        Family::Mixtral => ("block_sparse_moe", ["w1", "w3", "w2"]),
        Family::Llama | Family::Qwen2Moe => ("mlp", llama),
    };
    let shared = moe.shared_expert_intermediate_size;
    FeedForward::Moe {
        router: at(&format!("{root}.gate")),
        experts: (0..moe.num_experts).map(|e| block(&format!("{root}.experts.{e}"), parts)).collect(),
        shared: shared.map(|_| (block("mlp.shared_expert", llama), at("mlp.shared_expert_gate"))),
    }
}

/// Every tensor a checkpoint of this config holds, with its shape, from the embedding to the head.
pub fn expected(config: &Config) -> Vec<(String, Vec<usize>)> {
    let (vocab, hidden) = (config.vocab_size, config.hidden_size);
    let (query, key_value) = (config.query_size(), config.key_value_size());
    let mut tensors = vec![(EMBEDDING.to_owned(), vec![vocab, hidden])];
    for i in 0..config.num_hidden_layers {
        let names = layer(config, i);
        tensors.extend([
            (names.attention_norm, vec![hidden]),
            (names.query, vec![query, hidden]),
            (names.key, vec![key_value, hidden]),
            (names.value, vec![key_value, hidden]),
            (names.output, vec![hidden, query]),
            (names.feed_forward_norm, vec![hidden]),
        ]);
        push_feed_forward(config, names.feed_forward, &mut tensors);
    }
    tensors.push((FINAL_NORM.to_owned(), vec![hidden]));
    if !config.tie_word_embeddings {
        tensors.push((HEAD.to_owned(), vec![vocab, hidden]));
    }
    tensors
}

fn push_feed_forward(config: &Config, names: FeedForward, tensors: &mut Vec<(String, Vec<usize>)>) {
    let hidden = config.hidden_size;
    let mut push = |names: Swiglu, width: usize| {
        tensors.push((names.gate, vec![width, hidden]));
        tensors.push((names.up, vec![width, hidden]));
        tensors.push((names.down, vec![hidden, width]));
    };
    match names {
        FeedForward::Dense(names) => push(names, config.intermediate_size),
        FeedForward::Moe { router, experts, shared } => {
            let num_experts = experts.len();
            let shared_width = config.moe.as_ref().and_then(|moe| moe.shared_expert_intermediate_size);
            experts.into_iter().for_each(|names| push(names, config.intermediate_size));
            let gate = shared.zip(shared_width).map(|((names, gate), width)| {
                push(names, width);
                gate
            });
            tensors.extend(gate.map(|gate| (gate, vec![1, hidden])));
            tensors.push((router, vec![num_experts, hidden]));
        }
    }
}
