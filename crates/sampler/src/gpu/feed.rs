//! The block after attention on a device: a gated block, or a mixture of experts.

use flow_kernels::gpu::{Answers, Bounds, Buffer, Choosing, DeviceError, Gpu, Routings, Source};
use flow_kernels::padded;

use super::scratch::Inner;
use super::{FeedForward, Gated, Moe};

/// The rows of a step, as all layers see them.
#[derive(Clone, Copy)]
pub(super) struct Rows {
    pub(super) count: usize,
    /// Length of a row of the stream.
    pub(super) stride: usize,
}

/// The first rows of `x`, as many as it holds of a step.
pub(super) fn all(x: &Buffer<f32>, rows: usize) -> Source<'_> {
    Source { x, rows, row_of: None, held: rows }
}

/// `to += block(x)` for the rows of a step, which choose experts as `routings` says.
pub(super) fn feed_add(
    gpu: &mut Gpu,
    block: &FeedForward,
    rows: Rows,
    (x, routings): (&Buffer<f32>, &Routings),
    inner: &mut Inner,
    to: &mut Buffer<f32>,
) -> Result<(), DeviceError> {
    match block {
        FeedForward::Dense(block) => {
            let Inner { rounded, gate_up, active, active_rounded, .. } = inner;
            gated(gpu, block, rows.count, x, [rounded, gate_up, active, active_rounded], true, to)
        }
        FeedForward::Moe(moe) => mixture(gpu, moe, rows, (x, routings), inner, to),
    }
}

/// `out (+)= block(x)` for `n` rows; `scratch` is for rounded inputs, gates and ups, what is active, and that rounded.
fn gated(
    gpu: &mut Gpu,
    block: &Gated,
    n: usize,
    x: &Buffer<f32>,
    [rounded, gate_up, active, active_rounded]: [&mut Buffer<f32>; 4],
    add: bool,
    out: &mut Buffer<f32>,
) -> Result<(), DeviceError> {
    let x = if block.rounds { round(gpu, n, block.gate_up.inputs(), x, rounded)? } else { x };
    gpu.grow(gate_up, n * 2 * block.inner)?;
    gpu.multiply(&block.gate_up, all(x, n), None, false, gate_up)?;
    gpu.grow(active, n * block.inner)?;
    gpu.gate(block.activation, n, block.inner, gate_up, active)?;
    let active = if block.rounds { round(gpu, n, block.inner, active, active_rounded)? } else { &*active };
    gpu.multiply(&block.down, all(active, n), None, add, out)
}

/// `n` rows of `width` numbers, with 8 bits each.
fn round<'a>(
    gpu: &mut Gpu,
    n: usize,
    width: usize,
    x: &Buffer<f32>,
    out: &'a mut Buffer<f32>,
) -> Result<&'a Buffer<f32>, DeviceError> {
    gpu.grow(out, n * padded(width))?;
    gpu.round(n, padded(width), x, out)?;
    Ok(out)
}

/// Adds the mixture's output: of each row its experts in ascending order, then the shared expert.
fn mixture(
    gpu: &mut Gpu,
    moe: &Moe,
    rows: Rows,
    (x, routings): (&Buffer<f32>, &Routings),
    inner: &mut Inner,
    to: &mut Buffer<f32>,
) -> Result<(), DeviceError> {
    let (n, visits) = (rows.count, rows.count * routings.most());
    let Inner { rounded, gate_up, active, active_rounded, router, visits: chosen, answers, shared, gates } =
        inner;
    gpu.grow(router, n * moe.router.outputs())?;
    gpu.multiply(&moe.router, all(x, n), None, false, router)?;
    let choosing = Choosing {
        bias: moe.router_bias.as_ref(),
        null_experts: moe.null_experts,
        renormalise: moe.renormalise,
    };
    gpu.route((&mut *router, moe.router.outputs()), routings, &choosing, chosen)?;

    let experts = &moe.experts;
    let bounds = Some(Bounds { starts: &chosen.starts, rows: visits });
    let read = if experts.rounds { round(gpu, n, experts.gate_up.inputs(), x, rounded)? } else { x };
    gpu.grow(gate_up, visits * 2 * experts.inner)?;
    let gathered = Source { x: read, rows: n, row_of: Some(&chosen.row_of), held: n };
    gpu.multiply(&experts.gate_up, gathered, bounds, false, gate_up)?;
    gpu.grow(active, visits * experts.inner)?;
    gpu.gate(experts.activation, visits, experts.inner, gate_up, active)?;
    let read =
        if experts.rounds { round(gpu, visits, experts.inner, active, active_rounded)? } else { &*active };
    gpu.grow(answers, visits * rows.stride)?;
    let placed = Source { x: read, rows: n, row_of: None, held: visits };
    gpu.multiply(&experts.down, placed, bounds, false, answers)?;

    let mut gate_stride = None;
    if let Some((block, gate)) = &moe.shared {
        if let Some(gate) = gate {
            gpu.grow(gates, n * gate.outputs())?;
            gpu.multiply(gate, all(x, n), None, false, gates)?;
            gate_stride = Some(gate.outputs());
        }
        gpu.grow(shared, n * rows.stride)?;
        gated(gpu, block, n, x, [rounded, gate_up, active, active_rounded], false, shared)?;
    }
    let answers = Answers {
        experts: answers,
        shared: moe.shared.is_some().then_some(&*shared),
        gates: gate_stride.map(|stride| (&*gates, stride)),
    };
    gpu.combine(rows.stride, chosen, &answers, to)
}
