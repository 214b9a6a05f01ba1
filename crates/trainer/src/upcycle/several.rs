//! Experts of several dense models of one seed: BTX's blocks, BAM's blocks and attentions, and the mean of all the rest.

use std::collections::{BTreeMap, BTreeSet};

use flow_model::names::{self, Layer, Swiglu};
use flow_model::{Checkpoint, Config, Tensor};

use super::Maker;
use crate::Error;

/// All models have the shape and the tokenizer of the first.
pub(crate) fn fit(models: &[&Checkpoint]) -> Result<(), Error> {
    for (at, model) in models.iter().enumerate().skip(1) {
        let unlike = |what| Err(Error::Unlike { at: at + 1, what });
        if model.config != models[0].config {
            return unlike("another shape");
        }
        if model.tokenizer.json() != models[0].tokenizer.json() {
            return unlike("another tokenizer");
        }
    }
    Ok(())
}

/// The mean of each tensor that the models and `config` have in common.
pub(super) fn mean(models: &[&Checkpoint], config: &Config) -> Result<BTreeMap<String, Tensor>, Error> {
    let expected: BTreeSet<String> = names::expected(config).into_iter().map(|(name, _)| name).collect();
    let common = models[0].tensors.keys().filter(|name| expected.contains(*name));
    let weights = vec![1.0 / models.len() as f64; models.len()];
    common.map(|name| Ok((name.clone(), weighted(models, name, &weights)?))).collect()
}

/// The sum of a tensor of each model times its weight, in f64.
pub(crate) fn weighted(models: &[&Checkpoint], name: &str, weights: &[f64]) -> Result<Tensor, Error> {
    let tensors = models.iter().map(|model| model.tensor(name)).collect::<Result<Vec<_>, _>>()?;
    let at = |i: usize| -> f64 {
        tensors.iter().zip(weights).map(|(tensor, w)| w * f64::from(tensor.data[i])).sum()
    };
    let sums: Vec<f32> = (0..tensors[0].data.len()).map(|i| at(i) as f32).collect();
    Ok(Tensor::new(tensors[0].shape.clone(), sums))
}

impl Maker<'_> {
    /// Expert e is the block of model e.
    pub(super) fn blocks(&mut self, block: &Swiglu, experts: &[Swiglu]) -> Result<(), Error> {
        experts.iter().enumerate().try_for_each(|(model, expert)| self.copy(model, block, expert, 1.0))
    }

    /// The attentions of layer `i`: number j is that of model j; shared keys and values are the mean.
    pub(super) fn attentions(&mut self, i: usize, from: &Layer, to: &Layer) -> Result<(), Error> {
        for (from, to) in [(&from.queries, &to.queries), (&from.outputs, &to.outputs)] {
            self.each(&from[0], to)?;
        }
        for (from, to) in [(&from.keys, &to.keys), (&from.values, &to.values)] {
            // One projection for all has the dense model's name, and is the mean already.
            if to.len() > 1 {
                self.each(&from[0], to)?;
            }
        }
        if let Some(router) = &to.attention_router {
            self.attention_router(i, router);
        }
        Ok(())
    }

    fn each(&mut self, from: &str, to: &[String]) -> Result<(), Error> {
        for (model, to) in self.dense.iter().zip(to) {
            self.tensors.insert(to.clone(), model.tensor(from)?.clone());
        }
        Ok(())
    }
}
