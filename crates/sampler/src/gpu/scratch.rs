//! The buffers of a pass on a device; they grow to the most rows of a step and are reused.

use flow_kernels::gpu::{Buffer, DeviceError, Gpu, Indices, Picks, Placed, Routings, Visits};

/// What the host says of the rows of a step.
pub(super) struct Told {
    pub(super) tokens: Indices,
    pub(super) placed: Placed,
    /// Where each row's cosines and sines stand, for each of the rotaries.
    pub(super) turns: Vec<Indices>,
    pub(super) routings: Routings,
    pub(super) wanted: Indices,
    pub(super) copied: [Indices; 2],
}

/// The stream of rows that layers add to.
pub(super) struct Stream {
    pub(super) residual: Buffer<f32>,
    pub(super) normed: Buffer<f32>,
    pub(super) post: Buffer<f32>,
    pub(super) scores: Buffer<f32>,
    pub(super) picks: Picks,
}

/// What attention computes.
pub(super) struct Attention {
    pub(super) fused: Buffer<f32>,
    pub(super) attended: Buffer<f32>,
    pub(super) scores: Buffer<f32>,
    pub(super) router: Buffer<f32>,
}

/// What gated blocks and experts compute.
pub(super) struct Inner {
    pub(super) rounded: Buffer<f32>,
    pub(super) gate_up: Buffer<f32>,
    pub(super) active: Buffer<f32>,
    pub(super) active_rounded: Buffer<f32>,
    pub(super) router: Buffer<f32>,
    pub(super) visits: Visits,
    pub(super) answers: Buffer<f32>,
    pub(super) shared: Buffer<f32>,
    pub(super) gates: Buffer<f32>,
}

impl Told {
    /// Empty ones, for a model with so many rotaries.
    pub(super) fn new(gpu: &mut Gpu, rotaries: usize) -> Result<Self, DeviceError> {
        Ok(Self {
            tokens: gpu.indices()?,
            placed: gpu.placed()?,
            turns: (0..rotaries).map(|_| gpu.indices()).collect::<Result<_, _>>()?,
            routings: gpu.routings()?,
            wanted: gpu.indices()?,
            copied: [gpu.indices()?, gpu.indices()?],
        })
    }
}

impl Stream {
    pub(super) fn new(gpu: &mut Gpu) -> Result<Self, DeviceError> {
        Ok(Self {
            residual: gpu.allocate(0)?,
            normed: gpu.allocate(0)?,
            post: gpu.allocate(0)?,
            scores: gpu.allocate(0)?,
            picks: gpu.picks()?,
        })
    }
}

impl Attention {
    pub(super) fn new(gpu: &mut Gpu) -> Result<Self, DeviceError> {
        Ok(Self {
            fused: gpu.allocate(0)?,
            attended: gpu.allocate(0)?,
            scores: gpu.allocate(0)?,
            router: gpu.allocate(0)?,
        })
    }
}

impl Inner {
    pub(super) fn new(gpu: &mut Gpu) -> Result<Self, DeviceError> {
        Ok(Self {
            rounded: gpu.allocate(0)?,
            gate_up: gpu.allocate(0)?,
            active: gpu.allocate(0)?,
            active_rounded: gpu.allocate(0)?,
            router: gpu.allocate(0)?,
            visits: gpu.visits()?,
            answers: gpu.allocate(0)?,
            shared: gpu.allocate(0)?,
            gates: gpu.allocate(0)?,
        })
    }
}
