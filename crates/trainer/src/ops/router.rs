//! Top-k routing: which experts a token visits, with which weights, and the losses that keep the router healthy.
//!
//! The choice itself is not differentiable; the weights of the chosen experts and the losses are, with respect to the
//! router logits z (N, E). With p = softmax(z):
//!
//! - weights: the K largest p, divided by their sum when renormalised (which equals a softmax over the K logits);
//! - balance: E · Σ_e f_e · P_e, f_e the share of the N·K visits that went to e (a constant), P_e the mean of p_e; it is
//!   1 when the load is even;
//! - z-loss: mean of (log Σ e^z)².

use std::ops::Range;
use std::sync::Arc;

use candle_core::{Result, Tensor};

use super::{elements, tensor};
use crate::simd::{exp, largest, sum, vectorised};
use crate::tape::{Node, Tape};

/// The routes of N tokens in one layer.
#[derive(Debug)]
pub(crate) struct Routing {
    /// Experts (E).
    pub(crate) experts: usize,
    /// Experts per token (K).
    pub(crate) per_token: usize,
    renormalise: bool,
    /// (N, E).
    probabilities: Vec<f32>,
    /// log Σ e^z, (N).
    log_sums: Vec<f32>,
    /// Experts of each token from the most to the least likely, (N, K).
    chosen: Vec<u32>,
    /// Weights in the order of `chosen`, (N, K).
    weights: Vec<f32>,
    /// Rows `offsets[e]..offsets[e + 1]` of the visits sorted by expert belong to expert e, (E + 1).
    pub(crate) offsets: Arc<[usize]>,
    /// Token of each visit sorted by expert, (N·K).
    pub(crate) tokens: Vec<u32>,
    /// Row of each visit in the sorted order, (N, K).
    pub(crate) rows: Vec<u32>,
}

impl Routing {
    /// Routes by router logits (N, E); equal logits go to the lower expert.
    pub(crate) fn new(logits: &Tensor, per_token: usize, renormalise: bool) -> Result<Self> {
        let (n_tokens, experts) = logits.dims2()?;
        let mut routing = Self {
            experts,
            per_token,
            renormalise,
            probabilities: Vec::with_capacity(n_tokens * experts),
            log_sums: Vec::with_capacity(n_tokens),
            chosen: Vec::with_capacity(n_tokens * per_token),
            weights: Vec::with_capacity(n_tokens * per_token),
            offsets: Arc::default(),
            tokens: Vec::new(),
            rows: Vec::new(),
        };
        let rows = elements(logits)?;
        vectorised(
            #[inline(always)]
            || {
                for row in rows.chunks_exact(experts) {
                    routing.route(row);
                }
            },
        );
        routing.sort();
        Ok(routing)
    }

    #[inline(always)]
    fn route(&mut self, logits: &[f32]) {
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
        let visits = self.chosen.len()..self.chosen.len() + self.per_token;
        for _ in visits.clone() {
            self.chosen.push(best(logits, &self.chosen[visits.start..]));
        }
        let chosen = self.chosen[visits].iter().map(|e| self.probabilities[first + *e as usize]);
        let divisor = if self.renormalise { chosen.clone().sum() } else { 1.0 };
        self.weights.extend(chosen.map(|p| p / divisor));
    }

    /// Counting sort of the visits by expert, tokens in order within each.
    fn sort(&mut self) {
        let mut offsets = vec![0; self.experts + 1];
        for expert in &self.chosen {
            offsets[*expert as usize + 1] += 1;
        }
        for e in 0..self.experts {
            offsets[e + 1] += offsets[e];
        }
        let mut next = offsets.clone();
        self.tokens = vec![0; self.chosen.len()];
        self.rows = Vec::with_capacity(self.chosen.len());
        for (visit, expert) in self.chosen.iter().enumerate() {
            let row = next[*expert as usize];
            next[*expert as usize] += 1;
            self.tokens[row] = (visit / self.per_token) as u32;
            self.rows.push(row as u32);
        }
        self.offsets = offsets.into();
    }

    /// Number of routed tokens (N).
    pub(crate) fn n_tokens(&self) -> usize {
        self.log_sums.len()
    }

    /// Visits of each expert.
    pub(crate) fn load(&self) -> Vec<u64> {
        self.offsets.windows(2).map(|run| (run[1] - run[0]) as u64).collect()
    }

    /// Mean entropy of the router's distribution over experts, nats.
    pub(crate) fn entropy(&self) -> f64 {
        self.probabilities.iter().map(surprise).sum::<f64>() / self.n_tokens() as f64
    }

    /// Visits of each expert by the tokens `rows`, and the entropy of the router's distribution summed over these, nats.
    pub(crate) fn of_rows(&self, rows: Range<usize>) -> (Vec<u64>, f64) {
        let mut visits = vec![0; self.experts];
        let chosen = &self.chosen[rows.start * self.per_token..rows.end * self.per_token];
        chosen.iter().for_each(|expert| visits[*expert as usize] += 1);
        let probabilities = &self.probabilities[rows.start * self.experts..rows.end * self.experts];
        (visits, probabilities.iter().map(surprise).sum())
    }

