//! Gradients of whole models against central differences of their loss in f64.

use std::ops::ControlFlow;

use flow_model::{Checkpoint, Tensor};
use flow_trainer::{Example, Part, TrainConfig, train};

use crate::common;
use crate::plain::Plain;

/// The gradient of the loss by tensor: the change of one descent step. With both betas 0 and a huge eps, AdamW moves by
/// −rate · g / eps.
fn gradient(start: &Checkpoint, example: &Example, frozen: Vec<Part>) -> Checkpoint {
    let eps = 1e5;
    let step = TrainConfig {
        learning_rate: eps,
        betas: (0.0, 0.0),
        eps,
        weight_decay: 0.0,
        max_grad_norm: 1e9,
        max_steps: Some(1),
        max_length: 64,
        warmup_ratio: 0.0,
        frozen: Some(frozen),
        ..TrainConfig::default()
    };
    let mut end = train(start, std::slice::from_ref(example), &step, &mut |_| ControlFlow::Continue(()))
        .expect("trains")
        .checkpoint;
    for (name, after) in &mut end.tensors {
        let change: Vec<f32> = start.tensors[name]
            .data
            .iter()
            .zip(after.data.iter())
            .map(|(before, after)| before - after)
            .collect();
        *after = Tensor::new(after.shape.clone(), change);
    }
    end
}

/// Whether a tensor is moved by gradients; biases of routers are moved by the load of experts.
fn descends(name: &str) -> bool {
    !name.ends_with("e_score_correction_bias")
}

fn example() -> Example {
    Example::new("one two", " three four + 17 = 5 one two")
}

/// The slope of the loss along `direction` in one tensor.
fn slope(plain: &Plain, weights: &crate::plain::Weights, name: &str, direction: &[f64]) -> f64 {
    let length = direction.iter().map(|d| d * d).sum::<f64>().sqrt();
    let step = 1e-5 / length;
    let loss = |by: f64| {
        let mut weights = weights.clone();
        let moved = weights.get_mut(name).expect("a tensor");
        moved.iter_mut().zip(direction).for_each(|(w, d)| *w += by * d);
        plain.loss(&weights)
    };
    (loss(step) - loss(-step)) / (2.0 * step)
}

#[test]
fn gradients_of_whole_models_equal_differences_in_f64() {
    for (kind, config) in common::kinds().into_iter().enumerate() {
        let start = common::checkpoint(config, 7);
        let mut tokens = start.tokenizer.encode(&example().prompt).expect("encodes");
        let scored_from = tokens.len();
        tokens.extend(start.tokenizer.encode_continuation(&example().completion).expect("encodes"));
        tokens.extend(start.config.eos_token_ids.first());
        let (plain, weights) = Plain::new(&start, tokens, scored_from);
        let loss = plain.loss(&weights);
        assert!(loss > 1.0, "kind {kind}: {loss}");
        let gradients = gradient(&start, &example(), Vec::new()).tensors;
        for (name, tensor) in gradients.iter().filter(|(name, _)| descends(name)) {
            let found: Vec<f64> = tensor.data.iter().map(|g| f64::from(*g)).collect();
            let square: f64 = found.iter().map(|g| g * g).sum();
            let visited = square > 0.0;
            let routed = name.contains(".experts.") && !name.contains("self_attn");
            assert!(visited || routed, "kind {kind}: {name} has no gradient");
            if !visited {
                continue;
            }
            let along = slope(&plain, &weights, name, &found);
            assert!((along / square - 1.0).abs() < 2e-3, "kind {kind}: {name}: {along} {square}");
            // A direction of its own, in which errors that leave the slope along the gradient alone would show.
            let other = Tensor::normal(3, name, tensor.shape.clone(), square.sqrt());
            let other: Vec<f64> = other.data.iter().map(|d| f64::from(*d)).collect();
            let expected: f64 = other.iter().zip(&found).map(|(d, g)| d * g).sum();
            let size = square * (found.len() as f64).sqrt();
            let along = slope(&plain, &weights, name, &other);
            assert!(
                (along - expected).abs() < 1e-3 * size.max(square),
                "kind {kind}: {name}: {along} {expected}"
            );
        }
    }
}

#[test]
fn frozen_parts_get_no_gradient_and_all_others_do() {
    let parts = [
        (Part::Embeddings, "embed_tokens"),
        (Part::Attention, "_proj."),
        (Part::Norms, "norm"),
        (Part::SharedExpert, "shared_expert"),
        (Part::Experts, "mlp.experts"),
        (Part::Router, "gate.weight"),
        (Part::Head, "lm_head"),
    ];
    let belongs = |part: Part, name: &str| {
        let named = parts.iter().any(|(other, word)| *other == part && name.contains(word));
        match part {
            Part::Attention => named && name.contains("self_attn"),
            Part::Router => named && !name.contains("shared_expert"),
            _ => named,
        }
    };
    for config in
        common::kinds().into_iter().filter(|config| !config.tie_word_embeddings && config.moe.is_some())
    {
        let start = common::checkpoint(config, 7);
        for (part, _) in parts {
            let gradients = gradient(&start, &example(), vec![part]).tensors;
            for (name, tensor) in gradients.iter().filter(|(name, _)| descends(name)) {
                let moved = tensor.data.iter().any(|g| *g != 0.0);
                let routed = name.contains("mlp.experts") || name.contains("block_sparse_moe.experts");
                let frozen = belongs(part, name)
                    || part == Part::Experts && routed
                    || part == Part::Router && name.ends_with("moe.gate.weight");
                assert!(!(frozen && moved), "{part:?}: {name} moved");
                assert!(frozen || moved || routed, "{part:?}: {name} did not move");
            }
        }
    }
}
