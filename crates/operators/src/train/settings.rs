//! The keys of `train` and what they become.

use flow_model::{Checkpoint, Tokenizer};
use flow_plan::Problem;
use flow_trainer::{Example, MoeUpcycle, Schedule};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The token that ends every text of a model begun from random weights.
const END_OF_TEXT: &str = "<|endoftext|>";

/// A config that has the keys of a course of training after its own.
macro_rules! with_course {
    ($(#[$meta:meta])* pub(crate) struct $name:ident { $($own:tt)* }) => {
        $(#[$meta])*
        #[derive(Deserialize, Serialize, JsonSchema)]
        #[serde(deny_unknown_fields)]
        pub(crate) struct $name {
            $($own)*
            /// Column of the parts with the text before the completion.
            #[serde(default = "crate::defaults::prompt")]
            pub(crate) prompt: String,
            /// Column of the parts with the text to learn.
            #[serde(default = "crate::defaults::completion")]
            pub(crate) completion: String,
            /// Passes over the data, above 0; a fraction ends within a pass.
            #[serde(default = "crate::defaults::unit")]
            #[schemars(range(min = 0.000_001))]
            epochs: f64,
            /// Optimiser steps; overrides `epochs`.
            #[schemars(range(min = 1))]
            max_steps: Option<u32>,
            /// Examples computed at a time, at least 1.
            #[serde(default = "crate::train::settings::batch_size")]
            #[schemars(range(min = 1))]
            batch_size: u32,
            /// Batches whose gradients are summed in a step, one after another, at least 1: larger steps in the same memory.
            #[serde(default = "crate::defaults::one", skip_serializing_if = "crate::train::settings::is_one")]
            #[schemars(range(min = 1))]
            gradient_accumulation_steps: u32,
            /// Whether a batch takes as many examples as fit into `batch_size · max_length` tokens, instead of `batch_size`
            /// examples. Examples never see each other and nothing is padded, either way.
            #[serde(default)]
            packing: bool,
            /// Longest example in tokens, at least 2; the rest is cut off. By default all positions the model has.
            #[schemars(range(min = 2))]
            max_length: Option<u32>,
            /// Peak learning rate.
            #[serde(default = "crate::train::settings::learning_rate")]
            #[schemars(range(min = 0.0))]
            learning_rate: f64,
            /// Share of the steps in which the learning rate rises, 0 to 1.
            #[serde(default = "crate::train::settings::warmup_ratio")]
            #[schemars(range(min = 0.0, max = 1.0))]
            warmup_ratio: f64,
            /// Course of the learning rate after the warm-up.
            #[serde(default)]
            lr_scheduler_type: $crate::train::settings::Scheduler,
            /// Decoupled weight decay of matrices.
            #[serde(default = "crate::train::settings::weight_decay")]
            #[schemars(range(min = 0.0))]
            weight_decay: f64,
            /// Gradients with a larger norm are scaled down to it.
            #[serde(default = "crate::defaults::unit")]
            #[schemars(range(min = 0.000_001))]
            max_grad_norm: f64,
            /// Parts of the model that do not learn. By default none; of a model with ternary experts all but experts and routers.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            freeze: Option<Vec<$crate::train::settings::Part>>,
            /// Steps after which a training that is killed goes on from there, at least 1. No influence on the result.
            #[serde(default = "crate::train::settings::save_steps", skip_serializing)]
            #[schemars(range(min = 1))]
            pub(crate) save_steps: u32,
            /// Orders the examples and begins random weights; by default the pipeline's seed.
            #[serde(skip_serializing)]
            pub(crate) seed: Option<u64>,
        }

        impl $name {
            /// Everything that the result depends on beside start, data and seed, as text.
            pub(crate) fn identity(&self) -> String {
                serde_json::to_string(self).expect("a config is maps with text keys")
            }

            pub(crate) fn training(&self, seed: u64, threads: usize, start: &flow_model::Checkpoint) -> flow_trainer::TrainConfig {
                let positions = start.config.max_position_embeddings;
                flow_trainer::TrainConfig {
                    epochs: self.epochs,
                    max_steps: self.max_steps.map(|steps| steps as usize),
                    batch_size: self.batch_size as usize,
                    gradient_accumulation_steps: self.gradient_accumulation_steps as usize,
                    max_length: self.max_length.map_or(positions, |length| length as usize),
                    pack: self.packing,
                    learning_rate: self.learning_rate,
                    warmup_ratio: self.warmup_ratio,
                    schedule: self.lr_scheduler_type.schedule(),
                    weight_decay: self.weight_decay,
                    max_grad_norm: self.max_grad_norm,
                    frozen: self.freeze.as_ref().map(|parts| parts.iter().map(|part| part.part()).collect()),
                    seed,
                    threads: Some(threads),
                    ..flow_trainer::TrainConfig::default()
                }
            }
        }
    };
}

pub(crate) use with_course;

with_course! {
    /// Options of `train`.
    pub(crate) struct Config {
        /// What training starts from: a declared model, a step that makes one, or `{hidden_size: ..}` for random weights.
        pub(super) start: Start,
        /// Upcycle a dense start to a mixture of experts.
        pub(super) moe: Option<Moe>,
        /// Which rounds' data a round is trained on.
        #[serde(default, skip_serializing)]
        pub(super) retention: Retention,
        /// Folder that the last checkpoint is copied to when the run is done.
        #[serde(skip_serializing)]
        pub(super) path: Option<String>,
    }
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
    /// Whether attention and the feed-forward block read one norm and are added together, as in the models of BAM's paper.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    parallel_block: bool,
}

/// How a dense start becomes a mixture of experts.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Moe {
    /// Where the experts come from; those of several models come from a step `merge` by `btx` or `bam`.
    #[serde(default)]
    from: From,
    /// Routed experts per layer, at least 2.
    #[schemars(range(min = 2, max = 1024))]
    experts: u32,
    /// Routed experts each token visits, at least 1; by default 2, with `mote` 1, with `fine_grained` one of each routed slice.
    #[schemars(range(min = 1))]
    #[serde(skip_serializing_if = "Option::is_none")]
    experts_per_token: Option<u32>,
    /// With `fine_grained`: slices that the dense block is cut into, at least 2, by default 4.
    #[schemars(range(min = 2))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    slices: Option<u32>,
    /// Whether every token also visits a shared expert; with `mote` it always does.
    #[serde(default)]
    shared_expert: bool,
    /// Whether the chosen probabilities are divided by their sum: by default yes, with `mote` no.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    norm_topk_prob: Option<bool>,
    /// Weight of the load-balance loss.
    #[serde(default = "aux_loss")]
    #[schemars(range(min = 0.0))]
    router_aux_loss_coef: f64,
    /// Weight of the router z-loss.
    #[serde(default = "z_loss")]
    #[schemars(range(min = 0.0))]
    router_z_loss_coef: f64,
}

/// Which rounds' data a round is trained on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Retention {
    /// Its own. Rows of no round that are written beside it are in every round's data.
    #[default]
    Replace,
    /// Its own and that of all rounds before.
    Accumulate,
}

