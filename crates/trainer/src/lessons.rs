//! From examples to lessons: checked, encoded, and with what the start thinks of them.

use flow_model::Checkpoint;

use crate::batch::{Batch, Example, Lesson};
use crate::model::Model;
use crate::workers::Workers;
use crate::{Error, Loss, TrainConfig};

/// Lessons computed at once where nothing is learned. A constant: sums have the same order on any machine.
pub(crate) const AT_ONCE: usize = 8;

/// All `examples`, encoded, also those that have nothing to teach.
///
/// # Errors
/// When a weight is out of range, an example does not go with the loss, or a text cannot be encoded.
pub(crate) fn lessons(
    start: &Checkpoint,
    examples: &[Example],
    config: &TrainConfig,
) -> Result<Vec<Lesson>, Error> {
    let lesson = |(at, example): (usize, &Example)| {
        check(at + 1, example, config.loss)?;
        Lesson::encode(start, config, example)
    };
    examples.iter().enumerate().map(lesson).collect()
}

fn check(at: usize, example: &Example, loss: Loss) -> Result<(), Error> {
    let Example { completion, weight, rejected, .. } = example;
    if !(weight.is_finite() && *weight >= 0.0) {
        return Err(Error::Weight { at, found: *weight });
    }
    match (loss, rejected) {
        (Loss::Dpo { .. }, None) => Err(Error::NoPair { at, lack: "no rejected completion" }),
        (Loss::Dpo { .. }, Some(rejected)) if rejected == completion => {
            Err(Error::NoPair { at, lack: "the same text as completion and as rejected" })
        }
        (Loss::CrossEntropy, Some(_)) => Err(Error::Pair { at }),
        _ => Ok(()),
    }
}

/// Measures by how much `model`, which is the start still, prefers what is to be preferred, where the loss asks for it.
pub(crate) fn add_references(
    lessons: &mut [Lesson],
    loss: Loss,
    model: &Model,
    workers: &Workers,
) -> Result<(), Error> {
    if loss == Loss::CrossEntropy {
        return Ok(());
    }
    let batches: Vec<Batch> = lessons.chunks(AT_ONCE).map(Batch::new).collect();
    let preferences = workers.try_map(&batches, |batch| model.preferences(batch))?;
    for (lesson, preference) in lessons.iter_mut().zip(preferences.into_iter().flatten()) {
        lesson.reference = preference;
    }
    Ok(())
}
