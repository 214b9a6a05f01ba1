//! The decoder as a graph of tensors, from a checkpoint and back.

mod adapters;
mod experts;
mod parameters;
mod pass;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use candle_core::Result;
use flow_model::{Checkpoint, Config};

use self::experts::{Experts, Parts};
pub(crate) use self::parameters::Parameter;
use self::parameters::{FeedForward, Layer, Parameters, Slot};
use self::pass::Pass;
use crate::batch::{Batch, Grouped};
use crate::config::require;
use crate::device::Device;
use crate::gradient::Gradient;
use crate::lora::Lora;
use crate::loss::preference;
use crate::ops::router::{self, Routing};
use crate::rope::Rope;
use crate::tape::{Node, Tape};
use crate::tensor::Tensor;
use crate::workers::Workers;
use crate::{Error, Loss, Part, Preference};

/// A decoder and its parameters.
pub(crate) struct Model {
    config: Config,
    rope: Arc<Rope>,
    /// Of layers with a window, where their positions turn otherwise.
    window_rope: Option<Arc<Rope>>,
    parameters: Parameters,
    frozen: Vec<Part>,
    /// Whether layers are computed again on the way back instead of kept.
    recomputes: bool,
    /// What the visits of each expert are a multiple of where gradients are asked for.
    rounds_to: usize,
}

/// What the loss of a step is, and what it is divided by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Totals {
    /// The loss.
    pub(crate) loss: Loss,
    /// What the examples of the step count together.
    pub(crate) weight: f64,
    /// Tokens of the step that are computed.
    pub(crate) tokens: usize,
}

/// What a slice of a batch tells.
pub(crate) struct Told {
    /// Its part of the loss of the step, nats, router losses left out.
    pub(crate) loss: f64,
    /// What it learned of preferences, weighted and summed.
    pub(crate) preference: Preference,
    /// Its share of the tokens of the step.
    pub(crate) share: f64,
    /// The routes of each layer with experts.
    pub(crate) routings: Vec<Arc<Routing>>,
    /// Its rows that are in groups, and the groups.
    pub(crate) groups: Grouped,
}

/// Tokens of a batch from which on memory counts more than the time that threads wait for each other.
const MANY_TOKENS: usize = 2048;
/// Rows of an expert that make a product of full speed.
const MANY_ROWS: usize = 256;

/// The gradients of the parameters, by slot; none where the loss of a slice does not depend on one.
type Gradients = Vec<Option<Tensor>>;

impl Model {
    /// Copies the weights of a checkpoint; `positions` is the longest document to come.
    /// What `frozen` names does not learn. With `lora` nothing does but adapters, begun with the seed.
    pub(crate) fn new(
        start: &Checkpoint,
        positions: usize,
        frozen: &[Part],
        lora: Option<(&Lora, u64)>,
    ) -> std::result::Result<Self, Error> {
        let config = start.config.clone();
        let rope = |rope: &flow_model::Rope| Arc::new(Rope::new(positions, config.head_dim, rope));
        let of_windows = config.block.sliding.as_ref().and_then(|sliding| sliding.rope.as_ref());
        Ok(Self {
            parameters: Parameters::new(start, lora)?,
            rope: rope(&config.rope()),
            window_rope: of_windows.map(rope),
            config,
            frozen: frozen.to_vec(),
            recomputes: false,
            rounds_to: 1,
        })
    }

    /// The same on `device`.
    pub(crate) fn on(mut self, device: &Device) -> Result<Self> {
        // What the load of experts moves is read by the host alone.
        for parameter in self.parameters.all.iter_mut().filter(|parameter| !parameter.by_load) {
            let numbers = parameter.value.to_vec()?;
            parameter.value = Tensor::Device(device.upload(&numbers, parameter.value.dims())?);
        }
        Ok(self)
    }

    /// The same, which computes layers again on the way back or keeps what they computed.
    pub(crate) fn recomputing(self, recomputes: bool) -> Self {
        Self { recomputes, ..self }
    }

    /// The same, which rounds the visits of each expert to multiples of this in passes whose gradients are asked for.
    pub(crate) fn rounding(self, rounds_to: usize) -> Self {
        Self { rounds_to, ..self }
    }

    /// What it is.
    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    /// The parameters on a tape, by slot.
    fn leaves(&self, tape: &mut Tape, learns: impl Fn(&Parameter) -> bool) -> Vec<Node> {
        let leaf = |parameter: &Parameter| tape.input(parameter.value.clone(), learns(parameter));
        self.parameters.all.iter().map(leaf).collect()
    }

    /// Whether a parameter learns by its gradient.
    pub(crate) fn learns(&self, parameter: &Parameter) -> bool {
        !parameter.by_load && self.moves(parameter)
    }

    /// Whether a parameter is another after a step.
    fn moves(&self, parameter: &Parameter) -> bool {
        match parameter.part {
            Some(part) => !self.has_adapters() && !self.frozen.contains(&part),
            None => true,
        }
    }

