//! A model's shape and switches in words.

use std::path::Path;

use flow_model::{Activation, Config, QkNorm, RopeScaling};
use serde_json::Value;

use super::whole;

/// `model_type` as `config.json` has it.
pub(super) fn model_type(dir: &Path) -> Option<String> {
    let text = std::fs::read(dir.join("config.json")).ok()?;
    let config: Value = serde_json::from_slice(&text).ok()?;
    config["model_type"].as_str().map(str::to_owned)
}

/// Layers, heads, vocabulary, experts.
pub(super) fn shape(config: &Config) -> Vec<String> {
    let layers = config.num_hidden_layers;
    let mut words = vec![format!(
        "{} layers of width {}, {} query heads and {} key heads of {}, {} tokens, context {}",
        layers,
        whole(config.hidden_size),
        config.num_attention_heads,
        config.num_key_value_heads,
        config.head_dim,
        whole(config.vocab_size),
        whole(config.context()),
    )];
    if let Some(moe) = &config.moe {
        let sparse = (0..layers).filter(|i| config.moe_of(*i).is_some()).count();
        let shared = match moe.shared_expert_intermediate_size {
            Some(width) => {
                let bits = if config.block.int4_shared_expert { ", four bits a weight" } else { "" };
                format!(", a shared one of {}{bits}", whole(width))
            }
            None => String::new(),
        };
        let normed = if moe.norm_topk_prob { "weights divided by their sum" } else { "weights as they are" };
        let visited = match config.block.experts_top_p {
            Some(p) => format!("the most probable ones up to a sum of {p}"),
            None => moe.experts_per_token.to_string(),
        };
        let null = match config.block.null_experts {
            0 => String::new(),
            null => format!(", {null} that compute nothing"),
        };
        let biased = if config.block.router_bias_update_rate.is_some() { " chosen with a bias" } else { "" };
        words.push(format!(
            "{} experts of {} in {sparse} of {layers} layers{null}, {visited} for each token{biased}, {normed}{shared}",
            moe.num_experts,
            whole(config.intermediate_size),
        ));
    }
    words
}

/// What its layers do beyond Llama's.
pub(super) fn switches(config: &Config) -> Vec<String> {
    let block = &config.block;
    let mut words = Vec::new();
    let mut when = |on: bool, text: &str| words.extend(on.then(|| text.to_owned()));
    when(config.tie_word_embeddings, "the output head is the embedding");
    when(block.qkv_bias, "biases of queries, keys and values");
    when(block.output_bias, "a bias of attention's output");
    when(block.mlp_bias, "biases of the feed-forward block");
    when(block.qk_norm == Some(QkNorm::Head), "queries and keys normed head by head");
    when(block.qk_norm == Some(QkNorm::Whole), "queries and keys normed over all heads");
    when(block.gemma_norms, "norms of 1 + weight, also after each block; scaled embeddings");
    when(block.activation == Activation::GeluTanh, "GELU, by tanh");
    when(block.activation == Activation::Gelu, "GELU");
    let number = |name: &str, value: Option<f64>| value.map(|value| format!("{name} {value}"));
    words.extend(number("queries, keys and values clipped at", block.clip_qkv));
    words.extend(number("attention divided by the root of", block.query_pre_attn_scalar));
    words.extend(number("attention scores capped at", block.attn_logit_softcapping));
    words.extend(number("token scores capped at", block.final_logit_softcapping));
    if let Some(sliding) = &block.sliding {
        let count = sliding.layers.iter().filter(|sliding| **sliding).count();
        let rope = sliding.rope.as_ref().map(|rope| format!(", with rotary base {}", rope.theta));
        let rope = rope.unwrap_or_default();
        let (window, layers) = (whole(sliding.window), sliding.layers.len());
        words.push(format!("a window of {window} positions in {count} of {layers} layers{rope}"));
    }
    let scaling = match block.rope_scaling {
        RopeScaling::Default => String::new(),
        RopeScaling::Linear { factor } => format!(", stretched linearly by {factor}"),
        RopeScaling::Dynamic { factor, original } => {
            format!(", stretched up to {factor} times beyond {original} positions")
        }
        RopeScaling::Llama3 { factor, original, .. } => {
            format!(", stretched as Llama 3's by {factor} from {original} positions")
        }
        RopeScaling::Yarn { factor, original, .. } => {
            format!(", stretched by yarn by {factor} from {original} positions")
        }
    };
    words.push(format!("rotary base {}{scaling}", config.rope_theta));
    words
}

/// Parameters without the experts that a token does not visit.
pub(super) fn active_parameters(config: &Config) -> usize {
    let Some(moe) = &config.moe else { return config.num_parameters() };
    let sparse = (0..config.num_hidden_layers).filter(|i| config.moe_of(*i).is_some()).count();
    let expert = 3 * config.hidden_size * config.intermediate_size;
    config.num_parameters() - sparse * (moe.num_experts - moe.experts_per_token) * expert
}
