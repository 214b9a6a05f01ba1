//! The training loop: slices to gradients, gradients to one update, one report a step.

use std::ops::ControlFlow;

use flow_kernels::gpu::Gpu;
use flow_model::{Checkpoint, Config};

use crate::adamw::AdamW;
use crate::batch::{Example, Lesson, slices};
use crate::config::adaptable;
use crate::device::Device;
use crate::gradient::{Block, Gradient};
use crate::lessons::{add_references, lessons};
use crate::model::{Model, Parameter, Told, Totals};
use crate::report::{LayerLoad, StepReport, TrainReport, Trained, best};
use crate::state::State;
use crate::steps::steps;
use crate::validate::Validator;
use crate::workers::Workers;
use crate::{Adapter, Error, Lora, Loss, Preference, Saved, TrainConfig, Validation};

/// Parts of a step whose gradients are computed side by side and summed in order. A constant, not the number of cores:
/// the result has the same bits on any machine with the same vector instructions.
const SLICES: usize = 4;

/// Continues `start` on `examples`. `observe` sees every step and may stop the run; the model is then returned as it
/// is. A model without experts is trained densely, one with experts with the router losses its config asks for; packed
/// ternary experts become latent and stay so ([`Checkpoint::packed`] packs them again).
///
/// With [`TrainConfig::validation`] the loss on further examples is measured now and then; the result is the model with the
/// least one, and the run may end before its last step.
///
/// With [`TrainConfig::saved`] the run goes on from the state at rest there, where there is one, and `observe` sees the steps
/// from there on.
///
/// The same arguments on the same [`crate::instruction_set`] give the same checkpoint, to the byte.
///
/// # Errors
/// A setting is out of range, layers of the model are not trained, every part is frozen, a shared expert of four bits a weight is not, an example is
/// longer than a window of the model, no example has anything to learn, a text cannot be encoded, or the run diverges.
pub fn train(
    start: &Checkpoint,
    examples: &[Example],
    config: &TrainConfig,
    observe: &mut dyn FnMut(&StepReport) -> ControlFlow<()>,
) -> Result<Trained, Error> {
    train_on(None, start, examples, config, observe)
}

/// [`train`] on `device`, or on the CPU where there is none.
///
/// A device computes the same formulas in another order, so that its checkpoint is near the CPU's; the same arguments on the same kind
/// of device give the same one, to the byte. It computes each batch at once, where the CPU computes four parts of it: the load of experts
/// is balanced, and [`TrainConfig::token_rounding`] rounds, over the whole batch.
///
/// # Errors
/// As [`train`], or the device fails, has no memory left, or does not hold heads of such a size.
pub fn train_on(
    device: Option<&Device>,
    start: &Checkpoint,
    examples: &[Example],
    config: &TrainConfig,
    observe: &mut dyn FnMut(&StepReport) -> ControlFlow<()>,
) -> Result<Trained, Error> {
    config.validate(start.config.max_position_embeddings)?;
    let mut lessons = lessons(start, examples, config)?;
    let truncated = lessons.iter().filter(|lesson| lesson.is_truncated()).count();
    let teaching: Vec<usize> = (0..lessons.len()).filter(|i| lessons[*i].teaches()).collect();
    lessons.retain(Lesson::teaches);
    if lessons.is_empty() {
        let why = what_cuts(truncated, config.max_length, start.config.max_position_embeddings);
        return Err(Error::NothingToLearn { examples: examples.len(), why });
    }
    let skipped = examples.len() - lessons.len();
    let mut report = TrainReport { examples: examples.len(), skipped, truncated, ..TrainReport::default() };
    let mut learner = Learner::new(device, start, config)?;
    if !learner.model.parameters().iter().any(|parameter| learner.model.learns(parameter)) {
        return Err(Error::AllFrozen);
    }
    add_references(&mut lessons, config.loss, &learner.model, &learner.workers)?;
    let plan = steps(config, &lessons);
    let validation = config.validation.as_ref();
    let validator =
        validation.map(|validation| learner.validator(start, validation, plan.len())).transpose()?;
    if let Some(state) = config.saved.as_ref().and_then(State::load) {
        report.steps = learner.restore(state)?;
    }
    for (step, chosen) in plan.iter().enumerate().skip(report.steps.len()) {
        if validator.as_ref().is_some_and(|validator| validator.is_over(&report.steps)) {
            break;
        }
        let batch: Vec<&Lesson> = chosen.iter().map(|i| &lessons[*i]).collect();
        let mut done = learner.step(step, plan.len(), &batch)?;
        if let Some(validator) = &validator {
            done.validation = validator.measure(step + 1, &learner.model, &learner.workers)?;
        }
        report.stopped = observe(&done).is_break();
        report.steps.push(done);
        learner.keep_best(&report.steps)?;
        if let Some(saved) = &config.saved
            && (report.stopped || (step + 1).is_multiple_of(saved.every))
        {
            learner.save(&report.steps, saved)?;
        }
        if report.stopped {
            break;
        }
    }
    let mut learned = report.steps.len();
    if !report.stopped {
        learner.take_best()?;
        learned = best(&report.steps).map_or(learned, |best| best + 1);
    }
    report.learned = plan[..learned].iter().map(|step| step.iter().map(|i| teaching[*i]).collect()).collect();
    report.tokens = report.steps.iter().map(|step| step.tokens as u64).sum();
    Ok(Trained { checkpoint: learner.model.checkpoint(start)?, adapter: learner.adapter()?, report })
}

