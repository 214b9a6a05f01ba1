//! The loss of a model on one document, in plain f64 loops, as a function of its weights.
//!
//! Which experts a token visits, and by how much rounding moves a weight or an activation, is noted on the first pass and
//! repeated on later ones: gradients take both as given.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use flow_kernels::plain::normal;
use flow_model::names::{self, FeedForward, Layer, Swiglu};
use flow_model::{Activation, Checkpoint, Config, Rope, ternary};

/// Weights by name.
pub(crate) type Weights = BTreeMap<String, Vec<f64>>;

type Rows = Vec<Vec<f64>>;

/// A model's shape, one document, and what the first pass noted.
pub(crate) struct Plain {
    config: Config,
    tokens: Vec<u32>,
    /// First token that counts.
    scored_from: usize,
    notes: RefCell<Vec<Vec<f64>>>,
    at: Cell<usize>,
}

impl Plain {
    /// `tokens` with the loss counted from `scored_from` on, and the weights of `model`.
    pub(crate) fn new(model: &Checkpoint, tokens: Vec<u32>, scored_from: usize) -> (Self, Weights) {
        let wide = |data: &[f32]| data.iter().map(|w| f64::from(*w)).collect();
        let weights = model.tensors.iter().map(|(name, tensor)| (name.clone(), wide(&tensor.data))).collect();
        let (notes, at) = (RefCell::default(), Cell::new(0));
        (Self { config: model.config.clone(), tokens, scored_from, notes, at }, weights)
    }

    /// Mean cross-entropy and router losses, in nats.
    pub(crate) fn loss(&self, weights: &Weights) -> f64 {
        self.at.set(0);
        let config = &self.config;
        let inputs = &self.tokens[..self.tokens.len() - 1];
        let scale = if config.block.gemma_norms { (config.hidden_size as f64).sqrt() } else { 1.0 };
        let embed = |token: &u32| -> Vec<f64> {
            let row = row(&weights[names::EMBEDDING], config.hidden_size, *token as usize);
            row.iter().map(|x| x * scale).collect()
        };
        let mut stream: Rows = inputs.iter().map(embed).collect();
        let mut losses = 0.0;
        for i in 0..config.num_hidden_layers {
            let layer = names::layer(config, i);
            let normed = self.norm(weights, &layer.attention_norm, &stream);
            let mixed = self.attentions(weights, (i, &layer), &normed);
            add(&mut stream, &self.post_norm(weights, layer.attention_post_norm.as_ref(), mixed));
            let normed = match &layer.feed_forward_norm {
                Some(name) => self.norm(weights, name, &stream),
                None => normed,
            };
            let (out, router_loss) = self.feed_forward(weights, &layer.feed_forward, &normed);
            add(&mut stream, &self.post_norm(weights, layer.feed_forward_post_norm.as_ref(), out));
            losses += router_loss / config.layers_with_experts().count().max(1) as f64;
        }
        let head = if config.tie_word_embeddings { names::EMBEDDING } else { names::HEAD };
        let mut logits = times(&weights[head], &self.norm(weights, names::FINAL_NORM, &stream));
        if let Some(cap) = config.block.final_logit_softcapping {
            logits.iter_mut().flatten().for_each(|x| *x = cap * (*x / cap).tanh());
        }
        let scored = self.scored_from..self.tokens.len();
        let surprise = |at: usize| -softmax(&logits[at - 1])[self.tokens[at] as usize].ln();
        scored.clone().map(surprise).sum::<f64>() / scored.len() as f64 + losses
    }

    /// What the first pass computes at this place.
    fn noted(&self, compute: impl FnOnce() -> Vec<f64>) -> Vec<f64> {
        let at = self.at.replace(self.at.get() + 1);
        if self.notes.borrow().len() == at {
            self.notes.borrow_mut().push(compute());
        }
        self.notes.borrow()[at].clone()
    }

    /// `x` moved by what rounding moved it on the first pass.
    fn rounded(&self, x: &[f64], round: impl FnOnce(&[f64]) -> Vec<f64>) -> Vec<f64> {
        let offsets = self.noted(|| round(x).iter().zip(x).map(|(y, x)| y - x).collect());
        x.iter().zip(offsets).map(|(x, offset)| x + offset).collect()
    }

