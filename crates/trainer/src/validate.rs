//! How a run does on examples that it does not learn from, and what follows from that: which model is kept, and when to end.

use flow_model::Checkpoint;

use crate::batch::{Batch, Lesson};
use crate::lessons::{AT_ONCE, add_references, lessons};
use crate::model::Model;
use crate::report::{StepReport, best};
use crate::workers::Workers;
use crate::{Error, Loss, TrainConfig, Validation};

/// Measurements in all, where nothing else is said.
const MEASUREMENTS: usize = 10;

/// The validation examples of a run, laid out.
pub(crate) struct Validator {
    batches: Vec<Batch>,
    loss: Loss,
    /// What the examples count together.
    weight: f64,
    every: usize,
    patience: Option<usize>,
    steps: usize,
}

impl Validator {
    /// For a run of `steps` steps from `model`, which is `start`.
    ///
    /// # Errors
    /// When a text cannot be encoded, or none has a completion token within the longest length.
    pub(crate) fn new(
        start: &Checkpoint,
        validation: &Validation,
        config: &TrainConfig,
        steps: usize,
        model: &Model,
        workers: &Workers,
    ) -> Result<Self, Error> {
        let Validation { examples, every, patience } = validation;
        let mut lessons = lessons(start, examples, config)?;
        lessons.retain(Lesson::teaches);
        if lessons.is_empty() {
            return Err(Error::NothingToValidate { examples: examples.len() });
        }
        add_references(&mut lessons, config.loss, model, workers)?;
        Ok(Self {
            batches: lessons.chunks(AT_ONCE).map(Batch::new).collect(),
            loss: config.loss,
            weight: lessons.iter().map(|lesson| lesson.share(config.loss)).sum(),
            every: every.unwrap_or(steps.div_ceil(MEASUREMENTS)),
            patience: *patience,
            steps,
        })
    }

    /// The loss of `model` after `step` steps, where it is time to measure it.
    pub(crate) fn measure(
        &self,
        step: usize,
        model: &Model,
        workers: &Workers,
    ) -> Result<Option<f64>, Error> {
        if !step.is_multiple_of(self.every) && step != self.steps {
            return Ok(None);
        }
        let sums = workers.try_map(&self.batches, |batch| model.loss(batch, self.loss))?;
        let sum: f64 = sums.into_iter().sum();
        Ok(Some(sum / self.weight))
    }

    /// Whether there was no new least loss for as long as patience lasts.
    pub(crate) fn is_over(&self, steps: &[StepReport]) -> bool {
        let Some((patience, best)) = self.patience.zip(best(steps)) else { return false };
        steps[best + 1..].iter().filter(|step| step.validation.is_some()).count() >= patience
    }
}
