//! From a dense checkpoint to a mixture of experts that computes the same.
//!
//! Every expert begins as a copy of the dense block (sparse upcycling, arXiv 2212.05055). The router renormalises, so
//! its weights sum to 1 and the mixture equals the dense model whatever the router says. With a shared expert, routed
//! and shared part each give half: the gate of the shared expert begins at zero, a sigmoid of one half, and the routed
//! experts' last matrix is halved, which is exact.

use std::collections::BTreeMap;

use flow_model::names::{self, FeedForward, Swiglu};
use flow_model::{Checkpoint, Config, Moe, Tensor};

use crate::Error;
use crate::config::{require, trainable};

/// How the router begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum GateMode {
    /// Normal weights of standard deviation 0.02; identical experts drift apart only through them.
    #[default]
    Random,
}

/// Settings of [`upcycle`].
#[derive(Clone, Debug, PartialEq)]
pub struct MoeUpcycle {
    /// Routed experts per layer. Default 4.
    pub experts: usize,
    /// Routed experts each token visits, 1 to `experts`. Default 2.
    pub experts_per_token: usize,
    /// Whether every token also visits a shared expert as wide as the dense block. Default false.
    pub shared_expert: bool,
    /// How the router begins. Default random.
    pub gate_mode: GateMode,
    /// Weight of the load-balance loss in training. Default 0.01.
    pub router_aux_loss_coef: f64,
    /// Weight of the router z-loss in training. Default 0.001.
    pub router_z_loss_coef: f64,
}

impl Default for MoeUpcycle {
    fn default() -> Self {
        Self {
            experts: 4,
            experts_per_token: 2,
            shared_expert: false,
            gate_mode: GateMode::Random,
            router_aux_loss_coef: 0.01,
            router_z_loss_coef: 0.001,
        }
    }
}

/// The mixture of experts that `settings` make of `dense`; its logits equal those of `dense` up to rounding. The router
/// depends on `seed`.
///
/// # Errors
/// When `dense` already has experts or cannot be trained, or a setting is out of range.
pub fn upcycle(dense: &Checkpoint, settings: &MoeUpcycle, seed: u64) -> Result<Checkpoint, Error> {
    trainable(&dense.config)?;
    if let Some(moe) = &dense.config.moe {
        return Err(Error::NotDense { experts: moe.num_experts });
    }
    let (experts, per_token) = (settings.experts, settings.experts_per_token);
    require(experts > 0, "experts", experts, "at least 1")?;
    require((1..=experts).contains(&per_token), "experts_per_token", per_token, format!("1 to {experts}"))?;
    let config = mixture_config(&dense.config, settings);
    let mut tensors = kept(dense, &config);
    for i in 0..config.num_hidden_layers {
        let FeedForward::Dense(from) = names::layer(&dense.config, i).feed_forward else { continue };
        let FeedForward::Moe { router, experts, shared } = names::layer(&config, i).feed_forward else {
            continue;
        };
        let half = if shared.is_some() { 0.5 } else { 1.0 };
        for expert in &experts {
            copy(dense, &from, expert, half, &mut tensors)?;
        }
        if let Some((expert, gate)) = &shared {
            copy(dense, &from, expert, 1.0, &mut tensors)?;
            let zeros = vec![0.0; config.hidden_size];
            tensors.insert(gate.clone(), Tensor::new([1, config.hidden_size], zeros));
        }
        let GateMode::Random = settings.gate_mode;
        let gate = Tensor::normal(seed, &router, vec![experts.len(), config.hidden_size], 0.02);
        tensors.insert(router, gate);
    }
    Ok(Checkpoint::new(config, tensors, dense.tokenizer.clone())?)
}

fn mixture_config(dense: &Config, settings: &MoeUpcycle) -> Config {
    let moe = Moe {
        num_experts: settings.experts,
        experts_per_token: settings.experts_per_token,
        norm_topk_prob: true,
        shared_expert_intermediate_size: settings.shared_expert.then_some(dense.intermediate_size),
        router_aux_loss_coef: settings.router_aux_loss_coef,
        router_z_loss_coef: settings.router_z_loss_coef,
    };
    Config { moe: Some(moe), ..dense.clone() }
}

/// The tensors both models have: all but the blocks after attention.
fn kept(dense: &Checkpoint, config: &Config) -> BTreeMap<String, Tensor> {
    let expected: BTreeMap<_, _> = names::expected(config).into_iter().collect();
    let common = dense.tensors.iter().filter(|(name, _)| expected.contains_key(*name));
    common.map(|(name, tensor)| (name.clone(), tensor.clone())).collect()
}

/// Copies one SwiGLU block, its output scaled.
fn copy(
    dense: &Checkpoint,
    from: &Swiglu,
    to: &Swiglu,
    scale: f32,
    tensors: &mut BTreeMap<String, Tensor>,
) -> Result<(), Error> {
    tensors.insert(to.gate.clone(), dense.tensor(&from.gate)?.clone());
    tensors.insert(to.up.clone(), dense.tensor(&from.up)?.clone());
    let down = dense.tensor(&from.down)?;
    let scaled: Vec<f32> = down.data.iter().map(|x| x * scale).collect();
    tensors.insert(to.down.clone(), Tensor::new(down.shape.clone(), scaled));
    Ok(())
}
