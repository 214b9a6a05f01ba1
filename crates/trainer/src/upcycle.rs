//! From dense checkpoints to a mixture of experts, by five methods.
//!
//! | method | takes | routed experts | shared expert | the rest |
//! | --- | --- | --- | --- | --- |
//! | copy (arXiv 2212.05055) | one model | copies of its feed-forward block | none, or another copy behind a gate | as it is |
//! | fine-grained (arXiv 2401.06066) | one model | slices of its block | none, or one slice behind a gate | as it is |
//! | MoTE (arXiv 2506.14435) | one model | its block, ternary | its block, frozen, in four bits if asked for | as it is, frozen |
//! | BTX (arXiv 2403.07816) | several of one seed | one's block each | none | their mean |
//! | BAM (arXiv 2408.08274) | several of one seed | one's block each, and its attention | none | their mean |
//!
//! Copy and fine-grained compute what the dense model computes, and so does BTX of equal models: the chosen probabilities are
//! divided by their sum, so the router's word does not matter yet. Where they are left as they are (`norm_topk_prob: false`),
//! copies are enlarged by E/K, which makes up for an undecided router. BAM and MoTE leave them as they are, as their papers do:
//! their first step is not the dense model's, nor is it where null experts leave tokens without experts.

mod fine_grained;
mod gates;
pub(crate) mod several;
mod single;

use std::collections::BTreeMap;

use flow_model::names::{self, FeedForward, Swiglu};
use flow_model::{AttentionExperts, Checkpoint, Config, Moe, Tensor, Ternary};

pub use self::gates::{Gate, Prompts};
use self::gates::{Gates, gates};
use crate::Error;
use crate::config::require;

/// Standard deviation of the weights that routers begin with; equal experts drift apart only through them.
const ROUTER_STD: f64 = 0.02;

/// Where experts come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum From {
    /// Every expert is a copy of the dense block.
    #[default]
    Copy,
    /// Every expert is one of `slices` slices of the dense block's inner width.
    FineGrained {
        /// Slices of the block, at least 2, that divide its width.
        slices: usize,
    },
    /// Every expert is the dense block with ternary weights, beside the block itself.
    Mote {
        /// Whether the block itself has weights of four bits, see [`flow_model::int4`], instead of being as it is.
        int4_shared_expert: bool,
    },
    /// Every expert is the block of one of several dense models.
    Btx,
    /// The same, and the attention of each is an attention expert.
    Bam {
        /// Whether keys and values are averaged and shared, instead of each expert's own.
        shared_key_value: bool,
        /// Attentions that count for a token; none for all, as in the paper.
        attention_experts_per_token: Option<usize>,
    },
}

/// Settings of [`upcycle`].
#[derive(Clone, Debug, PartialEq)]
pub struct MoeUpcycle {
    /// Where experts come from. Default copy.
    pub from: From,
    /// Routed experts per layer (E): for BTX and BAM the number of models. Default 4.
    pub experts: usize,
    /// Routed experts each token visits (K), 1 to `experts`; null experts count. Default 2.
    pub experts_per_token: usize,
    /// In place of K: a token visits the fewest most probable experts whose probabilities reach this sum, above 0 to 1 (arXiv 2403.07652). Default
    /// none.
    pub top_p: Option<f64>,
    /// Further experts of the router that compute nothing (AdaMoE, arXiv 2406.13233). Default 0.
    pub null_experts: usize,
    /// Experts are chosen with a bias of each, which begins at 0 and moves by this much a step towards an even load, 0 to 1 (arXiv
    /// 2408.15664); not with `top_p` and null experts. Default none.
    pub bias_update_rate: Option<f64>,
    /// What routers begin with. Default chance.
    pub gate: Gate,
    /// Whether every token also visits a shared expert: as wide as the dense block, or one slice of it. MoTE always has one, BTX
    /// and BAM never. Default false.
    pub shared_expert: bool,
    /// Whether the chosen probabilities are divided by their sum. By default they are for copy and fine-grained, for BTX where
    /// K is more than 1, and not for BAM and MoTE.
    pub norm_topk_prob: Option<bool>,
    /// Weight of the load-balance loss in training. Default 0.01.
    pub router_aux_loss_coef: f64,
    /// Weight of the router z-loss in training. Default 0.001.
    pub router_z_loss_coef: f64,
}

impl Default for MoeUpcycle {
    fn default() -> Self {
        Self {
            from: From::Copy,
            experts: 4,
            experts_per_token: 2,
            top_p: None,
            null_experts: 0,
            bias_update_rate: None,
            gate: Gate::Random,
            shared_expert: false,
            norm_topk_prob: None,
            router_aux_loss_coef: 0.01,
            router_z_loss_coef: 0.001,
        }
    }
}

