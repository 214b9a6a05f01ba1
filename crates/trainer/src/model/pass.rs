//! The way of one slice of a batch through the decoder.

use std::sync::Arc;

use candle_core::Result;
use flow_kernels::gpu::AttentionScores;
use flow_model::{Config, Moe};

use super::parameters::{Block, FeedForward, Layer, Linear, Slot};
use super::{Model, Parameter};
use crate::Loss;
use crate::batch::Batch;
use crate::loss::Measured;
use crate::matmul::Kind;
use crate::ops;
use crate::ops::attention::{Heads, attention};
use crate::ops::bias::bias;
use crate::ops::bounds::{clip, soft_cap};
use crate::ops::combine::combine;
use crate::ops::gate::gate;
use crate::ops::gated::gated;
use crate::ops::gather::gather;
use crate::ops::loss::predicted;
use crate::ops::qk_norm::qk_norm;
use crate::ops::rms_norm::rms_norm;
use crate::ops::router::{Choice, Most, Routing, router_loss, router_weights};
use crate::ops::scale::scale;
use crate::ops::soft_mixture::soft_mixture;
use crate::ops::{add, tensor};
use crate::rope::Rope;
use crate::tape::{Node, Place, Tape};
use crate::tensor::Tensor;

/// A pass under way: forward layer by layer, and back again.
pub(crate) struct Pass<'a> {
    model: &'a Model,
    batch: &'a Batch,
    tape: Tape<'a>,
    /// Whether layers are computed again on the way back instead of kept.
    pub(super) recomputes: bool,
    /// What the visits of each expert are a multiple of.
    rounds_to: usize,
    /// The parameters on the tape, by slot.
    pub(super) leaves: Vec<Node>,
    /// The slice's share of the tokens of the step.
    share: f64,
    /// The residual stream (N, C).
    hidden: Node,
    /// Where the slice meets the experts, by layer; at the last it may still be waiting for what they give.
    meetings: Vec<Meeting>,
    waiting: Option<Waiting>,
    router_losses: Vec<Node>,
}

/// Where a slice hands rows to the routed experts of a layer and takes theirs.
struct Meeting {
    routing: Arc<Routing>,
    /// Rows for the experts, sorted by expert (V, C).
    rows: Place,
    /// What they make of them, a leaf of the tape.
    outs: Option<Place>,
}

/// What a slice that waits for the experts of a layer goes on from.
struct Waiting {
    /// What the feed-forward block reads (N, C).
    x: Node,
    /// Of the router (N, R).
    logits: Node,
    /// Rows for the experts.
    rows: Node,
}

impl<'a> Pass<'a> {
    /// A pass whose gradients are asked for; the slice has this share of the tokens of the step.
    pub(super) fn new(model: &'a Model, batch: &'a Batch, share: f64) -> Result<Self> {
        let mut pass = Self::of(model, batch, share, |parameter| model.learns(parameter))?;
        (pass.recomputes, pass.rounds_to) = (model.recomputes, model.rounds_to);
        Ok(pass)
    }

    /// A pass that no gradients are asked of.
    pub(super) fn reading(model: &'a Model, batch: &'a Batch) -> Result<Self> {
        Self::of(model, batch, 1.0, |_| false)
    }

    fn of(
        model: &'a Model,
        batch: &'a Batch,
        share: f64,
        learns: impl Fn(&Parameter) -> bool,
    ) -> Result<Self> {
        let mut tape = Tape::default();
        let leaves = model.leaves(&mut tape, learns);
        let mut hidden = gather(&mut tape, &leaves[model.parameters.embedding], &batch.inputs)?;
        if model.config.block.gemma_norms {
            hidden = scale(&mut tape, &hidden, (model.config.hidden_size as f64).sqrt() as f32)?;
        }
        Ok(Self::from(model, batch, share, tape, leaves, hidden))
    }

    /// A pass that stands at `hidden`.
    fn from(
        model: &'a Model,
        batch: &'a Batch,
        share: f64,
        tape: Tape<'a>,
        leaves: Vec<Node>,
        hidden: Node,
    ) -> Self {
        Self {
            model,
            batch,
            tape,
            recomputes: false,
            rounds_to: 1,
            leaves,
            share,
            hidden,
            meetings: Vec::new(),
            waiting: None,
            router_losses: Vec::new(),
        }
    }

    /// Goes through `layer`, where it has routed experts up to them.
    pub(super) fn enter(&mut self, layer: &'a Layer) -> Result<()> {
        match (&layer.feed_forward, layer.feed_forward_norm) {
            (FeedForward::Dense(_), _) if self.recomputes => self.again(|pass| pass.go(layer)),
            (_, Some(norm)) if self.recomputes => {
                self.again(|pass| pass.mix(layer).map(drop))?;
                let x = self.norm(&self.hidden.clone(), norm)?;
                self.feed(layer, x)
            }
            _ => self.go(layer),
        }
    }

