//! The families of `transformers` that are read and written, as one table: what each fixes, which of its keys decide the
//! rest, and what it takes an absent key to mean.

use crate::{Config, QkNorm};

/// Which Hugging Face architecture a config is written as.
///
/// Mixtral's code always divides the top-k probabilities by their sum and has no shared expert. A mixture that does
/// either differently is written as Qwen2-MoE, which can express both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// `llama`: all that has no switch of another family.
    Llama,
    /// `mistral`: a sliding window in all layers.
    Mistral,
    /// `qwen2`, `qwen2.5`: biases of queries, keys and values.
    Qwen2,
    /// `qwen3`: normed queries and keys.
    Qwen3,
    /// `gemma2`: Gemma's norms, capped scores, a sliding window in every other layer.
    Gemma2,
    /// `gemma3_text`: Gemma's norms, normed queries and keys, most layers with a window and rotary positions of their own.
    Gemma3,
    /// `mixtral`: renormalised top-k, no shared expert.
    Mixtral,
    /// `qwen2_moe`: a shared expert, dense layers between; everything else with experts.
    Qwen2Moe,
    /// `qwen3_moe`: experts with normed queries and keys.
    Qwen3Moe,
    /// `olmoe`: experts, with queries and keys normed over all heads.
    Olmoe,
    /// `flow_moe`: this project's own, for what no family of `transformers` has: parallel blocks, mixtures of attention,
    /// ternary experts, a shared expert without a gate, of four bits a weight or beside normed queries and keys.
    FlowMoe,
}

/// One row of the table.
pub(crate) struct Traits {
    pub(crate) family: Family,
    /// `model_type` in `config.json`.
    pub(crate) model_type: &'static str,
    /// Its class in `transformers`.
    pub(crate) architecture: &'static str,
    pub(crate) attention_bias: AttentionBias,
    pub(crate) qk_norm: Option<QkNorm>,
    pub(crate) gemma: bool,
    pub(crate) windows: Windows,
    pub(crate) experts: Experts,
    /// `head_dim` where the key is absent; `None`: hidden_size / num_attention_heads.
    pub(crate) head_dim: Option<usize>,
    pub(crate) rms_norm_eps: f64,
    pub(crate) rope_theta: f64,
}

/// Which key decides the biases of attention.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum AttentionBias {
    Never,
    /// `attention_bias`: on all four projections, default false.
    All,
    /// On queries, keys and values, always.
    Qkv,
    /// `qkv_bias`: on queries, keys and values, default true.
    QkvKey,
}

/// Which keys decide the layers with a sliding window.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Windows {
    Never,
    /// `sliding_window`: all layers; where the key is absent this is the window.
    Always(Option<usize>),
    /// `sliding_window` when `use_sliding_window`: all layers.
    Flagged,
    /// `sliding_window` when `use_sliding_window`: `layer_types`, or from layer `max_window_layers` on.
    FlaggedUpper,
    /// `sliding_window`: `layer_types`, or all but every so manieth layer.
    AllButEvery(usize),
}

/// How experts are described.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Experts {
    None,
    Mixtral,
    /// `moe_intermediate_size` and dense layers; with or without a shared expert.
    Qwen {
        shared: bool,
    },
    Olmoe,
    /// `num_experts` or none, and this project's own keys.
    Own,
}

const LLAMA: Traits = Traits {
    family: Family::Llama,
    model_type: "llama",
    architecture: "LlamaForCausalLM",
    attention_bias: AttentionBias::All,
    qk_norm: None,
    gemma: false,
    windows: Windows::Never,
    experts: Experts::None,
    head_dim: None,
    rms_norm_eps: 1e-6,
    rope_theta: 10_000.0,
};

