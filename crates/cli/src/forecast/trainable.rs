//! How much of a declared model learns where a step trains adapters.

use std::path::Path;

use flow_model::Config;
use flow_operators::{StepContext, adapters};
use flow_plan::{ModelRef, Plan};
use serde::Serialize;

/// What learns in one step.
#[derive(Debug, Serialize)]
pub(super) struct Trainable {
    /// The step.
    pub(super) step: String,
    /// Rank of its adapters.
    pub(super) rank: usize,
    /// Numbers that learn.
    pub(super) trainable_parameters: usize,
    /// Numbers of the model that they go on, which stay.
    pub(super) frozen_parameters: usize,
}

/// Of each step with adapters on a declared model whose config can be read here.
pub(super) fn of(plan: &Plan) -> Vec<Trainable> {
    let trainable = |at: usize| {
        let step = &plan.steps[at];
        let lora = adapters(&StepContext { plan, step })?;
        let ModelRef::Declared(name) = &step.models.first()?.model else { return None };
        let config = Config::of_folder(Path::new(plan.models.get(name)?.folder()?)).ok()?;
        Some(Trainable {
            step: step.name.clone(),
            rank: lora.rank,
            trainable_parameters: lora.num_parameters(&config),
            frozen_parameters: config.num_parameters(),
        })
    };
    (0..plan.steps.len()).filter_map(trainable).collect()
}