    fn norm(&self, weights: &Weights, name: &str, rows: &Rows) -> Rows {
        rows.iter().map(|x| self.norm_one(&weights[name], x)).collect()
    }

    fn post_norm(&self, weights: &Weights, name: Option<&String>, rows: Rows) -> Rows {
        if let Some(name) = name { self.norm(weights, name, &rows) } else { rows }
    }

    fn norm_one(&self, scale: &[f64], x: &[f64]) -> Vec<f64> {
        let mean = x.iter().map(|x| x * x).sum::<f64>() / x.len() as f64;
        let factor = (mean + self.config.rms_norm_eps).sqrt().recip();
        let offset = if self.config.block.gemma_norms { 1.0 } else { 0.0 };
        x.iter().zip(scale).map(|(x, w)| x * (offset + w) * factor).collect()
    }

    /// Each stretch of a row as long as the scale.
    fn norm_stretches(&self, scale: &[f64], rows: Rows) -> Rows {
        let norm = |row: &Vec<f64>| row.chunks(scale.len()).flat_map(|x| self.norm_one(scale, x)).collect();
        rows.iter().map(norm).collect()
    }

    fn attentions(&self, weights: &Weights, (i, layer): (usize, &Layer), x: &Rows) -> Rows {
        let one = |j: usize| self.attention(weights, (i, layer), j, x);
        let Some(router) = &layer.attention_router else { return one(0) };
        let experts = self.config.block.attention_experts.expect("attention experts");
        let share = |logits: &Vec<f64>| -> Vec<f64> {
            let p = softmax(logits);
            let counts = self.noted(|| {
                let larger = |j: usize| p.iter().filter(|other| **other > p[j]).count();
                let kept = experts.experts_per_token.unwrap_or(p.len());
                (0..p.len()).map(|j| f64::from(larger(j) < kept)).collect()
            });
            p.iter().zip(counts).map(|(p, counts)| p * counts).collect()
        };
        let shares: Rows = times(&weights[router], x).iter().map(share).collect();
        let mut sum = vec![vec![0.0; self.config.hidden_size]; x.len()];
        for j in 0..layer.queries.len() {
            let mut out = one(j);
            out.iter_mut().zip(&shares).for_each(|(row, share)| row.iter_mut().for_each(|y| *y *= share[j]));
            add(&mut sum, &out);
        }
        sum
    }

    fn attention(&self, weights: &Weights, (i, layer): (usize, &Layer), j: usize, x: &Rows) -> Rows {
        let (config, block, dim) = (&self.config, &self.config.block, self.config.head_dim);
        let window = block.window(i);
        let of_window = block.sliding.as_ref().and_then(|sliding| sliding.rope.clone());
        let rope = of_window.filter(|_| window.is_some()).unwrap_or(config.rope());
        let root = block.query_pre_attn_scalar.unwrap_or(dim as f64).sqrt();
        let group = config.num_attention_heads / config.num_key_value_heads;
        let turned = |rows: Rows| -> Rows {
            rows.iter()
                .enumerate()
                .map(|(p, row)| row.chunks(dim).flat_map(|head| self.turn(&rope, p, head)).collect())
                .collect()
        };
        let mut query = linear(weights, &layer.queries[j], x);
        let mut key = linear(weights, &layer.keys[j % layer.keys.len()], x);
        if let Some([of_queries, of_keys]) = &layer.qk_norms {
            query = self.norm_stretches(&weights[of_queries], query);
            key = self.norm_stretches(&weights[of_keys], key);
        }
        let mut value = linear(weights, &layer.values[j % layer.values.len()], x);
        if let Some(most) = block.clip_qkv {
            let all = [&mut query, &mut key, &mut value].into_iter().flatten();
            all.for_each(|row| row.iter_mut().for_each(|x| *x = x.clamp(-most, most)));
        }
        let (query, key) = (turned(query), turned(key));
        let head = |p: usize, h: usize| -> Vec<f64> {
            let at = h / group * dim..(h / group + 1) * dim;
            let seen = window.map_or(0, |window| (p + 1).saturating_sub(window))..p + 1;
            let score = |s: usize| {
                let score = dot(&query[p][h * dim..][..dim], &key[s][at.clone()]) / root;
                block.attn_logit_softcapping.map_or(score, |cap| cap * (score / cap).tanh())
            };
            let shares = softmax(&seen.clone().map(score).collect::<Vec<_>>());
            at.clone()
                .map(|c| shares.iter().zip(&value[seen.clone()]).map(|(share, v)| share * v[c]).sum())
                .collect()
        };
        let mixed = |p: usize| (0..config.num_attention_heads).flat_map(|h| head(p, h)).collect();
        linear(weights, &layer.outputs[j], &(0..x.len()).map(mixed).collect())
    }

