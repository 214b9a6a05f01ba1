//! The keys of `train` and what they become.

use flow_model::{Checkpoint, Tokenizer};
use flow_plan::Problem;
use flow_trainer::{Example, GateMode, MoeUpcycle, Schedule, TrainConfig};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The token that ends every text of a model begun from random weights.
const END_OF_TEXT: &str = "<|endoftext|>";

/// Options of `train`.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// What training starts from: a declared model, a step that trains one, or `{hidden_size: ..}` for random weights.
    pub(super) start: Start,
    /// Upcycle a dense start to a mixture of experts.
    pub(super) moe: Option<Moe>,
    /// Column of the parts with the text before the completion.
    #[serde(default = "crate::defaults::prompt")]
    pub(super) prompt: String,
    /// Column of the parts with the text to learn.
    #[serde(default = "crate::defaults::completion")]
    pub(super) completion: String,
    /// Passes over the data, above 0; a fraction ends within a pass.
    #[serde(default = "crate::defaults::unit")]
    #[schemars(range(min = 0.000_001))]
    epochs: f64,
    /// Optimiser steps; overrides `epochs`.
    #[schemars(range(min = 1))]
    max_steps: Option<u32>,
    /// Examples per optimiser step, at least 1.
    #[serde(default = "batch_size")]
    #[schemars(range(min = 1))]
    batch_size: u32,
    /// Whether a step takes as many examples as fit into `batch_size · max_length` tokens, instead of `batch_size`
    /// examples. Examples never see each other and nothing is padded, either way.
    #[serde(default)]
    packing: bool,
    /// Longest example in tokens, at least 2; the rest is cut off. By default all positions the model has.
    #[schemars(range(min = 2))]
    max_length: Option<u32>,
    /// Peak learning rate.
    #[serde(default = "learning_rate")]
    #[schemars(range(min = 0.0))]
    learning_rate: f64,
    /// Share of the steps in which the learning rate rises, 0 to 1.
    #[serde(default = "warmup_ratio")]
    #[schemars(range(min = 0.0, max = 1.0))]
    warmup_ratio: f64,
    /// Course of the learning rate after the warm-up.
    #[serde(default)]
    lr_scheduler_type: Scheduler,
    /// Decoupled weight decay of matrices.
    #[serde(default = "weight_decay")]
    #[schemars(range(min = 0.0))]
    weight_decay: f64,
    /// Gradients with a larger norm are scaled down to it.
    #[serde(default = "crate::defaults::unit")]
    #[schemars(range(min = 0.000_001))]
    max_grad_norm: f64,
    /// Orders the examples and begins random weights; by default the pipeline's seed.
    #[serde(skip_serializing)]
    pub(super) seed: Option<u64>,
    /// Folder that the last checkpoint is copied to when the run is done.
    #[serde(skip_serializing)]
    pub(super) path: Option<String>,
}

/// What training starts from.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum Start {
    /// A declared model, or a step that trains one.
    Model(#[serde(skip_serializing)] String),
    /// Random weights of this shape, with a byte-level BPE tokenizer trained on the data.
    Init(Init),
}

/// The shape of a dense decoder begun from random weights.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Init {
    /// Width of the residual stream.
    #[schemars(range(min = 2))]
    hidden_size: u32,
    /// Width of the feed-forward block.
    #[schemars(range(min = 1))]
    intermediate_size: u32,
    /// Blocks.
    #[schemars(range(min = 1))]
    num_hidden_layers: u32,
    /// Attention heads; they divide `hidden_size` into even parts.
    #[schemars(range(min = 1))]
    num_attention_heads: u32,
    /// Entries of the tokenizer, at least 257: all bytes and the end of text.
    #[schemars(range(min = 257))]
    vocab_size: u32,
    /// Longest sequence in tokens.
    #[schemars(range(min = 2))]
    max_position_embeddings: u32,
}

/// How a dense start becomes a mixture of experts.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Moe {
    /// Where the experts come from.
    #[serde(default)]
    from: From,
    /// Routed experts per layer, at least 2.
    #[schemars(range(min = 2, max = 1024))]
    experts: u32,
    /// Routed experts each token visits, at least 1.
    #[serde(default = "two")]
    #[schemars(range(min = 1))]
    experts_per_token: u32,
    /// Whether every token also visits a shared expert.
    #[serde(default)]
    shared_expert: bool,
    /// Weight of the load-balance loss.
    #[serde(default = "aux_loss")]
    #[schemars(range(min = 0.0))]
    router_aux_loss_coef: f64,
    /// Weight of the router z-loss.
    #[serde(default = "z_loss")]
    #[schemars(range(min = 0.0))]
    router_z_loss_coef: f64,
}

