//! Drawing on a GPU: the weights as they were packed for the CPU, copied to the device, and the buffers of a pass.
//!
//! A pass on the device mirrors [`crate::forward`], launch by launch for loop by loop, over the same panels, blocks and tables, so that a
//! draw has the bits that it has on the CPU.

use std::sync::PoisonError;
use std::sync::{Mutex, MutexGuard};

use flow_kernels::gpu::{Buffer, DeviceError, Embedding, Extents, Gpu, Matrix};
use flow_kernels::{Activation, BLOCK, Norm, Packed};

use crate::weights::{self, Weights};

mod feed;
mod pass;
mod scratch;

pub(crate) use pass::OnGpu;
use scratch::{Attention, Inner, Stream, Told};

/// Most draws under way at a time.
pub(crate) const SLOTS: usize = 256;

/// Most prompt tokens read in one step.
pub(crate) const PROMPT_ROWS: usize = 512;

/// Scores of attention that are kept at a time.
const SCORES: usize = 64 << 20;

/// A model on a device, for one call at a time.
pub(crate) struct Model(Mutex<State>);

/// What a pass needs of the device.
struct State {
    gpu: Gpu,
    extents: Extents,
    embedding: Embedding,
    /// Cosines and sines, with room for those of the rows of a step behind them.
    rotaries: Vec<[Buffer<f32>; 2]>,
    layers: Vec<Layer>,
    final_norm: Scale,
    head: Matrix,
    /// Keys and values of each layer, while a pass is under way.
    caches: Vec<Buffer<f32>>,
    told: Told,
    stream: Stream,
    attention: Attention,
    inner: Inner,
}

/// An RMSNorm.
struct Scale {
    scale: Buffer<f32>,
    width: usize,
    eps: f32,
}

/// One decoder layer, as [`weights::Layer`] has it.
struct Layer {
    attention_norm: Scale,
    fused: Matrix,
    attention_router: Option<Matrix>,
    qk_norms: Option<(Buffer<f32>, Buffer<f32>, f32)>,
    output: Matrix,
    attention_post_norm: Option<Scale>,
    feed_forward_norm: Option<Scale>,
    feed_forward: FeedForward,
    feed_forward_post_norm: Option<Scale>,
}

enum FeedForward {
    Dense(Box<Gated>),
    Moe(Box<Moe>),
}

/// Routed experts, and optionally one that every row visits.
struct Moe {
    router: Matrix,
    router_bias: Option<Buffer<f32>>,
    null_experts: usize,
    renormalise: bool,
    experts: Gated,
    shared: Option<(Gated, Option<Matrix>)>,
}

/// A gated block, or those of all experts.
struct Gated {
    activation: Activation,
    rounds: bool,
    inner: usize,
    gate_up: Matrix,
    down: Matrix,
}

impl Model {
    /// Copies `weights` to the device.
    ///
    /// # Errors
    /// They do not fit, or the device fails.
    pub(crate) fn new(mut gpu: Gpu, weights: &Weights) -> Result<Self, DeviceError> {
        let extents = Extents::new(weights.shape)?;
        let embedding = gpu.embedding(&weights.embedding, weights.hidden)?;
        let rows = SLOTS + PROMPT_ROWS;
        let rotary = |gpu: &mut Gpu, rotary: &crate::rotary::Rotary| {
            let (cos, sin) = rotary.table();
            let upload = |gpu: &mut Gpu, table: &[f32]| {
                let mut buffer = gpu.allocate(table.len() + rows * rotary.half())?;
                gpu.write(&mut buffer, 0, table)?;
                Ok(buffer)
            };
            Ok([upload(gpu, cos)?, upload(gpu, sin)?])
        };
        let rotaries = weights.rotaries.iter().map(|table| rotary(&mut gpu, table));
        let rotaries = rotaries.collect::<Result<_, DeviceError>>()?;
        let layers = weights.layers.iter().map(|from| layer(&mut gpu, from));
        let layers = layers.collect::<Result<_, DeviceError>>()?;
        let (final_norm, head) = (scale(&mut gpu, &weights.final_norm)?, gpu.matrix(&[&weights.head])?);
        let caches = weights.layers.iter().map(|_| gpu.allocate(0)).collect::<Result<_, _>>()?;
        Ok(Self(Mutex::new(State {
            told: Told::new(&mut gpu, weights.rotaries.len())?,
            stream: Stream::new(&mut gpu)?,
            attention: Attention::new(&mut gpu)?,
            inner: Inner::new(&mut gpu)?,
            gpu,
            extents,
            embedding,
            rotaries,
            layers,
            final_norm,
            head,
            caches,
        })))
    }

    /// What a person calls the device.
    pub(crate) fn device(&self) -> String {
        self.state().gpu.name()
    }