impl MoeUpcycle {
    /// Experts a token visits: with top-p those that an undecided router chooses.
    fn per_token(&self) -> usize {
        match self.top_p {
            Some(p) => ((p * self.experts as f64).ceil() as usize).clamp(1, self.experts),
            None => self.experts_per_token,
        }
    }
}

/// The mixture of experts that `settings` make of dense checkpoints: of one, or for BTX and BAM of two or more that come from
/// one seed model. Routers that begin by chance depend on `seed`. Ternary experts are latent.
///
/// # Errors
/// When a checkpoint already has experts, cannot be trained or does not fit the first, no family of checkpoints has the mixture, or a setting is out of range, or a text of
/// [`MoeUpcycle::gate`] cannot be encoded.
pub fn upcycle(dense: &[&Checkpoint], settings: &MoeUpcycle, seed: u64) -> Result<Checkpoint, Error> {
    check(dense, settings)?;
    let first = dense[0];
    let config = mixture_config(&first.config, settings);
    storable(&first.config, &config)?;
    let gates = gates(dense, settings)?;
    let mut maker =
        Maker { dense, settings, seed, config: &config, gates, tensors: several::mean(dense, &config)? };
    for i in 0..config.num_hidden_layers {
        maker.layer(i)?;
    }
    let tensors = maker.tensors;
    let mixture = Checkpoint::new(config, tensors, first.tokenizer.clone())?;
    Ok(match settings.from {
        From::Mote { int4_shared_expert: true } => mixture.with_int4_shared_expert(),
        _ => mixture,
    })
}

/// Why no family of checkpoints has the mixture that valid `settings` make of models of this config; `None` where one has, where the models
/// have experts already, and where they cannot be sliced so.
pub fn unstorable(dense: &Config, settings: &MoeUpcycle) -> Option<String> {
    let slices = if let From::FineGrained { slices } = settings.from { slices } else { 1 };
    let becomes = dense.moe.is_none() && dense.intermediate_size.is_multiple_of(slices);
    let mixture = becomes.then(|| mixture_config(dense, settings))?;
    storable(dense, &mixture).err().map(|error| error.to_string())
}

fn check(dense: &[&Checkpoint], settings: &MoeUpcycle) -> Result<(), Error> {
    for checkpoint in dense {
        if let Some(moe) = &checkpoint.config.moe {
            return Err(Error::NotDense { experts: moe.num_experts });
        }
    }
    several::fit(dense)?;
    let (experts, per_token) = (settings.experts, settings.experts_per_token);
    let models = match settings.from {
        From::Btx | From::Bam { .. } => {
            require(
                experts == dense.len(),
                "experts",
                experts,
                format!("the number of models, {}", dense.len()),
            )?;
            2..=experts.max(2)
        }
        _ => 1..=1,
    };
    require(models.contains(&dense.len()), "models", dense.len(), format!("{} or more", models.start()))?;
    require(experts > 0, "experts", experts, "at least 1")?;
    require((1..=experts).contains(&per_token), "experts_per_token", per_token, format!("1 to {experts}"))?;
    let reachable = settings.top_p.is_none_or(|p| p > 0.0 && p <= 1.0);
    require(reachable, "top_p", settings.top_p.unwrap_or_default(), "above 0, at most 1")?;
    if let Some(rate) = settings.bias_update_rate {
        require((0.0..=1.0).contains(&rate), "bias_update_rate", rate, "0 to 1")?;
        let alone = settings.top_p.is_none() && settings.null_experts == 0;
        require(alone, "bias_update_rate", rate, "none with top_p and null experts")?;
    }
    match settings.from {
        From::FineGrained { slices } => fine_grained::check(&dense[0].config, slices, settings),
        From::Bam { attention_experts_per_token: Some(kept), .. } => require(
            (1..=experts).contains(&kept),
            "attention_experts_per_token",
            kept,
            format!("1 to {experts}"),
        ),
        _ => Ok(()),
    }
}

fn mixture_config(dense: &Config, settings: &MoeUpcycle) -> Config {
    let per_token = settings.per_token();
    let mut config = dense.clone();
    (config.block.experts_top_p, config.block.null_experts) = (settings.top_p, settings.null_experts);
    config.block.router_bias_update_rate = settings.bias_update_rate;
    let (mut shared, mut renormalise) = (settings.shared_expert.then_some(dense.intermediate_size), true);
    match settings.from {
        From::Copy => {}
        From::FineGrained { slices } => {
            config.intermediate_size /= slices;
            shared = shared.map(|width| width / slices);
        }
        From::Mote { .. } => {
            (shared, renormalise) = (Some(dense.intermediate_size), false);
            config.block.plain_shared_expert = true;
            config.block.ternary_experts = Some(Ternary::Latent);
        }
        From::Btx => (shared, renormalise) = (None, per_token > 1),
        From::Bam { shared_key_value, attention_experts_per_token: experts_per_token } => {
            (shared, renormalise) = (None, false);
            let count = settings.experts;
            config.block.attention_experts =
                Some(AttentionExperts { count, shared_key_value, experts_per_token });
        }
    }
    config.moe = Some(Moe {
        num_experts: settings.experts,
        experts_per_token: per_token,
        norm_topk_prob: settings.norm_topk_prob.unwrap_or(renormalise),
        shared_expert_intermediate_size: shared,
        router_aux_loss_coef: settings.router_aux_loss_coef,
        router_z_loss_coef: settings.router_z_loss_coef,
    });
    config
}

