//! Routing: which experts a token visits, with which weights, and the losses that keep the router healthy.
//!
//! The choice itself is not differentiable; the weights of the chosen experts and the losses are, with respect to the
//! router logits z (N, R). The first E of the R experts compute, the others are null experts (AdaMoE, arXiv 2406.13233), which do not. With
//! p = softmax(z):
//!
//! - choice: the K largest p, or with a bias b the K largest p + b (arXiv 2408.15664), or the fewest largest ones whose sum reaches a bound (top-p, arXiv 2403.07652); null experts among them are
//!   then left out, so that a token visits fewer experts or none; the visits of each expert may then be rounded to tiles (arXiv 2512.14080);
//! - weights: the p of the visits, divided by their sum when renormalised (which equals a softmax over their logits);
//! - balance: R · Σ_e f_e · P_e, f_e the share of the choices that fell on e (a constant), for null experts the mean of theirs, P_e the mean of
//!   p_e; it is 1 when the load is even;
//! - z-loss: mean of (log Σ e^z)².

use std::cmp::Ordering;
use std::ops::Range;
use std::sync::Arc;

use candle_core::Result;

use super::{elements, tensor};
use crate::GroupLoad;
use crate::simd::{exp, largest, sum, vectorised};
use crate::tape::{Node, Tape};
use crate::tensor::Tensor;

/// How experts are chosen and weighted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Choice {
    /// Experts that compute (E); the router's other ones are null experts.
    pub(crate) experts: usize,
    /// How many.
    pub(crate) most: Most,
    /// Whether weights are divided by their sum.
    pub(crate) renormalise: bool,
}

/// How many experts a token chooses.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Most {
    /// So many (K).
    TopK(usize),
    /// The fewest whose probabilities reach this sum, at least one.
    TopP(f64),
}

/// The routes of N tokens in one layer, on V visits.
#[derive(Debug)]
pub(crate) struct Routing {
    choice: Choice,
    /// Experts of the router (R).
    routed: usize,
    /// (N, R).
    probabilities: Vec<f32>,
    /// log Σ e^z, (N).
    log_sums: Vec<f32>,
    /// Experts of each token in turn, in the order in which they were chosen, (V).
    chosen: Vec<u32>,
    /// Where the visits of each token end, (N).
    ends: Vec<u32>,
    /// Null experts among the chosen of each token, (N); empty where there are none to choose.
    nulls: Vec<u32>,
    /// Weights in the order of `chosen`, (V).
    weights: Vec<f32>,
    /// Visits of each expert before they were rounded; none where they were not.
    demand: Option<Vec<u64>>,
    /// Rows `offsets[e]..offsets[e + 1]` of the visits sorted by expert belong to expert e, (E + 1).
    pub(crate) offsets: Arc<[usize]>,
    /// Token of each visit sorted by expert, (V).
    pub(crate) tokens: Vec<u32>,
    /// Row of each visit in the sorted order, in the order of `chosen`, (V).
    pub(crate) rows: Vec<u32>,
}

impl Routing {
    /// Routes by router logits (N, R), and by a bias (R) where there is one; of equals the lower expert is chosen.
    pub(crate) fn new(logits: &Tensor, bias: Option<&[f32]>, choice: Choice) -> Result<Self> {
        let (n_tokens, routed) = logits.dims2()?;
        let logits = logits.on_host()?;
        let mut routing = Self {
            choice,
            routed,
            probabilities: Vec::with_capacity(n_tokens * routed),
            log_sums: Vec::with_capacity(n_tokens),
            chosen: Vec::new(),
            ends: Vec::with_capacity(n_tokens),
            nulls: Vec::new(),
            weights: Vec::new(),
            demand: None,
            offsets: Arc::default(),
            tokens: Vec::new(),
            rows: Vec::new(),
        };
        let rows = elements(&logits)?;
        vectorised(
            #[inline(always)]
            || {
                let mut scores = Vec::with_capacity(routed);
                for row in rows.chunks_exact(routed) {
                    routing.route(row, bias, &mut scores);
                }
            },
        );
        routing.sort();
        Ok(routing)
    }

