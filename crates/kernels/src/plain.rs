//! What each loop computes, one number at a time in f64: the definitions that the fast loops are held to.

use crate::layers::Activation;
use crate::select::Rules;
use crate::shape::Shape;

/// `x · Wᵀ + bias` of one row; `weights` is row-major (outputs, inputs).
pub fn product(x: &[f32], weights: &[f32], bias: Option<&[f32]>) -> Vec<f64> {
    let sum = |row: &[f32]| row.iter().zip(x).map(|(w, x)| f64::from(*w) * f64::from(*x)).sum::<f64>();
    let rows = weights.chunks_exact(x.len()).enumerate();
    rows.map(|(o, row)| sum(row) + bias.map_or(0.0, |bias| f64::from(bias[o]))).collect()
}

/// `x / sqrt(mean(x²) + eps) * scale`.
pub fn rms_norm(x: &[f32], scale: &[f32], eps: f32) -> Vec<f64> {
    let mean = x.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>() / x.len() as f64;
    let factor = 1.0 / (mean + f64::from(eps)).sqrt();
    x.iter().zip(scale).map(|(x, scale)| f64::from(*x) * factor * f64::from(*scale)).collect()
}

/// `activation(gate) * up`.
pub fn gate(activation: Activation, gate: f32, up: f32) -> f64 {
    let x = f64::from(gate);
    let active = match activation {
        Activation::Silu => x / (1.0 + (-x).exp()),
        Activation::GeluTanh => 0.5 * x * (1.0 + (0.797_884_560_8 * (x + 0.044_715 * x.powi(3))).tanh()),
        Activation::Gelu => x * normal(x),
    };
    active * f64::from(up)
}

/// The normal distribution function, by its Taylor series; held at -6 and 6.
pub fn normal(x: f64) -> f64 {
    let (held, mut sum) = (x.clamp(-6.0, 6.0), 0.0);
    let mut term = held;
    for n in 1..200 {
        sum += term / f64::from(2 * n - 1);
        term *= -held * held / f64::from(2 * n);
    }
    0.5 + sum / std::f64::consts::TAU.sqrt()
}

/// `cap * tanh(x / cap)`.
pub fn soft_cap(x: f32, cap: f32) -> f64 {
    f64::from(cap) * (f64::from(x) / f64::from(cap)).tanh()
}

/// `e^x / Σ e^x`.
pub fn softmax(x: impl IntoIterator<Item = f64>) -> Vec<f64> {
    let x: Vec<f64> = x.into_iter().collect();
    let top = x.iter().copied().fold(f64::MIN, f64::max);
    let total: f64 = x.iter().map(|x| (x - top).exp()).sum();
    x.iter().map(|x| (x - top).exp() / total).collect()
}

/// What the query heads of a row at position `keys.len() - 1` attend to: `query` is (query heads, head_dim), each of `keys` and
/// `values` a position's (key heads, head_dim). The last `window` positions are seen.
pub fn attend(
    shape: Shape,
    window: usize,
    query: &[f32],
    keys: &[Vec<f32>],
    values: &[Vec<f32>],
) -> Vec<f64> {
    let dim = shape.heads.head_dim;
    let group = shape.query_heads / shape.heads.key_value_heads;
    let first = keys.len().saturating_sub(window);
    let mut out = vec![0.0; shape.query_len()];
    for key in 0..shape.heads.key_value_heads {
        for head in (0..group).map(|q| shape.query_head(key, q)) {
            let query = &query[head * dim..][..dim];
            let score = |position: usize| {
                let [score] = product(query, &keys[position][key * dim..][..dim], None)[..] else {
                    return 0.0;
                };
                let scaled = score * f64::from(shape.scale);
                shape.cap.map_or(scaled, |cap| f64::from(cap) * (scaled / f64::from(cap)).tanh())
            };
            for (p, weight) in softmax((first..keys.len()).map(score)).into_iter().enumerate() {
                let value = &values[first + p][key * dim..][..dim];
                out[head * dim..][..dim]
                    .iter_mut()
                    .zip(value)
                    .for_each(|(to, v)| *to += weight * f64::from(*v));
            }
        }
    }
    out
}

/// The probability of each token to be chosen by `rules`, of which `temperature` is above 0; `seen` are the tokens, each once, that
/// the penalty is about.
pub fn distribution(scores: &[f32], rules: &Rules, seen: &[u32]) -> Vec<f64> {
    let mut scores = scores.to_vec();
    for &token in seen {
        let score = &mut scores[token as usize];
        let factor = rules.repetition_penalty as f32;
        *score *= if *score > 0.0 { 1.0 / factor } else { factor };
    }
    let top = scores.iter().copied().fold(f32::MIN, f32::max);
    let weight = |score: &f32| (f64::from(score - top) / rules.temperature).exp();
    let mut left: Vec<(usize, f64)> = scores.iter().map(weight).enumerate().collect();
    left.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    if rules.top_k > 0 {
        left.truncate(rules.top_k);
    }
    let total: f64 = left.iter().map(|(_, weight)| weight).sum();
    let mut before = 0.0;
    left.retain(|(_, weight)| {
        before += weight;
        before - weight < rules.top_p * total
    });
    left.retain(|(_, weight)| *weight >= rules.min_p);
    let total: f64 = left.iter().map(|(_, weight)| weight).sum();
    let mut out = vec![0.0; scores.len()];
    left.iter().for_each(|&(token, weight)| out[token] = weight / total);
    out
}
