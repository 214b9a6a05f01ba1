//! Which experts a row visits, by the probabilities of a router, and where its visits stand among all.

/// Which experts a token visits, by the router's probabilities.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Routing {
    /// The so many most probable ones; at least 1, and at most all.
    TopK(usize),
    /// Only the one of this rank, counted from 1, the most probable: contrast for decoding (arXiv 2405.14507).
    Rank(usize),
    /// The fewest most probable ones whose probabilities reach this sum; above 0 to 1 (arXiv 2403.07652).
    TopP(f64),
}

/// One row's visit to one expert.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Visit {
    /// Which expert.
    pub expert: usize,
    /// What its answer is multiplied by.
    pub weight: f32,
    /// Where the row stands among all visits, grouped by expert.
    pub place: usize,
}

/// How the probabilities of a router become visits, whatever a row's [`Routing`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Chooser<'a> {
    /// One number for each expert: they are chosen by probability plus bias, and weighted by probability all the same (arXiv 2408.15664).
    pub bias: Option<&'a [f32]>,
    /// Experts, the last ones, that compute nothing: a row that chooses one visits an expert less (arXiv 2406.13233).
    pub null_experts: usize,
    /// Whether the probabilities of the visits are divided by their sum.
    pub renormalise: bool,
}

/// Appends the visits to the experts that `routing` chooses, lowest index first of equals, by ascending expert. `order` is scratch.
pub fn choose(
    probabilities: &[f32],
    chooser: &Chooser<'_>,
    routing: Routing,
    order: &mut Vec<usize>,
    visits: &mut Vec<Visit>,
) {
    order.clear();
    order.extend(0..probabilities.len());
    let score = |expert: usize| chooser.bias.map_or(0.0, |bias| bias[expert]) + probabilities[expert];
    order.sort_unstable_by(|&a, &b| score(b).total_cmp(&score(a)).then(a.cmp(&b)));
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
    let computing = probabilities.len() - chooser.null_experts;
    let chosen = order[first..first + count].iter().filter(|expert| **expert < computing);
    visits.extend(chosen.map(|&expert| Visit { expert, weight: probabilities[expert], place: 0 }));
    let chosen = &mut visits[start..];
    if chooser.renormalise {
        let sum: f32 = chosen.iter().map(|visit| visit.weight).sum();
        // Beside a null expert that has it all, the others may come to nothing: then they stay so.
        let divisor = if sum == 0.0 { 1.0 } else { sum };
        chosen.iter_mut().for_each(|visit| visit.weight /= divisor);
    }
    chosen.sort_unstable_by_key(|visit| visit.expert);
}

/// Gives each visit its place: experts in ascending order, visits in order within one. Fills `starts` with the first place of
/// each expert, and the end of the last.
pub fn group(experts: usize, visits: &mut [Visit], starts: &mut Vec<usize>) {
    starts.clear();
    starts.resize(experts + 1, 0);
    for visit in &*visits {
        starts[visit.expert + 1] += 1;
    }
    for e in 0..experts {
        starts[e + 1] += starts[e];
    }
    for visit in visits {
        visit.place = starts[visit.expert];
        starts[visit.expert] += 1;
    }
    starts.rotate_right(1);
    starts[0] = 0;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn visited(probabilities: &[f32], chooser: Chooser<'_>, routing: Routing) -> Vec<(usize, f32)> {
        let mut visits = Vec::new();
        choose(probabilities, &chooser, routing, &mut Vec::new(), &mut visits);
        visits.iter().map(|v| (v.expert, v.weight)).collect()
    }

    fn routed(probabilities: &[f32], routing: Routing, renormalise: bool) -> Vec<(usize, f32)> {
        visited(probabilities, Chooser { renormalise, ..Chooser::default() }, routing)
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
    fn a_bias_moves_the_choice_and_null_experts_take_visits() {
        let p = [0.125, 0.25, 0.125, 0.5];
        let bias = [0.5, 0.0, 0.0, 0.0];
        let biased = |renormalise| Chooser { bias: Some(&bias), renormalise, ..Chooser::default() };
        assert_eq!(visited(&p, biased(false), Routing::TopK(2)), [(0, 0.125), (3, 0.5)]);
        assert_eq!(visited(&p, biased(true), Routing::TopK(2)), [(0, 0.2), (3, 0.8)]);
        let with_null = |renormalise| Chooser { null_experts: 1, renormalise, ..Chooser::default() };
        assert_eq!(visited(&p, with_null(false), Routing::TopK(2)), [(1, 0.25)]);
        assert_eq!(visited(&p, with_null(true), Routing::TopK(3)), [(0, 0.125 / 0.375), (1, 0.25 / 0.375)]);
        assert_eq!(visited(&p, with_null(true), Routing::TopK(1)), []);
        assert_eq!(visited(&[0.0, 1.0], with_null(true), Routing::TopK(2)), [(0, 0.0)]);
    }

    #[test]
    fn visits_are_grouped_by_expert_with_rows_in_order() {
        let visit = |expert| Visit { expert, weight: 1.0, place: 0 };
        let (mut visits, mut starts) = ([2, 0, 2, 3, 0].map(visit), Vec::new());
        group(4, &mut visits, &mut starts);
        assert_eq!(visits.map(|v| v.place), [2, 0, 3, 4, 1]);
        assert_eq!(starts, [0, 2, 2, 4, 5]);
    }
}
