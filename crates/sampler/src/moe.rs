//! Mixture of experts: each row visits its most probable experts; rows are grouped so that each expert runs once.

use crate::feed_forward::{Inner, grown};
use crate::forward::Row;
use crate::layers::softmax;
use crate::request::Routing;
use crate::weights::Moe;

/// One row's visit to one expert.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Visit {
    expert: usize,
    weight: f32,
    /// Where the row stands among all visits, grouped by expert.
    place: usize,
}

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
        self.group(moe.experts.len());
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
        let (experts, width) = (moe.experts.len(), moe.router.outputs());
        let router = grown(&mut self.router, rows.len() * width);
        moe.router.multiply(rows.len(), x, router);
        self.visits.clear();
        self.ends.clear();
        for (row, scores) in rows.iter().zip(router.chunks_exact_mut(width)) {
            scores[experts..].fill(f32::MIN);
            softmax(scores);
            let routing = row.routing.unwrap_or(Routing::TopK(moe.experts_per_token));
            choose(&scores[..experts], routing, moe.renormalise, &mut self.order, &mut self.visits);
            self.ends.push(self.visits.len());
        }
    }

    /// Gives each visit its place: experts in ascending order, rows in order within one.
    fn group(&mut self, experts: usize) {
        self.starts.clear();
        self.starts.resize(experts + 1, 0);
        for visit in &self.visits {
            self.starts[visit.expert + 1] += 1;
        }
        for e in 0..experts {
            self.starts[e + 1] += self.starts[e];
        }
        for visit in &mut self.visits {
            visit.place = self.starts[visit.expert];
            self.starts[visit.expert] += 1;
        }
        self.starts.rotate_right(1);
        self.starts[0] = 0;
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
                let sigmoid = |x: f32| (1.0 / (1.0 + (-f64::from(x)).exp())) as f32;
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

fn add_scaled(to: &mut [f32], factor: f32, x: &[f32]) {
    for (to, x) in to.iter_mut().zip(x) {
        *to += factor * x;
    }
}

/// Appends the experts that `routing` chooses, lowest index first of equals, by ascending expert. `order` is scratch.
fn choose(
    probabilities: &[f32],
    routing: Routing,
    renormalise: bool,
    order: &mut Vec<usize>,
    visits: &mut Vec<Visit>,
) {
    order.clear();
    order.extend(0..probabilities.len());
    order.sort_unstable_by(|&a, &b| probabilities[b].total_cmp(&probabilities[a]).then(a.cmp(&b)));
    let (first, count) = match routing {
        Routing::TopK(count) => (0, count.min(order.len())),
        Routing::Rank(rank) => (rank.min(order.len()) - 1, 1),
        Routing::TopP(least) => {
            let mut sum = 0.0;
            let reached = order.iter().position(|&expert| {
                sum += f64::from(probabilities[expert]);
                sum >= least
            });
            (0, reached.map_or(order.len(), |last| last + 1))
        }
    };
    let start = visits.len();
    let visit = |&expert: &usize| Visit { expert, weight: probabilities[expert], place: 0 };
    visits.extend(order[first..first + count].iter().map(visit));
    let chosen = &mut visits[start..];
    if renormalise {
        let sum: f32 = chosen.iter().map(|visit| visit.weight).sum();
        chosen.iter_mut().for_each(|visit| visit.weight /= sum);
    }
    chosen.sort_unstable_by_key(|visit| visit.expert);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn routed(probabilities: &[f32], routing: Routing, renormalise: bool) -> Vec<(usize, f32)> {
        let mut visits = Vec::new();
        choose(probabilities, routing, renormalise, &mut Vec::new(), &mut visits);
        visits.iter().map(|v| (v.expert, v.weight)).collect()
    }

    fn chosen(probabilities: &[f32], count: usize, renormalise: bool) -> Vec<(usize, f32)> {
        routed(probabilities, Routing::TopK(count), renormalise)
    }

    #[test]
    fn a_request_may_choose_one_rank_or_a_sum_of_probabilities() {
        let p = [0.125, 0.25, 0.125, 0.5];
        assert_eq!(routed(&p, Routing::Rank(1), true), [(3, 1.0)]);
        assert_eq!(routed(&p, Routing::Rank(2), false), [(1, 0.25)]);
        assert_eq!(routed(&p, Routing::Rank(9), true), [(2, 1.0)]);
        assert_eq!(routed(&p, Routing::TopP(0.5), true), [(3, 1.0)]);
        assert_eq!(routed(&p, Routing::TopP(0.51), false), [(1, 0.25), (3, 0.5)]);
        assert_eq!(routed(&p, Routing::TopP(1.0), false).len(), 4);
        assert_eq!(routed(&p, Routing::TopK(9), false).len(), 4);
    }

    #[test]
    fn the_most_probable_experts_are_chosen_lowest_index_first() {
        assert_eq!(chosen(&[0.125, 0.25, 0.125, 0.5], 2, false), [(1, 0.25), (3, 0.5)]);
        assert_eq!(chosen(&[0.25, 0.25, 0.25, 0.25], 2, true), [(0, 0.5), (1, 0.5)]);
        assert_eq!(chosen(&[0.0, 1.0], 2, true), [(0, 0.0), (1, 1.0)]);
    }

    #[test]
    fn visits_are_grouped_by_expert_with_rows_in_order() {
        let visit = |expert| Visit { expert, weight: 1.0, place: 0 };
        let mut mixture = Mixture { visits: [2, 0, 2, 3, 0].map(visit).to_vec(), ..Mixture::default() };
        mixture.group(4);
        assert_eq!(mixture.visits.iter().map(|v| v.place).collect::<Vec<_>>(), [2, 0, 3, 4, 1]);
        assert_eq!(mixture.starts, [0, 2, 2, 4, 5]);
    }
}