/// What cuts `truncated` examples at `max_length` tokens, and what to do; of a model with so many `positions`.
fn what_cuts(truncated: usize, max_length: usize, positions: usize) -> String {
    if truncated == 0 {
        return String::new();
    }
    let cut = format!(", {truncated} are cut off after {max_length} tokens by");
    match max_length < positions {
        true => format!("{cut} `max_length`; raise it, or shorten the prompts"),
        false => format!(
            "{cut} the positions of the model (`max_position_embeddings`); shorten the prompts, or start from a model with more"
        ),
    }
}

/// A model, its optimiser and the threads.
struct Learner<'a> {
    config: &'a TrainConfig,
    /// Where the model is; none for the memory of this machine.
    device: Option<&'a Device>,
    model: Model,
    adamw: AdamW,
    workers: Workers,
    /// Parts of a step whose gradients are computed side by side.
    slices: usize,
    /// Of the step under way, by parameter.
    gradients: Vec<Gradient>,
    /// Each parameter after the step with the least validation loss; empty as long as there is none.
    best: Vec<Vec<f32>>,
}

impl<'a> Learner<'a> {
    fn new(device: Option<&'a Device>, start: &Checkpoint, config: &'a TrainConfig) -> Result<Self, Error> {
        let start = &start.clone().latent();
        let lora = config.lora.as_ref().map(|lora| (lora, config.seed));
        if lora.is_some() {
            adaptable(&start.config)?;
        }
        config.freezes_int4(&start.config)?;
        let model = Model::new(start, config.max_length, config.frozen(&start.config), lora)?;
        let model = match device {
            Some(device) => {
                Gpu::check_head_dim(start.config.head_dim)?;
                model.on(device)?
            }
            None => model,
        };
        let model = model.recomputing(config.recompute).rounding(config.token_rounding.unwrap_or(1));
        if lora.is_some() && !model.has_adapters() {
            return Err(Error::NoTarget);
        }
        let adamw =
            AdamW::new(model.parameters().iter().map(|parameter| &parameter.value).zip(model.sizes()))?;
        // A device computes a batch at once.
        let (workers, slices) = match device {
            Some(_) => (Workers::none(), 1),
            None => (Workers::new(config.threads)?, SLICES),
        };
        let gradients = model.zeros();
        Ok(Self { config, device, model, adamw, workers, slices, gradients, best: Vec::new() })
    }

    /// What measures the model on `validation` in a run of `steps` steps that has not begun.
    fn validator(
        &self,
        start: &Checkpoint,
        validation: &Validation,
        steps: usize,
    ) -> Result<Validator, Error> {
        Validator::new(start, validation, self.config, steps, &self.model, &self.workers)
    }

    fn step(&mut self, step: usize, steps: usize, lessons: &[&Lesson]) -> Result<StepReport, Error> {
        let scored_tokens: usize = lessons.iter().map(|lesson| lesson.n_scored()).sum();
        let tokens: usize = lessons.iter().map(|lesson| lesson.n_inputs()).sum();
        let weight: f64 = lessons.iter().map(|lesson| lesson.share(self.config.loss)).sum();
        let totals = Totals { loss: self.config.loss, weight, tokens };
        self.gradients.iter_mut().for_each(Gradient::clear);
        let mut told = Vec::new();
        for lessons in lessons.chunks(lessons.len().div_ceil(self.config.gradient_accumulation_steps)) {
            let batches = slices(lessons, self.slices);
            told.extend(self.model.gradients(&batches, totals, &self.workers, &mut self.gradients)?);
        }
        let loss = told.iter().map(|slice| slice.loss).sum::<f64>();
        let grad_norm = self.norm()?;
        if !f64::is_finite(loss) || !grad_norm.is_finite() {
            let learning_rate = self.config.learning_rate;
            return Err(Error::Diverged { step: step + 1, loss, grad_norm, learning_rate });
        }
        let learning_rate = self.config.rate(step, steps);
        self.update(learning_rate, grad_norm)?;
        self.model.even_out(&demands(&told))?;
        Ok(StepReport {
            step: step + 1,
            steps,
            loss,
            learning_rate,
            grad_norm,
            tokens,
            scored_tokens,
            layers: loads(&told, self.model.config()),
            preference: preference(self.config.loss, &told, weight),
            validation: None,
        })
    }

    /// Euclidean norm of all gradients, summed in f64.
    fn norm(&self) -> Result<f64, Error> {
        let blocks = || self.gradients.iter().flat_map(|gradient| &gradient.blocks);
        let squares = match self.device {
            Some(device) => device.square_sum(blocks().filter_map(Block::array))?,
            None => blocks().map(Block::square).sum(),
        };
        Ok(squares.sqrt())
    }