    fn go(&mut self, layer: &Layer) -> Result<()> {
        let [_, x] = self.attend(layer)?;
        self.feed(layer, x)
    }

    /// Goes through `part` of a layer, keeping nothing but where it begins: on the way back it is gone through again, to the same bits (activation
    /// recomputation, arXiv 1604.06174).
    fn again(&mut self, part: impl Fn(&mut Pass<'a>) -> Result<()> + Send + 'a) -> Result<()> {
        let (model, batch, share) = (self.model, self.batch, self.share);
        let start = self.hidden.value.clone();
        let inner = move |learns: bool, stream_learns: bool| {
            let mut tape = Tape::default();
            let leaves = model.leaves(&mut tape, |parameter| learns && model.learns(parameter));
            let hidden = tape.input(start.clone(), stream_learns);
            let from = hidden.place();
            let mut pass = Pass::from(model, batch, share, tape, leaves, hidden);
            part(&mut pass).map(|()| (pass, from))
        };
        let (value, learns) = (inner(false, false)?.0.hidden.value, self.hidden.learns);
        let inputs: Vec<&Node> = self.leaves.iter().chain([&self.hidden]).collect();
        let hidden = self.tape.push_many(value, &inputs, move |gradient| {
            let (mut pass, from) = inner(true, learns)?;
            pass.tape.flow_in(pass.hidden.place(), gradient.clone())?;
            pass.tape.rest(pass.leaves.iter().map(Node::place).chain([from]))
        });
        self.hidden = hidden;
        Ok(())
    }

    /// Goes through the attention of `layer`: what that reads.
    fn mix(&mut self, layer: &Layer) -> Result<Node> {
        let normed = self.norm(&self.hidden.clone(), layer.attention_norm)?;
        let mixed = self.attention(layer, &normed)?;
        self.add_to_hidden(&mixed, layer.attention_post_norm)?;
        Ok(normed)
    }

    /// Goes through the attention of `layer`: what that reads, and what its feed-forward block reads.
    pub(super) fn attend(&mut self, layer: &Layer) -> Result<[Node; 2]> {
        let normed = self.mix(layer)?;
        let x = match layer.feed_forward_norm {
            Some(norm) => self.norm(&self.hidden.clone(), norm)?,
            None => normed.clone(),
        };
        Ok([normed, x])
    }

    /// Goes through the feed-forward block of `layer`, which reads `x`, where it has routed experts up to them.
    pub(super) fn feed(&mut self, layer: &Layer, x: Node) -> Result<()> {
        match &layer.feed_forward {
            FeedForward::Dense(block) => {
                let out = self.gated(&x, block)?;
                self.add_to_hidden(&out, layer.feed_forward_post_norm)
            }
            FeedForward::Moe { router, router_bias, .. } => self.meet(x, *router, *router_bias),
        }
    }

    /// The rows for the experts of the layer that was entered last, and which expert gets which of them.
    pub(super) fn rows(&self) -> Option<(&Node, &Routing)> {
        Some((&self.waiting.as_ref()?.rows, &*self.meetings.last()?.routing))
    }

    /// Goes on behind the routed experts of `layer`, which made `outs` of the rows.
    pub(super) fn leave(&mut self, layer: &Layer, outs: Tensor, learns: bool) -> Result<()> {
        let outs = self.tape.input(outs, learns);
        let entered = self.meetings.last_mut().zip(self.waiting.take());
        let (meeting, Waiting { x, logits, .. }) = entered.expect("a layer is entered before it is left");
        meeting.outs = Some(outs.place());
        let routing = meeting.routing.clone();
        let weights = router_weights(&mut self.tape, &logits, routing.clone())?;
        let mut out = combine(&mut self.tape, &outs, &weights, routing)?;
        if let FeedForward::Moe { shared: Some((block, gate)), .. } = &layer.feed_forward {
            let shared = self.shared(&x, block, *gate)?;
            out = add(&mut self.tape, &out, &shared)?;
        }
        self.add_to_hidden(&out, layer.feed_forward_post_norm)
    }

    /// The `loss` of the examples, which is divided by `total`, and what was measured for it.
    pub(super) fn loss(&mut self, loss: Loss, total: f64) -> Result<(Node, Measured)> {
        let scored = gather(&mut self.tape, &self.hidden, &self.batch.scored)?;
        let logits = self.head(&scored)?;
        let targets = self.batch.targets.clone();
        let predicted = predicted(&logits.value, &targets)?;
        let measured = loss.measure(&self.batch.examples, &predicted.log_probabilities);
        let scale = 1.0 / total;
        let slopes = measured.slopes.iter().map(|slope| (slope * scale) as f32).collect();
        let node =
            ops::loss::loss(&mut self.tape, &logits, predicted, targets, measured.loss * scale, slopes)?;
        Ok((node, measured))
    }

    /// The log-probabilities of the targets, for a pass that no gradients are asked of.
    pub(super) fn log_probabilities(&mut self) -> Result<Vec<f32>> {
        let scored = gather(&mut self.tape, &self.hidden, &self.batch.scored)?;
        let logits = self.head(&scored)?;
        ops::loss::log_probabilities(&logits.value, &self.batch.targets)
    }

    /// Logits (N, V) of all rows.
    pub(super) fn logits(&mut self) -> Result<Node> {
        self.head(&self.hidden.clone())
    }

    /// Turns round at `loss`, to which the router losses are added.
    pub(super) fn turn(&mut self, mut loss: Node) -> Result<()> {
        for router_loss in std::mem::take(&mut self.router_losses) {
            loss = add(&mut self.tape, &loss, &router_loss)?;
        }
        self.tape.flow_in(loss.place(), tensor(vec![1.0], ())?)
    }

    /// Goes back to the experts of layer `at`, counted among those with experts: the gradient of what they gave.
    pub(super) fn back_to(&mut self, at: usize) -> Result<Option<Tensor>> {
        let outs = self.meetings[at].outs.expect("layers are left before the pass turns round");
        self.tape.back_to(outs)
    }

    /// Takes the gradient of the rows that the experts of layer `at` got.
    pub(super) fn take_back(&mut self, at: usize, gradient: Tensor) -> Result<()> {
        self.tape.flow_in(self.meetings[at].rows, gradient)
    }

    /// The routes of each layer with experts.
    pub(super) fn routings(&self) -> Vec<Arc<Routing>> {
        self.meetings.iter().map(|meeting| meeting.routing.clone()).collect()
    }

    /// Goes back to the beginning: the gradients of the parameters; none where the loss does not depend on one.
    pub(super) fn gradients(self) -> Result<Vec<Option<Tensor>>> {
        self.tape.rest(self.leaves.iter().map(Node::place))
    }

    /// Adds to the residual stream what a block gives, normed where there is a norm for it.
    fn add_to_hidden(&mut self, out: &Node, norm: Option<Slot>) -> Result<()> {
        let normed = norm.map(|norm| self.norm(out, norm)).transpose()?;
        self.hidden = add(&mut self.tape, &self.hidden, normed.as_ref().unwrap_or(out))?;
        Ok(())
    }

    /// Logits (M, V) of rows of the residual stream.
    fn head(&mut self, hidden: &Node) -> Result<Node> {
        let normed = self.norm(hidden, self.model.parameters.final_norm)?;
        let logits = self.product(&normed, self.model.parameters.head, &Kind::Plain)?;
        match self.model.config.block.final_logit_softcapping {
            Some(cap) => soft_cap(&mut self.tape, &logits, cap),
            None => Ok(logits),
        }
    }

    /// All attentions of a layer at once: as one with the heads of all.
    fn attention(&mut self, layer: &Layer, normed: &Node) -> Result<Node> {
        let config = &self.model.config;
        let heads = Heads {
            query: config.attentions() * config.num_attention_heads,
            readers: config.attentions() / config.key_values(),
            key_value: config.key_values() * config.num_key_value_heads,
            dim: config.head_dim,
        };
        let mut rows = self.linear(normed, layer.query_key_value)?;
        if let Some([query, key]) = layer.qk_norms {
            let weights = [&self.norm_weight(query)?, &self.norm_weight(key)?];
            let widths = [config.query_size(), config.key_value_size()];
            rows = qk_norm(&mut self.tape, &rows, weights, widths, config.rms_norm_eps)?;
        }
        if let Some(most) = config.block.clip_qkv {
            rows = clip(&mut self.tape, &rows, most)?;
        }
        let (rope, documents) = (self.rope(layer), self.batch.documents.clone());
        let mut mixed = attention(&mut self.tape, &rows, heads, scores(config, layer), rope, documents)?;
        if let (Some(router), Some(experts)) = (layer.attention_router, config.block.attention_experts) {
            let logits = self.product(normed, router, &Kind::Exact)?;
            mixed = soft_mixture(&mut self.tape, &mixed, &logits, experts)?;
        }
        self.linear(&mixed, layer.output)
    }

    /// How the positions of `layer` turn.
    fn rope(&self, layer: &Layer) -> Arc<Rope> {
        let of_window = layer.window.and(self.model.window_rope.as_ref());
        of_window.unwrap_or(&self.model.rope).clone()
    }

    fn gated(&mut self, x: &Node, block: &Block) -> Result<Node> {
        let gate_up = self.linear(x, block.gate_up)?;
        let inner = gated(&mut self.tape, &gate_up, self.model.config.block.activation)?;
        self.linear(&inner, block.down)
    }

    /// Chooses the experts of each row of `x`, and sorts the rows by them.
    fn meet(&mut self, x: Node, router: Slot, bias: Option<Slot>) -> Result<()> {
        let moe = self.model.config.moe.as_ref().expect("experts are built from the config's own");
        let logits = self.product(&x, router, &Kind::Exact)?;
        let routing = self.route(&logits.value, bias)?;
        self.add_router_loss(moe, &logits, routing.clone())?;
        let rows = gather(&mut self.tape, &x, &routing.tokens)?;
        self.meetings.push(Meeting { routing, rows: rows.place(), outs: None });
        self.waiting = Some(Waiting { x, logits, rows });
        Ok(())
    }

    /// Which experts each row visits whose router logits these are.
    fn route(&self, logits: &Tensor, bias: Option<Slot>) -> Result<Arc<Routing>> {
        let model = self.model;
        let bias = bias.map(|bias| model.parameters.all[bias].value.to_vec()).transpose()?;
        let routing = Routing::new(logits, bias.as_deref(), choice(&model.config))?;
        Ok(Arc::new(if self.rounds_to > 1 { routing.rounded(self.rounds_to) } else { routing }))
    }

    fn shared(&mut self, x: &Node, block: &Block, gate_weight: Option<Slot>) -> Result<Node> {
        let shared = self.gated(x, block)?;
        let Some(weight) = gate_weight else { return Ok(shared) };
        let opening = self.product(x, weight, &Kind::Exact)?;
        gate(&mut self.tape, &shared, &opening)
    }

    /// Weighted by one over the number of layers with experts, so that the coefficients do not depend on depth.
    fn add_router_loss(&mut self, moe: &Moe, logits: &Node, routing: Arc<Routing>) -> Result<()> {
        let scale = self.share / self.model.config.layers_with_experts().count() as f64;
        let (balance, z) = (moe.router_aux_loss_coef * scale, moe.router_z_loss_coef * scale);
        self.router_losses.push(router_loss(&mut self.tape, logits, routing, balance, z)?);
        Ok(())
    }

    fn norm(&mut self, x: &Node, weight: Slot) -> Result<Node> {
        let weight = self.norm_weight(weight)?;
        rms_norm(&mut self.tape, x, &weight, self.model.config.rms_norm_eps)
    }

    /// What a norm scales by.
    fn norm_weight(&mut self, weight: Slot) -> Result<Node> {
        let weight = &self.leaves[weight];
        if !self.model.config.block.gemma_norms {
            return Ok(weight.clone());
        }
        let ones = tensor(vec![1.0; weight.value.elem_count()], weight.value.shape())?;
        let ones = self.tape.constant(ones.beside(&weight.value)?);
        add(&mut self.tape, weight, &ones)
    }

    fn linear(&mut self, x: &Node, linear: Linear) -> Result<Node> {
        let y = self.product(x, linear.weight, &Kind::Plain)?;
        match linear.bias {
            Some(slot) => bias(&mut self.tape, &y, &self.leaves[slot]),
            None => Ok(y),
        }
    }

    fn product(&mut self, x: &Node, weight: Slot, kind: &Kind) -> Result<Node> {
        self.model.parameters.adapters.linear(&mut self.tape, x, weight, |slot| &self.leaves[slot], kind)
    }
}

/// What becomes of the scores of attention in `layer`.
fn scores(config: &Config, layer: &Layer) -> AttentionScores {
    let scaled_by = config.block.query_pre_attn_scalar.unwrap_or(config.head_dim as f64);
    AttentionScores {
        scale: 1.0 / (scaled_by as f32).sqrt(),
        cap: config.block.attn_logit_softcapping.map(|cap| cap as f32),
        window: layer.window,
    }
}

/// How the tokens of a model choose experts.
fn choice(config: &Config) -> Choice {
    let moe = config.moe.as_ref().expect("experts are built from the config's own");
    let most = config.block.experts_top_p.map_or(Most::TopK(moe.experts_per_token), Most::TopP);
    Choice { experts: moe.num_experts, most, renormalise: moe.norm_topk_prob }
}
