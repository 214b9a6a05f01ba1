//! The decoder as a graph of tensors, from a checkpoint and back.

mod parameters;

use std::ops::Range;
use std::sync::Arc;

use candle_core::{Result, Tensor};
use flow_model::{Checkpoint, Config, Moe};

pub(crate) use self::parameters::Parameter;
use self::parameters::{Block, FeedForward, Layer, Parameters, Slot};
use crate::batch::Batch;
use crate::config::require;
use crate::ops::attention::{Heads, attention};
use crate::ops::combine::combine;
use crate::ops::cross_entropy::cross_entropy;
use crate::ops::gate::gate;
use crate::ops::gather::gather;
use crate::ops::linear::{grouped_linear, linear};
use crate::ops::rms_norm::rms_norm;
use crate::ops::router::{Routing, router_loss, router_weights};
use crate::ops::soft_mixture::soft_mixture;
use crate::ops::swiglu::swiglu;
use crate::ops::ternary::{rounded_activations, ternary_weights};
use crate::ops::{add, elements};
use crate::rope::Rope;
use crate::tape::{Node, Tape};
use crate::{Error, Part};

/// A decoder and its parameters.
pub(crate) struct Model {
    config: Config,
    rope: Arc<Rope>,
    parameters: Parameters,
    frozen: Vec<Part>,
}

/// How one slice counts in the loss of its step.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Weights {
    /// 1 / scored tokens of the step.
    pub(crate) per_target: f64,
    /// The slice's share of the tokens of the step.
    pub(crate) share: f64,
}

/// The loss of one slice and its gradients.
pub(crate) struct Gradients {
    /// The slice's part of the mean cross-entropy, nats.
    pub(crate) cross_entropy: f64,
    /// Of cross-entropy and router losses together, by parameter; none where the loss does not depend on it.
    pub(crate) gradients: Vec<Option<Tensor>>,
    /// The routes of each layer with experts.
    pub(crate) routings: Vec<Arc<Routing>>,
}

impl Model {
    /// Copies the weights of a checkpoint; `positions` is the longest document to come.
    /// What `frozen` names does not learn.
    pub(crate) fn new(
        start: &Checkpoint,
        positions: usize,
        frozen: &[Part],
    ) -> std::result::Result<Self, Error> {
        let config = start.config.clone();
        let rope = Arc::new(Rope::new(positions, config.head_dim, config.rope_theta));
        Ok(Self { parameters: Parameters::new(start)?, config, rope, frozen: frozen.to_vec() })
    }

    /// Whether a parameter learns.
    pub(crate) fn learns(&self, parameter: &Parameter) -> bool {
        !self.frozen.contains(&parameter.part)
    }

    /// All parameters, in a fixed order.
    pub(crate) fn parameters(&self) -> &[Parameter] {
        &self.parameters.all
    }

    /// Puts `values` in the place of a parameter's numbers.
    pub(crate) fn restore(&mut self, i: usize, values: Vec<f32>) -> Result<()> {
        let parameter = &mut self.parameters.all[i];
        parameter.value = crate::ops::tensor(values, parameter.value.shape())?;
        Ok(())
    }

    /// Numbers of each parameter that learn, in the same order: all or none.
    pub(crate) fn sizes(&self) -> impl Iterator<Item = usize> {
        let size =
            |parameter: &Parameter| if self.learns(parameter) { parameter.value.elem_count() } else { 0 };
        self.parameters().iter().map(size)
    }

    /// The weights as they are now, with the tokenizer of `start`.
    pub(crate) fn checkpoint(&self, start: &Checkpoint) -> std::result::Result<Checkpoint, Error> {
        let tensors = self.parameters.tensors()?;
        Ok(Checkpoint::new(self.config.clone(), tensors, start.tokenizer.clone())?)
    }

    /// The loss of `batch` and its gradients.
    pub(crate) fn gradients(&self, batch: &Batch, weights: Weights) -> Result<Gradients> {
        let mut pass = Pass::new(self, weights.share);
        let mut loss = pass.cross_entropy(batch, weights.per_target)?;
        let value = f64::from(loss.value.to_scalar::<f32>()?);
        for router_loss in std::mem::take(&mut pass.router_losses) {
            loss = add(&mut pass.tape, &loss, &router_loss)?;
        }
        let gradients = pass.tape.gradients(&loss, &pass.leaves)?;
        Ok(Gradients { cross_entropy: value, gradients, routings: pass.routings })
    }

