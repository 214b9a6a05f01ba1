//! The gated block as a whole, and the buffers passes write to.

use flow_kernels::gate;
use flow_model::ternary::round_activations;

use crate::weights::Gated;

/// Buffers of a gated block; they grow to the most rows seen and are reused.
#[derive(Default)]
pub(crate) struct Inner {
    rounded: Vec<f32>,
    gate_up: Vec<f32>,
    active: Vec<f32>,
}

impl Inner {
    /// `out = block(x)` for `rows` rows.
    pub(crate) fn feed(&mut self, block: &Gated, rows: usize, x: &[f32], out: &mut [f32]) {
        block.down.multiply(rows, self.activate(block, rows, x), out);
    }

    /// `out += block(x)` for `rows` rows.
    pub(crate) fn feed_add(&mut self, block: &Gated, rows: usize, x: &[f32], out: &mut [f32]) {
        block.down.multiply_add(rows, self.activate(block, rows, x), out);
    }

    fn activate(&mut self, block: &Gated, rows: usize, x: &[f32]) -> &[f32] {
        let gate_up = grown(&mut self.gate_up, rows * 2 * block.inner());
        let x = if block.rounds { rounded(&mut self.rounded, rows, x) } else { x };
        block.gate_up.multiply(rows, x, gate_up);
        let active = grown(&mut self.active, rows * block.inner());
        gate(block.activation, gate_up, block.inner(), active);
        if block.rounds {
            active.chunks_exact_mut(block.inner()).for_each(round_activations);
        }
        active
    }
}

/// Rows of `x` with 8 bits each.
fn rounded<'a>(buffer: &'a mut Vec<f32>, rows: usize, x: &[f32]) -> &'a [f32] {
    let buffer = grown(buffer, x.len());
    buffer.copy_from_slice(x);
    buffer.chunks_exact_mut(x.len() / rows).for_each(round_activations);
    buffer
}

/// The first `len` elements of a buffer that grows when it must. What they hold is left from before.
pub(crate) fn grown(buffer: &mut Vec<f32>, len: usize) -> &mut [f32] {
    if buffer.len() < len {
        buffer.resize(len, 0.0);
    }
    &mut buffer[..len]
}
