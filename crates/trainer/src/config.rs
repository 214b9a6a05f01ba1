//! The settings of a training run, with Hugging Face's names.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Error, Example, Lora, Loss, Saved};

/// How the learning rate falls after the warm-up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Schedule {
    /// Half a cosine down to zero.
    #[default]
    Cosine,
    /// A straight line down to zero.
    Linear,
    /// Not at all.
    Constant,
}

/// The parts of a model that can be kept from learning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// The embedding, which is the output head too where the two are tied.
    Embeddings,
    /// The four projections of each attention, and their biases.
    Attention,
    /// All norms, those of queries and keys among them.
    Norms,
    /// Dense feed-forward blocks.
    FeedForward,
    /// Shared experts and their gates.
    SharedExpert,
    /// Routed experts.
    Experts,
    /// Routers, of experts and of attentions.
    Router,
    /// An output head of its own.
    Head,
}

impl Part {
    /// What MoTE freezes (arXiv 2506.14435): all but routed experts and routers.
    const MOTE: [Self; 6] =
        [Self::Embeddings, Self::Attention, Self::Norms, Self::FeedForward, Self::SharedExpert, Self::Head];
}

/// Examples that a run is measured on and does not learn from.
#[derive(Clone, Debug, PartialEq)]
pub struct Validation {
    /// The examples, at least one with something to learn.
    pub examples: Vec<Example>,
    /// Steps from one measurement to the next, at least 1; the last step is measured too. None for ten measurements in all.
    pub every: Option<usize>,
    /// Measurements without a new least loss after which the run ends, at least 1; none to go on to the last step.
    pub patience: Option<usize>,
}

/// Settings of [`crate::train`].
#[derive(Clone, Debug, PartialEq)]
pub struct TrainConfig {
    /// Passes over the examples; a fraction ends within a pass. Default 1.
    pub epochs: f64,
    /// Number of optimiser steps; overrides `epochs`, passing over the examples as often as needed. Default none.
    pub max_steps: Option<usize>,
    /// Documents computed at a time; with `pack`, rows of `max_length` tokens. Default 32.
    pub batch_size: usize,
    /// Batches whose gradients are summed in a step, one after another. Default 1.
    pub gradient_accumulation_steps: usize,
    /// Longest document in tokens, prompt, completion and end token together; the rest is cut off. Default 512.
    pub max_length: usize,
    /// Whether prompts have their own special tokens, as a chat template writes them: none are put before them. Default false.
    pub rendered: bool,
    /// Whether a batch takes as many documents as fit into `batch_size · max_length` tokens, instead of `batch_size`
    /// documents. Documents never see each other and nothing is padded, either way. Default false.
    pub pack: bool,
    /// Peak learning rate. Default 5e-4.
    pub learning_rate: f64,
    /// Share of the steps in which the learning rate rises in a straight line. Default 0.1.
    pub warmup_ratio: f64,
    /// Course of the learning rate after the warm-up. Default cosine.
    pub schedule: Schedule,
    /// Decoupled weight decay of all matrices; norms do not decay. Default 0.01.
    pub weight_decay: f64,
    /// Decay of the first and second moment. Default (0.9, 0.999).
    pub betas: (f64, f64),
    /// Added to the root of the second moment. Default 1e-8.
    pub eps: f64,
    /// Gradients with a larger norm, over all parameters, are scaled down to it. Default 1.
    pub max_grad_norm: f64,
    /// Parts that do not learn. By default none, or all but routed experts and routers where experts are ternary, or a
    /// shared expert of four bits a weight, which always has to be among them.
    pub frozen: Option<Vec<Part>>,
    /// What is minimised. Default cross-entropy.
    pub loss: Loss,
    /// Adapters that learn in place of all else. Default none.
    pub lora: Option<Lora>,
    /// Whether activations are computed again on the way back instead of kept: slower, in less memory, to the same bits. Default false.
    pub recompute: bool,
    /// In each slice of a batch, the visits of each expert are brought to a multiple of this: those of the least probable tokens are dropped,
    /// or the most probable other tokens are added, whichever is nearer (token rounding, arXiv 2512.14080). Without experts it says nothing.
    /// Default none.
    pub token_rounding: Option<usize>,
    /// Orders the examples of each pass, and begins adapters. Default 0.
    pub seed: u64,
    /// What the run is measured on; the model with the least loss there is the result. Default none.
    pub validation: Option<Validation>,
    /// Where the run rests between steps and goes on from; none to rest nowhere. No influence on the result.
    pub saved: Option<Saved>,
    /// Threads to use at most; none for all cores. No influence on the result.
    pub threads: Option<usize>,
}