    fn turn(&self, rope: &Rope, position: usize, head: &[f64]) -> Vec<f64> {
        let half = head.len() / 2;
        let frequencies = rope.frequencies(head.len(), self.tokens.len());
        let turned = |i: usize| {
            let angle = position as f64 * frequencies[i % half];
            let other = if i < half { -head[i + half] } else { head[i - half] };
            rope.amplitude() * (head[i] * angle.cos() + other * angle.sin())
        };
        (0..head.len()).map(turned).collect()
    }

    /// What the block gives, and its weighted router losses.
    fn feed_forward(&self, weights: &Weights, names: &FeedForward, x: &Rows) -> (Rows, f64) {
        let (router, router_bias, experts, shared) = match names {
            FeedForward::Dense(block) => return (self.gated(weights, block, x), 0.0),
            FeedForward::Moe { router, router_bias, experts, shared } => {
                (router, router_bias, experts, shared)
            }
        };
        let moe = self.config.moe.as_ref().expect("experts");
        let logits = times(&weights[router], x);
        let (mut out, mut visits) = (Rows::new(), vec![0.0; self.config.router_rows()]);
        for (x, logits) in x.iter().zip(&logits) {
            let p = softmax(logits);
            let chosen = self.noted(|| {
                let mut order: Vec<usize> = (0..p.len()).collect();
                let score = |e: usize| p[e] + router_bias.as_ref().map_or(0.0, |bias| weights[bias][e]);
                order.sort_by(|a, b| score(*b).total_cmp(&score(*a)));
                let reached = |p_least| {
                    (1..p.len()).find(|n| order[..*n].iter().map(|e| p[*e]).sum::<f64>() >= p_least)
                };
                let by_sum = self.config.block.experts_top_p.map(|least| reached(least).unwrap_or(p.len()));
                order[..by_sum.unwrap_or(moe.experts_per_token)].iter().map(|e| *e as f64).collect()
            });
            let real = || chosen.iter().map(|e| *e as usize).filter(|e| *e < experts.len());
            let sum: f64 = real().map(|e| p[e]).sum();
            chosen.iter().for_each(|e| visits[*e as usize] += 1.0);
            let mut y = vec![vec![0.0; x.len()]];
            for e in real() {
                let share = if moe.norm_topk_prob { p[e] / sum } else { p[e] };
                add(&mut y, &self.expert(weights, &experts[e], x).map(|y| y * share).into());
            }
            out.append(&mut y);
        }
        if let Some((block, gate)) = shared {
            let mut all = self.gated(weights, block, x);
            if let Some(gate) = gate {
                let opened = times(&weights[gate], x);
                all.iter_mut()
                    .zip(opened)
                    .for_each(|(row, z)| row.iter_mut().for_each(|y| *y /= 1.0 + (-z[0]).exp()));
            }
            add(&mut out, &all);
        }
        let n = x.len() as f64;
        let mean = |e: usize| logits.iter().map(|logits| softmax(logits)[e]).sum::<f64>() / n;
        let (computing, null) = visits.split_at(experts.len());
        let of_null = null.iter().sum::<f64>() / null.len() as f64;
        let share = |e: usize| computing.get(e).unwrap_or(&of_null) / visits.iter().sum::<f64>();
        let rows = visits.len();
        let balance: f64 = (0..rows).map(|e| rows as f64 * share(e) * mean(e)).sum();
        let z =
            logits.iter().map(|logits| logits.iter().map(|z| z.exp()).sum::<f64>().ln().powi(2)).sum::<f64>()
                / n;
        (out, moe.router_aux_loss_coef * balance + moe.router_z_loss_coef * z)
    }

