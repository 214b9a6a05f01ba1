//! How long and how fast a training goes: the keys that `train` and `branch` share.

use flow_trainer::{Rounding, TrainConfig};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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
            /// Column of the parts with a chat, in place of `prompt` and `completion`: the last turn, the assistant's, is learned, and the
            /// turns before it are what it follows: in the chat template of a start with `chat: true`, else with line breaks between them.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub(crate) messages: Option<String>,
            /// Passes over the data, above 0; a fraction ends within a pass.
            #[serde(default = "crate::defaults::unit")]
            #[schemars(range(min = 0.000_001))]
            epochs: f64,
            /// Optimiser steps; overrides `epochs`.
            #[schemars(range(min = 1))]
            max_steps: Option<u32>,
            /// Examples computed at a time, at least 1.
            #[serde(default = "crate::train::course::batch_size")]
            #[schemars(range(min = 1))]
            batch_size: u32,
            /// Batches whose gradients are summed in a step, one after another, at least 1: larger steps in the same memory.
            #[serde(default = "crate::defaults::one", skip_serializing_if = "crate::train::course::is_one")]
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
            #[serde(default = "crate::train::course::learning_rate")]
            #[schemars(range(min = 0.0))]
            learning_rate: f64,
            /// Share of the steps in which the learning rate rises, 0 to 1.
            #[serde(default = "crate::train::course::warmup_ratio")]
            #[schemars(range(min = 0.0, max = 1.0))]
            warmup_ratio: f64,
            /// Course of the learning rate after the warm-up.
            #[serde(default)]
            lr_scheduler_type: flow_trainer::Schedule,
            /// Decoupled weight decay of matrices.
            #[serde(default = "crate::train::course::weight_decay")]
            #[schemars(range(min = 0.0))]
            weight_decay: f64,
            /// Gradients with a larger norm are scaled down to it.
            #[serde(default = "crate::defaults::unit")]
            #[schemars(range(min = 0.000_001))]
            max_grad_norm: f64,
            /// Parts of the model that do not learn. By default none; of a model with ternary experts all but experts and routers. A
            /// shared expert of four bits a weight has to be among them.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            freeze: Option<Vec<flow_trainer::Part>>,
            /// What a GPU computes products in; their sums are `f32` either way. The CPU computes in `f32`.
            #[serde(default, skip_serializing)]
            pub(crate) precision: $crate::train::course::ProductPrecision,
            /// Whether activations are computed again on the way back instead of kept: less memory, more time. No influence on the result.
            #[serde(default, skip_serializing)]
            recompute: bool,
            /// Share of the examples that is not learned from but measured on, 0 up to, not including, 1. The model with the least
            /// loss there is kept.
            #[serde(default, skip_serializing_if = "crate::train::course::is_zero")]
            #[schemars(range(min = 0.0, max = 0.999))]
            pub(crate) validation_ratio: f64,
            /// Steps from one validation to the next, at least 1; by default there are ten in all.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            #[schemars(range(min = 1))]
            eval_steps: Option<u32>,
            /// Validations without a new least loss after which training ends, at least 1; by default it never ends early.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            #[schemars(range(min = 1))]
            patience: Option<u32>,
            /// Steps after which a training that is killed goes on from there, at least 1. No influence on the result.
            #[serde(default = "crate::train::course::save_steps", skip_serializing)]
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

            /// The columns with what is learned.
            pub(crate) fn text(&self) -> $crate::train::examples::Text<'_> {
                match &self.messages {
                    Some(messages) => $crate::train::examples::Text::Chat(messages),
                    None => $crate::train::examples::Text::Pair(&self.prompt, &self.completion),
                }
            }

            /// How many optimiser steps it takes.
            pub(crate) fn pace(&self) -> $crate::train::course::Pace {
                let learned = 1.0 - self.validation_ratio;
                let together = f64::from(self.batch_size) * f64::from(self.gradient_accumulation_steps);
                $crate::train::course::Pace {
                    max_steps: self.max_steps,
                    of_example: self.epochs * learned / together,
                    cut: (self.packing, self.max_length),
                    ends: (self.patience, self.eval_steps),
                }
            }

            /// Keys of the course that do not go together.
            pub(crate) fn course_mistakes(&self) -> Vec<flow_plan::Problem> {
                let keys = [("eval_steps", self.eval_steps.is_some()), ("patience", self.patience.is_some())];
                $crate::train::validation::mistakes(self.validation_ratio, keys)
            }

            /// Parts of a start with four bits a weight that would learn; the start is made by a step before.
            pub(crate) fn start_mistake(&self, step: &$crate::StepContext<'_>) -> Option<flow_plan::Problem> {
                $crate::train::int4_start(step, self.freeze.as_deref())
            }

            /// The settings of a training of `start` that is measured on `held_out`, if there are any.
            pub(crate) fn training(
                &self,
                seed: u64,
                threads: usize,
                start: &flow_model::Checkpoint,
                held_out: Vec<$crate::train::examples::Row>,
            ) -> flow_trainer::TrainConfig {
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
                    schedule: self.lr_scheduler_type,
                    weight_decay: self.weight_decay,
                    max_grad_norm: self.max_grad_norm,
                    frozen: self.freeze.clone(),
                    recompute: self.recompute,
                    seed,
                    validation: (!held_out.is_empty()).then(|| flow_trainer::Validation {
                        examples: held_out.into_iter().map(|row| row.example).collect(),
                        every: self.eval_steps.map(|steps| steps as usize),
                        patience: self.patience.map(|patience| patience as usize),
                    }),
                    threads: Some(threads),
                    ..flow_trainer::TrainConfig::default()
                }
            }
        }
    };
}