/// Some family of checkpoints has the switches of the mixture that `dense` becomes.
fn storable(dense: &Config, mixture: &Config) -> Result<(), Error> {
    let block = &dense.block;
    let caps = block.attn_logit_softcapping.or(block.final_logit_softcapping).is_some();
    let parts = [
        (block.gemma_norms, "Gemma's norms"),
        (caps, "scores between caps"),
        (block.query_pre_attn_scalar.is_some(), "`query_pre_attn_scalar`"),
        (block.activation != flow_model::Activation::Silu, "an activation other than SiLU"),
        (block.clip_qkv.is_some(), "`clip_qkv`"),
        (block.qkv_bias, "biases of queries, keys and values"),
        (block.output_bias, "a bias of what attention gives"),
        (block.mlp_bias, "biases of feed-forward blocks"),
        (block.qk_norm.is_some(), "norms of queries and keys"),
        (block.sliding.is_some(), "sliding windows"),
    ];
    let parts: Vec<&str> = parts.into_iter().filter_map(|(has, words)| has.then_some(words)).collect();
    let is_stored = || Config::from_json(&mixture.to_json()).is_ok_and(|stored| stored == *mixture);
    match parts.is_empty() || is_stored() {
        true => Ok(()),
        false => Err(Error::NoMixture { family: dense.family().model_type(), parts: parts.join(", ") }),
    }
}

/// A mixture under construction: begun with all tensors that its config and the dense one have in common.
struct Maker<'a> {
    dense: &'a [&'a Checkpoint],
    settings: &'a MoeUpcycle,
    seed: u64,
    config: &'a Config,
    gates: Gates,
    tensors: BTreeMap<String, Tensor>,
}

impl Maker<'_> {
    fn layer(&mut self, i: usize) -> Result<(), Error> {
        let (from, to) = (names::layer(&self.dense[0].config, i), names::layer(self.config, i));
        let FeedForward::Dense(block) = &from.feed_forward else { return Ok(()) };
        let FeedForward::Moe { router, router_bias, experts, shared } = &to.feed_forward else {
            return Ok(());
        };
        let shared = shared.as_ref().map(|(block, gate)| (block, gate.as_deref()));
        match self.settings.from {
            From::Copy => self.copies(block, experts, shared)?,
            From::FineGrained { slices } => self.slices(slices, block, experts, shared)?,
            From::Mote { .. } => self.ternary(block, experts, shared)?,
            From::Btx => self.blocks(block, experts)?,
            From::Bam { .. } => {
                self.blocks(block, experts)?;
                self.attentions(i, &from, &to)?;
            }
        }
        self.router(i, router);
        if let Some(name) = router_bias {
            self.tensors.insert(name.clone(), Tensor::new([experts.len()], vec![0.0; experts.len()]));
        }
        Ok(())
    }

    /// What makes up for probabilities that are not divided by their sum, while the router is undecided.
    fn enlargement(&self) -> f32 {
        let moe = self.config.moe.as_ref().expect("a mixture's config has experts");
        if moe.norm_topk_prob { 1.0 } else { moe.num_experts as f32 / moe.experts_per_token as f32 }
    }

    /// Copies the gated block of a dense model, its output scaled.
    fn copy(&mut self, model: usize, from: &Swiglu, to: &Swiglu, scale: f32) -> Result<(), Error> {
        let dense = self.dense[model];
        self.tensors.insert(to.gate.clone(), dense.tensor(&from.gate)?.clone());
        self.tensors.insert(to.up.clone(), dense.tensor(&from.up)?.clone());
        self.tensors.insert(to.down.clone(), scaled(dense.tensor(&from.down)?, scale));
        Ok(())
    }

    /// A gate of weight zero, which opens by one half.
    fn half_open(&mut self, gate: &str) {
        let zeros = vec![0.0; self.config.hidden_size];
        self.tensors.insert(gate.to_owned(), Tensor::new([1, self.config.hidden_size], zeros));
    }
}

fn scaled(tensor: &Tensor, scale: f32) -> Tensor {
    if scale == 1.0 {
        return tensor.clone();
    }
    Tensor::new(tensor.shape.clone(), tensor.data.iter().map(|x| x * scale).collect::<Vec<_>>())
}