/// Where experts come from.
#[derive(Clone, Copy, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum From {
    /// Every expert is a copy of the dense block.
    #[default]
    Copy,
    /// Every expert is a slice of the dense block; sets of them make copies of it.
    FineGrained,
    /// Every expert is the dense block with weights of three values, beside the block itself, which is frozen.
    Mote,
}

/// Parts of a model.
#[derive(Clone, Copy, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Part {
    /// The embedding, and the output head where it is the same.
    Embeddings,
    /// All projections of attention.
    Attention,
    /// All norms.
    Norms,
    /// Dense feed-forward blocks.
    FeedForward,
    /// Shared experts and their gates.
    SharedExpert,
    /// Routed experts.
    Experts,
    /// Routers.
    Router,
    /// An output head of its own.
    Head,
}

impl Part {
    pub(crate) fn part(self) -> flow_trainer::Part {
        match self {
            Self::Embeddings => flow_trainer::Part::Embeddings,
            Self::Attention => flow_trainer::Part::Attention,
            Self::Norms => flow_trainer::Part::Norms,
            Self::FeedForward => flow_trainer::Part::FeedForward,
            Self::SharedExpert => flow_trainer::Part::SharedExpert,
            Self::Experts => flow_trainer::Part::Experts,
            Self::Router => flow_trainer::Part::Router,
            Self::Head => flow_trainer::Part::Head,
        }
    }
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

impl Scheduler {
    pub(crate) fn schedule(self) -> Schedule {
        match self {
            Self::Cosine => Schedule::Cosine,
            Self::Linear => Schedule::Linear,
            Self::Constant => Schedule::Constant,
        }
    }
}

/// Whether a count says nothing that its default does not.
pub(crate) fn is_one(number: &u32) -> bool {
    *number == 1
}

pub(crate) fn save_steps() -> u32 {
    50
}

pub(crate) fn batch_size() -> u32 {
    32
}

pub(crate) fn learning_rate() -> f64 {
    5e-4
}

pub(crate) fn warmup_ratio() -> f64 {
    0.1
}

pub(crate) fn weight_decay() -> f64 {
    0.01
}

pub(crate) fn aux_loss() -> f64 {
    0.01
}

pub(crate) fn z_loss() -> f64 {
    0.001
}

impl Config {
    /// What the schema cannot say: keys that do not go together.
    pub(super) fn check(&self) -> Result<(), Vec<Problem>> {
        let mut problems: Vec<Problem> = self.moe.iter().flat_map(Moe::mistakes).collect();
        if let Start::Init(init) = &self.start
            && !init.hidden_size.is_multiple_of(2 * init.num_attention_heads)
        {
            let words = format!("expected even parts of hidden_size {}, found {} heads", init.hidden_size, init.num_attention_heads);
            problems.push(Problem::new("start.num_attention_heads", words));
        }
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }
}

impl Moe {
    /// Slices of the dense block that are routed.
    fn routed_slices(&self) -> u32 {
        self.slices.unwrap_or(4) - u32::from(self.shared_expert)
    }