pub(crate) use with_course;

/// What products are computed in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ProductPrecision {
    /// Single precision.
    #[default]
    F32,
    /// Operands with eight bits of fraction, by tensor cores.
    Bf16,
}

impl ProductPrecision {
    pub(super) fn rounding(self) -> Rounding {
        match self {
            Self::F32 => Rounding::None,
            Self::Bf16 => Rounding::Bf16,
        }
    }
}

/// How many optimiser steps a training takes, as far as its keys tell.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pace {
    /// So many, whatever the data.
    pub(crate) max_steps: Option<u32>,
    /// Otherwise so many for each example.
    pub(crate) of_example: f64,
    /// What else the number of batches of an example hangs on: packing, and the longest example.
    pub(crate) cut: (bool, Option<u32>),
    /// What may end it early: patience, and the steps between validations.
    pub(crate) ends: (Option<u32>, Option<u32>),
}

impl Pace {
    /// Steps over the data that one of the pace `before` took `steps` over; `None` where the keys do not tell.
    pub fn steps(&self, before: &Self, steps: f64) -> Option<f64> {
        match (self.max_steps, before.max_steps) {
            _ if self == before => Some(steps),
            (Some(steps), _) => Some(f64::from(steps)),
            (None, None) if self.cut == before.cut && self.ends == before.ends => {
                Some(steps * self.of_example / before.of_example)
            }
            (None, _) => None,
        }
    }
}

/// Whether a count says nothing that its default does not.
pub(crate) fn is_one(number: &u32) -> bool {
    *number == 1
}

/// Whether a share is none.
pub(crate) fn is_zero(number: &f64) -> bool {
    *number == 0.0
}

pub(crate) fn save_steps() -> u32 {
    50
}

pub(crate) fn batch_size() -> u32 {
    TrainConfig::default().batch_size as u32
}

pub(crate) fn learning_rate() -> f64 {
    TrainConfig::default().learning_rate
}

pub(crate) fn warmup_ratio() -> f64 {
    TrainConfig::default().warmup_ratio
}

pub(crate) fn weight_decay() -> f64 {
    TrainConfig::default().weight_decay
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_follow_the_keys_as_far_as_they_tell() {
        let pace = |max_steps, of_example, packing| Pace { max_steps, of_example, cut: (packing, None), ends: (None, None) };
        let before = pace(None, 1.0 / 16.0, false);
        assert_eq!(pace(None, 3.0 / 16.0, false).steps(&before, 40.0), Some(120.0), "three epochs in place of one");
        assert_eq!(pace(None, 1.0 / 32.0, false).steps(&before, 40.0), Some(20.0), "twice the batch");
        assert_eq!(pace(Some(7), 1.0, true).steps(&before, 40.0), Some(7.0));
        assert_eq!(pace(Some(7), 1.0, true).steps(&pace(Some(7), 1.0, true), 4.0), Some(4.0), "it ended early, and may again");
        assert_eq!(pace(None, 1.0 / 16.0, true).steps(&before, 40.0), None, "packing puts other numbers together");
        assert_eq!(before.steps(&pace(Some(7), 1.0 / 16.0, false), 7.0), None, "how many examples there are is not known");
    }
}
