//! How a run does on examples that it does not learn from, and what follows from that: which model is kept, and when to end.

use flow_model::Checkpoint;

use crate::batch::{Batch, Document};
use crate::model::Model;
use crate::report::{StepReport, best};
use crate::workers::Workers;
use crate::{Error, TrainConfig, Validation};

/// Documents computed at once. A constant: sums have the same order on any machine.
const DOCUMENTS: usize = 8;

/// Measurements in all, where nothing else is said.
const MEASUREMENTS: usize = 10;

/// The validation examples of a run, laid out.
pub(crate) struct Validator {
    batches: Vec<Batch>,
    n_scored: usize,
    every: usize,
    patience: Option<usize>,
    steps: usize,
}

impl Validator {
    /// For a run of `steps` steps.
    ///
    /// # Errors
    /// When a text cannot be encoded, or none has a completion token within the longest length.
    pub(crate) fn new(
        start: &Checkpoint,
        validation: &Validation,
        config: &TrainConfig,
        steps: usize,
    ) -> Result<Self, Error> {
        let Validation { examples, every, patience } = validation;
        let encode = |example| Document::encode(start, config, example);
        let mut documents = examples.iter().map(encode).collect::<Result<Vec<_>, _>>()?;
        documents.retain(|document| document.n_scored() > 0);
        if documents.is_empty() {
            return Err(Error::NothingToValidate { examples: examples.len() });
        }
        Ok(Self {
            batches: documents.chunks(DOCUMENTS).map(Batch::new).collect(),
            n_scored: documents.iter().map(Document::n_scored).sum(),
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
        let sums = workers.try_map(&self.batches, |batch| model.loss(batch))?;
        let sum: f64 = sums.into_iter().sum();
        Ok(Some(sum / self.n_scored as f64))
    }

    /// Whether there was no new least loss for as long as patience lasts.
    pub(crate) fn is_over(&self, steps: &[StepReport]) -> bool {
        let Some((patience, best)) = self.patience.zip(best(steps)) else { return false };
        steps[best + 1..].iter().filter(|step| step.validation.is_some()).count() >= patience
    }
}
