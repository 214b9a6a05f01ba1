//! The decoder as a graph of tensors, from a checkpoint and back.

mod parameters;

use std::ops::Range;
use std::sync::Arc;

use candle_core::{Device, Result, Tensor};
use flow_model::{Checkpoint, Config, Moe};

pub(crate) use self::parameters::Parameter;
use self::parameters::{Block, FeedForward, Layer, Parameters};
use crate::Error;
use crate::batch::Batch;
use crate::ops::attention::{Heads, attention};
use crate::ops::combine::combine;
use crate::ops::cross_entropy::cross_entropy;
use crate::ops::elements;
use crate::ops::linear::{grouped_linear, linear};
use crate::ops::rms_norm::rms_norm;
use crate::ops::router::{Routing, router_loss, router_weights};
use crate::ops::swiglu::swiglu;
use crate::rope::Rope;

/// A decoder whose parameters are variables.
pub(crate) struct Model {
    config: Config,
    rope: Arc<Rope>,
    parameters: Parameters,
}

/// How one slice counts in the loss of its step.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Weights {
    /// 1 / scored tokens of the step.
    pub(crate) per_target: f64,
    /// The slice's share of the tokens of the step.
    pub(crate) share: f64,
}

/// The loss of one slice.
pub(crate) struct Loss {
    /// What is minimised: cross-entropy and router losses, a scalar.
    pub(crate) total: Tensor,
    /// The slice's part of the mean cross-entropy, nats.
    pub(crate) cross_entropy: f64,
    /// The routes of each layer with experts.
    pub(crate) routings: Vec<Arc<Routing>>,
}

/// What the routers of the layers did, collected on the way.
struct Routes {
    /// The slice's share of the tokens of the step.
    share: f64,
    routings: Vec<Arc<Routing>>,
    /// Weighted router losses, summed over the layers.
    loss: Option<Tensor>,
}

impl Routes {
    fn new(share: f64) -> Self {
        Self { share, routings: Vec::new(), loss: None }
    }

    fn add(&mut self, routing: Arc<Routing>, loss: Tensor) -> Result<()> {
        self.routings.push(routing);
        self.loss = Some(match self.loss.take() {
            Some(sum) => (sum + loss)?,
            None => loss,
        });
        Ok(())
    }
}

impl Model {
    /// Copies the weights of a checkpoint; `positions` is the longest document to come.
    pub(crate) fn new(start: &Checkpoint, positions: usize) -> std::result::Result<Self, Error> {
        let config = start.config.clone();
        let rope = Arc::new(Rope::new(positions, config.head_dim, config.rope_theta));
        Ok(Self { parameters: Parameters::new(start)?, config, rope })
    }

    /// All parameters, in a fixed order.
    pub(crate) fn parameters(&self) -> &[Parameter] {
        &self.parameters.all
    }

    /// The weights as they are now, with the tokenizer of `start`.
    pub(crate) fn checkpoint(&self, start: &Checkpoint) -> std::result::Result<Checkpoint, Error> {
        let tensors = self.parameters.tensors()?;
        Ok(Checkpoint::new(self.config.clone(), tensors, start.tokenizer.clone())?)
    }

    /// The loss of `batch`.
    pub(crate) fn loss(&self, batch: &Batch, weights: Weights) -> Result<Loss> {
        let mut routes = Routes::new(weights.share);
        let hidden = self.hidden(&batch.inputs, &batch.documents, &mut routes)?;
        let scored = Tensor::new(batch.scored.as_slice(), &Device::Cpu)?;
        let logits = self.head(&hidden.index_select(&scored, 0)?)?;
        let cross_entropy = cross_entropy(&logits, batch.targets.clone(), weights.per_target)?;
        let value = f64::from(cross_entropy.to_scalar::<f32>()?);
        let total = match routes.loss {
            Some(router_loss) => (cross_entropy + router_loss)?,
            None => cross_entropy,
        };
        Ok(Loss { total, cross_entropy: value, routings: routes.routings })
    }

    /// Logits (M, V) of rows of the residual stream.
    fn head(&self, hidden: &Tensor) -> Result<Tensor> {
        let normed = rms_norm(hidden, &self.parameters.final_norm, self.config.rms_norm_eps)?;
        linear(&normed, &self.parameters.head)
    }

    /// The residual stream (N, C) after the layers.
    fn hidden(&self, inputs: &[u32], documents: &Arc<[Range<usize>]>, routes: &mut Routes) -> Result<Tensor> {
        let ids = Tensor::new(inputs, &Device::Cpu)?;
        let mut hidden = self.parameters.embedding.index_select(&ids, 0)?;
        for layer in &self.parameters.layers {
            hidden = (&hidden + self.attention(layer, &hidden, documents)?)?;
            let normed = rms_norm(&hidden, &layer.feed_forward_norm, self.config.rms_norm_eps)?;
            hidden = (hidden + self.feed_forward(&layer.feed_forward, &normed, routes)?)?;
        }
        Ok(hidden)
    }