const TABLE: [Traits; 11] = [
    LLAMA,
    Traits {
        family: Family::Mistral,
        model_type: "mistral",
        architecture: "MistralForCausalLM",
        attention_bias: AttentionBias::Never,
        windows: Windows::Always(Some(4096)),
        ..LLAMA
    },
    Traits {
        family: Family::Qwen2,
        model_type: "qwen2",
        architecture: "Qwen2ForCausalLM",
        attention_bias: AttentionBias::Qkv,
        windows: Windows::FlaggedUpper,
        ..LLAMA
    },
    Traits {
        family: Family::Qwen3,
        model_type: "qwen3",
        architecture: "Qwen3ForCausalLM",
        qk_norm: Some(QkNorm::Head),
        windows: Windows::FlaggedUpper,
        head_dim: Some(128),
        ..LLAMA
    },
    Traits {
        family: Family::Gemma2,
        model_type: "gemma2",
        architecture: "Gemma2ForCausalLM",
        gemma: true,
        windows: Windows::AllButEvery(2),
        head_dim: Some(256),
        ..LLAMA
    },
    Traits {
        family: Family::Gemma3,
        model_type: "gemma3_text",
        architecture: "Gemma3ForCausalLM",
        qk_norm: Some(QkNorm::Head),
        gemma: true,
        windows: Windows::AllButEvery(6),
        head_dim: Some(256),
        rope_theta: 1_000_000.0,
        ..LLAMA
    },
    Traits {
        family: Family::Mixtral,
        model_type: "mixtral",
        architecture: "MixtralForCausalLM",
        attention_bias: AttentionBias::Never,
        windows: Windows::Always(None),
        experts: Experts::Mixtral,
        rms_norm_eps: 1e-5,
        rope_theta: 1_000_000.0,
        ..LLAMA
    },
    Traits {
        family: Family::Qwen2Moe,
        model_type: "qwen2_moe",
        architecture: "Qwen2MoeForCausalLM",
        attention_bias: AttentionBias::QkvKey,
        windows: Windows::FlaggedUpper,
        experts: Experts::Qwen { shared: true },
        ..LLAMA
    },
    Traits {
        family: Family::Qwen3Moe,
        model_type: "qwen3_moe",
        architecture: "Qwen3MoeForCausalLM",
        qk_norm: Some(QkNorm::Head),
        windows: Windows::Flagged,
        experts: Experts::Qwen { shared: false },
        ..LLAMA
    },
    Traits {
        family: Family::Olmoe,
        model_type: "olmoe",
        architecture: "OlmoeForCausalLM",
        qk_norm: Some(QkNorm::Whole),
        experts: Experts::Olmoe,
        rms_norm_eps: 1e-5,
        ..LLAMA
    },
    Traits {
        family: Family::FlowMoe,
        model_type: "flow_moe",
        architecture: "FlowMoeForCausalLM",
        attention_bias: AttentionBias::Never,
        experts: Experts::Own,
        ..LLAMA
    },
];

impl Family {
    pub(crate) fn of_model_type(model_type: &str) -> Option<&'static Traits> {
        TABLE.iter().find(|traits| traits.model_type == model_type)
    }

    /// Every `model_type` of the table, comma separated.
    pub(crate) fn model_types() -> String {
        TABLE.iter().map(|traits| traits.model_type).collect::<Vec<_>>().join(", ")
    }

    pub(crate) fn traits(self) -> &'static Traits {
        TABLE.iter().find(|traits| traits.family == self).expect("the table has a row for each family")
    }

    /// Its `model_type` in `config.json`.
    pub fn model_type(self) -> &'static str {
        self.traits().model_type
    }
}

impl Config {
    /// The architecture this config is stored as: the first whose switches it needs.
    pub fn family(&self) -> Family {
        let block = &self.block;
        let routed = block.experts_top_p.is_some()
            || block.null_experts > 0
            || block.router_bias_update_rate.is_some();
        let quantised = block.ternary_experts.is_some() || block.int4_shared_expert;
        let own = block.parallel || block.plain_shared_expert || routed || quantised;
        if own || block.attention_experts.is_some() {
            return Family::FlowMoe;
        }
        let Some(moe) = &self.moe else {
            let everywhere = block.sliding.as_ref().is_some_and(|s| s.layers.iter().all(|sliding| *sliding));
            return match (block.gemma_norms, block.qk_norm) {
                (true, Some(_)) => Family::Gemma3,
                (true, None) => Family::Gemma2,
                (false, Some(_)) => Family::Qwen3,
                (false, None) if block.qkv_bias && !block.output_bias => Family::Qwen2,
                (false, None) if everywhere => Family::Mistral,
                (false, None) => Family::Llama,
            };
        };
        let shared = moe.shared_expert_intermediate_size.is_some();
        match block.qk_norm {
            Some(_) if shared => Family::FlowMoe,
            Some(QkNorm::Whole) => Family::Olmoe,
            Some(QkNorm::Head) => Family::Qwen3Moe,
            None if moe.norm_topk_prob && !shared && !block.qkv_bias && block.dense.is_none() => {
                Family::Mixtral
            }
            None => Family::Qwen2Moe,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_family_has_one_row_under_its_own_name() {
        for traits in &TABLE {
            assert_eq!(traits.family.traits().model_type, traits.model_type);
            let found = Family::of_model_type(traits.model_type).map(|found| found.family);
            assert_eq!(found, Some(traits.family));
        }
    }
}