    /// The cross-entropy of `batch`, nats, summed over its scored tokens.
    pub(crate) fn loss(&self, batch: &Batch) -> Result<f64> {
        let loss = Pass::reading(self).cross_entropy(batch, 1.0)?;
        Ok(f64::from(loss.value.to_scalar::<f32>()?))
    }
}

/// One forward pass under way.
struct Pass<'a> {
    model: &'a Model,
    tape: Tape,
    /// The parameters on the tape, by slot.
    leaves: Vec<Node>,
    /// The slice's share of the tokens of the step.
    share: f64,
    routings: Vec<Arc<Routing>>,
    router_losses: Vec<Node>,
}

impl<'a> Pass<'a> {
    fn new(model: &'a Model, share: f64) -> Self {
        Self::of(model, share, |parameter| model.learns(parameter))
    }

    /// A pass that no gradients are asked of.
    fn reading(model: &'a Model) -> Self {
        Self::of(model, 1.0, |_| false)
    }

    fn of(model: &'a Model, share: f64, learns: impl Fn(&Parameter) -> bool) -> Self {
        let mut tape = Tape::default();
        let mut leaf = |parameter: &Parameter| match learns(parameter) {
            true => tape.leaf(parameter.value.clone()),
            false => tape.constant(parameter.value.clone()),
        };
        let leaves = model.parameters().iter().map(&mut leaf).collect();
        Self { model, tape, leaves, share, routings: Vec::new(), router_losses: Vec::new() }
    }

    /// `scale` times the cross-entropy of the scored tokens of `batch`, nats.
    fn cross_entropy(&mut self, batch: &Batch, scale: f64) -> Result<Node> {
        let hidden = self.hidden(&batch.inputs, &batch.documents)?;
        let scored = gather(&mut self.tape, &hidden, &batch.scored)?;
        let logits = self.head(&scored)?;
        cross_entropy(&mut self.tape, &logits, batch.targets.clone(), scale)
    }

    /// Logits (M, V) of rows of the residual stream.
    fn head(&mut self, hidden: &Node) -> Result<Node> {
        let normed = self.norm(hidden, self.model.parameters.final_norm)?;
        self.linear(&normed, self.model.parameters.head)
    }

    /// The residual stream (N, C) after the layers.
    fn hidden(&mut self, inputs: &[u32], documents: &Arc<[Range<usize>]>) -> Result<Node> {
        let parameters = &self.model.parameters;
        let mut hidden = gather(&mut self.tape, &self.leaves[parameters.embedding], inputs)?;
        for layer in &parameters.layers {
            let normed = self.norm(&hidden, layer.attention_norm)?;
            let mixed = self.attention(layer, &normed, documents)?;
            hidden = add(&mut self.tape, &hidden, &mixed)?;
            let normed = match layer.feed_forward_norm {
                Some(norm) => self.norm(&hidden, norm)?,
                None => normed,
            };
            let out = self.feed_forward(&layer.feed_forward, &normed)?;
            hidden = add(&mut self.tape, &hidden, &out)?;
        }
        Ok(hidden)
    }

    /// All attentions of a layer at once: as one with the heads of all.
    fn attention(&mut self, layer: &Layer, normed: &Node, documents: &Arc<[Range<usize>]>) -> Result<Node> {
        let config = &self.model.config;
        let heads = Heads {
            query: config.attentions() * config.num_attention_heads,
            readers: config.attentions() / config.key_values(),
            key_value: config.key_values() * config.num_key_value_heads,
            dim: config.head_dim,
        };
        let rows = self.linear(normed, layer.query_key_value)?;
        let mut mixed = attention(&mut self.tape, &rows, heads, self.model.rope.clone(), documents.clone())?;
        if let (Some(router), Some(experts)) = (layer.attention_router, config.block.attention_experts) {
            let logits = self.linear(normed, router)?;
            mixed = soft_mixture(&mut self.tape, &mixed, &logits, experts)?;
        }
        self.linear(&mixed, layer.output)
    }

    fn feed_forward(&mut self, block: &FeedForward, x: &Node) -> Result<Node> {
        match (block, &self.model.config.moe) {
            (FeedForward::Dense(block), _) => self.swiglu(x, block),
            (FeedForward::Moe { router, experts, shared }, Some(moe)) => {
                let logits = self.linear(x, *router)?;
                let routing =
                    Arc::new(Routing::new(&logits.value, moe.experts_per_token, moe.norm_topk_prob)?);
                let routed = self.routed(x, &logits, experts, &routing)?;
                self.add_router_loss(moe, &logits, routing)?;
                match shared {
                    Some((block, gate)) => self.with_shared(x, &routed, block, *gate),
                    None => Ok(routed),
                }
            }
            (FeedForward::Moe { .. }, None) => unreachable!("experts are built from the config's own"),
        }
    }