    /// The adapters as they are now, where there are any.
    fn adapter(&self) -> Result<Option<Adapter>, Error> {
        let adapter = |lora: &Lora| {
            Ok(Adapter { rank: lora.rank, alpha: lora.alpha, tensors: self.model.adapter_tensors()? })
        };
        self.config.lora.as_ref().map(adapter).transpose()
    }

    /// Remembers the parameters if the last of `steps` has the least validation loss.
    fn keep_best(&mut self, steps: &[StepReport]) -> Result<(), Error> {
        if best(steps).is_some_and(|best| best + 1 == steps.len()) {
            let values = self.model.parameters().iter().map(|parameter| Ok(parameter.value.to_vec()?));
            self.best = values.collect::<Result<_, Error>>()?;
        }
        Ok(())
    }

    /// Goes back to the parameters that are remembered, if any are.
    fn take_best(&mut self) -> Result<(), Error> {
        let best = std::mem::take(&mut self.best).into_iter().enumerate();
        best.into_iter().try_for_each(|(i, values)| Ok(self.model.restore(i, values)?))
    }

    /// What it takes to go on after these steps.
    fn save(&self, steps: &[StepReport], saved: &Saved) -> Result<(), Error> {
        let mut numbers = Vec::new();
        for (i, parameter) in self.model.parameters().iter().enumerate() {
            numbers.push(parameter.value.to_vec()?);
            numbers.extend(self.adamw.moments(i)?);
        }
        numbers.extend(self.best.iter().cloned());
        let state = State { steps: steps.to_vec(), numbers };
        state.save(saved).map_err(|source| Error::Save { path: saved.path.clone(), source })
    }

    /// Goes on from `state`; returns the steps that it had done. One that does not fit leaves all as it is.
    fn restore(&mut self, state: State) -> Result<Vec<StepReport>, Error> {
        let count = |parameter: &Parameter| parameter.value.elem_count();
        let parameters = self.model.parameters();
        let sizes = parameters.iter().zip(self.model.sizes());
        let sizes = sizes.flat_map(|(parameter, size)| [count(parameter), size, size]);
        let n_best = if best(&state.steps).is_some() { parameters.len() } else { 0 };
        let sizes = sizes.chain(parameters[..n_best].iter().map(count));
        if !sizes.eq(state.numbers.iter().map(Vec::len)) {
            return Ok(Vec::new());
        }
        let mut numbers = state.numbers.into_iter();
        let mut next = || numbers.next().expect("there are three lists for each parameter");
        for i in 0..self.model.parameters().len() {
            self.model.restore(i, next())?;
            let parameter = &self.model.parameters()[i].value;
            self.adamw.restore(state.steps.len(), (i, parameter), [next(), next()])?;
        }
        self.best = numbers.collect();
        Ok(state.steps)
    }

    fn update(&mut self, rate: f64, grad_norm: f64) -> Result<(), Error> {
        let scale = (self.config.max_grad_norm / grad_norm.max(f64::MIN_POSITIVE)).min(1.0) as f32;
        let mut update = self.adamw.begin(self.config, rate, scale, &self.workers);
        let learning = self.model.parameters().iter().zip(&self.gradients).enumerate();
        for (i, (parameter, gradient)) in learning.filter(|(_, (parameter, _))| self.model.learns(parameter))
        {
            update.apply(i, &parameter.value, parameter.decays, gradient)?;
        }
        Ok(())
    }
}

/// How often routers chose each expert, by layer.
fn demands(slices: &[Told]) -> Vec<Vec<u64>> {
    let mut layers: Vec<Vec<u64>> = Vec::new();
    for slice in slices {
        layers.resize_with(slice.routings.len(), Vec::new);
        for (layer, routing) in layers.iter_mut().zip(&slice.routings) {
            let demand = routing.demand();
            layer.resize(demand.len(), 0);
            layer.iter_mut().zip(demand).for_each(|(sum, visits)| *sum += visits);
        }
    }
    layers
}

/// The slices' use of the experts, by layer.
fn loads(slices: &[Told], config: &Config) -> Vec<LayerLoad> {
    let Some(moe) = &config.moe else { return Vec::new() };
    let none = LayerLoad { tokens_per_expert: vec![0; moe.num_experts], ..LayerLoad::default() };
    let mut layers = vec![none; config.num_hidden_layers];
    for slice in slices {
        for (layer, routing) in config.layers_with_experts().zip(&slice.routings) {
            layers[layer].add(routing, slice.share);
            layers[layer].add_groups(routing, &slice.groups);
        }
    }
    layers
}

/// What the slices learned of preferences, where the loss is about them.
fn preference(loss: Loss, slices: &[Told], weight: f64) -> Option<Preference> {
    let mean =
        |of: fn(&Preference) -> f64| slices.iter().map(|slice| of(&slice.preference)).sum::<f64>() / weight;
    let preference = Preference { margin: mean(|of| of.margin), accuracy: mean(|of| of.accuracy) };
    (loss != Loss::CrossEntropy).then_some(preference)
}
