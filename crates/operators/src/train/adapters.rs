//! Low-rank adapters that learn in place of the model: the key `lora`.

use flow_plan::Problem;
use flow_trainer::Target;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Low-rank adapters (LoRA, arXiv 2106.09685): only they learn, and the optimiser remembers nothing else.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Lora {
    /// Rows of A and columns of B, at least 1.
    #[schemars(range(min = 1, max = 65_536))]
    rank: u32,
    /// B·A is multiplied by this over the rank; by default it is the rank.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.000_001))]
    alpha: Option<f64>,
    /// The matrices that get an adapter, in every layer that has them; of routed experts each expert's. By default all seven.
    #[serde(default = "all")]
    #[schemars(length(min = 1))]
    targets: Vec<Target>,
}

fn all() -> Vec<Target> {
    Target::ALL.to_vec()
}

impl Lora {
    /// Keys of the step that do not go with adapters, each with whether it is given.
    pub(super) fn mistakes(others: [(&str, bool); 3]) -> Vec<Problem> {
        let given = others.into_iter().filter(|(_, given)| *given);
        let mistake = |(key, _): (&str, bool)| match key {
            "freeze" => Problem::new(key, "with `lora` all of the model is frozen already"),
            _ => Problem::new(key, "`lora` learns beside weights that stay, so it needs a model as the start")
                .with_help("train the model in a step of its own, and name that step as the `start` of this one"),
        };
        given.map(mistake).collect()
    }

    pub(super) fn lora(&self) -> flow_trainer::Lora {
        flow_trainer::Lora {
            rank: self.rank as usize,
            alpha: self.alpha.unwrap_or_else(|| f64::from(self.rank)),
            targets: self.targets.clone(),
        }
    }
}
