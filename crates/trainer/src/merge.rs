//! Several dense checkpoints of one seed become one: weighted means, and sums of task vectors.

use flow_model::Checkpoint;

use crate::Error;
use crate::config::require;
use crate::upcycle::several::{fit, weighted};

/// How [`merge`] weighs.
#[derive(Clone, Debug, PartialEq)]
pub enum Merge {
    /// Every model counts the same (model soups, arXiv 2203.05482).
    Uniform,
    /// Each model by a weight of its own; the weights are divided by their sum, which is more than 0.
    Weighted(Vec<f64>),
    /// What training changed, added to where it started (task arithmetic, arXiv 2212.04089): base + scale · Σ (model − base).
    TaskVectors(f64),
}

/// The tensors of `models`, one or more of any one shape, as one checkpoint, summed in f64. `base` is what task vectors start
/// from; the other methods leave it aside.
///
/// # Errors
/// When the models, or the base, differ in shape or tokenizer, weights do not fit, or task vectors have no base.
pub fn merge(models: &[&Checkpoint], method: &Merge, base: Option<&Checkpoint>) -> Result<Checkpoint, Error> {
    require(!models.is_empty(), "models", 0, "at least 1")?;
    let (parts, weights) = match method {
        Merge::Uniform => (models.to_vec(), vec![1.0 / models.len() as f64; models.len()]),
        Merge::Weighted(weights) => {
            let (sum, count) = (weights.iter().sum::<f64>(), weights.len());
            require(
                count == models.len(),
                "weights",
                count,
                format!("one for each of {} models", models.len()),
            )?;
            require(sum.is_finite() && sum > 0.0, "weights", sum, "a sum of more than 0")?;
            (models.to_vec(), weights.iter().map(|weight| weight / sum).collect())
        }
        Merge::TaskVectors(scale) => {
            require(scale.is_finite(), "scale", scale, "a finite number")?;
            require(base.is_some(), "base", "none", "the model that the others were trained from")?;
            let base_weight = 1.0 - scale * models.len() as f64;
            let weights = models.iter().map(|_| *scale).chain([base_weight]).collect();
            (models.iter().copied().chain(base).collect(), weights)
        }
    };
    fit(&parts)?;
    let first = models[0];
    let tensors = first.tensors.keys().map(|name| Ok((name.clone(), weighted(&parts, name, &weights)?)));
    let tensors = tensors.collect::<Result<_, Error>>()?;
    Ok(Checkpoint::new(first.config.clone(), tensors, first.tokenizer.clone())?)
}
