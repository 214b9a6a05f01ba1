//! The keys of `train`.

use flow_plan::Problem;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::adapters::Lora;
use super::course::with_course;
use super::mixture::Moe;
use super::start::Start;

with_course! {
    /// Options of `train`.
    pub(crate) struct Config {
        /// What training starts from: a declared model, a step that makes one, or `{hidden_size: ..}` for random weights.
        pub(super) start: Start,
        /// Upcycle a dense start to a mixture of experts.
        pub(super) moe: Option<Moe>,
        /// Learn low-rank adapters in place of the model's weights. The checkpoint has them merged into its weights; by themselves they
        /// stand in its folder `adapter`, as PEFT reads them.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub(super) lora: Option<Lora>,
        /// Which rounds' data a round is trained on.
        #[serde(default, skip_serializing)]
        pub(super) retention: Retention,
        /// Folder that the last checkpoint is copied to when the run is done.
        #[serde(skip_serializing)]
        pub(super) path: Option<String>,
    }
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

impl Config {
    /// What the schema cannot say: keys that do not go together.
    pub(super) fn check(&self) -> Result<(), Vec<Problem>> {
        let mut problems: Vec<Problem> = self.moe.iter().flat_map(Moe::mistakes).collect();
        problems.extend(self.course_mistakes());
        if self.lora.is_some() {
            let random = matches!(self.start, Start::Init(_));
            let others = [("freeze", self.freeze.is_some()), ("moe", self.moe.is_some()), ("start", random)];
            problems.extend(Lora::mistakes(others));
        }
        if let Start::Init(init) = &self.start {
            problems.extend(init.mistake());
        }
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }
}
