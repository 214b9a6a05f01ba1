//! Random weights to begin from.

use std::collections::BTreeMap;

use crate::{Checkpoint, Config, Error, Rng, Tensor, Tokenizer, names};

const STD: f64 = 0.02;

impl Checkpoint {
    /// An untrained model: normal weights of standard deviation 0.02, those that write into the residual stream scaled
    /// by 1/√(2L) as in GPT-2, norms that scale by 1, biases 0. The same arguments give the same bytes; a tensor depends on its name, shape and
    /// the seed only.
    ///
    /// # Errors
    /// When the config contradicts itself or the tokenizer does not fit it.
    pub fn init(config: Config, tokenizer: Tokenizer, seed: u64) -> Result<Self, Error> {
        // Gemma's norms scale by 1 + their weight.
        let unit = if config.block.gemma_norms { 0.0 } else { 1.0 };
        let residual = STD / (2.0 * config.num_hidden_layers as f64).sqrt();
        let tensors: BTreeMap<_, _> = names::expected(&config)
            .into_iter()
            .map(|(name, shape)| {
                let std = if writes_residual(&name) { residual } else { STD };
                let tensor = match shape[..] {
                    [width] => constant(width, if name.ends_with("bias") { 0.0 } else { unit }),
                    _ => Tensor::normal(seed, &name, shape, std),
                };
                (name, tensor)
            })
            .collect();
        Self::new(config, tensors, tokenizer)
    }
}

impl Tensor {
    /// Normal numbers of mean 0 and the given standard deviation; they depend on `seed` and `label` only.
    pub fn normal(seed: u64, label: &str, shape: Vec<usize>, std: f64) -> Self {
        let mut rng = Rng::new(seed, label);
        let data: Vec<f32> = (0..shape.iter().product()).map(|_| (std * rng.normal()) as f32).collect();
        Self::new(shape, data)
    }
}

fn writes_residual(name: &str) -> bool {
    [".o_proj.", ".down_proj.", ".w2."].iter().any(|part| name.contains(part))
}

fn constant(width: usize, value: f32) -> Tensor {
    Tensor::new([width], vec![value; width])
}