    /// Moves the biases of routers, unless these are frozen, a step towards an even load: `demands` are how often each expert was chosen, by
    /// layer with experts.
    pub(crate) fn even_out(&mut self, demands: &[Vec<u64>]) -> Result<()> {
        let Some(rate) = self.config.block.router_bias_update_rate else { return Ok(()) };
        let biases: Vec<Slot> = self.parameters.layers.iter().filter_map(Layer::router_bias).collect();
        for (slot, demand) in biases.into_iter().zip(demands) {
            if self.moves(&self.parameters.all[slot]) {
                let moved = router::evened(&self.parameters.all[slot].value.to_vec()?, demand, rate as f32);
                self.restore(slot, moved)?;
            }
        }
        Ok(())
    }

    /// Whether there are adapters, which then learn in place of all else.
    pub(crate) fn has_adapters(&self) -> bool {
        !self.parameters.adapters.is_empty()
    }

    /// All parameters, in a fixed order.
    pub(crate) fn parameters(&self) -> &[Parameter] {
        &self.parameters.all
    }

    /// Puts `values` in the place of a parameter's numbers.
    pub(crate) fn restore(&mut self, i: usize, values: Vec<f32>) -> Result<()> {
        let parameter = &mut self.parameters.all[i];
        parameter.value = crate::ops::tensor(values, parameter.value.shape())?.beside(&parameter.value)?;
        Ok(())
    }

    /// Numbers of each parameter that learn, in the same order: all or none.
    pub(crate) fn sizes(&self) -> impl Iterator<Item = usize> {
        let size =
            |parameter: &Parameter| if self.learns(parameter) { parameter.value.elem_count() } else { 0 };
        self.parameters().iter().map(size)
    }

    /// Zeros for the gradient of each parameter.
    pub(crate) fn zeros(&self) -> Vec<Gradient> {
        self.parameters().iter().map(|parameter| Gradient::new(parameter.gradient_blocks())).collect()
    }

    /// The weights as they are now, with the tokenizer of `start`.
    pub(crate) fn checkpoint(&self, start: &Checkpoint) -> std::result::Result<Checkpoint, Error> {
        let tensors = self.parameters.tensors()?;
        Ok(Checkpoint::new(self.config.clone(), tensors, start.tokenizer.clone())?)
    }

    /// The tensors of the adapters as they are now, by PEFT's names; none without adapters.
    pub(crate) fn adapter_tensors(&self) -> std::result::Result<BTreeMap<String, flow_model::Tensor>, Error> {
        self.parameters.adapter_tensors()
    }

    /// Adds the gradients of the loss and the router losses of the slices `batches` to `gradients`, in the order of the slices.
    pub(crate) fn gradients(
        &self,
        batches: &[Batch],
        totals: Totals,
        workers: &Workers,
        gradients: &mut [Gradient],
    ) -> Result<Vec<Told>> {
        // Slices meet at the experts, so with experts they go together; without, a thread has one slice in memory at a time.
        let mut told = Vec::new();
        for batches in batches.chunks(self.side_by_side(batches)) {
            let slices = match self.config.moe {
                Some(_) => self.together(batches, totals, workers, gradients)?,
                None => {
                    let alone =
                        |batch| self.together(std::slice::from_ref(batch), totals, &Workers::none(), &mut []);
                    workers.try_map(batches, alone)?.into_iter().flatten().collect()
                }
            };
            let (told_here, slices): (Vec<Told>, Vec<Gradients>) = slices.into_iter().unzip();
            told.extend(told_here);
            workers.try_map(gradients.iter_mut().enumerate(), |(slot, gradient)| {
                let mut parts = slices.iter().filter_map(|slice| slice[slot].as_ref());
                parts.try_for_each(|part| gradient.blocks[0].add(part.clone()))
            })?;
        }
        Ok(told)
    }

    /// How many slices are in memory at a time: half of them where experts get enough rows out of these, so that the products lose
    /// nothing. Threads do not count: which sums are made must not depend on them.
    fn side_by_side(&self, batches: &[Batch]) -> usize {
        let tokens: usize = batches.iter().map(|batch| batch.inputs.len()).sum();
        let halves = self.config.moe.as_ref().is_some_and(|moe| {
            tokens >= MANY_TOKENS && tokens * moe.experts_per_token >= 2 * MANY_ROWS * moe.num_experts
        });
        if halves { batches.len().div_ceil(2) } else { batches.len().max(1) }
    }