    #[inline(always)]
    fn route(&mut self, logits: &[f32], bias: Option<&[f32]>, scores: &mut Vec<f32>) {
        let top = largest(logits);
        let first = self.probabilities.len();
        self.probabilities.resize(first + logits.len(), 0.0);
        let probabilities = &mut self.probabilities[first..];
        for (p, z) in probabilities.iter_mut().zip(logits) {
            *p = exp(z - top);
        }
        let total = sum(probabilities);
        for p in probabilities {
            *p /= total;
        }
        self.log_sums.push(top + total.ln());
        let start = self.chosen.len();
        match self.choice.most {
            Most::TopK(k) => {
                scores.clear();
                match bias {
                    Some(bias) => {
                        scores.extend(self.probabilities[first..].iter().zip(bias).map(|(p, b)| p + b));
                    }
                    None => scores.extend(logits),
                }
                for _ in 0..k {
                    self.chosen.push(best(scores, &self.chosen[start..]));
                }
            }
            Most::TopP(least) => self.reach(least, logits, first),
        }
        self.leave_nulls_out(start);
        self.weigh(start, first);
    }

    /// Weighs the visits of a token, which begin at `start`, by its probabilities, which begin at `first`.
    #[inline(always)]
    fn weigh(&mut self, start: usize, first: usize) {
        let chosen = self.chosen[start..].iter().map(|e| self.probabilities[first + *e as usize]);
        // Beside a null expert that has it all, the others may come to nothing: then they stay so.
        let divisor =
            if self.choice.renormalise { Some(chosen.clone().sum()).filter(|sum| *sum > 0.0) } else { None };
        self.weights.extend(chosen.map(|p| p / divisor.unwrap_or(1.0)));
        self.ends.push(self.chosen.len() as u32);
    }

    /// The same with the visits of each expert brought to the nearest multiple of `tile`, halves up, as long as there are tokens: first those
    /// that chose it keep it, then others get it, from the most to the least probable, the earlier of equals first.
    /// Where no expert would have a visit left, all stay as they are.
    pub(crate) fn rounded(mut self, tile: usize) -> Self {
        let (n_tokens, demand) = (self.n_tokens(), self.load());
        let nearest = |load: &u64| {
            let up = (*load as usize + tile / 2) / tile * tile;
            if up > n_tokens { n_tokens / tile * tile } else { up }
        };
        let counts: Vec<usize> = demand.iter().map(nearest).collect();
        if counts.iter().all(|count| *count == 0) {
            return self;
        }
        let mut visitors = vec![Vec::new(); n_tokens];
        let mut chose = vec![false; n_tokens];
        for (e, visits) in counts.into_iter().enumerate() {
            chose.fill(false);
            self.tokens[self.offsets[e]..self.offsets[e + 1]].iter().for_each(|n| chose[*n as usize] = true);
            let p = |n: usize| self.probabilities[n * self.routed + e];
            let mut order: Vec<usize> = (0..n_tokens).collect();
            order.sort_unstable_by(|a, b| {
                chose[*b].cmp(&chose[*a]).then(p(*b).total_cmp(&p(*a))).then(a.cmp(b))
            });
            order[..visits].iter().for_each(|n| visitors[*n].push(e as u32));
        }
        (self.chosen, self.ends, self.weights) = Default::default();
        for (n, mut experts) in visitors.into_iter().enumerate() {
            let (start, first) = (self.chosen.len(), n * self.routed);
            let p = |e: &u32| self.probabilities[first + *e as usize];
            experts.sort_by(|a, b| p(b).total_cmp(&p(a)));
            self.chosen.extend(experts);
            self.weigh(start, first);
        }
        self.sort();
        self.demand = Some(demand);
        self
    }

    /// Chooses the fewest experts whose probabilities, which begin at `first`, reach `least`.
    fn reach(&mut self, least: f64, logits: &[f32], first: usize) {
        let mut order: Vec<u32> = (0..logits.len() as u32).collect();
        order.sort_unstable_by(|a, b| logits[*b as usize].total_cmp(&logits[*a as usize]).then(a.cmp(b)));
        let mut sum = 0.0;
        for expert in order {
            self.chosen.push(expert);
            sum += f64::from(self.probabilities[first + expert as usize]);
            if sum >= least {
                return;
            }
        }
    }

    /// Drops the null experts among the choices of one token, which begin at `start`.
    fn leave_nulls_out(&mut self, start: usize) {
        if self.routed == self.choice.experts {
            return;
        }
        let (before, experts) = (self.chosen.len(), self.choice.experts);
        let mut end = start;
        for at in start..before {
            if (self.chosen[at] as usize) < experts {
                self.chosen[end] = self.chosen[at];
                end += 1;
            }
        }
        self.chosen.truncate(end);
        self.nulls.push((before - end) as u32);
    }

