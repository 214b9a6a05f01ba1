//! Mixture of experts: each row visits its most probable experts; rows are grouped so that each expert runs once.

use flow_kernels::{Chooser, Visit, add_scaled, choose, group, sigmoid, softmax};

use crate::feed_forward::{Inner, grown};
use crate::forward::Row;
use crate::weights::Moe;

/// Buffers of a mixture layer.
#[derive(Default)]
pub(crate) struct Mixture {
    inner: Inner,
    router: Vec<f32>,
    /// Those of each row in turn, by ascending expert.
    visits: Vec<Visit>,
    /// Where the visits of each row end.
    ends: Vec<usize>,
    /// Experts of a row, most probable first.
    order: Vec<usize>,
    /// First place of each expert, and the end of the last.
    starts: Vec<usize>,
    gathered: Vec<f32>,
    answers: Vec<f32>,
    shared: Vec<f32>,
    gate: Vec<f32>,
    sum: Vec<f32>,
}

impl Mixture {
    /// Adds the mixture's output for the `rows` of `x` to `out`: per row, experts in ascending order are summed,
    /// then the shared expert, then the sum is added.
    pub(crate) fn add(&mut self, moe: &Moe, rows: &[Row], x: &[f32], out: &mut [f32]) {
        let stride = x.len() / rows.len();
        self.route(moe, rows, x);
        group(moe.experts.len(), &mut self.visits, &mut self.starts);
        self.visit(moe, x, stride);
        let rows = rows.len();
        if let Some((block, gate)) = &moe.shared {
            if let Some(gate) = gate {
                gate.multiply(rows, x, grown(&mut self.gate, rows * gate.outputs()));
            }
            self.inner.feed(block, rows, x, grown(&mut self.shared, x.len()));
        }
        self.combine(moe, out, stride);
    }

    /// Chooses the experts of each row.
    fn route(&mut self, moe: &Moe, rows: &[Row], x: &[f32]) {
        let (experts, width) = (moe.experts.len() + moe.null_experts, moe.router.outputs());
        let router = grown(&mut self.router, rows.len() * width);
        moe.router.multiply(rows.len(), x, router);
        self.visits.clear();
        self.ends.clear();
        let chooser = Chooser {
            bias: moe.router_bias.as_deref(),
            null_experts: moe.null_experts,
            renormalise: moe.renormalise,
        };
        for (row, scores) in rows.iter().zip(router.chunks_exact_mut(width)) {
            scores[experts..].fill(f32::MIN);
            softmax(scores);
            let routing = row.routing.unwrap_or(moe.routing);
            choose(&scores[..experts], &chooser, routing, &mut self.order, &mut self.visits);
            self.ends.push(self.visits.len());
        }
    }

    /// Runs each expert over its rows.
    fn visit(&mut self, moe: &Moe, x: &[f32], stride: usize) {
        let len = self.visits.len() * stride;
        let gathered = grown(&mut self.gathered, len);
        for (visits, row) in by_row(&self.visits, &self.ends).zip(x.chunks_exact(stride)) {
            for visit in visits {
                gathered[visit.place * stride..][..stride].copy_from_slice(row);
            }
        }
        let answers = grown(&mut self.answers, len);
        for (block, bounds) in moe.experts.iter().zip(self.starts.windows(2)) {
            let (first, end) = (bounds[0], bounds[1]);
            let span = first * stride..end * stride;
            if first < end {
                self.inner.feed(block, end - first, &gathered[span.clone()], &mut answers[span]);
            }
        }
    }

    fn combine(&mut self, moe: &Moe, out: &mut [f32], stride: usize) {
        let rows = by_row(&self.visits, &self.ends).zip(out.chunks_exact_mut(stride));
        let sum = grown(&mut self.sum, stride);
        for (r, (visits, out)) in rows.enumerate() {
            sum.fill(0.0);
            for visit in visits {
                add_scaled(sum, visit.weight, &self.answers[visit.place * stride..][..stride]);
            }
            if let Some((_, gate)) = &moe.shared {
                let opened = gate.as_ref().map_or(1.0, |gate| sigmoid(self.gate[r * gate.outputs()]));
                add_scaled(sum, opened, &self.shared[r * stride..][..stride]);
            }
            add_scaled(out, 1.0, sum);
        }
    }
}

/// The visits of each row.
fn by_row<'a>(visits: &'a [Visit], ends: &'a [usize]) -> impl Iterator<Item = &'a [Visit]> {
    let starts = std::iter::once(0).chain(ends.iter().copied());
    starts.zip(ends).map(|(start, &end)| &visits[start..end])
}
