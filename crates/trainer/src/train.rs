//! The training loop: slices to gradients, gradients to one update, one report a step.

use std::ops::ControlFlow;

use flow_model::Checkpoint;

use crate::adamw::AdamW;
use crate::batch::{Batch, Document, Example, slices};
use crate::model::{Gradients, Model, Weights};
use crate::ops::elements;
use crate::report::{LayerLoad, StepReport, TrainReport, Trained};
use crate::steps::steps;
use crate::workers::Workers;
use crate::{Error, TrainConfig};

/// Parts of a step whose gradients are computed side by side and summed in order. A constant, not the number of cores:
/// the result has the same bits on any machine with the same vector instructions.
const SLICES: usize = 4;

/// Continues `start` on `examples`. `observe` sees every step and may stop the run; the model is then returned as it
/// is. A model without experts is trained densely, one with experts with the router losses its config asks for; packed
/// ternary experts become latent and stay so ([`Checkpoint::packed`] packs them again).
///
/// The same arguments on the same [`crate::instruction_set`] give the same checkpoint, to the byte.
///
/// # Errors
/// A setting is out of range, no example has anything to learn, a text cannot be encoded, or the run diverges.
pub fn train(
    start: &Checkpoint,
    examples: &[Example],
    config: &TrainConfig,
    observe: &mut dyn FnMut(&StepReport) -> ControlFlow<()>,
) -> Result<Trained, Error> {
    config.validate(start.config.max_position_embeddings)?;
    let all = encode(start, examples, config)?;
    let truncated = all.iter().filter(|document| document.truncated).count();
    let documents: Vec<Document> = all.into_iter().filter(|document| document.n_scored() > 0).collect();
    if documents.is_empty() {
        return Err(Error::NothingToLearn { examples: examples.len() });
    }
    let skipped = examples.len() - documents.len();
    let mut report = TrainReport { examples: examples.len(), skipped, truncated, ..TrainReport::default() };
    let mut learner = Learner::new(start, config)?;
    let plan = steps(config, &documents);
    for (step, chosen) in plan.iter().enumerate() {
        let batch: Vec<&Document> = chosen.iter().map(|i| &documents[*i]).collect();
        let done = learner.step(step, plan.len(), &batch)?;
        report.tokens += done.tokens as u64;
        let flow = observe(&done);
        report.steps.push(done);
        if flow.is_break() {
            report.stopped = true;
            break;
        }
    }
    Ok(Trained { checkpoint: learner.model.checkpoint(start)?, report })
}

fn encode(start: &Checkpoint, examples: &[Example], config: &TrainConfig) -> Result<Vec<Document>, Error> {
    examples.iter().map(|example| Document::encode(start, config.max_length, example)).collect()
}

/// A model, its optimiser and the threads.
struct Learner<'a> {
    config: &'a TrainConfig,
    model: Model,
    adamw: AdamW,
    workers: Workers,
}

impl<'a> Learner<'a> {
    fn new(start: &Checkpoint, config: &'a TrainConfig) -> Result<Self, Error> {
        let start = &start.clone().latent();
        let model = Model::new(start, config.max_length, config.frozen(&start.config))?;
        let adamw = AdamW::new(model.sizes());
        Ok(Self { config, model, adamw, workers: Workers::new(config.threads, SLICES)? })
    }

    fn step(&mut self, step: usize, steps: usize, documents: &[&Document]) -> Result<StepReport, Error> {
        let scored_tokens: usize = documents.iter().map(|document| document.n_scored()).sum();
        let tokens: usize = documents.iter().map(|document| document.n_inputs()).sum();
        let batches = slices(documents, SLICES);
        let shares: Vec<f64> =
            batches.iter().map(|batch| batch.inputs.len() as f64 / tokens as f64).collect();
        let parts = self.gradients(&batches, &shares, 1.0 / scored_tokens as f64)?;
        let loss = parts.iter().map(|part| part.cross_entropy).sum();
        let layers = layers(&parts, &shares);
        let gradients = self.sum(parts)?;
        let grad_norm = norm(&gradients);
        if !f64::is_finite(loss) || !grad_norm.is_finite() {
            return Err(Error::Diverged { step: step + 1, loss, grad_norm });
        }
        let learning_rate = self.config.rate(step, steps);
        self.update(&gradients, learning_rate, grad_norm)?;
        Ok(StepReport {
            step: step + 1,
            steps,
            loss,
            learning_rate,
            grad_norm,
            tokens,
            scored_tokens,
            layers,
        })
    }

    fn gradients(&self, batches: &[Batch], shares: &[f64], per_target: f64) -> Result<Vec<Gradients>, Error> {
        let slices: Vec<(&Batch, f64)> = batches.iter().zip(shares.iter().copied()).collect();
        let work = |(batch, share): &(&Batch, f64)| {
            self.model.gradients(batch, Weights { per_target, share: *share })
        };
        Ok(self.workers.map(&slices, work).into_iter().collect::<Result<_, _>>()?)
    }

    /// Sums the slices' gradients in order.
    fn sum(&self, parts: Vec<Gradients>) -> Result<Vec<Vec<f32>>, Error> {
        let mut sums: Vec<Vec<f32>> = self.model.sizes().map(|size| vec![0.0; size]).collect();
        for part in parts {
            for (sum, gradient) in sums.iter_mut().zip(&part.gradients) {
                let Some(gradient) = gradient else { continue };
                for (sum, x) in sum.iter_mut().zip(elements(gradient)?.iter()) {
                    *sum += x;
                }
            }
        }
        Ok(sums)
    }

    fn update(&mut self, gradients: &[Vec<f32>], rate: f64, grad_norm: f64) -> Result<(), Error> {
        let scale = (self.config.max_grad_norm / grad_norm.max(f64::MIN_POSITIVE)).min(1.0) as f32;
        let mut update = self.adamw.begin(self.config, rate);
        let learning = self.model.parameters().iter().zip(gradients).enumerate();
        for (i, (parameter, gradient)) in learning.filter(|(_, (parameter, _))| self.model.learns(parameter)) {
            update.apply(i, &parameter.value, parameter.decays, gradient, scale)?;
        }
        Ok(())
    }
}

/// The use of the experts over the whole step, by layer.
fn layers(parts: &[Gradients], shares: &[f64]) -> Vec<LayerLoad> {
    let n_layers = parts.first().map_or(0, |part| part.routings.len());
    let mut layers = vec![LayerLoad::default(); n_layers];
    for (part, share) in parts.iter().zip(shares) {
        for (layer, routing) in layers.iter_mut().zip(&part.routings) {
            layer.add(routing, *share);
        }
    }
    layers
}

/// Euclidean norm over all parameters, summed in f64.
fn norm(gradients: &[Vec<f32>]) -> f64 {
    gradients.iter().flatten().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt()
}