    /// Counting sort of the visits by expert, tokens in order within each.
    fn sort(&mut self) {
        let mut offsets = vec![0; self.choice.experts + 1];
        for expert in &self.chosen {
            offsets[*expert as usize + 1] += 1;
        }
        for e in 0..self.choice.experts {
            offsets[e + 1] += offsets[e];
        }
        let mut next = offsets.clone();
        self.tokens = vec![0; self.chosen.len()];
        self.rows = Vec::with_capacity(self.chosen.len());
        for token in 0..self.ends.len() {
            for expert in &self.chosen[self.visits(token)] {
                let row = next[*expert as usize];
                next[*expert as usize] += 1;
                self.tokens[row] = token as u32;
                self.rows.push(row as u32);
            }
        }
        self.offsets = offsets.into();
    }

    /// Number of routed tokens (N).
    pub(crate) fn n_tokens(&self) -> usize {
        self.log_sums.len()
    }

    /// Where the visits of each token end, counted over all tokens in order.
    pub(crate) fn ends(&self) -> &[u32] {
        &self.ends
    }

    /// The visits of a token, counted over all tokens in order.
    pub(crate) fn visits(&self, token: usize) -> Range<usize> {
        let start = token.checked_sub(1).map_or(0, |before| self.ends[before]);
        start as usize..self.ends[token] as usize
    }

    /// Choices of null experts.
    pub(crate) fn null_visits(&self) -> u64 {
        self.nulls.iter().map(|n| u64::from(*n)).sum()
    }

    /// Visits of each expert.
    pub(crate) fn load(&self) -> Vec<u64> {
        self.offsets.windows(2).map(|run| (run[1] - run[0]) as u64).collect()
    }

    /// Visits of each expert as the router chose them, before they were rounded.
    pub(crate) fn demand(&self) -> Vec<u64> {
        self.demand.clone().unwrap_or_else(|| self.load())
    }

    /// Mean entropy of the router's distribution over experts, nats.
    pub(crate) fn entropy(&self) -> f64 {
        self.probabilities.iter().map(surprise).sum::<f64>() / self.n_tokens() as f64
    }

    /// The use of the experts by the tokens `rows`.
    pub(crate) fn of_rows(&self, rows: Range<usize>) -> GroupLoad {
        let mut tokens_per_expert = vec![0; self.choice.experts];
        for expert in rows.clone().flat_map(|token| &self.chosen[self.visits(token)]) {
            tokens_per_expert[*expert as usize] += 1;
        }
        let nulls = if self.nulls.is_empty() { &[][..] } else { &self.nulls[rows.clone()] };
        let probabilities = &self.probabilities[rows.start * self.routed..rows.end * self.routed];
        GroupLoad {
            tokens: rows.len() as u64,
            tokens_per_expert,
            null_visits: nulls.iter().map(|n| u64::from(*n)).sum(),
            router_entropy: probabilities.iter().map(surprise).sum(),
        }
    }

    /// R · Σ f·P.
    pub(crate) fn balance(&self) -> f64 {
        let (shares, n_tokens) = (self.shares(), self.n_tokens() as f64);
        let rows = self.probabilities.chunks_exact(self.routed);
        let along = |row: &[f32]| row.iter().zip(&shares).map(|(p, f)| f64::from(*p) * f).sum::<f64>();
        self.routed as f64 * rows.map(along).sum::<f64>() / n_tokens
    }

    /// Mean of (log Σ e^z)².
    pub(crate) fn z_loss(&self) -> f64 {
        self.log_sums.iter().map(|z| f64::from(*z).powi(2)).sum::<f64>() / self.n_tokens() as f64
    }

    /// Share of the choices of each expert; null experts, which are all alike, share theirs evenly.
    fn shares(&self) -> Vec<f64> {
        let nulls = self.null_visits() as f64;
        let choices = self.chosen.len() as f64 + nulls;
        let mut shares: Vec<f64> = self.load().into_iter().map(|load| load as f64 / choices).collect();
        shares.resize(self.routed, nulls / (self.routed - self.choice.experts) as f64 / choices);
        shares
    }
}