    /// Bytes of the device that keys and values may take, `None` where nothing is known of a bound.
    pub(crate) fn cache_bytes(&self) -> Option<usize> {
        let state = self.state();
        state.gpu.free_bytes().map(|free| room(free, state.head.outputs()))
    }

    /// A pass whose sequences may hold `blocks` blocks in all.
    ///
    /// # Errors
    /// There is no memory for them.
    pub(crate) fn pass<'a>(&'a self, weights: &'a Weights, blocks: usize) -> Result<OnGpu<'a>, DeviceError> {
        OnGpu::new(weights, self.state(), blocks)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Of so many free bytes, those that keys and values may take: four fifths of what is left beside the scores of attention, and of a
/// vocabulary of this width for the rows of a step and for the tokens that are chosen from them. The rest is for what layers compute.
pub(crate) fn room(free: usize, vocab: usize) -> usize {
    free.saturating_sub((SCORES + 3 * SLOTS * vocab) * size_of::<f32>()) / 5 * 4
}

/// Blocks that a run has: for each of `slots` draws under way and for the prompts that these come from or that wait to be read, of
/// requests of so many positions, but no more than `bound`. One request of the whole `context` has room in any case; a scheduler keeps
/// what is under way within them.
pub(crate) fn most_blocks(slots: usize, positions: usize, bound: usize, context: usize) -> usize {
    let most = (2 * slots + slots / 8 + 1) * positions.div_ceil(BLOCK);
    most.min(bound).max(2 * context.div_ceil(BLOCK))
}

fn scale(gpu: &mut Gpu, norm: &Norm) -> Result<Scale, DeviceError> {
    Ok(Scale { scale: gpu.upload(&norm.scale)?, width: norm.width, eps: norm.eps })
}

fn layer(gpu: &mut Gpu, from: &weights::Layer) -> Result<Layer, DeviceError> {
    let maybe = |gpu: &mut Gpu, norm: &Option<Norm>| norm.as_ref().map(|norm| scale(gpu, norm)).transpose();
    let router = from.attention_router.as_ref().map(|(router, _)| gpu.matrix(&[router])).transpose()?;
    let qk_norms = from.sight.norms.as_ref();
    let qk_norms = qk_norms.map(|norms| Ok((gpu.upload(&norms.query)?, gpu.upload(&norms.key)?, norms.eps)));
    Ok(Layer {
        attention_norm: scale(gpu, &from.attention_norm)?,
        qk_norms: qk_norms.transpose()?,
        fused: gpu.matrix(&[&from.fused])?,
        attention_router: router,
        output: gpu.matrix(&[&from.output])?,
        attention_post_norm: maybe(gpu, &from.attention_post_norm)?,
        feed_forward_norm: maybe(gpu, &from.feed_forward_norm)?,
        feed_forward: feed_forward(gpu, &from.feed_forward)?,
        feed_forward_post_norm: maybe(gpu, &from.feed_forward_post_norm)?,
    })
}

fn feed_forward(gpu: &mut Gpu, from: &weights::FeedForward) -> Result<FeedForward, DeviceError> {
    let moe = match from {
        weights::FeedForward::Dense(block) => return Ok(FeedForward::Dense(Box::new(gated(gpu, &[block])?))),
        weights::FeedForward::Moe(moe) => moe,
    };
    Gpu::check_experts(moe.experts.len() + moe.null_experts)?;
    let shared = moe.shared.as_ref().map(|(block, gate): &(weights::Gated, Option<Packed>)| {
        let gate = gate.as_ref().map(|gate| gpu.matrix(&[gate])).transpose()?;
        Ok((gated(gpu, &[block])?, gate))
    });
    let shared = shared.transpose()?;
    let experts = gated(gpu, &moe.experts.iter().collect::<Vec<_>>())?;
    Ok(FeedForward::Moe(Box::new(Moe {
        router: gpu.matrix(&[&moe.router])?,
        router_bias: moe.router_bias.as_ref().map(|bias| gpu.upload(bias)).transpose()?,
        null_experts: moe.null_experts,
        renormalise: moe.renormalise,
        experts,
        shared,
    })))
}

/// The blocks of experts side by side; of one, with its biases.
fn gated(gpu: &mut Gpu, blocks: &[&weights::Gated]) -> Result<Gated, DeviceError> {
    let first = blocks.first().expect("a mixture has experts");
    let gate_up: Vec<&Packed> = blocks.iter().map(|block| &block.gate_up).collect();
    let down: Vec<&Packed> = blocks.iter().map(|block| &block.down).collect();
    Ok(Gated {
        activation: first.activation,
        rounds: first.rounds,
        inner: first.inner(),
        gate_up: gpu.matrix(&gate_up)?,
        down: gpu.matrix(&down)?,
    })
}