    fn gated(&self, weights: &Weights, names: &Swiglu, x: &Rows) -> Rows {
        let (gate, up) = (linear(weights, &names.gate, x), linear(weights, &names.up, x));
        let inner = gate.iter().zip(&up).map(|(gate, up)| self.activated(gate, up)).collect();
        linear(weights, &names.down, &inner)
    }

    fn activated(&self, gate: &[f64], up: &[f64]) -> Vec<f64> {
        let share = |g: f64| match self.config.block.activation {
            Activation::Silu => 1.0 / (1.0 + (-g).exp()),
            Activation::GeluTanh => {
                0.5 + 0.5 * ((2.0 / std::f64::consts::PI).sqrt() * (g + 0.044_715 * g.powi(3))).tanh()
            }
            Activation::Gelu => normal(g),
        };
        gate.iter().zip(up).map(|(g, u)| g * share(*g) * u).collect()
    }

    /// One routed expert on one row.
    fn expert(&self, weights: &Weights, names: &Swiglu, x: &[f64]) -> Row {
        if self.config.block.ternary_experts.is_none() {
            return Row(self.gated(weights, names, &vec![x.to_vec()]).remove(0));
        }
        let product = |name: &str, x: &[f64]| {
            let narrow = |w: &[f64]| -> Vec<f32> { w.iter().map(|w| *w as f32).collect() };
            let quantise = |w: &[f64]| ternary::quantised(&narrow(w)).into_iter().map(f64::from).collect();
            let weight = self.rounded(&weights[name], quantise);
            let round = |x: &[f64]| {
                let top = x.iter().fold(0.0f64, |top, x| top.max(x.abs()));
                x.iter().map(|x| (x * 127.0 / top).round_ties_even() * top / 127.0).collect()
            };
            times(&weight, &vec![self.rounded(x, round)]).remove(0)
        };
        let (gate, up) = (product(&names.gate, x), product(&names.up, x));
        Row(product(&names.down, &self.activated(&gate, &up)))
    }
}

/// One row of numbers.
struct Row(Vec<f64>);

impl Row {
    fn map(self, f: impl Fn(f64) -> f64) -> Self {
        Self(self.0.into_iter().map(f).collect())
    }
}

impl From<Row> for Rows {
    fn from(row: Row) -> Self {
        vec![row.0]
    }
}

fn row(matrix: &[f64], width: usize, at: usize) -> &[f64] {
    &matrix[at * width..][..width]
}

/// Each row of `x` times the transposed matrix `name`, plus its bias where it has one.
fn linear(weights: &Weights, name: &str, x: &Rows) -> Rows {
    let mut out = times(&weights[name], x);
    if let Some(bias) = weights.get(&names::bias(name)) {
        out.iter_mut().for_each(|row| row.iter_mut().zip(bias).for_each(|(y, b)| *y += b));
    }
    out
}

/// Each row of `x` times the transposed matrix.
fn times(matrix: &[f64], x: &Rows) -> Rows {
    x.iter().map(|x| matrix.chunks(x.len()).map(|row| dot(row, x)).collect()).collect()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn add(to: &mut Rows, rows: &Rows) {
    to.iter_mut().zip(rows).for_each(|(to, row)| to.iter_mut().zip(row).for_each(|(to, x)| *to += x));
}

fn softmax(x: &[f64]) -> Vec<f64> {
    let top = x.iter().copied().fold(f64::MIN, f64::max);
    let e: Vec<f64> = x.iter().map(|x| (x - top).exp()).collect();
    let sum: f64 = e.iter().sum();
    e.iter().map(|e| e / sum).collect()
}
