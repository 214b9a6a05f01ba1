//! The same on a device.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use candle_core::{Result, bail};
use flow_kernels::gpu::{self, AttentionHeads, AttentionScores};

use super::Heads;
use crate::device::{Array, Device};
use crate::rope::Rope;
use crate::tensor::Tensor;

/// Which rows of a batch are documents: ranges, in order.
#[derive(Default)]
pub(crate) struct Documents {
    ranges: Vec<Range<usize>>,
    /// The same on the device that a batch is computed on.
    there: OnceLock<gpu::Documents>,
}

impl Documents {
    /// The ranges.
    pub(crate) fn ranges(&self) -> &[Range<usize>] {
        &self.ranges
    }

    fn there(&self, device: &Device) -> Result<&gpu::Documents> {
        crate::device::once(&self.there, || device.ask(|gpu| gpu.documents(&self.ranges)))
    }
}

impl From<Vec<Range<usize>>> for Documents {
    fn from(ranges: Vec<Range<usize>>) -> Self {
        Self { ranges, there: OnceLock::new() }
    }
}

/// Attention over rows, and what its backward pass needs.
pub(super) struct Attention {
    heads: AttentionHeads,
    scores: AttentionScores,
    rope: Arc<Rope>,
    documents: Arc<Documents>,
    x: Array,
    /// (N, query·dim).
    out: Array,
    /// The logarithm of what the weights of each row and query head are divided by, (N, query).
    log_sums: Array,
}

impl Attention {
    pub(super) fn forward(
        x: Array,
        (heads, scores): (Heads, AttentionScores),
        rope: Arc<Rope>,
        documents: Arc<Documents>,
    ) -> Result<Self> {
        let Heads { query, readers, key_value, dim } = heads;
        let heads = AttentionHeads { query, readers, key_value, dim };
        let (device, n_tokens) = (x.device().clone(), x.dims()[0]);
        let (spans, turns) = (documents.there(&device)?, rope.there(&device)?);
        let xs = x.numbers();
        let [out, log_sums] = device
            .make_all([&[n_tokens, query * dim], &[n_tokens, query]], |gpu, [out, log_sums]| {
                gpu.attention((&heads, &scores), spans, turns, &xs, out, log_sums)
            })?;
        drop(xs);
        let (Tensor::Device(out), Tensor::Device(log_sums)) = (out, log_sums) else {
            bail!("what a device makes is on it")
        };
        Ok(Self { heads, scores, rope, documents, x, out, log_sums })
    }

    pub(super) fn out(&self) -> Tensor {
        Tensor::Device(self.out.clone())
    }

    pub(super) fn backward(&self, dy: &Tensor) -> Result<Tensor> {
        let Tensor::Device(dy) = dy else { bail!("a gradient that is not on the device of its tensor") };
        let device = self.x.device();
        let (spans, turns) = (self.documents.there(device)?, self.rope.there(device)?);
        let (xs, outs) = (self.x.numbers(), self.out.numbers());
        let (log_sums, dys) = (self.log_sums.numbers(), dy.numbers());
        device.make(self.x.dims(), |gpu, dx| {
            gpu.attention_back((&self.heads, &self.scores), spans, turns, &xs, &outs, &log_sums, &dys, dx)
        })
    }
}
