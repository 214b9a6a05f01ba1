//! Examples longer than the model that is to learn them has positions: told before anything is drawn for the training.

use std::path::Path;

use flow_model::Config;
use flow_plan::{ModelRef, Plan};
use flow_spec::Diagnostic;
use serde_json::Value as Json;

use crate::halt::Halt;
use crate::pipeline::Pipeline;
use crate::{Exit, codes};

/// Errs where the `max_length` of a training is above the positions of what it starts from, as far as that is known.
pub(crate) fn expect(pipeline: &Pipeline) -> Result<(), Halt> {
    let plan = &pipeline.plan;
    let mistake = |at: usize| {
        let step = &plan.steps[at];
        let length = step.config.get("max_length").and_then(Json::as_u64)?;
        let positions = start(plan, at).filter(|positions| length > *positions)?;
        let message = format!(
            "step `{}`: `max_length` is {length}, and the model has {positions} positions",
            step.name
        );
        let mistake = pipeline.mistake_in_step(&codes::TOO_LONG, &step.name, &["max_length"], message);
        Some(Diagnostic {
            help: Some(format!("leave `max_length` out, or write at most {positions}")),
            ..mistake
        })
    };
    let mistakes: Vec<Diagnostic> = (0..plan.steps.len()).filter_map(mistake).collect();
    if mistakes.is_empty() { Ok(()) } else { Err(Halt::located(Exit::Invalid, &mistakes, &pipeline.sources)) }
}

/// The positions of the model that the training at `step` starts from; none where that is not known without a run.
fn start(plan: &Plan, step: usize) -> Option<u64> {
    let step = &plan.steps[step];
    if let Some(positions) = step.config.get("start").and_then(|start| start.get("max_position_embeddings")) {
        return positions.as_u64();
    }
    let used = step.models.iter().find(|used| used.key == "start")?;
    match &used.model {
        // What these train or join has the positions of what they start from.
        ModelRef::Step(maker) if ["train", "branch"].contains(&plan.steps[*maker].op) => start(plan, *maker),
        ModelRef::Step(_) => None,
        ModelRef::Declared(name) => {
            let config = Config::of_folder(Path::new(plan.models.get(name)?.folder()?)).ok()?;
            u64::try_from(config.max_position_embeddings).ok()
        }
    }
}