    fn attention(&self, layer: &Layer, hidden: &Tensor, documents: &Arc<[Range<usize>]>) -> Result<Tensor> {
        let config = &self.config;
        let heads = Heads {
            query: config.num_attention_heads,
            key_value: config.num_key_value_heads,
            dim: config.head_dim,
        };
        let normed = rms_norm(hidden, &layer.attention_norm, config.rms_norm_eps)?;
        let rows = linear(&normed, &layer.query_key_value)?;
        let mixed = attention(&rows, heads, self.rope.clone(), documents.clone())?;
        linear(&mixed, &layer.output)
    }

    fn feed_forward(&self, block: &FeedForward, x: &Tensor, routes: &mut Routes) -> Result<Tensor> {
        match (block, &self.config.moe) {
            (FeedForward::Dense(block), _) => dense(x, block),
            (FeedForward::Moe { router, experts, shared }, Some(moe)) => {
                let logits = linear(x, router)?;
                let routing = Arc::new(Routing::new(&logits, moe.experts_per_token, moe.norm_topk_prob)?);
                let mut out = routed(x, &logits, experts, &routing)?;
                if let Some((block, gate)) = shared {
                    let open = sigmoid(&linear(x, gate)?)?;
                    out = (out + dense(x, block)?.broadcast_mul(&open)?)?;
                }
                let loss = self.router_loss(moe, &logits, &routing, routes.share)?;
                routes.add(routing, loss)?;
                Ok(out)
            }
            (FeedForward::Moe { .. }, None) => unreachable!("experts are built from the config's own"),
        }
    }

    /// The mean over the layers, so that the weights do not depend on depth.
    fn router_loss(&self, moe: &Moe, logits: &Tensor, routing: &Arc<Routing>, share: f64) -> Result<Tensor> {
        let scale = share / self.config.num_hidden_layers as f64;
        let (balance, z) = (moe.router_aux_loss_coef * scale, moe.router_z_loss_coef * scale);
        router_loss(logits, routing.clone(), balance, z)
    }
}

fn dense(x: &Tensor, block: &Block) -> Result<Tensor> {
    linear(&swiglu(&linear(x, &block.gate_up)?)?, &block.down)
}

/// The part of the routed experts: gather by expert, apply, weigh, bring back.
fn routed(x: &Tensor, logits: &Tensor, experts: &Block, routing: &Arc<Routing>) -> Result<Tensor> {
    let tokens = Tensor::new(routing.tokens.as_slice(), &Device::Cpu)?;
    let gathered = x.index_select(&tokens, 0)?;
    let inner = swiglu(&grouped_linear(&gathered, &experts.gate_up, routing.offsets.clone())?)?;
    let out = grouped_linear(&inner, &experts.down, routing.offsets.clone())?;
    combine(&out, &router_weights(logits, routing.clone())?, routing.clone())
}

fn sigmoid(x: &Tensor) -> Result<Tensor> {
    (x.neg()?.exp()? + 1.0)?.recip()
}

/// The logits of a model at every position of every document: for each document its tokens times `vocab_size` numbers,
/// row by row. A reference for other implementations; documents do not influence each other.
///
/// # Errors
/// When a document is empty or longer than the model's positions, or a token is not in the vocabulary.
pub fn logits(start: &Checkpoint, documents: &[Vec<u32>]) -> std::result::Result<Vec<Vec<f32>>, Error> {
    let positions = start.config.max_position_embeddings;
    for document in documents {
        let expected = format!("1 to {positions} tokens");
        crate::config::require(
            (1..=positions).contains(&document.len()),
            "document",
            document.len(),
            expected,
        )?;
    }
    let longest = documents.iter().map(Vec::len).max().unwrap_or(0);
    let mut end = 0;
    let mut next = |tokens: &Vec<u32>| {
        end += tokens.len();
        end - tokens.len()..end
    };
    let ranges: Vec<Range<usize>> = documents.iter().map(&mut next).collect();
    let model = Model::new(start, longest)?;
    let hidden = model.hidden(&documents.concat(), &ranges.clone().into(), &mut Routes::new(1.0))?;
    let all = model.head(&hidden)?;
    let values = elements(&all)?;
    let vocab = start.config.vocab_size;
    Ok(ranges.into_iter().map(|rows| values[rows.start * vocab..rows.end * vocab].to_vec()).collect())
}
