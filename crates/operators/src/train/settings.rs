//! The keys of `train`.

use flow_plan::Problem;
use flow_spec::PATH;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::adapters::Lora;
use super::course::with_course;
use super::examples::Columns;
use super::mixture::{Moe, int4_mistake};
use super::start::Start;

with_course! {
    /// Options of `train`.
    pub(crate) struct Config {
        /// What training starts from: a declared model, a step that makes one, or `{hidden_size: ..}` for random weights.
        pub(super) start: Start,
        /// Upcycle a dense start to a mixture of experts. Of a start that has experts already, the rate of its biases is set, where it has some, and
        /// its shared expert gets four bits where that is asked for; nothing else.
        pub(super) moe: Option<Moe>,
        /// What is minimised.
        #[serde(default, skip_serializing_if = "Loss::is_usual")]
        pub(super) loss: Loss,
        /// Column of the parts with what a row counts, a finite number of 0 or more; by default each counts 1. The loss is Σ w · loss of the
        /// row / Σ w · its completion tokens, with `dpo` / Σ w.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub(super) weight: Option<String>,
        /// Learn low-rank adapters in place of the model's weights. The checkpoint has them merged into its weights; by themselves they
        /// stand in its folder `adapter`, as PEFT reads them.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub(super) lora: Option<Lora>,
        /// With experts: in each of the four parts of a batch that are computed side by side, the visits of each expert are brought to the
        /// nearest multiple of this, at least 1: those of the least probable tokens are dropped, or the most probable others are added (token
        /// rounding, arXiv 2512.14080). Parts with fewer tokens stay as they are. Measuring and drawing know nothing of it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(range(min = 1))]
        pub(super) token_rounding: Option<u32>,
        /// Columns of the parts, texts or whole numbers with at most 256 different values together: the port `experts` tells by the values of each as
        /// well which experts the tokens visit. No influence on the weights, but an answer that does not tell is trained for again.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        pub(super) report_by: Vec<String>,
        /// Which rounds' data a round is trained on.
        #[serde(default, skip_serializing)]
        pub(super) retention: Retention,
        /// Folder that the last checkpoint is copied to when the run is done.
        #[serde(skip_serializing)]
        #[schemars(regex(pattern = PATH))]
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

/// What training minimises.
#[derive(Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Loss {
    /// Cross-entropy of the completions.
    #[default]
    CrossEntropy,
    /// Direct preference optimisation (arXiv 2305.18290): of two completions of a prompt the model comes to prefer one, more than its start does.
    Dpo(Dpo),
}

/// Direct preference optimisation.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Dpo {
    /// How dear it is to leave the start, above 0; less lets the model go further.
    #[serde(default = "beta")]
    #[schemars(range(min = 0.000_001))]
    beta: f64,
    /// Column of the parts with the completion that is worse than the one in `completion`.
    #[serde(default = "rejected")]
    rejected: String,
}

fn beta() -> f64 {
    0.1
}

fn rejected() -> String {
    "rejected".into()
}

impl Loss {
    fn is_usual(&self) -> bool {
        matches!(self, Self::CrossEntropy)
    }

    pub(super) fn loss(&self) -> flow_trainer::Loss {
        match self {
            Self::CrossEntropy => flow_trainer::Loss::CrossEntropy,
            Self::Dpo(dpo) => flow_trainer::Loss::Dpo { beta: dpo.beta },
        }
    }
}

impl Config {
    /// The columns that it reads.
    pub(super) fn columns(&self) -> Columns<'_> {
        let rejected = match &self.loss {
            Loss::CrossEntropy => None,
            Loss::Dpo(dpo) => Some(dpo.rejected.as_str()),
        };
        Columns { text: self.text(), weight: self.weight.as_deref(), rejected, report_by: &self.report_by }
    }

    /// Whether it gives a shared expert weights of four bits.
    pub(super) fn makes_int4(&self) -> bool {
        self.moe.as_ref().is_some_and(Moe::has_int4_shared_expert)
    }

    /// What the schema cannot say: keys that do not go together.
    pub(super) fn check(&self) -> Result<(), Vec<Problem>> {
        let mut problems: Vec<Problem> = self.moe.iter().flat_map(Moe::mistakes).collect();
        problems.extend(self.course_mistakes());
        if !self.loss.is_usual() && self.messages.is_some() {
            let problem = Problem::new("messages", "`dpo` learns from a prompt with two completions, not from chats");
            problems.push(problem.with_help("name the columns with `prompt`, `completion` and `loss.dpo.rejected`"));
        }
        let twice = |(at, column): (usize, &String)| self.report_by[..at].contains(column);
        if let Some((at, column)) = self.report_by.iter().enumerate().find(|entry| twice(*entry)) {
            problems.push(Problem::new(&format!("report_by.{at}"), format!("`{column}` is named twice")));
        }
        if self.lora.is_some() {
            let random = matches!(self.start, Start::Init(_));
            let others = [("freeze", self.freeze.is_some()), ("moe", self.moe.is_some()), ("start", random)];
            problems.extend(Lora::mistakes(others));
        }
        if self.makes_int4() {
            problems.extend(int4_mistake(self.freeze.as_deref()));
        }
        if let Start::Init(init) = &self.start {
            problems.extend(init.mistake());
        }
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }
}