/// Where experts come from.
#[derive(Clone, Copy, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum From {
    /// Every expert is a copy of the dense block.
    #[default]
    Copy,
}

/// Course of the learning rate after the warm-up.
#[derive(Clone, Copy, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Scheduler {
    /// Half a cosine down to zero.
    #[default]
    Cosine,
    /// A straight line down to zero.
    Linear,
    /// Not at all.
    Constant,
}

fn two() -> u32 {
    2
}

fn batch_size() -> u32 {
    32
}

fn learning_rate() -> f64 {
    5e-4
}

fn warmup_ratio() -> f64 {
    0.1
}

fn weight_decay() -> f64 {
    0.01
}

fn aux_loss() -> f64 {
    0.01
}

fn z_loss() -> f64 {
    0.001
}

impl Config {
    /// What the schema cannot say: keys that do not go together.
    pub(super) fn check(&self) -> Result<(), Vec<Problem>> {
        let mut problems = Vec::new();
        if let Some(moe) = self.moe.as_ref().filter(|moe| moe.experts_per_token > moe.experts) {
            let words = format!("expected at most {} experts, found {}", moe.experts, moe.experts_per_token);
            problems.push(Problem::new("moe.experts_per_token", words));
        }
        if let Start::Init(init) = &self.start
            && !init.hidden_size.is_multiple_of(2 * init.num_attention_heads)
        {
            let words = format!("expected even parts of hidden_size {}, found {} heads", init.hidden_size, init.num_attention_heads);
            problems.push(Problem::new("start.num_attention_heads", words));
        }
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }

    /// Everything that the result depends on beside start, data and seed, as text.
    pub(super) fn identity(&self) -> String {
        serde_json::to_string(self).expect("a config is maps with text keys")
    }

    pub(super) fn training(&self, seed: u64, threads: usize, start: &Checkpoint) -> TrainConfig {
        let positions = start.config.max_position_embeddings;
        TrainConfig {
            epochs: self.epochs,
            max_steps: self.max_steps.map(|steps| steps as usize),
            batch_size: self.batch_size as usize,
            max_length: self.max_length.map_or(positions, |length| length as usize),
            pack: self.packing,
            learning_rate: self.learning_rate,
            warmup_ratio: self.warmup_ratio,
            schedule: match self.lr_scheduler_type {
                Scheduler::Cosine => Schedule::Cosine,
                Scheduler::Linear => Schedule::Linear,
                Scheduler::Constant => Schedule::Constant,
            },
            weight_decay: self.weight_decay,
            max_grad_norm: self.max_grad_norm,
            seed,
            threads: Some(threads),
            ..TrainConfig::default()
        }
    }
}

impl Moe {
    pub(super) fn upcycling(&self) -> MoeUpcycle {
        let From::Copy = self.from;
        MoeUpcycle {
            experts: self.experts as usize,
            experts_per_token: self.experts_per_token as usize,
            shared_expert: self.shared_expert,
            gate_mode: GateMode::Random,
            router_aux_loss_coef: self.router_aux_loss_coef,
            router_z_loss_coef: self.router_z_loss_coef,
        }
    }
}

/// A dense model of random weights, with a tokenizer trained on the examples.
pub(super) fn initial(init: &Init, examples: &[Example], seed: u64) -> Result<Checkpoint, String> {
    let texts: Vec<&str> =
        examples.iter().flat_map(|example| [example.prompt.as_str(), example.completion.as_str()]).collect();
    let tokenizer = Tokenizer::train_byte_bpe(&texts, init.vocab_size as usize, &[END_OF_TEXT])
        .map_err(|error| crate::text::chain(&error))?;
    let hidden_size = init.hidden_size as usize;
    let heads = init.num_attention_heads as usize;
    let config = flow_model::Config {
        vocab_size: tokenizer.vocab_size(),
        hidden_size,
        intermediate_size: init.intermediate_size as usize,
        num_hidden_layers: init.num_hidden_layers as usize,
        num_attention_heads: heads,
        num_key_value_heads: heads,
        head_dim: hidden_size / heads,
        rms_norm_eps: 1e-5,
        rope_theta: 10_000.0,
        max_position_embeddings: init.max_position_embeddings as usize,
        tie_word_embeddings: true,
        eos_token_ids: tokenizer.id(END_OF_TEXT).into_iter().collect(),
        bos_token_id: None,
        moe: None,
        block: flow_model::Block::default(),
    };
    Checkpoint::init(config, tokenizer, seed).map_err(|error| crate::text::chain(&error))
}
