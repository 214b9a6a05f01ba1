//! What a training starts from and does not fit it: told before anything is drawn for the training.

use std::path::Path;

use flow_model::Config;
use flow_operators::{StepContext, adapters, begun, pace, unstorable, upcycling};
use flow_plan::{ModelRef, Plan};
use flow_spec::Diagnostic;
use serde_json::Value as Json;

use crate::halt::Halt;
use crate::pipeline::Pipeline;
use crate::{Exit, codes};

/// Errs where a training starts from a model whose mixture no family of checkpoints has, its `max_length` is above the positions of that, or it is too large,
/// as far as this is known.
pub(crate) fn expect(pipeline: &Pipeline) -> Result<(), Halt> {
    let steps = 0..pipeline.plan.steps.len();
    let of_step = |at| [too_long(pipeline, at), too_large(pipeline, at), cannot_mix(pipeline, at)];
    let mistakes = steps.flat_map(of_step).flatten();
    let mistakes: Vec<Diagnostic> = mistakes.collect();
    if mistakes.is_empty() { Ok(()) } else { Err(Halt::located(Exit::Invalid, &mistakes, &pipeline.sources)) }
}

fn too_long(pipeline: &Pipeline, at: usize) -> Option<Diagnostic> {
    let step = &pipeline.plan.steps[at];
    let length = step.config.get("max_length").and_then(Json::as_u64)?;
    let positions = positions(&pipeline.plan, at).filter(|positions| length > *positions)?;
    let message =
        format!("step `{}`: `max_length` is {length}, and the model has {positions} positions", step.name);
    let mistake = pipeline.mistake_in_step(&codes::TOO_LONG, &step.name, &["max_length"], message);
    Some(Diagnostic {
        help: Some(format!("leave `max_length` out, or write at most {positions}")),
        ..mistake
    })
}

/// The least bytes that each parameter of a training takes: its weight, and where it learns its gradient.
const WEIGHT: f64 = 4.0;
const LEARNED: f64 = 8.0;

fn too_large(pipeline: &Pipeline, at: usize) -> Option<Diagnostic> {
    let (plan, step) = (&pipeline.plan, &pipeline.plan.steps[at]);
    pace(step.op, &step.config)?;
    let parameters = match begun(step.op, &step.config) {
        Some(parameters) => parameters,
        None => config(plan, at)?.num_parameters() as f64,
    };
    let learns_all = adapters(&StepContext { plan, step }).is_none() && step.config.get("freeze").is_none();
    let bytes = parameters * if learns_all { LEARNED } else { WEIGHT };
    let memory = memory_bytes().filter(|memory| bytes > *memory)?;
    let gib = |bytes: f64| format!("{:.0} GiB", bytes / f64::from(1 << 30));
    let message = format!(
        "step `{}`: a model of about {:.1e} parameters takes at least {} to train, and this machine has {}",
        step.name,
        parameters,
        gib(bytes),
        gib(memory)
    );
    let mistake = pipeline.mistake_in_step(&codes::TOO_LARGE, &step.name, &["start"], message);
    let help = "start from a smaller model, or learn adapters (`lora`)";
    Some(Diagnostic { help: Some(help.into()), ..mistake })
}

/// The memory of this machine, from Linux's `/proc/meminfo`.
fn memory_bytes() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let kib = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    Some(kib.split_whitespace().next()?.parse::<f64>().ok()? * 1024.0)
}

fn cannot_mix(pipeline: &Pipeline, at: usize) -> Option<Diagnostic> {
    let (plan, step) = (&pipeline.plan, &pipeline.plan.steps[at]);
    let mixture = upcycling(step.op, &step.config)?;
    let (trained, key) = match pace(step.op, &step.config) {
        Some(_) => (at, "moe"),
        None => (step.inputs.first()?.edges.first()?.step, "method"),
    };
    // An outside trainer may make of a start whatever it likes.
    pace(plan.steps[trained].op, &plan.steps[trained].config)?;
    // A training before it may have made the mixture already.
    let is_first = |at: usize| trained != at || first(plan, at) == at;
    let words = is_first(at).then(|| unstorable(&config(plan, trained)?, &mixture)).flatten()?;
    let mistake = pipeline.mistake_in_step(
        &codes::NO_MIXTURE,
        &step.name,
        &[key],
        format!("step `{}`: {words}", step.name),
    );
    let help = "`docs/models.md` says which mixtures are stored as what";
    Some(Diagnostic { help: Some(help.into()), ..mistake })
}

/// The positions of the model that the training at `step` starts from; none where that is not known without a run.
fn positions(plan: &Plan, step: usize) -> Option<u64> {
    let first = first(plan, step);
    let random = plan.steps[first].config.get("start").and_then(|start| start.get("max_position_embeddings"));
    match random {
        Some(positions) => positions.as_u64(),
        None => u64::try_from(config(plan, first)?.max_position_embeddings).ok(),
    }
}

/// The config of the declared model that the training at `step` goes back to; none where that is not known without a run.
fn config(plan: &Plan, step: usize) -> Option<Config> {
    let ModelRef::Declared(name) = start(plan, first(plan, step))? else { return None };
    Config::of_folder(Path::new(plan.models.get(name)?.folder()?)).ok()
}

/// The first of the trainings of which each starts from the one before, up to `step`: what they train has the layers and positions of what
/// they start from.
fn first(plan: &Plan, step: usize) -> usize {
    let trains = |step: &usize| pace(plan.steps[*step].op, &plan.steps[*step].config).is_some();
    match start(plan, step) {
        Some(ModelRef::Step(maker)) if trains(maker) => first(plan, *maker),
        _ => step,
    }
}

fn start(plan: &Plan, step: usize) -> Option<&ModelRef> {
    plan.steps[step].models.iter().find(|used| used.key == "start").map(|used| &used.model)
}