/// The `bias` of experts after a step with so many visits of each: up by `rate` below the mean load, down above it.
pub(crate) fn evened(bias: &[f32], visits: &[u64], rate: f32) -> Vec<f32> {
    let total: u64 = visits.iter().sum();
    let towards = |visits: &u64| match (visits * bias.len() as u64).cmp(&total) {
        Ordering::Less => rate,
        Ordering::Equal => 0.0,
        Ordering::Greater => -rate,
    };
    bias.iter().zip(visits).map(|(bias, visits)| bias + towards(visits)).collect()
}

/// What a probability adds to an entropy, nats.
fn surprise(p: &f32) -> f64 {
    if *p > 0.0 { -f64::from(*p) * f64::from(*p).ln() } else { 0.0 }
}

/// The expert with the largest score, the first of equals, that is not among `taken`.
#[inline(always)]
fn best(scores: &[f32], taken: &[u32]) -> u32 {
    let mut best: Option<(u32, f32)> = None;
    for (e, score) in (0..).zip(scores) {
        if best.is_none_or(|(_, most)| score.total_cmp(&most).is_gt()) && !taken.contains(&e) {
            best = Some((e, *score));
        }
    }
    best.expect("a token visits no more experts than there are").0
}

/// The weights (V) of the visits, from router logits (N, R).
pub(crate) fn router_weights(tape: &mut Tape, logits: &Node, routing: Arc<Routing>) -> Result<Node> {
    let weights = tensor(routing.weights.clone(), routing.weights.len())?.beside(&logits.value)?;
    Ok(tape.push(weights, [logits], move |d_weights| {
        Ok([weights_back(&routing, &d_weights.to_vec()?)?.beside(d_weights)?])
    }))
}

/// `balance` · balance loss + `z` · z-loss, a scalar from router logits (N, R).
pub(crate) fn router_loss(
    tape: &mut Tape,
    logits: &Node,
    routing: Arc<Routing>,
    balance: f64,
    z: f64,
) -> Result<Node> {
    let loss = tensor(vec![(balance * routing.balance() + z * routing.z_loss()) as f32], ())?;
    let place = logits.value.clone();
    Ok(tape
        .push(loss, [logits], move |d_loss| Ok([loss_back(&routing, balance, z, d_loss)?.beside(&place)?])))
}

/// Renormalised: ∂z_i = w_i (∂w_i − Σ w∂w) for the chosen i. Otherwise ∂z_j = [j chosen] p_j ∂w_j − p_j Σ p∂w.
fn weights_back(routing: &Routing, d_weights: &[f32]) -> Result<Tensor> {
    let (routed, renormalise) = (routing.routed, routing.choice.renormalise);
    let mut d_logits = vec![0.0; routing.probabilities.len()];
    for (n, d_row) in d_logits.chunks_exact_mut(routed).enumerate() {
        let visits = routing.visits(n);
        let (chosen, weights) = (&routing.chosen[visits.clone()], &routing.weights[visits.clone()]);
        let d_weights = &d_weights[visits];
        let along: f32 = weights.iter().zip(d_weights).map(|(w, d)| w * d).sum();
        if !renormalise {
            let probabilities = &routing.probabilities[n * routed..][..routed];
            d_row.iter_mut().zip(probabilities).for_each(|(d, p)| *d = -p * along);
        }
        for ((e, w), d) in chosen.iter().zip(weights).zip(d_weights) {
            d_row[*e as usize] += w * if renormalise { d - along } else { *d };
        }
    }
    tensor(d_logits, (routing.n_tokens(), routed))
}

/// ∂z_j = balance·R/N · p_j (f_j − Σ p f) + z·2/N · log Σ e^z · p_j.
fn loss_back(routing: &Routing, balance: f64, z: f64, d_loss: &Tensor) -> Result<Tensor> {
    let per_token = f64::from(d_loss.to_scalar()?) / routing.n_tokens() as f64;
    let (balance, z) = (balance * routing.routed as f64 * per_token, 2.0 * z * per_token);
    let shares = routing.shares();
    let mut d_logits = Vec::with_capacity(routing.probabilities.len());
    for (row, log_sum) in routing.probabilities.chunks_exact(routing.routed).zip(&routing.log_sums) {
        let along: f64 = row.iter().zip(&shares).map(|(p, f)| f64::from(*p) * f).sum();
        let of = |(p, f): (&f32, &f64)| f64::from(*p) * (balance * (f - along) + z * f64::from(*log_sum));
        d_logits.extend(row.iter().zip(&shares).map(|pair| of(pair) as f32));
    }
    tensor(d_logits, (routing.n_tokens(), routing.routed))
}