    fn swiglu(&mut self, x: &Node, block: &Block) -> Result<Node> {
        let gate_up = self.linear(x, block.gate_up)?;
        let inner = swiglu(&mut self.tape, &gate_up)?;
        self.linear(&inner, block.down)
    }

    /// The part of the routed experts: gather by expert, apply, weigh, bring back.
    fn routed(&mut self, x: &Node, logits: &Node, experts: &Block, routing: &Arc<Routing>) -> Result<Node> {
        let tape = &mut self.tape;
        let (mut gate_up, mut down) =
            (self.leaves[experts.gate_up].clone(), self.leaves[experts.down].clone());
        let ternary = self.model.config.block.ternary_experts.is_some();
        if ternary {
            let matrix = self.model.config.hidden_size * self.model.config.intermediate_size;
            gate_up = ternary_weights(tape, &gate_up, matrix)?;
            down = ternary_weights(tape, &down, matrix)?;
        }
        let mut gathered = gather(tape, x, &routing.tokens)?;
        if ternary {
            gathered = rounded_activations(tape, &gathered)?;
        }
        let gate_up = grouped_linear(tape, &gathered, &gate_up, routing.offsets.clone())?;
        let mut inner = swiglu(tape, &gate_up)?;
        if ternary {
            inner = rounded_activations(tape, &inner)?;
        }
        let out = grouped_linear(tape, &inner, &down, routing.offsets.clone())?;
        let weights = router_weights(tape, logits, routing.clone())?;
        combine(tape, &out, &weights, routing.clone())
    }

    fn with_shared(
        &mut self,
        x: &Node,
        routed: &Node,
        block: &Block,
        gate_weight: Option<Slot>,
    ) -> Result<Node> {
        let mut shared = self.swiglu(x, block)?;
        if let Some(weight) = gate_weight {
            let opening = self.linear(x, weight)?;
            shared = gate(&mut self.tape, &shared, &opening)?;
        }
        add(&mut self.tape, routed, &shared)
    }

    /// Weighted by one over the number of layers, so that the coefficients do not depend on depth.
    fn add_router_loss(&mut self, moe: &Moe, logits: &Node, routing: Arc<Routing>) -> Result<()> {
        let scale = self.share / self.model.config.num_hidden_layers as f64;
        let (balance, z) = (moe.router_aux_loss_coef * scale, moe.router_z_loss_coef * scale);
        self.router_losses.push(router_loss(&mut self.tape, logits, routing.clone(), balance, z)?);
        self.routings.push(routing);
        Ok(())
    }

    fn norm(&mut self, x: &Node, weight: Slot) -> Result<Node> {
        rms_norm(&mut self.tape, x, &self.leaves[weight], self.model.config.rms_norm_eps)
    }

    fn linear(&mut self, x: &Node, weight: Slot) -> Result<Node> {
        linear(&mut self.tape, x, &self.leaves[weight])
    }
}

/// The logits of a model at every position of every document: for each document its tokens times `vocab_size` numbers,
/// row by row. A reference for other implementations; documents do not influence each other.
///
/// # Errors
/// When a document is empty or longer than the model's positions, or a token is not in the vocabulary.
pub fn logits(start: &Checkpoint, documents: &[Vec<u32>]) -> std::result::Result<Vec<Vec<f32>>, Error> {
    let (positions, vocab) = (start.config.max_position_embeddings, start.config.vocab_size);
    let mut ranges: Vec<Range<usize>> = Vec::new();
    for document in documents {
        let fits = (1..=positions).contains(&document.len());
        require(fits, "document length", document.len(), format!("1 to {positions} tokens"))?;
        let first = ranges.last().map_or(0, |range| range.end);
        ranges.push(first..first + document.len());
    }
    let tokens = documents.concat();
    let highest = tokens.iter().copied().max().unwrap_or(0);
    require((highest as usize) < vocab, "token", highest, format!("an id below {vocab}"))?;
    let longest = documents.iter().map(Vec::len).max().unwrap_or(0);
    let model = Model::new(&start.clone().latent(), longest, &[])?;
    let mut pass = Pass::reading(&model);
    let hidden = pass.hidden(&tokens, &ranges.clone().into())?;
    let all = pass.head(&hidden)?;
    let values = elements(&all.value)?;
    Ok(ranges.into_iter().map(|rows| values[rows.start * vocab..rows.end * vocab].to_vec()).collect())
}