    /// The slices side by side through the layers and back. The gradients of routed experts are added to `gradients`, those of all other
    /// parameters come back for each slice.
    fn together(
        &self,
        batches: &[Batch],
        totals: Totals,
        workers: &Workers,
        gradients: &mut [Gradient],
    ) -> Result<Vec<(Told, Gradients)>> {
        let share = |batch: &Batch| batch.inputs.len() as f64 / totals.tokens as f64;
        let mut passes = workers.try_map(batches, |batch| Pass::new(self, batch, share(batch)))?;
        let experts = self.forward(&mut passes, workers)?;
        let losses = workers.try_map(&mut passes, |pass| {
            let (loss, measured) = pass.loss(totals.loss, totals.weight)?;
            let value = f64::from(loss.value.to_scalar()?);
            pass.turn(loss).map(|()| (value, measured.preference))
        })?;
        for (at, experts) in experts.into_iter().enumerate().rev() {
            let d_outs = workers.try_map(&mut passes, |pass| pass.back_to(at))?;
            let d_outs: Option<Vec<Tensor>> = d_outs.into_iter().collect();
            let Some(d_outs) = d_outs.filter(|_| experts.learn) else { continue };
            let d_rows = experts.backward(&d_outs, gradients, workers)?;
            passes.iter_mut().zip(d_rows).try_for_each(|(pass, d_rows)| pass.take_back(at, d_rows))?;
        }
        workers.try_map(passes.into_iter().zip(batches).zip(losses), |((pass, batch), (loss, preference))| {
            let (routings, groups) = (pass.routings(), batch.groups.clone());
            let told = Told { loss, preference, share: share(batch), routings, groups };
            Ok((told, pass.gradients()?))
        })
    }

    /// Takes the slices through all layers; returns the experts of each layer that has some.
    fn forward<'a>(&'a self, passes: &mut [Pass<'a>], workers: &Workers) -> Result<Vec<Experts<'a>>> {
        let adapters = &self.parameters.adapters;
        let mut all = Vec::new();
        for layer in &self.parameters.layers {
            workers.try_map(&mut *passes, |pass| pass.enter(layer))?;
            let FeedForward::Moe { experts, .. } = &layer.feed_forward else { continue };
            let rows: Vec<_> = passes.iter().filter_map(Pass::rows).collect();
            let parts = Parts::new(experts, adapters, &passes[0].leaves, &self.config, passes[0].recomputes);
            let (experts, outs) = Experts::forward(parts, &rows, workers)?;
            let learn = experts.learn;
            workers.try_map(passes.iter_mut().zip(outs), |(pass, outs)| pass.leave(layer, outs, learn))?;
            all.push(experts);
        }
        Ok(all)
    }

    /// The `loss` of `batch`, nats, summed over its examples by weight.
    pub(crate) fn loss(&self, batch: &Batch, loss: Loss) -> Result<f64> {
        let log_probabilities = self.read(batch)?.log_probabilities()?;
        Ok(loss.measure(&batch.examples, &log_probabilities).loss)
    }

    /// By how much the model prefers the completion of each example of `batch` to the rejected one, nats.
    pub(crate) fn preferences(&self, batch: &Batch) -> Result<Vec<f64>> {
        let log_probabilities = self.read(batch)?.log_probabilities()?;
        Ok(batch.examples.iter().map(|example| preference(example, &log_probabilities)).collect())
    }

    /// What attention and the feed-forward block of each layer of a dense model read of `batch`, the means over its tokens (C).
    pub(crate) fn readings(&self, batch: &Batch) -> Result<Vec<[Vec<f64>; 2]>> {
        let mut pass = Pass::reading(self, batch)?;
        let mut readings = Vec::new();
        for layer in &self.parameters.layers {
            let [normed, x] = pass.attend(layer)?;
            readings.push([mean(&normed.value)?, mean(&x.value)?]);
            pass.feed(layer, x)?;
        }
        Ok(readings)
    }

    fn read<'a>(&'a self, batch: &'a Batch) -> Result<Pass<'a>> {
        let mut pass = Pass::reading(self, batch)?;
        self.forward(std::slice::from_mut(&mut pass), &Workers::none())?;
        Ok(pass)
    }
}

/// The mean row of `x` (N, C).
fn mean(x: &Tensor) -> Result<Vec<f64>> {
    let (n, width) = x.dims2()?;
    let mut mean = vec![0.0; width];
    for row in x.to_vec()?.chunks_exact(width) {
        mean.iter_mut().zip(row).for_each(|(mean, x)| *mean += f64::from(*x) / n as f64);
    }
    Ok(mean)
}

/// The logits of a model at every position of every document: for each document its tokens times `vocab_size` numbers,
/// row by row. A reference for other implementations; documents do not influence each other.
///
/// # Errors
/// When a document is empty, or longer than the model's positions, or a token is not in the vocabulary.
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
    let model = Model::new(&start.clone().latent(), longest, &[], None)?;
    let batch = Batch { inputs: tokens, documents: Arc::new(ranges.clone().into()), ..Batch::default() };
    let all = model.read(&batch)?.logits()?;
    let values = all.value.to_vec()?;
    Ok(ranges.into_iter().map(|rows| values[rows.start * vocab..rows.end * vocab].to_vec()).collect())
}