    fn per_token(&self) -> u32 {
        self.experts_per_token.unwrap_or(match self.from {
            From::Copy => 2,
            From::FineGrained => self.routed_slices(),
            From::Mote => 1,
        })
    }

    fn mistakes(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut mistake = |wrong: bool, key: &str, words: String| {
            problems.extend(wrong.then(|| Problem::new(key, words)));
        };
        let (experts, per_token, set) = (self.experts, self.per_token(), self.routed_slices());
        let most = format!("expected at most {experts} experts, found {per_token}");
        mistake(per_token > experts, "moe.experts_per_token", most);
        match self.from {
            From::FineGrained => {
                let sets = |found: u32| format!("expected a multiple of the {set} routed slices, found {found}");
                mistake(!experts.is_multiple_of(set), "moe.experts", sets(experts));
                mistake(!per_token.is_multiple_of(set), "moe.experts_per_token", sets(per_token));
            }
            _ => mistake(self.slices.is_some(), "moe.slices", "slices are cut by `from: fine_grained` only".into()),
        }
        problems
    }

    pub(super) fn upcycling(&self) -> MoeUpcycle {
        MoeUpcycle {
            from: match self.from {
                From::Copy => flow_trainer::From::Copy,
                From::FineGrained => {
                    flow_trainer::From::FineGrained { slices: (self.routed_slices() + u32::from(self.shared_expert)) as usize }
                }
                From::Mote => flow_trainer::From::Mote,
            },
            experts: self.experts as usize,
            experts_per_token: self.per_token() as usize,
            shared_expert: self.shared_expert,
            norm_topk_prob: self.norm_topk_prob,
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
        block: flow_model::Block { parallel: init.parallel_block, ..Default::default() },
    };
    Checkpoint::init(config, tokenizer, seed).map_err(|error| crate::text::chain(&error))
}