impl Default for TrainConfig {
    fn default() -> Self {
        Self {
            epochs: 1.0,
            max_steps: None,
            batch_size: 32,
            gradient_accumulation_steps: 1,
            max_length: 512,
            rendered: false,
            pack: false,
            learning_rate: 5e-4,
            warmup_ratio: 0.1,
            schedule: Schedule::Cosine,
            weight_decay: 0.01,
            betas: (0.9, 0.999),
            eps: 1e-8,
            max_grad_norm: 1.0,
            frozen: None,
            loss: Loss::CrossEntropy,
            lora: None,
            recompute: false,
            token_rounding: None,
            seed: 0,
            validation: None,
            saved: None,
            threads: None,
        }
    }
}

impl TrainConfig {
    /// The parts of `model` that do not learn.
    pub(crate) fn frozen(&self, model: &flow_model::Config) -> &[Part] {
        let usual: &[Part] = match model.block.ternary_experts {
            Some(_) => &Part::MOTE,
            None if model.block.int4_shared_expert => &[Part::SharedExpert],
            None => &[],
        };
        self.frozen.as_deref().unwrap_or(usual)
    }

    /// Weights of four bits do not learn.
    pub(crate) fn freezes_int4(&self, model: &flow_model::Config) -> Result<(), Error> {
        match model.block.int4_shared_expert && !self.frozen(model).contains(&Part::SharedExpert) {
            true => Err(Error::SharedExpertLearns),
            false => Ok(()),
        }
    }

    /// Checks the ranges; `positions` is the longest sequence of the model.
    pub(crate) fn validate(&self, positions: usize) -> Result<(), Error> {
        let unit = |x: f64| (0.0..1.0).contains(&x);
        require(self.epochs > 0.0 && self.epochs.is_finite(), "epochs", self.epochs, "more than 0")?;
        require(self.max_steps != Some(0), "max_steps", 0, "at least 1")?;
        require(self.batch_size > 0, "batch_size", self.batch_size, "at least 1")?;
        let accumulated = self.gradient_accumulation_steps;
        require(accumulated > 0, "gradient_accumulation_steps", accumulated, "at least 1")?;
        require(self.token_rounding != Some(0), "token_rounding", 0, "at least 1")?;
        require(self.saved.as_ref().is_none_or(|saved| saved.every > 0), "saved.every", 0, "at least 1")?;
        if let Some(validation) = &self.validation {
            require(validation.every != Some(0), "validation.every", 0, "at least 1")?;
            require(validation.patience != Some(0), "validation.patience", 0, "at least 1")?;
        }
        let lengths = 2..=positions;
        let expected = format!("2 to the model's {positions} positions");
        require(lengths.contains(&self.max_length), "max_length", self.max_length, expected)?;
        require(self.learning_rate >= 0.0, "learning_rate", self.learning_rate, "0 or more")?;
        require((0.0..=1.0).contains(&self.warmup_ratio), "warmup_ratio", self.warmup_ratio, "0 to 1")?;
        require(self.weight_decay >= 0.0, "weight_decay", self.weight_decay, "0 or more")?;
        require(unit(self.betas.0), "betas.0", self.betas.0, "0 up to, not including, 1")?;
        require(unit(self.betas.1), "betas.1", self.betas.1, "0 up to, not including, 1")?;
        require(self.eps > 0.0, "eps", self.eps, "more than 0")?;
        require(self.max_grad_norm > 0.0, "max_grad_norm", self.max_grad_norm, "more than 0")?;
        if let Some(lora) = &self.lora {
            require(lora.rank > 0, "lora.rank", lora.rank, "at least 1")?;
            require(lora.alpha > 0.0 && lora.alpha.is_finite(), "lora.alpha", lora.alpha, "more than 0")?;
        }
        if let Loss::Dpo { beta } = self.loss {
            require(beta > 0.0 && beta.is_finite(), "loss.dpo.beta", beta, "more than 0")?;
        }
        require(self.threads != Some(0), "threads", 0, "at least 1")
    }
}

pub(crate) fn require(
    holds: bool,
    key: &'static str,
    found: impl ToString,
    expected: impl Into<String>,
) -> Result<(), Error> {
    if holds {
        return Ok(());
    }
    Err(Error::Setting { key, found: found.to_string(), expected: expected.into() })
}

/// Adapters go with matrices that stand for themselves in Hugging Face's families: not with several attentions in one, nor with weights
/// of few bits, which could not take what an adapter adds.
pub(crate) fn adaptable(model: &flow_model::Config) -> Result<(), Error> {
    let block = &model.block;
    match block.attention_experts.is_some() || block.ternary_experts.is_some() || block.int4_shared_expert {
        true => Err(Error::NotAdaptable),
        false => Ok(()),
    }
}
