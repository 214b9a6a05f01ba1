//! What the engine draws is distributed as the model's scores say: 100,000 draws by each filter against the exact probabilities.

mod common;

use common::{dense, generate, random, reference};
use flow_sampler::{Engine, Params, Prompt, Request};

const DRAWS: u32 = 100_000;
const PROMPT: [u32; 5] = [3, 141, 59, 26, 5];

/// The probabilities of the next token by definition, in f64: scores by falling order, one filter after the other.
fn exact(scores: &[f64], params: &Params) -> Vec<f64> {
    let top = scores.iter().copied().fold(f64::MIN, f64::max);
    let mut left: Vec<(usize, f64)> =
        scores.iter().map(|score| ((score - top) / params.temperature).exp()).enumerate().collect();
    left.sort_by(|a, b| b.1.total_cmp(&a.1));
    if params.top_k > 0 {
        left.truncate(params.top_k);
    }
    let total: f64 = left.iter().map(|(_, weight)| weight).sum();
    let mut before = 0.0;
    left.retain(|(_, weight)| {
        before += weight;
        before - weight < params.top_p * total
    });
    left.retain(|(_, weight)| *weight >= params.min_p);
    let total: f64 = left.iter().map(|(_, weight)| weight).sum();
    let mut probabilities = vec![0.0; scores.len()];
    left.iter().for_each(|(token, weight)| probabilities[*token] = weight / total);
    probabilities
}

/// How far counts are from what is expected, and over how many tokens; those expected fewer than five times count as one.
fn chi_square(counts: &[u32], probabilities: &[f64]) -> (f64, f64) {
    let mut bins: Vec<(f64, f64)> = vec![(0.0, 0.0)];
    for (count, probability) in counts.iter().zip(probabilities) {
        let (found, expected) = (f64::from(*count), probability * f64::from(DRAWS));
        if expected >= 5.0 {
            bins.push((found, expected));
        } else {
            bins[0] = (bins[0].0 + found, bins[0].1 + expected);
        }
    }
    let filled: Vec<&(f64, f64)> = bins.iter().filter(|(_, expected)| *expected >= 5.0).collect();
    let sum = filled.iter().map(|(found, expected)| (found - expected).powi(2) / expected).sum();
    (sum, filled.len() as f64 - 1.0)
}

#[test]
fn draws_of_a_model_follow_its_probabilities() {
    let model = random(dense(), 11);
    let scores = reference(&model, &PROMPT).pop().unwrap();
    let engine = Engine::new(&model).unwrap();
    let plain = Params { max_tokens: 1, ..Params::default() };
    for params in [
        Params { temperature: 0.7, ..plain.clone() },
        Params { temperature: 1.5, ..plain.clone() },
        Params { top_k: 12, ..plain.clone() },
        Params { top_p: 0.8, ..plain.clone() },
        Params { min_p: 0.1, ..plain.clone() },
    ] {
        let request = |stream: u32| Request {
            prompt: Prompt::Tokens(PROMPT.to_vec()),
            params: params.clone(),
            stream: u128::from(stream).to_le_bytes(),
        };
        let requests: Vec<Request> = (0..DRAWS).map(request).collect();
        let mut counts = vec![0; scores.len()];
        for completion in generate(&engine, &requests, 2) {
            // No token ends a text of this model.
            counts[completion.unwrap().tokens[0] as usize] += 1;
        }
        let probabilities = exact(&scores, &params);
        let excluded = counts.iter().zip(&probabilities).find(|(count, p)| **count > 0 && **p == 0.0);
        assert!(excluded.is_none(), "{params:?}: a token was drawn that the filters exclude");
        let (chi2, freedom) = chi_square(&counts, &probabilities);
        // Beyond about one in ten thousand.
        let limit = freedom + 4.0 * (2.0 * freedom).sqrt() + 6.0;
        assert!(
            freedom >= 3.0 && chi2 < limit,
            "{params:?}: chi-square {chi2} of {freedom} degrees of freedom"
        );
    }
}