    /// E · Σ f·P.
    pub(crate) fn balance(&self) -> f64 {
        let (shares, n_tokens) = (self.shares(), self.n_tokens() as f64);
        let rows = self.probabilities.chunks_exact(self.experts);
        let along = |row: &[f32]| row.iter().zip(&shares).map(|(p, f)| f64::from(*p) * f).sum::<f64>();
        self.experts as f64 * rows.map(along).sum::<f64>() / n_tokens
    }

    /// Mean of (log Σ e^z)².
    pub(crate) fn z_loss(&self) -> f64 {
        self.log_sums.iter().map(|z| f64::from(*z).powi(2)).sum::<f64>() / self.n_tokens() as f64
    }

    /// Share of the visits of each expert.
    fn shares(&self) -> Vec<f64> {
        let visits = self.chosen.len() as f64;
        self.load().into_iter().map(|load| load as f64 / visits).collect()
    }
}

/// What a probability adds to an entropy, nats.
fn surprise(p: &f32) -> f64 {
    if *p > 0.0 { -f64::from(*p) * f64::from(*p).ln() } else { 0.0 }
}

/// The expert with the largest logit, the first of equals, that is not among `taken`.
#[inline(always)]
fn best(logits: &[f32], taken: &[u32]) -> u32 {
    let mut best: Option<(u32, f32)> = None;
    for (e, logit) in (0..).zip(logits) {
        if best.is_none_or(|(_, most)| logit.total_cmp(&most).is_gt()) && !taken.contains(&e) {
            best = Some((e, *logit));
        }
    }
    best.expect("a token visits no more experts than there are").0
}

/// The weights (N, K) of the chosen experts, from router logits (N, E).
pub(crate) fn router_weights(tape: &mut Tape, logits: &Node, routing: Arc<Routing>) -> Result<Node> {
    let weights = tensor(routing.weights.clone(), (routing.n_tokens(), routing.per_token))?;
    Ok(tape.push(weights, [logits], move |d_weights| Ok([weights_back(&routing, d_weights)?])))
}

/// `balance` · balance loss + `z` · z-loss, a scalar from router logits (N, E).
pub(crate) fn router_loss(
    tape: &mut Tape,
    logits: &Node,
    routing: Arc<Routing>,
    balance: f64,
    z: f64,
) -> Result<Node> {
    let loss = tensor(vec![(balance * routing.balance() + z * routing.z_loss()) as f32], ())?;
    Ok(tape.push(loss, [logits], move |d_loss| Ok([loss_back(&routing, balance, z, d_loss)?])))
}

/// Renormalised: ∂z_i = w_i (∂w_i − Σ w∂w) for the chosen i. Otherwise ∂z_j = [j chosen] p_j ∂w_j − p_j Σ p∂w.
fn weights_back(routing: &Routing, d_weights: &Tensor) -> Result<Tensor> {
    let (experts, per_token) = (routing.experts, routing.per_token);
    let mut d_logits = vec![0.0; routing.probabilities.len()];
    let rows = elements(d_weights)?;
    for (n, (d_row, d_weights)) in
        d_logits.chunks_exact_mut(experts).zip(rows.chunks_exact(per_token)).enumerate()
    {
        let visits = n * per_token..(n + 1) * per_token;
        let (chosen, weights) = (&routing.chosen[visits.clone()], &routing.weights[visits]);
        let along: f32 = weights.iter().zip(d_weights).map(|(w, d)| w * d).sum();
        if !routing.renormalise {
            let probabilities = &routing.probabilities[n * experts..][..experts];
            d_row.iter_mut().zip(probabilities).for_each(|(d, p)| *d = -p * along);
        }
        for ((e, w), d) in chosen.iter().zip(weights).zip(d_weights) {
            d_row[*e as usize] += w * if routing.renormalise { d - along } else { *d };
        }
    }
    tensor(d_logits, (routing.n_tokens(), experts))
}

/// ∂z_j = balance·E/N · p_j (f_j − Σ p f) + z·2/N · log Σ e^z · p_j.
fn loss_back(routing: &Routing, balance: f64, z: f64, d_loss: &Tensor) -> Result<Tensor> {
    let per_token = f64::from(d_loss.to_scalar::<f32>()?) / routing.n_tokens() as f64;
    let (balance, z) = (balance * routing.experts as f64 * per_token, 2.0 * z * per_token);
    let shares = routing.shares();
    let mut d_logits = Vec::with_capacity(routing.probabilities.len());
    for (row, log_sum) in routing.probabilities.chunks_exact(routing.experts).zip(&routing.log_sums) {
        let along: f64 = row.iter().zip(&shares).map(|(p, f)| f64::from(*p) * f).sum();
        let of = |(p, f): (&f32, &f64)| f64::from(*p) * (balance * (f - along) + z * f64::from(*log_sum));
        d_logits.extend(row.iter().zip(&shares).map(|pair| of(pair) as f32));
    }
    tensor(d_logits, (routing.n_tokens(), routing.experts))
}
